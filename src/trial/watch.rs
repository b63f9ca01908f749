//! What the control thread sees while a trial runs: totals, messages in flight, the broker's CPU and memory.

use std::sync::Arc;
use std::time::Duration;

use super::TrialPlan;
use super::happening::{Ask, Happenings};
use super::setup::Setup;
use super::signal::Totals;
use crate::clock::Nanos;
use crate::measure::{CpuTimes, EventRecord, Hiccups, Host, Live, Phase, Threads, Timeline};
use crate::scenario::Extent;
use crate::target::{Broker, ProcessSample, ProcessUsage};

/// Between two looks at the totals.
const TICK: Duration = Duration::from_millis(5);

/// Looks between two samples of processes.
const TICKS_PER_SAMPLE: u64 = 20;

/// Nothing more is expected once everything arrived and nothing came for this long.
const QUIET: Nanos = 50_000_000;

/// A process that was killed is seen to be gone within this time of its connections.
const DEATH_SHOWS_WITHIN: Nanos = 500_000_000;

/// A closed loop without any movement for this long is over.
const STANDSTILL_MIN: Duration = Duration::from_secs(5);

/// What was seen.
#[derive(Debug, Clone, Default)]
pub(super) struct Watched {
    /// CPU and memory of the broker at the bounds of the measured phase; `None` where it isn't ours.
    pub(super) broker_from: Option<ProcessSample>,
    pub(super) broker_to: Option<ProcessSample>,
    pub(super) broker_rss_max: Option<u64>,
    /// The same for each node of a cluster; empty for a broker of one server.
    pub(super) nodes: Vec<NodeUse>,
    /// Disk and scheduler of the broker, and bytes on the machine's interfaces, at the same bounds.
    pub(super) usage: (Option<ProcessUsage>, Option<ProcessUsage>),
    pub(super) network: (Option<u64>, Option<u64>),
    /// CPU of the harness at the bounds of the measured phase.
    pub(super) harness_from: Option<ProcessSample>,
    pub(super) harness_to: Option<ProcessSample>,
    /// What the scheduler gave the harness's threads, and the hypervisor the machine, at the bounds.
    pub(super) threads_from: Threads,
    pub(super) threads_to: Threads,
    pub(super) cpu_from: Option<CpuTimes>,
    pub(super) cpu_to: Option<CpuTimes>,
    /// Deliveries under way when the measured phase began.
    pub(super) backlog: u64,
    /// Totals (sent, arrived) at the bounds of the measured phase.
    pub(super) totals_from: (u64, u64),
    pub(super) totals_to: (u64, u64),
    /// Payload bytes delivered at the same bounds.
    pub(super) bytes: (u64, u64),
    /// The bounds themselves, since the start.
    pub(super) measured: (Nanos, Nanos),
    /// Sum and number of samples of deliveries in flight in the measured phase.
    pub(super) in_flight: (f64, u64),
    /// The largest backlog from the start of the measured phase on.
    pub(super) most_open: MostOpen,
    /// What was done to the broker.
    pub(super) events: Vec<EventRecord>,
    /// How the broker ended, if it did so by itself.
    pub(super) broker_died: Option<String>,
    /// The user ended the trial early.
    pub(super) interrupted: bool,
    /// Everything that was expected came before the drain limit.
    pub(super) drained: bool,
    /// Time from the end of sending to the end of draining.
    pub(super) drain: Nanos,
}

/// What one node of a cluster has used.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct NodeUse {
    /// At the bounds of the measured phase.
    pub(super) from: Option<ProcessSample>,
    pub(super) to: Option<ProcessSample>,
    pub(super) rss_max: Option<u64>,
}

/// The largest backlog.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct MostOpen {
    /// Deliveries under way.
    pub(super) deliveries: u64,
    /// When, and how many had arrived by then.
    pub(super) at: (Nanos, u64),
    /// The same when a hundredth of it was left.
    pub(super) drained: Option<(Nanos, u64)>,
}

/// Watches one trial.
pub(super) struct Watch<'a> {
    setup: &'a Arc<Setup>,
    plan: &'a TrialPlan<'a>,
    /// Target and point, as they are shown.
    title: String,
    timeline: &'a mut Timeline,
    hiccups: &'a Hiccups,
    host: Host,
    start: Nanos,
    ticks: u64,
    last: (Nanos, u64, u64),
    moved: (Nanos, u64),
    measuring: bool,
    last_sample: Option<(Nanos, ProcessSample)>,
    happenings: Happenings,
    ask: Ask,
    seen: Watched,
}

impl<'a> Watch<'a> {
    /// Watches a trial that starts at `start` on the clock.
    pub(super) fn new(
        setup: &'a Arc<Setup>,
        plan: &'a TrialPlan<'a>,
        (timeline, hiccups): (&'a mut Timeline, &'a Hiccups),
        ask: Ask,
        start: Nanos,
    ) -> Self {
        let title = match plan.point {
            "" => plan.target.name.clone(),
            point => format!("{} [{point}]", plan.target.name),
        };
        Self {
            setup,
            plan,
            title,
            timeline,
            hiccups,
            host: Host::default(),
            start,
            ticks: 0,
            last: (0, 0, 0),
            moved: (0, 0),
            measuring: false,
            last_sample: None,
            happenings: Happenings::of(plan),
            ask,
            seen: Watched::default(),
        }
    }

    fn now(&self) -> Nanos {
        self.setup.clock.now().saturating_sub(self.start)
    }

    /// Until every publishing connection has sent all, or the time is over, or nothing can move any more.
    pub(super) async fn sending(&mut self, broker: &mut Broker, live: &mut dyn FnMut(&Live<'_>) -> bool) {
        let connections = u64::from(self.setup.topology.publisher_connections);
        let limit = self.sending_limit();
        let mut interval = tokio::time::interval(TICK);
        loop {
            interval.tick().await;
            let now = self.now();
            self.look(now, broker, live);
            self.happen(broker).await;
            let all_sent = Totals::read(&self.setup.totals.done_sending) >= connections;
            let over = limit.is_some_and(|limit| now > limit) || self.stands_still(now);
            if all_sent || over || self.seen.interrupted || self.seen.broker_died.is_some() {
                break;
            }
        }
        self.end_of_measuring(broker);
    }

    /// The latest time at which sending ends: the schedule's end and, for what back-pressure delayed, the
    /// drain limit.
    fn sending_limit(&self) -> Option<Nanos> {
        let phases = &self.plan.scenario.phases;
        let measure = match (phases.measure, self.setup.per_second) {
            (Extent::Time(time), _) => time,
            (Extent::Messages(messages), Some(rate)) => Duration::from_secs_f64(messages as f64 / rate),
            (Extent::Messages(_), None) => return None,
        };
        Some((phases.warm_up + measure + phases.drain).as_nanos() as Nanos)
    }

    /// Whether nothing at all has moved for so long that nothing will.
    fn stands_still(&mut self, now: Nanos) -> bool {
        let totals = &self.setup.totals;
        let sum = Totals::read(&totals.sent) + Totals::read(&totals.seen) + Totals::read(&totals.acked);
        if sum != self.moved.1 {
            self.moved = (now, sum);
        }
        let limit = self.plan.scenario.phases.drain.max(STANDSTILL_MIN).as_nanos() as Nanos;
        self.setup.per_second.is_none() && now - self.moved.0 > limit
    }

    /// Until everything expected has arrived, all answers are there and nothing more comes; at most the drain
    /// limit.
    pub(super) async fn draining(&mut self, broker: &mut Broker, live: &mut dyn FnMut(&Live<'_>) -> bool) {
        let from = self.now();
        let limit = from + self.plan.scenario.phases.drain.as_nanos() as Nanos;
        let mut quiet_since = from;
        let mut seen = u64::MAX;
        let mut interval = tokio::time::interval(TICK);
        loop {
            interval.tick().await;
            let now = self.now();
            self.look(now, broker, live);
            self.happen(broker).await;
            let totals = &self.setup.totals;
            let arrived_all = Totals::read(&totals.arrived) >= Totals::read(&totals.expected);
            let answered_all =
                Totals::read(&totals.done_answering) >= u64::from(self.setup.topology.publisher_connections);
            let seen_now = Totals::read(&totals.seen);
            if seen_now != seen || !(arrived_all && answered_all) {
                (seen, quiet_since) = (seen_now, now);
            }
            self.seen.drained = arrived_all && answered_all && now - quiet_since >= QUIET;
            let nobody_left = Totals::read(&totals.subscribers_gone)
                >= u64::from(self.setup.topology.subscriber_connections)
                && answered_all;
            if self.seen.drained || now >= limit || nobody_left || self.seen.interrupted {
                break;
            }
        }
        self.seen.drain = self.now() - from;
    }

    /// Everything that was seen. Where a connection was lost, the broker gets a moment to turn out dead.
    pub(super) async fn end(mut self, broker: &mut Broker) -> Watched {
        let from = self.now();
        let mut interval = tokio::time::interval(TICK);
        while self.seen.broker_died.is_none() {
            self.seen.broker_died = broker.died().map(|error| error.to_string());
            let lost = Totals::read(&self.setup.totals.disconnects) > 0 && !broker.pids().is_empty();
            if !lost || self.now() - from > DEATH_SHOWS_WITHIN {
                break;
            }
            interval.tick().await;
        }
        if !self.measuring && self.seen.measured == (0, 0) {
            self.start_of_measuring(broker, self.now());
            self.end_of_measuring(broker);
        }
        self.seen.events = std::mem::take(&mut self.happenings).end(broker);
        self.seen
    }

    /// Does to the broker what is due.
    async fn happen(&mut self, broker: &mut Broker) {
        let (setup, start) = (self.setup, self.start);
        while self.happenings.due(self.now()) {
            self.happenings.next(broker, &self.ask, || setup.clock.now().saturating_sub(start)).await;
        }
    }

    /// Notes the largest backlog and how it goes away.
    fn backlog(&mut self, now: Nanos) {
        let (open, arrived) = (self.open(), Totals::read(&self.setup.totals.arrived));
        let seen = &mut self.seen.most_open;
        if open > seen.deliveries {
            *seen = MostOpen { deliveries: open, at: (now, arrived), drained: None };
        } else if seen.drained.is_none() && open * 100 <= seen.deliveries {
            seen.drained = Some((now, arrived));
        }
    }

    /// One look at everything.
    fn look(&mut self, now: Nanos, broker: &mut Broker, live: &mut dyn FnMut(&Live<'_>) -> bool) {
        if !self.measuring && self.seen.measured.1 == 0 && now >= self.setup.measure_from {
            self.start_of_measuring(broker, now);
        }
        if self.measuring {
            self.seen.in_flight.0 += self.open() as f64;
            self.seen.in_flight.1 += 1;
        }
        if now >= self.setup.measure_from {
            self.backlog(now);
        }
        if self.ticks.is_multiple_of(TICKS_PER_SAMPLE) {
            self.sample(now, broker);
            self.report(now, live);
        }
        self.ticks += 1;
    }

    fn sample(&mut self, now: Nanos, broker: &mut Broker) {
        self.timeline.collect(now);
        if let Some(sample) = broker.sample() {
            let cores = self.last_sample.map(|(at, last)| {
                (sample.cpu_ns.saturating_sub(last.cpu_ns)) as f64 / (now - at).max(1) as f64
            });
            self.timeline.broker(now, cores, Some(sample.rss_bytes));
            self.last_sample = Some((now, sample));
            let max = self.seen.broker_rss_max.unwrap_or(0).max(sample.rss_bytes);
            self.seen.broker_rss_max = Some(max);
        }
        for (node, sample) in self.nodes(broker) {
            node.rss_max = node.rss_max.max(sample.map(|sample| sample.rss_bytes));
        }
        if self.seen.broker_died.is_none() {
            self.seen.broker_died = broker.died().map(|error| error.to_string());
        }
    }

    /// Each node of a cluster with what it has used so far.
    fn nodes(&mut self, broker: &Broker) -> impl Iterator<Item = (&mut NodeUse, Option<ProcessSample>)> {
        let samples = if broker.nodes().len() > 1 { broker.samples() } else { Vec::new() };
        self.seen.nodes.resize_with(samples.len(), NodeUse::default);
        self.seen.nodes.iter_mut().zip(samples)
    }

    fn start_of_measuring(&mut self, broker: &Broker, now: Nanos) {
        self.measuring = true;
        self.timeline.begin(Phase::Measure, now);
        self.hiccups.record();
        self.seen.backlog = self.open();
        self.seen.threads_from = self.host.threads();
        self.seen.cpu_from = self.host.cpu_times();
        self.seen.measured.0 = now;
        self.seen.broker_from = broker.sample();
        self.seen.usage.0 = broker.usage();
        self.seen.network.0 = self.host.network_bytes();
        self.nodes(broker).for_each(|(node, sample)| node.from = sample);
        self.seen.harness_from = Some(ProcessSample::of_this_process());
        self.seen.totals_from = self.totals();
        self.seen.bytes.0 = Totals::read(&self.setup.totals.bytes);
    }

    fn end_of_measuring(&mut self, broker: &Broker) {
        if !self.measuring {
            return;
        }
        self.measuring = false;
        self.timeline.begin(Phase::Drain, self.now());
        self.seen.threads_to = self.host.threads();
        self.seen.cpu_to = self.host.cpu_times();
        self.seen.measured.1 = self.now();
        self.seen.broker_to = broker.sample();
        self.seen.usage.1 = broker.usage();
        self.seen.network.1 = self.host.network_bytes();
        self.nodes(broker).for_each(|(node, sample)| node.to = sample);
        self.seen.harness_to = Some(ProcessSample::of_this_process());
        self.seen.totals_to = self.totals();
        self.seen.bytes.1 = Totals::read(&self.setup.totals.bytes);
    }

    /// Deliveries under way: asked for, not there, and not passed over by later ones.
    fn open(&self) -> u64 {
        let totals = &self.setup.totals;
        let over = Totals::read(&totals.arrived) + Totals::read(&totals.gaps);
        Totals::read(&totals.expected).saturating_sub(over)
    }

    fn totals(&self) -> (u64, u64) {
        (Totals::read(&self.setup.totals.sent), Totals::read(&self.setup.totals.arrived))
    }

    fn report(&mut self, now: Nanos, live: &mut dyn FnMut(&Live<'_>) -> bool) {
        let (sent, arrived) = self.totals();
        let seconds = ((now - self.last.0.min(now)) as f64 / 1e9).max(1e-9);
        let phase = match (self.measuring, self.seen.measured.1) {
            (true, _) => Phase::Measure,
            (false, 0) => Phase::WarmUp,
            (false, _) => Phase::Drain,
        };
        let phases = &self.plan.scenario.phases;
        let of_seconds = match phases.measure {
            Extent::Time(time) => Some((phases.warm_up + time).as_secs_f64()),
            Extent::Messages(_) => None,
        };
        let go_on = live(&Live {
            target: &self.title,
            trial: self.plan.trial,
            trials: self.plan.scenario.trials.count,
            phase,
            seconds: now as f64 / 1e9,
            of_seconds,
            offered_per_s: self.setup.per_second,
            published_per_s: (sent - self.last.1) as f64 / seconds,
            delivered_per_s: (arrived - self.last.2) as f64 / seconds,
            lost_so_far: Totals::read(&self.setup.totals.gaps),
            p99_us: self.timeline.rows().last().and_then(|row| row.delivery_time_us_p99),
        });
        self.last = (now, sent, arrived);
        self.seen.interrupted |= !go_on;
    }
}
