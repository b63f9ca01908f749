//! Two systems as one: each message is written to both, and each subscriber reads from the old one until it is told to
//! move, from the new one from then on. How an application changes systems without standing still, as long as
//! everything happens in the right order.
//!
//! A message is accepted once both have accepted it, and rejected once both have rejected it; what one took and the other
//! refused has no answer, and is counted. Until the new system is there, the old one's answer is all there is.

mod answers;
mod publisher;

pub(crate) use publisher::DualPublisher;

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::any::{AnyDriver, AnySubscriber};
use super::{Driver, DriverError, ErrorKind, Guarantees, Leftovers, Migration};
use crate::scenario::{DualWrite, Subscription, Topology};

/// Name of the driver in errors.
const NAME: &str = "dual write";

/// An old system and a new one.
#[derive(Clone)]
pub(super) struct Dual {
    old: AnyDriver,
    new: AnyDriver,
    /// The new system is made ready later on.
    later: bool,
    state: Arc<State>,
}

/// How far the migration is, known to all connections.
#[derive(Debug, Default)]
struct State {
    /// The new system is ready, and written to.
    both: AtomicBool,
    /// The subscribers that moved.
    moved: Mutex<BTreeSet<u32>>,
    /// Messages that one system took and the other refused.
    split: AtomicU64,
}

impl State {
    fn moved(&self) -> std::sync::MutexGuard<'_, BTreeSet<u32>> {
        self.moved.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn writes_both(&self) -> bool {
        self.both.load(Ordering::Acquire)
    }
}

impl Dual {
    pub(super) fn new(old: AnyDriver, new: AnyDriver, dual_write: &DualWrite) -> Self {
        Self { old, new, later: dual_write.from.is_some(), state: Arc::default() }
    }

    async fn write_both(&self, topology: &Topology) -> Result<(), DriverError> {
        self.new.prepare(topology).await?;
        self.state.both.store(true, Ordering::Release);
        Ok(())
    }
}

impl Driver for Dual {
    type Publisher = DualPublisher;
    type Subscriber = AnySubscriber;

    fn guarantees(&self) -> Guarantees {
        Guarantees { work_queue: false, ..self.old.guarantees().weaker(self.new.guarantees()) }
    }

    async fn prepare(&self, topology: &Topology) -> Result<(), DriverError> {
        self.state.both.store(false, Ordering::Release);
        self.state.moved().clear();
        self.state.split.store(0, Ordering::Relaxed);
        self.old.prepare(topology).await?;
        if self.later {
            return self.new.tear_down(topology).await;
        }
        self.write_both(topology).await
    }

    async fn publisher(&self, topology: &Topology, connection: u32) -> Result<DualPublisher, DriverError> {
        let old = self.old.publisher(topology, connection).await?;
        let new = self.new.publisher(topology, connection).await?;
        Ok(DualPublisher::new(old, new, Arc::clone(&self.state)))
    }

    async fn subscriber(
        &self,
        topology: &Topology,
        subscriptions: &[Subscription],
    ) -> Result<AnySubscriber, DriverError> {
        let moved = subscriptions.first().is_some_and(|one| self.state.moved().contains(&one.subscriber));
        if !moved {
            return self.old.subscriber(topology, subscriptions).await;
        }
        if !self.state.writes_both() {
            let what = "the new system has nothing to subscribe to yet";
            return Err(DriverError::new(ErrorKind::Disconnected, NAME, what)
                .remedy("move subscribers after dual_write.from"));
        }
        self.new.subscriber(topology, subscriptions).await
    }

    /// What the system holds from which its subscribers read; nobody reads what is left in the other one. While some
    /// read from either nobody can say for whom something is held.
    async fn leftovers(&self, topology: &Topology) -> Result<Option<Leftovers>, DriverError> {
        let moved = self.state.moved().len();
        match (moved, self.state.writes_both()) {
            (0, _) => self.old.leftovers(topology).await,
            (moved, true) if moved == topology.subscribers as usize => self.new.leftovers(topology).await,
            _ => Ok(None),
        }
    }

    fn remarks(&self) -> Vec<String> {
        let split = self.state.split.load(Ordering::Relaxed);
        let told = (split > 0)
            .then(|| format!("{split} messages were taken by one system and refused by the other: unknown"));
        [self.old.remarks(), self.new.remarks(), told.into_iter().collect()].concat()
    }

    async fn migrate(&self, topology: &Topology, step: Migration) -> Result<(), DriverError> {
        match step {
            Migration::WriteBoth => self.write_both(topology).await,
            Migration::Move(subscriber) => {
                self.state.moved().insert(subscriber);
                Ok(())
            }
            Migration::AllMoved(first, count) => {
                let there = self.state.moved().range(first..first.saturating_add(count)).count();
                if there == count as usize {
                    return Ok(());
                }
                let what = format!("{there} of {count} subscribers left the old system");
                Err(DriverError::new(ErrorKind::Fatal, NAME, what))
            }
        }
    }

    async fn tear_down(&self, topology: &Topology) -> Result<(), DriverError> {
        let old = self.old.tear_down(topology).await;
        self.new.tear_down(topology).await.and(old)
    }
}
