//! From a driver's name in a scenario to its code: the one `match` by which everything behind the seam is
//! compiled once per driver, without a boxed future or a virtual call on the path of a message.

use super::any::AnyDriver;
use super::dual::Dual;
#[cfg(feature = "kafka")]
use super::kafka::Kafka;
use super::loopback::Loopback;
use super::nats::{library, wire};
use super::redis_cluster::{ClassicCluster, ShardedCluster};
use super::redis_pubsub::{LibraryClient, WireClient};
use super::redis_streams::RedisStreams;
use super::{Driver, DriverError};
use crate::scenario::{Client, ClusterMode, DriverConfig, Target};

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
    Ok(driver(config, url)?.visited_by(visitor))
}

/// The same for a target, which is one system or, under dual write, two: their URLs then have a space between them.
///
/// # Errors
/// As [`open`].
pub fn open_target<V: Visitor>(target: &Target, url: &str, visitor: V) -> Result<V::Output, DriverError> {
    let Some(dual_write) = &target.dual_write else { return open(&target.driver, url, visitor) };
    let (old, new) = url.split_once(' ').unwrap_or((url, url));
    let (old, new) = (driver(&target.driver, old)?, driver(&dual_write.driver, new)?);
    Ok(visitor.visit(Dual::new(old, new, dual_write)))
}

fn driver(config: &DriverConfig, url: &str) -> Result<AnyDriver, DriverError> {
    Ok(match config {
        DriverConfig::Loopback(options) => AnyDriver::Loopback(Loopback::from_url(options.clone(), url)),
        DriverConfig::RedisPubsub(options) => match options.client {
            Client::Wire => AnyDriver::RedisPubsub(WireClient::new(url)?.speaking(options.protocol)),
            Client::Library => {
                AnyDriver::RedisPubsubLibrary(LibraryClient::new(url)?.speaking(options.protocol))
            }
        },
        DriverConfig::NatsCore(options) => match options.client {
            Client::Wire => AnyDriver::NatsCore(wire::NatsCore::new(url)?),
            Client::Library => AnyDriver::NatsCoreLibrary(library::NatsCore::new(url)),
        },
        DriverConfig::Jetstream(options) => match options.client {
            Client::Wire => AnyDriver::Jetstream(wire::Jetstream::new(url, options)?),
            Client::Library => AnyDriver::JetstreamLibrary(library::Jetstream::new(url, options)),
        },
        DriverConfig::RedisStreams(options) => AnyDriver::RedisStreams(RedisStreams::new(url, options)?),
        DriverConfig::RedisCluster(options) => match options.mode {
            ClusterMode::Classic => AnyDriver::RedisClusterClassic(ClassicCluster::new(url)?),
            ClusterMode::Sharded => AnyDriver::RedisClusterSharded(ShardedCluster::new(url)?),
        },
        #[cfg(feature = "kafka")]
        DriverConfig::Kafka(options) => AnyDriver::Kafka(Kafka::new(url, options)?),
        #[cfg(not(feature = "kafka"))]
        DriverConfig::Kafka(_) => {
            let what = "this busmark was built without the driver";
            return Err(DriverError::new(super::ErrorKind::Fatal, "kafka", what)
                .remedy("build it with: cargo install --path . --locked --features kafka"));
        }
    })
}
