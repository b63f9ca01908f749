//! A stream's messages, in memory or in files, and the books on them.

mod bits;
mod books;
mod disk;
mod file;
mod gently;
mod index;
mod journal;
mod memory;
mod packed;
mod pages;
mod record;
mod recover;
mod segment;
mod space;
mod summary;
mod upkeep;

pub(super) use books::Books;
pub(super) use disk::{read_checked, replace_file, sync_dir};
pub(super) use file::FileMedium;
pub(super) use journal::{Journal, Origin, Position, entry as journal_entry};
pub(super) use memory::MemoryMedium;
pub(super) use recover::Recovered;
pub(super) use space::{Ballast, is_full, spare_descriptors};
pub(super) use upkeep::Upkeep;

use std::io;

/// How files are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Layout {
    /// Bytes after which a segment is closed and a new one begun.
    pub(super) segment_bytes: u64,
    /// Whether writes go to the node's journal, too.
    pub(super) journal: bool,
    /// Whether the messages are copies, which can be fetched again.
    pub(super) copies: bool,
}

/// A stored message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stored<'a> {
    pub(super) sequence: u64,
    /// Nanoseconds since 1970.
    pub(super) time: u64,
    pub(super) subject: &'a [u8],
    pub(super) header_length: usize,
    /// Headers, then payload.
    pub(super) body: &'a [u8],
}

impl<'a> Stored<'a> {
    pub(super) fn headers(&self) -> &'a [u8] {
        &self.body[..self.header_length]
    }

    pub(super) fn payload(&self) -> &'a [u8] {
        &self.body[self.header_length..]
    }
}

/// Where messages are.
#[derive(Debug)]
pub(super) enum Medium {
    Memory(MemoryMedium),
    File(Box<FileMedium>),
}

/// A stream's messages.
#[derive(Debug)]
pub(super) struct Store {
    pub(super) books: Books,
    medium: Medium,
}

impl Store {
    /// An empty store in memory whose first message will have this sequence.
    pub(super) fn in_memory(first: u64) -> Self {
        Self { books: Books::new(first, false), medium: Medium::Memory(MemoryMedium::new(first)) }
    }

    /// A store over files that were opened.
    pub(super) fn in_files(medium: FileMedium, books: Books) -> Self {
        Self { books, medium: Medium::File(Box::new(medium)) }
    }

    /// Makes sure that there is space for a message under a sequence, of so many bytes, subject and all.
    ///
    /// # Errors
    /// The disk is full.
    pub(super) fn reserve_at(&mut self, next: u64, bytes: usize) -> io::Result<()> {
        match &mut self.medium {
            Medium::Memory(_) => Ok(()),
            Medium::File(file) => file.reserve(next, bytes),
        }
    }

    /// Appends under the message's sequence, or the next one if that is higher; gives which.
    pub(super) fn append(&mut self, message: &Stored<'_>) -> u64 {
        let sequence = message.sequence.max(self.books.last + 1);
        let message = Stored { sequence, ..*message };
        match &mut self.medium {
            Medium::Memory(memory) => memory.append(&message),
            Medium::File(file) => file.append(&message),
        }
        self.books.added(&message);
        sequence
    }

    /// Uses up the next sequence for a message that nobody is interested in.
    pub(super) fn skip(&mut self) -> u64 {
        let sequence = self.books.last + 1;
        match &mut self.medium {
            Medium::Memory(memory) => memory.skip(),
            Medium::File(file) => file.skip(sequence),
        }
        self.books.last = sequence;
        self.books.first = if self.books.messages == 0 { sequence + 1 } else { self.books.first };
        sequence
    }

    /// Whether closed segments are to be compressed.
    pub(super) fn compress(&mut self, wanted: bool) {
        if let Medium::File(file) = &mut self.medium {
            file.compress(wanted);
        }
    }

    /// Writes down what is to be read again after a restart, in place of what was.
    pub(super) fn note(&mut self, note: &[u8]) {
        if let Medium::File(file) = &mut self.medium {
            file.write_note(note);
        }
    }

    /// What was written down last; nothing in memory.
    pub(super) fn noted(&self) -> &[u8] {
        match &self.medium {
            Medium::Memory(_) => b"",
            Medium::File(file) => &file.note,
        }
    }

    /// A message, if it is there.
    pub(super) fn get(&mut self, sequence: u64) -> Option<Stored<'_>> {
        if sequence < self.books.first || sequence > self.books.last {
            return None;
        }
        // What is damaged is found out in looking for it, and taken out of the books here.
        let missing = match &mut self.medium {
            Medium::Memory(_) => false,
            Medium::File(file) => !file.find(sequence),
        };
        if missing {
            self.settle_holes();
            return None;
        }
        match &self.medium {
            Medium::Memory(memory) => memory.get(sequence),
            Medium::File(file) => file.at_hand(),
        }
    }

    fn settle_holes(&mut self) {
        let Medium::File(file) = &mut self.medium else { return };
        for (sequence, bytes) in std::mem::take(&mut file.holes) {
            self.books.lost(bytes);
            if sequence == self.books.first {
                self.find_first(sequence + 1);
            }
        }
    }

    /// Removes a message; whether it was there.
    pub(super) fn remove(&mut self, sequence: u64) -> bool {
        let Some(message) = self.get(sequence) else { return false };
        let (subject, size) = (Box::<[u8]>::from(message.subject), message.body.len());
        let headers = message.header_length > 0;
        match &mut self.medium {
            Medium::Memory(memory) => memory.remove(sequence),
            Medium::File(file) => file.remove(sequence),
        }
        self.books.removed(sequence, &subject, (size, headers));
        if sequence == self.books.first {
            self.find_first(sequence + 1);
        }
        true
    }

    /// Moves the first sequence up to the next message that is there.
    fn find_first(&mut self, from: u64) {
        let end = self.books.last + 1;
        let mut first = self.next_there(from).unwrap_or(end);
        self.books.first_time = 0;
        while first < end {
            if let Some(time) = self.time_of(first) {
                self.books.first_time = time;
                break;
            }
            first = self.next_there(first + 1).unwrap_or(end);
        }
        self.books.first = first;
        match &mut self.medium {
            Medium::Memory(memory) => memory.trim(first),
            Medium::File(file) => file.trim(first),
        }
    }

    /// The next message at or after `from`.
    pub(super) fn next_there(&self, from: u64) -> Option<u64> {
        match &self.medium {
            Medium::Memory(memory) => memory.next(from),
            Medium::File(file) => file.next(from),
        }
    }

    /// Messages at or after `from`.
    pub(super) fn count_from(&self, from: u64) -> u64 {
        match &self.medium {
            Medium::Memory(memory) => memory.count_from(from),
            Medium::File(file) => file.count_from(from),
        }
    }

    /// The first sequence at or after `from` where there may be a message with headers.
    pub(super) fn headers_from(&self, from: u64) -> Option<u64> {
        match &self.medium {
            Medium::Memory(_) => Some(from),
            Medium::File(file) => file.headers_from(from),
        }
    }

    /// When a message was stored, if it is there.
    pub(super) fn time_of(&mut self, sequence: u64) -> Option<u64> {
        self.get(sequence).map(|message| message.time)
    }

    /// Bytes a message counts for, if it is there.
    pub(super) fn size_of(&mut self, sequence: u64) -> Option<u64> {
        let message = self.get(sequence)?;
        let (subject, body, headers) = (message.subject.len(), message.body.len(), message.header_length > 0);
        Some(self.books.size(subject, body, headers))
    }

    /// Removes what is before `first`, `part` messages at most unless it is everything; how many messages that were,
    /// and whether all are gone.
    pub(super) fn compact(&mut self, first: u64, part: u64) -> (u64, bool) {
        let before = self.books.messages;
        if first > self.books.last {
            // All of it, and sequences up to `first` are used up.
            self.books.clear(first);
            match &mut self.medium {
                Medium::Memory(memory) => *memory = MemoryMedium::new(first),
                Medium::File(file) => file.clear(first),
            }
            return (before, true);
        }
        let mut left = part;
        while left > 0 && self.books.messages > 0 && self.books.first < first {
            self.remove(self.books.first);
            left -= 1;
        }
        (before - self.books.messages, self.books.messages == 0 || self.books.first >= first)
    }

    /// The next message at or after `from` whose subject `wanted` likes.
    pub(super) fn next(&mut self, from: u64, wanted: impl Fn(&[u8]) -> bool) -> Option<u64> {
        let mut from = from;
        while let Some(sequence) = self.next_there(from) {
            if self.get(sequence).is_some_and(|message| wanted(message.subject)) {
                return Some(sequence);
            }
            from = sequence + 1;
        }
        None
    }

    /// The last message before or at `from` whose subject `wanted` likes.
    pub(super) fn previous(&mut self, from: u64, wanted: impl Fn(&[u8]) -> bool) -> Option<u64> {
        let mut from = from;
        loop {
            let sequence = match &self.medium {
                Medium::Memory(memory) => memory.previous(from),
                Medium::File(file) => file.previous(from),
            }?;
            if self.get(sequence).is_some_and(|message| wanted(message.subject)) {
                return Some(sequence);
            }
            from = sequence.checked_sub(1)?;
        }
    }

    /// The last message of a literal subject.
    pub(super) fn last_of(&mut self, subject: &[u8]) -> Option<u64> {
        let (last, sure) = self.books.last_of(subject)?;
        if sure {
            return Some(last);
        }
        let last = self.previous(last, |other| other == subject)?;
        self.books.settle_last(subject, last);
        Some(last)
    }

    /// The first message of a literal subject.
    pub(super) fn first_of(&mut self, subject: &[u8]) -> Option<u64> {
        let (first, sure) = self.books.first_of(subject)?;
        if sure {
            return Some(first);
        }
        let first = self.next(first, |other| other == subject)?;
        self.books.settle_first(subject, first);
        Some(first)
    }

    /// The first message stored at or after a time; one past the last if there is none.
    pub(super) fn first_since(&mut self, time: u64) -> u64 {
        let (mut low, mut high) = (self.books.first, self.books.last + 1);
        if let Medium::File(file) = &self.medium {
            low = file.segment_since(time).unwrap_or(high).max(low);
        }
        while low < high {
            let middle = low + (high - low) / 2;
            // Holes take the time of the next message that is there.
            let at = self.next_there(middle).and_then(|sequence| self.time_of(sequence));
            if at.is_none_or(|at| at >= time) {
                high = middle;
            } else {
                low = middle + 1;
            }
        }
        low
    }

    /// Writes what has been appended to the files; what is for the node's journal is appended to `journal`.
    ///
    /// # Errors
    /// The disk's; after its being full it can be tried again.
    pub(super) fn flush(&mut self, journal: &mut Vec<u8>) -> io::Result<()> {
        match &mut self.medium {
            Medium::Memory(_) => Ok(()),
            Medium::File(file) => file.flush(journal),
        }
    }

    /// What is to be done beside the event loop; `all`: whatever can be, else what must.
    pub(super) fn upkeep(&mut self, all: bool) -> Option<Upkeep> {
        match &mut self.medium {
            Medium::Memory(_) => None,
            Medium::File(file) => file.upkeep(&self.books, all),
        }
    }

    /// The disk is full: what is superfluous is to go with the next upkeep.
    pub(super) fn make_room(&mut self) {
        if let Medium::File(file) = &mut self.medium {
            file.make_room();
        }
    }

    /// Whether there is upkeep that should not wait.
    pub(super) fn wants_upkeep(&self) -> bool {
        matches!(&self.medium, Medium::File(file) if file.wants_upkeep())
    }

    /// What people should know.
    pub(super) fn take_notices(&mut self) -> Vec<String> {
        match &mut self.medium {
            Medium::Memory(_) => Vec::new(),
            Medium::File(file) => std::mem::take(&mut file.notices),
        }
    }

    /// Whether it is in files.
    pub(super) fn is_file(&self) -> bool {
        matches!(self.medium, Medium::File(_))
    }
}

#[cfg(test)]
mod tests;
