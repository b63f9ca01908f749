//! What the books say equals what was injected, to the message. `BUSMARK_MESSAGES` sets the size of the two
//! large tests (default 200,000 messages; docs/METHOD.md was written with 10,000,000).

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use busmark::clock::Clock;
use busmark::driver::loopback::Loopback;
use busmark::measure::TrialRecord;
use busmark::scenario::{DriverConfig, Scenario};
use busmark::target::Broker;
use busmark::trial::{self, TrialPlan};

fn messages() -> u64 {
    std::env::var("BUSMARK_MESSAGES")
        .map_or(200_000, |text| text.parse().expect("BUSMARK_MESSAGES is a number"))
}

/// Runs one trial of a scenario with a loopback target; gives its record and the bus.
fn run(text: &str) -> (TrialRecord, Loopback) {
    let scenario = Scenario::parse(text, "exactness", &[]).unwrap();
    let target = &scenario.targets[0];
    let DriverConfig::Loopback(options) = &target.driver else { panic!("not a loopback scenario") };
    let bus = Loopback::new(options.clone(), 7);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut broker = runtime.block_on(Broker::start(target)).unwrap();
    let plan = TrialPlan { scenario: &scenario, point: "", target, trial: 1, seed: 7, unlike: None };
    let outcome = trial::run_on(&runtime, &bus, &plan, &mut broker, &mut |_| true).unwrap();
    (outcome.record, bus)
}

fn scenario(workload: &str, phases: &str, options: &str) -> String {
    format!(
        "name = \"exactness\"\n[workload]\n{workload}\n[phases]\nwarm_up = \"0s\"\n{phases}\n[trials]\ncount = 1\n\
         [[target]]\nname = \"bus\"\ndriver = \"loopback\"\noptions = {{ {options} }}\n"
    )
}

const FAULTS: &str = "drop = 0.001, duplicate = 0.002, reorder = 0.003, corrupt = 0.004";

fn sixteen_by_sixteen(delivery: &str) -> String {
    let workload = format!(
        "payload = \"64B\"\npublishers = 16\npublisher_connections = 16\nsubscribers = 16\n\
         subscriber_connections = 16\ntopics = 1\ndelivery = \"{delivery}\"\nrate = \"max\"\nin_flight = 16000"
    );
    scenario(&workload, &format!("measure = {{ messages = {} }}\ndrain = \"10s\"", messages()), FAULTS)
}

fn assert_books_close(record: &TrialRecord) {
    let counts = &record.counts;
    assert!(counts.books.close(counts.sent, counts.expected), "{counts:?}");
    assert_eq!(counts.beyond_window, 0);
    assert_eq!(counts.unidentified, 0);
}

#[test]
fn fan_out_of_16_to_16_loses_repeats_swaps_and_damages_exactly_what_was_injected() {
    let (record, bus) = run(&sixteen_by_sixteen("fan_out"));
    let (counts, injected) = (&record.counts, bus.injected());
    assert_books_close(&record);
    assert_eq!(counts.sent, messages());
    assert_eq!(counts.expected, messages() * 16);
    assert!(
        injected.dropped > 0 && injected.duplicated > 0 && injected.reordered > 0 && injected.corrupted > 0
    );
    assert_eq!(counts.lost, injected.dropped);
    assert_eq!(counts.duplicate, Some(injected.duplicated));
    assert_eq!(counts.reordered, Some(injected.reordered));
    assert_eq!(counts.corrupt, injected.corrupted);
    assert_eq!(counts.delivered, counts.expected - injected.dropped - injected.corrupted);
}

#[test]
fn a_work_queue_of_16_and_16_is_accounted_for_as_exactly() {
    let (record, bus) = run(&sixteen_by_sixteen("work_queue"));
    let (counts, injected) = (&record.counts, bus.injected());
    assert_books_close(&record);
    assert_eq!((counts.sent, counts.expected), (messages(), messages()));
    assert!(injected.dropped > 0 && injected.duplicated > 0 && injected.corrupted > 0);
    assert_eq!(counts.lost, injected.dropped);
    assert_eq!(counts.duplicate, Some(injected.duplicated));
    assert_eq!(counts.reordered, None, "order is not judged for a work queue");
    assert_eq!(counts.corrupt, injected.corrupted);
}

#[test]
fn a_stall_of_400_ms_shows_in_the_delivery_time_and_costs_no_message() {
    let workload = "payload = \"64B\"\nrate = \"1000/s\"";
    let stall = "stall_at = \"2s\", stall_for = \"400ms\"";
    let (record, _) = run(&scenario(workload, "measure = \"10s\"\ndrain = \"2s\"", stall));
    assert_eq!(record.counts.sent, 10_000);
    assert_eq!(record.counts.lost, 0);
    let p99 = record.latencies.delivery_time.unwrap().p99.expect("10,000 messages are enough for p99");
    assert!(p99.micros() >= 100_000.0, "p99 {p99} µs hides a stall of 400 ms in 10 s");
    let p50 = record.latencies.delivery_time.unwrap().p50.unwrap();
    assert!(p50.micros() < 100_000.0, "p50 {p50} µs");
    assert_eq!(record.slowest.len(), 100);
    for message in &record.slowest {
        let (intended, woken, sent) = (message.intended, message.woken, message.sent);
        assert!(intended <= woken && woken <= sent && sent.is_some(), "{message:?}");
        assert!(woken.is_some() && message.received >= sent.unwrap(), "{message:?}");
    }
}

#[test]
fn what_never_came_ranks_as_infinitely_late() {
    let workload = "payload = \"64B\"\nrate = \"20k/s\"";
    let (record, _) = run(&scenario(workload, "measure = \"2s\"\ndrain = \"1s\"", "drop = 0.4"));
    let delivery = record.latencies.delivery_time.unwrap();
    assert!(delivery.p50.unwrap().micros().is_finite());
    assert!(delivery.p90.unwrap().micros().is_infinite(), "40 % are lost, so p90 is beyond everything");
    let transit = record.latencies.transit_time.unwrap();
    assert!(transit.p90.unwrap().micros().is_finite(), "transit time is of what did come");
}

#[test]
fn payloads_too_short_for_a_stamp_are_still_counted() {
    for size in ["0B", "1B", "15B"] {
        let workload = format!("payload = \"{size}\"\nrate = \"5k/s\"\nsubscribers = 2");
        let (record, _) = run(&scenario(&workload, "measure = \"1s\"\ndrain = \"1s\"", ""));
        let counts = &record.counts;
        assert_eq!((counts.sent, counts.delivered, counts.lost), (5000, 10_000, 0), "{size}");
        assert_eq!((counts.duplicate, counts.reordered), (None, None), "{size}");
        assert!(record.latencies.delivery_time.is_none(), "{size}");
    }
}

#[test]
fn ten_thousand_publishers_on_eight_connections_each_send_their_share() {
    let workload =
        "payload = \"32B\"\npublishers = 10000\npublisher_connections = 8\ntopics = 100\nrate = \"50k/s\"";
    let (record, _) = run(&scenario(workload, "measure = \"1s\"\ndrain = \"2s\"", ""));
    assert_books_close(&record);
    assert_eq!((record.counts.sent, record.counts.lost, record.counts.reordered), (50_000, 0, Some(0)));
}

#[test]
fn a_trial_ends_in_time_when_the_bus_stalls_for_longer_than_the_drain() {
    let clock = Clock::real();
    let workload = "payload = \"64B\"\nrate = \"1000/s\"";
    let stall = "stall_at = \"500ms\", stall_for = \"1h\"";
    let (record, _) = run(&scenario(workload, "measure = \"1s\"\ndrain = \"500ms\"", stall));
    assert!(clock.now() < 20_000_000_000, "it took {} ns", clock.now());
    assert!(record.counts.delivered > 0 && record.counts.delivered < record.counts.sent);
    assert_books_close(&record);
}

#[test]
fn a_closed_loop_that_nobody_reads_goes_as_fast_as_it_is_answered() {
    let workload = "payload = \"16B\"\nrate = \"max\"\nsubscribers = 0\nin_flight = 1000000";
    let (record, _) = run(&scenario(workload, "measure = { messages = 300000 }\ndrain = \"2s\"", ""));
    assert_eq!((record.counts.sent, record.counts.expected, record.counts.unknown), (300_000, 0, 0));
    assert_books_close(&record);
}

#[test]
fn sizes_and_topics_of_every_kind_are_accounted_for_as_exactly() {
    let payloads = [
        "{ lognormal = \"200B\", sigma = 1.0, min = \"40B\", max = \"4KiB\" }",
        "{ weighted = [{ size = \"48B\", weight = 3 }, { size = \"2KiB\", weight = 1 }] }",
        "{ from = \"40B\", to = \"90B\" }",
    ];
    for (payload, choice) in payloads.iter().zip(["{ zipf = 1.2 }", "\"uniform\"", "\"round_robin\""]) {
        let workload = format!(
            "payload = {payload}\ntopic_choice = {choice}\nfill = {{ pool = 5, repeat = 3 }}\npublishers = 4\n\
             publisher_connections = 4\nsubscribers = 12\nsubscriber_connections = 12\ntopics = 6\n\
             subscribe = \"paired\"\nrate = \"40k/s\"\nshape = {{ spike = 3, after = \"300ms\", over = \"300ms\" }}\n\
             arrival = {{ burst = 20 }}"
        );
        let (record, bus) = run(&scenario(&workload, "measure = \"1s\"\ndrain = \"5s\"", FAULTS));
        let (counts, injected) = (&record.counts, bus.injected());
        assert_books_close(&record);
        assert_eq!(
            (counts.sent, counts.expected),
            (64_000, 128_000),
            "{choice}: 0.7 s at 40k/s and 0.3 s at 120k/s"
        );
        assert!(injected.dropped > 0 && injected.duplicated > 0 && injected.corrupted > 0);
        assert_eq!(counts.lost, injected.dropped, "{choice}");
        assert_eq!(counts.duplicate, Some(injected.duplicated), "{choice}");
        assert_eq!(counts.reordered, Some(injected.reordered), "{choice}");
        assert_eq!(counts.corrupt, injected.corrupted, "{choice}");
        let offered = record.offered_per_s.unwrap();
        assert!((offered - 64_000.0).abs() < 1e-6, "offered {offered}/s");
        let mean_bytes = record.bytes_per_s.unwrap() / record.deliveries_per_s.unwrap();
        assert!((40.0..2048.0).contains(&mean_bytes), "{choice}: {mean_bytes} bytes a delivery");
    }
}

#[test]
fn what_a_late_subscriber_missed_is_exactly_what_was_sent_before_it_was_there() {
    let workload = "payload = \"64B\"\npublishers = 4\npublisher_connections = 4\nsubscribers = 4\n\
                    subscriber_connections = 4\nrate = \"10k/s\"";
    let text = scenario(workload, "measure = \"1s\"\ndrain = \"500ms\"", "");
    let (record, _) = run(&format!("{text}[[behaviour]]\nfirst = 2\ncount = 2\njoin = \"300ms\"\n"));
    let counts = &record.counts;
    assert_books_close(&record);
    assert_eq!((counts.sent, counts.expected), (10_000, 40_000));
    assert!((5_500..9_000).contains(&counts.lost_away), "two of four missed 300 ms: {counts:?}");
    assert_eq!((counts.lost, counts.lost_prefix), (counts.lost_away, counts.lost_away), "{counts:?}");
    assert_eq!(counts.delivered + counts.lost, counts.expected);
    assert_eq!((counts.disconnects, counts.duplicate), (0, Some(0)));
}

#[test]
fn a_subscriber_that_stops_reading_gets_everything_later() {
    let workload = "payload = \"64B\"\nsubscribers = 2\nsubscriber_connections = 2\nrate = \"2k/s\"";
    let text = scenario(workload, "measure = \"1s\"\ndrain = \"2s\"", "");
    let behaviour = "[[behaviour]]\nfirst = 1\nstop_reading = \"200ms\"\nread_again = \"700ms\"\n";
    let (record, _) = run(&format!("{text}{behaviour}"));
    assert_books_close(&record);
    assert_eq!((record.counts.lost, record.counts.delivered), (0, 4_000));
    let (backlog, outage) = (record.backlog.unwrap(), record.outage.unwrap());
    assert!(backlog.deliveries >= 900 && backlog.drain_s.unwrap() < 1.0, "{backlog:?}");
    assert!(outage.seconds >= 0.45 && (0.15..0.4).contains(&outage.from_s), "{outage:?}");
}
