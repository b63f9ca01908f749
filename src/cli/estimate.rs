//! What a scenario will take, before it is run.

use std::time::Duration;

use crate::measure::{LedgerExtent, memory_for, window_for};
use crate::scenario::{Broker, DriverConfig, Extent, Rate, Scenario, Subscribe, Target, Topology};

/// Time and memory of a whole run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Estimate {
    /// If everything arrives at once; without the calibration before the first trial.
    pub duration: Duration,
    /// If each drain takes as long as it may.
    pub at_most: Duration,
    /// A count of messages at rate max takes as long as it takes: the time for them is not in `duration`.
    pub open_ended: bool,
    /// Bytes of the harness at its largest; brokers apart.
    pub memory: u64,
}

/// Starting and stopping a server and preparing it, roughly.
const START: Duration = Duration::from_secs(1);
/// Messages per second that a lane's ledger is laid out for at rate max, all lanes together.
const MAX_RATE: f64 = 1_000_000.0;
/// Program, buffers and histograms, roughly.
const BASE_BYTES: u64 = 48 << 20;

/// Estimates a run of `scenario`.
#[must_use]
pub fn estimate(scenario: &Scenario) -> Estimate {
    let phases = &scenario.phases;
    let (measure, open_ended) = match (phases.measure, scenario.workload.rate) {
        (Extent::Time(span), _) => (span, false),
        (Extent::Messages(messages), Rate::PerSecond(rate)) => {
            (Duration::try_from_secs_f64(messages as f64 / rate).unwrap_or(Duration::MAX), false)
        }
        (Extent::Messages(_), Rate::Max) => (Duration::ZERO, true),
    };
    let trial = |target: &Target| start(target).saturating_add(phases.warm_up).saturating_add(measure);
    let round: Duration =
        scenario.targets.iter().map(trial).fold(Duration::ZERO, |sum, one| sum.saturating_add(one));
    let drains = phases.drain.saturating_mul(scenario.targets.len() as u32);
    Estimate {
        duration: round.saturating_mul(scenario.trials.count),
        at_most: round.saturating_add(drains).saturating_mul(scenario.trials.count),
        open_ended,
        memory: scenario.targets.iter().map(|target| memory(scenario, target)).max().unwrap_or(0),
    }
}

fn start(target: &Target) -> Duration {
    match target.broker {
        Broker::None => Duration::ZERO,
        Broker::External { .. } | Broker::Managed { .. } | Broker::Command { .. } | Broker::Bundled => START,
    }
}

/// The ledgers of one trial and what is always there.
fn memory(scenario: &Scenario, target: &Target) -> u64 {
    let topology = Topology::of(&scenario.workload, "");
    let lanes = u64::from(topology.lanes());
    let redelivery = match &target.driver {
        DriverConfig::Jetstream(options) => options.ack_wait,
        _ => Duration::ZERO,
    };
    let rate = match scenario.workload.rate {
        Rate::PerSecond(rate) => rate,
        Rate::Max => MAX_RATE,
    };
    let extent = LedgerExtent {
        rate_per_lane: rate / lanes as f64,
        lateness: redelivery.saturating_add(scenario.phases.drain),
        in_flight: u64::from(scenario.workload.in_flight).div_ceil(lanes),
        lanes,
        slots: slots(&topology),
    };
    BASE_BYTES.saturating_add(memory_for(window_for(&extent), &extent))
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
    use proptest::prelude::*;

    use super::*;
    use crate::scenario::{Delivery, shipped};

    fn of(name: &str) -> Estimate {
        estimate(&shipped::find(name).unwrap().scenario(&[]).unwrap())
    }

    #[test]
    fn a_run_takes_its_phases_times_trials_times_targets() {
        let estimate = of("redis-vs-jetstream");
        assert_eq!(estimate.duration, Duration::from_secs(5 * 2 * (1 + 2 + 10)));
        assert_eq!(estimate.at_most, Duration::from_secs(5 * 2 * (1 + 2 + 10 + 5)));
        assert!(!estimate.open_ended);
    }

    #[test]
    fn the_quick_scenario_ends_within_three_quarters_of_a_minute() {
        assert!(of("quick").at_most <= Duration::from_secs(45), "{:?}", of("quick"));
    }

    #[test]
    fn every_shipped_scenario_fits_a_small_machine() {
        for shipped in shipped::list() {
            assert!(of(shipped.name).memory < 2 << 30, "{}: {:?}", shipped.name, of(shipped.name));
        }
    }

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
            };
            let counted: usize =
                (0..topology.receivers()).map(|receiver| topology.lanes_of_receiver(receiver).len()).sum();
            prop_assert_eq!(slots(&topology), counted as u64);
        }
    }
}
