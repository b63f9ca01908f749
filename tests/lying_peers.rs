//! The drivers hand over exactly what a lying server did: they hide nothing, invent nothing, and mend nothing.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod peers {
    pub(crate) mod lies;
    pub(crate) mod lying_nats;
    pub(crate) mod lying_resp;
}

use std::time::Duration;

use busmark::driver::nats;
use busmark::driver::redis_pubsub::{LibraryClient, WireClient};
use busmark::driver::{self, Driver, Enqueued, ErrorKind, Publisher, Subscriber};
use busmark::scenario::{Delivery, Subscribe, TopicId, Topology};
use peers::lies::{Lied, Lies};
use peers::lying_nats::LyingNats;
use peers::lying_resp::LyingResp;
use tokio::time::timeout;

const MESSAGES: u64 = 20_000;
const TOPICS: u32 = 4;
/// Number of the message, then the topic it was sent to.
const PAYLOAD: usize = 40;

/// What arrived at one subscriber, as a naive ledger sees it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    deliveries: u64,
    missing: u64,
    again: u64,
    late: u64,
    corrupt: u64,
    misrouted: u64,
    stale: u64,
}

fn topology(delivery: Delivery) -> Topology {
    Topology {
        publishers: 1,
        publisher_connections: 1,
        subscribers: 1,
        subscriber_connections: 1,
        topics: TOPICS,
        subscribe: Subscribe::All,
        delivery,
        payload_max: PAYLOAD,
        prefix: "bm".to_owned(),
        ..Topology::default()
    }
}

fn payload(number: u64, topic: u32) -> [u8; PAYLOAD] {
    let mut payload = [0; PAYLOAD];
    payload[..8].copy_from_slice(&number.to_be_bytes());
    payload[8..12].copy_from_slice(&topic.to_be_bytes());
    payload
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { timeout(Duration::from_secs(60), future).await.expect("a test never hangs") })
}

/// Publishes through the liar and reads until nothing more comes.
async fn through(driver: &impl Driver, delivery: Delivery) -> Seen {
    let topology = topology(delivery);
    driver.prepare(&topology).await.unwrap();
    let mut subscriber = driver.subscriber(&topology, &topology.subscriptions_on(0)).await.unwrap();
    let mut publisher = driver.publisher(&topology, 0).await.unwrap();
    let mut ledger = Ledger::default();
    let reading = async {
        let quiet = Duration::from_millis(500);
        while let Ok(batch) = timeout(quiet, subscriber.next_batch(&mut |one| ledger.note(&one))).await {
            batch.unwrap();
        }
    };
    tokio::join!(publish(&mut publisher), reading);
    assert_eq!(subscriber.client_drops(), 0);
    ledger.sum_up()
}

async fn publish(publisher: &mut impl Publisher) {
    for number in 0..MESSAGES {
        let topic = (number % u64::from(TOPICS)) as u32;
        let payload = payload(number, topic);
        while publisher.enqueue(TopicId(topic), &payload).unwrap() == Enqueued::Full {
            publisher.flush(&mut |_| ()).await.unwrap();
        }
    }
    publisher.flush(&mut |_| ()).await.unwrap();
}

#[derive(Default)]
struct Ledger {
    seen: Seen,
    times: Vec<u32>,
    newest: [Option<u64>; TOPICS as usize],
}

impl Ledger {
    fn note(&mut self, delivery: &driver::Delivery<'_>) {
        self.seen.deliveries += 1;
        self.times.resize(MESSAGES as usize, 0);
        let number = u64::from_be_bytes(delivery.payload[..8].try_into().unwrap());
        let topic = u32::from_be_bytes(delivery.payload[8..12].try_into().unwrap());
        if number == u64::MAX {
            self.seen.stale += 1;
        } else if delivery.payload[12..].iter().any(|&byte| byte != 0) {
            self.seen.corrupt += 1;
        } else if delivery.topic != TopicId(topic) {
            self.seen.misrouted += 1;
        } else if self.times[number as usize] > 0 {
            self.seen.again += 1;
        } else {
            let newest = &mut self.newest[topic as usize];
            self.seen.late += u64::from(newest.is_some_and(|newest| newest > number));
            *newest = (*newest).max(Some(number));
            self.times[number as usize] = 1;
        }
    }

    fn sum_up(mut self) -> Seen {
        let arrived = self.times.iter().filter(|&&times| times > 0).count() as u64;
        self.seen.missing = MESSAGES - arrived - self.seen.corrupt - self.seen.misrouted;
        self.seen
    }
}

fn all_lies() -> Lies {
    Lies {
        seed: 7,
        drop: 0.02,
        duplicate: 0.02,
        swap: 0.02,
        corrupt: 0.02,
        corrupt_from: 12,
        misroute: 0.02,
        topics: TOPICS,
        stale: 0.02,
        old_payload: payload(u64::MAX, 0).to_vec(),
        ..Lies::default()
    }
}

/// Each lie is seen as often as it was told.
fn agree(seen: &Seen, lied: Lied) {
    let told = Seen {
        deliveries: MESSAGES - lied.dropped + lied.duplicated + lied.stale,
        missing: lied.dropped,
        again: lied.duplicated,
        late: lied.swapped,
        corrupt: lied.corrupted,
        misrouted: lied.misrouted,
        stale: lied.stale,
    };
    assert_eq!(*seen, told, "{lied:?}");
}

fn nats_wire(peer: &LyingNats) -> nats::wire::NatsCore {
    nats::wire::NatsCore::new(&peer.url).unwrap()
}

fn nats_library(peer: &LyingNats) -> nats::library::NatsCore {
    nats::library::NatsCore::new(&peer.url)
}

fn redis(peer: &LyingResp) -> WireClient {
    WireClient::new(&peer.url).unwrap()
}

#[test]
fn an_honest_server_is_seen_as_honest() {
    block_on(async {
        let [wire, library] = [(); 2].map(|()| LyingNats::start(Lies::default()));
        let other = LyingResp::start(Lies::default());
        for (seen, lied) in [
            (through(&nats_wire(&wire), Delivery::FanOut).await, wire.lied()),
            (through(&nats_library(&library), Delivery::FanOut).await, library.lied()),
            (through(&redis(&other), Delivery::FanOut).await, other.lied()),
        ] {
            assert_eq!(seen, Seen { deliveries: MESSAGES, ..Seen::default() });
            assert_eq!(lied, Lied { honest: MESSAGES, ..Lied::default() });
        }
    });
}

/// Each kind of lie was told, and seen as often as that.
fn all_were_told_and_seen(seen: &Seen, lied: Lied) {
    for told in [lied.dropped, lied.duplicated, lied.swapped, lied.corrupted, lied.misrouted, lied.stale] {
        assert!((200..600).contains(&told), "2 % of 20,000 are about 400: {lied:?}");
    }
    agree(seen, lied);
}

#[test]
fn every_lie_reaches_the_harness_as_often_as_it_was_told() {
    block_on(async {
        for delivery in [Delivery::FanOut, Delivery::WorkQueue] {
            let peer = LyingNats::start(all_lies());
            all_were_told_and_seen(&through(&nats_wire(&peer), delivery).await, peer.lied());
            let peer = LyingNats::start(all_lies());
            all_were_told_and_seen(&through(&nats_library(&peer), delivery).await, peer.lied());
        }
        let peer = LyingResp::start(all_lies());
        all_were_told_and_seen(&through(&redis(&peer), Delivery::FanOut).await, peer.lied());
        let peer = LyingResp::start(all_lies());
        let library = LibraryClient::new(&peer.url).unwrap();
        all_were_told_and_seen(&through(&library, Delivery::FanOut).await, peer.lied());
    });
}

#[test]
fn frames_in_two_pieces_are_put_together() {
    block_on(async {
        let lies = Lies { in_halves: true, ..all_lies() };
        let peer = LyingNats::start(lies.clone());
        agree(&through(&nats_wire(&peer), Delivery::FanOut).await, peer.lied());
        let peer = LyingNats::start(lies.clone());
        agree(&through(&nats_library(&peer), Delivery::FanOut).await, peer.lied());
        let peer = LyingResp::start(lies);
        agree(&through(&redis(&peer), Delivery::FanOut).await, peer.lied());
    });
}

#[test]
fn half_a_frame_and_then_nothing_is_a_broken_connection_and_not_a_message() {
    block_on(async {
        let lies = Lies { cut_at: Some(10), ..Lies::default() };
        let peer = LyingNats::start(lies.clone());
        cut_after_nine(&nats_wire(&peer)).await;
        let peer = LyingNats::start(lies.clone());
        cut_after_nine(&nats_library(&peer)).await;
        let peer = LyingResp::start(lies);
        cut_after_nine(&redis(&peer)).await;
    });
}

async fn cut_after_nine(driver: &impl Driver) {
    let topology = topology(Delivery::FanOut);
    let mut subscriber = driver.subscriber(&topology, &topology.subscriptions_on(0)).await.unwrap();
    let mut publisher = driver.publisher(&topology, 0).await.unwrap();
    for number in 0..20 {
        publisher.enqueue(TopicId(0), &payload(number, 0)).unwrap();
    }
    publisher.flush(&mut |_| ()).await.unwrap();
    let mut arrived = 0;
    let error = loop {
        if let Err(error) = subscriber.next_batch(&mut |_| arrived += 1).await {
            break error;
        }
    };
    assert_eq!((error.kind, arrived), (ErrorKind::Disconnected, 9), "{error}");
}
