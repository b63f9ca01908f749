//! Keeps the slowest messages of a run, each with every stage's time.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::record::SlowMessage;
use crate::clock::Nanos;

/// How many are kept.
pub const SLOWEST: usize = 100;

/// A slow message ordered by its latency, then by name so that equal runs keep equal ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    latency: Nanos,
    message: SlowMessage,
}

impl Entry {
    fn key(&self) -> (Nanos, Reverse<(u32, u64)>) {
        (self.latency, Reverse((self.message.lane, self.message.sequence)))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

/// The slowest [`SLOWEST`] messages. The common case costs one comparison.
#[derive(Debug, Clone)]
pub struct Slowest {
    heap: BinaryHeap<Reverse<Entry>>,
    threshold: Nanos,
}

impl Default for Slowest {
    fn default() -> Self {
        Self { heap: BinaryHeap::with_capacity(SLOWEST + 1), threshold: 0 }
    }
}

impl Slowest {
    /// Whether a message of this latency belongs here: ask before putting it together.
    #[must_use]
    #[inline]
    pub fn wants(&self, latency: Nanos) -> bool {
        latency > self.threshold || self.heap.len() < SLOWEST
    }

    /// Keeps a message if it is among the slowest.
    pub fn keep(&mut self, latency: Nanos, message: SlowMessage) {
        self.heap.push(Reverse(Entry { latency, message }));
        if self.heap.len() > SLOWEST {
            self.heap.pop();
        }
        if self.heap.len() == SLOWEST {
            self.threshold = self.heap.peek().map_or(0, |Reverse(fastest)| fastest.latency);
        }
    }

    /// Takes another thread's in.
    pub fn merge(&mut self, other: &Self) {
        for Reverse(entry) in &other.heap {
            if self.wants(entry.latency) {
                self.keep(entry.latency, entry.message);
            }
        }
    }

    /// All kept, slowest first.
    #[must_use]
    pub fn messages(&self) -> Vec<SlowMessage> {
        let mut entries: Vec<Entry> = self.heap.iter().map(|Reverse(entry)| *entry).collect();
        entries.sort_unstable_by(|a, b| b.cmp(a));
        entries.into_iter().map(|entry| entry.message).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prng::Prng;

    #[test]
    fn the_slowest_hundred_are_those_of_a_sort_also_when_merged_from_two_threads() {
        let mut prng = Prng::new(3);
        let mut latencies: Vec<u64> = (0..5000).map(|i| i * 1000 + prng.below(1000)).collect();
        prng.shuffle(&mut latencies);
        let mut halves = [Slowest::default(), Slowest::default()];
        for (index, &latency) in latencies.iter().enumerate() {
            let half = &mut halves[index % 2];
            if half.wants(latency) {
                half.keep(latency, SlowMessage { received: latency, ..SlowMessage::default() });
            }
        }
        let [mut first, second] = halves;
        first.merge(&second);
        latencies.sort_unstable_by(|a, b| b.cmp(a));
        let kept: Vec<u64> = first.messages().iter().map(|message| message.received).collect();
        assert_eq!(kept, latencies[..SLOWEST]);
    }
}
