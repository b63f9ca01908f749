//! The drivers under test, each in a configuration of its own.

use std::time::Duration;

use busmark::scenario::{
    self, AckPolicy, Client, ConsumerKind, DeliverPolicy, DriverConfig, JetstreamOptions, LoopbackOptions,
    Managed, NatsCoreOptions, RedisPubsubOptions, Storage, Sync,
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
    let driver = DriverConfig::RedisPubsub(RedisPubsubOptions { client });
    let broker = managed(&driver);
    Contestant { name, driver, broker, refusal: Refusal::RedisAcl }
}

pub(crate) fn redis_pubsub_wire() -> Contestant {
    redis_pubsub("redis-pubsub (wire)", Client::Wire)
}

pub(crate) fn redis_pubsub_library() -> Contestant {
    redis_pubsub("redis-pubsub (library)", Client::Library)
}

pub(crate) fn nats_core() -> Contestant {
    let driver = DriverConfig::NatsCore(NatsCoreOptions {});
    Contestant {
        name: "nats-core",
        broker: managed(&driver),
        driver,
        refusal: Refusal::Never("NATS core answers nothing"),
    }
}

fn jetstream(name: &'static str, storage: Storage, consumer: ConsumerKind, ack: AckPolicy) -> Contestant {
    let options = JetstreamOptions {
        storage,
        replicas: 1,
        sync: Sync::Interval(Duration::from_secs(120)),
        consumer,
        ack,
        ack_wait: Duration::from_secs(30),
        max_ack_pending: 1000,
        deliver: DeliverPolicy::All,
        pull_batch: 100,
    };
    let driver = DriverConfig::Jetstream(options);
    Contestant {
        name,
        broker: managed(&driver),
        driver,
        refusal: Refusal::Never("a stream refuses by its limits only, which nats_drivers.rs shows"),
    }
}

pub(crate) fn jetstream_file_pull() -> Contestant {
    jetstream("jetstream (file, pull, explicit)", Storage::File, ConsumerKind::Pull, AckPolicy::Explicit)
}

pub(crate) fn jetstream_memory_push() -> Contestant {
    jetstream("jetstream (memory, push, none)", Storage::Memory, ConsumerKind::Push, AckPolicy::None)
}
