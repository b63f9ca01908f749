//! Messages in memory.

use super::Stored;
use std::collections::VecDeque;

#[derive(Debug)]
struct Message {
    time: u64,
    subject: u32,
    headers: u32,
    /// Subject, headers, payload.
    bytes: Box<[u8]>,
}

/// Messages by their distance from the first one.
#[derive(Debug)]
pub(in super::super) struct MemoryMedium {
    first: u64,
    messages: VecDeque<Option<Message>>,
}

impl MemoryMedium {
    /// Nothing yet.
    pub(super) fn new(first: u64) -> Self {
        Self { first: first.max(1), messages: VecDeque::new() }
    }

    pub(super) fn append(&mut self, message: &Stored<'_>) {
        if self.messages.is_empty() {
            self.first = message.sequence;
        }
        while self.first + (self.messages.len() as u64) < message.sequence {
            self.messages.push_back(None);
        }
        self.messages.push_back(Some(Message {
            time: message.time,
            subject: message.subject.len() as u32,
            headers: message.header_length as u32,
            bytes: [message.subject, message.body].concat().into(),
        }));
    }

    pub(super) fn skip(&mut self) {
        self.messages.push_back(None);
    }

    pub(super) fn get(&self, sequence: u64) -> Option<Stored<'_>> {
        let message = self.messages.get(sequence.checked_sub(self.first)? as usize)?.as_ref()?;
        let (subject, body) = message.bytes.split_at(message.subject as usize);
        Some(Stored { sequence, time: message.time, subject, header_length: message.headers as usize, body })
    }

    pub(super) fn remove(&mut self, sequence: u64) {
        if let Some(place) = self.messages.get_mut((sequence - self.first) as usize) {
            *place = None;
        }
    }

    /// The first message at or after `from`.
    pub(super) fn next(&self, from: u64) -> Option<u64> {
        let start = (from.max(self.first) - self.first) as usize;
        let mut rest = self.messages.range(start.min(self.messages.len())..);
        rest.position(Option::is_some).map(|index| self.first + (start + index) as u64)
    }

    /// The last message at or before `from`.
    pub(super) fn previous(&self, from: u64) -> Option<u64> {
        let end = ((from + 1).max(self.first) - self.first) as usize;
        let mut before = self.messages.range(..end.min(self.messages.len()));
        let index = before.rposition(Option::is_some)?;
        Some(self.first + index as u64)
    }

    /// Messages at or after `from`.
    pub(super) fn count_from(&self, from: u64) -> u64 {
        let start = ((from.max(self.first) - self.first) as usize).min(self.messages.len());
        self.messages.range(start..).filter(|message| message.is_some()).count() as u64
    }

    /// Forgets the places before `first`.
    pub(super) fn trim(&mut self, first: u64) {
        while self.first < first {
            self.messages.pop_front();
            self.first += 1;
        }
    }
}
