//! What is particular to Kafka: its settings, what it refuses, groups, clusters, and the shipped scenarios.

#![cfg(feature = "kafka")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

#[path = "shared/trials.rs"]
mod trials;

use std::collections::BTreeSet;
use std::time::Duration;

use busmark::driver::kafka::Kafka;
use busmark::driver::{
    AckRun, Acknowledgement, Driver, Durability, Enqueued, ErrorKind, Outcome, Publisher, Subscriber,
};
use busmark::scenario::{DriverConfig, KafkaOptions, Scenario, Target, TopicId, Topology, shipped};
use busmark::target::{self, Broker, System};
use tokio::time::timeout;

use crate::trials::{run, shipped_lose_nothing};

/// Longest that one wait may take.
const WITHIN: Duration = Duration::from_secs(60);

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { timeout(4 * WITHIN, future).await.expect("a test never hangs") })
}

/// Whether there is a Kafka here; said aloud if not, and a failure where the environment says `CI`.
fn there_is_kafka() -> bool {
    let found = target::find(System::Kafka).is_some();
    assert!(found || std::env::var_os("CI").is_none(), "no Kafka: {}", System::Kafka.what_to_do());
    if !found {
        use std::io::Write as _;
        std::io::stderr().write_all(b"NOT RUN: there is no Kafka\n").unwrap();
    }
    found
}

/// A scenario with one Kafka target.
fn one(workload: &str, target: &str) -> Scenario {
    let text = format!(
        "name = \"one\"\n[workload]\n{workload}\n[phases]\nwarm_up = \"1s\"\nmeasure = \"1s\"\ndrain = \"10s\"\n\
         [trials]\ncount = 1\n[[target]]\nname = \"kafka\"\ndriver = \"kafka\"\n{target}\n"
    );
    Scenario::parse(&text, "one", &[]).unwrap()
}

fn options(target: &Target) -> &KafkaOptions {
    let DriverConfig::Kafka(options) = &target.driver else { panic!("it is Kafka") };
    options
}

#[test]
fn every_setting_of_a_publisher_carries_its_messages() {
    if !there_is_kafka() {
        return;
    }
    for settings in [
        "acks = \"1\", linger = \"2ms\", batch_bytes = 65536, compression = \"snappy\", consumer = \"assign\"",
        "acks = \"all\", idempotence = true, partitions = 2, flush = \"always\", commit_interval = \"100ms\"",
        "acks = \"0\", linger = \"500us\"",
    ] {
        let scenario = one(
            "payload = \"200B\"\nrate = \"500/s\"\npublishers = 2\nsubscribers = 2\ntopics = 2",
            &format!("options = {{ {settings} }}"),
        );
        let counts = run(&scenario, &scenario.targets[0]).counts;
        assert!(counts.sent > 400 && counts.delivered == counts.expected, "{settings}: {counts:?}");
        let acked = if settings.contains("\"0\"") { None } else { Some(counts.sent) };
        assert_eq!(counts.acked.filter(|&acked| acked > 0), acked, "{settings}: {counts:?}");
        assert_eq!(
            (counts.lost, counts.duplicate, counts.reordered),
            (0, Some(0), Some(0)),
            "{settings}: {counts:?}"
        );
    }
}

#[test]
fn guarantees_follow_the_settings() {
    let of = |settings: &str| {
        let scenario =
            one("rate = \"1/s\"", &format!("broker = {{ nodes = 3 }}\noptions = {{ {settings} }}"));
        Kafka::new("kafka://127.0.0.1:1", options(&scenario.targets[0])).unwrap().guarantees()
    };
    let quorum = of("replicas = 3");
    assert_eq!(
        (quorum.acknowledgement, quorum.fsync, quorum.replicas),
        (Acknowledgement::Quorum, Durability::Interval, 3)
    );
    assert_eq!(of("acks = \"1\", replicas = 3").acknowledgement, Acknowledgement::Leader);
    let none = of("acks = \"0\"");
    assert_eq!((none.acknowledgement, none.answers()), (Acknowledgement::None, false));
    assert_eq!(of("flush = \"always\"").fsync, Durability::Always);
    assert!(of("idempotence = true").deviations.iter().any(|words| words.contains("again by itself")));
}

/// A broker of its own, with everything prepared for one publisher and one topic.
struct Ground {
    broker: Broker,
    driver: Kafka,
    topology: Topology,
    publisher: <Kafka as Driver>::Publisher,
}

impl Ground {
    /// For a target with these settings.
    async fn prepare(settings: &str) -> Self {
        let scenario = one("payload = \"64B\"\nrate = \"1/s\"", settings);
        let target = &scenario.targets[0];
        let broker = Broker::start(target).await.unwrap();
        let driver = Kafka::new(broker.url(), options(target)).unwrap();
        let topology = Topology::of(&scenario.workload, "bm");
        driver.prepare(&topology).await.unwrap();
        let publisher = driver.publisher(&topology, 0).await.unwrap();
        Self { broker, driver, topology, publisher }
    }

    async fn subscriber(&self) -> <Kafka as Driver>::Subscriber {
        self.driver.subscriber(&self.topology, &self.topology.subscriptions_on(0)).await.unwrap()
    }
}

#[test]
fn what_client_or_broker_finds_too_long_is_rejected_and_the_next_message_is_not() {
    if !there_is_kafka() {
        return;
    }
    block_on(async {
        let Ground { broker, mut publisher, .. } = Ground::prepare("").await;
        let too_long = publisher.enqueue(TopicId(0), &vec![7; 3 << 20]).unwrap_err();
        assert_eq!(too_long.kind, ErrorKind::Rejected, "{too_long}");
        // Below the client's limit, and above the topic's.
        assert_eq!(publisher.enqueue(TopicId(0), &vec![7; 1_020_000]).unwrap(), Enqueued::Yes);
        assert_eq!(publisher.enqueue(TopicId(0), b"short").unwrap(), Enqueued::Yes);
        let mut runs: Vec<AckRun> = Vec::new();
        while runs.len() < 2 {
            timeout(WITHIN, publisher.acks(&mut |run| runs.push(run))).await.unwrap().unwrap();
        }
        runs.sort_by_key(|run| run.first);
        let of = |first, outcome| AckRun { first, count: 1, outcome };
        assert_eq!(runs, [of(0, Outcome::Rejected), of(1, Outcome::Accepted)]);
        drop(publisher);
        broker.stop().await.unwrap();
    });
}

/// Publishes numbered messages one by one until `until` says so, however long an answer takes.
async fn publish(publisher: &mut impl Publisher, told: &mut Told, count: u64) {
    for _ in 0..count {
        let number = told.sent.to_be_bytes();
        if publisher.enqueue(TopicId(0), &number).unwrap() == Enqueued::Yes {
            told.sent += 1;
        }
        publisher.flush(&mut |run| told.note(run)).await.unwrap();
        let _nothing_came =
            timeout(Duration::from_millis(5), publisher.acks(&mut |run| told.note(run))).await;
    }
}

/// What became of what was published.
#[derive(Default)]
struct Told {
    sent: u64,
    accepted: BTreeSet<u64>,
}

impl Told {
    fn note(&mut self, run: AckRun) {
        if run.outcome == Outcome::Accepted {
            self.accepted.extend(run.first..run.first + u64::from(run.count));
        }
    }
}

#[test]
fn what_three_brokers_acknowledged_outlives_one_of_them() {
    if !there_is_kafka() {
        return;
    }
    block_on(async {
        let ground = Ground::prepare("broker = { nodes = 3 }\noptions = { replicas = 3 }").await;
        let mut subscriber = ground.subscriber().await;
        let Ground { mut broker, mut publisher, .. } = ground;
        assert_eq!(broker.nodes().len(), 3);
        assert_eq!(broker.url().split(',').count(), 3, "{}", broker.url());
        let mut told = Told::default();
        publish(&mut publisher, &mut told, 100).await;
        assert!(!told.accepted.is_empty());
        broker.node_mut(0).unwrap().kill().await;
        let before = told.accepted.len();
        while told.accepted.len() < before + 50 {
            publish(&mut publisher, &mut told, 1).await;
        }
        let mut got: BTreeSet<u64> = BTreeSet::new();
        while !told.accepted.is_subset(&got) {
            let mut each = |one: busmark::driver::Delivery<'_>| {
                got.insert(u64::from_be_bytes(one.payload.try_into().unwrap()));
            };
            timeout(WITHIN, subscriber.next_batch(&mut each))
                .await
                .expect("what was acknowledged comes")
                .unwrap();
        }
        drop((subscriber, publisher));
        broker.stop().await.unwrap();
    });
}

#[test]
fn a_member_that_comes_back_goes_on_where_its_group_was() {
    if !there_is_kafka() {
        return;
    }
    block_on(async {
        let mut ground = Ground::prepare("").await;
        let mut told = Told::default();
        publish(&mut ground.publisher, &mut told, 20).await;
        let mut got: Vec<u64> = Vec::new();
        // The first one acknowledges ten of what it gets.
        let mut acknowledged = 0;
        let mut first = ground.subscriber().await;
        while acknowledged < 10 {
            let mut tokens = Vec::new();
            let mut each = |one: busmark::driver::Delivery<'_>| tokens.extend(one.token);
            timeout(WITHIN, first.next_batch(&mut each)).await.unwrap().unwrap();
            tokens.truncate(10 - acknowledged);
            acknowledged += tokens.len();
            first.ack(&tokens).await.unwrap();
        }
        drop(first);
        let mut second = ground.subscriber().await;
        while got.len() < 10 {
            let mut each = |one: busmark::driver::Delivery<'_>| {
                got.push(u64::from_be_bytes(one.payload.try_into().unwrap()));
            };
            timeout(WITHIN, second.next_batch(&mut each)).await.unwrap().unwrap();
        }
        assert_eq!(got, (10..20).collect::<Vec<u64>>());
        drop(second);
        let Ground { broker, driver, topology, publisher } = ground;
        let left = driver.leftovers(&topology).await.unwrap().unwrap();
        assert_eq!((left.pending, left.discarded), (10, 0), "ten were delivered and never acknowledged");
        drop(publisher);
        broker.stop().await.unwrap();
    });
}

#[test]
fn the_shipped_scenarios_of_kafka_run_on_real_brokers_and_lose_nothing() {
    if !there_is_kafka() {
        return;
    }
    let names = ["drivers/kafka", "drivers/kafka-cluster", "drivers/kafka-queue", "article/kafka"];
    shipped_lose_nothing(&names, Duration::from_millis(500), 300.0);
}

#[test]
fn one_of_three_brokers_that_is_killed_costs_an_outage_and_nothing_that_was_acknowledged() {
    if !there_is_kafka() {
        return;
    }
    let scenario = shipped::find("patterns/broker-kill").unwrap().scenario(&[]).unwrap();
    for target in &scenario.targets {
        let record = run(&scenario, target);
        let (counts, event) = (&record.counts, &record.events[0]);
        assert!(event.failure.is_none(), "{event:?}");
        assert_eq!((counts.acked_lost, counts.duplicate), (Some(0), Some(0)), "{}: {counts:?}", target.name);
        // A broker is missed after 9 s; until then nobody leads what it led.
        let outage = record.outage.unwrap();
        assert!((4.0..16.0).contains(&outage.seconds), "{}: {outage:?}", target.name);
        assert!((outage.from_s - event.began_s).abs() < 1.5, "{}: {outage:?} {event:?}", target.name);
        assert!(counts.delivered > counts.expected * 8 / 10, "{}: {counts:?}", target.name);
        if target.name == "idempotent" {
            assert_eq!(
                (counts.unknown, counts.delivered),
                (0, counts.expected),
                "{counts:?} {:?}",
                record.notes
            );
        }
    }
}
