//! `loopback`: an in-memory bus with seeded faults that are counted exactly. It is the real fake behind the
//! tests of the trial and the floor of the harness's own cost.
//!
//! Publishers and subscribers may live on different threads. Each subscribing connection has one bounded
//! `Ring`; a publisher takes its lock once per flush, a subscriber once per batch. A full ring stalls
//! the publishers, so a slow subscriber is felt and nothing is lost unless a fault says so.

mod bus;
mod faults;
mod publisher;
mod ring;
mod subscriber;

use std::sync::Arc;

pub use bus::Injected;
pub use publisher::LoopbackPublisher;
pub use subscriber::LoopbackSubscriber;

use bus::Bus;

use super::{
    Acknowledgement, DeliveryGuarantee, Driver, DriverError, Durability, ErrorKind, Guarantees, Leftovers,
    by_name_only,
};
use crate::scenario::{Delivery, LoopbackOptions, Subscription, Topology};

/// Name of the driver in errors and results.
const NAME: &str = "loopback";
/// Where the stamp ends: bits are flipped behind it only, so that a corrupt message is still identified.
const STAMP_BYTES: usize = 32;

/// The in-memory bus; clones share it.
#[derive(Debug, Clone)]
pub struct Loopback {
    bus: Arc<Bus>,
}

impl Loopback {
    /// A bus of its own with these faults. Equal seeds decide equally for the n-th message of a publishing
    /// connection and a receiver, whatever the threads do.
    #[must_use]
    pub fn new(options: LoopbackOptions, seed: u64) -> Self {
        Self { bus: Arc::new(Bus::new(options, seed)) }
    }

    /// A bus for a target's URL: `loopback://SEED`, or anything else for seed 0.
    #[must_use]
    pub fn from_url(options: LoopbackOptions, url: &str) -> Self {
        let seed = url.strip_prefix("loopback://").and_then(|seed| seed.parse().ok()).unwrap_or(0);
        Self::new(options, seed)
    }

    /// What was injected since `prepare`, in deliveries. Complete once every publisher has flushed and every
    /// subscriber has read all.
    #[must_use]
    pub fn injected(&self) -> Injected {
        self.bus.injected()
    }
}

impl Driver for Loopback {
    type Publisher = LoopbackPublisher;
    type Subscriber = LoopbackSubscriber;

    fn guarantees(&self) -> Guarantees {
        let options = self.bus.options();
        Guarantees {
            delivery: DeliveryGuarantee::AtMostOnce,
            acknowledgement: Acknowledgement::Reply,
            fsync: Durability::Never,
            replicas: 1,
            ordered: options.reorder == 0.0,
            replay: false,
            work_queue: true,
            patterns: false,
            deviations: Vec::new(),
        }
    }

    async fn prepare(&self, topology: &Topology) -> Result<(), DriverError> {
        by_name_only(NAME, topology)?;
        check(self.bus.options(), topology)?;
        self.bus.reset(topology);
        Ok(())
    }

    async fn publisher(&self, topology: &Topology, connection: u32) -> Result<Self::Publisher, DriverError> {
        Ok(LoopbackPublisher::new(self.bus.clone(), topology, connection))
    }

    async fn subscriber(
        &self,
        _topology: &Topology,
        subscriptions: &[Subscription],
    ) -> Result<Self::Subscriber, DriverError> {
        Ok(LoopbackSubscriber::new(self.bus.clone(), subscriptions))
    }

    async fn leftovers(&self, _topology: &Topology) -> Result<Option<Leftovers>, DriverError> {
        Ok(Some(Leftovers { pending: self.bus.outstanding(), discarded: 0 }))
    }

    async fn tear_down(&self, _topology: &Topology) -> Result<(), DriverError> {
        self.bus.close();
        Ok(())
    }
}

/// Whether these faults can be injected into this traffic so that their counts are exact.
fn check(options: &LoopbackOptions, topology: &Topology) -> Result<(), DriverError> {
    let fatal =
        |what: String, remedy: &str| Err(DriverError::new(ErrorKind::Fatal, NAME, what).remedy(remedy));
    let shares = [options.drop, options.duplicate, options.reorder, options.corrupt];
    let total: f64 = shares.iter().sum();
    if shares.iter().any(|share| !(0.0..=1.0).contains(share)) || total > 1.0 {
        return fatal(
            format!("drop, duplicate, reorder and corrupt are {shares:?}, {total} together"),
            "give each a share from 0 to 1, at most 1 together",
        );
    }
    if options.corrupt > 0.0 && topology.payload_max <= STAMP_BYTES {
        return fatal(
            format!("a payload of {} bytes has nothing behind its stamp to corrupt", topology.payload_max),
            "set workload.payload above 32 B, or corrupt = 0",
        );
    }
    if options.reorder > 0.0 && topology.delivery == Delivery::FanOut && lanes_share_a_route(topology) {
        return fatal(
            "two publishers write one topic over one connection: a swap of theirs would not show as reordered"
                .to_owned(),
            "set workload.publisher_connections = publishers, or reorder = 0",
        );
    }
    Ok(())
}

/// Whether some connection carries two publishers of one topic: p and q with p ≡ q modulo both numbers.
fn lanes_share_a_route(topology: &Topology) -> bool {
    if topology.every_lane {
        return topology.publishers > topology.publisher_connections;
    }
    let (connections, topics) = (topology.publisher_connections.max(1), topology.topics.max(1));
    let apart = u64::from(connections) / u64::from(gcd(connections, topics)) * u64::from(topics);
    topology.publishers > topics && u64::from(topology.publishers) > apart
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests;
