//! `redis-pubsub`: Redis Pub/Sub, or anything that speaks its protocol, through two clients behind one seam.
//! [`WireClient`] builds and parses frames itself and shows what the broker can do; [`LibraryClient`] goes
//! through the `redis` crate and shows what an application sees.

mod address;
mod library;
mod wire;

pub use library::{LibraryClient, LibraryPublisher, LibrarySubscriber};
pub use wire::{WireClient, WirePublisher, WireSubscriber};

use super::{Acknowledgement, Delivery, DeliveryGuarantee, DriverError, Durability, ErrorKind, Guarantees};
use crate::scenario::{self, Subscription, TopicId, Topology};
use crate::wire::resp::MAX_BULK;

/// Name of the driver in errors and results.
const NAME: &str = "redis-pubsub";
/// Marks a topic that a connection does not read.
const NOBODY: u32 = u32::MAX;
/// Bytes of a PUBLISH frame besides channel and payload, at most.
const FRAME_BYTES: usize = 64;
/// Channels named in one SUBSCRIBE at most.
const CHANNELS_PER_COMMAND: usize = 1000;

fn disconnected(what: impl Into<String>) -> DriverError {
    DriverError::new(ErrorKind::Disconnected, NAME, what)
}

fn fatal(what: impl Into<String>) -> DriverError {
    DriverError::new(ErrorKind::Fatal, NAME, what)
}

/// What Pub/Sub promises: nothing is stored, and PUBLISH answers with a count that promises nothing.
fn guarantees(deviations: Vec<String>) -> Guarantees {
    Guarantees {
        delivery: DeliveryGuarantee::AtMostOnce,
        acknowledgement: Acknowledgement::Reply,
        fsync: Durability::Never,
        replicas: 1,
        ordered: true,
        replay: false,
        work_queue: false,
        deviations,
    }
}

/// Whether Pub/Sub can carry this traffic.
fn check(topology: &Topology) -> Result<(), DriverError> {
    if topology.delivery == scenario::Delivery::WorkQueue {
        return Err(fatal("Pub/Sub hands every message to every subscriber; it has no work queue").remedy(
            "set workload.delivery = \"fan_out\", or take a driver with work queues (nats-core, jetstream)",
        ));
    }
    Ok(())
}

/// The topics that a connection reads.
///
/// Pub/Sub sends a connection one copy per channel, so no two subscriptions may share a topic.
#[derive(Debug)]
struct Readers {
    topology: Topology,
    /// By topic: index of the subscription that reads it, or [`NOBODY`].
    by_topic: Vec<u32>,
}

impl Readers {
    fn new(topology: &Topology, subscriptions: &[Subscription]) -> Result<Self, DriverError> {
        let mut by_topic = vec![NOBODY; topology.topics as usize];
        for (index, subscription) in (0u32..).zip(subscriptions) {
            for topic in &subscription.topics {
                let reader = &mut by_topic[topic.0 as usize];
                if *reader != NOBODY {
                    return Err(twice(topology, *topic));
                }
                *reader = index;
            }
        }
        Ok(Self { topology: topology.clone(), by_topic })
    }

    /// The channels to subscribe to.
    fn channels(&self) -> Vec<String> {
        let read = (0u32..).zip(&self.by_topic).filter(|(_, reader)| **reader != NOBODY);
        read.map(|(topic, _)| self.topology.topic_name(TopicId(topic))).collect()
    }

    /// The delivery that a message on `channel` is.
    #[inline]
    fn delivery<'a>(&self, channel: &[u8], payload: &'a [u8]) -> Result<Delivery<'a>, DriverError> {
        if let Some(topic) = self.topology.parse_topic(channel) {
            let subscription = self.by_topic[topic.0 as usize];
            if subscription != NOBODY {
                return Ok(Delivery { subscription, topic, payload, redelivered: false, token: None });
            }
        }
        Err(stray(channel))
    }
}

#[cold]
fn stray(channel: &[u8]) -> DriverError {
    fatal(format!("a message came on {}, which nobody subscribed to", String::from_utf8_lossy(channel)))
}

/// Whether Redis takes a message of this length.
#[inline]
fn check_length(payload: &[u8]) -> Result<(), DriverError> {
    if payload.len() <= MAX_BULK {
        return Ok(());
    }
    let what = format!("Redis takes {MAX_BULK} bytes a message at most, not {}", payload.len());
    Err(DriverError::new(ErrorKind::Rejected, NAME, what))
}

fn no_topic(topic: TopicId) -> DriverError {
    fatal(format!("there is no topic {}", topic.0))
}

fn twice(topology: &Topology, topic: TopicId) -> DriverError {
    let name = topology.topic_name(topic);
    fatal(format!("two subscribers of {name} share a connection, and Redis sends one copy per connection"))
        .remedy(format!(
            "set workload.subscriber_connections = {} (one for each subscriber), or fewer subscribers",
            topology.subscribers
        ))
}

#[cfg(test)]
mod tests;
