//! What a stream holds, counted.

use super::Stored;
use super::summary::{Reader, put, put_bytes};
use crate::wire::nats::subject::{has_wildcard, matches};
use std::collections::HashMap;

/// What is known of one subject. Ends are bounds once the message there has been removed, and are looked up
/// again when somebody asks.
#[derive(Debug, Clone, Copy)]
struct Subject {
    count: u64,
    first: u64,
    last: u64,
    first_sure: bool,
    last_sure: bool,
}

/// The books of a stream.
#[derive(Debug, Clone)]
pub(in super::super) struct Books {
    pub(in super::super) messages: u64,
    pub(in super::super) bytes: u64,
    /// Sequence of the first message; one past `last` if there is none.
    pub(in super::super) first: u64,
    pub(in super::super) last: u64,
    /// Nanoseconds since 1970; 0 if there is no message.
    pub(in super::super) first_time: u64,
    pub(in super::super) last_time: u64,
    subjects: HashMap<Box<[u8]>, Subject>,
    files: bool,
}

impl Books {
    /// Of an empty stream whose first message will have this sequence.
    pub(super) fn new(first: u64, files: bool) -> Self {
        let first = first.max(1);
        Self {
            messages: 0,
            bytes: 0,
            first,
            last: first - 1,
            first_time: 0,
            last_time: 0,
            subjects: HashMap::new(),
            files,
        }
    }

    /// Bytes a message counts for, as nats-server counts: files 22 + subject + (4 + headers) + payload + 8,
    /// memory 16 + subject + headers + payload.
    pub(in super::super) fn size(&self, subject: usize, body: usize, headers: bool) -> u64 {
        let own = if self.files { 30 + if headers { 4 } else { 0 } } else { 16 };
        (own + subject + body) as u64
    }

    /// A message is there.
    pub(super) fn added(&mut self, message: &Stored<'_>) {
        self.bytes += self.size(message.subject.len(), message.body.len(), message.header_length > 0);
        if self.messages == 0 {
            self.first = message.sequence;
            self.first_time = message.time;
        }
        self.messages += 1;
        self.last = message.sequence;
        self.last_time = message.time;
        match self.subjects.get_mut(message.subject) {
            Some(subject) => {
                subject.count += 1;
                subject.last = message.sequence;
                subject.last_sure = true;
            }
            None => {
                let at = message.sequence;
                let subject = Subject { count: 1, first: at, last: at, first_sure: true, last_sure: true };
                self.subjects.insert(message.subject.into(), subject);
            }
        }
    }

    /// A message is gone; the caller finds the new first one.
    pub(super) fn removed(&mut self, sequence: u64, subject: &[u8], (body, headers): (usize, bool)) {
        self.bytes -= self.size(subject.len(), body, headers);
        self.messages -= 1;
        let Some(known) = self.subjects.get_mut(subject) else { return };
        known.count -= 1;
        if known.count == 0 {
            self.subjects.remove(subject);
            return;
        }
        if sequence == known.first {
            known.first += 1;
            known.first_sure = false;
        }
        if sequence == known.last {
            known.last -= 1;
            known.last_sure = false;
        }
        if known.count == 1 {
            // One sure end is both ends.
            match (known.first_sure, known.last_sure) {
                (false, true) => (known.first, known.first_sure) = (known.last, true),
                (true, false) => (known.last, known.last_sure) = (known.first, true),
                _ => {}
            }
        }
    }

    /// A message of so many bytes turned out to be damaged; nobody knows its subject.
    pub(super) fn lost(&mut self, bytes: u64) {
        self.messages = self.messages.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(bytes);
    }

    /// Writes all of it.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        put(out, &[self.messages, self.bytes, self.first, self.last, self.first_time, self.last_time]);
        put(out, &[self.subjects.len() as u64]);
        for (name, subject) in &self.subjects {
            put_bytes(out, name);
            let sure = u64::from(subject.first_sure) | u64::from(subject.last_sure) << 1;
            put(out, &[subject.count, subject.first, subject.last, sure]);
        }
    }

    /// Reads what was written of a stream in files.
    pub(super) fn decode(input: &mut Reader<'_>) -> Option<Self> {
        let [messages, bytes, first, last, first_time, last_time] = input.numbers()?;
        let mut books = Self { messages, bytes, last, first_time, last_time, ..Self::new(first, true) };
        let [count] = input.numbers()?;
        for _ in 0..count {
            let name = input.bytes()?.into();
            let [count, first, last, sure] = input.numbers()?;
            let (first_sure, last_sure) = (sure & 1 == 1, sure & 2 == 2);
            books.subjects.insert(name, Subject { count, first, last, first_sure, last_sure });
        }
        Some(books)
    }

    /// Everything is gone, and the next message has the sequence `first`.
    pub(super) fn clear(&mut self, first: u64) {
        let last_time = self.last_time;
        *self = Self { last_time, ..Self::new(first, self.files) };
    }

    /// Subjects that have messages.
    pub(in super::super) fn subject_count(&self) -> usize {
        self.subjects.len()
    }

    /// Messages of one literal subject.
    pub(in super::super) fn count_of(&self, subject: &[u8]) -> u64 {
        self.subjects.get(subject).map_or(0, |known| known.count)
    }

    /// Subjects that match a pattern, with their counts.
    pub(in super::super) fn matching(&self, pattern: &[u8]) -> Vec<(&[u8], u64)> {
        if !has_wildcard(pattern) {
            let found = self.subjects.get_key_value(pattern);
            return found.map(|(name, known)| (&**name, known.count)).into_iter().collect();
        }
        let all = self.subjects.iter().filter(|(name, _)| matches(pattern, name));
        all.map(|(name, known)| (&**name, known.count)).collect()
    }

    pub(super) fn first_of(&self, subject: &[u8]) -> Option<(u64, bool)> {
        self.subjects.get(subject).map(|known| (known.first, known.first_sure))
    }

    pub(super) fn last_of(&self, subject: &[u8]) -> Option<(u64, bool)> {
        self.subjects.get(subject).map(|known| (known.last, known.last_sure))
    }

    pub(super) fn settle_first(&mut self, subject: &[u8], first: u64) {
        if let Some(known) = self.subjects.get_mut(subject) {
            (known.first, known.first_sure) = (first, true);
        }
    }

    pub(super) fn settle_last(&mut self, subject: &[u8], last: u64) {
        if let Some(known) = self.subjects.get_mut(subject) {
            (known.last, known.last_sure) = (last, true);
        }
    }
}
