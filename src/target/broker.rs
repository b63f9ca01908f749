//! A broker from start to stop, wherever it comes from: one node, or several that form a cluster.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::node::{Node, NodeState};
use super::os::{self, ProcessSample, ProcessUsage};
use super::probe::Counters;
use super::{System, TargetError, start};
use crate::scenario::{self, Target};

/// A broker that answers. Ended by [`Broker::stop`]; dropping it kills it, and so does the end of busmark.
///
/// Start and stop it on the same tokio runtime, with I/O and time enabled.
#[derive(Debug)]
pub struct Broker {
    pub(super) url: String,
    pub(super) settings: Vec<(String, String)>,
    /// At least one, but for loopback.
    pub(super) nodes: Vec<Node>,
    pub(super) pids: Vec<u32>,
    /// Of both systems, where there are two.
    pub(super) versions: Option<String>,
}

impl Broker {
    /// Makes the target's broker be there and waits until it answers; a cluster answers when all its nodes do
    /// and know each other.
    ///
    /// # Errors
    /// `NotFound` if its program isn't on this machine, `Exited` and `NotReady` with the end of its log (which
    /// is kept), `Unreachable` for an external one, `Unsupported` if the two don't fit.
    pub async fn start(target: &Target) -> Result<Self, TargetError> {
        let old = Self::start_one(target).await?;
        let Some(new) = target.new_system() else { return Ok(old) };
        match Self::start_one(&new).await {
            Ok(new) => Ok(old.and(new)),
            Err(error) => {
                old.stop().await?;
                Err(error)
            }
        }
    }

    /// Two systems as one broker: the servers of the old one, then those of the new one.
    fn and(self, new: Self) -> Self {
        Self {
            url: format!("{} {}", self.url, new.url),
            versions: Some(format!("{} + {}", self.version(), new.version())),
            settings: [self.settings, new.settings].concat(),
            nodes: self.nodes.into_iter().chain(new.nodes).collect(),
            pids: [self.pids, new.pids].concat(),
        }
    }

    async fn start_one(target: &Target) -> Result<Self, TargetError> {
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
            settings: Vec::new(),
            nodes: Vec::new(),
            pids: Vec::new(),
            versions: None,
        })
    }

    /// Where clients reach it: its first node, or all nodes of a NATS or Kafka cluster, with commas between them. Two
    /// systems have a space between theirs. It may hold a password.
    #[must_use]
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Its servers, one or several; none for loopback.
    #[must_use]
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// One of its servers, to be paused, killed or restarted.
    ///
    /// # Errors
    /// `Unsupported` if there is no such node.
    pub fn node_mut(&mut self, index: usize) -> Result<&mut Node, TargetError> {
        let count = self.nodes.len();
        self.nodes.get_mut(index).ok_or_else(|| TargetError::Unsupported {
            target: format!("node {index}"),
            what: format!("the broker has {count} nodes, counted from 0"),
        })
    }

    /// Its processes; empty where they aren't ours.
    #[must_use]
    pub fn pids(&self) -> &[u32] {
        &self.pids
    }

    /// What its processes have used so far, together; `None` where they aren't ours, or are all gone.
    #[must_use]
    pub fn sample(&self) -> Option<ProcessSample> {
        let nodes = self.samples();
        nodes.iter().any(Option::is_some).then(|| {
            let used =
                self.nodes.iter().zip(nodes).map(|(node, now)| now.unwrap_or_else(|| node.used_before()));
            used.fold(ProcessSample::default(), ProcessSample::plus)
        })
    }

    /// What its living processes have had of disk and scheduler so far, together; `None` where they aren't ours.
    #[must_use]
    pub fn usage(&self) -> Option<ProcessUsage> {
        self.pids.iter().filter_map(|&pid| os::usage(pid)).reduce(ProcessUsage::plus)
    }

    /// What each node has used so far.
    #[must_use]
    pub fn samples(&self) -> Vec<Option<ProcessSample>> {
        self.nodes.iter().map(Node::sample).collect()
    }

    /// The servers' own counters, added up over the nodes that were not killed; empty where there is no server.
    ///
    /// # Errors
    /// `Unreachable` if one doesn't answer.
    pub async fn counters(&self) -> Result<Counters, TargetError> {
        let mut sum: Option<Counters> = None;
        let living = self.nodes.iter().filter(|node| node.state() != NodeState::Killed);
        let mut killed = self.nodes.iter().filter(|node| node.state() == NodeState::Killed);
        for node in living {
            let counters = node.counters().await?;
            match &mut sum {
                Some(sum) => sum.add(&counters),
                None => sum = Some(counters),
            }
        }
        match (sum, killed.next()) {
            (Some(sum), _) => Ok(sum),
            (None, Some(killed)) => killed.counters().await,
            (None, None) => Ok(Counters::default()),
        }
    }

    /// The server's version, as it says itself.
    #[must_use]
    pub fn version(&self) -> &str {
        let first = || self.nodes.first().map_or(env!("CARGO_PKG_VERSION"), |node| &node.version);
        self.versions.as_deref().unwrap_or_else(first)
    }

    /// Settings in effect that bear on a measurement, as the server told them once it was ready.
    #[must_use]
    pub fn effective_config(&self) -> &[(String, String)] {
        &self.settings
    }

    /// The configuration file that was generated for its first node.
    #[must_use]
    pub fn config_text(&self) -> Option<&str> {
        self.nodes.first()?.config_text.as_deref()
    }

    /// The log of its first node, as long as the broker lives.
    #[must_use]
    pub fn log(&self) -> Option<PathBuf> {
        self.nodes.first().and_then(Node::log)
    }

    /// Copies its log to `to`, to be kept with the results; those of several nodes one after another. Nothing
    /// to do where it isn't ours.
    ///
    /// # Errors
    /// `Io` if it can't be copied.
    pub fn save_log(&self, to: &Path) -> Result<(), TargetError> {
        let logs: Vec<PathBuf> = self.nodes.iter().filter_map(Node::log).collect();
        let copied = match logs.as_slice() {
            [] => Ok(()),
            [log] => fs::copy(log, to).map(|_| ()),
            several => join_logs(several, to),
        };
        copied.map_err(|source| TargetError::Io {
            path: to.to_owned(),
            what: "could not keep the broker's log",
            source,
        })
    }

    /// How one of its nodes ended, if it did so by itself; the log is kept then.
    pub fn died(&mut self) -> Option<TargetError> {
        self.nodes.iter_mut().find_map(Node::died)
    }

    /// Freezes its processes (SIGSTOP).
    pub fn pause(&mut self) {
        self.nodes.iter_mut().for_each(Node::pause);
    }

    /// Lets frozen processes go on (SIGCONT).
    pub fn resume(&mut self) {
        self.nodes.iter_mut().for_each(Node::resume);
    }

    /// Kills its processes (SIGKILL) and waits until they are gone. Its directories stay until the end.
    pub async fn kill(&mut self) {
        for node in &mut self.nodes {
            node.kill().await;
        }
    }

    /// Starts one node again, with the same configuration, directory and ports.
    ///
    /// # Errors
    /// As [`Node::restart`] and [`Broker::node_mut`].
    pub async fn restart_node(&mut self, index: usize) -> Result<(), TargetError> {
        let node = self.node_mut(index)?;
        let within = node.address.system.ready_within();
        node.restart(within).await?;
        self.pids = self.nodes.iter().flat_map(|node| node.pids().to_vec()).collect();
        Ok(())
    }

    /// Ends it: no process and no directory of it is left when this returns.
    ///
    /// # Errors
    /// `Exited` if it had ended by itself before, with the end of its log, which is kept.
    pub async fn stop(mut self) -> Result<(), TargetError> {
        let died = self.died();
        for node in &mut self.nodes {
            node.stop().await;
        }
        died.map_or(Ok(()), Err)
    }
}

/// Writes several logs into one file, each below a line that says whose it is.
fn join_logs(logs: &[PathBuf], to: &Path) -> io::Result<()> {
    let mut file = File::create(to)?;
    for (number, log) in logs.iter().enumerate() {
        writeln!(file, "==== node {number}")?;
        io::copy(&mut File::open(log)?, &mut file)?;
    }
    Ok(())
}
