//! What publishers and subscribers of one bus share: who reads which topic, when the stall is, and the counts
//! of what was injected.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::faults::Faults;
use super::ring::Ring;
use crate::clock::{Clock, Nanos};
use crate::scenario::{Delivery, LoopbackOptions, Subscription, Topology};

/// Faults that took place, in deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Injected {
    /// Vanished.
    pub dropped: u64,
    /// Made a second time.
    pub duplicated: u64,
    /// Handed over after a later one of their lane.
    pub reordered: u64,
    /// A bit flipped.
    pub corrupted: u64,
}

/// One receiver of a topic: the connections that serve it, one of which gets each message.
#[derive(Debug, Clone)]
pub(super) struct Route {
    pub(super) receiver: u32,
    /// Index into [`Routes::rings`], and the subscription there.
    pub(super) members: Vec<(u32, u32)>,
}

/// A snapshot of who reads what.
#[derive(Debug, Default)]
pub(super) struct Routes {
    pub(super) version: u64,
    pub(super) rings: Vec<Arc<Ring>>,
    pub(super) topics: Vec<Vec<Route>>,
}

#[derive(Debug, Default)]
struct Registry {
    entries: Vec<(Arc<Ring>, Vec<Subscription>)>,
    topics: u32,
    queues: Vec<bool>,
    snapshot: Option<Arc<Routes>>,
}

/// The bus.
#[derive(Debug)]
pub(super) struct Bus {
    options: LoopbackOptions,
    seed: u64,
    clock: Clock,
    registry: Mutex<Registry>,
    /// Goes up with each change of the registry.
    version: AtomicU64,
    /// Goes up with each `prepare` and `tear_down`: older connections are gone.
    generation: AtomicU64,
    ended: Notify,
    /// Time of the first message plus 1; 0 before it.
    first_at: AtomicU64,
    dropped: AtomicU64,
    duplicated: AtomicU64,
    reordered: AtomicU64,
    corrupted: AtomicU64,
}

impl Bus {
    pub(super) fn new(options: LoopbackOptions, seed: u64) -> Self {
        Self {
            options,
            seed,
            clock: Clock::real(),
            registry: Mutex::default(),
            version: AtomicU64::new(1),
            generation: AtomicU64::new(0),
            ended: Notify::new(),
            first_at: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            duplicated: AtomicU64::new(0),
            reordered: AtomicU64::new(0),
            corrupted: AtomicU64::new(0),
        }
    }

    pub(super) fn options(&self) -> &LoopbackOptions {
        &self.options
    }

    pub(super) fn faults(&self, connection: u32, ordered: bool) -> Faults {
        Faults::new(&self.options, self.seed, connection, ordered)
    }

    fn registry(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends all connections and begins anew.
    pub(super) fn reset(&self, topology: &Topology) {
        self.close();
        let mut registry = self.registry();
        registry.topics = topology.topics;
        let queue = |receiver| topology.delivery_of(receiver) == Delivery::WorkQueue;
        registry.queues = (0..topology.receivers()).map(queue).collect();
        self.first_at.store(0, Ordering::Relaxed);
        for count in [&self.dropped, &self.duplicated, &self.reordered, &self.corrupted] {
            count.store(0, Ordering::Relaxed);
        }
    }

    /// Ends all connections.
    pub(super) fn close(&self) {
        let mut registry = self.registry();
        for (ring, _) in registry.entries.drain(..) {
            ring.close();
        }
        registry.snapshot = None;
        self.generation.fetch_add(1, Ordering::Release);
        self.version.fetch_add(1, Ordering::Release);
        self.ended.notify_waiters();
    }

    /// Waits until the connections of `generation` have ended.
    pub(super) async fn gone(&self, generation: u64) {
        let mut ended = std::pin::pin!(self.ended.notified());
        ended.as_mut().enable();
        if self.generation() == generation {
            ended.await;
        }
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Adds a subscribing connection.
    pub(super) fn join(&self, subscriptions: &[Subscription]) -> Arc<Ring> {
        let ring = Arc::new(Ring::default());
        let mut registry = self.registry();
        registry.entries.push((ring.clone(), subscriptions.to_vec()));
        registry.snapshot = None;
        self.version.fetch_add(1, Ordering::Release);
        ring
    }

    /// Takes a subscribing connection off; its place in the list of rings stays.
    pub(super) fn leave(&self, ring: &Arc<Ring>) {
        ring.forget();
        let mut registry = self.registry();
        if let Some((_, subscriptions)) =
            registry.entries.iter_mut().find(|(other, _)| Arc::ptr_eq(other, ring))
        {
            subscriptions.clear();
        }
        registry.snapshot = None;
        self.version.fetch_add(1, Ordering::Release);
    }

    pub(super) fn version(&self) -> u64 {
        self.version.load(Ordering::Acquire)
    }

    /// Who reads what by now.
    pub(super) fn routes(&self) -> Arc<Routes> {
        let mut registry = self.registry();
        if let Some(routes) = &registry.snapshot {
            return routes.clone();
        }
        let routes = Arc::new(registry.routes(self.version()));
        registry.snapshot = Some(routes.clone());
        routes
    }

    /// Deliveries that were pushed and not handed over.
    pub(super) fn outstanding(&self) -> u64 {
        self.registry().entries.iter().map(|(ring, _)| ring.outstanding()).sum()
    }

    /// Whether times matter at all.
    fn timed(&self) -> bool {
        !self.options.delay.is_zero() || !self.options.stall_for.is_zero()
    }

    /// Now, or 0 where times don't matter.
    pub(super) fn now(&self) -> Nanos {
        if self.timed() { self.clock.now() } else { 0 }
    }

    /// When a message that is pushed now may be handed over; notes the first one.
    pub(super) fn due(&self) -> Nanos {
        if !self.timed() {
            return 0;
        }
        let now = self.clock.now();
        if self.first_at.load(Ordering::Relaxed) == 0 {
            // Whoever comes second finds the first one's time in place.
            _ = self.first_at.compare_exchange(0, now + 1, Ordering::Relaxed, Ordering::Relaxed);
        }
        now + nanos(self.options.delay)
    }

    /// When the stall that holds at `now` ends; `None` outside of it.
    pub(super) fn stalled_until(&self, now: Nanos) -> Option<Nanos> {
        let first = self.first_at.load(Ordering::Relaxed).checked_sub(1)?;
        let begin = first + nanos(self.options.stall_at);
        let end = begin + nanos(self.options.stall_for);
        (begin..end).contains(&now).then_some(end)
    }

    pub(super) fn count(&self, more: Injected) {
        self.dropped.fetch_add(more.dropped, Ordering::Relaxed);
        self.duplicated.fetch_add(more.duplicated, Ordering::Relaxed);
        self.reordered.fetch_add(more.reordered, Ordering::Relaxed);
        self.corrupted.fetch_add(more.corrupted, Ordering::Relaxed);
    }

    pub(super) fn injected(&self) -> Injected {
        Injected {
            dropped: self.dropped.load(Ordering::Relaxed),
            duplicated: self.duplicated.load(Ordering::Relaxed),
            reordered: self.reordered.load(Ordering::Relaxed),
            corrupted: self.corrupted.load(Ordering::Relaxed),
        }
    }
}

impl Registry {
    fn route(&self, subscription: &Subscription, member: (u32, u32), topics: &mut [Vec<Route>]) {
        let receiver = subscription.receiver;
        let queue = self.queues.get(receiver as usize).copied().unwrap_or(false);
        for topic in &subscription.topics {
            let Some(routes) = topics.get_mut(topic.0 as usize) else { continue };
            match routes.iter_mut().find(|route| queue && route.receiver == receiver) {
                Some(route) => route.members.push(member),
                None => routes.push(Route { receiver, members: vec![member] }),
            }
        }
    }

    fn routes(&self, version: u64) -> Routes {
        let mut topics: Vec<Vec<Route>> = vec![Vec::new(); self.topics as usize];
        for (slot, (_, subscriptions)) in (0u32..).zip(&self.entries) {
            for (index, subscription) in (0u32..).zip(subscriptions) {
                self.route(subscription, (slot, index), &mut topics);
            }
        }
        Routes { version, rings: self.entries.iter().map(|(ring, _)| ring.clone()).collect(), topics }
    }
}

fn nanos(duration: std::time::Duration) -> Nanos {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX / 4)
}
