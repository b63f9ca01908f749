//! Parts of files that were read last. What is read in order is read far ahead.

use super::record::{self, Kind, Read};
use super::{index, packed};
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes read at a place that nothing before led to, and at most.
const READ: (usize, usize) = (16 * 1024, 256 * 1024);
/// Parts kept of segments: one for each of some readers at different places.
const PAGES: usize = 4;

/// A part of a file.
#[derive(Debug, Default)]
struct Page {
    /// Whose; 0 is none.
    salt: u64,
    start: u64,
    bytes: Vec<u8>,
    used: u64,
    /// Where records were found to be whole.
    checked: Range<u64>,
}

impl Page {
    fn end(&self) -> u64 {
        self.start + self.bytes.len() as u64
    }
}

/// A file of a segment.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part<'a> {
    /// The segment itself, which is open.
    Open(&'a File),
    /// The segment itself, which may have been compressed meanwhile.
    Closed,
    /// Its index.
    Index,
}

/// A file to be read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Source<'a> {
    /// Of the segment.
    pub(super) path: &'a Path,
    pub(super) part: Part<'a>,
    pub(super) salt: u64,
    /// Bytes that may be read.
    pub(super) length: u64,
}

impl Source<'_> {
    fn read(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        match self.part {
            Part::Open(file) => file.read_exact_at(bytes, at),
            Part::Index => File::open(index::path_of(self.path))?.read_exact_at(bytes, at),
            Part::Closed => match File::open(self.path) {
                // The compressed file was there before this one went.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    packed::read(&packed::path_of(self.path), bytes, at)
                }
                opened => opened?.read_exact_at(bytes, at),
            },
        }
    }
}

/// Where a record is at hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct AtHand {
    page: usize,
    start: usize,
    kind: Kind,
    sequence: u64,
}

impl AtHand {
    /// Whether it is the message with a sequence.
    pub(super) fn is_message(&self, sequence: u64) -> bool {
        self.kind == Kind::Message && self.sequence == sequence
    }
}

/// What is kept of a stream's files.
#[derive(Debug, Default)]
pub(super) struct Pages {
    data: [Page; PAGES],
    index: [Page; 2],
    turn: u64,
}

fn find(pages: &[Page], salt: u64, at: u64) -> Option<usize> {
    pages.iter().position(|page| page.salt == salt && page.start <= at && at < page.end())
}

fn oldest(pages: &[Page]) -> usize {
    (0..pages.len()).min_by_key(|&slot| pages[slot].used).unwrap_or(0)
}

impl Pages {
    /// Brings a record to hand: `Ok(None)` if there is no whole record there.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn record(&mut self, source: Source<'_>, at: u64) -> io::Result<Option<AtHand>> {
        self.turn += 1;
        if let Some(page) = find(&self.data, source.salt, at)
            && let Some(found) = self.look(page, source, at)
        {
            return Ok(found);
        }
        let before = self.data.iter().position(|page| {
            page.salt == source.salt && page.start < at && at <= page.end() && !page.bytes.is_empty()
        });
        let slot = before.unwrap_or_else(|| oldest(&self.data));
        let mut wanted =
            if before.is_some() { (self.data[slot].bytes.len() * 2).clamp(READ.0, READ.1) } else { READ.0 };
        loop {
            let length = (source.length.saturating_sub(at) as usize).min(wanted);
            let page = &mut self.data[slot];
            page.salt = 0;
            page.bytes.resize(length, 0);
            source.read(&mut page.bytes, at)?;
            (page.salt, page.start, page.checked) = (source.salt, at, at..at);
            if let Some(found) = self.look(slot, source, at) {
                return Ok(found);
            }
            if length < wanted {
                return Ok(None);
            }
            wanted *= 4;
        }
    }

    /// The record in a page; `None` if it goes on after it.
    fn look(&mut self, slot: usize, source: Source<'_>, at: u64) -> Option<Option<AtHand>> {
        let page = &mut self.data[slot];
        page.used = self.turn;
        let start = (at - page.start) as usize;
        let check = !page.checked.contains(&at);
        match record::read(&page.bytes[start..], source.salt, check) {
            Read::Good(record) => {
                let end = at + record.length as u64;
                if check {
                    page.checked = if page.checked.end == at { page.checked.start..end } else { at..end };
                }
                let (kind, sequence) = (record.kind, record.message.sequence);
                Some(Some(AtHand { page: slot, start, kind, sequence }))
            }
            Read::Cut => None,
            Read::BadRest(..) | Read::BadHead => Some(None),
        }
    }

    /// The bytes from a record on.
    pub(super) fn bytes(&self, at: AtHand) -> &[u8] {
        &self.data[at.page].bytes[at.start..]
    }

    /// Four bytes of an index.
    ///
    /// # Errors
    /// The disk's, also if the index is too short.
    pub(super) fn offset(&mut self, source: Source<'_>, at: u64) -> io::Result<u32> {
        self.turn += 1;
        let slot = match find(&self.index, source.salt, at) {
            Some(slot) => slot,
            None => {
                let slot = oldest(&self.index);
                let page = &mut self.index[slot];
                page.salt = 0;
                page.bytes.resize((source.length.saturating_sub(at) as usize).clamp(4, READ.0), 0);
                source.read(&mut page.bytes, at)?;
                (page.salt, page.start) = (source.salt, at);
                slot
            }
        };
        let page = &mut self.index[slot];
        page.used = self.turn;
        let start = (at - page.start) as usize;
        let bytes: Option<[u8; 4]> = page.bytes.get(start..start + 4).and_then(|four| four.try_into().ok());
        bytes.map(u32::from_le_bytes).ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    }

    /// Forgets what was read of a file.
    pub(super) fn forget(&mut self, salt: u64) {
        for page in self.data.iter_mut().chain(&mut self.index).filter(|page| page.salt == salt) {
            page.salt = 0;
        }
    }
}
