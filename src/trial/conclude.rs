//! Closes the books of a trial and fills in its record.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::evidence::evidence;
use super::publishing::PublishingReport;
use super::resources::{resources, threads};
use super::setup::Setup;
use super::subscribing::SubscribingReport;
use super::watch::Watched;
use super::{TrialOutcome, TrialPlan};
use crate::clock::{Nanos, rfc3339};
use crate::driver::{Guarantees, Leftovers};
use crate::measure::{
    AudienceRecord, Backlog, Closing, CoarseHistogram, Collected, CounterChange, CountingLedger, Counts,
    EventRecord, Heard, Latencies, LatencyHistogram, LedgerSums, MessageId, Outage, Phase, Ranking, Silence,
    SlowMessage, Slowest, Stretch, TimelineRow, Trace, TrialRecord, close_audience, close_books,
    close_counting, judge,
};
use crate::scenario::{Audience, Delivery, Extent, Subscribe};
use crate::target::{Broker, Counters};

/// Everything a trial has left behind.
pub(super) struct Remains<'a> {
    pub(super) setup: &'a Arc<Setup>,
    pub(super) plan: &'a TrialPlan<'a>,
    pub(super) guarantees: Guarantees,
    pub(super) watched: Watched,
    pub(super) collected: Collected,
    pub(super) publishing: Vec<PublishingReport>,
    pub(super) subscribing: Vec<SubscribingReport>,
    pub(super) leftovers: Leftovers,
    /// What the driver's connections met on the way.
    pub(super) remarks: Vec<String>,
    /// The server's counters before and, if it still answered, after.
    pub(super) counters: (Counters, Option<Counters>),
    /// Lateness of idle sleepers, core by core.
    pub(super) hiccups: Vec<LatencyHistogram>,
    /// The clock and the wall clock (since 1970) just before the start, and at the end.
    pub(super) started: (Nanos, u64),
    pub(super) ended: (Nanos, u64),
}

/// Sums up.
pub(super) fn conclude(mut remains: Remains<'_>, broker: &Broker) -> TrialOutcome {
    let noted = Noted::of(&mut remains.subscribing);
    let changed = changes(&remains.counters);
    let counts = counts(&remains, &noted, &changed);
    let latencies = latencies(&remains, &counts, &noted);
    let Remains { setup, plan, ref watched, .. } = remains;
    let seconds = (watched.measured.1 - watched.measured.0) as f64 / 1e9;
    let per_second = |count: u64| (seconds > 0.0).then(|| count as f64 / seconds);
    let workload = &plan.scenario.workload;
    let delivered = watched.totals_to.1 - watched.totals_from.1;
    let mut record = TrialRecord {
        scenario: plan.scenario.name.clone(),
        target: plan.target.name.clone(),
        driver: plan.target.driver_name(),
        client: plan.target.client_name(),
        point: plan.point.to_owned(),
        payload_bytes: workload.payload.max() as u64,
        publishers: workload.publishers,
        subscribers: workload.subscribers,
        trial: plan.trial,
        guarantee: remains.guarantees.label(),
        offered_per_s: setup.per_second,
        publishes_per_s: per_second(watched.totals_to.0 - watched.totals_from.0),
        deliveries_per_s: per_second(delivered),
        bytes_per_s: per_second(watched.bytes.1 - watched.bytes.0),
        counts,
        latencies,
        resources: resources(&remains),
        threads: threads(&remains, seconds),
        started_at: rfc3339(remains.started.1 + watched.measured.0),
        seconds,
        outage: outage(noted.silences.iter(), &remains),
        answer_outage: outage(remains.publishing.iter().flat_map(|report| &report.silences), &remains)
            .filter(|_| setup.answers),
        backlog: Some(backlog(&remains)),
        audiences: audiences(&remains, &noted),
        events: watched.events.clone(),
        timeline: timeline(&remains),
        slowest: traced(&noted.slowest, &remains.publishing),
        notes: notes(&remains, why_cut_off(&changed, broker.effective_config())),
        server_counters: changed,
        ..TrialRecord::default()
    };
    record.verdict = judge(&evidence(&remains, &record));
    TrialOutcome {
        broker_died: remains.watched.broker_died.is_some(),
        record,
        collected: remains.collected,
        started_unix_nanos: remains.started.1,
        guarantees: remains.guarantees,
        broker_version: broker.version().to_owned(),
        broker_config: broker.effective_config().to_vec(),
    }
}

/// The slowest messages, with what their publishers remember of them.
fn traced(slowest: &Slowest, publishing: &[PublishingReport]) -> Vec<SlowMessage> {
    let traces: HashMap<MessageId, Trace> =
        publishing.iter().flat_map(|report| report.traces.iter().copied()).collect();
    let mut messages = slowest.messages();
    for message in &mut messages {
        let trace = traces.get(&MessageId { lane: message.lane, sequence: message.sequence });
        // Without a schedule no pacer comes for a message.
        message.woken = trace.filter(|_| message.intended.is_some()).map(|trace| trace.woken);
        message.acked = trace.and_then(|trace| trace.acked);
    }
    messages
}

/// The longest silence up to the end of the measured phase.
fn outage<'a>(silences: impl Iterator<Item = &'a Silence>, remains: &Remains<'_>) -> Option<Outage> {
    let end = remains.watched.measured.1;
    let longest = silences.map(|silence| silence.until(end)).reduce(Stretch::longer)?;
    Some(Outage { from_s: longest.from as f64 / 1e9, seconds: longest.length() as f64 / 1e9 })
}

fn backlog(remains: &Remains<'_>) -> Backlog {
    let most = remains.watched.most_open;
    let drain = most.drained.map(|(at, arrived)| ((at - most.at.0) as f64 / 1e9, arrived - most.at.1));
    Backlog {
        deliveries: most.deliveries,
        at_s: most.at.0 as f64 / 1e9,
        drain_s: drain.map(|(seconds, _)| seconds),
        drain_per_s: drain
            .filter(|(seconds, _)| *seconds > 0.0)
            .map(|(seconds, count)| count as f64 / seconds),
    }
}

/// The timeline with what the schedule asked for in each interval.
fn timeline(remains: &Remains<'_>) -> Vec<TimelineRow> {
    let begins = std::iter::once(0.0).chain(remains.collected.rows.iter().map(|row| row.second));
    let rows = remains.collected.rows.iter().zip(begins);
    let pace = remains.setup.pace.as_ref();
    rows.map(|(row, begin)| {
        let scheduled = pace.filter(|_| row.phase != Phase::Drain);
        TimelineRow { offered_per_s: scheduled.map(|pace| pace.mean(begin, row.second)), ..*row }
    })
    .collect()
}

/// What the subscribing threads noted, together.
#[derive(Default)]
struct Noted {
    sums: LedgerSums,
    audiences: Vec<Heard>,
    counted: CountingLedger,
    subscribers: Vec<CoarseHistogram>,
    slowest: Slowest,
    silences: Vec<Silence>,
    unidentified: u64,
}

impl Noted {
    fn of(reports: &mut [SubscribingReport]) -> Self {
        let mut all = Self::default();
        for noted in reports.iter_mut().filter_map(|report| report.noted.take()) {
            all.sums += noted.sums;
            all.audiences.resize(noted.audiences.len(), Heard::default());
            all.audiences.iter_mut().zip(&noted.audiences).for_each(|(all, more)| all.merge(more));
            all.counted.arrived += noted.counted.arrived;
            all.counted.redelivered += noted.counted.redelivered;
            all.subscribers.extend(noted.rest.subscribers);
            all.slowest.merge(&noted.rest.slowest);
            all.silences.extend(noted.silences);
            all.unidentified += noted.unidentified;
        }
        all
    }
}

fn counts(remains: &Remains<'_>, noted: &Noted, changed: &[CounterChange]) -> Counts {
    let setup = remains.setup;
    let closing = Closing {
        answers: setup.answers,
        promises: remains.guarantees.promises_acked(),
        ordered: setup.topology.has_fan_out(),
        pending: remains.leftovers.pending,
        discarded: remains.leftovers.discarded,
        unidentified: noted.unidentified,
        // A subscriber that stands still doesn't notice that it was cut off; the server counts it.
        disconnects: super::signal::Totals::read(&setup.totals.disconnects).max(cut_off(changed)),
    };
    if setup.stamped {
        return close_books(&setup.books, &noted.sums, &closing);
    }
    let receivers = match setup.topology.subscribe {
        Subscribe::All => u64::from(setup.topology.receivers()),
        Subscribe::Paired => u64::from(setup.copies_of_topic.first().copied().unwrap_or(0)),
    };
    close_counting(&setup.books, noted.counted, receivers, &closing)
}

/// What each audience got, where the scenario names some.
fn audiences(remains: &Remains<'_>, noted: &Noted) -> Vec<AudienceRecord> {
    let (setup, topology) = (remains.setup, &remains.setup.topology);
    let heard = topology.audiences.iter().zip(&noted.audiences).enumerate();
    let record = |(index, (audience, heard)): (usize, (&Audience, &Heard))| {
        let receivers = topology.receivers_of_audience(index).len() as u64;
        let closed = close_audience(&setup.books, heard, receivers, setup.answers);
        let queue = audience.delivery == Delivery::WorkQueue;
        AudienceRecord {
            name: audience.name.clone(),
            subscribers: audience.subscribers,
            work_queue: queue,
            reordered: closed.reordered.filter(|_| !queue),
            ..closed
        }
    };
    heard.map(record).collect()
}

fn latencies(remains: &Remains<'_>, counts: &Counts, noted: &Noted) -> Latencies {
    let setup = remains.setup;
    let subscribers: Vec<(CoarseHistogram, u64)> =
        noted.subscribers.iter().map(|histogram| (histogram.clone(), 0)).collect();
    let fan_out = setup.books.iter().filter(|book| book.receivers() > 1);
    Latencies::of(
        &remains.collected.totals,
        &Ranking {
            open_loop: setup.per_second.is_some() && setup.stamped,
            answers: setup.answers,
            counts,
            sampled: fan_out.map(|book| book.sampled_measured()).sum(),
            subscribers: &subscribers,
        },
    )
}

/// The server's counters that changed.
fn changes((before, after): &(Counters, Option<Counters>)) -> Vec<CounterChange> {
    let Some(after) = after else { return Vec::new() };
    after
        .values
        .iter()
        .filter_map(|(name, after)| {
            let before = before.get(name).unwrap_or(0.0);
            #[expect(clippy::float_cmp, reason = "an unchanged counter is equal to the bit")]
            let same = before == *after;
            (!same).then(|| CounterChange { name: name.clone(), before: before as i64, after: *after as i64 })
        })
        .collect()
}

/// What a reader has to know besides; `cut_off` says why the server cut clients off, if it did.
fn notes(remains: &Remains<'_>, cut_off: Option<String>) -> Vec<String> {
    let watched = &remains.watched;
    let mut notes: Vec<String> = watched.events.iter().map(EventRecord::line).collect();
    notes.extend(cut_off);
    if let Some(how) = &watched.broker_died {
        notes.push(format!("the broker ended in the middle of the trial: {how}"));
    }
    if watched.interrupted {
        notes.push("interrupted".to_owned());
    }
    if !watched.drained {
        let limit = remains.plan.scenario.phases.drain;
        notes.push(format!(
            "not everything that was expected had arrived when the drain ended after {:.1} s (limit {:.1} s)",
            Duration::from_nanos(watched.drain).as_secs_f64(),
            limit.as_secs_f64()
        ));
    }
    let forgiven: u64 = remains.publishing.iter().map(|report| report.forgiven).sum();
    if forgiven > 0 {
        notes.push(format!(
            "{forgiven} messages' window credit came back after 1 s without any movement, not by a delivery"
        ));
    }
    let drops: u64 = remains.subscribing.iter().map(|report| report.client_drops).sum();
    if drops > 0 {
        notes.push(format!("the client library dropped {drops} messages before the harness saw them"));
    }
    notes.extend(remains.remarks.iter().cloned());
    let publishing = remains.publishing.iter().flat_map(|report| &report.errors);
    let subscribing = remains.subscribing.iter().flat_map(|report| &report.errors);
    notes.extend(summarise(publishing.map(|error| format!("publishing: {error}"))));
    notes.extend(summarise(subscribing.map(|error| format!("subscribing: {error}"))));
    let sent = watched.totals_to.0 - watched.totals_from.0;
    let seconds = (watched.measured.1 - watched.measured.0) as f64 / 1e9;
    match remains.plan.scenario.phases.measure {
        Extent::Messages(asked) if sent < asked => {
            notes.push(format!("{sent} of {asked} messages were sent in the measured phase"));
        }
        Extent::Time(asked) if seconds < 0.99 * asked.as_secs_f64() => {
            let asked = asked.as_secs_f64();
            notes.push(format!("the measured phase ended after {seconds:.1} s of {asked:.1} s"));
        }
        Extent::Messages(_) | Extent::Time(_) => {}
    }
    notes
}

/// Counter of clients that Redis closed, without a word to them, since their output buffer was over its limit.
const CUT_OFF: &str = "client_output_buffer_limit_disconnections";

/// How many clients the server cut off.
fn cut_off(changes: &[CounterChange]) -> u64 {
    let change = changes.iter().find(|change| change.name == CUT_OFF);
    change.map_or(0, |change| u64::try_from(change.after - change.before).unwrap_or(0))
}

/// The reason of disconnects that the server gives by its counter alone.
fn why_cut_off(changes: &[CounterChange], settings: &[(String, String)]) -> Option<String> {
    let cut = Some(cut_off(changes)).filter(|&cut| cut > 0)?;
    let limit = settings.iter().find(|(name, _)| name == "client-output-buffer-limit");
    let limit = limit.map_or("its default", |(_, limit)| limit.as_str());
    Some(format!(
        "the server cut {cut} clients whose output buffer was over its limit (client-output-buffer-limit: {limit})"
    ))
}

/// Each distinct line once, with how often it came.
fn summarise(lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut counted: Vec<(String, u32)> = Vec::new();
    for line in lines {
        match counted.iter_mut().find(|(known, _)| *known == line) {
            Some((_, times)) => *times += 1,
            None => counted.push((line, 1)),
        }
    }
    counted
        .into_iter()
        .map(|(line, times)| if times > 1 { format!("{line} ({times} times)") } else { line })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_errors_are_told_once_with_their_number() {
        let lines = ["a", "b", "a"].into_iter().map(str::to_owned);
        assert_eq!(summarise(lines), ["a (2 times)", "b"]);
    }

    #[test]
    fn a_client_that_redis_cut_off_is_told_with_the_limit() {
        let name = CUT_OFF.to_owned();
        let changes = [CounterChange { name, before: 1, after: 3 }];
        let settings = [("client-output-buffer-limit".to_owned(), "pubsub 32mb 8mb 60".to_owned())];
        let note = why_cut_off(&changes, &settings).unwrap();
        assert!(note.contains("cut 2 clients") && note.contains("pubsub 32mb 8mb 60"), "{note}");
        assert_eq!((cut_off(&changes), cut_off(&[])), (2, 0));
        assert_eq!(why_cut_off(&[], &settings), None);
    }

    #[test]
    fn only_counters_that_changed_are_kept() {
        let counters = |a: f64, b: f64| Counters {
            server: String::new(),
            values: vec![("a".into(), a), ("b".into(), b)],
        };
        let changed = changes(&(counters(1.0, 5.0), Some(counters(3.0, 5.0))));
        assert_eq!(changed.len(), 1);
        assert_eq!((changed[0].name.as_str(), changed[0].before, changed[0].after), ("a", 1, 3));
        assert!(changes(&(counters(1.0, 2.0), None)).is_empty());
    }
}
