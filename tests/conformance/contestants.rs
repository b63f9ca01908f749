//! The drivers under test, each in a configuration of its own.

use std::time::Duration;

use busmark::scenario::{
    self, AckPolicy, Client, ConsumerKind, DriverConfig, JetstreamOptions, LoopbackOptions, Managed,
    NatsCoreOptions, RedisPubsubOptions, Storage,
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
