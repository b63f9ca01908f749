//! Merges what the recorders hand over, interval by interval: totals, the rows of the timeline, the log.

use std::collections::BTreeMap;

use super::histogram::LatencyHistogram;
use super::hlog::IntervalLog;
use super::record::{Phase, TimelineRow};
use super::recorder::{
    DeliveryInterval, DeliveryRecorder, Interval, PublishInterval, PublishRecorder, Shared, lock,
};
use crate::clock::Nanos;

/// Length of an interval: 1 s.
pub const INTERVAL: Nanos = 1_000_000_000;

/// All latencies of the measured phase, merged over threads.
#[derive(Debug, Clone, Default)]
pub struct Totals {
    /// Received − intended.
    pub delivery: LatencyHistogram,
    /// Received − sent.
    pub transit: LatencyHistogram,
    /// Last delivery − intended, of one message in 64.
    pub last_delivery: LatencyHistogram,
    /// Acknowledged − sent.
    pub service: LatencyHistogram,
    /// Acknowledged − intended.
    pub response: LatencyHistogram,
    /// Sent − intended.
    pub send_lag: LatencyHistogram,
    /// Woken − intended.
    pub pacer_lag: LatencyHistogram,
    /// Sent − woken.
    pub stall: LatencyHistogram,
}

impl Totals {
    /// Every latency with the name it has in files.
    #[must_use]
    pub fn named(&self) -> [(&'static str, &LatencyHistogram); 8] {
        [
            ("delivery_time", &self.delivery),
            ("transit_time", &self.transit),
            ("last_delivery", &self.last_delivery),
            ("service_time", &self.service),
            ("response_time", &self.response),
            ("send_lag", &self.send_lag),
            ("pacer_lag", &self.pacer_lag),
            ("stall", &self.stall),
        ]
    }

    /// Samples that were negative, and those above the range.
    #[must_use]
    pub fn out_of_range(&self) -> (u64, u64) {
        self.named().iter().fold((0, 0), |(negative, above), (_, histogram)| {
            (negative + histogram.negative(), above + histogram.above_range())
        })
    }
}

/// A row being put together.
#[derive(Debug, Default)]
struct Open {
    row: TimelineRow,
    acked: u64,
    gaps: u64,
    delivery: LatencyHistogram,
}

/// Owns the timeline's side of every recorder. One thread collects, a few times a second.
#[derive(Debug)]
pub struct Timeline {
    interval: Nanos,
    answers: bool,
    deliveries: Vec<Shared<DeliveryInterval>>,
    publishes: Vec<Shared<PublishInterval>>,
    phases: Vec<(Nanos, Phase)>,
    open: BTreeMap<u64, Open>,
    rows: Vec<TimelineRow>,
    totals: Totals,
    log: IntervalLog,
}

/// What is left when a trial is over.
#[derive(Debug, Clone, Default)]
pub struct Collected {
    /// The measured phase.
    pub totals: Totals,
    /// Interval by interval, all phases.
    pub rows: Vec<TimelineRow>,
    /// The measured phase's histograms by interval and thread.
    pub log: IntervalLog,
}

impl Timeline {
    /// A timeline with rows of `interval` nanoseconds ([`INTERVAL`], but for tests). `answers` says whether
    /// the system answers publishers: if not, acked stays empty.
    #[must_use]
    pub fn new(interval: Nanos, answers: bool) -> Self {
        Self {
            interval,
            answers,
            deliveries: Vec::new(),
            publishes: Vec::new(),
            phases: Vec::new(),
            open: BTreeMap::new(),
            rows: Vec::new(),
            totals: Totals::default(),
            log: IntervalLog::default(),
        }
    }

    /// A recorder for a thread of subscribers; see [`DeliveryRecorder`].
    pub fn delivery_recorder(&mut self, subscribers: usize) -> DeliveryRecorder {
        let (recorder, shared) = DeliveryRecorder::new(self.interval, subscribers);
        self.deliveries.push(shared);
        recorder
    }

    /// A recorder for a thread of publishers.
    pub fn publish_recorder(&mut self) -> PublishRecorder {
        let (recorder, shared) = PublishRecorder::new(self.interval);
        self.publishes.push(shared);
        recorder
    }

    /// A phase begins at `at`; in order.
    pub fn begin(&mut self, phase: Phase, at: Nanos) {
        self.phases.push((at, phase));
    }

    /// Notes what the broker used around `at`.
    pub fn broker(&mut self, at: Nanos, cores: Option<f64>, rss_bytes: Option<u64>) {
        let row = &mut self.open(at).row;
        row.broker_cores = cores;
        row.broker_rss_bytes = rss_bytes;
    }

    /// Takes what the recorders have handed over so far and closes the rows that lie more than one interval
    /// back.
    pub fn collect(&mut self, now: Nanos) {
        for index in 0..self.deliveries.len() {
            let shared = self.deliveries[index].clone();
            take(&shared, |interval| self.add_delivery(interval));
        }
        for index in 0..self.publishes.len() {
            let shared = self.publishes[index].clone();
            take(&shared, |interval| self.add_publish(interval));
        }
        let current = now / self.interval;
        while let Some(entry) = self.open.first_entry() {
            if entry.key() + 1 >= current {
                break;
            }
            let (index, open) = entry.remove_entry();
            self.close(index, open);
        }
    }

    /// The rows closed so far.
    #[must_use]
    pub fn rows(&self) -> &[TimelineRow] {
        &self.rows
    }

    /// The measured phase so far.
    #[must_use]
    pub fn totals(&self) -> &Totals {
        &self.totals
    }

    /// Takes the rest; all recorders have finished.
    #[must_use]
    pub fn finish(mut self) -> Collected {
        self.collect(0);
        for (index, open) in std::mem::take(&mut self.open) {
            self.close(index, open);
        }
        self.rows.sort_by(|a, b| a.second.total_cmp(&b.second));
        Collected { totals: self.totals, rows: self.rows, log: self.log }
    }

    fn add_delivery(&mut self, interval: &DeliveryInterval) {
        let open = self.open(interval.start);
        open.row.delivered += interval.delivered;
        open.gaps += interval.gaps;
        for histogram in &interval.delivery {
            open.delivery.merge(histogram);
        }
        let [_, measured] = &interval.delivery;
        self.totals.delivery.merge(measured);
        self.totals.transit.merge(&interval.transit);
        self.totals.last_delivery.merge(&interval.last_delivery);
        let (start, end) = (interval.start, interval.end);
        self.log.add("delivery_time", start, end, measured.hdr());
        self.log.add("transit_time", start, end, interval.transit.hdr());
    }

    fn add_publish(&mut self, interval: &PublishInterval) {
        let open = self.open(interval.start);
        open.row.sent += interval.sent;
        open.acked += interval.acked;
        self.totals.service.merge(&interval.service);
        self.totals.response.merge(&interval.response);
        self.totals.send_lag.merge(&interval.send_lag);
        self.totals.pacer_lag.merge(&interval.pacer_lag);
        self.totals.stall.merge(&interval.stall);
        let (start, end) = (interval.start, interval.end);
        self.log.add("service_time", start, end, interval.service.hdr());
        self.log.add("response_time", start, end, interval.response.hdr());
        self.log.add("send_lag", start, end, interval.send_lag.hdr());
        self.log.add("pacer_lag", start, end, interval.pacer_lag.hdr());
    }

    fn open(&mut self, at: Nanos) -> &mut Open {
        self.open.entry(at / self.interval).or_default()
    }

    fn close(&mut self, index: u64, open: Open) {
        let end = (index + 1) * self.interval;
        let phase = self.phases.iter().rev().find(|(at, _)| *at < end).map_or(Phase::WarmUp, |(_, p)| *p);
        let row = TimelineRow {
            second: end as f64 / 1e9,
            phase,
            acked: self.answers.then_some(open.acked),
            gaps: (!self.deliveries.is_empty()).then_some(open.gaps),
            delivery_time_us_p50: open.delivery.rough_micros(0.5),
            delivery_time_us_p99: open.delivery.rough_micros(0.99),
            delivery_time_us_max: open.delivery.rough_micros(1.0),
            ..open.row
        };
        match self.rows.iter_mut().rev().find(|closed| closed.second == row.second) {
            Some(closed) => add_late(closed, &row),
            None => self.rows.push(row),
        }
    }
}

/// A thread that had nothing to do hands its interval over late: its counts still belong to that row.
fn add_late(closed: &mut TimelineRow, late: &TimelineRow) {
    closed.sent += late.sent;
    closed.delivered += late.delivered;
    closed.acked = closed.acked.zip(late.acked).map(|(a, b)| a + b);
    closed.gaps = closed.gaps.zip(late.gaps).map(|(a, b)| a + b);
    closed.delivery_time_us_p50 = closed.delivery_time_us_p50.or(late.delivery_time_us_p50);
    closed.delivery_time_us_p99 = closed.delivery_time_us_p99.or(late.delivery_time_us_p99);
    if late.delivery_time_us_max > closed.delivery_time_us_max {
        closed.delivery_time_us_max = late.delivery_time_us_max;
    }
}

/// Looks at every interval handed over, empties it and gives it back.
fn take<T: Interval>(shared: &Shared<T>, mut look: impl FnMut(&T)) {
    loop {
        let mut exchange = lock(shared);
        if exchange.full.is_empty() {
            return;
        }
        let mut interval = exchange.full.remove(0);
        drop(exchange);
        look(&interval);
        interval.clear();
        lock(shared).spare.push(interval);
    }
}

#[cfg(test)]
mod tests {
    use super::super::recorder::Times;
    use super::*;

    const SECOND: Nanos = 1_000_000_000;

    fn at(measured: bool, intended: Nanos) -> Times {
        Times { measured, intended: Some(intended), sent: Some(intended + 1000) }
    }

    #[test]
    fn rows_carry_what_happened_in_their_interval_and_totals_only_the_measured_phase() {
        let mut timeline = Timeline::new(SECOND, true);
        let mut recorders = [timeline.delivery_recorder(1), timeline.delivery_recorder(1)];
        let mut publisher = timeline.publish_recorder();
        timeline.begin(Phase::WarmUp, 0);
        timeline.begin(Phase::Measure, SECOND);
        for second in 0..4 {
            let now = second * SECOND;
            for recorder in &mut recorders {
                if recorder.due(now) {
                    recorder.roll(now, second);
                }
                for i in 0..100 {
                    recorder.delivered(0, at(second > 0, now + i), now + i + (second + 1) * 100_000);
                }
            }
            if publisher.due(now) {
                publisher.roll(now);
            }
            publisher.sent(at(second > 0, now), now + 10, now + 1000);
            publisher.acked(at(second > 0, now), now + 6000);
            timeline.collect(now);
        }
        let [first, second] = recorders;
        assert_eq!(first.finish(4 * SECOND, 0).subscribers[0].count(), 300);
        let _ = second.finish(4 * SECOND, 0);
        publisher.finish(4 * SECOND);
        let collected = timeline.finish();
        assert_eq!(collected.totals.delivery.count(), 600);
        assert_eq!(collected.totals.service.count(), 3);
        assert_eq!(collected.rows.len(), 4);
        for (index, row) in collected.rows.iter().enumerate() {
            assert_eq!((row.sent, row.acked, row.delivered), (1, Some(1), 200), "{row:?}");
            let p50 = row.delivery_time_us_p50.unwrap();
            assert!((p50 / (100.0 * (index + 1) as f64) - 1.0).abs() < 0.001, "{row:?}");
            assert_eq!(row.phase, if index == 0 { Phase::WarmUp } else { Phase::Measure });
        }
    }

    #[test]
    fn when_nobody_collects_intervals_grow_longer_and_nothing_is_lost() {
        let mut timeline = Timeline::new(SECOND, false);
        let mut recorder = timeline.delivery_recorder(0);
        for second in 0..10 {
            let now = second * SECOND;
            if recorder.due(now) {
                recorder.roll(now, 0);
            }
            recorder.delivered(0, at(true, now), now + 5000);
        }
        let _ = recorder.finish(10 * SECOND, 0);
        let collected = timeline.finish();
        assert_eq!(collected.totals.delivery.count(), 10);
        assert_eq!(collected.rows.iter().map(|row| row.delivered).sum::<u64>(), 10);
        assert_eq!(collected.rows.len(), 3, "two spares and the active one");
        assert_eq!(collected.rows[0].acked, None);
    }

    #[test]
    fn without_intended_times_transit_is_all_there_is() {
        let mut timeline = Timeline::new(SECOND, false);
        let mut recorder = timeline.delivery_recorder(0);
        recorder.delivered(0, Times { measured: true, intended: None, sent: Some(5) }, 9);
        recorder.delivered(0, Times { measured: true, intended: None, sent: None }, 9);
        let _ = recorder.finish(SECOND, 0);
        let totals = timeline.finish().totals;
        assert_eq!((totals.delivery.count(), totals.transit.count()), (0, 1));
    }
}
