//! One subscribing connection: reads, has each delivery noted, lets the simulated work take its time, and
//! acknowledges.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use super::super::processing::{self, Workers};
use super::super::setup::Setup;
use super::super::signal::{Listener, Totals};
use super::receivers::Receivers;
use crate::clock::Nanos;
use crate::driver::{AckToken, DriverError, Subscriber};
use crate::load::Timer;
use crate::prng::Prng;
use crate::scenario::Subscription;

/// One subscribing connection.
pub(super) struct Connection<S> {
    pub(super) setup: Arc<Setup>,
    pub(super) receivers: Rc<RefCell<Receivers>>,
    pub(super) subscriber: S,
    /// Start of the trial on the clock.
    pub(super) start: Nanos,
    /// The workers of each subscription; none without a processing delay.
    workers: Vec<Workers>,
    /// Position of each subscription's receiver on this thread.
    receiver_of: Vec<usize>,
    tokens: Vec<AckToken>,
}

impl<S: Subscriber> Connection<S> {
    /// A connection that reads `subscriptions` through `subscriber`.
    pub(super) fn new(
        setup: &Arc<Setup>,
        receivers: &Rc<RefCell<Receivers>>,
        subscriptions: &[Subscription],
        subscriber: S,
        start: Nanos,
    ) -> Self {
        let workload = &setup.scenario.workload;
        let workers = |subscription: &Subscription| {
            let prng = Prng::split(setup.seed, 1 << 32 | u64::from(subscription.subscriber));
            Workers::new(workload.processing_delay, workload.processing_concurrency, prng)
        };
        let none = processing::is_none(workload.processing_delay);
        let receiver_of =
            subscriptions.iter().map(|subscription| receivers.borrow().index_of(subscription.receiver));
        Self {
            setup: Arc::clone(setup),
            receivers: Rc::clone(receivers),
            subscriber,
            start,
            workers: if none { Vec::new() } else { subscriptions.iter().map(workers).collect() },
            receiver_of: receiver_of.collect(),
            tokens: Vec::new(),
        }
    }

    /// Reads until told to stop or the connection breaks; gives the error then.
    pub(super) async fn run(mut self, mut listener: Listener) -> (Option<DriverError>, u64) {
        let result = if self.workers.is_empty() {
            self.read(&mut listener).await
        } else {
            self.work(&mut listener).await
        };
        if result.is_err() {
            let totals = &self.setup.totals;
            Totals::add(&totals.disconnects, 1);
            Totals::add(&totals.subscribers_gone, 1);
            self.receivers.borrow().leave(&self.receiver_of);
        }
        (result.err(), self.subscriber.client_drops())
    }

    /// Reads and acknowledges at once.
    async fn read(&mut self, listener: &mut Listener) -> Result<(), DriverError> {
        loop {
            tokio::select! {
                biased;
                read = self.batch() => read?,
                () = listener.stop() => return Ok(()),
            }
            self.acknowledge().await?;
        }
    }

    /// Reads when a worker is free and acknowledges what is done.
    async fn work(&mut self, listener: &mut Listener) -> Result<(), DriverError> {
        let timer = Timer::new().map_err(|error| super::thread::harness_error("no timer", error))?;
        loop {
            let now = self.now();
            for workers in &mut self.workers {
                workers.collect(now, &mut self.tokens);
            }
            self.acknowledge().await?;
            let free_at = self.workers.iter().map(Workers::free_at).min().unwrap_or(0);
            let next_done = self.workers.iter().filter_map(Workers::next_done).min();
            let wake_at = if free_at > now { Some(free_at) } else { next_done };
            tokio::select! {
                biased;
                read = self.batch(), if free_at <= now => read?,
                slept = timer.sleep(wake_at.unwrap_or(0).saturating_sub(now)), if wake_at.is_some() => {
                    slept.map_err(|error| super::thread::harness_error("no timer", error))?;
                }
                () = listener.stop() => return Ok(()),
            }
        }
    }

    fn now(&self) -> Nanos {
        self.setup.clock.now().saturating_sub(self.start)
    }

    /// One socket read: the clock is read once, at its first message.
    async fn batch(&mut self) -> Result<(), DriverError> {
        let Self { setup, receivers, subscriber, start, workers, receiver_of, tokens } = self;
        let mut received = None;
        let read = subscriber
            .next_batch(&mut |delivery| {
                let at = *received.get_or_insert_with(|| setup.clock.now().saturating_sub(*start));
                let subscription = delivery.subscription as usize;
                let handled = match workers.get_mut(subscription) {
                    Some(workers) => workers.take(at, delivery.token),
                    None => {
                        tokens.extend(delivery.token);
                        at
                    }
                };
                receivers.borrow_mut().note(receiver_of[subscription], &delivery, (at, handled));
            })
            .await;
        if received.is_some() {
            receivers.borrow_mut().publish();
        }
        read
    }

    async fn acknowledge(&mut self) -> Result<(), DriverError> {
        if !self.tokens.is_empty() {
            self.subscriber.ack(&self.tokens).await?;
            self.tokens.clear();
        }
        Ok(())
    }
}
