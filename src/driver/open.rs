//! From a driver's name in a scenario to its code: the one `match` by which everything behind the seam is
//! compiled once per driver, without a boxed future or a virtual call on the path of a message.

#[cfg(feature = "kafka")]
use super::kafka::Kafka;
use super::loopback::Loopback;
use super::nats::{library, wire};
use super::redis_cluster::{ClassicCluster, ShardedCluster};
use super::redis_pubsub::{LibraryClient, WireClient};
use super::redis_streams::RedisStreams;
use super::{Driver, DriverError};
use crate::scenario::{Client, ClusterMode, DriverConfig};

/// What to do with a driver once it is known which one it is.
pub trait Visitor {
    /// What comes out of it.
    type Output;

    /// Does it.
    fn visit<D: Driver>(self, driver: D) -> Self::Output;
}

/// Hands the driver that `config` names, for the system at `url`, to `visitor`. Connects to nothing yet.
/// The URL is `redis://…`, `nats://…`, or `loopback://SEED`.
///
/// # Errors
/// `Fatal` if the URL is none that this driver understands.
pub fn open<V: Visitor>(config: &DriverConfig, url: &str, visitor: V) -> Result<V::Output, DriverError> {
    match config {
        DriverConfig::Loopback(options) => Ok(visitor.visit(Loopback::from_url(options.clone(), url))),
        DriverConfig::RedisPubsub(options) => match options.client {
            Client::Wire => Ok(visitor.visit(WireClient::new(url)?.speaking(options.protocol))),
            Client::Library => Ok(visitor.visit(LibraryClient::new(url)?.speaking(options.protocol))),
        },
        DriverConfig::NatsCore(options) => match options.client {
            Client::Wire => Ok(visitor.visit(wire::NatsCore::new(url)?)),
            Client::Library => Ok(visitor.visit(library::NatsCore::new(url))),
        },
        DriverConfig::Jetstream(options) => match options.client {
            Client::Wire => Ok(visitor.visit(wire::Jetstream::new(url, options)?)),
            Client::Library => Ok(visitor.visit(library::Jetstream::new(url, options))),
        },
        DriverConfig::RedisStreams(options) => Ok(visitor.visit(RedisStreams::new(url, options)?)),
        DriverConfig::RedisCluster(options) => match options.mode {
            ClusterMode::Classic => Ok(visitor.visit(ClassicCluster::new(url)?)),
            ClusterMode::Sharded => Ok(visitor.visit(ShardedCluster::new(url)?)),
        },
        #[cfg(feature = "kafka")]
        DriverConfig::Kafka(options) => Ok(visitor.visit(Kafka::new(url, options)?)),
        #[cfg(not(feature = "kafka"))]
        DriverConfig::Kafka(_) => {
            let what = "this busmark was built without the driver";
            Err(DriverError::new(super::ErrorKind::Fatal, "kafka", what)
                .remedy("build it with: cargo install --path . --locked --features kafka"))
        }
    }
}
