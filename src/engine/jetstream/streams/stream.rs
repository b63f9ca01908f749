//! A stream: what it takes, what it keeps, and who reads it.

use super::Times;
use super::consumer::Consumer;
use super::consumer_log::ConsumerLog;
use super::errors::ApiError;
use super::feed::{Feeds, Reader};
use super::lifetime::{self, Lifetime, Lifetimes};
use super::maps::Maps;
use super::news::News;
use super::purge::Purge;
use super::stream_config::{Discard, Retention, StorageKind, StreamConfig};
use crate::clock::Nanos;
use crate::engine::jetstream::store::{Store, Stored, is_full};
use crate::wire::nats::subject::matches;
use crate::wire::nats::{Headers, Publish};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::path::PathBuf;

/// What became of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// It has this sequence.
    Stored(u64),
    /// Nobody is interested in it; this sequence was used up for it.
    Passed(u64),
    /// It was there already, under this sequence.
    Duplicate(u64),
}

/// How a message comes to a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Coming {
    /// Somebody published it.
    Published,
    /// It is a copy of another stream's.
    Sourced,
    /// It is a copy with the sequence and the time that it has there.
    Mirrored { sequence: u64, time: u64 },
}

/// A stream.
#[derive(Debug)]
pub(super) struct Stream {
    /// Number of its account.
    pub(super) account: u32,
    pub(super) config: StreamConfig,
    /// Nanoseconds since 1970.
    pub(super) created: u64,
    pub(super) store: Store,
    /// Whether it was purged: then even an empty stream shows where it goes on.
    pub(super) purged: bool,
    pub(super) consumers: BTreeMap<String, Consumer>,
    /// `None` for streams in memory.
    pub(super) log: Option<ConsumerLog>,
    pub(super) dir: Option<PathBuf>,
    /// Whether consumers may have something to do.
    pub(super) awake: bool,
    /// Whether it is to be looked at at the end of the tick.
    pub(super) touched: bool,
    /// When it has something to do by itself, as far as that is noted.
    pub(super) deadline: Nanos,
    /// Ids within the duplicate window, with their sequences.
    ids: HashMap<Box<[u8]>, u64>,
    /// The same by age.
    id_order: VecDeque<(u64, Box<[u8]>)>,
    last_id: Box<[u8]>,
    /// Messages with a lifetime of their own.
    pub(super) lifetimes: Lifetimes,
    /// What becomes of subjects.
    pub(super) maps: Maps,
    /// The streams that it takes messages from.
    pub(super) feeds: Feeds,
    /// The streams that take messages from it.
    pub(super) readers: Vec<Reader>,
    /// The last sequence that is written.
    pub(super) written: u64,
    /// What happened and has not been told yet.
    pub(super) news: Vec<News>,
    /// The first failure of the disk; nothing is acknowledged after it.
    pub(super) failed: Option<std::io::Error>,
}

impl Stream {
    /// A stream over a store that may hold messages already.
    pub(super) fn new(config: StreamConfig, created: u64, store: Store) -> Self {
        Self {
            account: 0,
            maps: Maps::new(&config),
            feeds: Feeds::new(&config),
            readers: Vec::new(),
            written: store.books.last,
            config,
            created,
            store,
            purged: false,
            consumers: BTreeMap::new(),
            log: None,
            dir: None,
            awake: true,
            touched: false,
            deadline: Nanos::MAX,
            ids: HashMap::new(),
            id_order: VecDeque::new(),
            last_id: Box::default(),
            lifetimes: Lifetimes::default(),
            news: Vec::new(),
            failed: None,
        }
    }

    /// Remembers the ids of what was stored within the duplicate window.
    pub(super) fn remember_ids(&mut self, unix: u64) {
        let mut next = self.store.first_since(unix.saturating_sub(self.config.duplicate_window));
        while let Some(at) = self.store.headers_from(next).filter(|&at| at <= self.store.books.last) {
            next = at + 1;
            if let Some(message) = self.store.get(at)
                && let Some(id) = Headers(message.headers()).get(b"Nats-Msg-Id")
            {
                let (id, time) = (Box::<[u8]>::from(id), message.time);
                self.remember(id, at, time);
            }
        }
    }

    fn remember(&mut self, id: Box<[u8]>, sequence: u64, time: u64) {
        self.last_id = id.clone();
        self.id_order.push_back((time, id.clone()));
        self.ids.insert(id, sequence);
    }

    fn forget_ids(&mut self, unix: u64) {
        let oldest = unix.saturating_sub(self.config.duplicate_window);
        while self.id_order.front().is_some_and(|(time, _)| *time < oldest) {
            if let Some((_, id)) = self.id_order.pop_front() {
                self.ids.remove(&id);
            }
        }
    }

    /// Decides about a message, and stores it. `unix` is in nanoseconds since 1970.
    pub(super) fn publish(
        &mut self,
        message: &Publish<'_>,
        coming: Coming,
        unix: u64,
    ) -> Result<Taken, ApiError> {
        if self.config.sealed {
            return Err(ApiError::sealed());
        }
        let headers = Headers(message.headers());
        let mut asked = Asked::default();
        if message.header_length > 0 {
            asked = match coming {
                Coming::Published => self.asked_of(headers, message.subject, unix)?,
                _ => self.asked_of_copy(headers, coming, unix),
            };
            if let Some(sequence) = asked.duplicate {
                return Ok(Taken::Duplicate(sequence));
            }
        }
        let config = &self.config;
        if config.max_msg_size >= 0 && message.body.len() as i64 > config.max_msg_size {
            return Err(ApiError::message_too_large());
        }
        if message.header_length > usize::from(u16::MAX) {
            return Err(ApiError::headers_too_large());
        }
        let wanted = config.retention != Retention::Interest
            || self.consumers.values().any(|consumer| consumer.wants(message.subject))
            || self.readers.iter().any(|reader| reader.wants(message.subject));
        if wanted {
            if asked.lifetime_invalid {
                return Err(ApiError::lifetime_invalid());
            }
            self.check_limits(message)?;
        }
        let next = self.store.books.last + 1;
        let (sequence, own_time) = match coming {
            Coming::Mirrored { sequence, time } => (sequence.max(next), time),
            _ => (next, unix),
        };
        if let Err(error) = self.store.reserve_at(sequence, message.subject.len() + message.body.len()) {
            if !is_full(&error) {
                self.failed.get_or_insert(error);
            }
            return Err(ApiError::no_space());
        }
        let time = own_time.max(self.store.books.last_time);
        let stored = Stored {
            sequence,
            time,
            subject: message.subject,
            header_length: message.header_length,
            body: message.body,
        };
        let sequence = if wanted { self.store.append(&stored) } else { self.store.skip() };
        if let Some(id) = asked.id {
            self.remember(id.into(), sequence, time);
        } else if !self.last_id.is_empty() {
            self.last_id = Box::default();
        }
        self.awake = true;
        if !wanted {
            return Ok(Taken::Passed(sequence));
        }
        if let Some(lifetime) = asked.lifetime {
            self.lifetimes.note(lifetime, (sequence, time));
        }
        for consumer in self.consumers.values_mut() {
            consumer.stored(sequence, message.subject);
        }
        self.enforce(Some(message.subject), unix);
        self.roll_up(asked.rollup, message.subject, sequence);
        Ok(Taken::Stored(sequence))
    }

    /// What the headers of a published message ask for.
    fn asked_of<'a>(
        &mut self,
        headers: Headers<'a>,
        subject: &[u8],
        unix: u64,
    ) -> Result<Asked<'a>, ApiError> {
        if headers.get(b"Nats-Expected-Stream").is_some_and(|name| name != self.config.name.as_bytes()) {
            return Err(ApiError::expected_stream());
        }
        // What makes no sense is refused last, what is switched off first.
        let lifetime = self.config.lifetime(headers)?;
        let mut asked = self.id_of(headers, unix);
        if asked.duplicate.is_none() {
            self.check_expectations(headers, subject)?;
            asked.rollup = self.check_rollup(headers)?;
            (asked.lifetime_invalid, asked.lifetime) = (lifetime.is_err(), lifetime.unwrap_or(None));
        }
        Ok(asked)
    }

    /// What the headers of a copy ask for, as far as this stream does it; none of it is refused.
    fn asked_of_copy<'a>(&mut self, headers: Headers<'a>, coming: Coming, unix: u64) -> Asked<'a> {
        let mirrored = matches!(coming, Coming::Mirrored { .. });
        let mut asked = if mirrored { Asked::default() } else { self.id_of(headers, unix) };
        asked.rollup = self.check_rollup(headers).unwrap_or(None);
        if self.config.allow_msg_ttl {
            asked.lifetime = lifetime::read(headers).unwrap_or(None);
        }
        asked
    }

    fn id_of<'a>(&mut self, headers: Headers<'a>, unix: u64) -> Asked<'a> {
        self.forget_ids(unix);
        let id = headers.get(b"Nats-Msg-Id").filter(|id| !id.is_empty());
        let duplicate = id.and_then(|id| self.ids.get(id)).copied();
        Asked { id, duplicate, ..Asked::default() }
    }

    fn roll_up(&mut self, rollup: Option<Rollup>, subject: &[u8], sequence: u64) {
        match rollup {
            Some(Rollup::All) => drop(self.purge(Purge::before(sequence))),
            Some(Rollup::Subject) => {
                let purge = Purge::matching(self, subject, (u64::MAX, 1));
                self.purge(purge);
            }
            None => {}
        }
    }

    fn check_expectations(&mut self, headers: Headers<'_>, subject: &[u8]) -> Result<(), ApiError> {
        let number = |name: &[u8]| {
            headers.get(name).and_then(|text| std::str::from_utf8(text).ok()?.parse::<u64>().ok())
        };
        if let Some(expected) = number(b"Nats-Expected-Last-Subject-Sequence") {
            let of = headers.get(b"Nats-Expected-Last-Subject-Sequence-Subject").unwrap_or(subject);
            let last = self.last_matching(of).unwrap_or(0);
            if last != expected {
                return Err(ApiError::wrong_last_sequence(last));
            }
        }
        if let Some(expected) = number(b"Nats-Expected-Last-Sequence")
            && expected != self.store.books.last
        {
            return Err(ApiError::wrong_last_sequence(self.store.books.last));
        }
        if let Some(expected) = headers.get(b"Nats-Expected-Last-Msg-Id")
            && expected != &*self.last_id
        {
            return Err(ApiError::wrong_last_id(&String::from_utf8_lossy(&self.last_id)));
        }
        Ok(())
    }

    /// What the real server says of a message that can't be deleted: a file looks whether there can be such a
    /// sequence first.
    pub(super) fn why_not_there(&self, sequence: u64) -> ApiError {
        let file = self.config.storage == StorageKind::File;
        if file && sequence > self.store.books.last {
            return ApiError::delete_failed("stream store EOF");
        }
        if file && sequence < self.store.books.first {
            return ApiError::message_not_deleted();
        }
        ApiError::sequence_not_found(sequence)
    }

    /// The last message whose subject matches a pattern.
    pub(super) fn last_matching(&mut self, pattern: &[u8]) -> Option<u64> {
        if !crate::wire::nats::subject::has_wildcard(pattern) {
            return self.store.last_of(pattern);
        }
        let last = self.store.books.last;
        self.store.previous(last, |subject| matches(pattern, subject))
    }

    fn check_rollup(&self, headers: Headers<'_>) -> Result<Option<Rollup>, ApiError> {
        let Some(rollup) = headers.get(b"Nats-Rollup") else { return Ok(None) };
        if !self.config.allow_rollup_hdrs || self.config.deny_purge {
            return Err(ApiError::rollup_not_permitted());
        }
        match rollup.to_ascii_lowercase().as_slice() {
            b"all" => Ok(Some(Rollup::All)),
            b"sub" => Ok(Some(Rollup::Subject)),
            _ => Err(ApiError::rollup_invalid(&String::from_utf8_lossy(&rollup.to_ascii_lowercase()))),
        }
    }

    /// Whether the limits let a message in where new ones give way.
    fn check_limits(&mut self, message: &Publish<'_>) -> Result<(), ApiError> {
        let (config, books) = (&self.config, &self.store.books);
        let size = books.size(message.subject.len(), message.body.len(), message.header_length > 0);
        let most = u64::try_from(config.max_bytes).unwrap_or(0);
        let too_many_bytes = || Err(ApiError::store_failed("maximum bytes exceeded"));
        if config.discard == Discard::New {
            let per_subject = config.max_msgs_per_subject;
            let full_subject = per_subject > 0 && books.count_of(message.subject) as i64 >= per_subject;
            if full_subject && config.discard_new_per_subject {
                return Err(ApiError::store_failed("maximum messages per subject exceeded"));
            }
            // A message that takes the place of another of its subject does not add to the stream.
            if config.max_msgs > 0 && books.messages as i64 >= config.max_msgs && !full_subject {
                return Err(ApiError::store_failed("maximum messages exceeded"));
            }
            if most > 0 && books.bytes + size >= most {
                let file = self.store.is_file();
                let first = if full_subject { self.store.first_of(message.subject) } else { None };
                let freed = first.and_then(|first| self.store.size_of(first)).unwrap_or(0);
                // The real server's files want to gain by it, its memory is content not to lose.
                if freed < size || (file && freed == size) {
                    return too_many_bytes();
                }
            }
        }
        if most > 0 && size > most { too_many_bytes() } else { Ok(()) }
    }

    /// Removes what the limits don't allow.
    pub(super) fn enforce(&mut self, subject: Option<&[u8]>, unix: u64) {
        if let Some(subject) = subject
            && self.config.max_msgs_per_subject > 0
        {
            self.keep_last_of(subject, self.config.max_msgs_per_subject as u64);
        }
        let over = |stream: &Self| {
            let (config, books) = (&stream.config, &stream.store.books);
            (config.max_msgs > 0 && books.messages as i64 > config.max_msgs)
                || (config.max_bytes > 0 && books.bytes as i64 > config.max_bytes)
        };
        // Where new messages give way, those that are there stay.
        while self.config.discard == Discard::Old && over(self) {
            self.remove(self.store.books.first);
        }
        // What leaves something behind goes at its time, when that can be sent on.
        if !self.config.leaves_markers() {
            self.expire(unix);
        }
    }

    /// Enforces limits that a new configuration brought, with `subjects` those of each subject, too.
    pub(super) fn enforce_all(&mut self, unix: u64, subjects: bool) {
        self.enforce(None, unix);
        if subjects && self.config.max_msgs_per_subject > 0 {
            let subjects: Vec<Vec<u8>> =
                self.store.books.matching(b">").into_iter().map(|(name, _)| name.to_vec()).collect();
            for subject in subjects {
                self.keep_last_of(&subject, self.config.max_msgs_per_subject as u64);
            }
        }
    }

    /// When it has something to do by itself.
    pub(super) fn next_deadline(&mut self, times: Times) -> Nanos {
        let expiry = self.next_expiry().map(|unix| times.now + unix.saturating_sub(times.unix));
        let dues = self.consumers.values().filter_map(|consumer| consumer.next_deadline(times));
        dues.chain(expiry).chain(self.feeds.next_due()).min().unwrap_or(Nanos::MAX)
    }

    fn keep_last_of(&mut self, subject: &[u8], keep: u64) {
        while self.store.books.count_of(subject) > keep {
            let Some(first) = self.store.first_of(subject) else { return };
            self.remove(first);
        }
    }

    /// Removes a message and tells the consumers; whether it was there.
    pub(super) fn remove(&mut self, sequence: u64) -> bool {
        let subject = if self.consumers.is_empty() {
            None
        } else {
            self.store.get(sequence).map(|message| Box::<[u8]>::from(message.subject))
        };
        let gone = self.store.remove(sequence);
        let Some(subject) = subject else { return gone };
        let all = self.consumers.values_mut();
        let done: Vec<u64> = all.flat_map(|consumer| consumer.removed(sequence, &subject)).collect();
        done.into_iter().filter(|&other| other != sequence).for_each(|other| self.done_with(other));
        gone
    }

    /// A consumer is done with a message: retention may let it go.
    pub(super) fn done_with(&mut self, sequence: u64) {
        match self.config.retention {
            Retention::Limits => {}
            Retention::WorkQueue if self.readers.is_empty() => drop(self.remove(sequence)),
            // What takes messages from a queue is one of several that are interested.
            Retention::WorkQueue | Retention::Interest => {
                let Some(message) = self.store.get(sequence) else { return };
                let subject = Box::<[u8]>::from(message.subject);
                let needed = self.consumers.values().any(|consumer| consumer.needs(sequence, &subject))
                    || self.readers.iter().any(|reader| reader.needs(sequence, &subject));
                if !needed {
                    self.remove(sequence);
                }
            }
        }
    }

    /// Lets go of what nobody needs any more, once a consumer is gone; `from` is where it had come to.
    pub(super) fn release(&mut self, from: u64) {
        if self.config.retention != Retention::Interest {
            return;
        }
        let mut at = if self.consumers.is_empty() { self.store.books.first } else { from };
        while let Some(sequence) = self.store.next_there(at) {
            self.done_with(sequence);
            at = sequence + 1;
        }
    }
}

#[derive(Debug, Clone, Copy)]
enum Rollup {
    All,
    Subject,
}

/// What a message's headers ask for.
#[derive(Debug, Default)]
struct Asked<'a> {
    id: Option<&'a [u8]>,
    /// The sequence under which the id is known already.
    duplicate: Option<u64>,
    rollup: Option<Rollup>,
    lifetime: Option<Lifetime>,
    lifetime_invalid: bool,
}
