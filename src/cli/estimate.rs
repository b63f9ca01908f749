//! What a scenario will take, before it is run.

use std::time::Duration;

use crate::measure::{memory_for, window_for};
use crate::scenario::{Broker, Extent, Rate, Scenario, Target};
use crate::trial::ledger_extent;

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
/// Program, buffers and histograms, roughly.
const BASE_BYTES: u64 = 48 << 20;

/// Estimates a run of `scenario`, all points of a sweep together.
#[must_use]
pub fn estimate(scenario: &Scenario) -> Estimate {
    let points = scenario.at_points().into_iter().map(|(_, point)| one_point(point));
    points
        .reduce(|sum, one| Estimate {
            duration: sum.duration.saturating_add(one.duration),
            at_most: sum.at_most.saturating_add(one.at_most),
            open_ended: sum.open_ended || one.open_ended,
            memory: sum.memory.max(one.memory),
        })
        .unwrap_or_else(|| one_point(scenario))
}

fn one_point(scenario: &Scenario) -> Estimate {
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
        Broker::External { .. } | Broker::Managed(_) | Broker::Command { .. } | Broker::Bundled => START,
    }
}

/// The ledgers of one trial and what is always there.
fn memory(scenario: &Scenario, target: &Target) -> u64 {
    let extent = ledger_extent(scenario, target);
    BASE_BYTES.saturating_add(memory_for(window_for(&extent), &extent))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::shipped;

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
}
