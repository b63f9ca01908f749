//! A small run with two targets whose figures are known.

use busmark::measure::{
    Counts, Grade, Latencies, Phase, Quantile, Quantiles, Reason, ReasonCode, Resources, SlowMessage,
    TimelineRow, TrialRecord, Verdict,
};
use busmark::report::{Curve, Manifest, ResultsFolder, TargetManifest, Trial, shares};

/// 2026-11-24T12:00:00Z.
pub(crate) const NOON: u64 = 1_795_521_600 * 1_000_000_000;

/// A run of `trials` trials of `redis-8` and `nats-2.11`; Redis loses 40 of each trial's messages.
pub(crate) fn manifest(trials: u32) -> Manifest {
    let target = |name: &str, driver: &str, version: &str, guarantee: &str| TargetManifest {
        name: name.to_owned(),
        driver: driver.to_owned(),
        client: if driver == "jetstream" { "library" } else { "wire" }.to_owned(),
        broker: "managed".to_owned(),
        broker_version: Some(version.to_owned()),
        guarantee: guarantee.to_owned(),
        ..TargetManifest::default()
    };
    Manifest {
        scenario: "redis-vs-jetstream".to_owned(),
        seed: 42,
        command_line: ["busmark", "run", "redis-vs-jetstream"].map(str::to_owned).to_vec(),
        trials_planned: 2 * trials,
        targets: vec![
            target("redis-8", "redis-pubsub", "8.2.3", REDIS_PROMISE),
            target("nats-2.11", "jetstream", "2.11.11", NATS_PROMISE),
        ],
        ..Manifest::default()
    }
}

/// What Redis Pub/Sub promises.
pub(crate) const REDIS_PROMISE: &str = "at-most-once,reply,fsync-never,r1";
/// What a file stream of JetStream promises.
pub(crate) const NATS_PROMISE: &str = "at-least-once,leader-ack,fsync-interval,r1";

fn quantiles(base: f64, missing: u64) -> Quantiles {
    let at = |factor: f64| Some(Quantile::Micros(base * factor));
    let max = if missing > 0 { Some(Quantile::Beyond) } else { at(40.0) };
    Quantiles {
        count: 200_000,
        missing,
        mean: Some(base * 1.2),
        p50: at(1.0),
        p90: at(1.75),
        p99: at(4.0),
        p99_9: at(9.5),
        p99_99: if missing > 0 { Some(Quantile::Beyond) } else { at(22.0) },
        max,
    }
}

fn curve(metric: &str, base: f64, missing: u64) -> Curve {
    let beyond = 1.0 - missing as f64 / 200_000.0;
    let latency = |share: f64| {
        if share > beyond {
            Quantile::Beyond
        } else {
            Quantile::Micros((base * (0.6 - 0.75 * (1.0 - share).max(1e-6).ln()) * 1e3).round() / 1e3)
        }
    };
    let points = shares(200_000).into_iter().map(|share| (share, latency(share)));
    Curve { metric: metric.to_owned(), points: points.collect() }
}

fn timeline(base: f64) -> Vec<TimelineRow> {
    let row = |second: u32| TimelineRow {
        second: f64::from(second),
        phase: if second <= 2 {
            Phase::WarmUp
        } else if second <= 12 {
            Phase::Measure
        } else {
            Phase::Drain
        },
        sent: if second <= 12 { 20_000 } else { 0 },
        delivered: if second <= 12 { 20_000 - u64::from(second % 3) * 37 } else { 0 },
        delivery_time_us_p50: (second <= 12).then(|| base * (1.0 + f64::from(second % 4) / 20.0)),
        delivery_time_us_p99: (second <= 12).then(|| base * (4.0 + f64::from(second % 5) / 4.0)),
        delivery_time_us_max: (second <= 12).then_some(base * 40.0),
        ..TimelineRow::default()
    };
    (1..=14).map(row).collect()
}

/// One trial of a target; base latency and loss grow with its number, so that trial 3 of 5 is the median one.
pub(crate) fn trial(redis: bool, number: u32) -> Trial {
    let base = if redis { 60.0 } else { 110.0 } + 2.0 * f64::from(number);
    let lost = if redis { 38 + u64::from(number) } else { 0 };
    let counts = Counts {
        sent: 200_000,
        acked: Some(200_000),
        delivered: 200_000 - lost,
        expected: 200_000,
        lost,
        acked_lost: (!redis).then_some(0),
        duplicate: Some(0),
        reordered: Some(0),
        disconnects: u64::from(redis),
        ..Counts::default()
    };
    let reason =
        Reason { code: ReasonCode::Hiccups, text: "a sleeper woke 12.0 ms late, threshold 5 ms".to_owned() };
    let verdict = if redis && number == 2 {
        Verdict { grade: Grade::Suspect, reasons: vec![reason] }
    } else {
        Verdict::default()
    };
    let record = TrialRecord {
        scenario: "redis-vs-jetstream".to_owned(),
        target: if redis { "redis-8" } else { "nats-2.11" }.to_owned(),
        driver: if redis { "redis-pubsub" } else { "jetstream" }.to_owned(),
        client: if redis { "wire" } else { "library" }.to_owned(),
        payload_bytes: 1_024,
        publishers: 100,
        subscribers: 100,
        trial: number,
        verdict,
        guarantee: if redis { REDIS_PROMISE } else { NATS_PROMISE }.to_owned(),
        offered_per_s: Some(20_000.0),
        publishes_per_s: Some(20_000.0 - f64::from(number)),
        deliveries_per_s: Some((200_000 - lost) as f64 / 10.0),
        bytes_per_s: Some((200_000 - lost) as f64 * 102.4),
        counts,
        latencies: Latencies {
            delivery_time: Some(quantiles(base, lost)),
            transit_time: Some(quantiles(base * 0.9, lost)),
            service_time: Some(quantiles(base * 0.5, 0)),
            pacer_lag: Some(quantiles(8.0, 0)),
            ..Latencies::default()
        },
        resources: Resources {
            broker_cpu_us_per_message: Some(base / 20.0),
            harness_cpu_us_per_message: Some(1.9),
            broker_rss_bytes_max: Some(12_900_000 + u64::from(number)),
            ..Resources::default()
        },
        started_at: format!("2026-11-24T12:0{number}:00Z"),
        seconds: 10.0,
        timeline: timeline(base),
        slowest: vec![SlowMessage {
            publisher: 3,
            lane: 3,
            sequence: 77,
            intended: Some(5_000_000),
            sent: Some(5_010_000),
            received: 9_400_000,
            ..SlowMessage::default()
        }],
        percent_of_ceiling: Some(3.8),
        ..TrialRecord::default()
    };
    Trial { record, curves: vec![curve("delivery_time", base, lost), curve("service_time", base * 0.5, 0)] }
}

/// Every trial of the run, in the order in which a campaign would end them.
pub(crate) fn trials(count: u32) -> Vec<Trial> {
    (1..=count).flat_map(|number| [trial(true, number), trial(false, number)]).collect()
}

/// A finished run of five trials in a folder of its own below `root`.
pub(crate) fn finished(root: &std::path::Path) -> ResultsFolder {
    let mut folder = ResultsFolder::create(root, NOON, manifest(5)).expect("a folder");
    for trial in trials(5) {
        folder.append(trial).expect("room for a trial");
    }
    folder.finish(NOON + 60_000_000_000, false).expect("charts");
    folder
}
