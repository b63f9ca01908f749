//! Every shipped pattern, run as its users run it, on real brokers: it ends, its books close, and what it expects
//! holds. Where a server is missing a pattern is not run, loudly, and never in CI.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test that can't go on fails, and says if it did not run"
)]

use std::path::Path;
use std::process::Command;

use busmark::measure::{AudienceRecord, ReasonCode, TrialRecord};
use busmark::report::ResultsFolder;
use busmark::scenario::{Broker, Scenario, shipped};
use busmark::target::{self, System};

/// The servers that a scenario needs and this machine has not.
fn missing(scenario: &Scenario) -> Vec<&'static str> {
    let systems =
        scenario.targets.iter().flat_map(|target| target.new_system().into_iter().chain([target.clone()]));
    systems
        .filter(|target| matches!(target.broker, Broker::Managed(_)))
        .filter_map(|target| System::of(&target.driver))
        .filter(|system| target::find(*system).is_none())
        .map(System::name)
        .collect()
}

/// Runs a shipped scenario once with some keys set; its trials, or `None` where a server is missing.
fn run(name: &str, sets: &[&str]) -> Option<Vec<TrialRecord>> {
    let dir = tempfile::tempdir().unwrap();
    run_into(dir.path(), name, sets)
}

/// The same, with the results kept in a folder.
fn run_into(dir: &Path, name: &str, sets: &[&str]) -> Option<Vec<TrialRecord>> {
    let missing = missing(&shipped::find(name).unwrap().scenario(&[]).unwrap());
    if !missing.is_empty() {
        assert!(std::env::var_os("CI").is_none(), "no {missing:?} here: type scripts/brokers");
        eprintln!("{name} NOT RUN: no {missing:?} here; type scripts/brokers");
        return None;
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_busmark"));
    command.args(["run", name, "--no-calibration", "--quiet", "--trials", "1", "--out"]).arg(dir);
    sets.iter().for_each(|set| {
        command.args(["--set", set]);
    });
    // Brokers fetched by scripts/brokers are looked for from the working directory on.
    let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    let records = records(dir, &said);
    // A machine that is busy with other tests may keep the pacer waiting, or the rate from being reached: then an
    // expectation cannot be judged, and says so. One that fails is never excused.
    let late = |record: &TrialRecord| {
        let busy = [ReasonCode::PacerLag, ReasonCode::RateNotReached];
        record.verdict.reasons.iter().any(|reason| busy.contains(&reason.code))
    };
    let excused = output.status.code() == Some(3) && records.iter().any(late);
    assert!(output.status.code() == Some(0) || excused, "{name}: {:?}\n{said}", output.status.code());
    Some(records)
}

fn records(out: &Path, said: &str) -> Vec<TrialRecord> {
    let loaded = ResultsFolder::open(&out.join("latest")).unwrap_or_else(|error| panic!("{error}\n{said}"));
    let records: Vec<TrialRecord> = loaded.trials.into_iter().map(|trial| trial.record).collect();
    for record in &records {
        let counts = &record.counts;
        assert!(counts.books.close(counts.sent, counts.expected), "{}: {counts:?}", record.target);
        assert!(counts.sent > 0 && counts.unidentified == 0, "{}: {counts:?}\n{said}", record.target);
    }
    records
}

#[test]
fn a_closed_loop_of_messages_without_a_stamp_waits_for_nobody_in_vain() {
    let shape = ["publishers=4", "publisher_connections=4", "subscribers=4", "topics=2", "subscribe=paired"];
    let shape = shape.map(|key| format!("workload.{key}"));
    let mut sets: Vec<&str> = vec!["workload.payload=1B", "workload.rate=max", "phases.measure=2s"];
    sets.extend(shape.iter().map(String::as_str));
    for name in ["drivers/redis-pubsub", "drivers/nats-core"] {
        let Some(records) = run(name, &sets) else { return };
        for record in &records {
            let forgiven = record.notes.iter().find(|note| note.contains("window credit came back"));
            assert_eq!(forgiven, None, "{}: {:?}", record.target, record.counts);
        }
    }
}

#[test]
fn sizes_of_every_kind_reach_every_system() {
    for name in ["payload-mix", "payload-range", "payload-lognormal"] {
        let Some(records) = run(&format!("patterns/{name}"), &["phases.measure=2s"]) else { return };
        for record in &records {
            let mean = record.bytes_per_s.unwrap() / record.deliveries_per_s.unwrap();
            assert!(
                mean > 300.0 && mean < record.payload_bytes as f64 / 1.5,
                "{name}: {mean} bytes a delivery"
            );
        }
    }
}

#[test]
fn few_topics_carry_most_of_the_traffic_and_nothing_is_lost() {
    for name in ["topic-skew", "topic-uniform"] {
        let Some(records) = run(&format!("patterns/{name}"), &["phases.measure=2s"]) else { return };
        assert!(records.iter().all(|record| record.counts.lost == 0), "{name}");
    }
}

#[test]
fn by_pattern_every_system_that_knows_patterns_delivers_everything() {
    let Some(records) = run("patterns/wildcards", &["phases.measure=2s"]) else { return };
    for record in &records {
        let counts = &record.counts;
        assert!(counts.delivered == counts.expected && counts.expected == 5 * counts.sent, "{counts:?}");
    }
}

#[test]
fn each_audience_is_accounted_for_by_itself() {
    let Some(records) = run("patterns/audiences", &[]) else { return };
    for record in &records {
        let (counts, target) = (&record.counts, record.target.as_str());
        let names: Vec<&str> = record.audiences.iter().map(|audience| audience.name.as_str()).collect();
        assert_eq!(names, ["dashboards", "billing", "mail", "newcomer"]);
        let sum = |of: fn(&AudienceRecord) -> u64| record.audiences.iter().map(of).sum::<u64>();
        assert_eq!((sum(|one| one.expected), sum(|one| one.delivered)), (counts.expected, counts.delivered));
        assert_eq!(sum(|one| one.missing), counts.lost + counts.pending_at_deadline, "{target}: {counts:?}");
        for audience in &record.audiences {
            let copies = if audience.name == "dashboards" { 2 } else { 1 };
            assert_eq!(audience.expected, copies * counts.sent, "{target}: {audience:?}");
            assert_eq!(audience.reordered.is_none(), audience.work_queue, "{target}: {audience:?}");
            let missed = audience.name == "newcomer" && target == "nats";
            assert_eq!(audience.missing > 0, missed, "{target}: {audience:?}");
            assert_eq!(audience.missing, audience.missing_away, "{target}: {audience:?}");
        }
        // One second of four.
        let newcomer = &record.audiences[3];
        let share = newcomer.missing as f64 / newcomer.expected as f64;
        assert!(target != "nats" || (share - 0.25).abs() < 0.05, "{newcomer:?}");
    }
}

#[test]
fn every_shape_is_offered_as_it_is_written() {
    // Messages that the measured phase of each pattern asks for.
    for (name, asked) in [
        ("spike", 2000.0 * (4.0 + 9.0 * 0.5)),
        ("ramp", 1000.0 * (0.5 + 3.0 * 4.5 + 0.5 * 8.0)),
        ("steps", 2000.0 * 7.0),
        ("replay", 500.0 + 1500.0 + 4000.0 + 3000.0 + 200.0),
        ("bursts", 20_000.0),
    ] {
        let Some(records) = run(&format!("patterns/{name}"), &[]) else { return };
        for record in &records {
            let sent = record.counts.sent as f64;
            assert!((sent - asked).abs() <= 200.0, "{name}: {sent} sent of {asked} asked for");
        }
    }
    let Some(records) = run("patterns/sine", &[]) else { return };
    // Poisson: the number sent spreads by its root.
    assert!(
        (records[0].counts.sent as f64 - 16_000.0).abs() < 5.0 * 16_000f64.sqrt(),
        "{:?}",
        records[0].counts
    );
    let rates: Vec<f64> = records[0].timeline.iter().filter_map(|row| row.offered_per_s).collect();
    assert!(rates.iter().any(|rate| *rate > 5000.0) && rates.iter().any(|rate| *rate < 3000.0), "{rates:?}");
}

#[test]
fn a_sweep_measures_every_point_of_every_target() {
    let Some(records) = run("patterns/sweep", &["phases.measure=500ms", "phases.warm_up=200ms"]) else {
        return;
    };
    let mut points: Vec<(&str, &str)> =
        records.iter().map(|record| (record.target.as_str(), record.point.as_str())).collect();
    points.sort_unstable();
    points.dedup();
    assert_eq!((records.len(), points.len()), (16, 16), "{points:?}");
}

#[test]
fn all_systems_stand_in_one_table_and_unlike_promises_are_marked() {
    let dir = tempfile::tempdir().unwrap();
    let small = ["workload.rate=2k/s", "phases.measure=1s", "phases.warm_up=500ms"];
    let Some(records) = run_into(dir.path(), "systems", &small) else { return };
    let names = ["redis", "valkey", "redis-streams", "nats-core", "jetstream-r1", "bundled"];
    for name in names {
        let counts = &of(&records, name).counts;
        assert!(counts.delivered == counts.expected && counts.lost == 0, "{name}: {counts:?}");
    }
    let article = Command::new(env!("CARGO_BIN_EXE_busmark"))
        .args(["report", "--format", "article"])
        .arg(dir.path().join("latest"))
        .output()
        .unwrap();
    let article = String::from_utf8_lossy(&article.stdout).into_owned();
    for name in names {
        let row = article.lines().find(|line| line.starts_with(&format!("| {name} |"))).unwrap_or_default();
        assert!(row.contains("(not alike)") && row.contains("212 USD"), "{name}: {row}\n{article}");
    }
    assert!(article.contains("**Not alike:**"), "{article}");
}

#[test]
fn ten_thousand_publishers_share_eight_connections() {
    let Some(records) = run("patterns/many-publishers", &["workload.rate=20k/s", "phases.measure=2s"]) else {
        return;
    };
    for record in &records {
        let counts = &record.counts;
        assert_eq!((record.publishers, counts.sent, counts.lost), (10_000, 40_000, 0), "{counts:?}");
        assert!(record.latencies.send_lag.is_some() && record.latencies.pacer_lag.is_some());
    }
}

#[test]
fn the_scenarios_for_ci_hold() {
    for name in ["ci/smoke", "ci/redis-loss"] {
        let _not_here = run(name, &[]);
    }
}

fn of<'a>(records: &'a [TrialRecord], target: &str) -> &'a TrialRecord {
    records.iter().find(|record| record.target == target).unwrap()
}

#[test]
fn a_late_subscriber_misses_what_came_before_it_on_pub_sub_and_nothing_on_a_stream() {
    let Some(records) = run("patterns/late-join", &[]) else { return };
    let counts = &of(&records, "redis").counts;
    // 2 s of 2,000 messages a second, to one of two subscribers.
    assert!((3900..=4300).contains(&counts.lost_away), "{counts:?}");
    assert_eq!((counts.lost, counts.lost_prefix), (counts.lost_away, counts.lost_away), "{counts:?}");
    let counts = &of(&records, "jetstream").counts;
    assert_eq!((counts.lost, counts.lost_away, counts.delivered), (0, 0, 16_000), "{counts:?}");
}

#[test]
fn a_subscriber_that_comes_back_misses_the_middle_on_nats_core_and_nothing_on_a_stream() {
    let Some(records) = run("patterns/leave-rejoin", &[]) else { return };
    let counts = &of(&records, "nats").counts;
    assert!((1900..=2300).contains(&counts.lost_away), "{counts:?}");
    // What was on its way when it left is lost too, and was sent while it was there.
    assert!(counts.lost - counts.lost_away < 100 && counts.lost_middle == counts.lost, "{counts:?}");
    assert_eq!(of(&records, "jetstream").counts.lost, 0);
}

#[test]
fn a_backlog_is_seen_to_build_up_and_to_drain() {
    let Some(records) = run("patterns/backlog", &[]) else { return };
    for record in &records {
        let backlog = record.backlog.unwrap();
        assert!((3500..=4800).contains(&backlog.deliveries), "{}: {backlog:?}", record.target);
        assert!((2.7..3.6).contains(&backlog.at_s), "{}: {backlog:?}", record.target);
        assert!(backlog.drain_s.unwrap() < 3.0, "{}: {backlog:?}", record.target);
        assert!(backlog.drain_per_s.unwrap() > 2000.0, "{}: {backlog:?}", record.target);
    }
}

#[test]
fn work_that_a_member_left_undone_is_claimed_where_the_scenario_wants_that() {
    let Some(records) = run("patterns/claims", &[]) else { return };
    let (claimed, left) = (of(&records, "claimed"), of(&records, "left"));
    assert_eq!((claimed.counts.lost, claimed.counts.delivered), (0, claimed.counts.expected));
    assert!(claimed.notes.iter().any(|note| note.contains("were claimed")), "{:?}", claimed.notes);
    assert_eq!(left.counts.delivered + left.counts.pending_at_deadline, left.counts.expected);
    assert!(left.notes.iter().all(|note| !note.contains("claimed")), "{:?}", left.notes);
    assert_eq!(left.counts.redelivered, 0, "{:?}", left.counts);
}

#[test]
fn slow_messages_and_churning_connections_are_accounted_for() {
    let Some(records) = run("patterns/slow-subscriber", &[]) else { return };
    assert!(records.iter().all(|record| record.counts.lost == 0));
    let Some(records) = run("patterns/churn", &[]) else { return };
    let counts = &of(&records, "nats").counts;
    // Twenty times a subscriber is away for a tenth of a second.
    assert!((2000..=8000).contains(&counts.lost_away), "{counts:?}");
    assert_eq!(counts.disconnects, 0, "to leave is no disconnect: {counts:?}");
    assert_eq!(of(&records, "jetstream").counts.lost, 0);
}

#[test]
fn events_take_effect_and_their_outage_is_measured() {
    let Some(records) = run("patterns/pause", &[]) else { return };
    for record in &records {
        assert!(record.events.iter().all(|event| event.failure.is_none()), "{:?}", record.events);
        assert_eq!(record.events.len(), 2, "{:?}", record.events);
        let outage = record.outage.unwrap();
        assert!((0.55..1.5).contains(&outage.seconds), "{}: {outage:?}", record.target);
        assert!((1.3..1.7).contains(&outage.from_s), "{}: {outage:?}", record.target);
    }
    let Some(records) = run("patterns/kill", &[]) else { return };
    let record = &records[0];
    assert_eq!(record.events[0].what, "kill node 0");
    assert!(record.outage.unwrap().seconds > 1.5, "{:?}", record.outage);
    assert!(record.counts.disconnects >= 4, "{:?}", record.counts);
    assert!(record.counts.delivered > 5000, "what came before stays: {:?}", record.counts);
}

#[test]
fn a_stream_whose_leader_is_killed_has_an_outage_and_loses_nothing_it_had_acknowledged() {
    let Some(records) = run("patterns/leader-kill", &[]) else { return };
    let (record, counts) = (&records[0], &records[0].counts);
    let event = &record.events[0];
    assert!(event.failure.is_none() && event.what.ends_with(", the leader"), "{event:?}");
    assert_eq!(counts.acked_lost, Some(0), "{counts:?}");
    // While nobody leads, the servers answer a publisher that nobody is there: that is a refusal, and no silence.
    let outage = record.outage.unwrap();
    assert!((0.5..16.0).contains(&outage.seconds), "{outage:?}");
    assert!((outage.from_s - event.began_s).abs() < 1.0, "{outage:?} {event:?}");
    assert!(counts.disconnects > 0, "those connected to the leader lost their connection: {counts:?}");
    assert!(counts.delivered > counts.expected / 2, "{counts:?} {:?}", record.notes);
    eprintln!(
        "leader killed: outage {:.1} s, rejected {}, unknown {}, redelivered {}, acked loss {:?}",
        outage.seconds, counts.rejected, counts.unknown, counts.redelivered, counts.acked_lost
    );
}

#[test]
fn clients_of_a_dead_master_go_on_at_another_and_sharded_topics_of_its_slots_are_refused() {
    let Some(records) = run("patterns/master-kill", &[]) else { return };
    assert!(records.iter().all(|record| record.events[0].failure.is_none()));
    let classic = of(&records, "classic");
    let outage = classic.outage.unwrap();
    assert!((0.004..3.0).contains(&outage.seconds), "they connect to another node: {outage:?}");
    assert!(classic.counts.disconnects > 0 && classic.counts.lost_away > 0, "{:?}", classic.counts);
    assert!(classic.counts.delivered > classic.counts.expected * 7 / 10, "{:?}", classic.counts);
    let sharded = of(&records, "sharded");
    assert!(sharded.outage.unwrap().seconds > 4.0, "its topics stay away: {:?}", sharded.outage);
    assert!(sharded.counts.rejected > 0, "{:?}", sharded.counts);
    assert!(sharded.notes.iter().any(|note| note.contains("publishing sockets to a node broke")));
}

#[test]
fn clients_find_a_restarted_broker_again_and_a_stream_loses_nothing_it_had_acknowledged() {
    let Some(records) = run("patterns/restart", &[]) else { return };
    for record in &records {
        let counts = &record.counts;
        let outage = record.outage.unwrap();
        assert!((0.5..3.0).contains(&outage.seconds), "{}: {outage:?}", record.target);
        assert!(counts.disconnects >= 4, "both sides lost their connections: {counts:?}");
        assert_eq!(counts.sent, 10_000, "all are offered, late if need be: {counts:?}");
        assert!(counts.delivered > 14_000, "{}: {counts:?}", record.target);
    }
    assert_eq!(of(&records, "jetstream").counts.acked_lost, Some(0));
}

#[test]
fn redis_cuts_a_subscriber_that_stops_reading_at_its_limit_and_later_with_a_higher_one() {
    let Some(records) = run("patterns/stopped-subscriber", &[]) else { return };
    let (cut, kept) = (of(&records, "redis"), of(&records, "redis-256mb"));
    let reason = cut.notes.iter().any(|note| note.contains("client-output-buffer-limit"));
    assert!(cut.counts.disconnects == 1 && reason, "{:?}", cut.notes);
    let counter = |change: &&busmark::measure::CounterChange| {
        change.name == "client_output_buffer_limit_disconnections" && change.after == change.before + 1
    };
    assert_eq!(cut.server_counters.iter().filter(counter).count(), 1, "{:?}", cut.server_counters);
    // 32 MiB of 1 KiB messages and a few MiB in sockets were in its buffer when it was cut, 1 s of traffic read before.
    let reached = cut.counts.delivered - cut.counts.expected / 2;
    assert!(cut.counts.lost > 30_000 && cut.counts.lost_tail == cut.counts.lost, "{:?}", cut.counts);
    assert!((4_000..20_000).contains(&reached), "what it had read, and what its socket held: {reached}");
    let peak = cut.resources.broker_rss_bytes_max.unwrap();
    assert!((32 << 20..64 << 20).contains(&peak), "{peak} bytes at most");
    assert_eq!((kept.counts.disconnects, kept.counts.lost), (0, 0), "{:?}", kept.counts);
    assert!(kept.resources.broker_rss_bytes_max.unwrap() > peak);
}

#[test]
fn jetstream_with_ordered_consumers_loses_nothing() {
    let Some(records) = run("drivers/jetstream-ordered", &["phases.measure=1s", "phases.warm_up=500ms"])
    else {
        return;
    };
    for record in &records {
        let counts = &record.counts;
        assert_eq!(
            (counts.delivered, counts.duplicate, counts.reordered),
            (counts.expected, Some(0), Some(0))
        );
    }
}

#[test]
fn subscribers_that_move_once_both_systems_are_written_to_lose_nothing_and_every_second_copy_is_counted() {
    let Some(records) = run("patterns/dual-write", &[]) else { return };
    for record in &records {
        let counts = &record.counts;
        assert_eq!(
            (counts.lost, counts.unknown, counts.rejected),
            (0, 0, 0),
            "{}: {counts:?}",
            record.target
        );
        assert_eq!((counts.delivered, counts.reordered), (counts.expected, Some(0)), "{}", record.target);
        // 500 messages a second and subscriber were in both systems: for 1 s, for 2 s, and twice for 3 s.
        let twice = counts.duplicate.unwrap();
        assert!((4_200..4_800).contains(&twice), "{}: {counts:?}", record.target);
        let done: Vec<&str> = record.events.iter().map(|event| event.what.as_str()).collect();
        let moves = ["move subscribers 0 to 0", "move subscribers 1 to 1", "move subscribers 2 to 3"];
        assert_eq!(done, [&["write to both systems"][..], &moves].concat());
    }
}

#[test]
fn subscribers_that_move_before_their_stream_exists_lose_what_was_sent_until_then() {
    let Some(records) = run("patterns/dual-write-early", &[]) else { return };
    for record in &records {
        let counts = &record.counts;
        // 2,000 messages a second for a second, and nothing else; the old system's streams still hold them.
        assert!((1_900..2_150).contains(&counts.lost), "{}: {counts:?}", record.target);
        assert_eq!((counts.unknown, counts.pending_at_deadline), (0, 0), "{}: {counts:?}", record.target);
        assert_eq!(counts.delivered + counts.lost, counts.expected, "{}: {counts:?}", record.target);
        // What Pub/Sub had sent and nobody had read when the connection was closed went down with it.
        assert!(counts.lost - counts.lost_away <= 4, "{}: {counts:?}", record.target);
        assert!(record.notes.iter().any(|note| note.contains("nothing to subscribe to yet")));
    }
}
