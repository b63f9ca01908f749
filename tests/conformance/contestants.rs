//! The drivers under test, each in a configuration of its own.

use std::process::Command;
use std::sync::OnceLock;
use std::time::Duration;

use busmark::scenario::{
    self, AckPolicy, Aof, Client, ClusterMode, ConsumerKind, DriverConfig, JetstreamOptions, LoopbackOptions,
    Managed, NatsCoreOptions, RedisClusterOptions, RedisPubsubOptions, RedisStreamsOptions, Server, Storage,
    StreamConsumer, SubscriberProtocol, Transport, Trim,
};

/// A driver under test, and its broker.
pub(crate) struct Contestant {
    pub(crate) name: &'static str,
    pub(crate) driver: DriverConfig,
    pub(crate) broker: scenario::Broker,
    pub(crate) refusal: Refusal,
}

/// How the broker can be made to refuse messages to the odd topics.
pub(crate) enum Refusal {
    /// It can't, for this reason.
    Never(&'static str),
    /// Redis: the default user may publish to the even topics only.
    RedisAcl,
    /// Redis: the default user may use the stream of topic 0 only.
    RedisKeys,
}

fn managed(driver: &DriverConfig) -> scenario::Broker {
    scenario::Broker::Managed(Managed::of(driver))
}

pub(crate) fn loopback() -> Contestant {
    let options = LoopbackOptions {
        drop: 0.0,
        duplicate: 0.0,
        reorder: 0.0,
        corrupt: 0.0,
        delay: Duration::ZERO,
        stall_at: Duration::ZERO,
        stall_for: Duration::ZERO,
    };
    Contestant {
        name: "loopback",
        driver: DriverConfig::Loopback(options),
        broker: scenario::Broker::None,
        refusal: Refusal::Never("memory refuses nothing"),
    }
}

fn redis_pubsub(name: &'static str, client: Client) -> Contestant {
    let driver = DriverConfig::RedisPubsub(RedisPubsubOptions { client, ..RedisPubsubOptions::default() });
    let broker = managed(&driver);
    Contestant { name, driver, broker, refusal: Refusal::RedisAcl }
}

pub(crate) fn redis_pubsub_wire() -> Contestant {
    redis_pubsub("redis-pubsub (wire)", Client::Wire)
}

pub(crate) fn redis_pubsub_library() -> Contestant {
    redis_pubsub("redis-pubsub (library)", Client::Library)
}

/// Subscribers that speak another protocol.
fn speaking(protocol: SubscriberProtocol, contestant: Contestant) -> Contestant {
    let DriverConfig::RedisPubsub(options) = contestant.driver else { return contestant };
    Contestant { driver: DriverConfig::RedisPubsub(RedisPubsubOptions { protocol, ..options }), ..contestant }
}

pub(crate) fn redis_pubsub_wire_resp3() -> Contestant {
    speaking(SubscriberProtocol::Resp3, redis_pubsub("redis-pubsub (wire, RESP3)", Client::Wire))
}

pub(crate) fn redis_pubsub_library_resp3() -> Contestant {
    speaking(SubscriberProtocol::Resp3, redis_pubsub("redis-pubsub (library, RESP3)", Client::Library))
}

pub(crate) fn valkey_pubsub_wire_mixed() -> Contestant {
    let name = "redis-pubsub (wire, RESP2 and RESP3) on Valkey";
    speaking(SubscriberProtocol::Mixed, on(name, Client::Wire, Server::Valkey, Transport::Tcp))
}

/// The same driver on another server, or over another socket.
fn on(name: &'static str, client: Client, server: Server, transport: Transport) -> Contestant {
    let contestant = redis_pubsub(name, client);
    let managed = Managed { server, transport, ..Managed::of(&contestant.driver) };
    Contestant { broker: scenario::Broker::Managed(managed), ..contestant }
}

pub(crate) fn redis_pubsub_wire_unix() -> Contestant {
    on("redis-pubsub (wire, unix)", Client::Wire, Server::Redis, Transport::Unix)
}

pub(crate) fn redis_pubsub_library_unix() -> Contestant {
    on("redis-pubsub (library, unix)", Client::Library, Server::Redis, Transport::Unix)
}

pub(crate) fn valkey_pubsub_wire() -> Contestant {
    on("redis-pubsub (wire) on Valkey", Client::Wire, Server::Valkey, Transport::Tcp)
}

pub(crate) fn valkey_pubsub_library() -> Contestant {
    on("redis-pubsub (library) on Valkey", Client::Library, Server::Valkey, Transport::Tcp)
}

/// The bundled engine behind TLS, with a certificate made for it.
fn encrypted(name: &'static str, client: Client) -> Contestant {
    let contestant = redis_pubsub(name, client);
    let (cert, key) = certificate();
    let words = [env!("CARGO_BIN_EXE_busmark"), "serve", "pubsub", "--listen", "tls:127.0.0.1:{port}"];
    let files = ["--tls-cert", cert, "--tls-key", key];
    let broker = scenario::Broker::Command {
        argv: words.into_iter().chain(files).map(str::to_owned).collect(),
        url: format!("rediss://127.0.0.1:{{port}}?ca={cert}"),
        ready_within: Duration::from_secs(10),
    };
    Contestant { broker, refusal: Refusal::Never("the bundled engine knows no rights"), ..contestant }
}

pub(crate) fn redis_pubsub_wire_tls() -> Contestant {
    encrypted("redis-pubsub (wire, TLS)", Client::Wire)
}

pub(crate) fn redis_pubsub_library_tls() -> Contestant {
    encrypted("redis-pubsub (library, TLS)", Client::Library)
}

/// A certificate for 127.0.0.1 that vouches for itself, and its key.
fn certificate() -> (&'static str, &'static str) {
    static MADE: OnceLock<(tempfile::TempDir, String, String)> = OnceLock::new();
    let (_, cert, key) = MADE.get_or_init(|| {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let (cert, key) = (path("cert.pem"), path("key.pem"));
        let names = "subjectAltName=IP:127.0.0.1";
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
            .args(["-days", "2", "-subj", "/CN=busmark", "-addext", names])
            .args(["-addext", "basicConstraints=critical,CA:FALSE", "-out", &cert, "-keyout", &key])
            .output()
            .expect("openssl is needed to make a certificate");
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        (dir, cert, key)
    });
    (cert, key)
}

fn cluster(name: &'static str, mode: ClusterMode, server: Server) -> Contestant {
    let driver = DriverConfig::RedisCluster(RedisClusterOptions { mode });
    let managed = Managed { server, ..Managed::of(&driver) };
    Contestant { name, driver, broker: scenario::Broker::Managed(managed), refusal: Refusal::RedisAcl }
}

pub(crate) fn redis_cluster_classic() -> Contestant {
    cluster("redis-cluster (classic)", ClusterMode::Classic, Server::Redis)
}

pub(crate) fn redis_cluster_sharded() -> Contestant {
    cluster("redis-cluster (sharded)", ClusterMode::Sharded, Server::Redis)
}

pub(crate) fn valkey_cluster_sharded() -> Contestant {
    cluster("redis-cluster (sharded) on Valkey", ClusterMode::Sharded, Server::Valkey)
}

fn streams(name: &'static str, consumer: StreamConsumer, aof: Aof, server: Server) -> Contestant {
    let (trim, claim_after) = (Trim::Approximate, Duration::ZERO);
    let options = RedisStreamsOptions { consumer, max_length: 0, trim, aof, batch: 100, claim_after };
    let driver = DriverConfig::RedisStreams(options);
    let managed = Managed { server, ..Managed::of(&driver) };
    Contestant { name, driver, broker: scenario::Broker::Managed(managed), refusal: Refusal::RedisKeys }
}

pub(crate) fn redis_streams_group() -> Contestant {
    streams("redis-streams (group)", StreamConsumer::Group, Aof::Off, Server::Redis)
}

pub(crate) fn redis_streams_read() -> Contestant {
    streams("redis-streams (read, AOF everysec)", StreamConsumer::Read, Aof::EverySecond, Server::Redis)
}

pub(crate) fn valkey_streams_group() -> Contestant {
    streams("redis-streams (group, AOF always) on Valkey", StreamConsumer::Group, Aof::Always, Server::Valkey)
}

fn nats_core(name: &'static str, client: Client) -> Contestant {
    let driver = DriverConfig::NatsCore(NatsCoreOptions { client });
    Contestant {
        name,
        broker: managed(&driver),
        driver,
        refusal: Refusal::Never("NATS core answers nothing"),
    }
}

pub(crate) fn nats_core_wire() -> Contestant {
    nats_core("nats-core (wire)", Client::Wire)
}

pub(crate) fn nats_core_library() -> Contestant {
    nats_core("nats-core (library)", Client::Library)
}

fn jetstream(name: &'static str, options: JetstreamOptions) -> Contestant {
    let driver = DriverConfig::Jetstream(options);
    Contestant {
        name,
        broker: managed(&driver),
        driver,
        refusal: Refusal::Never("a stream refuses by its limits only, which nats_drivers.rs shows"),
    }
}

/// A file, asked for, and acknowledged one by one.
fn pull(client: Client) -> JetstreamOptions {
    JetstreamOptions {
        client,
        storage: Storage::File,
        consumer: ConsumerKind::Pull,
        ack: AckPolicy::Explicit,
        pull_batch: 100,
        ..JetstreamOptions::default()
    }
}

/// In memory, sent as it comes, and not acknowledged.
fn push(client: Client) -> JetstreamOptions {
    JetstreamOptions {
        storage: Storage::Memory,
        consumer: ConsumerKind::Push,
        ack: AckPolicy::None,
        ..pull(client)
    }
}

pub(crate) fn jetstream_pull_wire() -> Contestant {
    jetstream("jetstream (wire, file, pull, explicit)", pull(Client::Wire))
}

pub(crate) fn jetstream_pull_library() -> Contestant {
    jetstream("jetstream (library, file, pull, explicit)", pull(Client::Library))
}

pub(crate) fn jetstream_push_wire() -> Contestant {
    jetstream("jetstream (wire, memory, push, none)", push(Client::Wire))
}

pub(crate) fn jetstream_push_library() -> Contestant {
    jetstream("jetstream (library, memory, push, none)", push(Client::Library))
}

#[cfg(feature = "kafka")]
fn kafka(name: &'static str, options: scenario::KafkaOptions) -> Contestant {
    let driver = DriverConfig::Kafka(options);
    let refusal =
        Refusal::Never("Kafka refuses by size and missing replicas only, which kafka_drivers.rs shows");
    Contestant { name, broker: managed(&driver), driver, refusal }
}

/// As an application that wants to lose nothing: a group, and an answer for each message.
#[cfg(feature = "kafka")]
pub(crate) fn kafka_group() -> Contestant {
    kafka("kafka (group, acks all)", scenario::KafkaOptions::default())
}

/// Without a group and without answers, in compressed batches, on several partitions.
#[cfg(feature = "kafka")]
pub(crate) fn kafka_assign() -> Contestant {
    let options = scenario::KafkaOptions {
        acks: scenario::KafkaAcks::None,
        linger: Duration::from_millis(1),
        compression: scenario::Compression::Lz4,
        partitions: 3,
        consumer: scenario::KafkaConsumer::Assign,
        ..scenario::KafkaOptions::default()
    };
    kafka("kafka (assign, acks 0, lz4)", options)
}

pub(crate) fn jetstream_ordered_wire() -> Contestant {
    let options =
        JetstreamOptions { consumer: ConsumerKind::Ordered, ack: AckPolicy::None, ..pull(Client::Wire) };
    jetstream("jetstream (wire, file, ordered)", options)
}
