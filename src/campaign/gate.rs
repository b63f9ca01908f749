//! Runs the trials that a gate asks for, one by one, until it is decided or its time is up.

use std::time::Duration;

use super::{Interrupt, Observer, one_trial, trial_seed};
use crate::clock::{Clock, Nanos};
use crate::gate::{Course, Outcome, Side, Step};
use crate::scenario::{Scenario, Target};
use crate::trial::{TrialError, TrialPlan};
use crate::units;

/// What a gate measures.
#[derive(Debug, Clone, Copy)]
pub struct GatePlan<'a> {
    /// Workload and phases; its own trials are not counted.
    pub scenario: &'a Scenario,
    /// Name of the point of a sweep that it is; empty without one.
    pub point: &'a str,
    /// What is known to be good; none against a baseline.
    pub base: Option<&'a Target>,
    /// What is judged.
    pub candidate: &'a Target,
    /// How long it may take, everything included.
    pub budget: Option<Duration>,
}

/// How a gate ended.
#[derive(Debug)]
pub struct GateEnding {
    /// What it came to.
    pub outcome: Outcome,
    /// Targets that could not be had, or died in the middle of a trial.
    pub missing: Vec<String>,
    /// The user wanted it to end.
    pub interrupted: bool,
}

/// Time spent, and what may be spent.
pub(super) struct Purse {
    clock: Clock,
    budget: Option<Duration>,
    pub(super) trials: u32,
}

impl Purse {
    /// Full.
    pub(super) fn new(budget: Option<Duration>) -> Self {
        Self { clock: Clock::real(), budget, trials: 0 }
    }

    fn spent(&self) -> Nanos {
        self.clock.now()
    }

    /// Mean length of the trials so far.
    fn each(&self) -> Duration {
        Duration::from_nanos(self.spent() / u64::from(self.trials.max(1)))
    }

    /// Why there is no time for another trial, if there is none.
    pub(super) fn is_spent(&self) -> Option<String> {
        let budget = self.budget?;
        let next = if self.trials == 0 { Duration::ZERO } else { self.each() };
        let over = Duration::from_nanos(self.spent()) + next > budget;
        over.then(|| {
            format!("the budget of {} is spent after {} trials", units::duration(budget), self.trials)
        })
    }

    /// How many more trials fit, if they are as long as those so far, and a tenth longer: those were the base's alone.
    fn room(&self) -> Option<usize> {
        let left = self.budget?.saturating_sub(Duration::from_nanos(self.spent()));
        Some((left.as_nanos() / (self.each().as_nanos().max(1) * 11 / 10)) as usize)
    }
}

/// Measures what the course asks for, side by side, each trial on a broker of its own.
///
/// # Errors
/// When a result can't be kept or the system gives no runtime.
pub fn gate(
    plan: &GatePlan<'_>,
    mut course: Course,
    interrupt: &Interrupt,
    observer: &mut impl Observer,
) -> std::io::Result<GateEnding> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut purse = Purse::new(plan.budget);
    let mut missing: Vec<String> = Vec::new();
    let mut numbers = [0u32; 2];
    loop {
        let side = match course.step() {
            Step::End(outcome) => {
                return Ok(GateEnding { outcome: *outcome, missing, interrupted: interrupt.requested() });
            }
            Step::Measure(side) => side,
        };
        let Some(target) = (if side == Side::Base { plan.base } else { Some(plan.candidate) }) else {
            course.stop("there is no base to measure");
            continue;
        };
        let objection = observer.objection();
        if let Some(why) = objection.or_else(|| why_stop(&mut course, &purse, interrupt)) {
            course.stop(&why);
            continue;
        }
        let number = &mut numbers[usize::from(side == Side::Candidate)];
        *number += 1;
        purse.trials += 1;
        let (scenario, trial) = (plan.scenario, *number);
        // Equal numbers give equal traffic on both sides.
        let seed = trial_seed(scenario, trial);
        let one = TrialPlan { scenario, point: plan.point, target, trial, seed, unlike: None };
        match one_trial(&runtime, &one, interrupt, observer) {
            Ok(outcome) => {
                let (record, died) = (outcome.record.clone(), outcome.broker_died);
                observer.finished(outcome)?;
                if died {
                    missing.push(target.name.clone());
                    course.stop(&format!("the broker of {} ended by itself in trial {trial}", target.name));
                } else if !interrupt.requested() {
                    course.record(record);
                }
            }
            Err(TrialError::Interrupted) => {}
            Err(error) => {
                observer.left_out(target, &error);
                missing.push(target.name.clone());
                course.stop(&format!("{} could not be measured: {error}", target.name));
            }
        }
    }
}

/// Why no further trial is measured, if so. Before the first stage it is cut to what the budget affords.
fn why_stop(course: &mut Course, purse: &Purse, interrupt: &Interrupt) -> Option<String> {
    if interrupt.requested() {
        return Some(format!("interrupted after {} trials", purse.trials));
    }
    // Against a baseline nothing has been measured yet, so nothing is known of a trial's length: it is cut when
    // the budget ends.
    if let Some(room) = purse.room().filter(|_| course.is_before_first() && purse.trials > 0) {
        let budget = units::duration(purse.budget.unwrap_or_default());
        return course.afford(room).err().map(|fewest| {
            format!(
                "the budget of {budget} has room for {room} more trials at {:.1} s each, and {fewest} are the fewest that say anything; give it more, or shorten the scenario's phases",
                purse.each().as_secs_f64()
            )
        });
    }
    purse.is_spent()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_ends_before_the_trial_that_would_not_fit() {
        let clock = Clock::manual();
        let mut purse = Purse { clock: clock.clone(), budget: Some(Duration::from_secs(10)), trials: 0 };
        assert_eq!(purse.is_spent(), None);
        clock.advance(6_000_000_000);
        purse.trials = 3;
        assert_eq!((purse.is_spent(), purse.room()), (None, Some(1)));
        clock.advance(3_000_000_000);
        assert_eq!(purse.is_spent().as_deref(), Some("the budget of 10s is spent after 3 trials"));
        purse.budget = None;
        assert_eq!((purse.is_spent(), purse.room()), (None, None));
    }
}
