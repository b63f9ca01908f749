//! One file of a stream: a head of 32 bytes, then records.

use super::record::{self, Kind, Read};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64;

/// Bytes of the head.
pub(super) const SEGMENT_HEAD: usize = 32;
const MAGIC: &[u8; 4] = b"BMJS";
const VERSION: u32 = 1;
/// Where no message is.
const NOWHERE: u32 = u32::MAX;

/// A segment.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) file: File,
    pub(super) salt: u64,
    /// The sequence of its first message, if it has any.
    pub(super) first: u64,
    /// Where each message begins, by its distance from `first`.
    offsets: Vec<u32>,
    /// Messages that are there.
    pub(super) live: u64,
    /// Bytes that are in use.
    pub(super) length: u64,
}

/// What reading a segment found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Damaged places, told to people.
    pub(super) damage: Vec<String>,
    /// Removed sequences, in the order of the records.
    pub(super) removed: Vec<u64>,
    /// The highest sequence before which everything is gone.
    pub(super) trimmed: u64,
    /// The highest sequence seen.
    pub(super) last: u64,
}

impl Segment {
    /// Makes a new file. Its name is its first sequence.
    pub(super) fn create(dir: &Path, first: u64, salt: u64) -> io::Result<Self> {
        let path = dir.join(format!("{first:020}.seg"));
        let file = OpenOptions::new().create(true).truncate(true).read(true).write(true).open(&path)?;
        let mut head = Vec::with_capacity(SEGMENT_HEAD);
        head.extend_from_slice(MAGIC);
        head.extend_from_slice(&VERSION.to_le_bytes());
        head.extend_from_slice(&salt.to_le_bytes());
        head.extend_from_slice(&first.to_le_bytes());
        let hash = xxh3_64(&head);
        head.extend_from_slice(&hash.to_le_bytes());
        file.write_all_at(&head, 0)?;
        super::sync_dir(dir)?;
        let length = SEGMENT_HEAD as u64;
        Ok(Self { path, file, salt, first, offsets: Vec::new(), live: 0, length })
    }

    /// Opens a file. `None`: its head never was written whole, so nothing was acknowledged from it.
    ///
    /// # Errors
    /// The disk's, and `InvalidData` for a file that must not be touched: a later version's, or a damaged head before
    /// records.
    pub(super) fn open(path: &Path) -> io::Result<Option<(Self, Vec<u8>)>> {
        let file = OpenOptions::new().read(true).write(true).open(path)?;
        let bytes = std::fs::read(path)?;
        let refuse =
            |why: &str| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {why}", path.display()));
        let Some(head) = bytes.get(..SEGMENT_HEAD) else {
            return Ok(None);
        };
        if &head[..4] != MAGIC || xxh3_64(&head[..24]).to_le_bytes() != head[24..] {
            let empty = bytes.iter().all(|&byte| byte == 0);
            return if empty {
                Ok(None)
            } else {
                Err(refuse("the segment's head is damaged; its records are left alone"))
            };
        }
        let number = |range: std::ops::Range<usize>| {
            head[range].iter().rev().fold(0, |n, &byte| n << 8 | u64::from(byte))
        };
        if number(4..8) as u32 != VERSION {
            return Err(refuse("the segment is of a version this engine does not know"));
        }
        let (salt, first) = (number(8..16), number(16..24));
        let length = SEGMENT_HEAD as u64;
        let segment = Self { path: path.to_owned(), file, salt, first, offsets: Vec::new(), live: 0, length };
        Ok(Some((segment, bytes)))
    }

    /// Takes stock of the records in `bytes`, going on after damaged ones.
    pub(super) fn scan(&mut self, bytes: &[u8], mut each: impl FnMut(&super::Stored<'_>)) -> Found {
        let mut found = Found::default();
        let mut at = SEGMENT_HEAD;
        while at < bytes.len() {
            match record::read(&bytes[at..], self.salt, true) {
                Read::Good(record) => {
                    let message = &record.message;
                    match record.kind {
                        Kind::Message => {
                            self.place(message.sequence, at as u64);
                            each(message);
                            found.last = found.last.max(message.sequence);
                        }
                        Kind::Skipped => found.last = found.last.max(message.sequence),
                        Kind::Removed => found.removed.extend(record::sequences(message.body)),
                        Kind::Trimmed => found.trimmed = found.trimmed.max(message.sequence),
                    }
                    at += record.length;
                    self.length = at as u64;
                }
                Read::BadRest(sequence, length) => {
                    let end = at + length;
                    let more = end < bytes.len();
                    found.damage.push(format!(
                        "{}: message {sequence} at byte {at} is damaged and left out{}",
                        self.path.display(),
                        if more { ", what follows is kept" } else { "" }
                    ));
                    found.last = found.last.max(sequence);
                    at = end;
                    self.length = at as u64;
                }
                Read::Cut | Read::BadHead => match self.next_head(bytes, at + 1) {
                    Some(next) => {
                        let bytes = next - at;
                        found.damage.push(format!(
                            "{}: {bytes} bytes at {at} are damaged and left out",
                            self.path.display()
                        ));
                        at = next;
                    }
                    None => {
                        let rest = &bytes[at..];
                        if rest.iter().any(|&byte| byte != 0) {
                            let count = rest.len();
                            found.damage.push(format!(
                                "{}: the last {count} bytes are no whole record",
                                self.path.display()
                            ));
                        }
                        break;
                    }
                },
            }
        }
        found
    }

    fn next_head(&self, bytes: &[u8], from: usize) -> Option<usize> {
        let mark = record::mark(self.salt);
        let rest = bytes.get(from..)?;
        memchr::memmem::find_iter(rest, &mark)
            .map(|at| from + at)
            .find(|&at| matches!(record::read(&bytes[at..], self.salt, true), Read::Good(_)))
    }

    /// Notes where a message is.
    pub(super) fn place(&mut self, sequence: u64, at: u64) {
        if self.offsets.is_empty() {
            self.first = sequence;
        }
        let Some(index) = sequence.checked_sub(self.first).map(|index| index as usize) else { return };
        if index >= self.offsets.len() {
            self.offsets.resize(index, NOWHERE);
            self.offsets.push(at as u32);
            self.live += 1;
        }
    }

    /// Where a message is.
    pub(super) fn offset(&self, sequence: u64) -> Option<u64> {
        let index = sequence.checked_sub(self.first)?;
        self.offsets.get(index as usize).filter(|&&at| at != NOWHERE).map(|&at| u64::from(at))
    }

    /// Forgets a message; whether it was there.
    pub(super) fn forget(&mut self, sequence: u64) -> bool {
        let Some(index) = sequence.checked_sub(self.first) else { return false };
        match self.offsets.get_mut(index as usize) {
            Some(at) if *at != NOWHERE => {
                *at = NOWHERE;
                self.live -= 1;
                true
            }
            _ => false,
        }
    }
}
