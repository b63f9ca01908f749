//! Cases about what goes wrong.

use std::time::Duration;

use busmark::driver::{Driver, Enqueued, ErrorKind, Outcome, Publisher};
use busmark::scenario::{LaneId, Subscription, TopicId, Topology};
use tokio::time::timeout;

use crate::contestants::Refusal;
use crate::stage::{Case, Played, Stage, WAIT, topology};
use crate::traffic::{Got, Outcomes, Writer, next, nothing_more, payload, read, within};

/// Every other message goes to a topic that the broker refuses.
pub(crate) struct Refused;

impl Case for Refused {
    async fn play<D: Driver>(self, driver: D, stage: &mut Stage) -> Played {
        let topology = Topology { topics: 2, ..topology() };
        within(driver.prepare(&topology)).await.unwrap();
        // Redis cuts subscribers of what is forbidden to them later.
        let allowed = Subscription { topics: vec![TopicId(0)], ..topology.subscriptions_on(0).remove(0) };
        let mut subscriber = within(driver.subscriber(&topology, &[allowed])).await.unwrap();
        match stage.refusal {
            Refusal::Never(why) => return Played::DoesNotApply(why),
            Refusal::RedisAcl => forbid_topic_one(stage, "resetchannels", '&', &topology).await,
            Refusal::RedisKeys => forbid_topic_one(stage, "resetkeys", '~', &topology).await,
        }
        let mut writer = Writer::new(within(driver.publisher(&topology, 0)).await.unwrap());
        for number in 0..1000u64 {
            let refused = number % 7 == 3;
            writer.put(TopicId(u32::from(refused)), &payload(LaneId(0), number, 64)).await;
        }
        writer.flush().await;
        writer.settle().await;
        for (number, outcome) in &writer.outcomes.0 {
            let expected = if number % 7 == 3 { Outcome::Rejected } else { Outcome::Accepted };
            assert_eq!(*outcome, expected, "message {number}");
        }
        let accepted = writer.outcomes.0.values().filter(|one| **one == Outcome::Accepted).count();
        assert!(read(&mut subscriber, accepted).await[&0].iter().all(|(topic, _)| *topic == TopicId(0)));
        nothing_more(&mut subscriber).await;
        Played::Yes
    }
}

/// Redis: everybody may use topic 0 only, be it a channel or a key, on every node.
async fn forbid_topic_one(stage: &Stage, reset: &str, mark: char, topology: &Topology) {
    let allowed = format!("{mark}{}", topology.topic_name(TopicId(0)));
    for node in stage.broker.nodes() {
        let client = redis::Client::open(node.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let mut command = redis::cmd("ACL");
        command.arg("SETUSER").arg("default").arg(reset).arg(&allowed);
        command.query_async::<()>(&mut connection).await.unwrap();
    }
}

/// The broker is killed while both sides are busy.
pub(crate) struct Killed;

impl Case for Killed {
    async fn play<D: Driver>(self, driver: D, stage: &mut Stage) -> Played {
        if !stage.has_process {
            return Played::DoesNotApply("there is no process that could die");
        }
        let topology = topology();
        within(driver.prepare(&topology)).await.unwrap();
        let mut subscriber =
            within(driver.subscriber(&topology, &topology.subscriptions_on(0))).await.unwrap();
        let mut publisher = within(driver.publisher(&topology, 0)).await.unwrap();
        let something_came = tokio::sync::Notify::new();
        let killing = async {
            within(something_came.notified()).await;
            tokio::time::sleep(Duration::from_millis(200)).await;
            stage.broker.kill().await;
        };
        let reading = async {
            let mut got = Got::new();
            loop {
                match next(&mut subscriber, &mut got).await {
                    Ok(_) => something_came.notify_one(),
                    Err(error) => return (error, got),
                }
            }
        };
        let ((), writing, (read, got)) =
            tokio::join!(killing, publish_until_it_breaks(&mut publisher), reading);
        assert_eq!(writing, ErrorKind::Disconnected);
        assert_eq!(read.kind, ErrorKind::Disconnected, "{read}");
        assert!(!got[&0].is_empty(), "something came before the end");
        Played::Yes
    }
}

/// Publishes small batches as a trial does; the kind of the error that ended it.
async fn publish_until_it_breaks(publisher: &mut impl Publisher) -> ErrorKind {
    let mut outcomes = Outcomes::default();
    let mut number = 0;
    let publishing = async {
        loop {
            for _ in 0..10 {
                match publisher.enqueue(TopicId(0), &payload(LaneId(0), number, 64)) {
                    Ok(Enqueued::Yes) => number += 1,
                    Ok(Enqueued::Full) => break,
                    // The node of this topic is gone, and others of its cluster may still be there.
                    Err(error) if error.kind == ErrorKind::Rejected => break,
                    Err(error) => return error.kind,
                }
            }
            if let Err(error) = publisher.flush(&mut |run| outcomes.note(run)).await {
                return error.kind;
            }
            let mut note = |run| outcomes.note(run);
            if let Ok(Err(error)) = timeout(Duration::from_millis(2), publisher.acks(&mut note)).await {
                return error.kind;
            }
        }
    };
    timeout(WAIT, publishing).await.expect("a broken connection is noticed")
}

/// Everything is asked of a broker that is gone.
pub(crate) struct Absent;

impl Case for Absent {
    async fn play<D: Driver>(self, driver: D, stage: &mut Stage) -> Played {
        if !stage.has_process {
            return Played::DoesNotApply("there is no process that could be missing");
        }
        stage.broker.kill().await;
        let topology = topology();
        let errors = [
            within(driver.prepare(&topology)).await.err(),
            within(driver.publisher(&topology, 0)).await.err(),
            within(driver.subscriber(&topology, &topology.subscriptions_on(0))).await.err(),
        ];
        for error in errors {
            let error = error.expect("nobody is there");
            assert_eq!(error.kind, ErrorKind::Disconnected, "{error}");
        }
        Played::Yes
    }
}
