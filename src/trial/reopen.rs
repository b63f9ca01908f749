//! Connections that are opened again: when that is allowed, and how long an attempt may take.

use std::time::Duration;

use super::setup::Setup;
use super::signal::{Listener, Totals};
use crate::driver::{DriverError, ErrorKind};

/// One attempt to open a connection may take this long: a server that stands still accepts and says nothing.
const ATTEMPT_WITHIN: Duration = Duration::from_secs(2);

/// Without a word in the scenario, a connection that is to come is tried again this often until it comes.
const TRY_AGAIN: Duration = Duration::from_millis(100);

/// Different errors of one connection that are kept.
const ERRORS_MAX: usize = 16;

/// How a connection is opened again.
#[derive(Debug)]
pub(super) struct Reopening {
    /// A broken connection is opened again; where not, its first error is its end.
    allowed: bool,
    /// Time between two attempts.
    pub(super) every: Duration,
    /// What broke it, each time.
    pub(super) errors: Vec<DriverError>,
}

impl Reopening {
    /// As the scenario wants.
    pub(super) fn new(setup: &Setup) -> Self {
        let every = setup.scenario.workload.reconnect;
        Self { allowed: every.is_some(), every: every.unwrap_or(TRY_AGAIN), errors: Vec::new() }
    }

    /// A connection broke: counts it, or gives the error back where that is the end.
    pub(super) fn may_after(&mut self, error: DriverError, setup: &Setup) -> Result<(), DriverError> {
        if !self.allowed || error.kind == ErrorKind::Fatal {
            return Err(error);
        }
        Totals::add(&setup.totals.disconnects, 1);
        self.keep(error);
        Ok(())
    }

    /// An attempt failed: another follows, but where no connection is to be opened again.
    pub(super) fn failed(&mut self, error: DriverError) -> Result<(), DriverError> {
        if !self.allowed {
            return Err(error);
        }
        self.keep(error);
        Ok(())
    }

    fn keep(&mut self, error: DriverError) {
        if self.errors.len() < ERRORS_MAX {
            self.errors.push(error);
        }
    }

    /// One attempt; `None` if the trial is over meanwhile.
    pub(super) async fn attempt<T>(
        &self,
        opening: impl Future<Output = Result<T, DriverError>>,
        listener: &mut Listener,
    ) -> Option<Result<T, DriverError>> {
        let limit = Duration::max(ATTEMPT_WITHIN, self.every);
        tokio::select! {
            opened = tokio::time::timeout(limit, opening) => Some(opened.unwrap_or_else(|_| {
                let what = format!("no connection within {} s", limit.as_secs());
                Err(DriverError::new(ErrorKind::Disconnected, "harness", what))
            })),
            () = listener.stop() => None,
        }
    }
}

/// Waits, but not beyond the end of the trial.
pub(super) async fn pause(time: Duration, listener: &mut Listener) {
    tokio::select! {
        () = tokio::time::sleep(time) => {}
        () = listener.stop() => {}
    }
}
