//! One server of a broker: its process and directory where it is ours, its address in any case.

use std::path::PathBuf;
use std::time::Duration;

use super::TargetError;
use super::child::Process;
use super::os::{self, ProcessSample, Signal};
use super::probe::{Address, Counters, Identity};

/// How often a server is asked whether it is ready.
pub(super) const ASK_EVERY: Duration = Duration::from_millis(10);

/// What a trial has done to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum NodeState {
    /// Nothing: it runs, as far as it is up to us.
    #[default]
    Running,
    /// It stands still (SIGSTOP).
    Paused,
    /// It was killed (SIGKILL), and is not back.
    Killed,
}

/// One server of a broker. A broker of one server has one node, a cluster several, and what busmark doesn't
/// start has one without processes.
#[derive(Debug)]
pub struct Node {
    pub(super) address: Address,
    pub(super) version: String,
    pub(super) config_text: Option<String>,
    process: Option<Process>,
    pids: Vec<u32>,
    /// What the server has to call itself to be the one that was started.
    mark: Option<Mark>,
    state: NodeState,
    /// CPU time of its earlier processes, in ns: a node that was restarted is still the same node.
    earlier_cpu_ns: u64,
}

/// How a server of ours is told from a stranger on its port.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Mark {
    /// It gives its process id.
    ProcessId,
    /// It gives this name.
    Name(String),
}

impl Node {
    /// A server that runs somewhere and is not ours.
    pub(super) fn external(address: Address, version: String) -> Self {
        Self {
            address,
            version,
            config_text: None,
            process: None,
            pids: Vec::new(),
            mark: None,
            state: NodeState::Running,
            earlier_cpu_ns: 0,
        }
    }

    /// A process that was started and may not answer yet.
    pub(super) fn started(address: Address, process: Process, mark: Option<Mark>) -> Self {
        let version = String::new();
        Self { process: Some(process), mark, ..Self::external(address, version) }
    }

    /// Asks until the server answers and is the one that was started.
    pub(super) async fn until_ready(&mut self, within: Duration) -> Result<(), TargetError> {
        let Some(process) = &mut self.process else { return Ok(()) };
        let mark = match &self.mark {
            Some(Mark::ProcessId) => Some(process.pid().to_string()),
            Some(Mark::Name(name)) => Some(name.clone()),
            None => None,
        };
        let identity = answer(process, &self.address, within, mark.as_deref()).await?;
        self.pids = process.pids();
        self.version = identity.version;
        Ok(())
    }

    /// Where clients reach it; it may hold a password.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.address.url
    }

    /// Its processes; empty where they aren't ours.
    #[must_use]
    pub fn pids(&self) -> &[u32] {
        &self.pids
    }

    /// What the server calls itself, where busmark gave it a name.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match &self.mark {
            Some(Mark::Name(name)) => Some(name),
            Some(Mark::ProcessId) | None => None,
        }
    }

    /// What was done to it.
    #[must_use]
    pub fn state(&self) -> NodeState {
        self.state
    }

    /// What its processes have used so far, together, those before a restart included; `None` where they aren't
    /// ours, or are gone.
    #[must_use]
    pub fn sample(&self) -> Option<ProcessSample> {
        let living = self.pids.iter().filter_map(|&pid| os::sample(pid)).reduce(ProcessSample::plus)?;
        Some(living.plus(self.used_before()))
    }

    /// Whether all its processes are stopped, as the kernel tells.
    #[must_use]
    pub fn stands_still(&self) -> bool {
        !self.pids.is_empty() && self.pids.iter().all(|&pid| os::is_stopped(pid))
    }

    /// What processes that are gone have used.
    pub(super) fn used_before(&self) -> ProcessSample {
        ProcessSample { cpu_ns: self.earlier_cpu_ns, rss_bytes: 0 }
    }

    /// Remembers what its processes have used, before they go.
    fn keep_account(&mut self) {
        if let Some(sample) = self.sample() {
            self.earlier_cpu_ns = sample.cpu_ns;
        }
    }

    /// The server's own counters.
    ///
    /// # Errors
    /// `Unreachable` if it doesn't answer.
    pub async fn counters(&self) -> Result<Counters, TargetError> {
        self.address.counters().await
    }

    /// Its log, as long as the broker lives.
    #[must_use]
    pub fn log(&self) -> Option<PathBuf> {
        self.process.as_ref().map(Process::log)
    }

    /// How it ended, if it did so by itself; the log is kept then.
    pub fn died(&mut self) -> Option<TargetError> {
        let process = self.process.as_mut().filter(|_| self.state != NodeState::Killed)?;
        let status = process.has_ended()?;
        Some(process.exited(status))
    }

    /// Freezes its processes (SIGSTOP).
    pub fn pause(&mut self) {
        self.signal(Signal::Stop, NodeState::Paused);
    }

    /// Lets frozen processes go on (SIGCONT).
    pub fn resume(&mut self) {
        self.signal(Signal::Continue, NodeState::Running);
    }

    /// Kills its processes (SIGKILL) and waits until they are gone. Its directory stays until the end.
    pub async fn kill(&mut self) {
        self.keep_account();
        self.signal(Signal::Kill, NodeState::Killed);
        if let Some(process) = &mut self.process {
            self.state = NodeState::Killed;
            process.ended().await;
        }
    }

    /// Starts a node that was killed again, with the same configuration, directory and ports, and waits until
    /// it answers. One that still runs is ended first.
    ///
    /// # Errors
    /// `Unsupported` where the process isn't ours; `Exited` and `NotReady` as at the first start.
    pub async fn restart(&mut self, within: Duration) -> Result<(), TargetError> {
        self.keep_account();
        let Some(process) = &mut self.process else {
            return Err(TargetError::Unsupported {
                target: self.address.public_url(),
                what: "busmark can restart only what it has started".to_owned(),
            });
        };
        process.restart().await?;
        self.state = NodeState::Running;
        self.until_ready(within).await
    }

    /// Ends it: no process and no directory of it is left when this returns.
    pub(super) async fn stop(&mut self) {
        if let Some(process) = &mut self.process {
            process.stop().await;
        }
    }

    fn signal(&mut self, signal: Signal, state: NodeState) {
        if let Some(process) = self.process.as_ref().filter(|_| self.state != NodeState::Killed) {
            process.signal(signal);
            self.state = state;
        }
    }
}

/// Asks until the server answers, and is the one that was started.
async fn answer(
    process: &mut Process,
    address: &Address,
    within: Duration,
    mark: Option<&str>,
) -> Result<Identity, TargetError> {
    let mut last = "it was not asked yet".to_owned();
    let mut ticks = tokio::time::interval(ASK_EVERY);
    let asking = async {
        loop {
            ticks.tick().await;
            match address.identify().await {
                Ok(identity) if mark.is_none_or(|mark| mark == identity.mark) => return identity,
                Ok(stranger) => last = format!("{} answers there in its place", stranger.mark),
                Err(error) => last = error.to_string(),
            }
        }
    };
    tokio::select! {
        biased;
        status = process.ended() => Err(process.exited(status)),
        answer = tokio::time::timeout(within, asking) => {
            answer.map_err(|_| process.not_ready(within, last))
        }
    }
}
