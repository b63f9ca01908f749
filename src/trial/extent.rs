//! How large the ledgers of a trial have to be.

use std::time::Duration;

use crate::load::Lanes;
use crate::measure::LedgerExtent;
use crate::scenario::{Arrival, DriverConfig, Extent, Rate, Scenario, Subscribe, Target, Topology};

/// Messages per second that ledgers are laid out for at rate max, all lanes together.
const MAX_RATE: f64 = 1_000_000.0;

/// What the ledgers of a trial of `target` have to hold.
#[must_use]
pub fn ledger_extent(scenario: &Scenario, target: &Target) -> LedgerExtent {
    let topology = Topology::of(&scenario.workload, "");
    let lanes = u64::from(topology.lanes());
    let phases = &scenario.phases;
    let measured = match phases.measure {
        Extent::Time(time) => time,
        Extent::Messages(_) => Duration::ZERO,
    };
    // Whoever moves may read everything again.
    let again = target.dual_write.as_ref().map_or(Duration::ZERO, |dual_write| {
        lateness(&dual_write.driver).saturating_add(phases.warm_up).saturating_add(measured)
    });
    let lateness = lateness(&target.driver).max(again);
    let workload = &scenario.workload;
    let rate = match workload.rate {
        Rate::PerSecond(rate) => workload.shape.peak(rate),
        Rate::Max => MAX_RATE,
    };
    let busiest = Lanes::busiest(workload.topic_choice, &topology);
    let burst = match workload.arrival {
        Arrival::Burst(messages) => f64::from(messages) * busiest,
        Arrival::Constant | Arrival::Poisson => 0.0,
    };
    LedgerExtent {
        rate_per_lane: rate * busiest,
        lateness: lateness.saturating_add(scenario.phases.drain).saturating_add(scenario.longest_absence()),
        in_flight: u64::from(workload.in_flight).div_ceil(lanes) + burst.ceil() as u64,
        lanes,
        slots: slots(&topology),
    }
}

/// How late a system may deliver by its own options.
fn lateness(driver: &DriverConfig) -> Duration {
    match driver {
        DriverConfig::Jetstream(options) => options.ack_wait,
        DriverConfig::Loopback(options) => options.delay.saturating_add(options.stall_for),
        DriverConfig::RedisStreams(options) => options.claim_after.saturating_mul(2),
        DriverConfig::RedisPubsub(_)
        | DriverConfig::RedisCluster(_)
        | DriverConfig::NatsCore(_)
        | DriverConfig::Kafka(_) => Duration::ZERO,
    }
}

/// Lanes read, summed over the receivers.
fn slots(topology: &Topology) -> u64 {
    let (lanes, receivers) = (u64::from(topology.lanes()), u64::from(topology.receivers()));
    match topology.subscribe {
        Subscribe::All => lanes * receivers,
        // Fewer subscribers than topics: each lane has one reader.
        Subscribe::Paired if topology.subscribers < topology.topics => lanes,
        Subscribe::Paired => {
            let topics = u64::from(topology.topics);
            (0..receivers).map(|receiver| (lanes - receiver % topics).div_ceil(topics)).sum()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Delivery;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn slots_are_the_lanes_of_all_receivers(
            publishers in 1u32..40,
            subscribers in 0u32..40,
            topics in 1u32..40,
            paired: bool,
            queue: bool,
        ) {
            let topology = Topology {
                publishers,
                publisher_connections: 1,
                subscribers,
                subscriber_connections: subscribers.min(1),
                topics,
                subscribe: if paired && subscribers > 0 { Subscribe::Paired } else { Subscribe::All },
                delivery: if queue { Delivery::WorkQueue } else { Delivery::FanOut },
                payload_max: 0,
                prefix: String::new(),
                ..Topology::default()
            };
            let counted: usize =
                (0..topology.receivers()).map(|receiver| topology.lanes_of_receiver(receiver).len()).sum();
            prop_assert_eq!(slots(&topology), counted as u64);
        }
    }
}
