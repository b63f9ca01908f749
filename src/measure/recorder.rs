//! Recorders for one thread each. A message touches only its own thread's histograms; once per interval the
//! filled ones are exchanged for empty ones, behind a lock that is held for a pointer's worth of time.

use std::sync::{Arc, Mutex, PoisonError};

use super::histogram::{CoarseHistogram, LatencyHistogram};
use super::slowest::Slowest;
use crate::clock::Nanos;

/// Buffers that travel between a recorder and the timeline, besides the one being filled.
const SPARES: usize = 2;

/// The times of one delivery. `None` is "not known": rate `max` has no intended times, short payloads carry no
/// send time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Times {
    /// The message belongs to the measured phase (by its intended time; the ledger knows).
    pub measured: bool,
    /// When it was meant to go.
    pub intended: Option<Nanos>,
    /// When it went.
    pub sent: Option<Nanos>,
}

/// What subscribers measured in one interval.
#[derive(Debug, Default)]
pub(super) struct DeliveryInterval {
    pub(super) start: Nanos,
    pub(super) end: Nanos,
    /// First deliveries, both phases.
    pub(super) delivered: u64,
    /// Holes open at the end.
    pub(super) gaps: u64,
    /// Warm-up, measured.
    pub(super) delivery: [LatencyHistogram; 2],
    pub(super) transit: LatencyHistogram,
    pub(super) last_delivery: LatencyHistogram,
}

/// What publishers measured in one interval.
#[derive(Debug, Default)]
pub(super) struct PublishInterval {
    pub(super) start: Nanos,
    pub(super) end: Nanos,
    /// Both phases.
    pub(super) sent: u64,
    pub(super) acked: u64,
    pub(super) service: LatencyHistogram,
    pub(super) response: LatencyHistogram,
    pub(super) send_lag: LatencyHistogram,
    pub(super) pacer_lag: LatencyHistogram,
    pub(super) stall: LatencyHistogram,
}

/// An interval's worth of samples.
pub(super) trait Interval: Default {
    /// Where it starts and ends, nanoseconds since trial start.
    fn bounds(&mut self) -> (&mut Nanos, &mut Nanos);
    /// Makes it empty again, keeping the memory.
    fn clear(&mut self);
}

impl Interval for DeliveryInterval {
    fn bounds(&mut self) -> (&mut Nanos, &mut Nanos) {
        (&mut self.start, &mut self.end)
    }

    fn clear(&mut self) {
        (self.delivered, self.gaps) = (0, 0);
        self.delivery.iter_mut().for_each(LatencyHistogram::clear);
        self.transit.clear();
        self.last_delivery.clear();
    }
}

impl Interval for PublishInterval {
    fn bounds(&mut self) -> (&mut Nanos, &mut Nanos) {
        (&mut self.start, &mut self.end)
    }

    fn clear(&mut self) {
        (self.sent, self.acked) = (0, 0);
        for histogram in
            [&mut self.service, &mut self.response, &mut self.send_lag, &mut self.pacer_lag, &mut self.stall]
        {
            histogram.clear();
        }
    }
}

/// Filled intervals on their way to the timeline, empty ones on their way back.
#[derive(Debug)]
pub(super) struct Exchange<T> {
    pub(super) full: Vec<Box<T>>,
    pub(super) spare: Vec<Box<T>>,
}

/// An [`Exchange`] as its two ends hold it.
pub(super) type Shared<T> = Arc<Mutex<Exchange<T>>>;

/// Locks an exchange; a thread that panicked while it held the lock can't have left it half done.
pub(super) fn lock<T>(shared: &Shared<T>) -> std::sync::MutexGuard<'_, Exchange<T>> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One end of an exchange: the interval being filled.
#[derive(Debug)]
struct Filling<T> {
    active: Box<T>,
    shared: Shared<T>,
    length: Nanos,
    next: Nanos,
}

impl<T: Interval> Filling<T> {
    fn new(length: Nanos) -> Self {
        let spare = (0..SPARES).map(|_| Box::default()).collect();
        let shared = Arc::new(Mutex::new(Exchange { full: Vec::with_capacity(SPARES + 1), spare }));
        Self { active: Box::default(), shared, length, next: length }
    }

    /// Exchanges the active interval if it is over. If no empty one has come back yet, it grows longer.
    fn roll(&mut self, now: Nanos) {
        let mut exchange = lock(&self.shared);
        let Some(mut fresh) = exchange.spare.pop() else { return };
        *fresh.bounds().0 = now;
        *self.active.bounds().1 = now;
        exchange.full.push(std::mem::replace(&mut self.active, fresh));
        drop(exchange);
        self.next = (now / self.length + 1) * self.length;
    }

    /// Hands over what is left.
    fn finish(mut self, now: Nanos) {
        *self.active.bounds().1 = now;
        lock(&self.shared).full.push(self.active);
    }
}

/// Records what one thread's subscribers receive.
#[derive(Debug)]
pub struct DeliveryRecorder {
    filling: Filling<DeliveryInterval>,
    subscribers: Vec<CoarseHistogram>,
    slowest: Slowest,
}

/// What a [`DeliveryRecorder`] keeps beside the timeline.
#[derive(Debug, Default)]
pub struct DeliveryRest {
    /// Delivery times of each subscriber of the thread, in the order of their indices; empty if not asked for.
    pub subscribers: Vec<CoarseHistogram>,
    /// The slowest messages.
    pub slowest: Slowest,
}

impl DeliveryRecorder {
    /// `subscribers` histograms of 4 KiB are kept for the worst subscriber's p99; 0 keeps none.
    pub(super) fn new(interval: Nanos, subscribers: usize) -> (Self, Shared<DeliveryInterval>) {
        let filling = Filling::new(interval);
        let shared = filling.shared.clone();
        let subscribers = vec![CoarseHistogram::default(); subscribers];
        (Self { filling, subscribers, slowest: Slowest::default() }, shared)
    }

    /// Records a first delivery to the thread's `subscriber`, read from the socket at `received`. True if
    /// the message is among the slowest so far: then [`Self::keep_slow`] wants its stages.
    #[inline]
    pub fn delivered(&mut self, subscriber: usize, times: Times, received: Nanos) -> bool {
        let active = &mut *self.filling.active;
        active.delivered += 1;
        if let Some(intended) = times.intended {
            active.delivery[usize::from(times.measured)].record_between(intended, received);
        }
        if !times.measured {
            return false;
        }
        if let Some(sent) = times.sent {
            active.transit.record_between(sent, received);
        }
        let Some(since) = times.intended.or(times.sent) else { return false };
        let latency = received.saturating_sub(since);
        if let Some(histogram) = self.subscribers.get_mut(subscriber) {
            histogram.record(latency);
        }
        self.slowest.wants(latency)
    }

    /// Keeps a message that [`Self::delivered`] asked for.
    pub fn keep_slow(&mut self, message: super::record::SlowMessage) {
        let since = message.intended.or(message.sent).unwrap_or(message.received);
        self.slowest.keep(message.received.saturating_sub(since), message);
    }

    /// Records when a fan-out message reached its last receiver (see `ReceiverLedger::last_delivery`).
    pub fn last_delivery(&mut self, intended: Nanos, last: Nanos) {
        self.filling.active.last_delivery.record_between(intended, last);
    }

    /// Whether the interval is over: to be asked between batches, then [`Self::roll`].
    #[must_use]
    #[inline]
    pub fn due(&self, now: Nanos) -> bool {
        now >= self.filling.next
    }

    /// Hands the interval over. `gaps` are the thread's open holes.
    pub fn roll(&mut self, now: Nanos, gaps: u64) {
        self.filling.active.gaps = gaps;
        self.filling.roll(now);
    }

    /// Hands over what is left and returns what the timeline does not keep.
    #[must_use]
    pub fn finish(mut self, now: Nanos, gaps: u64) -> DeliveryRest {
        self.filling.active.gaps = gaps;
        self.filling.finish(now);
        DeliveryRest { subscribers: self.subscribers, slowest: self.slowest }
    }
}

/// Messages one after the other that have all times in common: at rate max those of a write do, and those of one read
/// of answers to it.
#[derive(Debug)]
struct Run<K> {
    key: K,
    count: u64,
}

impl<K: PartialEq + Default> Run<K> {
    fn new() -> Self {
        Self { key: K::default(), count: 0 }
    }

    /// One more message; gives the run that it ends.
    #[inline]
    fn add(&mut self, key: K) -> Option<Self> {
        if self.key == key {
            self.count += 1;
            return None;
        }
        Some(std::mem::replace(self, Self { key, count: 1 }))
    }

    fn take(&mut self) -> Self {
        std::mem::replace(self, Self::new())
    }
}

/// Records what one thread's publishers do. Latencies are kept of the measured phase only.
#[derive(Debug)]
pub struct PublishRecorder {
    filling: Filling<PublishInterval>,
    /// What was sent last: its times, when the pacer woke, when it went.
    sent: Run<(Times, Nanos, Nanos)>,
    /// What was answered last: its times, and when.
    acked: Run<(Times, Nanos)>,
}

impl PublishRecorder {
    pub(super) fn new(interval: Nanos) -> (Self, Shared<PublishInterval>) {
        let filling = Filling::new(interval);
        let shared = filling.shared.clone();
        (Self { filling, sent: Run::new(), acked: Run::new() }, shared)
    }

    /// Records that a message went into the output buffer at `sent`; `woken` is when the pacer came for it.
    #[inline]
    pub fn sent(&mut self, times: Times, woken: Nanos, sent: Nanos) {
        if let Some(run) = self.sent.add((times, woken, sent)) {
            self.filling.active.note_sent(run);
        }
    }

    /// Records that the system answered for a message at `acked`.
    #[inline]
    pub fn acked(&mut self, times: Times, acked: Nanos) {
        if let Some(run) = self.acked.add((times, acked)) {
            self.filling.active.note_acked(run);
        }
    }

    /// Whether the interval is over: to be asked between batches, then [`Self::roll`].
    #[must_use]
    #[inline]
    pub fn due(&self, now: Nanos) -> bool {
        now >= self.filling.next
    }

    /// Hands the interval over.
    pub fn roll(&mut self, now: Nanos) {
        self.settle();
        self.filling.roll(now);
    }

    /// Hands over what is left.
    pub fn finish(mut self, now: Nanos) {
        self.settle();
        self.filling.finish(now);
    }

    /// Notes what was still to be noted.
    fn settle(&mut self) {
        let (sent, acked) = (self.sent.take(), self.acked.take());
        self.filling.active.note_sent(sent);
        self.filling.active.note_acked(acked);
    }
}

impl PublishInterval {
    #[inline]
    fn note_sent(&mut self, Run { key: (times, woken, sent), count }: Run<(Times, Nanos, Nanos)>) {
        self.sent += count;
        if !times.measured {
            return;
        }
        if let Some(intended) = times.intended {
            self.send_lag.record_run(intended, sent, count);
            self.pacer_lag.record_run(intended, woken, count);
        }
        self.stall.record_run(woken, sent, count);
    }

    #[inline]
    fn note_acked(&mut self, Run { key: (times, acked), count }: Run<(Times, Nanos)>) {
        self.acked += count;
        if !times.measured {
            return;
        }
        if let Some(sent) = times.sent {
            self.service.record_run(sent, acked, count);
        }
        if let Some(intended) = times.intended {
            self.response.record_run(intended, acked, count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_of_equal_times_count_every_message_and_none_is_left_behind_at_the_end_of_an_interval() {
        let (mut recorder, shared) = PublishRecorder::new(1_000);
        let times = |measured, sent| Times { measured, intended: None, sent: Some(sent) };
        for (measured, sent, count) in [(false, 10, 3), (true, 10, 5), (true, 20, 1), (true, 10, 2)] {
            for _ in 0..count {
                recorder.sent(times(measured, sent), sent, sent);
                recorder.acked(times(measured, sent), 110);
            }
        }
        recorder.roll(1_500);
        recorder.sent(times(true, 1_600), 1_590, 1_600);
        recorder.finish(2_000);
        let full = std::mem::take(&mut lock(&shared).full);
        let of = |of: &PublishInterval| (of.sent, of.acked, of.stall.count(), of.service.count());
        assert_eq!(full.iter().map(|one| of(one)).collect::<Vec<_>>(), [(11, 11, 8, 8), (1, 0, 1, 0)]);
        // Seven of 100 ns and one of 90, in microseconds.
        let mean = full[0].service.quantiles(0).mean.unwrap();
        assert!((mean - 0.79 / 8.0).abs() < 0.001, "{mean}");
    }
}
