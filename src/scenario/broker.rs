//! Where a target's broker comes from.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::model::DriverConfig;

/// Where the broker comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Broker {
    /// Started by busmark from PATH or `.brokers/`, fresh for each trial.
    Managed(Managed),
    /// Already there.
    External {
        /// `redis://…`, `nats://…` or `kafka://…`.
        url: String,
    },
    /// A server of the user's, started fresh for each trial.
    Command {
        /// Program and arguments; `{port}` and `{dir}` are replaced.
        argv: Vec<String>,
        /// How to reach it; `{port}` is replaced.
        url: String,
        /// How long it may take until it answers.
        ready_within: Duration,
    },
    /// The engine that ships inside busmark, as a child process.
    Bundled,
    /// No process at all (loopback).
    None,
}

/// A broker that busmark starts by itself: one server, or several that form a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Managed {
    /// Whose program.
    pub server: Server,
    /// Servers, at least 1; each has its own directory, log, process and sampling.
    pub nodes: u32,
    /// How clients reach them.
    pub transport: Transport,
    /// Lines of the servers' own configuration, in order; the same for each node.
    pub config: Vec<(String, String)>,
}

/// A server program that busmark can start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server {
    /// Redis 8.
    Redis,
    /// Valkey 9, which speaks Redis's protocol.
    Valkey,
    /// nats-server, with or without JetStream.
    Nats,
    /// Apache Kafka in KRaft mode.
    Kafka,
}

/// How clients reach a managed server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// TCP on loopback.
    Tcp,
    /// A Unix domain socket in the broker's directory.
    Unix,
}

impl Managed {
    /// What a driver gets if a scenario says `managed` and no more.
    #[must_use]
    pub fn of(driver: &DriverConfig) -> Self {
        let server = driver.servers().first().copied().unwrap_or(Server::Redis);
        Self { server, nodes: *driver.nodes().start(), transport: Transport::Tcp, config: Vec::new() }
    }
}

/// Nodes of a managed NATS cluster, at most: a stream has no more copies.
const NATS_NODES: u32 = 5;

/// Nodes of a managed Kafka cluster, at most: each is a Java process that also votes.
const KAFKA_NODES: u32 = 5;

impl DriverConfig {
    /// The servers that speak a driver's protocol, the usual one first; none for loopback.
    #[must_use]
    pub fn servers(&self) -> &'static [Server] {
        match self {
            Self::Loopback(_) => &[],
            Self::RedisPubsub(_) | Self::RedisCluster(_) | Self::RedisStreams(_) => {
                &[Server::Redis, Server::Valkey]
            }
            Self::NatsCore(_) | Self::Jetstream(_) => &[Server::Nats],
            Self::Kafka(_) => &[Server::Kafka],
        }
    }

    /// Nodes that a managed broker of this driver can have; the first number is what it has if nothing is said.
    #[must_use]
    pub fn nodes(&self) -> RangeInclusive<u32> {
        match self {
            Self::Loopback(_) | Self::RedisPubsub(_) | Self::RedisStreams(_) => 1..=1,
            Self::RedisCluster(_) => 3..=16,
            Self::NatsCore(_) => 1..=NATS_NODES,
            Self::Jetstream(options) => u32::from(options.replicas.max(1))..=NATS_NODES,
            Self::Kafka(options) => u32::from(options.replicas.max(1))..=KAFKA_NODES,
        }
    }

    /// Whether a connection gets one copy of a message, whoever reads it there.
    #[must_use]
    pub fn one_copy_per_connection(&self) -> bool {
        self.speaks_redis() || matches!(self, Self::Kafka(_))
    }

    /// Whether it is one of those that speak Redis's protocol.
    #[must_use]
    pub fn speaks_redis(&self) -> bool {
        self.servers().contains(&Server::Redis)
    }
}
