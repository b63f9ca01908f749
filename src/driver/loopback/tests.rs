use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::*;
use crate::driver::{AckRun, Enqueued, Outcome, Publisher, Subscriber};
use crate::scenario::{Subscribe, TopicId};

fn clean() -> LoopbackOptions {
    LoopbackOptions {
        drop: 0.0,
        duplicate: 0.0,
        reorder: 0.0,
        corrupt: 0.0,
        delay: Duration::ZERO,
        stall_at: Duration::ZERO,
        stall_for: Duration::ZERO,
    }
}

fn topology(delivery: Delivery) -> Topology {
    Topology {
        publishers: 4,
        publisher_connections: 4,
        subscribers: 4,
        subscriber_connections: 4,
        topics: 2,
        subscribe: Subscribe::All,
        delivery,
        payload_max: 40,
        prefix: "test.".to_owned(),
        ..Topology::default()
    }
}

fn payload(publisher: u32, sequence: u64) -> [u8; 40] {
    let mut payload = [0u8; 40];
    payload[..4].copy_from_slice(&publisher.to_le_bytes());
    payload[4..12].copy_from_slice(&sequence.to_le_bytes());
    payload
}

/// What one subscriber saw of one publisher.
#[derive(Debug, Default, PartialEq, Eq)]
struct Seen {
    first: u64,
    again: u64,
    late: u64,
    corrupt: u64,
}

/// Publishes `messages` by each publisher on a thread of its own, reads with each subscriber on another, and
/// sums up what all subscribers saw of it.
fn traffic(options: LoopbackOptions, seed: u64, delivery: Delivery, messages: u64) -> (Seen, Injected) {
    let topology = topology(delivery);
    let bus = Loopback::new(options, seed);
    runtime().block_on(bus.prepare(&topology)).unwrap();
    let mut readers = Vec::new();
    let publishing_is_over = Arc::new(AtomicBool::new(false));
    for connection in 0..topology.subscriber_connections {
        let subscriptions = topology.subscriptions_on(connection);
        let mut subscriber = runtime().block_on(bus.subscriber(&topology, &subscriptions)).unwrap();
        let over = publishing_is_over.clone();
        readers.push(std::thread::spawn(move || runtime().block_on(read(&mut subscriber, &over))));
    }
    let writers: Vec<_> = (0..topology.publisher_connections)
        .map(|connection| {
            let (bus, topology) = (bus.clone(), topology.clone());
            std::thread::spawn(move || runtime().block_on(publish(&bus, &topology, connection, messages)))
        })
        .collect();
    writers.into_iter().for_each(|writer| writer.join().unwrap());
    publishing_is_over.store(true, Ordering::Release);
    let mut seen = Seen::default();
    for reader in readers {
        account(&reader.join().unwrap(), &mut seen);
    }
    (seen, bus.injected())
}

/// Reads until publishing is over and nothing comes any more.
async fn read(subscriber: &mut LoopbackSubscriber, over: &AtomicBool) -> Vec<(u32, u64, bool)> {
    let mut log = Vec::new();
    let mut each = |delivery: crate::driver::Delivery<'_>| {
        let bytes = delivery.payload;
        let publisher = u32::from_le_bytes(bytes[..4].try_into().unwrap());
        let sequence = u64::from_le_bytes(bytes[4..12].try_into().unwrap());
        log.push((publisher, sequence, bytes[12..].iter().any(|&byte| byte != 0)));
    };
    loop {
        let was_over = over.load(Ordering::Acquire);
        match tokio::time::timeout(Duration::from_millis(200), subscriber.next_batch(&mut each)).await {
            Ok(result) => result.unwrap(),
            Err(_) if was_over => return log,
            Err(_) => continue,
        }
    }
}

async fn publish(bus: &Loopback, topology: &Topology, connection: u32, messages: u64) {
    let mut publisher = bus.publisher(topology, connection).await.unwrap();
    let topic = TopicId(connection % topology.topics);
    let mut acked = 0;
    let mut each = |run: AckRun| {
        assert_eq!((run.first, run.outcome), (acked, Outcome::Accepted));
        acked += u64::from(run.count);
    };
    for sequence in 0..messages {
        while publisher.enqueue(topic, &payload(connection, sequence)).unwrap() == Enqueued::Full {
            publisher.flush(&mut each).await.unwrap();
        }
        if sequence % 97 == 0 {
            publisher.flush(&mut each).await.unwrap();
        }
    }
    publisher.flush(&mut each).await.unwrap();
    assert_eq!(acked, messages);
}

fn account(log: &[(u32, u64, bool)], seen: &mut Seen) {
    let mut by_publisher: BTreeMap<u32, (u64, std::collections::HashSet<u64>)> = BTreeMap::new();
    for &(publisher, sequence, corrupt) in log {
        if corrupt {
            seen.corrupt += 1;
            continue;
        }
        let (expected, known) = by_publisher.entry(publisher).or_default();
        if !known.insert(sequence) {
            seen.again += 1;
            continue;
        }
        seen.first += 1;
        if sequence < *expected {
            seen.late += 1;
        } else {
            *expected = sequence + 1;
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn without_faults_every_subscriber_gets_every_message_once_and_in_order() {
    let (seen, injected) = traffic(clean(), 1, Delivery::FanOut, 20_000);
    assert_eq!(seen, Seen { first: 4 * 4 * 20_000, ..Seen::default() });
    assert_eq!(injected, Injected::default());
}

#[test]
fn faults_are_what_was_counted_to_the_message_and_a_seed_repeats_them() {
    let options = LoopbackOptions { drop: 0.01, duplicate: 0.02, reorder: 0.03, corrupt: 0.04, ..clean() };
    let (seen, injected) = traffic(options.clone(), 7, Delivery::FanOut, 20_000);
    let expected = 4 * 4 * 20_000 - injected.dropped - injected.corrupted;
    let counted = Seen {
        first: expected,
        again: injected.duplicated,
        late: injected.reordered,
        corrupt: injected.corrupted,
    };
    assert_eq!(seen, counted);
    for (count, share) in [(injected.dropped, 0.01), (injected.duplicated, 0.02), (injected.corrupted, 0.04)]
    {
        let ratio = count as f64 / (320_000.0 * share);
        assert!((0.9..1.1).contains(&ratio), "{injected:?}");
    }
    assert!(injected.reordered > 5_000, "{injected:?}");
    let again = traffic(options, 7, Delivery::FanOut, 20_000).1;
    // Whether a swap takes place also depends on its successor coming in time.
    assert_eq!(Injected { reordered: injected.reordered, ..again }, injected);
}

#[test]
fn a_work_queue_hands_each_message_to_one_of_the_group() {
    let options = LoopbackOptions { drop: 0.01, duplicate: 0.02, corrupt: 0.04, ..clean() };
    let (seen, injected) = traffic(options, 3, Delivery::WorkQueue, 20_000);
    assert!(injected.dropped > 0 && injected.duplicated > 0 && injected.corrupted > 0);
    assert_eq!(seen.first, 4 * 20_000 - injected.dropped - injected.corrupted);
    assert_eq!((seen.again, seen.corrupt), (injected.duplicated, injected.corrupted));
}

#[test]
fn a_reader_that_stops_stalls_the_publisher_in_bounded_memory_and_loses_nothing() {
    runtime().block_on(async {
        let topology = topology(Delivery::FanOut);
        let bus = Loopback::new(clean(), 0);
        bus.prepare(&topology).await.unwrap();
        let mut reader = bus.subscriber(&topology, &topology.subscriptions_on(0)).await.unwrap();
        let mut publisher = bus.publisher(&topology, 0).await.unwrap();
        let (mut sent, mut acked) = (0u64, 0u64);
        loop {
            while publisher.enqueue(TopicId(0), &payload(0, sent)).unwrap() == Enqueued::Yes {
                sent += 1;
            }
            let mut each = |run: AckRun| acked += u64::from(run.count);
            let flush = publisher.flush(&mut each);
            if tokio::time::timeout(Duration::from_millis(20), flush).await.is_err() {
                break;
            }
        }
        assert!(sent < 50_000, "{sent} messages went into buffers that nobody reads");
        let pending = bus.leftovers(&topology).await.unwrap().unwrap().pending;
        assert!(pending > 0 && pending < sent);
        let mut read = 0u64;
        while read < sent {
            let mut ignore = |_: AckRun| {};
            let mut each = |delivery: crate::driver::Delivery<'_>| {
                assert_eq!(delivery.payload, payload(0, read));
                read += 1;
            };
            tokio::select! {
                biased;
                batch = reader.next_batch(&mut each) => batch.unwrap(),
                flushed = publisher.flush(&mut ignore) => flushed.unwrap(),
            }
        }
        assert_eq!(bus.leftovers(&topology).await.unwrap().unwrap().pending, 0);
    });
}

#[test]
fn delay_and_stall_hold_deliveries_back() {
    runtime().block_on(async {
        let options = LoopbackOptions {
            delay: Duration::from_millis(30),
            stall_at: Duration::from_millis(100),
            stall_for: Duration::from_millis(150),
            ..clean()
        };
        let topology = topology(Delivery::FanOut);
        let bus = Loopback::new(options, 0);
        bus.prepare(&topology).await.unwrap();
        let mut reader = bus.subscriber(&topology, &topology.subscriptions_on(0)).await.unwrap();
        let mut publisher = bus.publisher(&topology, 0).await.unwrap();
        let clock = crate::clock::Clock::real();
        let mut took = Vec::new();
        for sequence in 0..2u64 {
            // The stall begins by the clock, and the second message is to be sent into it.
            tokio::time::sleep(Duration::from_millis(105 * sequence)).await;
            let sent = clock.now();
            publisher.enqueue(TopicId(0), &payload(0, sequence)).unwrap();
            publisher.flush(&mut |_| {}).await.unwrap();
            let mut got = 0;
            while got == 0 {
                reader.next_batch(&mut |_| got += 1).await.unwrap();
            }
            took.push((clock.now() - sent) / 1_000_000);
        }
        // The first has the delay only; the second was sent 135 ms after the first, in the middle of the stall.
        assert!((30..90).contains(&took[0]), "{took:?} ms");
        assert!((95..400).contains(&took[1]), "{took:?} ms");
    });
}

#[test]
fn prepare_ends_what_an_earlier_trial_left() {
    runtime().block_on(async {
        let topology = topology(Delivery::FanOut);
        let bus = Loopback::new(clean(), 0);
        bus.prepare(&topology).await.unwrap();
        let mut reader = bus.subscriber(&topology, &topology.subscriptions_on(0)).await.unwrap();
        let mut publisher = bus.publisher(&topology, 0).await.unwrap();
        bus.prepare(&topology).await.unwrap();
        let kinds = [
            reader.next_batch(&mut |_| panic!("nothing was published")).await.unwrap_err().kind,
            publisher.enqueue(TopicId(0), b"x").unwrap_err().kind,
            publisher.acks(&mut |_| {}).await.unwrap_err().kind,
        ];
        assert_eq!(kinds, [ErrorKind::Disconnected; 3]);
    });
}

#[test]
fn faults_that_could_not_be_counted_exactly_are_refused() {
    let refused = |options: LoopbackOptions, topology: Topology| {
        runtime().block_on(Loopback::new(options, 0).prepare(&topology)).unwrap_err().to_string()
    };
    let base = topology(Delivery::FanOut);
    let small = Topology { payload_max: 32, ..base.clone() };
    assert!(refused(LoopbackOptions { corrupt: 0.1, ..clean() }, small).contains("workload.payload"));
    let shared = Topology { publisher_connections: 1, ..base.clone() };
    assert!(refused(LoopbackOptions { reorder: 0.1, ..clean() }, shared).contains("publisher_connections"));
    assert!(refused(LoopbackOptions { drop: 0.7, corrupt: 0.7, ..clean() }, base).contains("at most 1"));
}
