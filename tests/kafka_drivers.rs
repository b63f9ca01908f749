//! What is particular to Kafka: its settings, what it refuses, groups, clusters, and the shipped scenarios.

#![cfg(feature = "kafka")]
#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::collections::BTreeSet;
use std::time::Duration;

use busmark::driver::kafka::Kafka;
use busmark::driver::{
    AckRun, Acknowledgement, Driver, Durability, Enqueued, ErrorKind, Outcome, Publisher, Subscriber,
};
use busmark::measure::TrialRecord;
use busmark::scenario::{self, DriverConfig, KafkaOptions, Scenario, Target, TopicId, Topology, shipped};
use busmark::target::{self, Broker, System};
use busmark::trial::{self, TrialPlan};
use tokio::time::timeout;

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

/// One trial of a target.
fn run(scenario: &Scenario, target: &Target) -> TrialRecord {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut broker = runtime.block_on(Broker::start(target)).unwrap();
    let plan = TrialPlan { scenario, point: "", target, trial: 1, seed: 5, unlike: None };
    let outcome = trial::run(&runtime, &plan, &mut broker, &mut |_| true).unwrap();
    runtime.block_on(broker.stop()).unwrap();
    let counts = &outcome.record.counts;
    assert!(counts.books.close(counts.sent, counts.expected), "{counts:?}");
    outcome.record
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

fn topology() -> Topology {
    Topology::of(&one("payload = \"64B\"\nrate = \"1/s\"", "").workload, "bm")
}

#[test]
fn what_client_or_broker_finds_too_long_is_rejected_and_the_next_message_is_not() {
    if !there_is_kafka() {
        return;
    }
    let scenario = one("rate = \"1/s\"", "");
    block_on(async {
        let target = &scenario.targets[0];
        let broker = Broker::start(target).await.unwrap();
        let driver = Kafka::new(broker.url(), options(target)).unwrap();
        let topology = topology();
        driver.prepare(&topology).await.unwrap();
        let mut publisher = driver.publisher(&topology, 0).await.unwrap();
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
    let scenario = one("rate = \"1/s\"", "broker = { nodes = 3 }\noptions = { replicas = 3 }");
    block_on(async {
        let target = &scenario.targets[0];
        let mut broker = Broker::start(target).await.unwrap();
        assert_eq!(broker.nodes().len(), 3);
        assert_eq!(broker.url().split(',').count(), 3, "{}", broker.url());
        let driver = Kafka::new(broker.url(), options(target)).unwrap();
        let topology = topology();
        driver.prepare(&topology).await.unwrap();
        let mut subscriber = driver.subscriber(&topology, &topology.subscriptions_on(0)).await.unwrap();
        let mut publisher = driver.publisher(&topology, 0).await.unwrap();
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
    let scenario = one("rate = \"1/s\"", "");
    block_on(async {
        let target = &scenario.targets[0];
        let broker = Broker::start(target).await.unwrap();
        let driver = Kafka::new(broker.url(), options(target)).unwrap();
        let topology = topology();
        driver.prepare(&topology).await.unwrap();
        let mut publisher = driver.publisher(&topology, 0).await.unwrap();
        let mut told = Told::default();
        publish(&mut publisher, &mut told, 20).await;
        let mut got: Vec<u64> = Vec::new();
        // The first one acknowledges ten of what it gets.
        let mut acknowledged = 0;
        let mut first = driver.subscriber(&topology, &topology.subscriptions_on(0)).await.unwrap();
        while acknowledged < 10 {
            let mut tokens = Vec::new();
            let mut each = |one: busmark::driver::Delivery<'_>| tokens.extend(one.token);
            timeout(WITHIN, first.next_batch(&mut each)).await.unwrap().unwrap();
            tokens.truncate(10 - acknowledged);
            acknowledged += tokens.len();
            first.ack(&tokens).await.unwrap();
        }
        drop(first);
        let mut second = driver.subscriber(&topology, &topology.subscriptions_on(0)).await.unwrap();
        while got.len() < 10 {
            let mut each = |one: busmark::driver::Delivery<'_>| {
                got.push(u64::from_be_bytes(one.payload.try_into().unwrap()));
            };
            timeout(WITHIN, second.next_batch(&mut each)).await.unwrap().unwrap();
        }
        assert_eq!(got, (10..20).collect::<Vec<u64>>());
        drop(second);
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
    for name in ["drivers/kafka", "drivers/kafka-cluster", "drivers/kafka-queue"] {
        let mut scenario = shipped::find(name).unwrap().scenario(&[]).unwrap();
        scenario.phases.warm_up = Duration::from_millis(500);
        scenario.phases.measure = scenario::Extent::Time(Duration::from_millis(500));
        scenario.workload.rate = scenario::Rate::PerSecond(300.0);
        for target in &scenario.targets {
            let counts = run(&scenario, target).counts;
            assert!(
                counts.sent > 0 && counts.delivered == counts.expected,
                "{name} {}: {counts:?}",
                target.name
            );
            assert_eq!((counts.lost, counts.discarded), (0, 0), "{name} {}: {counts:?}", target.name);
        }
    }
}
