//! `redis-pubsub`: Redis Pub/Sub, or anything that speaks its protocol, through two clients behind one seam.
//! [`WireClient`] builds and parses frames itself and shows what the broker can do; [`LibraryClient`] goes
//! through the `redis` crate and shows what an application sees.

mod library;
mod wire;

pub use super::redis::WirePublisher;
pub use library::{LibraryClient, LibraryPublisher, LibrarySubscriber};
pub use wire::{WireClient, WireSubscriber};

use super::{Acknowledgement, DeliveryGuarantee, DriverError, Durability, Guarantees, redis};
use crate::scenario::{Subscription, Topology};

/// Name of the driver in errors and results.
const NAME: &str = "redis-pubsub";
/// Channels named in one SUBSCRIBE at most.
const CHANNELS_PER_COMMAND: usize = 1000;

fn disconnected(what: impl Into<String>) -> DriverError {
    redis::disconnected(NAME, what)
}

fn fatal(what: impl Into<String>) -> DriverError {
    redis::fatal(NAME, what)
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
        patterns: true,
        deviations,
    }
}

/// Number of the connection that these subscriptions share: its first subscriber has the same.
fn connection_of(subscriptions: &[Subscription]) -> u32 {
    subscriptions.first().map_or(0, |one| one.subscriber)
}

/// Whether Pub/Sub can carry this traffic.
fn check(topology: &Topology) -> Result<(), DriverError> {
    if topology.has_queue() {
        return Err(fatal("Pub/Sub hands every message to every subscriber; it has no work queue").remedy(
            "set workload.delivery = \"fan_out\", or take a driver with work queues (redis-streams, nats-core, jetstream)",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests;
