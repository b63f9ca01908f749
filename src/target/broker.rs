//! A broker from start to stop, wherever it comes from.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::child::Process;
use super::os::{self, ProcessSample, Signal};
use super::probe::{Address, Counters};
use super::{System, TargetError, start};
use crate::scenario::{self, Target};

/// A broker that answers. Ended by [`Broker::stop`]; dropping it kills it, and so does the end of busmark.
///
/// Start and stop it on the same tokio runtime, with I/O and time enabled.
#[derive(Debug)]
pub struct Broker {
    pub(super) url: String,
    pub(super) address: Option<Address>,
    pub(super) version: String,
    pub(super) settings: Vec<(String, String)>,
    pub(super) config_text: Option<String>,
    pub(super) process: Option<Process>,
    pub(super) pids: Vec<u32>,
    pub(super) killed: bool,
}

impl Broker {
    /// Makes the target's broker be there and waits until it answers.
    ///
    /// # Errors
    /// `NotFound` if its program isn't on this machine, `Exited` and `NotReady` with the end of its log (which
    /// is kept), `Unreachable` for an external one, `Unsupported` if the two don't fit.
    pub async fn start(target: &Target) -> Result<Self, TargetError> {
        let system = System::of(&target.driver);
        let (scenario::Broker::None, None) = (&target.broker, system) else {
            let system = system.ok_or_else(|| TargetError::Unsupported {
                target: target.name.clone(),
                what: format!("driver {} has no broker; leave the key out", target.driver.name()),
            })?;
            return start::start(target, system).await;
        };
        Ok(Self {
            url: "loopback://0".to_owned(),
            address: None,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            settings: Vec::new(),
            config_text: None,
            process: None,
            pids: Vec::new(),
            killed: false,
        })
    }

    /// Where clients reach it.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its processes; empty where they aren't ours.
    #[must_use]
    pub fn pids(&self) -> &[u32] {
        &self.pids
    }

    /// What its processes have used so far, together; `None` where they aren't ours, or are gone.
    #[must_use]
    pub fn sample(&self) -> Option<ProcessSample> {
        self.pids.iter().filter_map(|&pid| os::sample(pid)).reduce(|sum, one| ProcessSample {
            cpu_ns: sum.cpu_ns + one.cpu_ns,
            rss_bytes: sum.rss_bytes + one.rss_bytes,
        })
    }

    /// The server's own counters; empty where there is no server.
    ///
    /// # Errors
    /// `Unreachable` if it doesn't answer.
    pub async fn counters(&self) -> Result<Counters, TargetError> {
        match &self.address {
            Some(address) => address.counters().await,
            None => Ok(Counters::default()),
        }
    }

    /// The server's version, as it says itself.
    #[must_use]
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Settings in effect that bear on a measurement, as the server told them once it was ready.
    #[must_use]
    pub fn effective_config(&self) -> &[(String, String)] {
        &self.settings
    }

    /// The configuration file that was generated for it.
    #[must_use]
    pub fn config_text(&self) -> Option<&str> {
        self.config_text.as_deref()
    }

    /// Its log, as long as the broker lives.
    #[must_use]
    pub fn log(&self) -> Option<PathBuf> {
        self.process.as_ref().map(Process::log)
    }

    /// Copies its log to `to`, to be kept with the results. Nothing to do where it isn't ours.
    ///
    /// # Errors
    /// `Io` if it can't be copied.
    pub fn save_log(&self, to: &Path) -> Result<(), TargetError> {
        let Some(log) = self.log() else { return Ok(()) };
        let copied = std::fs::copy(log, to);
        copied.map(|_| ()).map_err(|source| TargetError::Io {
            path: to.to_owned(),
            what: "could not keep the broker's log",
            source,
        })
    }

    /// How it ended, if it did so by itself; the log is kept then.
    pub fn died(&mut self) -> Option<TargetError> {
        let process = self.process.as_mut().filter(|_| !self.killed)?;
        let status = process.has_ended()?;
        Some(process.exited(status))
    }

    /// Freezes its processes (SIGSTOP).
    pub fn pause(&self) {
        self.signal(Signal::Stop);
    }

    /// Lets frozen processes go on (SIGCONT).
    pub fn resume(&self) {
        self.signal(Signal::Continue);
    }

    /// Kills its processes (SIGKILL) and waits until they are gone. Its directory stays until the end.
    pub async fn kill(&mut self) {
        self.signal(Signal::Kill);
        self.killed = true;
        if let Some(process) = &mut self.process {
            process.ended().await;
        }
    }

    /// Ends it: no process and no directory of it is left when this returns.
    ///
    /// # Errors
    /// `Exited` if it had ended by itself before, with the end of its log, which is kept.
    pub async fn stop(mut self) -> Result<(), TargetError> {
        let died = self.died();
        if let Some(process) = &mut self.process {
            process.stop().await;
        }
        died.map_or(Ok(()), Err)
    }

    fn signal(&self, signal: Signal) {
        if let Some(process) = &self.process {
            process.signal(signal);
        }
    }
}

/// How long a managed or bundled server may take until it answers.
pub(super) const READY_WITHIN: Duration = Duration::from_secs(15);
