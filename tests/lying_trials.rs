//! A whole trial against servers that lie: the books say exactly what the server did, lie by lie.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

mod peers {
    pub(crate) mod eager;
    pub(crate) mod lies;
    pub(crate) mod lying_nats;
    pub(crate) mod lying_resp;
}

use busmark::driver::Driver;
use busmark::driver::loopback::Loopback;
use busmark::driver::nats;
use busmark::driver::redis_pubsub::{LibraryClient, WireClient};
use busmark::measure::TrialRecord;
use busmark::scenario::{DriverConfig, Scenario};
use busmark::target::Broker;
use busmark::trial::{self, TrialPlan};
use peers::eager::Eager;
use peers::lies::{Lied, Lies};
use peers::lying_nats::LyingNats;
use peers::lying_resp::LyingResp;

const MESSAGES: u64 = 20_000;

/// Four publishers on four topics, all read by one subscriber.
fn scenario() -> Scenario {
    let text = format!(
        "name = \"lies\"\n[workload]\npayload = \"64B\"\npublishers = 4\npublisher_connections = 1\nsubscribers = 1\n\
         topics = 4\nrate = \"20k/s\"\n[phases]\nwarm_up = \"0s\"\nmeasure = {{ messages = {MESSAGES} }}\ndrain = \"2s\"\n\
         [trials]\ncount = 1\n[[target]]\nname = \"liar\"\ndriver = \"loopback\"\n"
    );
    Scenario::parse(&text, "lies", &[]).unwrap()
}

/// Drives a trial through `driver`, whatever target the scenario names.
fn run(driver: &impl Driver) -> TrialRecord {
    let scenario = scenario();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut broker = runtime.block_on(Broker::start(&scenario.targets[0])).unwrap();
    let plan = TrialPlan {
        scenario: &scenario,
        point: "",
        target: &scenario.targets[0],
        trial: 1,
        seed: 5,
        unlike: None,
    };
    trial::run_on(&runtime, driver, &plan, &mut broker, &mut |_| true).unwrap().record
}

fn lies() -> Lies {
    Lies {
        seed: 11,
        drop: 0.01,
        duplicate: 0.02,
        swap: 0.03,
        corrupt: 0.02,
        corrupt_from: 32,
        misroute: 0.01,
        topics: 4,
        stale: 0.01,
        old_payload: vec![7; 64],
        ..Lies::default()
    }
}

fn assert_told(record: &TrialRecord, lied: Lied) {
    let counts = &record.counts;
    assert!(lied.dropped > 0 && lied.duplicated > 0 && lied.swapped > 0 && lied.corrupted > 0, "{lied:?}");
    assert!(counts.books.close(counts.sent, counts.expected), "{counts:?}");
    assert_eq!((counts.sent, counts.expected), (MESSAGES, MESSAGES));
    assert_eq!(counts.lost, lied.dropped + lied.misrouted, "what went elsewhere is lost here");
    assert_eq!(counts.corrupt, lied.corrupted);
    assert_eq!(counts.duplicate, Some(lied.duplicated));
    assert_eq!(counts.reordered, Some(lied.swapped));
    assert_eq!(counts.unidentified, lied.misrouted + lied.stale, "what came from elsewhere, or from before");
    assert_eq!(counts.delivered, MESSAGES - lied.dropped - lied.misrouted - lied.corrupted);
}

#[test]
fn the_books_of_the_redis_wire_client_say_what_the_server_did() {
    let liar = LyingResp::start(lies());
    let record = run(&WireClient::new(&liar.url).unwrap());
    assert_told(&record, liar.lied());
}

#[test]
fn the_books_of_the_redis_library_client_say_what_the_server_did() {
    let liar = LyingResp::start(lies());
    let record = run(&LibraryClient::new(&liar.url).unwrap());
    assert_told(&record, liar.lied());
}

#[test]
fn the_books_of_the_nats_wire_client_say_what_the_server_did() {
    let liar = LyingNats::start(lies());
    let record = run(&nats::wire::NatsCore::new(&liar.url).unwrap());
    assert_told(&record, liar.lied());
}

#[test]
fn the_books_of_the_nats_library_client_say_what_the_server_did() {
    let liar = LyingNats::start(lies());
    let record = run(&nats::library::NatsCore::new(&liar.url));
    assert_told(&record, liar.lied());
}

#[test]
fn half_a_frame_and_a_cut_are_a_disconnect_and_a_loss_not_a_message() {
    let liar = LyingResp::start(Lies { cut_at: Some(5000), in_halves: true, ..Lies::default() });
    let record = run(&WireClient::new(&liar.url).unwrap());
    let counts = &record.counts;
    assert!(counts.disconnects >= 1, "{counts:?}");
    assert_eq!((counts.delivered, counts.corrupt, counts.unidentified), (4999, 0, 0));
    assert_eq!(counts.lost, counts.sent - 4999, "{counts:?} {:?}", record.notes);
    assert_eq!(counts.lost_tail, counts.lost);
}

#[test]
fn messages_that_arrive_before_they_are_handed_over_in_whole_are_no_loss() {
    let DriverConfig::Loopback(options) = scenario().targets[0].driver.clone() else { panic!("no loopback") };
    let record = run(&Eager::new(Loopback::new(options, 0)));
    let counts = &record.counts;
    assert!(counts.books.close(counts.sent, counts.expected), "{counts:?}");
    assert_eq!((counts.sent, counts.acked, counts.delivered), (MESSAGES, Some(MESSAGES), MESSAGES));
    assert_eq!((counts.lost, counts.unidentified), (0, 0), "{counts:?}");
}
