//! A consumer: which messages it has been given, and which of them it has acknowledged.

use super::consumer_config::{AckPolicy, ConsumerConfig, DeliverPolicy};
use super::ledger::Ledger;
use super::pull::Waiting;
use super::push::Push;
use crate::clock::Nanos;
use crate::engine::jetstream::store::Store;
use crate::wire::nats::subject::matches;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

/// A message that was delivered and not acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pending {
    /// The delivery's number.
    pub(super) delivery: u64,
    /// When it is due again.
    pub(super) deadline: Nanos,
}

/// A pair of the consumer's and the stream's sequences, and when it was reached (nanoseconds since 1970).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Position {
    pub(super) delivery: u64,
    pub(super) stream: u64,
    pub(super) time: u64,
}

/// What an acknowledgement says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ack {
    /// Done.
    Done,
    /// Again, after so many nanoseconds.
    Again(u64),
    /// Still at it.
    Working,
    /// Done with, whatever came of it.
    Never,
}

/// A consumer.
#[derive(Debug)]
pub(super) struct Consumer {
    pub(super) name: String,
    pub(super) config: ConsumerConfig,
    /// Nanoseconds since 1970.
    pub(super) created: u64,
    filters: Vec<Box<[u8]>>,
    /// The next sequence of the stream to be looked at.
    pub(super) cursor: u64,
    /// Sequences to be delivered before the cursor's: the last of each subject.
    pub(super) ahead: VecDeque<u64>,
    pub(super) delivered: Position,
    pub(super) floor: Position,
    pub(super) pending: BTreeMap<u64, Pending>,
    /// When what is pending is due again.
    due: BTreeSet<(Nanos, u64)>,
    /// Due now.
    pub(super) again: VecDeque<u64>,
    /// How often messages were delivered that were delivered more than once.
    pub(super) deliveries: HashMap<u64, u64>,
    /// Messages it wants and was not given yet.
    pub(super) outstanding: u64,
    pub(super) waiting: Waiting,
    pub(super) push: Push,
    /// When it was last used.
    pub(super) active_at: Nanos,
    /// What changed and has not been written yet.
    pub(super) ledger: Ledger,
}

impl Consumer {
    /// A consumer that begins where its policy says.
    pub(super) fn new(name: &str, config: ConsumerConfig, created: u64, store: &mut Store) -> Self {
        let mut consumer = Self::bare(name, config, created);
        let (first, last) = (store.books.first, store.books.last);
        consumer.cursor = match consumer.config.deliver_policy {
            DeliverPolicy::All => first,
            DeliverPolicy::New => last + 1,
            DeliverPolicy::ByStartSequence => consumer.config.opt_start_seq.clamp(first, last + 1),
            DeliverPolicy::ByStartTime => {
                store.first_since(consumer.config.opt_start_time.map_or(0, |time| time.0))
            }
            DeliverPolicy::Last => {
                let consumer = &consumer;
                store.previous(last, |subject| consumer.wants(subject)).unwrap_or(last + 1)
            }
            DeliverPolicy::LastPerSubject => {
                consumer.ahead = consumer.last_of_each(store);
                last + 1
            }
        };
        consumer.delivered.stream = consumer.cursor - 1;
        if consumer.ahead.is_empty() {
            consumer.floor.stream = 0;
        }
        consumer.ledger.moved(&consumer.delivered);
        consumer.count(store);
        consumer
    }

    /// A consumer whose state is to be filled in.
    pub(super) fn bare(name: &str, config: ConsumerConfig, created: u64) -> Self {
        Self {
            name: name.to_owned(),
            filters: config.filters(),
            push: Push::new(&config),
            config,
            created,
            cursor: 1,
            ahead: VecDeque::new(),
            delivered: Position::default(),
            floor: Position::default(),
            pending: BTreeMap::new(),
            due: BTreeSet::new(),
            again: VecDeque::new(),
            deliveries: HashMap::new(),
            outstanding: 0,
            waiting: Waiting::default(),
            active_at: 0,
            ledger: Ledger::default(),
        }
    }

    /// Whether it wants messages of this subject.
    #[inline]
    pub(super) fn wants(&self, subject: &[u8]) -> bool {
        self.filters.is_empty() || self.filters.iter().any(|filter| matches(filter, subject))
    }

    /// Whether it wants all.
    pub(super) fn wants_all(&self) -> bool {
        self.filters.is_empty()
    }

    /// Takes over a changed configuration.
    pub(super) fn reconfigure(&mut self, config: ConsumerConfig, store: &mut Store) {
        self.filters = config.filters();
        self.push.reconfigure(&config);
        self.config = config;
        self.count(store);
    }

    fn last_of_each(&self, store: &mut Store) -> VecDeque<u64> {
        let all = [Box::from(&b">"[..])];
        let filters = if self.filters.is_empty() { &all[..] } else { &self.filters[..] };
        let subjects: BTreeSet<Vec<u8>> = filters
            .iter()
            .flat_map(|filter| {
                store.books.matching(filter).into_iter().map(|(name, _)| name.to_vec()).collect::<Vec<_>>()
            })
            .collect();
        let mut sequences: Vec<u64> = subjects.iter().filter_map(|subject| store.last_of(subject)).collect();
        sequences.sort_unstable();
        sequences.into()
    }

    /// Counts what it wants and was not given yet.
    pub(super) fn count(&mut self, store: &mut Store) {
        let from_start = self.cursor <= store.books.first;
        let rest = if self.cursor > store.books.last {
            0
        } else if from_start && self.filters.is_empty() {
            store.books.messages
        } else if from_start {
            let counts = self.filters.iter().map(|filter| store.books.matching(filter));
            counts.flatten().map(|(_, count)| count).sum()
        } else if self.filters.is_empty() {
            store.count_from(self.cursor)
        } else {
            let mut count = 0;
            let mut at = self.cursor;
            while let Some(found) = store.next(at, |subject| self.wants(subject)) {
                count += 1;
                at = found + 1;
            }
            count
        };
        self.outstanding = rest + self.ahead.len() as u64;
    }

    /// A message was stored.
    #[inline]
    pub(super) fn stored(&mut self, subject: &[u8]) {
        if self.wants(subject) {
            self.outstanding += 1;
        }
    }

    /// A message was removed from the stream.
    pub(super) fn removed(&mut self, sequence: u64, subject: &[u8]) {
        let ahead = self.ahead.iter().position(|&other| other == sequence);
        if let Some(place) = ahead {
            self.ahead.remove(place);
            self.outstanding -= 1;
        } else if sequence >= self.cursor && self.wants(subject) {
            self.outstanding = self.outstanding.saturating_sub(1);
        }
        self.settle(sequence);
    }

    /// The stream begins at `first` now, and everything before it is gone.
    pub(super) fn purged(&mut self, store: &mut Store) {
        let first = store.books.first;
        self.ahead.retain(|&sequence| sequence >= first);
        let gone: Vec<u64> = self.pending.range(..first).map(|(&sequence, _)| sequence).collect();
        gone.into_iter().for_each(|sequence| self.settle(sequence));
        self.cursor = self.cursor.max(first);
        self.count(store);
    }

    /// Notes a delivery; gives how often this message has been delivered.
    pub(super) fn delivered(&mut self, sequence: u64, (now, unix): (Nanos, u64)) -> u64 {
        self.delivered.delivery += 1;
        self.delivered.stream = self.delivered.stream.max(sequence);
        self.delivered.time = unix;
        self.active_at = now;
        if self.config.ack_policy == AckPolicy::None {
            self.floor = self.delivered;
            self.ledger.moved(&self.delivered);
            return 1;
        }
        let known = self.pending.contains_key(&sequence);
        let times = if known { self.deliveries.get(&sequence).copied().unwrap_or(1) + 1 } else { 1 };
        if times > 1 {
            self.deliveries.insert(sequence, times);
        }
        self.set_deadline(sequence, now + self.wait_of(times));
        self.ledger.delivered(sequence, self.delivered.delivery, times);
        times
    }

    /// How long delivery number `times` may stay without an acknowledgement.
    fn wait_of(&self, times: u64) -> Nanos {
        let step = (times as usize).saturating_sub(1).min(self.config.backoff.len().saturating_sub(1));
        self.config.backoff.get(step).copied().unwrap_or(self.config.ack_wait)
    }

    fn set_deadline(&mut self, sequence: u64, deadline: Nanos) {
        let delivery = self.delivered.delivery;
        if let Some(old) = self.pending.insert(sequence, Pending { delivery, deadline }) {
            self.due.remove(&(old.deadline, sequence));
        }
        self.due.insert((deadline, sequence));
    }

    fn move_deadline(&mut self, sequence: u64, deadline: Nanos) {
        let Some(pending) = self.pending.get_mut(&sequence) else { return };
        self.due.remove(&(pending.deadline, sequence));
        pending.deadline = deadline;
        self.due.insert((deadline, sequence));
    }

    /// Takes an acknowledgement; gives the sequences that are done with.
    pub(super) fn acknowledge(&mut self, sequence: u64, ack: Ack, (now, unix): (Nanos, u64)) -> Vec<u64> {
        self.active_at = now;
        if self.config.ack_policy == AckPolicy::None {
            return Vec::new();
        }
        match ack {
            Ack::Working => {
                let times = self.deliveries.get(&sequence).copied().unwrap_or(1);
                if !self.again.contains(&sequence) {
                    self.move_deadline(sequence, now + self.wait_of(times));
                }
                return Vec::new();
            }
            Ack::Again(delay) => {
                if self.pending.contains_key(&sequence) && !self.again.contains(&sequence) {
                    self.move_deadline(sequence, now + delay);
                    self.expire(now);
                }
                return Vec::new();
            }
            Ack::Done | Ack::Never => {}
        }
        let done: Vec<u64> = if self.config.ack_policy == AckPolicy::All && ack == Ack::Done {
            self.pending.range(..=sequence).map(|(&sequence, _)| sequence).collect()
        } else {
            self.pending.contains_key(&sequence).then_some(sequence).into_iter().collect()
        };
        for &sequence in &done {
            self.settle(sequence);
        }
        if !done.is_empty() {
            self.floor.time = unix;
        }
        done
    }

    /// Takes a message out of the books; nothing happens if it is not in them.
    pub(super) fn settle(&mut self, sequence: u64) {
        let Some(pending) = self.pending.remove(&sequence) else { return };
        self.due.remove(&(pending.deadline, sequence));
        self.deliveries.remove(&sequence);
        if !self.again.is_empty() {
            self.again.retain(|&other| other != sequence);
        }
        self.ledger.settled(sequence);
        self.raise_floor();
    }

    fn raise_floor(&mut self) {
        let (delivery, stream) = match self.pending.first_key_value() {
            None => (self.delivered.delivery, self.delivered.stream),
            Some((&sequence, pending)) => (pending.delivery - 1, sequence - 1),
        };
        self.floor.delivery = self.floor.delivery.max(delivery);
        self.floor.stream = self.floor.stream.max(stream);
    }

    /// Lets what is due be delivered again, or dropped if it has been often enough.
    pub(super) fn expire(&mut self, now: Nanos) {
        while let Some(&(deadline, sequence)) = self.due.first() {
            if deadline > now {
                return;
            }
            self.due.pop_first();
            let times = self.deliveries.get(&sequence).copied().unwrap_or(1);
            if self.config.max_deliver > 0 && times >= self.config.max_deliver as u64 {
                self.settle(sequence);
            } else if !self.again.contains(&sequence) {
                self.again.push_back(sequence);
            }
        }
    }

    /// When something is due by itself.
    pub(super) fn next_due(&self) -> Option<Nanos> {
        self.due.first().map(|&(deadline, _)| deadline)
    }

    /// Whether nothing more may be delivered before something is acknowledged.
    pub(super) fn is_full(&self) -> bool {
        self.config.ack_policy != AckPolicy::None
            && self.config.max_ack_pending > 0
            && self.pending.len() as i64 >= self.config.max_ack_pending
    }

    /// Puts back what was read from disk.
    pub(super) fn restore_pending(&mut self, sequence: u64, (delivery, times): (u64, u64)) {
        self.delivered.delivery = self.delivered.delivery.max(delivery);
        self.delivered.stream = self.delivered.stream.max(sequence);
        if let Some(old) = self.pending.insert(sequence, Pending { delivery, deadline: 0 }) {
            self.due.remove(&(old.deadline, sequence));
        }
        self.due.insert((0, sequence));
        if times > 1 {
            self.deliveries.insert(sequence, times);
        }
    }

    /// After everything was put back: clocks start anew, since nobody knows how long the server was away.
    pub(super) fn restored(&mut self, now: Nanos, store: &mut Store) {
        // A power cut between two syncs may have taken the stream's last messages and left the consumer's state.
        let last = store.books.last;
        if self.delivered.stream > last {
            self.delivered.stream = last;
            self.floor.stream = self.floor.stream.min(last);
            self.pending.split_off(&(last + 1));
        }
        self.cursor = (self.delivered.stream + 1).max(store.books.first);
        let sequences: Vec<u64> = self.pending.keys().copied().collect();
        self.due.clear();
        for sequence in sequences {
            let times = self.deliveries.get(&sequence).copied().unwrap_or(1);
            let deadline = now + self.wait_of(times);
            if let Some(pending) = self.pending.get_mut(&sequence) {
                pending.deadline = deadline;
            }
            self.due.insert((deadline, sequence));
        }
        if self.config.ack_policy == AckPolicy::None {
            self.floor = self.delivered;
        } else {
            self.raise_floor();
        }
        self.active_at = now;
        self.ledger.clear();
        self.count(store);
    }
}
