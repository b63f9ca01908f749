//! A driver whose messages arrive before `enqueue` returns, as they may where a client library sends by itself.

use busmark::clock::Clock;
use busmark::driver::loopback::{Loopback, LoopbackPublisher, LoopbackSubscriber};
use busmark::driver::{
    AckRun, AckToken, Delivery, Driver, DriverError, Enqueued, Guarantees, Leftovers, Publisher, Subscriber,
};
use busmark::scenario::{Subscription, TopicId, Topology};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

/// What has not arrived within this will not, ns.
const WITHIN: u64 = 30_000_000_000;

/// The in-memory bus, flushed by each message. For one publishing and one subscribing connection.
#[derive(Clone)]
pub(crate) struct Eager {
    inner: Loopback,
    arrived: Arc<AtomicU64>,
}

impl Eager {
    pub(crate) fn new(inner: Loopback) -> Self {
        Self { inner, arrived: Arc::default() }
    }
}

impl Driver for Eager {
    type Publisher = EagerPublisher;
    type Subscriber = EagerSubscriber;

    fn guarantees(&self) -> Guarantees {
        self.inner.guarantees()
    }

    async fn prepare(&self, topology: &Topology) -> Result<(), DriverError> {
        self.inner.prepare(topology).await
    }

    async fn publisher(&self, topology: &Topology, connection: u32) -> Result<EagerPublisher, DriverError> {
        let inner = self.inner.publisher(topology, connection).await?;
        Ok(EagerPublisher { inner, arrived: Arc::clone(&self.arrived), sent: 0, early: Vec::new() })
    }

    async fn subscriber(
        &self,
        topology: &Topology,
        subscriptions: &[Subscription],
    ) -> Result<EagerSubscriber, DriverError> {
        let inner = self.inner.subscriber(topology, subscriptions).await?;
        Ok(EagerSubscriber { inner, arrived: Arc::clone(&self.arrived) })
    }

    async fn leftovers(&self, topology: &Topology) -> Result<Option<Leftovers>, DriverError> {
        self.inner.leftovers(topology).await
    }

    async fn tear_down(&self, topology: &Topology) -> Result<(), DriverError> {
        self.inner.tear_down(topology).await
    }
}

pub(crate) struct EagerPublisher {
    inner: LoopbackPublisher,
    arrived: Arc<AtomicU64>,
    sent: u64,
    /// Answers that came while a message was handed over.
    early: Vec<AckRun>,
}

impl Publisher for EagerPublisher {
    fn enqueue(&mut self, topic: TopicId, payload: &[u8]) -> Result<Enqueued, DriverError> {
        let taken = self.inner.enqueue(topic, payload)?;
        if taken == Enqueued::Full {
            return Ok(taken);
        }
        self.sent += 1;
        let (early, clock) = (&mut self.early, Clock::real());
        let mut keep = |run| early.push(run);
        let mut flush = pin!(self.inner.flush(&mut keep));
        let mut flushed = false;
        while !flushed || self.arrived.load(Ordering::Acquire) < self.sent {
            if !flushed
                && let Poll::Ready(done) = flush.as_mut().poll(&mut Context::from_waker(Waker::noop()))
            {
                done?;
                flushed = true;
            }
            assert!(clock.now() < WITHIN, "message {} does not arrive", self.sent);
            std::thread::yield_now();
        }
        Ok(taken)
    }

    async fn flush(&mut self, each: &mut impl FnMut(AckRun)) -> Result<(), DriverError> {
        self.early.drain(..).for_each(&mut *each);
        self.inner.flush(each).await
    }

    async fn acks(&mut self, each: &mut impl FnMut(AckRun)) -> Result<(), DriverError> {
        if self.early.is_empty() {
            return self.inner.acks(each).await;
        }
        self.early.drain(..).for_each(each);
        Ok(())
    }
}

pub(crate) struct EagerSubscriber {
    inner: LoopbackSubscriber,
    arrived: Arc<AtomicU64>,
}

impl Subscriber for EagerSubscriber {
    async fn next_batch(&mut self, each: &mut impl FnMut(Delivery<'_>)) -> Result<(), DriverError> {
        let arrived = &self.arrived;
        self.inner
            .next_batch(&mut |delivery| {
                each(delivery);
                arrived.fetch_add(1, Ordering::Release);
            })
            .await
    }

    async fn ack(&mut self, tokens: &[AckToken]) -> Result<(), DriverError> {
        self.inner.ack(tokens).await
    }
}
