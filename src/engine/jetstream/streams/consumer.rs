//! A consumer: which messages it has been given, and which of them it has acknowledged.

use super::consumer_config::{AckPolicy, ConsumerConfig, DeliverPolicy};
use super::deadlines::Deadlines;
use super::ledger::Ledger;
use super::news::Happening;
use super::pacing::Pacing;
use super::priority::Group;
use super::pull::Waiting;
use super::push::Push;
use crate::clock::Nanos;
use crate::engine::jetstream::store::Store;
use crate::wire::nats::subject::{covers, matches};
use std::collections::btree_map::Entry;
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
    /// All before it is acknowledged, as it is shown.
    pub(super) floor: Position,
    /// The same, as it is reckoned with.
    pub(super) reckoned: Position,
    pub(super) pending: BTreeMap<u64, Pending>,
    /// When what is pending is due again.
    pub(super) due: Deadlines,
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
    /// Whether it pauses.
    pub(super) paused: bool,
    /// Of a hundred acknowledgements, how many are told of.
    pub(super) samples: u64,
    pub(super) group: Group,
    pub(super) pacing: Pacing,
    /// What happened and has not been told yet.
    pub(super) news: Vec<Happening>,
}

impl Consumer {
    /// A consumer that begins where its policy says.
    pub(super) fn new(name: &str, config: ConsumerConfig, created: u64, store: &mut Store) -> Self {
        let mut consumer = Self::bare(name, config, created);
        let (first, last) = (store.books.first, store.books.last);
        let begin = match consumer.config.deliver_policy {
            DeliverPolicy::All => first,
            DeliverPolicy::New => last + 1,
            // It may begin with what is still to come.
            DeliverPolicy::ByStartSequence => consumer.config.opt_start_seq.max(first),
            DeliverPolicy::ByStartTime => {
                store.first_since(consumer.config.opt_start_time.map_or(0, |time| time.0))
            }
            DeliverPolicy::Last if consumer.wants_all() => last.max(first),
            DeliverPolicy::Last => {
                let consumer = &consumer;
                store.previous(last, |subject| consumer.wants(subject)).unwrap_or(first)
            }
            DeliverPolicy::LastPerSubject => {
                consumer.ahead = consumer.last_of_each(store);
                consumer.ahead.front().copied().unwrap_or(last.max(first))
            }
        };
        consumer.cursor = if consumer.ahead.is_empty() { begin } else { last + 1 };
        consumer.delivered.stream = begin - 1;
        consumer.ledger.moved(&consumer.delivered);
        consumer.count(store);
        consumer
    }

    /// A consumer whose state is to be filled in.
    pub(super) fn bare(name: &str, config: ConsumerConfig, created: u64) -> Self {
        let samples = config.samples();
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
            reckoned: Position::default(),
            pending: BTreeMap::new(),
            due: Deadlines::default(),
            again: VecDeque::new(),
            deliveries: HashMap::new(),
            outstanding: 0,
            waiting: Waiting::default(),
            active_at: 0,
            ledger: Ledger::default(),
            paused: false,
            samples,
            group: Group::default(),
            pacing: Pacing::default(),
            news: Vec::new(),
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

    /// What it wants; empty is all.
    pub(super) fn filters(&self) -> &[Box<[u8]>] {
        &self.filters
    }

    /// Whether something it wants in particular is within a pattern.
    pub(super) fn is_within(&self, pattern: &[u8]) -> bool {
        self.filters.iter().any(|own| covers(pattern, own))
    }

    /// Takes over a changed configuration.
    pub(super) fn reconfigure(&mut self, config: ConsumerConfig, store: &mut Store) {
        self.filters = config.filters();
        self.push.reconfigure(&config);
        self.samples = config.samples();
        if config.priority_policy != self.config.priority_policy {
            self.group = Group::default();
        }
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
    pub(super) fn stored(&mut self, sequence: u64, subject: &[u8]) {
        // A consumer may begin at a sequence that is still to come.
        if sequence >= self.cursor && self.wants(subject) {
            self.outstanding += 1;
        }
    }

    /// Notes a delivery; gives how often this message has been delivered.
    pub(super) fn delivered(&mut self, sequence: u64, (now, unix): (Nanos, u64)) -> u64 {
        self.delivered.delivery += 1;
        self.delivered.stream = self.delivered.stream.max(sequence);
        self.delivered.time = unix;
        self.active_at = now;
        if self.config.ack_policy == AckPolicy::None {
            self.floor = self.delivered;
            self.reckoned = Position { stream: sequence, ..self.delivered };
            self.ledger.moved(&self.delivered);
            return 1;
        }
        let (delivery, first_wait) = (self.delivered.delivery, self.wait_of(1));
        let times = match self.pending.entry(sequence) {
            Entry::Vacant(new) => {
                let deadline = now + first_wait;
                new.insert(Pending { delivery, deadline });
                self.due.set(deadline, sequence);
                1
            }
            // It keeps the number of its first delivery.
            Entry::Occupied(_) => {
                let times = self.times_of(sequence) + 1;
                self.deliveries.insert(sequence, times);
                self.move_deadline(sequence, now + self.wait_of(times));
                times
            }
        };
        self.ledger.delivered(sequence, delivery, times);
        times
    }

    /// How often a message was delivered that was delivered at all: what is delivered once is not kept.
    pub(super) fn times_of(&self, sequence: u64) -> u64 {
        self.deliveries.get(&sequence).copied().unwrap_or(1)
    }

    /// How long delivery number `times` may stay without an acknowledgement.
    pub(super) fn wait_of(&self, times: u64) -> Nanos {
        let step = (times as usize).saturating_sub(1).min(self.config.backoff.len().saturating_sub(1));
        self.config.backoff.get(step).copied().unwrap_or(self.config.ack_wait)
    }

    pub(super) fn move_deadline(&mut self, sequence: u64, deadline: Nanos) {
        let Some(pending) = self.pending.get_mut(&sequence) else { return };
        let old = std::mem::replace(&mut pending.deadline, deadline);
        self.due.unset(old, sequence, &self.pending);
        self.due.set(deadline, sequence);
    }

    /// Lets what is due be delivered again, or dropped if it has been often enough.
    pub(super) fn expire(&mut self, now: Nanos) {
        while let Some(sequence) = self.due.take_due(now, &self.pending) {
            let times = self.times_of(sequence);
            if self.config.max_deliver > 0 && times >= self.config.max_deliver as u64 {
                self.news.push(Happening::Exceeded { sequence, deliveries: times });
                self.settle(sequence);
            } else if !self.again.contains(&sequence) {
                self.again.push_back(sequence);
            }
        }
    }

    /// When something is due by itself.
    pub(super) fn next_due(&self) -> Option<Nanos> {
        self.due.first().map(|(deadline, _)| deadline)
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
        self.pending.entry(sequence).or_insert(Pending { delivery, deadline: 0 });
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
            let times = self.times_of(sequence);
            let deadline = now + self.wait_of(times);
            if let Some(pending) = self.pending.get_mut(&sequence) {
                pending.deadline = deadline;
            }
            self.due.set(deadline, sequence);
        }
        if self.config.ack_policy == AckPolicy::None {
            self.floor = self.delivered;
        } else if self.pending.is_empty() && self.floor.delivery > 0 {
            self.floor = Position { time: self.floor.time, ..self.delivered };
        }
        self.reckoned = self.floor;
        self.active_at = now;
        self.ledger.clear();
        self.count(store);
    }
}
