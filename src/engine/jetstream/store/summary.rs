//! What is known of a stream's segments up to a place in the last one, in one file that is replaced as a whole: with
//! it only what follows that place is read at a restart. Without it all segments are.

use super::bits::Bits;
use super::segment::Segment;
use super::{Books, read_checked};
use std::io;
use std::path::{Path, PathBuf};

const VERSION: u64 = 1;

/// Appends numbers.
pub(super) fn put(out: &mut Vec<u8>, numbers: &[u64]) {
    numbers.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
}

/// Appends bytes and how many they are.
pub(super) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put(out, &[bytes.len() as u64]);
    out.extend_from_slice(bytes);
}

/// Reads what [`put`] and [`put_bytes`] wrote.
#[derive(Debug)]
pub(super) struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn numbers<const N: usize>(&mut self) -> Option<[u64; N]> {
        let mut numbers = [0; N];
        for number in &mut numbers {
            let (first, rest) = self.0.split_first_chunk::<8>()?;
            (*number, self.0) = (u64::from_le_bytes(*first), rest);
        }
        Some(numbers)
    }

    pub(super) fn bytes(&mut self) -> Option<&'a [u8]> {
        let [length] = self.numbers()?;
        let (first, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(first)
    }
}

/// What is known of a segment.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) salt: u64,
    pub(super) first: u64,
    pub(super) end: u64,
    pub(super) length: u64,
    pub(super) live: u64,
    pub(super) last_time: u64,
    pub(super) headers: bool,
    pub(super) dead: Bits,
}

/// What is known of all segments.
#[derive(Debug)]
pub(super) struct Summary {
    /// In order. Of the last one, what comes after its length is not counted.
    pub(super) segments: Vec<Known>,
    pub(super) books: Books,
    /// What was noted last; nothing in older summaries.
    pub(super) note: Vec<u8>,
}

/// The file of a stream's summary.
pub(super) fn path_in(dir: &Path) -> PathBuf {
    dir.join("summary")
}

/// A summary as bytes.
pub(super) fn encode<'a>(
    segments: impl ExactSizeIterator<Item = &'a Segment>,
    books: &Books,
    note: &[u8],
) -> Vec<u8> {
    let mut out = Vec::new();
    put(&mut out, &[VERSION, segments.len() as u64]);
    for segment in segments {
        put(&mut out, &[segment.salt, segment.first, segment.end, segment.length]);
        let dead = segment.dead.words();
        put(&mut out, &[segment.live, segment.last_time, u64::from(segment.headers), dead.len() as u64]);
        put(&mut out, dead);
    }
    books.encode(&mut out);
    put_bytes(&mut out, note);
    out
}

fn decode(bytes: &[u8]) -> Option<Summary> {
    let mut input = Reader::new(bytes);
    let [version, count] = input.numbers()?;
    if version != VERSION || count == 0 {
        return None;
    }
    let mut segments = Vec::new();
    for _ in 0..count {
        let [salt, first, end, length, live, last_time, headers, words] = input.numbers()?;
        let mut dead = Vec::new();
        for _ in 0..words {
            let [word] = input.numbers()?;
            dead.push(word);
        }
        let dead = Bits::from_words(dead);
        segments.push(Known { salt, first, end, length, live, last_time, headers: headers > 0, dead });
    }
    let books = Books::decode(&mut input)?;
    Some(Summary { segments, books, note: input.bytes().unwrap_or_default().to_vec() })
}

/// Reads a stream's summary, if there is one that can be used; else why not.
///
/// # Errors
/// The disk's.
pub(super) fn read(dir: &Path) -> io::Result<Result<Option<Summary>, &'static str>> {
    match read_checked(&path_in(dir)) {
        Ok(Some(bytes)) => Ok(decode(&bytes).map(Some).ok_or("it is of another version")),
        Ok(None) => Ok(Err("it is damaged")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Ok(None)),
        Err(error) => Err(error),
    }
}
