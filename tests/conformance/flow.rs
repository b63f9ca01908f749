//! Cases about answers, back-pressure and dropped futures.

use busmark::driver::{AckToken, Driver, Enqueued, Outcome, Publisher, Subscriber};
use busmark::scenario::{LaneId, TopicId, Topology};
use tokio::time::timeout;

use crate::stage::{Case, Played, QUIET, Stage, topology};
use crate::traffic::{Got, Outcomes, Writer, check, nothing_more, payload, read, within};

/// 10,000 messages, flushed in pieces of many sizes.
pub(crate) struct Answers;

impl Case for Answers {
    async fn play<D: Driver>(self, driver: D, _stage: &mut Stage) -> Played {
        let topology = topology();
        within(driver.prepare(&topology)).await.unwrap();
        let mut writer = Writer::new(within(driver.publisher(&topology, 0)).await.unwrap());
        for number in 0..10_000u64 {
            writer.put(TopicId(0), &payload(LaneId(0), number, 64)).await;
            if (number * number) % 577 == 0 {
                writer.flush().await;
            }
        }
        writer.flush().await;
        let answers = driver.guarantees().answers();
        if answers {
            writer.settle().await;
            assert!(writer.outcomes.0.values().all(|outcome| *outcome == Outcome::Accepted));
        }
        let Writer { publisher, outcomes, .. } = &mut writer;
        let more = timeout(QUIET, publisher.acks(&mut |run| outcomes.note(run))).await;
        assert!(more.is_err(), "with nothing to answer, acks() waits");
        assert_eq!(outcomes.0.len(), if answers { 10_000 } else { 0 });
        Played::Yes
    }
}

/// Enqueues without a flush.
pub(crate) struct Full;

/// Long enough for a socket that takes anything to have taken it.
const SHORT: std::time::Duration = std::time::Duration::from_millis(5);

/// More than any output buffer may hold, in bytes.
const TOO_MUCH: usize = 64 * 1024 * 1024;

impl Case for Full {
    async fn play<D: Driver>(self, driver: D, _stage: &mut Stage) -> Played {
        let topology = Topology { payload_max: 1024, ..topology() };
        within(driver.prepare(&topology)).await.unwrap();
        let mut subscriber =
            within(driver.subscriber(&topology, &topology.subscriptions_on(0))).await.unwrap();
        let mut writer = Writer::new(within(driver.publisher(&topology, 0)).await.unwrap());
        let mut rounds = 0;
        while writer.publisher.enqueue(TopicId(0), &payload(LaneId(0), rounds, 1024)).unwrap()
            == Enqueued::Yes
        {
            rounds += 1;
            assert!(rounds * 1024 < TOO_MUCH as u64, "the output buffer has no end");
        }
        assert_eq!(
            writer.publisher.enqueue(TopicId(0), &payload(LaneId(0), rounds, 1024)).unwrap(),
            Enqueued::Full,
            "it stays full until a flush"
        );
        let refilling = async {
            writer.flush().await;
            writer.put(TopicId(0), &payload(LaneId(0), rounds, 1024)).await;
            writer.flush().await;
        };
        let count = rounds as usize + 1;
        let ((), got) = tokio::join!(refilling, read(&mut subscriber, count));
        check(&got[&0], &topology, &[LaneId(0)], rounds + 1);
        Played::Yes
    }
}

/// Six megabytes are published while nobody reads, then they are read.
pub(crate) struct Pause;

impl Case for Pause {
    async fn play<D: Driver>(self, driver: D, _stage: &mut Stage) -> Played {
        let topology = Topology { payload_max: 1024, ..topology() };
        let rounds = 6000;
        within(driver.prepare(&topology)).await.unwrap();
        let mut subscriber =
            within(driver.subscriber(&topology, &topology.subscriptions_on(0))).await.unwrap();
        let mut writer = Writer::new(within(driver.publisher(&topology, 0)).await.unwrap());
        let writing = async {
            for round in 0..rounds {
                writer.put(TopicId(0), &payload(LaneId(0), round, 1024)).await;
            }
            writer.flush().await;
        };
        let reading = async {
            tokio::time::sleep(QUIET).await;
            read(&mut subscriber, rounds as usize).await
        };
        let ((), got) = tokio::join!(writing, reading);
        check(&got[&0], &topology, &[LaneId(0)], rounds);
        nothing_more(&mut subscriber).await;
        Played::Yes
    }
}

/// Every future is dropped after a few polls, whatever it waits for, again and again.
pub(crate) struct Cancelled;

impl Case for Cancelled {
    async fn play<D: Driver>(self, driver: D, _stage: &mut Stage) -> Played {
        let topology = Topology { payload_max: 700, topics: 3, ..topology() };
        let rounds = 2000;
        within(driver.prepare(&topology)).await.unwrap();
        let mut subscriber =
            within(driver.subscriber(&topology, &topology.subscriptions_on(0))).await.unwrap();
        let mut publisher = within(driver.publisher(&topology, 0)).await.unwrap();
        let total = rounds * u64::from(topology.topics);
        let (_, got) = within(async {
            tokio::join!(
                write_impatiently(&mut publisher, &topology, total, driver.guarantees().answers()),
                read_impatiently(&mut subscriber, total as usize)
            )
        })
        .await;
        let lanes: Vec<LaneId> = (0..topology.lanes()).map(LaneId).collect();
        check(&got[&0], &topology, &lanes, rounds);
        nothing_more(&mut subscriber).await;
        Played::Yes
    }
}

async fn write_impatiently(publisher: &mut impl Publisher, topology: &Topology, total: u64, answers: bool) {
    let mut outcomes = Outcomes::default();
    let mut number = 0;
    while number < total || (answers && (outcomes.0.len() as u64) < total) {
        for _ in 0..number % 13 + 1 {
            let lane = LaneId((number % u64::from(topology.lanes())) as u32);
            let bytes = payload(lane, number / u64::from(topology.lanes()), topology.payload_max);
            if number < total && publisher.enqueue(topology.topic_of(lane), &bytes).unwrap() == Enqueued::Yes
            {
                number += 1;
            }
        }
        impatient(publisher.flush(&mut |run| outcomes.note(run))).await.unwrap_or(Ok(())).unwrap();
        impatient(publisher.acks(&mut |run| outcomes.note(run))).await.unwrap_or(Ok(())).unwrap();
    }
    while impatient(publisher.flush(&mut |run| outcomes.note(run))).await.is_none() {}
    assert_eq!(outcomes.0.len() as u64, if answers { total } else { 0 });
}

async fn read_impatiently(subscriber: &mut impl Subscriber, total: usize) -> Got {
    let mut got = Got::new();
    let mut tokens: Vec<AckToken> = Vec::new();
    let mut count = 0;
    while count < total {
        let mut each = |delivery: busmark::driver::Delivery<'_>| {
            got.entry(delivery.subscription).or_default().push((delivery.topic, delivery.payload.to_vec()));
            tokens.extend(delivery.token);
            count += 1;
        };
        impatient(subscriber.next_batch(&mut each)).await.unwrap_or(Ok(())).unwrap();
        // Acknowledging is no wait that a trial drops.
        if !tokens.is_empty() {
            within(subscriber.ack(&tokens)).await.unwrap();
            tokens.clear();
        }
    }
    got
}

/// The broker is stopped, filled until its socket takes nothing, with every future dropped, and goes on.
pub(crate) struct Frozen;

impl Case for Frozen {
    async fn play<D: Driver>(self, driver: D, stage: &mut Stage) -> Played {
        stand_still(driver, stage, topology()).await
    }
}

/// The same where answers may be looked at now and then while the socket takes nothing.
pub(crate) struct FrozenClosedLoop;

impl Case for FrozenClosedLoop {
    async fn play<D: Driver>(self, driver: D, stage: &mut Stage) -> Played {
        stand_still(driver, stage, Topology { closed_loop: true, ..topology() }).await
    }
}

async fn stand_still<D: Driver>(driver: D, stage: &mut Stage, topology: Topology) -> Played {
    if !stage.has_process {
        return Played::DoesNotApply("there is no process that could stand still");
    }
    let topology = Topology { payload_max: 1024, ..topology };
    within(driver.prepare(&topology)).await.unwrap();
    let mut subscriber = within(driver.subscriber(&topology, &topology.subscriptions_on(0))).await.unwrap();
    let mut writer = Writer::new(within(driver.publisher(&topology, 0)).await.unwrap());
    stage.broker.pause();
    let mut rounds = 0;
    let mut stuck = 0;
    while stuck < 20 {
        let bytes = payload(LaneId(0), rounds, 1024);
        if writer.publisher.enqueue(TopicId(0), &bytes).unwrap() == Enqueued::Yes {
            rounds += 1;
            // Odd lengths of output, so that a socket takes parts of frames.
            if rounds % 97 != 0 {
                continue;
            }
        }
        let Writer { publisher, outcomes, .. } = &mut writer;
        let flushed = timeout(SHORT, publisher.flush(&mut |run| outcomes.note(run))).await;
        stuck += u32::from(flushed.is_err());
        assert!(rounds * 1024 < TOO_MUCH as u64, "a stopped broker takes no end of bytes");
    }
    writer.sent = rounds;
    stage.broker.resume();
    let ((), got) = tokio::join!(writer.flush(), read(&mut subscriber, rounds as usize));
    check(&got[&0], &topology, &[LaneId(0)], rounds);
    nothing_more(&mut subscriber).await;
    if driver.guarantees().answers() {
        writer.settle().await;
    }
    Played::Yes
}

/// Polls twice, with a turn of the runtime between, then gives up.
async fn impatient<T>(future: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        output = future => Some(output),
        () = tokio::task::yield_now() => None,
    }
}
