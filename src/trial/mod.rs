//! Runs one scenario point once: prepare, warm up, measure, drain, tear down.

mod conclude;
mod control;
mod evidence;
mod extent;
mod happening;
mod inquiries;
mod payload;
mod processing;
mod publishing;
mod reopen;
mod resources;
mod setup;
mod signal;
mod subscribing;
mod watch;

use std::io;

use crate::driver::{self, Driver, DriverError, Guarantees, Visitor};
use crate::measure::{Collected, Live, TrialRecord};
use crate::scenario::{Scenario, Target};
use crate::target::{Broker, TargetError};
pub use extent::ledger_extent;

/// Which trial of what.
#[derive(Debug, Clone, Copy)]
pub struct TrialPlan<'a> {
    /// The whole scenario.
    pub scenario: &'a Scenario,
    /// Name of the point of the sweep; empty without one.
    pub point: &'a str,
    /// The target of this trial.
    pub target: &'a Target,
    /// Number of the trial, from 1.
    pub trial: u32,
    /// Seeds everything random in it.
    pub seed: u64,
    /// Unlike guarantees that an expectation sets against each other, in words.
    pub unlike: Option<&'a str>,
}

/// Everything that came out of a trial.
#[derive(Debug)]
pub struct TrialOutcome {
    /// The result.
    pub record: TrialRecord,
    /// Its latencies, whole and interval by interval.
    pub collected: Collected,
    /// Wall-clock time of the start of the trial, nanoseconds since 1970.
    pub started_unix_nanos: u64,
    /// The broker ended by itself in the middle.
    pub broker_died: bool,
    /// What the system promises.
    pub guarantees: Guarantees,
    /// The broker's version, as it said itself.
    pub broker_version: String,
    /// Settings in effect that bear on the measurement.
    pub broker_config: Vec<(String, String)>,
}

/// Why a trial gave no result.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// The broker could not be had.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// The driver could not do what the scenario asks, or could not reach the system.
    #[error(transparent)]
    Driver(#[from] DriverError),
    /// The system did not get ready in time.
    #[error("{what} took longer than {seconds} s; is the broker overloaded?")]
    TimedOut {
        /// What was waited for.
        what: &'static str,
        /// The limit.
        seconds: u64,
    },
    /// The machine refused something the harness needs.
    #[error("the harness itself: {0}")]
    Harness(#[from] io::Error),
    /// The user ended the run before anything was measured.
    #[error("interrupted before anything was measured")]
    Interrupted,
}

/// Runs one trial on a broker that answers. `live` is called several times a second; when it says false the
/// trial ends early and gives what it has.
///
/// # Errors
/// When nothing could be measured; a broker that dies in the middle is a result, not an error.
pub fn run(
    runtime: &tokio::runtime::Runtime,
    plan: &TrialPlan<'_>,
    broker: &mut Broker,
    live: &mut dyn FnMut(&Live<'_>) -> bool,
) -> Result<TrialOutcome, TrialError> {
    let url = broker.url().to_owned();
    driver::open_target(plan.target, &url, Run { runtime, plan, broker, live })?
}

/// Like [`run`], with a driver that is already there.
///
/// # Errors
/// As [`run`].
pub fn run_on<D: Driver>(
    runtime: &tokio::runtime::Runtime,
    driver: &D,
    plan: &TrialPlan<'_>,
    broker: &mut Broker,
    live: &mut dyn FnMut(&Live<'_>) -> bool,
) -> Result<TrialOutcome, TrialError> {
    runtime.block_on(control::control(driver, plan, broker, live))
}

/// One trial, waiting for the type of its driver.
struct Run<'a> {
    runtime: &'a tokio::runtime::Runtime,
    plan: &'a TrialPlan<'a>,
    broker: &'a mut Broker,
    live: &'a mut dyn FnMut(&Live<'_>) -> bool,
}

impl Visitor for Run<'_> {
    type Output = Result<TrialOutcome, TrialError>;

    fn visit<D: Driver>(self, driver: D) -> Self::Output {
        run_on(self.runtime, &driver, self.plan, self.broker, self.live)
    }
}
