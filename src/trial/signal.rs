//! What the threads of a trial say to each other: a few words, never once per message.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

use crate::clock::Nanos;

/// Where a trial stands, as its control thread tells the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Open connections and say so.
    Connect,
    /// Publish; the trial starts at this time of the clock.
    Go(Nanos),
    /// Nothing more is to be sent; answers and deliveries still count.
    Drain,
    /// Leave.
    Stop,
}

/// A thread's ear for [`Stage`].
#[derive(Debug, Clone)]
pub(super) struct Listener(watch::Receiver<Stage>);

impl Listener {
    /// A sender and the first listener.
    pub(super) fn pair() -> (watch::Sender<Stage>, Self) {
        let (sender, receiver) = watch::channel(Stage::Connect);
        (sender, Self(receiver))
    }

    /// Waits for `Go`; `None` if the trial ends before.
    pub(super) async fn start(&mut self) -> Option<Nanos> {
        let stage = self.0.wait_for(|stage| *stage != Stage::Connect).await.ok()?;
        match *stage {
            Stage::Go(start) => Some(start),
            Stage::Connect | Stage::Drain | Stage::Stop => None,
        }
    }

    /// Waits until nothing more is to be sent. A control thread that is gone counts as that. Cancel-safe.
    pub(super) async fn drain(&mut self) {
        drop(self.0.wait_for(|stage| matches!(stage, Stage::Drain | Stage::Stop)).await);
    }

    /// Waits for the end. A control thread that is gone counts as the end. Cancel-safe.
    pub(super) async fn stop(&mut self) {
        drop(self.0.wait_for(|stage| *stage == Stage::Stop).await);
    }

    /// Whether it is the end.
    pub(super) fn stopped(&self) -> bool {
        *self.0.borrow() == Stage::Stop || self.0.has_changed().is_err()
    }

    /// Whether nothing more is to be sent.
    pub(super) fn drains(&self) -> bool {
        matches!(*self.0.borrow(), Stage::Drain | Stage::Stop) || self.0.has_changed().is_err()
    }
}

/// Running totals, added to once per batch and read by the control thread.
#[derive(Debug, Default)]
pub(super) struct Totals {
    /// Messages handed to drivers.
    pub(super) sent: AtomicU64,
    /// Deliveries that those ask for (messages × receivers), less those of rejected messages.
    pub(super) expected: AtomicU64,
    /// Messages answered with an acceptance.
    pub(super) acked: AtomicU64,
    /// Deliveries accounted for: first ones and corrupt ones.
    pub(super) arrived: AtomicU64,
    /// Payload bytes of first, whole deliveries.
    pub(super) bytes: AtomicU64,
    /// All deliveries that came, of whatever kind.
    pub(super) seen: AtomicU64,
    /// Publishing connections that have sent everything or died.
    pub(super) done_sending: AtomicU64,
    /// Publishing connections that have every answer, or died.
    pub(super) done_answering: AtomicU64,
    /// Deliveries with later ones seen and not there yet, now.
    pub(super) gaps: AtomicU64,
    /// Subscribing connections that are gone.
    pub(super) subscribers_gone: AtomicU64,
    /// Connections lost, on either side.
    pub(super) disconnects: AtomicU64,
}

impl Totals {
    /// Adds to a total.
    #[inline]
    pub(super) fn add(total: &AtomicU64, count: u64) {
        total.fetch_add(count, Ordering::Relaxed);
    }

    /// Reads a total.
    #[inline]
    pub(super) fn read(total: &AtomicU64) -> u64 {
        total.load(Ordering::Relaxed)
    }
}
