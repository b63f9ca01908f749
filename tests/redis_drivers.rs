//! What is particular to Redis: what a stream trims, who is cut off and when, secrets, and the shipped scenarios.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

#[path = "shared/trials.rs"]
mod trials;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use busmark::driver::redis_cluster::ShardedCluster;
use busmark::driver::redis_pubsub::{LibraryClient, WireClient};
use busmark::driver::redis_streams::RedisStreams;
use busmark::driver::{AckRun, Driver, Enqueued, ErrorKind, Outcome, Publisher, Subscriber};
use busmark::scenario::{
    self, Aof, ClusterMode, Delivery, DriverConfig, Managed, RedisClusterOptions, RedisPubsubOptions,
    RedisStreamsOptions, Scenario, StreamConsumer, Subscribe, SubscribeBy, SubscriberProtocol, Target,
    TopicId, Topology, Trim,
};
use busmark::target::Broker;
use tokio::time::timeout;

use crate::trials::{run, shipped_lose_nothing};

/// Longest that one wait may take.
const WITHIN: Duration = Duration::from_secs(20);

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { timeout(4 * WITHIN, future).await.expect("a test never hangs") })
}

/// A scenario with one target.
fn one(workload: &str, target: &str) -> Scenario {
    let text = format!(
        "name = \"one\"\n[workload]\n{workload}\n[phases]\nwarm_up = \"0s\"\nmeasure = \"2s\"\ndrain = \"2s\"\n\
         [trials]\ncount = 1\n[[target]]\nname = \"redis\"\n{target}\n"
    );
    Scenario::parse(&text, "one", &[]).unwrap()
}

#[test]
fn what_a_stream_trims_unread_is_discarded_and_no_acked_loss() {
    for (consumer, trim) in [("group", "exact"), ("read", "exact"), ("group", "approximate")] {
        let scenario = one(
            "payload = \"64B\"\nrate = \"2k/s\"\nprocessing_delay = \"5ms\"",
            &format!(
                "driver = \"redis-streams\"\noptions = {{ consumer = \"{consumer}\", max_length = 200, trim = \
                 \"{trim}\", batch = 10 }}"
            ),
        );
        let counts = run(&scenario, &scenario.targets[0]).counts;
        // 200 messages a second are worked on, 2,000 come, 200 are kept.
        assert!(counts.acked == Some(counts.sent) && counts.sent > 3900, "{counts:?}");
        assert!(counts.discarded > 2000, "{consumer} {trim}: {counts:?}");
        assert_eq!((counts.lost, counts.acked_lost), (0, Some(0)), "{consumer} {trim}: {counts:?}");
    }
}

#[test]
fn a_stream_that_keeps_everything_discards_nothing_and_what_is_unread_is_pending() {
    let scenario = one(
        "payload = \"64B\"\nrate = \"1k/s\"\nprocessing_delay = \"5ms\"",
        "driver = \"redis-streams\"\noptions = { batch = 10 }",
    );
    let counts = run(&scenario, &scenario.targets[0]).counts;
    assert_eq!((counts.discarded, counts.lost, counts.acked_lost), (0, 0, Some(0)), "{counts:?}");
    assert!(counts.pending_at_deadline > 500, "{counts:?}");
}

#[test]
fn what_a_member_took_and_never_acknowledged_is_claimed_by_another_and_told() {
    let options = RedisStreamsOptions {
        consumer: StreamConsumer::Group,
        max_length: 0,
        trim: Trim::Approximate,
        aof: Aof::Off,
        batch: 10,
        claim_after: Duration::from_millis(200),
    };
    let driver = DriverConfig::RedisStreams(options.clone());
    let broker = scenario::Broker::Managed(Managed::of(&driver));
    let target = Target::one("redis", driver, broker);
    let topology =
        Topology { subscribers: 2, subscriber_connections: 2, delivery: Delivery::WorkQueue, ..topology() };
    block_on(async {
        let broker = Broker::start(&target).await.unwrap();
        let driver = RedisStreams::new(broker.url(), &options).unwrap();
        driver.prepare(&topology).await.unwrap();
        let mut publisher = driver.publisher(&topology, 0).await.unwrap();
        assert_eq!(publish(&mut publisher, &topology, 10).await.0, 10);
        let member = async |connection| {
            driver.subscriber(&topology, &topology.subscriptions_on(connection)).await.unwrap()
        };
        let mut first = member(0).await;
        assert_eq!(take(&mut first, 10).await, (10, 0));
        drop(first);
        assert_eq!(driver.leftovers(&topology).await.unwrap().unwrap().pending, 10);
        let mut second = member(1).await;
        assert_eq!(publish(&mut publisher, &topology, 5).await.0, 5);
        assert_eq!(take(&mut second, 15).await, (15, 10), "5 are new, 10 were the other's");
        assert_eq!(driver.remarks(), ["10 entries were claimed after nobody had acknowledged them in time"]);
        broker.stop().await.unwrap();
    });
}

/// Takes so many deliveries and acknowledges none; how many came, and how many flagged.
async fn take(subscriber: &mut impl Subscriber, count: u64) -> (u64, u64) {
    let (mut came, mut again) = (0, 0);
    while came < count {
        let mut each = |delivery: busmark::driver::Delivery<'_>| {
            came += 1;
            again += u64::from(delivery.redelivered);
        };
        timeout(WITHIN, subscriber.next_batch(&mut each)).await.expect("more comes").unwrap();
    }
    (came, again)
}

/// Bytes that the kernel may hold between the two ends of a connection, roughly.
const SOCKETS: u64 = 14 << 20;

#[test]
fn a_subscriber_that_reads_nothing_is_cut_at_the_documented_byte_count_and_later_with_a_higher_limit() {
    let default = bytes_until_cut(&[]);
    let raised = bytes_until_cut(&[("client-output-buffer-limit", "pubsub 64mb 16mb 60")]);
    for (sent, limit) in [(default, 32u64 << 20), (raised, 64 << 20)] {
        // The server counts what surrounds a payload too; the sockets hold what it doesn't.
        assert!(
            sent > limit * 4 / 5 && sent < limit + SOCKETS,
            "cut after {sent} bytes at a limit of {limit}"
        );
    }
    assert!(raised > default + (24 << 20), "{default} {raised}");
}

/// Publishes to a subscriber that doesn't read until Redis cuts it; the bytes of payload published by then.
fn bytes_until_cut(config: &[(&str, &str)]) -> u64 {
    let driver = DriverConfig::RedisPubsub(RedisPubsubOptions::default());
    let config = config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let managed = Managed { config, ..Managed::of(&driver) };
    let broker = scenario::Broker::Managed(managed);
    let target = Target::one("redis", driver, broker);
    block_on(async {
        let broker = Broker::start(&target).await.unwrap();
        let driver = WireClient::new(broker.url()).unwrap();
        let topology = topology();
        let mut subscriber = driver.subscriber(&topology, &topology.subscriptions_on(0)).await.unwrap();
        let mut publisher = driver.publisher(&topology, 0).await.unwrap();
        let (payload, mut sent) = (vec![7u8; 1024], 0u64);
        let cut = async || {
            let counters = broker.counters().await.unwrap();
            counters.get("client_output_buffer_limit_disconnections").unwrap()
        };
        while cut().await < 1.0 {
            for _ in 0..200 {
                assert_eq!(publisher.enqueue(TopicId(0), &payload).unwrap(), Enqueued::Yes);
            }
            timeout(WITHIN, publisher.flush(&mut |_| ())).await.unwrap().unwrap();
            sent += 200;
            assert!(sent < 200_000, "it is never cut");
        }
        let mut delivered = 0u64;
        let error = loop {
            let mut count = |_: busmark::driver::Delivery<'_>| delivered += 1;
            if let Err(error) = timeout(WITHIN, subscriber.next_batch(&mut count)).await.unwrap() {
                break error;
            }
        };
        assert_eq!(error.kind, ErrorKind::Disconnected);
        assert!(error.to_string().contains("client-output-buffer-limit"), "{error}");
        assert!(delivered < sent, "what was in the buffer is lost");
        broker.stop().await.unwrap();
        sent * 1024
    })
}

#[test]
fn a_stopped_subscriber_shows_as_disconnect_and_loss_with_the_reason() {
    let scenario =
        one("payload = \"1KiB\"\nrate = \"30k/s\"\nprocessing_delay = \"60s\"", "driver = \"redis-pubsub\"");
    let record = run(&scenario, &scenario.targets[0]);
    assert_eq!(record.counts.disconnects, 1, "{:?} {:?}", record.counts, record.notes);
    assert!(record.counts.lost > 30_000, "{:?}", record.counts);
    assert_eq!(record.counts.acked_lost, None, "PUBLISH promises nothing");
    let told = |words: &str| record.notes.iter().any(|note| note.contains(words));
    assert!(told("the server cut 1 clients") && told("33554432"), "{:?}", record.notes);
}

fn topology() -> Topology {
    Topology {
        publishers: 1,
        publisher_connections: 1,
        subscribers: 1,
        subscriber_connections: 1,
        topics: 1,
        subscribe: Subscribe::All,
        delivery: Delivery::FanOut,
        payload_max: 1024,
        prefix: "bm".to_owned(),
        ..Topology::default()
    }
}

/// What the server says of its subscribers: RESP version, channels, patterns.
async fn subscribers_of(broker: &Broker) -> Vec<String> {
    let list: String = redis::from_redis_value(ask(broker, 0, &["CLIENT", "LIST"]).await.unwrap()).unwrap();
    let field = |line: &str, name: &str| {
        let start = format!("{name}=");
        line.split(' ').find_map(|word| word.strip_prefix(&start)).unwrap().to_owned()
    };
    let mut subscribers: Vec<String> = list
        .lines()
        .map(|line| ["resp", "sub", "psub"].map(|name| field(line, name)).join(" "))
        .filter(|seen| !seen.ends_with(" 0 0"))
        .collect();
    subscribers.sort();
    subscribers
}

#[test]
fn subscribers_speak_the_protocol_and_use_the_patterns_that_were_asked_for_as_the_server_sees_it() {
    let topology = Topology {
        subscribers: 4,
        subscriber_connections: 4,
        topics: 8,
        by: SubscribeBy::Pattern,
        ..topology()
    };
    let paired = Topology { subscribe: Subscribe::Paired, ..topology.clone() };
    let by_name = Topology { by: SubscribeBy::Name, ..topology.clone() };
    let cases = [
        (SubscriberProtocol::Resp2, &topology, ["2 0 1"; 4]),
        (SubscriberProtocol::Resp3, &by_name, ["3 8 0"; 4]),
        (SubscriberProtocol::Mixed, &paired, ["2 0 2", "2 0 2", "3 0 2", "3 0 2"]),
    ];
    block_on(async {
        let broker = Broker::start(&pubsub()).await.unwrap();
        for (protocol, topology, expected) in cases {
            let wire = WireClient::new(broker.url()).unwrap().speaking(protocol);
            assert_eq!(seen_by(&broker, &wire, topology).await, expected, "wire {protocol:?}");
            let library = LibraryClient::new(broker.url()).unwrap().speaking(protocol);
            assert_eq!(seen_by(&broker, &library, topology).await, expected, "library {protocol:?}");
        }
        broker.stop().await.unwrap();
    });
}

/// What the server says while all subscribers of a topology are there; it knows of none before.
async fn seen_by<D: Driver>(broker: &Broker, driver: &D, topology: &Topology) -> Vec<String> {
    let mut left = tokio::time::interval(Duration::from_millis(10));
    while !subscribers_of(broker).await.is_empty() {
        left.tick().await;
    }
    let mut subscribers = Vec::new();
    for connection in 0..topology.subscriber_connections {
        let subscriptions = topology.subscriptions_on(connection);
        subscribers.push(driver.subscriber(topology, &subscriptions).await.unwrap());
    }
    subscribers_of(broker).await
}

/// A managed Redis for Pub/Sub.
fn pubsub() -> Target {
    let driver = DriverConfig::RedisPubsub(RedisPubsubOptions::default());
    let broker = scenario::Broker::Managed(Managed::of(&driver));
    Target::one("redis", driver, broker)
}

/// Nobody would have it by chance, and each of its signs has to be encoded in an address.
const SECRET: &str = "s3cr3t/@:%?#&=";

#[test]
fn user_and_password_from_the_environment_open_a_real_redis_and_stand_nowhere() {
    let target = pubsub();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let broker = runtime.block_on(Broker::start(&target)).unwrap();
    runtime.block_on(async {
        let client = redis::Client::open(broker.url()).unwrap();
        let mut connection = client.get_multiplexed_async_connection().await.unwrap();
        let password = format!(">{SECRET}");
        for words in [vec!["ann", "on", &password, "~*", "&*", "+@all"], vec!["default", "off"]] {
            redis::cmd("ACL").arg("SETUSER").arg(words).query_async::<()>(&mut connection).await.unwrap();
        }
    });
    let place = broker.url().strip_prefix("redis://").unwrap();
    let url = format!("redis://ann:${{BUSMARK_TEST_PASSWORD}}@{place}/0");
    let targets = ["redis-pubsub", "redis-pubsub\"\noptions.client = \"library", "redis-streams"];
    keeps_the_secret(&url, &targets);
    runtime.block_on(broker.stop()).unwrap();
}

#[test]
fn tls_with_a_password_opens_the_bundled_engine_and_the_password_stands_nowhere() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (cert, key) = (path("cert.pem"), path("key.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-days", "2", "-subj", "/CN=busmark", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-out", &cert, "-keyout", &key])
        .output()
        .expect("openssl is needed to make a certificate");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let mut engine = Engine::start(&["--listen", "tls:127.0.0.1:0", "--tls-cert", &cert, "--tls-key", &key]);
    let place = engine.place();
    let url = format!("rediss://:${{BUSMARK_TEST_PASSWORD}}@{place}?ca={cert}");
    keeps_the_secret(&url, &["redis-pubsub", "redis-pubsub\"\noptions.client = \"library"]);
}

/// The bundled engine with the secret as its password, killed when dropped.
struct Engine(Child);

impl Engine {
    fn start(args: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_busmark"));
        command.args(["serve", "pubsub"]).args(args).env("BUSMARK_PASSWORD", SECRET);
        Self(command.stdout(Stdio::piped()).spawn().unwrap())
    }

    fn place(&mut self) -> String {
        let mut line = String::new();
        BufReader::new(self.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let place = line.trim().strip_prefix("Listening on ").unwrap();
        place.trim_start_matches("tls:").to_owned()
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Runs a scenario on drivers at `url` with the right password and then with a wrong one: the first gives a
/// result, the second says what is wrong, and neither shows a password.
fn keeps_the_secret(url: &str, drivers: &[&str]) {
    let dir = tempfile::tempdir().unwrap();
    let mut text =
        "name = \"secret\"\n[workload]\npayload = \"64B\"\nrate = \"500/s\"\n[phases]\nwarm_up = \"0s\"\n\
                    measure = \"300ms\"\ndrain = \"2s\"\n[trials]\ncount = 1\n"
            .to_owned();
    for (number, driver) in drivers.iter().enumerate() {
        text += &format!("[[target]]\nname = \"t{number}\"\nbroker.url = \"{url}\"\ndriver = \"{driver}\"\n");
    }
    fs::write(dir.path().join("secret.toml"), text).unwrap();
    for (password, fits) in [(SECRET, true), ("wr0ng-one", false)] {
        let output = Command::new(env!("CARGO_BIN_EXE_busmark"))
            .args(["run", "secret.toml", "--expect", "lost == 0"])
            .env("BUSMARK_TEST_PASSWORD", password)
            .env("RUST_LOG", "debug")
            .current_dir(dir.path())
            .output()
            .unwrap();
        let said = [output.stdout.as_slice(), &output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert_eq!(output.status.code() != Some(4), fits, "{said}");
        if !fits {
            assert!(said.contains("authentication failed"), "{said}");
        }
        assert_hidden("what was said", &said);
        if fits {
            let csv = fs::read_to_string(dir.path().join("results/latest/summary.csv")).unwrap();
            assert_eq!(csv.lines().count(), drivers.len() + 1, "{csv}\n{said}");
        }
        for file in files_below(&dir.path().join("results")) {
            assert_hidden(&file.display().to_string(), &String::from_utf8_lossy(&fs::read(&file).unwrap()));
        }
    }
}

fn assert_hidden(place: &str, text: &str) {
    for secret in [SECRET, "s3cr3t", "wr0ng-one"] {
        assert!(!text.contains(secret), "{secret} stands in {place}");
    }
}

fn files_below(folder: &Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

#[test]
fn the_shipped_scenarios_of_redis_run_on_real_servers_and_lose_nothing() {
    let names = [
        "drivers/redis-cluster-classic",
        "drivers/redis-cluster-sharded",
        "drivers/redis-streams",
        "drivers/redis-streams-queue",
        "drivers/redis-streams-aof",
        "drivers/redis-resp3",
        "drivers/redis-unix",
        "drivers/valkey",
    ];
    shipped_lose_nothing(&names, Duration::from_millis(200), 500.0);
}

/// Three masters, and twelve topics on them.
async fn three_masters() -> (Broker, ShardedCluster, Topology) {
    let driver = DriverConfig::RedisCluster(RedisClusterOptions { mode: ClusterMode::Sharded });
    let broker = scenario::Broker::Managed(Managed::of(&driver));
    let target = Target::one("cluster", driver, broker);
    let broker = Broker::start(&target).await.unwrap();
    assert_eq!(broker.nodes().len(), 3);
    let driver = ShardedCluster::new(broker.url()).unwrap();
    (broker, driver, Topology { topics: 12, ..topology() })
}

async fn ask(broker: &Broker, node: usize, words: &[&str]) -> Result<redis::Value, redis::RedisError> {
    let client = redis::Client::open(broker.nodes()[node].url()).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    redis::cmd(words[0]).arg(&words[1..]).query_async(&mut connection).await
}

/// Publishes `count` messages to each topic in turn; what became of them.
async fn publish(publisher: &mut impl Publisher, topology: &Topology, count: u32) -> (u64, u64, Vec<u32>) {
    let (mut accepted, mut rejected, mut enqueued, mut refused) = (0, 0, 0, Vec::new());
    let mut note = |run: AckRun| match run.outcome {
        Outcome::Accepted => accepted += u64::from(run.count),
        Outcome::Rejected => rejected += u64::from(run.count),
    };
    for topic in (0..count).flat_map(|_| 0..topology.topics) {
        loop {
            match publisher.enqueue(TopicId(topic), &[9; 100]) {
                Ok(Enqueued::Yes) => break enqueued += 1,
                Ok(Enqueued::Full) => {
                    timeout(WITHIN, publisher.flush(&mut note)).await.unwrap().unwrap();
                }
                Err(error) if error.kind == ErrorKind::Rejected => break refused.push(topic),
                Err(error) => panic!("{error}"),
            }
        }
    }
    timeout(WITHIN, publisher.flush(&mut note)).await.unwrap().unwrap();
    while let Ok(answered) = timeout(Duration::from_millis(300), publisher.acks(&mut note)).await {
        answered.unwrap();
    }
    assert!(accepted + rejected <= enqueued);
    refused.dedup();
    (accepted, enqueued - accepted - rejected, refused)
}

/// Reads until nothing has come for a while; deliveries by topic.
async fn drain(subscriber: &mut impl Subscriber, topology: &Topology) -> Vec<u32> {
    let mut got = vec![0; topology.topics as usize];
    let mut count = |delivery: busmark::driver::Delivery<'_>| got[delivery.topic.0 as usize] += 1;
    while let Ok(read) = timeout(Duration::from_millis(300), subscriber.next_batch(&mut count)).await {
        read.unwrap();
    }
    got
}

#[test]
fn topics_are_spread_over_the_masters_and_a_slot_that_moves_is_followed_counted_and_told() {
    block_on(async {
        let (broker, driver, topology) = three_masters().await;
        driver.prepare(&topology).await.unwrap();
        let mut subscriber = driver.subscriber(&topology, &topology.subscriptions_on(0)).await.unwrap();
        let mut publisher = driver.publisher(&topology, 0).await.unwrap();
        assert_eq!(publish(&mut publisher, &topology, 100).await, (1200, 0, Vec::new()));
        assert_eq!(drain(&mut subscriber, &topology).await, [100; 12]);
        for node in 0..3 {
            let channels = ask(&broker, node, &["PUBSUB", "SHARDCHANNELS"]).await.unwrap();
            assert!(
                matches!(&channels, redis::Value::Array(some) if !some.is_empty()),
                "node {node} has none"
            );
        }
        assert!(driver.remarks().is_empty(), "{:?}", driver.remarks());

        let moved = move_a_slot(&broker, &topology).await;
        drain(&mut subscriber, &topology).await;
        assert!(
            driver.remarks().iter().any(|remark| remark.contains("1 subscriptions")),
            "{:?}",
            driver.remarks()
        );
        assert_eq!(
            publish(&mut publisher, &topology, 100).await,
            (1200, 0, Vec::new()),
            "topic {moved} moved"
        );
        assert_eq!(drain(&mut subscriber, &topology).await, [100; 12]);
        let remarks = driver.remarks();
        assert!(
            remarks.iter().any(|remark| remark.contains("100 messages were refused with MOVED")),
            "{remarks:?}"
        );
        broker.stop().await.unwrap();
    });
}

/// Gives the slot of some topic from the first master to the second; the topic.
async fn move_a_slot(broker: &Broker, topology: &Topology) -> u32 {
    let mut ids = Vec::new();
    for node in 0..3 {
        let redis::Value::BulkString(id) = ask(broker, node, &["CLUSTER", "MYID"]).await.unwrap() else {
            panic!()
        };
        ids.push(String::from_utf8(id).unwrap());
    }
    for topic in 0..topology.topics {
        let name = topology.topic_name(TopicId(topic));
        let redis::Value::Int(slot) = ask(broker, 0, &["CLUSTER", "KEYSLOT", &name]).await.unwrap() else {
            panic!()
        };
        if slot > 5460 {
            continue;
        }
        let slot = slot.to_string();
        ask(broker, 1, &["CLUSTER", "SETSLOT", &slot, "IMPORTING", &ids[0]]).await.unwrap();
        ask(broker, 0, &["CLUSTER", "SETSLOT", &slot, "MIGRATING", &ids[1]]).await.unwrap();
        for node in [1, 0, 2] {
            ask(broker, node, &["CLUSTER", "SETSLOT", &slot, "NODE", &ids[1]]).await.unwrap();
        }
        return topic;
    }
    panic!("no topic lives on the first master");
}

#[test]
fn a_master_that_dies_takes_its_topics_with_it_and_no_others_until_it_is_back() {
    block_on(async {
        let (mut broker, driver, topology) = three_masters().await;
        driver.prepare(&topology).await.unwrap();
        let mut publisher = driver.publisher(&topology, 0).await.unwrap();
        assert_eq!(publish(&mut publisher, &topology, 10).await.0, 120);
        broker.node_mut(0).unwrap().kill().await;
        // The first round may still be on its way to the node; nobody knows what became of that.
        let (accepted, unknown, _) = publish(&mut publisher, &topology, 1).await;
        assert!(accepted < 12 && accepted + unknown <= 12);
        let (accepted, unknown, refused) = publish(&mut publisher, &topology, 10).await;
        assert!(!refused.is_empty() && refused.len() < 120, "{refused:?}");
        assert!(accepted > 0 && unknown == 0, "the other masters go on: {accepted} {unknown}");
        assert!(driver.remarks().iter().any(|remark| remark.contains("sockets to a node broke")));

        broker.restart_node(0).await.unwrap();
        let back = async { while publish(&mut publisher, &topology, 1).await.0 < 12 {} };
        timeout(WITHIN, back).await.expect("the node is found again");
        broker.stop().await.unwrap();
    });
}
