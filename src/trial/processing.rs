//! A subscriber's simulated work: in virtual time, so that it blocks no thread.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

use crate::clock::Nanos;
use crate::driver::AckToken;
use crate::prng::Prng;
use crate::scenario::Delay;

/// Draws the processing time of one message.
fn draw(delay: Delay, prng: &mut Prng) -> Nanos {
    match delay {
        Delay::Fixed(time) => time.as_nanos() as Nanos,
        Delay::Exponential(mean) => (mean.as_nanos() as f64 * prng.exponential()) as Nanos,
        Delay::Share { share, of } => {
            if prng.unit() < share {
                of.as_nanos() as Nanos
            } else {
                0
            }
        }
        Delay::Lognormal { median, sigma } => {
            (median.as_nanos() as f64 * (sigma * prng.normal()).exp()) as Nanos
        }
    }
}

/// Whether a delay never takes any time.
pub(super) fn is_none(delay: Delay) -> bool {
    match delay {
        Delay::Fixed(time) => time.is_zero(),
        Delay::Share { share, of } => share == 0.0 || of.is_zero(),
        Delay::Exponential(_) | Delay::Lognormal { .. } => false,
    }
}

/// The workers of one subscriber. Each message waits for the first free worker, is handled, and is then to
/// be acknowledged. A subscriber that has no free worker reads no more.
#[derive(Debug)]
pub(super) struct Workers {
    delay: Delay,
    prng: Prng,
    /// When each worker is free, earliest first.
    free_at: BinaryHeap<Reverse<Nanos>>,
    /// Acknowledgements to come, in order of their time.
    done: BinaryHeap<Reverse<(Nanos, AckToken)>>,
}

impl Workers {
    /// `concurrency` workers, all free.
    pub(super) fn new(delay: Delay, concurrency: u32, prng: Prng) -> Self {
        let free_at = (0..concurrency.max(1)).map(|_| Reverse(0)).collect();
        Self { delay, prng, free_at, done: BinaryHeap::new() }
    }

    /// A message came at `received`; gives when its handling starts.
    pub(super) fn take(&mut self, received: Nanos, token: Option<AckToken>) -> Nanos {
        let Reverse(free) = self.free_at.pop().unwrap_or(Reverse(0));
        let start = free.max(received);
        let end = start + draw(self.delay, &mut self.prng);
        self.free_at.push(Reverse(end));
        if let Some(token) = token {
            self.done.push(Reverse((end, token)));
        }
        start
    }

    /// When the first worker is free.
    pub(super) fn free_at(&self) -> Nanos {
        self.free_at.peek().map_or(0, |Reverse(at)| *at)
    }

    /// When the next message is done, if one wants an acknowledgement.
    pub(super) fn next_done(&self) -> Option<Nanos> {
        self.done.peek().map(|Reverse((at, _))| *at)
    }

    /// The connection is gone: what was not acknowledged on it never will be.
    pub(super) fn forget(&mut self) {
        self.done.clear();
    }

    /// Moves what is done by `now` into `tokens`.
    pub(super) fn collect(&mut self, now: Nanos, tokens: &mut Vec<AckToken>) {
        while self.next_done().is_some_and(|at| at <= now) {
            if let Some(Reverse((_, token))) = self.done.pop() {
                tokens.push(token);
            }
        }
    }
}

/// Messages a publisher has handed over and got no answer to yet, by their number on the connection.
#[derive(Debug)]
pub(super) struct Unanswered<T> {
    first: u64,
    entries: VecDeque<Option<T>>,
    open: u64,
}

impl<T> Default for Unanswered<T> {
    fn default() -> Self {
        Self { first: 0, entries: VecDeque::new(), open: 0 }
    }
}

impl<T> Unanswered<T> {
    /// The next message of the connection.
    #[inline]
    pub(super) fn push(&mut self, entry: T) {
        self.entries.push_back(Some(entry));
        self.open += 1;
    }

    /// How many have no answer.
    #[inline]
    pub(super) fn open(&self) -> u64 {
        self.open
    }

    /// The answer to message `number`; `None` if it was answered before or never sent.
    #[inline]
    pub(super) fn answer(&mut self, number: u64) -> Option<T> {
        let index = usize::try_from(number.checked_sub(self.first)?).ok()?;
        let entry = self.entries.get_mut(index)?.take()?;
        self.open -= 1;
        if index == 0 {
            self.entries.pop_front();
            self.first += 1;
            while let Some(None) = self.entries.front() {
                self.entries.pop_front();
                self.first += 1;
            }
        }
        Some(entry)
    }

    /// The oldest message without an answer.
    pub(super) fn oldest(&self) -> Option<&T> {
        self.entries.front().and_then(Option::as_ref)
    }

    /// Messages of which `old` holds, counted from the oldest on.
    pub(super) fn count_old(&self, old: impl Fn(&T) -> bool) -> u64 {
        self.entries.iter().flatten().take_while(|entry| old(entry)).count() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn one_worker_handles_messages_one_after_the_other() {
        let mut workers = Workers::new(Delay::Fixed(Duration::from_nanos(10)), 1, Prng::new(0));
        let starts: Vec<Nanos> = (0..3).map(|i| workers.take(5, Some(AckToken(i)))).collect();
        assert_eq!(starts, [5, 15, 25]);
        let mut tokens = Vec::new();
        workers.collect(25, &mut tokens);
        assert_eq!((tokens, workers.next_done()), (vec![AckToken(0), AckToken(1)], Some(35)));
    }

    #[test]
    fn two_workers_handle_two_messages_at_a_time() {
        let mut workers = Workers::new(Delay::Fixed(Duration::from_nanos(10)), 2, Prng::new(0));
        let starts: Vec<Nanos> = (0..4).map(|_| workers.take(0, None)).collect();
        assert_eq!((starts, workers.free_at()), (vec![0, 0, 10, 10], 20));
    }

    #[test]
    fn drawn_delays_have_the_mean_and_the_median_asked_for() {
        let mut prng = Prng::new(3);
        let n = 100_000;
        let mean: f64 = (0..n)
            .map(|_| draw(Delay::Exponential(Duration::from_micros(100)), &mut prng) as f64)
            .sum::<f64>()
            / f64::from(n);
        let lognormal = Delay::Lognormal { median: Duration::from_micros(100), sigma: 0.5 };
        let below = (0..n).filter(|_| draw(lognormal, &mut prng) < 100_000).count() as f64 / f64::from(n);
        assert!((mean / 1e5 - 1.0).abs() < 0.02, "mean {mean} ns");
        assert!((below - 0.5).abs() < 0.01, "share below the median {below}");
    }

    #[test]
    fn answers_may_come_in_any_order_and_only_once() {
        let mut unanswered = Unanswered::default();
        (0..3).for_each(|i| unanswered.push(i * 10));
        assert_eq!((unanswered.answer(1), unanswered.answer(1)), (Some(10), None));
        assert_eq!((unanswered.open(), unanswered.oldest()), (2, Some(&0)));
        assert_eq!((unanswered.answer(0), unanswered.answer(0), unanswered.answer(9)), (Some(0), None, None));
        assert_eq!((unanswered.answer(2), unanswered.open()), (Some(20), 0));
    }
}
