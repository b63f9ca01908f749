//! JetStream on managed clusters (replicas, a majority that is lost, a leader that is killed), and servers
//! elsewhere that ask who one is.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::collections::BTreeSet;
use std::time::Duration;

use busmark::clock::Clock;
use busmark::driver::nats::{connect_options, library, wire};
use busmark::driver::{AckRun, AckToken, Acknowledgement, Driver, Enqueued, Outcome, Publisher, Subscriber};
use busmark::scenario::{Scenario, Subscription, TopicId, Topology};
use busmark::target::Broker;
use tokio::time::timeout;

/// Longest wait for anything: elections take up to ten seconds.
const WITHIN: Duration = Duration::from_secs(30);

/// A scenario with one JetStream target on `nodes` nodes.
fn scenario(nodes: u32, replicas: u32) -> Scenario {
    let text = format!(
        "name = \"cluster\"\n[workload]\npayload = \"64B\"\npublishers = 3\nsubscribers = 3\nrate = \"100/s\"\n\
         [[target]]\nname = \"nats\"\ndriver = \"jetstream\"\nbroker = {{ nodes = {nodes} }}\n\
         options = {{ replicas = {replicas}, pull_batch = 100 }}\n"
    );
    Scenario::parse(&text, "cluster", &[]).unwrap()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { timeout(4 * WITHIN, future).await.expect("a test never hangs") })
}

/// One topic; as many connections a side as there are nodes, so that connection i is at node i.
fn topology(scenario: &Scenario) -> Topology {
    Topology { topics: 1, ..Topology::of(&scenario.workload, "bm") }
}

async fn start(scenario: &Scenario) -> (Broker, wire::Jetstream) {
    let target = &scenario.targets[0];
    let broker = Broker::start(target).await.unwrap();
    let busmark::scenario::DriverConfig::Jetstream(options) = &target.driver else { unreachable!() };
    let driver = wire::Jetstream::new(broker.url(), options).unwrap();
    (broker, driver)
}

/// The node that leads the stream.
async fn leader(broker: &Broker) -> usize {
    let (options, servers) = connect_options(broker.url()).unwrap();
    let client = options.connect(servers).await.unwrap();
    let stream = async_nats::jetstream::new(client).get_stream("busmark-bm").await.unwrap();
    let name = stream.cached_info().cluster.as_ref().unwrap().leader.clone().unwrap();
    for (index, node) in broker.nodes().iter().enumerate() {
        let (options, servers) = connect_options(node.url()).unwrap();
        let client = options.connect(servers).await.unwrap();
        if client.server_info().server_name == name {
            return index;
        }
    }
    panic!("no node is called {name}");
}

/// What became of what was published.
#[derive(Default)]
struct Told {
    sent: u64,
    accepted: BTreeSet<u64>,
    rejected: BTreeSet<u64>,
}

impl Told {
    fn note(&mut self, run: AckRun) {
        let numbers = run.first..run.first + u64::from(run.count);
        match run.outcome {
            Outcome::Accepted => self.accepted.extend(numbers),
            Outcome::Rejected => self.rejected.extend(numbers),
        }
    }

    /// Publishes one message and takes what answers there are.
    async fn publish(&mut self, publisher: &mut impl Publisher) {
        let payload = self.sent.to_be_bytes();
        assert_eq!(publisher.enqueue(TopicId(0), &payload).unwrap(), Enqueued::Yes);
        self.sent += 1;
        publisher.flush(&mut |run| self.note(run)).await.unwrap();
        let _no_answer_yet = timeout(Duration::from_millis(5), publisher.acks(&mut |run| self.note(run)))
            .await
            .map(Result::unwrap);
    }
}

/// Reads until all of `wanted` came; the numbers, and how many came flagged as delivered before.
async fn read(subscriber: &mut impl Subscriber, wanted: &BTreeSet<u64>) -> (BTreeSet<u64>, u64) {
    let (mut got, mut again) = (BTreeSet::new(), 0);
    while !wanted.is_subset(&got) {
        let mut tokens: Vec<AckToken> = Vec::new();
        let mut each = |delivery: busmark::driver::Delivery<'_>| {
            got.insert(u64::from_be_bytes(delivery.payload.try_into().unwrap()));
            again += u64::from(delivery.redelivered);
            tokens.extend(delivery.token);
        };
        timeout(WITHIN, subscriber.next_batch(&mut each)).await.expect("more comes").unwrap();
        subscriber.ack(&tokens).await.unwrap();
    }
    (got, again)
}

fn subscriptions(topology: &Topology, connection: u32) -> Vec<Subscription> {
    topology.subscriptions_on(connection)
}

#[test]
fn a_leader_that_is_killed_costs_an_election_and_no_acknowledged_message() {
    let scenario = scenario(3, 3);
    block_on(async {
        let (mut broker, driver) = start(&scenario).await;
        assert_eq!(driver.guarantees().acknowledgement, Acknowledgement::Quorum);
        let topology = topology(&scenario);
        driver.prepare(&topology).await.unwrap();
        let leads = leader(&broker).await;
        let (one, other) = ((leads as u32 + 1) % 3, (leads as u32 + 2) % 3);
        let mut subscriber = driver.subscriber(&topology, &subscriptions(&topology, other)).await.unwrap();
        let mut publisher = driver.publisher(&topology, one).await.unwrap();
        let (clock, mut told) = (Clock::real(), Told::default());
        while told.accepted.len() < 200 {
            told.publish(&mut publisher).await;
        }
        let killed_at = clock.now();
        broker.node_mut(leads).unwrap().kill().await;
        let before = told.accepted.len();
        while told.accepted.len() < before + 300 {
            told.publish(&mut publisher).await;
            assert!(clock.now() - killed_at < 60_000_000_000, "the others elect a leader");
        }
        let outage = Duration::from_nanos(clock.now() - killed_at);
        let unknown = told.sent - told.accepted.len() as u64 - told.rejected.len() as u64;
        let (got, again) = read(&mut subscriber, &told.accepted).await;
        let from_the_unknown = got.difference(&told.accepted).count();
        let report = format!(
            "sent {}, accepted {}, rejected {}, unknown {unknown}, of which {from_the_unknown} came all the same; \
             {again} redelivered; back after {outage:?}\n",
            told.sent,
            told.accepted.len(),
            told.rejected.len()
        );
        std::io::Write::write_all(&mut std::io::stderr(), report.as_bytes()).unwrap();
        assert!(got.is_disjoint(&told.rejected), "what was refused must not come");
        broker.stop().await.unwrap();
    });
}

#[test]
fn two_nodes_serve_while_both_are_up_and_acknowledge_nothing_when_one_is_gone() {
    let scenario = scenario(2, 2);
    block_on(async {
        let (mut broker, driver) = start(&scenario).await;
        let topology = topology(&scenario);
        driver.prepare(&topology).await.unwrap();
        let mut publisher = driver.publisher(&topology, 0).await.unwrap();
        let mut told = Told::default();
        while told.accepted.len() < 100 {
            told.publish(&mut publisher).await;
        }
        let mut subscriber = driver.subscriber(&topology, &subscriptions(&topology, 0)).await.unwrap();
        read(&mut subscriber, &told.accepted).await;
        broker.node_mut(1).unwrap().kill().await;
        // What was on its way when the other died may still have been acknowledged by both.
        let accepted = told.accepted.len() as u64;
        let sent = told.sent;
        for _ in 0..200 {
            told.publish(&mut publisher).await;
        }
        let late = told.accepted.len() as u64 - accepted;
        assert!(late <= sent - accepted + 1, "{late} messages were acknowledged by one node of two");
        broker.stop().await.unwrap();
    });
}

#[test]
fn one_copy_on_a_cluster_is_reached_through_any_node() {
    let scenario = scenario(3, 1);
    block_on(async {
        let (broker, driver) = start(&scenario).await;
        assert_eq!(driver.guarantees().acknowledgement, Acknowledgement::Leader);
        let topology = topology(&scenario);
        driver.prepare(&topology).await.unwrap();
        let mut told = Told::default();
        let mut publisher = driver.publisher(&topology, 0).await.unwrap();
        while told.accepted.len() < 100 {
            told.publish(&mut publisher).await;
        }
        for connection in 0..3 {
            let subscriptions = subscriptions(&topology, connection);
            let mut subscriber = driver.subscriber(&topology, &subscriptions).await.unwrap();
            let (got, again) = read(&mut subscriber, &told.accepted).await;
            assert_eq!((got.len() as u64, again), (told.sent, 0), "node {connection}");
        }
        broker.stop().await.unwrap();
    });
}

/// A server that asks who one is, started with this configuration; ended when dropped.
struct Guarded {
    process: std::process::Child,
    address: String,
    _dir: tempfile::TempDir,
}

impl Guarded {
    fn start(authorization: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let ports = dir.path().display();
        let file = dir.path().join("nats.conf");
        let config = format!("listen: \"127.0.0.1:-1\"\nports_file_dir: \"{ports}\"\n{authorization}\n");
        std::fs::write(&file, config).unwrap();
        let program =
            busmark::target::find(busmark::target::System::Nats).expect("run scripts/brokers first");
        let process = std::process::Command::new(&program.path)
            .arg("-c")
            .arg(&file)
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let said = dir.path().join(format!("nats-server_{}.ports", process.id()));
        let (clock, mut address) = (Clock::real(), None);
        let began = clock.now();
        while address.is_none() {
            assert!(clock.now() - began < 10_000_000_000, "the server says where it listens");
            std::thread::yield_now();
            let text = std::fs::read_to_string(&said).unwrap_or_default();
            let ports: serde_json::Value = serde_json::from_str(&text).unwrap_or_default();
            address =
                ports["nats"][0].as_str().and_then(|url| url.strip_prefix("nats://")).map(str::to_owned);
        }
        Self { process, address: address.unwrap(), _dir: dir }
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// Lets both clients in by `good`, by neither of the `bad`, and says no secret when it fails.
async fn lets_in(server: &Guarded, good: &str, bad: &[&str]) {
    let topology = topology(&scenario(1, 1));
    let url = |template: &str| format!("nats://{}", template.replace("ADDRESS", &server.address));
    wire::NatsCore::new(&url(good)).unwrap().prepare(&topology).await.unwrap();
    library::NatsCore::new(&url(good)).prepare(&topology).await.unwrap();
    for bad in bad {
        let errors = [
            wire::NatsCore::new(&url(bad)).unwrap().prepare(&topology).await.unwrap_err(),
            library::NatsCore::new(&url(bad)).prepare(&topology).await.unwrap_err(),
        ];
        for error in errors {
            let text = format!("{error} {error:?}");
            assert!(!text.contains("hidden") && !text.contains("SU"), "{text}");
        }
    }
}

#[test]
fn a_server_elsewhere_lets_in_by_password_token_and_key_and_no_secret_is_said() {
    block_on(async {
        let server = Guarded::start("authorization { user: joe, password: \"hidden@1\" }");
        lets_in(&server, "joe:hidden%401@ADDRESS", &["joe:hidden2@ADDRESS", "hidden3@ADDRESS", "ADDRESS"])
            .await;
        let server = Guarded::start("authorization { token: \"hidden-token\" }");
        lets_in(&server, "hidden-token@ADDRESS", &["hidden-other@ADDRESS", "ADDRESS"]).await;
        let (key, other) = (nkeys::KeyPair::new_user(), nkeys::KeyPair::new_user());
        let server =
            Guarded::start(&format!("authorization {{ users: [ {{ nkey: {} }} ] }}", key.public_key()));
        let by = |key: &nkeys::KeyPair| format!("ADDRESS?nkey={}", key.seed().unwrap());
        lets_in(&server, &by(&key), &[&by(&other), "ADDRESS"]).await;
    });
}
