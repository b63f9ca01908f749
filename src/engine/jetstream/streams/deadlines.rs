//! When messages are due again that were delivered and not acknowledged.
//!
//! Nearly all wait equally long, so each new deadline is the latest: those are a queue, and only others are kept in a
//! tree. What is settled stays in the queue until it is at its front, or until most of the queue is like it.

use super::consumer::Pending;
use crate::clock::Nanos;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Settled entries that the queue may hold, however few are open.
const SETTLED: usize = 1024;

/// Deadlines, with the sequences that have them. One counts as long as the books of what is pending say so, too.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    queue: VecDeque<(Nanos, u64)>,
    others: BTreeSet<(Nanos, u64)>,
}

impl Deadlines {
    /// Notes a deadline that the books have already.
    pub(super) fn set(&mut self, deadline: Nanos, sequence: u64) {
        if self.queue.back().is_none_or(|&(last, _)| last <= deadline) {
            self.queue.push_back((deadline, sequence));
        } else {
            self.others.insert((deadline, sequence));
        }
    }

    /// Forgets a deadline that the books have no more.
    pub(super) fn unset(&mut self, deadline: Nanos, sequence: u64, books: &BTreeMap<u64, Pending>) {
        if !self.others.is_empty() {
            self.others.remove(&(deadline, sequence));
        }
        self.tidy(books);
    }

    /// Keeps the front of the queue something that counts, and the queue from growing without end.
    fn tidy(&mut self, books: &BTreeMap<u64, Pending>) {
        let counts = |&(deadline, sequence): &(Nanos, u64)| {
            books.get(&sequence).is_some_and(|pending| pending.deadline == deadline)
        };
        while self.queue.front().is_some_and(|front| !counts(front)) {
            self.queue.pop_front();
        }
        if self.queue.len() > 2 * books.len() + SETTLED {
            self.queue.retain(counts);
        }
    }

    /// The next one, and whose it is.
    pub(super) fn first(&self) -> Option<(Nanos, u64)> {
        self.queue.front().into_iter().chain(self.others.first()).min().copied()
    }

    /// Takes the next one out, if it is due; the books go on saying when it was.
    pub(super) fn take_due(&mut self, now: Nanos, books: &BTreeMap<u64, Pending>) -> Option<u64> {
        let first = self.first().filter(|&(deadline, _)| deadline <= now)?;
        if !self.others.remove(&first) {
            self.queue.pop_front();
            self.tidy(books);
        }
        Some(first.1)
    }

    pub(super) fn clear(&mut self) {
        self.queue.clear();
        self.others.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prng::Prng;

    /// Deadlines beside the plain set of all that count.
    #[derive(Default)]
    struct Both {
        books: BTreeMap<u64, Pending>,
        deadlines: Deadlines,
        plain: BTreeSet<(Nanos, u64)>,
    }

    impl Both {
        fn set(&mut self, sequence: u64, deadline: Nanos) {
            let old = self.books.insert(sequence, Pending { delivery: sequence, deadline });
            if let Some(old) = old {
                self.plain.remove(&(old.deadline, sequence));
                self.deadlines.unset(old.deadline, sequence, &self.books);
            }
            self.plain.insert((deadline, sequence));
            self.deadlines.set(deadline, sequence);
        }

        fn settle(&mut self, sequence: u64) {
            let Some(old) = self.books.remove(&sequence) else { return };
            self.plain.remove(&(old.deadline, sequence));
            self.deadlines.unset(old.deadline, sequence, &self.books);
        }
    }

    #[test]
    fn what_is_due_is_what_a_plain_set_says_through_thousands_of_changes() {
        for seed in 0..20 {
            let (mut prng, mut both, mut now) = (Prng::new(seed), Both::default(), 0);
            for next in 1..3_000 {
                now += 1 + prng.below(20_000);
                match prng.below(8) {
                    0..=3 => both.set(next, now + 500_000),
                    4 => both.set(1 + prng.below(next), now + prng.below(1_000_000)),
                    5..=6 => both.settle(next.saturating_sub(prng.below(40))),
                    _ => both.settle(1 + prng.below(next)),
                }
                assert_eq!(both.deadlines.first(), both.plain.first().copied(), "seed {seed}, step {next}");
                while let Some(&due) = both.plain.first().filter(|due| due.0 <= now) {
                    both.plain.remove(&due);
                    assert_eq!(both.deadlines.take_due(now, &both.books), Some(due.1), "seed {seed}");
                }
                assert_eq!(both.deadlines.take_due(now, &both.books), None, "seed {seed}, step {next}");
            }
        }
    }

    #[test]
    fn one_that_stays_open_does_not_make_the_queue_keep_all_that_came_after_it() {
        let mut both = Both::default();
        both.set(1, 1_000_000);
        for sequence in 2..100_000 {
            both.set(sequence, 1_000_000 + sequence);
            both.settle(sequence);
        }
        assert!(both.deadlines.queue.len() <= SETTLED + 3, "{}", both.deadlines.queue.len());
        assert_eq!(both.deadlines.first(), Some((1_000_000, 1)));
    }
}
