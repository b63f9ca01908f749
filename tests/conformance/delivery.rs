//! Cases about what arrives.

use busmark::driver::{Driver, ErrorKind};
use busmark::scenario::{Audience, Delivery, LaneId, Subscribe, SubscribeBy, TopicId, Topology};
use futures_util::future::join_all;

use crate::stage::{Case, Played, Stage, topology};
use crate::traffic::{Got, Writer, all_arrives, check, next, nothing_more, payload, read, within, write_all};

/// Four publishers on two connections, four topics, three subscribers of all.
pub(crate) struct Order;

impl Case for Order {
    async fn play<D: Driver>(self, driver: D, _stage: &mut Stage) -> Played {
        let topology = Topology {
            publishers: 4,
            publisher_connections: 2,
            subscribers: 3,
            subscriber_connections: 3,
            topics: 4,
            ..topology()
        };
        assert!(driver.guarantees().ordered);
        all_arrives(&driver, &topology, 3000).await;
        Played::Yes
    }
}

/// Five subscribers of ten topics each on one connection.
pub(crate) struct SeveralTopics;

impl Case for SeveralTopics {
    async fn play<D: Driver>(self, driver: D, _stage: &mut Stage) -> Played {
        let topology = Topology { subscribers: 5, topics: 50, subscribe: Subscribe::Paired, ..topology() };
        all_arrives(&driver, &topology, 100).await;
        Played::Yes
    }
}

/// Two subscribers of twelve topics by one pattern, then four of three topics each by patterns of their own.
pub(crate) struct Patterns;

impl Case for Patterns {
    async fn play<D: Driver>(self, driver: D, _stage: &mut Stage) -> Played {
        let all = Topology {
            publishers: 3,
            subscribers: 2,
            subscriber_connections: 2,
            topics: 12,
            by: SubscribeBy::Pattern,
            ..topology()
        };
        if !driver.guarantees().patterns {
            let error = within(driver.prepare(&all)).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Fatal, "{error}");
            assert!(error.remedy.unwrap().contains("workload.subscribe_by"));
            return Played::Yes;
        }
        all_arrives(&driver, &all, 500).await;
        let each = Topology { subscribers: 4, subscribe: Subscribe::Paired, ..all };
        all_arrives(&driver, &each, 500).await;
        Played::Yes
    }
}

/// 10,000 topics, one connection a side.
pub(crate) struct ManyTopics;

impl Case for ManyTopics {
    async fn play<D: Driver>(self, driver: D, _stage: &mut Stage) -> Played {
        let topology = Topology { topics: 10_000, ..topology() };
        if let Err(error) = within(driver.prepare(&topology)).await {
            assert_eq!(error.kind, ErrorKind::Fatal, "{error}");
            let remedy = error.remedy.unwrap();
            assert!(remedy.contains("workload.topics"), "{remedy}");
            return Played::DoesNotApply(
                "the system keeps files for each topic, and the driver has a limit that it tells",
            );
        }
        all_arrives(&driver, &topology, 2).await;
        Played::Yes
    }
}

/// Twenty publishers and twenty subscribers, each with a connection and a topic of its own.
pub(crate) struct ManyConnections;

impl Case for ManyConnections {
    async fn play<D: Driver>(self, driver: D, _stage: &mut Stage) -> Played {
        let topology = Topology {
            publishers: 20,
            publisher_connections: 20,
            subscribers: 20,
            subscriber_connections: 20,
            topics: 20,
            subscribe: Subscribe::Paired,
            ..topology()
        };
        all_arrives(&driver, &topology, 500).await;
        Played::Yes
    }
}

/// Two subscribers of one topic on one connection.
pub(crate) struct Shared;

impl Case for Shared {
    async fn play<D: Driver>(self, driver: D, _stage: &mut Stage) -> Played {
        let topology = Topology { subscribers: 2, ..topology() };
        within(driver.prepare(&topology)).await.unwrap();
        match within(driver.subscriber(&topology, &topology.subscriptions_on(0))).await {
            Ok(subscriber) => drop(subscriber),
            Err(error) => {
                assert_eq!(error.kind, ErrorKind::Fatal, "{error}");
                let remedy = error.remedy.unwrap();
                assert!(remedy.contains("subscriber_connections"), "{remedy}");
                return Played::Yes;
            }
        }
        all_arrives(&driver, &topology, 500).await;
        Played::Yes
    }
}

/// Four subscribers on four connections that share the work of two topics.
pub(crate) struct WorkQueue;

impl Case for WorkQueue {
    async fn play<D: Driver>(self, driver: D, _stage: &mut Stage) -> Played {
        let topology = Topology {
            publishers: 2,
            subscribers: 4,
            subscriber_connections: 4,
            topics: 2,
            delivery: Delivery::WorkQueue,
            ..topology()
        };
        if !driver.guarantees().work_queue {
            let error = within(driver.prepare(&topology)).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Fatal, "{error}");
            assert!(error.remedy.is_some(), "{error}");
            return Played::Yes;
        }
        share_the_work(&driver, &topology, 2000).await;
        Played::Yes
    }
}

async fn share_the_work<D: Driver>(driver: &D, topology: &Topology, rounds: u64) {
    within(driver.prepare(topology)).await.unwrap();
    let mut subscribers = Vec::new();
    for connection in 0..topology.subscriber_connections {
        let subscriptions = topology.subscriptions_on(connection);
        subscribers.push(within(driver.subscriber(topology, &subscriptions)).await.unwrap());
    }
    let total = (rounds * u64::from(topology.lanes() * topology.receivers())) as usize;
    let arrived = std::cell::Cell::new(0);
    let all_came = tokio::sync::Notify::new();
    let reading = subscribers.iter_mut().map(|subscriber| async {
        let mut got = Got::new();
        while arrived.get() < total {
            tokio::select! {
                count = next(subscriber, &mut got) => arrived.set(arrived.get() + count.unwrap()),
                () = all_came.notified() => {}
            }
            if arrived.get() >= total {
                all_came.notify_waiters();
            }
        }
        nothing_more(subscriber).await;
        got.into_values().flatten().collect::<Vec<_>>()
    });
    let (got, _publisher) = tokio::join!(join_all(reading), write_all(driver, topology, 0, rounds));
    assert!(got.iter().filter(|got| !got.is_empty()).count() > 1, "the work is shared");
    let lanes: Vec<LaneId> = (0..topology.lanes()).map(LaneId).collect();
    for receiver in 0..topology.receivers() {
        let members = (0u32..).zip(&got).filter(|(one, _)| topology.receiver_of(*one) == receiver);
        let mut got: Vec<(TopicId, Vec<u8>)> = members.flat_map(|(_, got)| got.clone()).collect();
        got.sort_by(|(_, one), (_, other)| one[..12].cmp(&other[..12]));
        check(&got, topology, &lanes, rounds);
    }
}

/// One subscriber that gets everything, beside two queues of two: each queue gets everything once.
pub(crate) struct Audiences;

impl Case for Audiences {
    async fn play<D: Driver>(self, driver: D, _stage: &mut Stage) -> Played {
        let audience = |subscribers, delivery| Audience { name: String::new(), subscribers, delivery };
        let topology = Topology {
            publishers: 2,
            subscribers: 5,
            subscriber_connections: 5,
            topics: 2,
            audiences: vec![
                audience(1, Delivery::FanOut),
                audience(2, Delivery::WorkQueue),
                audience(2, Delivery::WorkQueue),
            ],
            ..topology()
        };
        if driver.guarantees().work_queue {
            share_the_work(&driver, &topology, 1000).await;
        } else {
            let error = within(driver.prepare(&topology)).await.unwrap_err();
            assert_eq!(error.kind, ErrorKind::Fatal, "{error}");
        }
        Played::Yes
    }
}

/// Half a mebibyte a message, on two topics.
pub(crate) struct Large;

impl Case for Large {
    async fn play<D: Driver>(self, driver: D, _stage: &mut Stage) -> Played {
        let topology = Topology { topics: 2, payload_max: 512 * 1024, ..topology() };
        all_arrives(&driver, &topology, 20).await;
        Played::Yes
    }
}

/// Nothing but the frame.
pub(crate) struct Empty;

impl Case for Empty {
    async fn play<D: Driver>(self, driver: D, _stage: &mut Stage) -> Played {
        let topology = topology();
        within(driver.prepare(&topology)).await.unwrap();
        let mut subscriber =
            within(driver.subscriber(&topology, &topology.subscriptions_on(0))).await.unwrap();
        let mut writer = Writer::new(within(driver.publisher(&topology, 0)).await.unwrap());
        for _ in 0..1000 {
            writer.put(TopicId(0), b"").await;
        }
        let (got, ()) = tokio::join!(read(&mut subscriber, 1000), writer.flush());
        assert!(got[&0].iter().all(|(topic, bytes)| *topic == TopicId(0) && bytes.is_empty()));
        nothing_more(&mut subscriber).await;
        Played::Yes
    }
}

/// Messages first, then the subscriber.
pub(crate) struct Late;

impl Case for Late {
    async fn play<D: Driver>(self, driver: D, _stage: &mut Stage) -> Played {
        let topology = topology();
        within(driver.prepare(&topology)).await.unwrap();
        let _publisher = write_all(&driver, &topology, 0, 100).await;
        let mut subscriber =
            within(driver.subscriber(&topology, &topology.subscriptions_on(0))).await.unwrap();
        if driver.guarantees().replay {
            check(&read(&mut subscriber, 100).await[&0], &topology, &[LaneId(0)], 100);
        }
        nothing_more(&mut subscriber).await;
        Played::Yes
    }
}

/// A trial that broke off, and the next one under the same names.
pub(crate) struct Fresh;

impl Case for Fresh {
    async fn play<D: Driver>(self, driver: D, _stage: &mut Stage) -> Played {
        let topology = topology();
        within(driver.prepare(&topology)).await.unwrap();
        let subscriber = within(driver.subscriber(&topology, &topology.subscriptions_on(0))).await.unwrap();
        let _publisher = write_all(&driver, &topology, 0, 100).await;
        drop(subscriber);
        within(driver.prepare(&topology)).await.unwrap();
        let mut subscriber =
            within(driver.subscriber(&topology, &topology.subscriptions_on(0))).await.unwrap();
        nothing_more(&mut subscriber).await;
        let mut writer = Writer::new(within(driver.publisher(&topology, 0)).await.unwrap());
        writer.put(TopicId(0), &payload(LaneId(7), 7, 64)).await;
        writer.flush().await;
        assert_eq!(read(&mut subscriber, 1).await[&0], [(TopicId(0), payload(LaneId(7), 7, 64))]);
        Played::Yes
    }
}
