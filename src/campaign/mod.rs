//! Decides which trial comes next, and hands on what came out of each as soon as it is there.

mod calibrate;
mod capacity;
mod gate;
mod interrupt;
mod noise;
mod order;
mod selftest;
mod unlike;

pub use calibrate::{Calibration, alike, calibrate};
pub use capacity::{CapacityEnding, CapacityPlan, CapacitySearch, capacity, point_name, rate_name};
pub use gate::{GateEnding, GatePlan, gate};
pub use interrupt::Interrupt;
pub use noise::{Noise, Spread, noise};
pub use order::{Step, order};
pub use selftest::{Finding, selftest};

use crate::measure::Live;
use crate::scenario::{Scenario, Target};
use crate::target::{Broker, TargetError};
use crate::trial::{self, TrialError, TrialOutcome, TrialPlan};

/// Listens to a campaign while it runs.
pub trait Observer {
    /// A trial is running; called several times a second.
    fn live(&mut self, live: &Live);
    /// A trial is over and its result is whole. What this keeps survives whatever happens later.
    ///
    /// # Errors
    /// When it can't be kept; the campaign ends then.
    fn finished(&mut self, outcome: TrialOutcome) -> std::io::Result<()>;
    /// A target is left out from now on.
    fn left_out(&mut self, target: &Target, error: &TrialError);
    /// Why what was measured so far makes all further trials worthless, if it does; a gate asks before each.
    fn objection(&self) -> Option<String> {
        None
    }
}

/// How a campaign ended.
#[derive(Debug, Default)]
pub struct Ending {
    /// Trials that gave a result.
    pub finished: u32,
    /// Targets that could not be had and were not optional, or died in the middle of a trial.
    pub missing: Vec<String>,
    /// The user wanted it to end.
    pub interrupted: bool,
}

/// Runs all trials of a scenario, targets in turn in an order that the seed decides.
///
/// # Errors
/// When a result can't be kept or the system gives no runtime.
pub fn run(
    scenario: &Scenario,
    interrupt: &Interrupt,
    observer: &mut impl Observer,
) -> std::io::Result<Ending> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut ending = Ending::default();
    let unlike = unlike::compared(scenario);
    let mut gone = vec![false; scenario.targets.len()];
    let points = scenario.at_points();
    for Step { trial, point, target: index } in order(scenario) {
        if gone[index] || interrupt.requested() {
            continue;
        }
        let (point, at_point) = points[point];
        let target = &at_point.targets[index];
        let plan = TrialPlan {
            scenario: at_point,
            point,
            target,
            trial,
            seed: trial_seed(scenario, trial),
            unlike: unlike.as_deref(),
        };
        match one_trial(&runtime, &plan, interrupt, observer) {
            Ok(outcome) => {
                ending.finished += 1;
                if outcome.broker_died && !ending.missing.contains(&target.name) {
                    ending.missing.push(target.name.clone());
                }
                observer.finished(outcome)?;
            }
            Err(TrialError::Interrupted) => {}
            Err(error) => {
                gone[index] = true;
                observer.left_out(target, &error);
                if !target.optional {
                    ending.missing.push(target.name.clone());
                }
            }
        }
    }
    ending.interrupted = interrupt.requested();
    Ok(ending)
}

/// Starts the broker, runs one trial on it, and takes it away again.
fn one_trial(
    runtime: &tokio::runtime::Runtime,
    plan: &TrialPlan<'_>,
    interrupt: &Interrupt,
    observer: &mut impl Observer,
) -> Result<TrialOutcome, TrialError> {
    let mut broker = runtime.block_on(Broker::start(plan.target))?;
    let outcome = trial::run(runtime, plan, &mut broker, &mut |live| {
        observer.live(live);
        !interrupt.requested()
    });
    let stopped = runtime.block_on(broker.stop());
    match (outcome, stopped) {
        (Ok(outcome), Ok(()) | Err(TargetError::Exited { .. })) => Ok(outcome),
        (Ok(mut outcome), Err(error)) => {
            outcome.record.notes.push(error.to_string());
            Ok(outcome)
        }
        (Err(error), _) => Err(error),
    }
}

/// The seed of a trial: the same for each target, so that all see the same traffic.
fn trial_seed(scenario: &Scenario, trial: u32) -> u64 {
    crate::prng::mix(scenario.trials.seed ^ (u64::from(trial) << 32))
}
