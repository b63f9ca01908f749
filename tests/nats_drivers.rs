//! What is particular to the NATS drivers, on a real server; what all drivers promise is in conformance/.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use busmark::driver::{self, AckRun, AckToken, Driver, Enqueued, ErrorKind, Outcome, Publisher, Subscriber};
use busmark::scenario::{
    self, AckPolicy, ConsumerKind, Delivery, Discard, DriverConfig, JetstreamOptions, NatsCoreOptions,
    Retention, Storage, Subscribe, Target, TopicId, Topology,
};
use busmark::target::Broker;
use tokio::time::timeout;

/// What has not happened within this will not happen.
const WITHIN: Duration = Duration::from_secs(20);

/// The client that builds its own frames.
mod wire {
    use super::JetstreamOptions;
    use busmark::driver::nats::wire::{Jetstream, NatsCore};

    pub(crate) fn core(url: &str) -> NatsCore {
        NatsCore::new(url).unwrap()
    }

    pub(crate) fn jetstream(url: &str, options: &JetstreamOptions) -> Jetstream {
        Jetstream::new(url, options).unwrap()
    }
}

/// The client that an application uses.
mod library {
    use super::JetstreamOptions;
    use busmark::driver::nats::library::{Jetstream, NatsCore};

    pub(crate) fn core(url: &str) -> NatsCore {
        NatsCore::new(url)
    }

    pub(crate) fn jetstream(url: &str, options: &JetstreamOptions) -> Jetstream {
        Jetstream::new(url, options)
    }
}

/// The same test through each client.
macro_rules! through_both {
    ($client:ident => $test:expr) => {{
        use wire as $client;
        block_on($test);
    }
    {
        use library as $client;
        block_on($test);
    }};
}

fn options() -> JetstreamOptions {
    JetstreamOptions { storage: Storage::Memory, pull_batch: 50, ..JetstreamOptions::default() }
}

fn topology(subscribers: u32, topics: u32, delivery: Delivery) -> Topology {
    Topology {
        publishers: 1,
        publisher_connections: 1,
        subscribers,
        subscriber_connections: 1,
        topics,
        subscribe: Subscribe::All,
        delivery,
        payload_max: 64,
        prefix: "bm".to_owned(),
        ..Topology::default()
    }
}

async fn server(driver: DriverConfig, config: &[(&str, &str)]) -> Broker {
    let config = config.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    let broker = scenario::Broker::Managed(scenario::Managed { config, ..scenario::Managed::of(&driver) });
    Broker::start(&Target::one("nats", driver, broker)).await.unwrap()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { timeout(3 * WITHIN, future).await.expect("a test never hangs") })
}

/// Publishes `count` numbered messages round robin over the topics, and gives what became of each.
async fn publish(
    publisher: &mut impl Publisher,
    topics: u32,
    count: u64,
    wait_for_acks: bool,
) -> Vec<Outcome> {
    let mut outcomes: Vec<Option<Outcome>> = vec![None; usize::try_from(count).unwrap()];
    let mut answered = 0;
    let mut note = |run: AckRun| {
        for number in run.first..run.first + u64::from(run.count) {
            let twice = outcomes[usize::try_from(number).unwrap()].replace(run.outcome);
            assert_eq!(twice, None, "message {number} was answered twice");
            answered += 1;
        }
        answered
    };
    let mut now = 0;
    for number in 0..count {
        let topic = TopicId(u32::try_from(number % u64::from(topics)).unwrap());
        while publisher.enqueue(topic, &number.to_be_bytes()).unwrap() == Enqueued::Full {
            publisher.flush(&mut |run| now = note(run)).await.unwrap();
        }
    }
    publisher.flush(&mut |run| now = note(run)).await.unwrap();
    while wait_for_acks && now < count {
        let mut each = |run| now = note(run);
        timeout(WITHIN, publisher.acks(&mut each)).await.expect("acks come").unwrap();
    }
    outcomes.into_iter().flatten().collect()
}

/// What one subscription got: topic, number, flag.
type Got = Vec<(TopicId, u64, bool)>;

/// Reads until `count` deliveries came, acknowledging each batch if told to.
async fn read(subscriber: &mut impl Subscriber, count: usize, acknowledge: bool) -> BTreeMap<u32, Got> {
    let mut got: BTreeMap<u32, Got> = BTreeMap::new();
    while got.values().map(Vec::len).sum::<usize>() < count {
        let mut tokens: Vec<AckToken> = Vec::new();
        let mut each = |delivery: driver::Delivery<'_>| {
            let number = u64::from_be_bytes(delivery.payload.try_into().unwrap());
            got.entry(delivery.subscription).or_default().push((
                delivery.topic,
                number,
                delivery.redelivered,
            ));
            tokens.extend(delivery.token);
        };
        timeout(WITHIN, subscriber.next_batch(&mut each)).await.expect("more comes").unwrap();
        if acknowledge {
            subscriber.ack(&tokens).await.unwrap();
        }
    }
    got
}

/// Everything arrives once, in order, at each subscription, and nothing is left over.
async fn all_arrive(driver: &impl Driver, delivery: Delivery, acknowledged: bool) {
    let topology = topology(3, 4, delivery);
    let count = 5000;
    driver.prepare(&topology).await.unwrap();
    let mut subscriber = driver.subscriber(&topology, &topology.subscriptions_on(0)).await.unwrap();
    let mut publisher = driver.publisher(&topology, 0).await.unwrap();
    let copies = topology.receivers() as usize;
    let (outcomes, got) = tokio::join!(
        publish(&mut publisher, topology.topics, count, acknowledged),
        read(&mut subscriber, count as usize * copies, true)
    );
    let answers = if acknowledged { count as usize } else { 0 };
    assert_eq!(outcomes, vec![Outcome::Accepted; answers]);
    let mut numbers: Vec<u64> = got.values().flatten().map(|(_, number, _)| *number).collect();
    numbers.sort_unstable();
    let expected: Vec<u64> = (0..count).flat_map(|number| vec![number; copies]).collect();
    assert_eq!(numbers, expected);
    for (topic, number, redelivered) in got.values().flatten() {
        assert_eq!(u64::from(topic.0), number % u64::from(topology.topics));
        assert!(!redelivered);
    }
    if delivery == Delivery::FanOut {
        for got in got.values() {
            assert!(got.is_sorted_by_key(|(_, number, _)| number), "a subscription's order is the stream's");
        }
    }
    assert_eq!(subscriber.client_drops(), 0);
    if let Some(left) = driver.leftovers(&topology).await.unwrap() {
        // Acknowledgements may still be on their way; one more question gives them time to arrive.
        let mut left = left;
        for _ in 0..1000 {
            if left.pending == 0 {
                break;
            }
            left = driver.leftovers(&topology).await.unwrap().unwrap();
        }
        assert_eq!((left.pending, left.discarded), (0, 0));
    }
    driver.tear_down(&topology).await.unwrap();
}

#[test]
fn nats_core_delivers_everything_in_both_modes() {
    through_both!(client => async {
        let broker = server(DriverConfig::NatsCore(NatsCoreOptions::default()), &[]).await;
        let driver = client::core(broker.url());
        for delivery in [Delivery::FanOut, Delivery::WorkQueue] {
            all_arrive(&driver, delivery, false).await;
        }
        broker.stop().await.unwrap();
    });
}

/// A server that speaks TLS only, killed when dropped: the bundled engine.
struct Encrypted {
    child: Child,
    place: String,
    authority: PathBuf,
    dir: tempfile::TempDir,
}

impl Encrypted {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (authority, key) = (dir.path().join("cert.pem"), dir.path().join("key.pem"));
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
            .args(["-days", "2", "-subj", "/CN=busmark", "-addext", "subjectAltName=IP:127.0.0.1"])
            .args(["-addext", "basicConstraints=critical,CA:FALSE", "-out"])
            .arg(&authority)
            .arg("-keyout")
            .arg(&key)
            .output()
            .expect("openssl is needed to make a certificate");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let mut command = Command::new(env!("CARGO_BIN_EXE_busmark"));
        command.args(["serve", "jetstream", "--listen", "127.0.0.1:0", "--tls", "--tlscert"]).arg(&authority);
        command.arg("--tlskey").arg(&key).arg("-sd").arg(dir.path());
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let place = line.trim().strip_prefix("Listening on ").unwrap().to_owned();
        Self { child, place, authority, dir }
    }
}

impl Drop for Encrypted {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

#[test]
fn encrypted_connections_carry_everything_and_whom_nobody_vouches_for_is_refused() {
    let server = Encrypted::start();
    let url = format!("tls://{}?ca={}", server.place, server.authority.display());
    // A certificate of somebody else's is no reason to believe this one.
    let other = Encrypted::start();
    let stranger = format!("tls://{}?ca={}", server.place, other.authority.display());
    assert!(server.dir.path() != other.dir.path());
    through_both!(client => async {
        all_arrive(&client::core(&url), Delivery::FanOut, false).await;
        all_arrive(&client::jetstream(&url, &options()), Delivery::FanOut, true).await;
        let error = client::core(&stranger).prepare(&topology(1, 1, Delivery::FanOut)).await.unwrap_err();
        assert!(matches!(error.kind, ErrorKind::Disconnected | ErrorKind::Fatal), "{error}");
    });
}

fn every_combination() -> impl Iterator<Item = (Storage, ConsumerKind, AckPolicy)> {
    let acks = [AckPolicy::None, AckPolicy::All, AckPolicy::Explicit];
    [Storage::File, Storage::Memory].into_iter().flat_map(move |storage| {
        [ConsumerKind::Pull, ConsumerKind::Push]
            .into_iter()
            .flat_map(move |consumer| acks.map(|ack| (storage, consumer, ack)))
    })
}

#[test]
fn jetstream_delivers_everything_with_each_kind_of_consumer_acknowledgement_and_storage() {
    through_both!(client => async {
        let broker = server(DriverConfig::Jetstream(options()), &[]).await;
        for (storage, consumer, ack) in every_combination() {
            let driver =
                client::jetstream(broker.url(), &JetstreamOptions { storage, consumer, ack, ..options() });
            all_arrive(&driver, Delivery::FanOut, true).await;
            if ack != AckPolicy::All {
                all_arrive(&driver, Delivery::WorkQueue, true).await;
            }
        }
        broker.stop().await.unwrap();
    });
}

#[test]
fn a_work_queue_that_acknowledges_for_others_is_refused() {
    through_both!(client => async {
        let broker = server(DriverConfig::Jetstream(options()), &[]).await;
        let driver = client::jetstream(broker.url(), &JetstreamOptions { ack: AckPolicy::All, ..options() });
        let error = driver.prepare(&topology(2, 1, Delivery::WorkQueue)).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Fatal, "{error}");
        broker.stop().await.unwrap();
    });
}

#[test]
fn what_is_not_acknowledged_comes_again_with_its_flag_and_is_pending_until_then() {
    through_both!(client => async {
        let broker = server(DriverConfig::Jetstream(options()), &[]).await;
        let ack_wait = Duration::from_millis(200);
        let driver = client::jetstream(broker.url(), &JetstreamOptions { ack_wait, ..options() });
        let topology = topology(1, 1, Delivery::FanOut);
        driver.prepare(&topology).await.unwrap();
        let mut subscriber = driver.subscriber(&topology, &topology.subscriptions_on(0)).await.unwrap();
        let mut publisher = driver.publisher(&topology, 0).await.unwrap();
        publish(&mut publisher, 1, 10, true).await;
        let first = read(&mut subscriber, 10, false).await;
        assert!(first[&0].iter().all(|(_, _, redelivered)| !redelivered));
        assert_eq!(driver.leftovers(&topology).await.unwrap().unwrap().pending, 10);
        let second = read(&mut subscriber, 10, true).await;
        assert!(second[&0].iter().all(|(_, _, redelivered)| *redelivered));
        broker.stop().await.unwrap();
    });
}

#[test]
fn what_nobody_read_is_pending_for_each_receiver_and_prepare_takes_it_away() {
    through_both!(client => async {
        let broker = server(DriverConfig::Jetstream(options()), &[]).await;
        let driver = client::jetstream(broker.url(), &options());
        let topology = topology(3, 2, Delivery::FanOut);
        driver.prepare(&topology).await.unwrap();
        let mut publisher = driver.publisher(&topology, 0).await.unwrap();
        publish(&mut publisher, 2, 7, true).await;
        assert_eq!(driver.leftovers(&topology).await.unwrap().unwrap().pending, 3 * 7);
        driver.prepare(&topology).await.unwrap();
        assert_eq!(driver.leftovers(&topology).await.unwrap().unwrap().pending, 0);
        broker.stop().await.unwrap();
    });
}

#[test]
fn a_message_that_the_server_refuses_is_rejected_at_its_own_index() {
    through_both!(client => async {
        let broker = server(DriverConfig::Jetstream(options()), &[("jetstream.max_mem", "100KB")]).await;
        let driver = client::jetstream(broker.url(), &options());
        let topology = topology(1, 1, Delivery::FanOut);
        driver.prepare(&topology).await.unwrap();
        let mut publisher = driver.publisher(&topology, 0).await.unwrap();
        let outcomes = publish(&mut publisher, 1, 20_000, true).await;
        let accepted = outcomes.iter().filter(|&&outcome| outcome == Outcome::Accepted).count();
        assert!(accepted > 100 && accepted < 19_000, "{accepted}");
        assert_eq!(outcomes[0], Outcome::Accepted);
        assert_eq!(outcomes[19_999], Outcome::Rejected);
        let pending = driver.leftovers(&topology).await.unwrap().unwrap().pending;
        assert_eq!(pending, accepted as u64, "the server has exactly what it accepted");
        broker.stop().await.unwrap();
    });
}

#[test]
fn a_message_above_the_servers_limit_is_rejected_before_it_is_sent() {
    through_both!(client => async {
        let broker = server(DriverConfig::NatsCore(NatsCoreOptions::default()), &[("max_payload", "1KB")]).await;
        let driver = client::core(broker.url());
        let mut publisher = driver.publisher(&topology(1, 1, Delivery::FanOut), 0).await.unwrap();
        let error = publisher.enqueue(TopicId(0), &[0; 1025]).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Rejected, "{error}");
        assert_eq!(publisher.enqueue(TopicId(0), &[0; 1024]).unwrap(), Enqueued::Yes);
        broker.stop().await.unwrap();
    });
}

#[test]
fn a_broker_that_dies_is_disconnected_for_publishers_and_subscribers_and_stays_so() {
    through_both!(client => async {
        let mut broker = server(DriverConfig::Jetstream(options()), &[]).await;
        let driver = client::jetstream(broker.url(), &options());
        let topology = topology(1, 1, Delivery::FanOut);
        driver.prepare(&topology).await.unwrap();
        let mut subscriber = driver.subscriber(&topology, &topology.subscriptions_on(0)).await.unwrap();
        let mut publisher = driver.publisher(&topology, 0).await.unwrap();
        broker.kill().await;
        for _ in 0..2 {
            let read = timeout(WITHIN, subscriber.next_batch(&mut |_| ())).await.expect("it is noticed");
            assert_eq!(read.unwrap_err().kind, ErrorKind::Disconnected);
            let acks = timeout(WITHIN, publisher.acks(&mut |_| ())).await.expect("it is noticed");
            assert_eq!(acks.unwrap_err().kind, ErrorKind::Disconnected);
            assert_eq!(publisher.enqueue(TopicId(0), b"x").unwrap_err().kind, ErrorKind::Disconnected);
        }
        assert_eq!(driver.prepare(&topology).await.unwrap_err().kind, ErrorKind::Disconnected);
        broker.stop().await.unwrap();
    });
}

#[test]
fn a_publisher_that_is_kept_gets_everything_through_a_server_that_took_its_time() {
    through_both!(client => async {
        let mut broker = server(DriverConfig::NatsCore(NatsCoreOptions::default()), &[]).await;
        let driver = client::core(broker.url());
        let topology = topology(1, 1, Delivery::FanOut);
        let mut subscriber = driver.subscriber(&topology, &topology.subscriptions_on(0)).await.unwrap();
        let mut publisher = driver.publisher(&topology, 0).await.unwrap();
        broker.pause();
        let mut sent = 0u64;
        loop {
            for _ in 0..100 {
                let mut payload = [0; 1024];
                payload[..8].copy_from_slice(&sent.to_be_bytes());
                assert_eq!(publisher.enqueue(TopicId(0), &payload).unwrap(), Enqueued::Yes);
                sent += 1;
            }
            if timeout(Duration::from_millis(300), publisher.flush(&mut |_| ())).await.is_err() {
                break;
            }
        }
        broker.resume();
        publisher.flush(&mut |_| ()).await.unwrap();
        let mut next = 0;
        while next < sent {
            let mut each = |delivery: driver::Delivery<'_>| {
                assert_eq!(delivery.payload[..8], u64::to_be_bytes(next));
                next += 1;
            };
            timeout(WITHIN, subscriber.next_batch(&mut each)).await.expect("more comes").unwrap();
        }
        drop(publisher);
        broker.stop().await.unwrap();
    });
}

#[test]
fn what_the_library_drops_is_counted_to_the_message() {
    block_on(async {
        let broker = server(DriverConfig::NatsCore(NatsCoreOptions::default()), &[]).await;
        let driver = library::core(broker.url());
        let topology = topology(1, 1, Delivery::FanOut);
        let mut subscriber = driver.subscriber(&topology, &topology.subscriptions_on(0)).await.unwrap();
        let mut publisher = driver.publisher(&topology, 0).await.unwrap();
        // More than the library's queue of 65,536 holds, while nobody reads; chunks leave it some room.
        let sent = 150_000;
        publish(&mut publisher, 1, sent, false).await;
        let mut received = 0u64;
        while let Ok(batch) =
            timeout(Duration::from_millis(500), subscriber.next_batch(&mut |_| received += 1)).await
        {
            batch.unwrap();
        }
        assert!(received < sent, "this test wants to see drops");
        assert_eq!(subscriber.client_drops(), sent - received);
        broker.stop().await.unwrap();
    });
}

#[test]
fn what_a_stream_discards_by_its_own_limit_is_discarded_to_the_message() {
    through_both!(client => async {
        let broker = server(DriverConfig::Jetstream(options()), &[]).await;
        let driver = client::jetstream(broker.url(), &JetstreamOptions { max_messages: 100, ..options() });
        let topology = topology(2, 3, Delivery::FanOut);
        driver.prepare(&topology).await.unwrap();
        let mut publisher = driver.publisher(&topology, 0).await.unwrap();
        publish(&mut publisher, 3, 1000, true).await;
        let left = driver.leftovers(&topology).await.unwrap().unwrap();
        assert_eq!((left.pending, left.discarded), (2 * 100, 2 * 900), "two consumers have seen nothing");
        let mut subscriber = driver.subscriber(&topology, &topology.subscriptions_on(0)).await.unwrap();
        let got = read(&mut subscriber, 200, true).await;
        assert!(got.values().flatten().all(|(_, number, _)| *number >= 900));
        publish(&mut driver.publisher(&topology, 0).await.unwrap(), 3, 50, true).await;
        read(&mut subscriber, 100, true).await;
        let left = driver.leftovers(&topology).await.unwrap().unwrap();
        assert_eq!(left.discarded, 2 * 900, "what was delivered before it went is not discarded");
        broker.stop().await.unwrap();
    });
}

#[test]
fn a_full_stream_that_discards_the_new_refuses_it_and_work_is_removed_when_it_is_done() {
    through_both!(client => async {
        let broker = server(DriverConfig::Jetstream(options()), &[]).await;
        let full = JetstreamOptions {
            max_messages: 100,
            discard: Discard::New,
            retention: Retention::WorkQueue,
            ..options()
        };
        let driver = client::jetstream(broker.url(), &full);
        let topology = topology(2, 1, Delivery::WorkQueue);
        driver.prepare(&topology).await.unwrap();
        let mut publisher = driver.publisher(&topology, 0).await.unwrap();
        let outcomes = publish(&mut publisher, 1, 150, true).await;
        assert!(outcomes[..100].iter().all(|outcome| *outcome == Outcome::Accepted));
        assert!(outcomes[100..].iter().all(|outcome| *outcome == Outcome::Rejected));
        let mut subscriber = driver.subscriber(&topology, &topology.subscriptions_on(0)).await.unwrap();
        read(&mut subscriber, 100, true).await;
        while driver.leftovers(&topology).await.unwrap().unwrap().pending > 0 {}
        let again = publish(&mut driver.publisher(&topology, 0).await.unwrap(), 1, 100, true).await;
        assert_eq!(again, vec![Outcome::Accepted; 100], "acknowledged work made room");
        assert_eq!(driver.leftovers(&topology).await.unwrap().unwrap().discarded, 0);
        broker.stop().await.unwrap();
    });
}

#[test]
fn a_message_is_delivered_no_more_often_than_it_may_be() {
    through_both!(client => async {
        let broker = server(DriverConfig::Jetstream(options()), &[]).await;
        let twice =
            JetstreamOptions { ack_wait: Duration::from_millis(100), max_deliver: 2, ..options() };
        let driver = client::jetstream(broker.url(), &twice);
        let topology = topology(1, 1, Delivery::FanOut);
        driver.prepare(&topology).await.unwrap();
        let mut subscriber = driver.subscriber(&topology, &topology.subscriptions_on(0)).await.unwrap();
        publish(&mut driver.publisher(&topology, 0).await.unwrap(), 1, 10, true).await;
        let got = read(&mut subscriber, 20, false).await;
        assert_eq!(got[&0].iter().filter(|(_, _, redelivered)| *redelivered).count(), 10);
        let mut third = |_: driver::Delivery<'_>| panic!("a third time");
        drop(timeout(Duration::from_millis(500), subscriber.next_batch(&mut third)).await);
        broker.stop().await.unwrap();
    });
}

#[test]
fn each_message_carries_the_id_that_it_is_answered_under() {
    block_on(async {
        let broker = server(DriverConfig::Jetstream(options()), &[]).await;
        let driver = wire::jetstream(broker.url(), &JetstreamOptions { message_ids: true, ..options() });
        let topology = topology(1, 2, Delivery::FanOut);
        driver.prepare(&topology).await.unwrap();
        let mut publisher = driver.publisher(&topology, 0).await.unwrap();
        assert_eq!(publish(&mut publisher, 2, 500, true).await, vec![Outcome::Accepted; 500]);
        let mut subscriber = driver.subscriber(&topology, &topology.subscriptions_on(0)).await.unwrap();
        let got = read(&mut subscriber, 500, true).await;
        assert!(got[&0].iter().enumerate().all(|(at, (_, number, _))| at as u64 == *number));
        let context = async_nats::jetstream::new(async_nats::connect(broker.url()).await.unwrap());
        let stream = context.get_stream("busmark-bm").await.unwrap();
        let mut ids = std::collections::BTreeSet::new();
        for sequence in 1..=500 {
            let message = stream.get_raw_message(sequence).await.unwrap();
            ids.insert(message.headers.get("Nats-Msg-Id").unwrap().to_string());
        }
        assert_eq!(ids.len(), 500, "no two are alike");
        broker.stop().await.unwrap();
    });
}

/// Sends so many over a connection of its own.
async fn send(driver: &impl Driver, topology: &Topology, count: u64) {
    let mut publisher = driver.publisher(topology, 0).await.unwrap();
    publish(&mut publisher, topology.topics, count, true).await;
}

#[test]
fn an_ordered_consumer_that_is_taken_away_is_made_again_and_nothing_is_missing_or_twice() {
    block_on(async {
        let options = JetstreamOptions { consumer: ConsumerKind::Ordered, ack: AckPolicy::None, ..options() };
        let broker = server(DriverConfig::Jetstream(options.clone()), &[]).await;
        let driver = wire::jetstream(broker.url(), &options);
        let topology = topology(1, 2, Delivery::FanOut);
        driver.prepare(&topology).await.unwrap();
        let mut subscriber = driver.subscriber(&topology, &topology.subscriptions_on(0)).await.unwrap();
        let publish = async |count| send(&driver, &topology, count).await;
        publish(1000).await;
        let mut got = read(&mut subscriber, 700, false).await.remove(&0).unwrap();
        let client = async_nats::connect(broker.url()).await.unwrap();
        let stream = async_nats::jetstream::new(client).get_stream("busmark-bm").await.unwrap();
        stream.delete_consumer("ordered-0-0").await.unwrap();
        publish(500).await;
        let wanted = 1500 - got.len();
        got.extend(read(&mut subscriber, wanted, false).await.remove(&0).unwrap());
        let numbers = got.iter().map(|(_, number, _)| *number);
        assert!(numbers.eq((0..1000).chain(0..500)), "in order, each once: {got:?}");
        // Another connection goes on where this one was.
        drop(subscriber);
        publish(100).await;
        let mut subscriber = driver.subscriber(&topology, &topology.subscriptions_on(0)).await.unwrap();
        let got = read(&mut subscriber, 100, false).await.remove(&0).unwrap();
        assert!(got.iter().map(|(_, number, _)| *number).eq(0..100), "{got:?}");
        let left = driver.leftovers(&topology).await.unwrap().unwrap();
        assert_eq!((left.pending, left.discarded), (0, 0));
        let remarks = driver.remarks();
        assert!(remarks.len() == 1 && remarks[0].starts_with("1 times an ordered consumer"), "{remarks:?}");
        broker.stop().await.unwrap();
    });
}

#[test]
fn what_an_ordered_consumer_left_to_the_limits_is_counted_across_those_made_again() {
    block_on(async {
        let (consumer, ack) = (ConsumerKind::Ordered, AckPolicy::None);
        let options = JetstreamOptions { consumer, ack, max_messages: 50, ..options() };
        let broker = server(DriverConfig::Jetstream(options.clone()), &[]).await;
        let driver = wire::jetstream(broker.url(), &options);
        let topology = topology(1, 1, Delivery::FanOut);
        driver.prepare(&topology).await.unwrap();
        let publish = async |count| send(&driver, &topology, count).await;
        for count in [40, 200, 30] {
            // Nobody reads while these are sent: of each lot the stream keeps the last 50.
            publish(count).await;
            let mut subscriber = driver.subscriber(&topology, &topology.subscriptions_on(0)).await.unwrap();
            let kept = usize::try_from(count.min(50)).unwrap();
            assert_eq!(read(&mut subscriber, kept, false).await.remove(&0).unwrap().len(), kept);
        }
        publish(60).await;
        let left = driver.leftovers(&topology).await.unwrap().unwrap();
        assert_eq!((left.pending, left.discarded), (50, 150 + 10));
        broker.stop().await.unwrap();
    });
}
