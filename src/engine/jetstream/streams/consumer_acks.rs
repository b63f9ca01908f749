//! What a consumer's acknowledgements, and messages that go away by themselves, do to its books.
//!
//! Two floors are kept, as the real server does: the one that is shown goes as far as what was delivered, the one that
//! is reckoned with as far as was looked. They meet at each purge.

use super::consumer::{Ack, Consumer, Pending, Position};
use super::consumer_config::AckPolicy;
use super::news::{Delivery, Happening};
use crate::clock::Nanos;
use crate::engine::jetstream::store::Store;
use std::collections::BTreeMap;
use std::ops::Range;

/// What came of an acknowledgement.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Whether it is confirmed to whoever asked for that.
    pub(super) answered: bool,
    /// Sequences that are done with, as far as this consumer goes.
    pub(super) done: Range<u64>,
}

/// Raises a floor after a message was taken out of what is pending; `all` is where it is when nothing is.
fn raise(
    floor: &mut Position,
    (sequence, delivery): (u64, u64),
    all: (u64, u64),
    pending: &BTreeMap<u64, Pending>,
) {
    if pending.is_empty() {
        (floor.delivery, floor.stream) = all;
    } else if delivery == floor.delivery + 1 {
        (floor.delivery, floor.stream) = (delivery, sequence);
        if let Some((&next, pending)) = pending.range(sequence + 1..).next() {
            (floor.delivery, floor.stream) = (pending.delivery.saturating_sub(1), next - 1);
        }
    }
}

impl Consumer {
    /// Takes an acknowledgement of a delivery of a message.
    pub(super) fn acknowledge(
        &mut self,
        (sequence, delivery): (u64, u64),
        ack: Ack,
        (now, unix): (Nanos, u64),
    ) -> Outcome {
        self.active_at = now;
        match ack {
            Ack::Working => {
                let times = self.times_of(sequence);
                if !self.again.contains(&sequence) {
                    self.move_deadline(sequence, now + self.wait_of(times));
                }
            }
            Ack::Again(delay) => {
                let known = delivery > self.reckoned.delivery && delivery <= self.delivered.delivery + 1;
                if known && let Some(times) = self.times_delivered(sequence) {
                    self.news.push(Happening::Again(Delivery { sequence, delivery, times }));
                }
                if known && self.pending.contains_key(&sequence) && !self.again.contains(&sequence) {
                    self.move_deadline(sequence, now + delay);
                    self.expire(now);
                }
            }
            Ack::Done | Ack::Never => {
                self.floor.time = unix;
                return self.finish(sequence, delivery);
            }
        }
        Outcome { answered: true, done: 0..0 }
    }

    /// How often a message was delivered that waits for its acknowledgement.
    fn times_delivered(&self, sequence: u64) -> Option<u64> {
        self.pending.get(&sequence)?;
        Some(self.times_of(sequence))
    }

    /// Tells of an acknowledgement, if it is one of those that are picked; to be asked before it is taken.
    pub(super) fn sample(&mut self, (sequence, delivery): (u64, u64), now: Nanos) {
        let Some(times) = self.times_delivered(sequence) else { return };
        let due = self.pending.get(&sequence).map_or(now, |pending| pending.deadline);
        let after = (now + self.wait_of(times)).saturating_sub(due);
        self.news.push(Happening::Acknowledged(Delivery { sequence, delivery, times }, after));
    }

    /// A message is done with, and with it all before it if that is the policy.
    fn finish(&mut self, sequence: u64, delivery: u64) -> Outcome {
        if sequence >= self.cursor {
            // It was never delivered: nobody is told anything.
            return Outcome::default();
        }
        if self.config.ack_policy != AckPolicy::All {
            self.settle(sequence);
            return Outcome { answered: true, done: sequence..sequence + 1 };
        }
        if delivery <= self.reckoned.delivery || sequence <= self.reckoned.stream {
            return Outcome { answered: true, done: 0..0 };
        }
        let alone = sequence - self.reckoned.stream <= 1;
        let known = self.pending.contains_key(&sequence);
        let gone: Vec<u64> = self.pending.range(..=sequence).map(|(&sequence, _)| sequence).collect();
        for &sequence in &gone {
            self.take(sequence);
        }
        (self.reckoned.delivery, self.reckoned.stream) = (delivery, sequence);
        if known && delivery > self.floor.delivery {
            (self.floor.delivery, self.floor.stream) = (delivery, sequence);
        }
        self.ledger.floor(&self.floor);
        let lowest = gone.first().copied().filter(|_| !alone).unwrap_or(sequence);
        Outcome { answered: true, done: lowest..sequence + 1 }
    }

    /// Takes a message out of the books; nothing happens if it is not in them.
    pub(super) fn settle(&mut self, sequence: u64) {
        let Some(pending) = self.take(sequence) else { return };
        let of = (sequence, pending.delivery);
        let reached = self.delivered.delivery;
        raise(&mut self.reckoned, of, (reached, self.cursor.saturating_sub(1)), &self.pending);
        if pending.delivery > self.floor.delivery {
            raise(&mut self.floor, of, (reached, self.delivered.stream), &self.pending);
        }
    }

    fn take(&mut self, sequence: u64) -> Option<Pending> {
        let pending = self.pending.remove(&sequence)?;
        self.due.unset(pending.deadline, sequence, &self.pending);
        if !self.deliveries.is_empty() {
            self.deliveries.remove(&sequence);
        }
        if !self.again.is_empty() {
            self.again.retain(|&other| other != sequence);
        }
        self.ledger.settled(sequence);
        Some(pending)
    }

    /// A message was removed from the stream; gives what else is done with because of it.
    pub(super) fn removed(&mut self, sequence: u64, subject: &[u8]) -> Range<u64> {
        let ahead = self.ahead.iter().position(|&other| other == sequence);
        if let Some(place) = ahead {
            self.ahead.remove(place);
            self.outstanding -= 1;
        } else if sequence >= self.cursor && self.wants(subject) {
            self.outstanding = self.outstanding.saturating_sub(1);
        }
        // What was under way counts as acknowledged.
        match self.pending.get(&sequence).map(|pending| pending.delivery) {
            Some(delivery) => self.finish(sequence, delivery).done,
            None => 0..0,
        }
    }

    /// The stream was purged, and what this consumer wants of it begins at `start` (0: there is nothing left).
    /// `wider`: it wants more than what was purged.
    pub(super) fn purged(&mut self, start: u64, wider: bool, store: &mut Store) {
        let start = if start == 0 && !wider { store.books.last + 1 } else { start };
        self.cursor = self.cursor.max(start);
        self.ahead.retain(|&sequence| store.get(sequence).is_some());
        if self.reckoned.stream < start {
            self.reckoned.stream = start - 1;
            let all: Vec<u64> = self.pending.keys().copied().collect();
            let gone = all
                .into_iter()
                .filter(|&sequence| sequence < start || (wider && store.get(sequence).is_none()));
            let gone: Vec<u64> = gone.collect();
            for sequence in gone {
                let delivery = self.take(sequence).map_or(0, |pending| pending.delivery);
                self.reckoned.delivery = self.reckoned.delivery.max(delivery);
            }
        }
        if self.pending.is_empty() {
            (self.reckoned.delivery, self.reckoned.stream) = (self.delivered.delivery, self.cursor - 1);
        }
        // What was to be delivered again waits for its time once more.
        for sequence in std::mem::take(&mut self.again) {
            let Some(&pending) = self.pending.get(&sequence) else { continue };
            let times = self.times_of(sequence);
            self.move_deadline(sequence, pending.deadline.saturating_add(self.wait_of(times)));
        }
        self.delivered.stream = self.cursor - 1;
        (self.floor.delivery, self.floor.stream) = (self.reckoned.delivery, self.reckoned.stream);
        self.ledger.moved(&self.delivered);
        self.ledger.floor(&self.floor);
        self.count(store);
    }

    /// Whether a message is still to be delivered to or acknowledged by this consumer.
    pub(super) fn needs(&self, sequence: u64, subject: &[u8]) -> bool {
        if !self.wants(subject) {
            return false;
        }
        let beyond = sequence > self.reckoned.stream;
        let open = match self.config.ack_policy {
            AckPolicy::None | AckPolicy::All => beyond,
            AckPolicy::Explicit => {
                beyond && (sequence >= self.cursor || self.pending.contains_key(&sequence))
            }
        };
        open || self.ahead.contains(&sequence) || self.deliveries.contains_key(&sequence)
    }
}
