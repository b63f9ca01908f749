//! Opening a stream's files: what a summary tells of is believed, what came after it is read.

use super::file::FileMedium;
use super::segment::{SEGMENT_HEAD, Segment};
use super::summary::{self, Known, Summary};
use super::{Books, Layout, index, packed};
use crate::prng::Prng;
use std::collections::VecDeque;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

/// A stream's files as they were found.
#[derive(Debug)]
pub(in super::super) struct Recovered {
    pub(in super::super) medium: FileMedium,
    pub(in super::super) books: Books,
    /// What people should know.
    pub(in super::super) notices: Vec<String>,
    /// Bytes that were read for it.
    pub(in super::super) scanned: u64,
}

/// What has been found so far.
struct Recovery {
    segments: VecDeque<Segment>,
    books: Books,
    notices: Vec<String>,
    removed: Vec<u64>,
    trimmed: u64,
    scanned: u64,
    note: Vec<u8>,
    /// Places in `segments` whose index is missing.
    without_index: Vec<usize>,
    /// Whether the messages are copies.
    copies: bool,
    /// They end at a place that was never written, so what follows is fetched again.
    ended: bool,
}

impl Recovery {
    /// Takes over a closed segment.
    fn believe(&mut self, mut segment: Segment, known: Known) {
        (segment.end, segment.length, segment.live) = (known.end, known.length, known.live);
        (segment.last_time, segment.headers, segment.dead) = (known.last_time, known.headers, known.dead);
        let count = segment.end - segment.first;
        let indexed = index::is_there(&segment.path, (segment.salt, segment.first), count);
        if !indexed {
            self.without_index.push(self.segments.len());
        }
        segment.rely_on_index();
        self.segments.push_back(segment);
    }

    /// Where what was read of a copy's segment is to end, from the byte `from` on: at a place that was never written. Files
    /// are written in order and synced whole, so no sync has covered what follows either: nothing stands on it. A copy would
    /// keep the hole for ever, since a stream goes on behind its last message.
    fn unwritten(&self, segment: &mut Segment, bytes: &[u8], from: u64) -> Option<usize> {
        if self.segments.back().is_some_and(|before| before.is_short_of(segment.first)) {
            return Some(0);
        }
        segment.scan(bytes, u64::MAX, |_, _| {}).unwritten.filter(|&at| at as u64 >= from)
    }

    /// Reads a segment. What stands before `known`'s length is counted already.
    fn read(&mut self, mut segment: Segment, known: Option<&Known>) -> io::Result<()> {
        let mut bytes = segment.read_all()?;
        self.scanned += bytes.len() as u64;
        let from = known.map_or(0, |known| known.length);
        if self.copies
            && let Some(at) = self.unwritten(&mut segment, &bytes, from)
        {
            let (path, count) = (segment.path.display(), bytes.len() - at);
            self.notices.push(format!(
                "{path}: {count} bytes follow a gap that was never written; they are copied again"
            ));
            self.ended = true;
            if at == 0 {
                return remove(segment);
            }
            bytes.truncate(at);
        }
        let books = &mut self.books;
        let found = segment.scan(&bytes, from, |at, message| {
            if at >= from {
                books.added(message);
            }
        });
        if let Some(known) = known {
            let known_of = |sequence: u64| sequence < known.end && !known.dead.has(sequence - known.first);
            let damaged = found.lost.iter().filter(|(sequence, _)| known_of(**sequence));
            let bytes: u64 = damaged.map(|(_, bytes)| bytes).sum();
            self.books.bytes = self.books.bytes.saturating_sub(bytes);
            let dead = known.dead.iter().filter(|&at| at < known.end - known.first);
            let dead: Vec<u64> = dead.map(|at| segment.first + at).collect();
            for sequence in dead {
                segment.forget(sequence);
            }
        }
        // A segment's name says what came before it, even if all of that is gone, and it itself is empty.
        self.books.last = self.books.last.max(segment.end - 1);
        self.notices.extend(found.damage);
        self.removed.extend(found.removed);
        self.trimmed = self.trimmed.max(found.trimmed);
        self.note = found.note.unwrap_or(std::mem::take(&mut self.note));
        if let Some(before) = self.segments.back_mut() {
            before.seal();
        }
        self.segments.push_back(segment);
        Ok(())
    }
}

/// Deletes a segment.
fn remove(segment: Segment) -> io::Result<()> {
    // Its index may never have been written.
    let _ = fs::remove_file(index::path_of(&segment.path));
    fs::remove_file(if segment.packed { packed::path_of(&segment.path) } else { segment.path })
}

/// The segments of a directory, in order.
fn segments_in(dir: &Path, notices: &mut Vec<String>) -> io::Result<Vec<Segment>> {
    let mut paths: Vec<PathBuf> =
        fs::read_dir(dir)?.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        match path.extension().and_then(|extension| extension.to_str()) {
            Some("seg") => match Segment::open(&path)? {
                Some(segment) => found.push(segment),
                None => {
                    notices.push(format!("{}: empty, left out", path.display()));
                    fs::remove_file(&path)?;
                }
            },
            // Both are there if the server ended before the plain one went: that one is surely whole.
            Some("sgz") if path.with_extension("seg").exists() => fs::remove_file(&path)?,
            Some("sgz") => found.push(Segment::open_packed(&path)?),
            // Half a compressed segment.
            Some("new") if path.with_extension("seg").exists() => fs::remove_file(&path)?,
            _ => {}
        }
    }
    Ok(found)
}

/// The summary, if it fits the segments that are there; what came before its first one has been let go.
fn fitting(dir: &Path, found: &[Segment], notices: &mut Vec<String>) -> io::Result<Option<Summary>> {
    let misfit =
        |why: &str| format!("{}: {why}; all segments are read instead", summary::path_in(dir).display());
    let summary = match summary::read(dir)? {
        Ok(Some(summary)) => summary,
        Ok(None) => return Ok(None),
        Err(why) => {
            notices.push(misfit(why));
            return Ok(None);
        }
    };
    let begin = summary.segments.first().map_or(0, |known| known.first);
    let there = found.iter().skip_while(|segment| segment.first < begin);
    let mut pairs = summary.segments.iter().zip(there);
    let fits = pairs.by_ref().take(summary.segments.len()).filter(|(known, segment)| {
        let length = segment.bytes_there().unwrap_or(0);
        known.salt == segment.salt && known.first == segment.first && length >= known.length
    });
    if fits.count() == summary.segments.len() {
        return Ok(Some(summary));
    }
    notices.push(misfit("it tells of segments that are missing or too short"));
    Ok(None)
}

impl FileMedium {
    /// Opens the segments of a directory, which must be there; makes the first one if there is none.
    ///
    /// # Errors
    /// The disk's, and `InvalidData` for segments that must not be touched.
    pub(in super::super) fn open(
        dir: &Path,
        (first, seed): (u64, u64),
        layout: Layout,
    ) -> io::Result<Recovered> {
        let mut notices = Vec::new();
        let found = segments_in(dir, &mut notices)?;
        let summary = fitting(dir, &found, &mut notices)?;
        let mut recovery = Recovery {
            segments: VecDeque::new(),
            books: Books::new(first, true),
            notices,
            removed: Vec::new(),
            trimmed: 0,
            scanned: 0,
            note: Vec::new(),
            without_index: Vec::new(),
            copies: layout.copies,
            ended: false,
        };
        let complete = summary.is_none();
        recovery.take(found, summary)?;
        Self::settle(dir, (first, seed), layout, recovery, complete)
    }

    fn settle(
        dir: &Path,
        (first, seed): (u64, u64),
        layout: Layout,
        recovery: Recovery,
        complete: bool,
    ) -> io::Result<Recovered> {
        let Recovery { mut segments, mut books, mut notices, .. } = recovery;
        let Recovery { removed, trimmed, scanned, note, without_index, .. } = recovery;
        let mut prng = Prng::new(seed);
        let file = match segments.back() {
            Some(last) if !last.packed => {
                let file = OpenOptions::new().read(true).write(true).open(&last.path)?;
                // What follows the last whole record never was acknowledged.
                file.set_len(last.length)?;
                if layout.journal {
                    // The journal's entries are for files that are there; an earlier run may not have made sure.
                    file.sync_data()?;
                    super::sync_dir(dir)?;
                }
                file
            }
            other => {
                // What followed a compressed one was never written.
                let next = if other.is_some() { books.last + 1 } else { first.max(1) };
                segments.iter_mut().for_each(Segment::seal);
                let (segment, file) = Segment::create(dir, next, prng.next_u64() | 1, true)?;
                segments.push_back(segment);
                file
            }
        };
        let mut medium = Self::over((dir.to_owned(), layout), segments, (file, prng));
        medium.note = note;
        without_index.into_iter().try_for_each(|index| medium.mend_index(index))?;
        medium.replay(&mut books, &removed, trimmed);
        medium.summary_due = complete && medium.segments.len() > 1;
        medium.since_summary = scanned;
        notices.append(&mut medium.notices);
        for (_, bytes) in medium.holes.drain(..) {
            // Messages are counted anew; what they counted for is not.
            books.bytes = books.bytes.saturating_sub(bytes);
        }
        match medium.failed.take() {
            Some(error) => Err(error),
            None => Ok(Recovered { medium, books, notices, scanned }),
        }
    }

    /// Applies removals to what was found.
    fn replay(&mut self, books: &mut Books, removed: &[u64], trimmed: u64) {
        if trimmed > books.last {
            self.segments.iter_mut().for_each(Segment::forget_all);
            books.clear(trimmed);
        }
        for &sequence in removed {
            self.take_out(books, sequence);
        }
        while let Some(sequence) = self.next(0).filter(|&sequence| sequence < trimmed) {
            self.take_out(books, sequence);
        }
        // What can't be read is taken out in trying to.
        let mut first = self.next(0);
        while let Some(damaged) = first.filter(|&first| !self.find(first) && self.failed.is_none()) {
            first = self.next(damaged + 1);
        }
        books.messages = self.count_from(0);
        books.first = first.unwrap_or(books.last + 1);
        books.first_time = first.and_then(|first| self.get(first)).map_or(0, |message| message.time);
        self.drop_segments(books.first);
    }

    fn take_out(&mut self, books: &mut Books, sequence: u64) {
        let found = self.get(sequence).map(|message| {
            (Box::<[u8]>::from(message.subject), (message.body.len(), message.header_length > 0))
        });
        self.forget(sequence);
        if let Some((subject, size)) = found {
            books.removed(sequence, &subject, size);
        }
    }
}

impl Recovery {
    fn take(&mut self, found: Vec<Segment>, summary: Option<Summary>) -> io::Result<()> {
        let Some(summary) = summary else {
            for segment in found {
                if self.ended {
                    remove(segment)?;
                    continue;
                }
                self.read(segment, None)?;
            }
            return Ok(());
        };
        (self.books, self.note) = (summary.books, summary.note);
        let begin = summary.segments.first().map_or(0, |known| known.first);
        let mut known = summary.segments.into_iter().peekable();
        for segment in found {
            if segment.first < begin || self.ended {
                remove(segment)?;
                continue;
            }
            match known.next() {
                Some(closed) if known.peek().is_some() => self.believe(segment, closed),
                last => self.read(segment, last.as_ref())?,
            }
        }
        Ok(())
    }
}

const _: () = assert!(SEGMENT_HEAD == 32, "the journal reads heads of 32 bytes");
