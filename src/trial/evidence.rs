//! Puts together what a trial's verdict rests on.

use super::conclude::Remains;
use crate::measure::{
    EventRecord, Evidence, LatencyHistogram, LittleEvidence, Phase, Quantiles, ThreadEvidence, TrialRecord,
    WarmUpEvidence,
};
use crate::scenario::Extent;

/// What stands for and against a trial whose record is filled in but for the verdict.
pub(super) fn evidence(remains: &Remains<'_>, record: &TrialRecord) -> Evidence {
    let totals = &remains.collected.totals;
    let (negative, above_range) = totals.out_of_range();
    let monotonic = remains.ended.0.saturating_sub(remains.started.0) as f64 / 1e9;
    let wall = (remains.ended.1 as f64 - remains.started.1 as f64) / 1e9;
    let watched = &remains.watched;
    let steal = watched.cpu_to.zip(watched.cpu_from).and_then(|(to, from)| to.steal_since(&from));
    let (before, after) = &remains.counters;
    Evidence {
        pacer_lag: record.latencies.pacer_lag,
        latency: record.latencies.delivery_time.or(record.latencies.response_time),
        threads: record
            .threads
            .iter()
            .map(|thread| ThreadEvidence {
                name: thread.name.clone(),
                busy: thread.busy,
                run_delay: thread.run_delay,
            })
            .collect(),
        offered_per_s: record.offered_per_s,
        sent_per_s: sent_per_s(remains, record),
        little: little(remains, record).filter(|_| !remains.plan.scenario.is_disturbed()),
        warm_up: warm_up(remains, record).filter(|_| remains.plan.scenario.behaviours.is_empty()),
        clock_apart_s: wall - monotonic,
        trial_s: monotonic,
        steal,
        hiccups: worst(&remains.hiccups),
        counts: record.counts.clone(),
        // What the scenario itself does to the broker is no surprise.
        broker_restarted: watched.broker_died.is_some()
            || (remains.plan.scenario.events_of(&remains.plan.target.name).next().is_none()
                && after.as_ref().is_some_and(|after| after.server != before.server)),
        unlike: remains.plan.unlike.map(str::to_owned),
        client_drops: remains.subscribing.iter().map(|report| report.client_drops).sum(),
        negative,
        above_range,
        failed_events: watched
            .events
            .iter()
            .filter(|event| event.failure.is_some())
            .map(EventRecord::line)
            .collect(),
    }
}

/// Messages sent per second of the measured phase as it was asked for: one that ended early is no shorter for
/// that.
fn sent_per_s(remains: &Remains<'_>, record: &TrialRecord) -> f64 {
    let asked = match remains.plan.scenario.phases.measure {
        Extent::Time(time) => time.as_secs_f64(),
        Extent::Messages(_) => 0.0,
    };
    let share = if asked > record.seconds { record.seconds / asked } else { 1.0 };
    record.publishes_per_s.unwrap_or(0.0) * share
}

/// Deliveries in flight, sampled by the control thread, against their rate times their mean transit time.
fn little(remains: &Remains<'_>, record: &TrialRecord) -> Option<LittleEvidence> {
    let (sum, samples) = remains.watched.in_flight;
    let mean_us = record.latencies.transit_time?.mean?;
    Some(LittleEvidence {
        sampled_in_flight: sum / samples.max(1) as f64,
        samples,
        rate_per_s: record.deliveries_per_s?,
        mean_latency_s: mean_us / 1e6,
    })
}

/// The last two whole intervals of the warm-up, and what it left behind. A warm-up that is too short for two
/// intervals shows no trend; its backlog counts all the same.
fn warm_up(remains: &Remains<'_>, record: &TrialRecord) -> Option<WarmUpEvidence> {
    let offered = record.offered_per_s?;
    let messages = record.counts.sent.max(1) as f64;
    let deliveries_per_s = offered * record.counts.expected as f64 / messages;
    let mut last = record
        .timeline
        .iter()
        .rev()
        .filter(|row| row.phase == Phase::WarmUp)
        .filter_map(|row| row.delivery_time_us_p50);
    let (later, earlier) = (last.next(), last.next());
    Some(WarmUpEvidence {
        earlier_p50_us: earlier.or(later).unwrap_or(0.0),
        later_p50_us: later.unwrap_or(0.0),
        backlog_seconds: remains.watched.backlog as f64 / deliveries_per_s.max(1.0),
    })
}

/// The core on which sleepers were latest.
fn worst(hiccups: &[LatencyHistogram]) -> Option<Quantiles> {
    let p99 = |quantiles: &Quantiles| quantiles.p99.map_or(0.0, |p99| p99.micros());
    hiccups
        .iter()
        .filter(|histogram| histogram.count() > 0)
        .map(|histogram| histogram.quantiles(0))
        .max_by(|a, b| p99(a).total_cmp(&p99(b)))
}
