//! How many messages may be in flight.
//!
//! Where a system acknowledges, a message is in flight until its acknowledgement. Where it doesn't, a closed
//! loop counts a message until its slowest receiver has it (or is known never to get it): [`Progress`] is the
//! receivers' side of that, shared between threads and written once per socket read.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering, fence};

use tokio::sync::Notify;

use crate::scenario::{LaneId, Subscribe, Topology};

/// How far each receiver has come with each publishing connection, in messages accounted for (delivered,
/// corrupt, or skipped by a later one).
#[derive(Debug)]
pub struct Progress {
    connections: usize,
    accounted: Vec<AtomicU64>,
    gone: Vec<AtomicBool>,
    waiting: Vec<AtomicBool>,
    wake: Vec<Notify>,
}

impl Progress {
    /// Nothing accounted for yet.
    #[must_use]
    pub fn new(topology: &Topology) -> Self {
        let connections = topology.publisher_connections as usize;
        let receivers = topology.receivers() as usize;
        Self {
            connections,
            accounted: (0..connections * receivers).map(|_| AtomicU64::new(0)).collect(),
            gone: (0..receivers).map(|_| AtomicBool::new(false)).collect(),
            waiting: (0..connections).map(|_| AtomicBool::new(false)).collect(),
            wake: (0..connections).map(|_| Notify::new()).collect(),
        }
    }

    /// `receiver` has accounted for `messages` more of `connection`. One thread per receiver calls this.
    #[inline]
    pub fn advance(&self, receiver: u32, connection: u32, messages: u64) {
        let cell = self.cell(receiver, connection);
        cell.store(cell.load(Ordering::Relaxed) + messages, Ordering::Release);
        self.wake(connection as usize);
    }

    /// `receiver` will account for nothing any more.
    pub fn leave(&self, receiver: u32) {
        self.gone[receiver as usize].store(true, Ordering::Release);
        (0..self.connections).for_each(|connection| self.wake(connection));
    }

    fn cell(&self, receiver: u32, connection: u32) -> &AtomicU64 {
        &self.accounted[receiver as usize * self.connections + connection as usize]
    }

    fn wake(&self, connection: usize) {
        // Pairs with the fence in `Window::moved`: either the waiter sees the new count or we see the waiter.
        fence(Ordering::SeqCst);
        if self.waiting[connection].load(Ordering::Relaxed) {
            self.wake[connection].notify_one();
        }
    }

    /// Messages of `connection` that `receiver` has accounted for; `None` once it is gone.
    fn accounted(&self, receiver: u32, connection: u32) -> Option<u64> {
        let gone = self.gone[receiver as usize].load(Ordering::Acquire);
        (!gone).then(|| self.cell(receiver, connection).load(Ordering::Acquire))
    }
}

/// The in-flight window of one publishing connection that counts to the slowest receiver.
#[derive(Debug)]
pub struct Window {
    connection: u32,
    size: u64,
    audiences: Vec<Audience>,
    /// Audience of each topic is its index modulo their number.
    topics: u32,
    sent: u64,
    settled: u64,
    forgiven: u64,
}

/// Receivers that expect the same messages.
#[derive(Debug)]
struct Audience {
    receivers: Vec<u32>,
    sent: u64,
    settled: u64,
    /// Settled at least this far, because nothing was heard for too long.
    forgiven_to: u64,
}

impl Window {
    /// A window of `size` messages (at least 1) for `connection`.
    #[must_use]
    pub fn new(topology: &Topology, connection: u32, size: u64) -> Self {
        let classes = match topology.subscribe {
            Subscribe::All => 1,
            Subscribe::Paired => topology.topics.min(topology.subscribers.max(1)),
        };
        let audience = |class| Audience {
            receivers: (0..topology.receivers())
                .filter(|receiver| classes == 1 || receiver % classes == class)
                .collect(),
            sent: 0,
            settled: 0,
            forgiven_to: 0,
        };
        Self {
            connection,
            size: size.max(1),
            audiences: (0..classes).map(audience).collect(),
            topics: topology.topics,
            sent: 0,
            settled: 0,
            forgiven: 0,
        }
    }

    /// Messages that may be in flight at once.
    #[must_use]
    #[inline]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Credit from which on a closed loop that has used its window up sends again: a quarter of it. Answers come
    /// by the dozen, and one write for many messages costs generator and broker less than many writes.
    #[must_use]
    #[inline]
    pub fn refill_from(&self) -> u64 {
        self.size.div_ceil(4)
    }

    /// Messages that may be sent now.
    #[must_use]
    #[inline]
    pub fn credit(&self) -> u64 {
        self.size.saturating_sub(self.sent - self.settled)
    }

    /// One message was sent on `lane`.
    #[inline]
    pub fn sent(&mut self, lane: LaneId) {
        self.sent += 1;
        if let [all] = self.audiences.as_mut_slice() {
            all.sent += 1;
            return;
        }
        let audience = (lane.0 % self.topics) as usize % self.audiences.len();
        self.audiences[audience].sent += 1;
    }

    /// Looks at what the receivers have accounted for. A message whose every receiver is gone is settled.
    pub fn refresh(&mut self, progress: &Progress) {
        for audience in self.audiences.iter_mut().filter(|audience| audience.settled < audience.sent) {
            let slowest = audience
                .receivers
                .iter()
                .filter_map(|&receiver| progress.accounted(receiver, self.connection))
                .min()
                .unwrap_or(audience.sent);
            let settled = slowest.max(audience.forgiven_to).clamp(audience.settled, audience.sent);
            self.settled += settled - audience.settled;
            audience.settled = settled;
        }
    }

    /// Gives back all credit although nothing was heard of the messages; counts them.
    pub fn forgive(&mut self) {
        for audience in &mut self.audiences {
            self.forgiven += audience.sent - audience.settled;
            audience.settled = audience.sent;
            audience.forgiven_to = audience.sent;
        }
        self.settled = self.sent;
    }

    /// Messages whose credit came back without being accounted for.
    #[must_use]
    pub fn forgiven(&self) -> u64 {
        self.forgiven
    }

    /// Waits until a receiver has moved, unless there is credit to refill from. The caller looks at the credit
    /// again; it may find too little. Cancel-safe.
    pub async fn moved(&mut self, progress: &Progress) {
        let slot = self.connection as usize;
        progress.waiting[slot].store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
        self.refresh(progress);
        if self.credit() < self.refill_from() {
            progress.wake[slot].notified().await;
            self.refresh(progress);
        }
        progress.waiting[slot].store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Delivery;

    fn topology(publishers: u32, subscribers: u32, topics: u32, subscribe: Subscribe) -> Topology {
        Topology {
            publishers,
            publisher_connections: 1,
            subscribers,
            subscriber_connections: subscribers,
            topics,
            subscribe,
            delivery: Delivery::FanOut,
            payload_max: 0,
            prefix: "t".into(),
            ..Topology::default()
        }
    }

    #[test]
    fn credit_comes_back_only_when_the_slowest_receiver_has_the_message() {
        let topology = topology(1, 2, 1, Subscribe::All);
        let progress = Progress::new(&topology);
        let mut window = Window::new(&topology, 0, 2);
        window.sent(LaneId(0));
        window.sent(LaneId(0));
        progress.advance(0, 0, 2);
        window.refresh(&progress);
        assert_eq!(window.credit(), 0);
        progress.advance(1, 0, 1);
        window.refresh(&progress);
        assert_eq!(window.credit(), 1);
    }

    #[test]
    fn pairs_are_counted_apart_so_that_one_slow_pair_keeps_only_its_own_credit() {
        let topology = topology(4, 4, 4, Subscribe::Paired);
        let progress = Progress::new(&topology);
        let mut window = Window::new(&topology, 0, 4);
        (0..4).for_each(|lane| window.sent(LaneId(lane)));
        (1..4).for_each(|receiver| progress.advance(receiver, 0, 1));
        window.refresh(&progress);
        assert_eq!(window.credit(), 3);
    }

    #[test]
    fn a_receiver_that_left_holds_nothing_back() {
        let topology = topology(1, 2, 1, Subscribe::All);
        let progress = Progress::new(&topology);
        let mut window = Window::new(&topology, 0, 1);
        window.sent(LaneId(0));
        progress.advance(0, 0, 1);
        progress.leave(1);
        window.refresh(&progress);
        assert_eq!(window.credit(), 1);
    }

    #[test]
    fn forgiven_credit_is_counted_and_pays_for_no_later_message() {
        let topology = topology(1, 1, 1, Subscribe::All);
        let progress = Progress::new(&topology);
        let mut window = Window::new(&topology, 0, 1);
        window.sent(LaneId(0));
        window.forgive();
        assert_eq!((window.credit(), window.forgiven()), (1, 1));
        window.sent(LaneId(0));
        window.refresh(&progress);
        assert_eq!(window.credit(), 0);
        progress.advance(0, 0, 2);
        window.sent(LaneId(0));
        window.refresh(&progress);
        assert_eq!(window.credit(), 0, "the gap was paid for once");
    }
}
