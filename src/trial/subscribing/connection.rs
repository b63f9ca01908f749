//! One subscribing connection: reads, has each delivery noted, lets the simulated work take its time, and
//! acknowledges. It comes, goes and stops reading when the scenario says so, and where the scenario wants it
//! a connection that broke is opened again.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::super::processing::{self, Workers};
use super::super::reopen::{Reopening, pause};
use super::super::setup::Setup;
use super::super::signal::{Listener, Totals};
use super::receivers::Receivers;
use crate::clock::Nanos;
use crate::driver::{AckToken, Driver, DriverError, Migration, Subscriber};
use crate::load::{Change, Presence, Timer};
use crate::prng::Prng;
use crate::scenario::Subscription;

/// One subscribing connection.
pub(super) struct Connection<D: Driver> {
    setup: Arc<Setup>,
    receivers: Rc<RefCell<Receivers>>,
    driver: D,
    subscriptions: Vec<Subscription>,
    /// Not there yet, away, or broken: `None`.
    subscriber: Option<D::Subscriber>,
    presence: Presence,
    reopening: Reopening,
    /// Start of the trial on the clock.
    start: Nanos,
    /// The workers of each subscription; none without a processing delay.
    workers: Vec<Workers>,
    /// Position of each subscription's receiver on this thread.
    receiver_of: Vec<usize>,
    tokens: Vec<AckToken>,
    client_drops: u64,
}

/// Why a connection stopped reading.
enum Ended {
    /// The trial is over.
    Over,
    /// The scenario has it do something else.
    Changes,
}

/// What a connection says when it is done.
#[derive(Debug)]
pub(super) struct Report {
    /// Why it ended, or was opened again.
    pub(super) errors: Vec<DriverError>,
    /// Messages that its client library dropped.
    pub(super) client_drops: u64,
}

impl<D: Driver> Connection<D> {
    /// A connection that reads `subscriptions` through `subscriber`, or through one that it opens when it is to
    /// be there.
    pub(super) fn new(
        (setup, start): (&Arc<Setup>, Nanos),
        receivers: &Rc<RefCell<Receivers>>,
        (driver, presence): (D, Presence),
        subscriptions: Vec<Subscription>,
        subscriber: Option<D::Subscriber>,
    ) -> Self {
        let workload = &setup.scenario.workload;
        let delay = subscriptions
            .first()
            .and_then(|subscription| setup.scenario.behaviour_of(subscription.subscriber)?.processing_delay)
            .unwrap_or(workload.processing_delay);
        let workers = |subscription: &Subscription| {
            let prng = Prng::split(setup.seed, 1 << 32 | u64::from(subscription.subscriber));
            Workers::new(delay, workload.processing_concurrency, prng)
        };
        let none = processing::is_none(delay);
        let receiver_of: Vec<usize> = subscriptions
            .iter()
            .map(|subscription| receivers.borrow().index_of(subscription.receiver))
            .collect();
        Self {
            workers: if none { Vec::new() } else { subscriptions.iter().map(workers).collect() },
            setup: Arc::clone(setup),
            receivers: Rc::clone(receivers),
            driver,
            subscriptions,
            subscriber,
            presence,
            reopening: Reopening::new(setup),
            start,
            receiver_of,
            tokens: Vec::new(),
            client_drops: 0,
        }
    }

    /// Reads until told to stop, or until the connection breaks and is not to be opened again.
    pub(super) async fn run(mut self, mut listener: Listener) -> Report {
        let result = self.live(&mut listener).await;
        if let Err(error) = result {
            let totals = &self.setup.totals;
            Totals::add(&totals.disconnects, 1);
            Totals::add(&totals.subscribers_gone, 1);
            self.receivers.borrow().leave(&self.receiver_of);
            self.reopening.errors.push(error);
        }
        self.close();
        Report { errors: self.reopening.errors, client_drops: self.client_drops }
    }

    async fn live(&mut self, listener: &mut Listener) -> Result<(), DriverError> {
        if self.subscriber.is_none() {
            self.goes(false);
        }
        loop {
            let ended = if self.subscriber.is_none() {
                self.wait_for_change(listener).await
            } else if self.workers.is_empty() {
                self.read(listener).await
            } else {
                self.work(listener).await
            };
            match ended {
                Ok(Ended::Over) => return Ok(()),
                Ok(Ended::Changes) => self.change(listener).await?,
                Err(error) => self.broke(error, listener).await?,
            }
        }
    }

    /// Does what the scenario has it do now.
    async fn change(&mut self, listener: &mut Listener) -> Result<(), DriverError> {
        let Some((_, change)) = self.presence.next() else { return Ok(()) };
        self.presence.pass();
        match change {
            Change::Come => self.open(listener).await,
            Change::Leave => {
                self.close();
                self.goes(false);
                Ok(())
            }
            // Whoever reads nothing does nothing else until the next change.
            Change::Stop => {
                self.wait_for_change(listener).await?;
                Ok(())
            }
            Change::Resume => Ok(()),
            Change::Move => {
                self.close();
                self.goes(false);
                for subscription in &self.subscriptions {
                    let step = Migration::Move(subscription.subscriber);
                    self.driver.migrate(&self.setup.topology, step).await?;
                }
                self.open(listener).await
            }
        }
    }

    /// The connection broke: opens it again where the scenario wants that, and gives the error back where not.
    async fn broke(&mut self, error: DriverError, listener: &mut Listener) -> Result<(), DriverError> {
        self.close();
        self.goes(true);
        self.reopening.may_after(error, &self.setup)?;
        self.open(listener).await
    }

    /// Opens the connection, trying again as long as the scenario wants.
    async fn open(&mut self, listener: &mut Listener) -> Result<(), DriverError> {
        while self.subscriber.is_none() && !listener.stopped() {
            let opening = self.driver.subscriber(&self.setup.topology, &self.subscriptions);
            match self.reopening.attempt(opening, listener).await {
                Some(Ok(subscriber)) => {
                    self.subscriber = Some(subscriber);
                    self.receivers.borrow_mut().come(&self.receiver_of, self.now());
                }
                Some(Err(error)) => self.reopening.failed(error)?,
                None => return Ok(()),
            }
            if self.subscriber.is_none() {
                pause(self.reopening.every, listener).await;
            }
        }
        Ok(())
    }

    /// Closes the connection; what was not acknowledged on it never will be.
    fn close(&mut self) {
        if let Some(subscriber) = self.subscriber.take() {
            self.client_drops += subscriber.client_drops();
        }
        self.tokens.clear();
        self.workers.iter_mut().for_each(Workers::forget);
    }

    /// What is sent from now on is sent while this subscriber is away: by the scenario's wish, or cut off.
    fn goes(&self, cut_off: bool) {
        self.receivers.borrow_mut().go(&self.receiver_of, cut_off, self.now());
    }

    /// Time until the next change; a year if there is none.
    fn until_change(&self) -> Duration {
        self.presence.next().map_or(Duration::from_secs(365 * 24 * 3600), |(at, _)| {
            Duration::from_nanos(at.saturating_sub(self.now()))
        })
    }

    async fn wait_for_change(&self, listener: &mut Listener) -> Result<Ended, DriverError> {
        tokio::select! {
            () = tokio::time::sleep(self.until_change()) => Ok(Ended::Changes),
            () = listener.stop() => Ok(Ended::Over),
        }
    }

    /// Reads and acknowledges at once.
    async fn read(&mut self, listener: &mut Listener) -> Result<Ended, DriverError> {
        let changes = self.presence.next().is_some();
        let change = tokio::time::sleep(self.until_change());
        tokio::pin!(change);
        loop {
            tokio::select! {
                biased;
                () = &mut change, if changes => return Ok(Ended::Changes),
                read = self.batch() => read?,
                () = listener.stop() => return Ok(Ended::Over),
            }
            self.acknowledge().await?;
        }
    }

    /// Reads when a worker is free and acknowledges what is done.
    async fn work(&mut self, listener: &mut Listener) -> Result<Ended, DriverError> {
        let timer = Timer::new().map_err(|error| super::thread::harness_error("no timer", error))?;
        let changes = self.presence.next().is_some();
        let change = tokio::time::sleep(self.until_change());
        tokio::pin!(change);
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
                () = &mut change, if changes => return Ok(Ended::Changes),
                read = self.batch(), if free_at <= now => read?,
                slept = timer.sleep(wake_at.unwrap_or(0).saturating_sub(now)), if wake_at.is_some() => {
                    slept.map_err(|error| super::thread::harness_error("no timer", error))?;
                }
                () = listener.stop() => return Ok(Ended::Over),
            }
        }
    }

    fn now(&self) -> Nanos {
        self.setup.clock.now().saturating_sub(self.start)
    }

    /// One socket read: the clock is read once, at its first message.
    async fn batch(&mut self) -> Result<(), DriverError> {
        let Self { setup, receivers, subscriber, start, workers, receiver_of, tokens, .. } = self;
        let Some(subscriber) = subscriber else { return std::future::pending().await };
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
        if let Some(subscriber) = self.subscriber.as_mut().filter(|_| !self.tokens.is_empty()) {
            subscriber.ack(&self.tokens).await?;
            self.tokens.clear();
        }
        Ok(())
    }
}
