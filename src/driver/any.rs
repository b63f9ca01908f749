//! Every driver as one type, for where two of them are composed: were each pair compiled for itself, there would be a
//! hundred trials. A call costs one comparison more, and still no allocation.

#[cfg(feature = "kafka")]
use super::kafka::Kafka;
use super::loopback::Loopback;
use super::nats::{library, wire};
use super::redis_cluster::{ClassicCluster, ShardedCluster};
use super::redis_pubsub::{LibraryClient, WireClient};
use super::redis_streams::RedisStreams;
use super::{
    AckRun, AckToken, Delivery, Driver, DriverError, Enqueued, Guarantees, Leftovers, Publisher, Subscriber,
    Visitor,
};
use crate::scenario::{Subscription, TopicId, Topology};

macro_rules! any_driver {
    ($($(#[$on:meta])* $name:ident($driver:ty),)*) => {
        /// A driver, whichever it is.
        #[derive(Clone)]
        pub(super) enum AnyDriver {
            $($(#[$on])* $name($driver),)*
        }

        /// A publishing connection of any driver.
        pub(crate) enum AnyPublisher {
            $($(#[$on])* $name(Box<<$driver as Driver>::Publisher>),)*
        }

        /// A subscribing connection of any driver.
        pub(crate) enum AnySubscriber {
            $($(#[$on])* $name(Box<<$driver as Driver>::Subscriber>),)*
        }

        impl AnyDriver {
            /// Hands the driver itself over.
            pub(super) fn visited_by<V: Visitor>(self, visitor: V) -> V::Output {
                match self {
                    $($(#[$on])* Self::$name(driver) => visitor.visit(driver),)*
                }
            }
        }

        impl Driver for AnyDriver {
            type Publisher = AnyPublisher;
            type Subscriber = AnySubscriber;

            fn guarantees(&self) -> Guarantees {
                match self {
                    $($(#[$on])* Self::$name(driver) => driver.guarantees(),)*
                }
            }

            async fn prepare(&self, topology: &Topology) -> Result<(), DriverError> {
                match self {
                    $($(#[$on])* Self::$name(driver) => driver.prepare(topology).await,)*
                }
            }

            async fn publisher(&self, topology: &Topology, connection: u32) -> Result<AnyPublisher, DriverError> {
                Ok(match self {
                    $($(#[$on])* Self::$name(driver) => {
                        AnyPublisher::$name(Box::new(driver.publisher(topology, connection).await?))
                    })*
                })
            }

            async fn subscriber(
                &self,
                topology: &Topology,
                subscriptions: &[Subscription],
            ) -> Result<AnySubscriber, DriverError> {
                Ok(match self {
                    $($(#[$on])* Self::$name(driver) => {
                        AnySubscriber::$name(Box::new(driver.subscriber(topology, subscriptions).await?))
                    })*
                })
            }

            async fn leftovers(&self, topology: &Topology) -> Result<Option<Leftovers>, DriverError> {
                match self {
                    $($(#[$on])* Self::$name(driver) => driver.leftovers(topology).await,)*
                }
            }

            async fn leader(&self, topology: &Topology) -> Result<Option<String>, DriverError> {
                match self {
                    $($(#[$on])* Self::$name(driver) => driver.leader(topology).await,)*
                }
            }

            fn remarks(&self) -> Vec<String> {
                match self {
                    $($(#[$on])* Self::$name(driver) => driver.remarks(),)*
                }
            }

            async fn tear_down(&self, topology: &Topology) -> Result<(), DriverError> {
                match self {
                    $($(#[$on])* Self::$name(driver) => driver.tear_down(topology).await,)*
                }
            }
        }

        impl Publisher for AnyPublisher {
            fn enqueue(&mut self, topic: TopicId, payload: &[u8]) -> Result<Enqueued, DriverError> {
                match self {
                    $($(#[$on])* Self::$name(publisher) => publisher.enqueue(topic, payload),)*
                }
            }

            async fn flush(&mut self, each: &mut impl FnMut(AckRun)) -> Result<(), DriverError> {
                match self {
                    $($(#[$on])* Self::$name(publisher) => publisher.flush(each).await,)*
                }
            }

            async fn acks(&mut self, each: &mut impl FnMut(AckRun)) -> Result<(), DriverError> {
                match self {
                    $($(#[$on])* Self::$name(publisher) => publisher.acks(each).await,)*
                }
            }
        }

        impl Subscriber for AnySubscriber {
            async fn next_batch(&mut self, each: &mut impl FnMut(Delivery<'_>)) -> Result<(), DriverError> {
                match self {
                    $($(#[$on])* Self::$name(subscriber) => subscriber.next_batch(each).await,)*
                }
            }

            async fn ack(&mut self, tokens: &[AckToken]) -> Result<(), DriverError> {
                match self {
                    $($(#[$on])* Self::$name(subscriber) => subscriber.ack(tokens).await,)*
                }
            }

            fn client_drops(&self) -> u64 {
                match self {
                    $($(#[$on])* Self::$name(subscriber) => subscriber.client_drops(),)*
                }
            }
        }
    };
}

any_driver! {
    Loopback(Loopback),
    RedisPubsub(WireClient),
    RedisPubsubLibrary(LibraryClient),
    RedisStreams(RedisStreams),
    RedisClusterClassic(ClassicCluster),
    RedisClusterSharded(ShardedCluster),
    NatsCore(wire::NatsCore),
    NatsCoreLibrary(library::NatsCore),
    Jetstream(wire::Jetstream),
    JetstreamLibrary(library::Jetstream),
    #[cfg(feature = "kafka")]
    Kafka(Kafka),
}
