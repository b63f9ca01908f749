//! Publishes numbered messages and reads them again, with a naive ledger: everything is kept and compared.

use std::collections::BTreeMap;
use std::future::Future;

use busmark::driver::{
    AckRun, AckToken, Delivery, Driver, DriverError, Enqueued, Outcome, Publisher, Subscriber,
};
use busmark::prng::mix;
use busmark::scenario::{LaneId, TopicId, Topology};
use futures_util::future::join_all;
use tokio::time::timeout;

use crate::stage::{QUIET, WAIT};

/// A payload that says which message it is, with bytes behind that depend on it.
pub(crate) fn payload(lane: LaneId, sequence: u64, length: usize) -> Vec<u8> {
    let mut bytes: Vec<u8> = Vec::with_capacity(length.max(12));
    bytes.extend_from_slice(&lane.0.to_be_bytes());
    bytes.extend_from_slice(&sequence.to_be_bytes());
    let mut state = mix(u64::from(lane.0) << 32 ^ sequence);
    while bytes.len() < length {
        state = mix(state.wrapping_add(1));
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length.max(12));
    bytes
}

/// Unanswered messages of a connection at most. Every system has a bound: a JetStream server refuses what is
/// published while 10,000 messages wait for their stream.
const IN_FLIGHT: u64 = 4096;

/// A publishing connection, and what became of each of its messages.
pub(crate) struct Writer<P> {
    pub(crate) publisher: P,
    pub(crate) sent: u64,
    pub(crate) outcomes: Outcomes,
}

/// By number of the message.
#[derive(Default)]
pub(crate) struct Outcomes(pub(crate) BTreeMap<u64, Outcome>);

impl Outcomes {
    pub(crate) fn note(&mut self, run: AckRun) {
        assert!(run.count > 0, "a run has at least one message");
        for number in run.first..run.first + u64::from(run.count) {
            assert_eq!(self.0.insert(number, run.outcome), None, "message {number} was answered twice");
        }
    }
}

impl<P: Publisher> Writer<P> {
    pub(crate) fn new(publisher: P) -> Self {
        Self { publisher, sent: 0, outcomes: Outcomes::default() }
    }

    /// Enqueues a message, flushing when there is no room.
    pub(crate) async fn put(&mut self, topic: TopicId, payload: &[u8]) {
        while self.publisher.enqueue(topic, payload).unwrap() == Enqueued::Full {
            self.flush().await;
        }
        self.sent += 1;
    }

    pub(crate) async fn flush(&mut self) {
        let Self { publisher, outcomes, .. } = self;
        within(publisher.flush(&mut |run| outcomes.note(run))).await.unwrap();
    }

    /// Waits until all is answered, where answers come.
    pub(crate) async fn settle(&mut self) {
        while (self.outcomes.0.len() as u64) < self.sent {
            let Self { publisher, outcomes, .. } = self;
            within(publisher.acks(&mut |run| outcomes.note(run))).await.unwrap();
        }
        let expected: Vec<u64> = (0..self.sent).collect();
        assert_eq!(self.outcomes.0.keys().copied().collect::<Vec<_>>(), expected);
    }
}

/// No single wait is without end.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    timeout(WAIT, future).await.expect("this wait ends")
}

/// Sends `rounds` messages of each of a connection's publishers to each lane of theirs, in turn. Gives the
/// publisher, which must live until the messages have arrived.
pub(crate) async fn write_all<D: Driver>(
    driver: &D,
    topology: &Topology,
    connection: u32,
    rounds: u64,
) -> D::Publisher {
    let mut writer = Writer::new(within(driver.publisher(topology, connection)).await.unwrap());
    let answers = driver.guarantees().answers();
    for round in 0..rounds {
        for publisher in topology.publishers_on(connection) {
            for lane in (publisher..topology.lanes()).step_by(topology.publishers as usize).map(LaneId) {
                writer.put(topology.topic_of(lane), &payload(lane, round, topology.payload_max)).await;
                if answers && writer.sent.is_multiple_of(IN_FLIGHT) {
                    writer.flush().await;
                    writer.settle().await;
                }
            }
        }
        if round % 64 == 0 {
            writer.flush().await;
        }
    }
    writer.flush().await;
    if answers {
        writer.settle().await;
        assert!(writer.outcomes.0.values().all(|outcome| *outcome == Outcome::Accepted));
    }
    writer.publisher
}

/// What one subscription got: topic and payload, in order.
pub(crate) type Got = BTreeMap<u32, Vec<(TopicId, Vec<u8>)>>;

/// Reads until `count` deliveries came, acknowledging where that is asked for.
pub(crate) async fn read(subscriber: &mut impl Subscriber, count: usize) -> Got {
    let mut got = Got::new();
    let mut missing = count;
    while missing > 0 {
        missing =
            missing.checked_sub(next(subscriber, &mut got).await.unwrap()).expect("no more than expected");
    }
    got
}

/// One batch, acknowledged; how many deliveries it had.
pub(crate) async fn next(subscriber: &mut impl Subscriber, got: &mut Got) -> Result<usize, DriverError> {
    let mut tokens: Vec<AckToken> = Vec::new();
    let mut count = 0;
    let mut each = |delivery: Delivery<'_>| {
        assert!(!delivery.redelivered, "a first delivery is flagged as a second");
        got.entry(delivery.subscription).or_default().push((delivery.topic, delivery.payload.to_vec()));
        tokens.extend(delivery.token);
        count += 1;
    };
    within(subscriber.next_batch(&mut each)).await?;
    if !tokens.is_empty() {
        within(subscriber.ack(&tokens)).await?;
    }
    Ok(count)
}

/// Makes sure that nothing more comes.
pub(crate) async fn nothing_more(subscriber: &mut impl Subscriber) {
    let mut more = Vec::new();
    while let Ok(batch) =
        timeout(QUIET, subscriber.next_batch(&mut |one| more.push(one.payload.to_vec()))).await
    {
        batch.unwrap();
        assert!(more.is_empty(), "{} deliveries too many, such as {:?}", more.len(), more[0]);
    }
}

/// Runs all of a topology's connections beside each other and checks that every receiver got every message
/// of each of its lanes once, as it was sent, and in order.
pub(crate) async fn all_arrives<D: Driver>(driver: &D, topology: &Topology, rounds: u64) {
    within(driver.prepare(topology)).await.unwrap();
    let mut subscribers = Vec::new();
    for connection in 0..topology.subscriber_connections {
        let subscriptions = topology.subscriptions_on(connection);
        subscribers.push(within(driver.subscriber(topology, &subscriptions)).await.unwrap());
    }
    let reading = (0u32..).zip(&mut subscribers).map(|(connection, subscriber)| async move {
        let subscriptions = topology.subscriptions_on(connection);
        let lanes = |receiver| topology.lanes_of_receiver(receiver);
        let count: usize = subscriptions.iter().map(|one| lanes(one.receiver).len()).sum();
        let got = read(subscriber, count * rounds as usize).await;
        for (index, subscription) in (0u32..).zip(&subscriptions) {
            check(&got[&index], topology, &lanes(subscription.receiver), rounds);
        }
        assert_eq!(subscriber.client_drops(), 0);
        nothing_more(subscriber).await;
    });
    let writing = (0..topology.publisher_connections).map(|c| write_all(driver, topology, c, rounds));
    tokio::join!(join_all(reading), join_all(writing));
    drop(subscribers);
    within(driver.tear_down(topology)).await.unwrap();
}

/// Checks one receiver's deliveries.
pub(crate) fn check(got: &[(TopicId, Vec<u8>)], topology: &Topology, lanes: &[LaneId], rounds: u64) {
    let mut next: BTreeMap<LaneId, u64> = lanes.iter().map(|lane| (*lane, 0)).collect();
    for (topic, bytes) in got {
        let lane = LaneId(u32::from_be_bytes(bytes[..4].try_into().unwrap()));
        let expected = next.get_mut(&lane).expect("a lane of this receiver");
        assert_eq!(bytes, &payload(lane, *expected, topology.payload_max), "{lane:?} message {expected}");
        assert_eq!(*topic, topology.topic_of(lane));
        *expected += 1;
    }
    assert!(next.values().all(|&count| count == rounds), "{next:?} of {rounds}");
}
