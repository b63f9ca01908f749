//! Messages in files: segments that are only appended to.

use super::journal::{self, Origin};
use super::packed;
use super::pages::{AtHand, Pages, Part, Source};
use super::record::{self, Kind, Read};
use super::segment::{Place, SEGMENT_HEAD, Segment};
use super::upkeep::Upkeep;
use super::{Books, Layout, Stored, space, summary};
use crate::prng::Prng;
use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;

/// Appended bytes that are written before the tick ends.
const WRITE_FROM: usize = 4 * 1024 * 1024;
/// Space promised ahead, at least and at most; within them half of what the segment holds.
const AHEAD: (u64, u64) = (64 * 1024, 8 * 1024 * 1024);
/// Bytes that are looked at to find out how long a damaged record is.
const DAMAGED: usize = 4 * 1024 * 1024;
/// Bytes after which a segment is closed if it is compressed then: what is still open is not.
const SMALLER: u64 = 8 * 1024 * 1024;
/// A summary is written again when this many times its own size has been written since.
const SUMMARY_SHARE: u64 = 4;

/// The files of a stream.
#[derive(Debug)]
pub(in super::super) struct FileMedium {
    pub(super) dir: PathBuf,
    pub(super) layout: Layout,
    /// In order; the last one is appended to, and there is always one.
    pub(super) segments: VecDeque<Segment>,
    /// The last segment.
    pub(super) file: Arc<File>,
    /// Bytes of the last segment that the disk has promised.
    pub(super) promised: u64,
    /// Appended to the last segment, not written yet.
    unwritten: Vec<u8>,
    /// What was written in this tick, for the journal.
    journal: Vec<u8>,
    /// Removed since the last write, not recorded yet.
    removed: Vec<u64>,
    /// The first sequence, if it has moved since the last write.
    trimmed: Option<u64>,
    pub(super) unsynced: bool,
    /// Closed segments that are not synced yet.
    pub(super) sealed: Vec<Arc<File>>,
    /// Whether closed segments are to be compressed.
    compressed: bool,
    /// Closed segments that are to be compressed once they are synced.
    to_pack: Vec<(PathBuf, packed::Head)>,
    /// Segments to be deleted once what makes them superfluous is synced.
    pub(super) superfluous: Vec<PathBuf>,
    pub(super) summary_due: bool,
    pub(super) since_summary: u64,
    pub(super) summary_size: u64,
    pub(super) pages: Pages,
    /// The message that was found last.
    hand: Option<Found>,
    pub(super) prng: Prng,
    /// What is to be known after a restart; it stands in the last segment, or in the summary.
    pub(super) note: Vec<u8>,
    /// Messages that turned out to be damaged when they were read: sequence, and bytes they counted for.
    pub(super) holes: Vec<(u64, u64)>,
    pub(super) notices: Vec<String>,
    /// The first error; after it nothing is promised any more.
    pub(super) failed: Option<io::Error>,
}

impl FileMedium {
    /// Segments that are there already, the last of which is open.
    pub(super) fn over(
        (dir, layout): (PathBuf, Layout),
        segments: VecDeque<Segment>,
        (file, prng): (File, Prng),
    ) -> Self {
        Self {
            dir,
            layout,
            promised: segments.back().map_or(0, |segment| segment.length),
            segments,
            file: Arc::new(file),
            unwritten: Vec::new(),
            journal: Vec::new(),
            removed: Vec::new(),
            trimmed: None,
            unsynced: true,
            sealed: Vec::new(),
            compressed: false,
            to_pack: Vec::new(),
            superfluous: Vec::new(),
            summary_due: false,
            since_summary: 0,
            summary_size: 0,
            pages: Pages::default(),
            hand: None,
            prng,
            note: Vec::new(),
            holes: Vec::new(),
            notices: Vec::new(),
            failed: None,
        }
    }

    fn note_failure(&mut self, result: io::Result<()>) {
        if let Err(error) = result {
            self.failed.get_or_insert(error);
        }
    }

    /// Makes sure that a record of `rest` bytes after its head, for the sequence `next`, can be appended.
    ///
    /// # Errors
    /// `StorageFull`; other failures end the server at the next flush.
    pub(super) fn reserve(&mut self, next: u64, rest: usize) -> io::Result<()> {
        let most = self.layout.segment_bytes.min(if self.compressed { SMALLER } else { u64::MAX });
        let full = |segment: &Segment| segment.length >= most || segment.is_far_from(next);
        if self.segments.back().is_none_or(|last| full(last) && last.followed_by(next).is_some()) {
            self.roll(next)?;
        }
        let length = self.segments.back().map_or(0, |segment| segment.length);
        let end = length + (record::HEAD + rest) as u64;
        if end > self.promised {
            let wanted = end - self.promised;
            let step = (length / 2).clamp(AHEAD.0, AHEAD.1).max(wanted);
            let able = match space::promise(&self.file, self.promised, step) {
                // Not as much as would be convenient; what is needed may still be there.
                Err(error) if space::is_full(&error) => {
                    let able = space::promise(&self.file, self.promised, wanted)?;
                    self.promised = if able { end } else { u64::MAX };
                    return Ok(());
                }
                other => other?,
            };
            self.promised = if able { self.promised + step } else { u64::MAX };
        }
        Ok(())
    }

    pub(super) fn append(&mut self, message: &Stored<'_>) {
        let Some(segment) = self.segments.back_mut() else { return };
        segment.place(message, segment.length);
        self.record(Kind::Message, message);
    }

    /// A sequence that is used up for nothing.
    pub(super) fn skip(&mut self, sequence: u64) {
        let Some(segment) = self.segments.back_mut() else { return };
        segment.pass(sequence);
        self.record(Kind::Skipped, &Stored { sequence, time: 0, subject: b"", header_length: 0, body: b"" });
    }

    /// Writes a note in place of the one before.
    pub(super) fn write_note(&mut self, note: &[u8]) {
        self.note = note.to_vec();
        self.record(
            Kind::Noted,
            &Stored { sequence: 0, time: 0, subject: b"", header_length: 0, body: note },
        );
    }

    fn record(&mut self, kind: Kind, message: &Stored<'_>) {
        let Some(segment) = self.segments.back_mut() else { return };
        let before = self.unwritten.len();
        record::append(&mut self.unwritten, segment.salt, kind, message);
        segment.length += (self.unwritten.len() - before) as u64;
        if self.unwritten.len() >= WRITE_FROM {
            let written = self.write();
            self.note_failure(written);
        }
    }

    /// Closes the last segment and begins a new one. Nothing is changed if there is no space for it.
    fn roll(&mut self, next: u64) -> io::Result<()> {
        self.record_removals();
        self.write()?;
        let salt = self.prng.next_u64() | 1;
        let first = self.segments.back().and_then(|last| last.followed_by(next)).unwrap_or(next);
        let (segment, file) = Segment::create(&self.dir, first, salt, self.layout.journal)?;
        let old = std::mem::replace(&mut self.file, Arc::new(file));
        if let Some(last) = self.segments.back_mut() {
            // What was promised and not used goes back; if that fails it is only wasted.
            let _ = old.set_len(last.length);
            last.seal();
            if self.compressed {
                self.to_pack.push((last.path.clone(), last.head()));
            }
        }
        self.sealed.push(old);
        self.segments.push_back(segment);
        self.promised = SEGMENT_HEAD as u64;
        (self.summary_due, self.unsynced) = (true, true);
        if !self.note.is_empty() {
            // The segment that it stood in may be let go.
            let note = std::mem::take(&mut self.note);
            self.write_note(&note);
        }
        Ok(())
    }

    /// Has closed segments compressed from now on, those that are there already as well; or no more.
    pub(super) fn compress(&mut self, wanted: bool) {
        if wanted && !self.compressed {
            let closed = self.segments.len().saturating_sub(1);
            let plain = self.segments.iter().take(closed).filter(|segment| !segment.packed);
            self.to_pack = plain.map(|segment| (segment.path.clone(), segment.head())).collect();
        } else if !wanted {
            self.to_pack.clear();
        }
        self.compressed = wanted;
    }

    fn segment_of(&self, sequence: u64) -> Option<usize> {
        let after = self.segments.partition_point(|segment| segment.first <= sequence);
        after.checked_sub(1)
    }

    /// A message, if it is there.
    pub(super) fn get(&mut self, sequence: u64) -> Option<Stored<'_>> {
        if self.find(sequence) { self.at_hand() } else { None }
    }

    /// Brings a message to hand; whether it is there.
    pub(super) fn find(&mut self, sequence: u64) -> bool {
        self.hand = None;
        let Some(index) = self.segment_of(sequence).filter(|&index| self.segments[index].has(sequence))
        else {
            return false;
        };
        match self.bring(index, sequence) {
            Ok(Some(found)) => self.hand = Some(found),
            Ok(None) => {
                let counted = self.counted(index, sequence);
                self.lose(index, sequence, counted);
            }
            // Nobody may take what can't be read now for what is not there.
            Err(error) => self.note_failure(Err(error)),
        }
        self.hand.is_some()
    }

    /// The message at hand.
    pub(super) fn at_hand(&self) -> Option<Stored<'_>> {
        let bytes = match self.hand? {
            Found::Unwritten(start) => &self.unwritten[start..],
            Found::Read(at) => self.pages.bytes(at),
        };
        match record::decode(bytes) {
            Read::Good(record) => Some(record.message),
            _ => None,
        }
    }

    /// Brings a message to hand; if the index is wrong, by a new one.
    fn bring(&mut self, index: usize, sequence: u64) -> io::Result<Option<Found>> {
        if let Some(found) = self.try_bring(index, sequence)? {
            return Ok(Some(found));
        }
        let indexed = matches!(self.segments[index].place_of(sequence), Some(Place::Indexed(_)));
        if !indexed {
            return Ok(None);
        }
        self.mend_index(index)?;
        self.try_bring(index, sequence)
    }

    fn try_bring(&mut self, index: usize, sequence: u64) -> io::Result<Option<Found>> {
        let segment = &self.segments[index];
        let last = index + 1 == self.segments.len();
        let written = segment.length - if last { self.unwritten.len() as u64 } else { 0 };
        let at = match segment.place_of(sequence) {
            None => return Ok(None),
            Some(Place::At(at)) => at,
            Some(Place::Indexed(at)) => {
                let length = segment.index_length();
                let source = Source { path: &segment.path, part: Part::Index, salt: segment.salt, length };
                match self.pages.offset(source, at) {
                    Ok(offset) => u64::from(offset),
                    Err(_) => return Ok(None),
                }
            }
        };
        if at >= written {
            let start = (at - written) as usize;
            return Ok((last && start < self.unwritten.len()).then_some(Found::Unwritten(start)));
        }
        let part = if last { Part::Open(&self.file) } else { Part::Closed };
        let source = Source { path: &segment.path, part, salt: segment.salt, length: written };
        let found = self.pages.record(source, at)?;
        Ok(found.filter(|found| found.is_message(sequence)).map(Found::Read))
    }

    /// Makes a closed segment's index anew from the segment.
    pub(super) fn mend_index(&mut self, index: usize) -> io::Result<()> {
        let segment = &mut self.segments[index];
        let (live, dead, end) = (segment.live, segment.dead.clone(), segment.end);
        let bytes = segment.read_all()?;
        let found = segment.scan(&bytes[..bytes.len().min(segment.length as usize)], u64::MAX, |_, _| {});
        segment.pass_to(end);
        let lost: Vec<u64> = segment.dead.iter().filter(|&at| !dead.has(at)).collect();
        // What was removed stays so; what is damaged is found out when it is read.
        (segment.live, segment.dead) = (live, dead);
        segment.seal();
        self.pages.forget(segment.salt);
        self.notices.push(format!(
            "{}: the index was missing or wrong and has been made anew",
            segment.path.display()
        ));
        self.notices.extend(found.damage);
        let first = segment.first;
        if live > 0 {
            for sequence in lost.into_iter().map(|at| first + at) {
                self.lose(index, sequence, found.lost.get(&sequence).copied().unwrap_or(0));
            }
        }
        Ok(())
    }

    /// Bytes that a damaged message of an open segment counted for.
    fn counted(&self, index: usize, sequence: u64) -> u64 {
        let segment = &self.segments[index];
        let Some(Place::At(at)) = segment.place_of(sequence) else { return 0 };
        let mut bytes = vec![0; (segment.length.saturating_sub(at) as usize).min(DAMAGED)];
        match self.file.read_at(&mut bytes, at) {
            Ok(count) => record::counted(&bytes, segment.salt, segment.extent(&bytes[..count])),
            // It is told in any case; only what it counted for stays in the books.
            Err(_) => 0,
        }
    }

    /// A message can't be read any more.
    fn lose(&mut self, index: usize, sequence: u64, counted: u64) {
        let segment = &mut self.segments[index];
        if segment.forget(sequence) {
            self.notices
                .push(format!("{}: message {sequence} is damaged and left out", segment.path.display()));
            self.holes.push((sequence, counted));
        }
    }

    /// The first message at or after `from`.
    pub(super) fn next(&self, from: u64) -> Option<u64> {
        let start = self.segments.partition_point(|segment| segment.end <= from);
        self.segments.range(start..).find_map(|segment| segment.next(from))
    }

    /// The last message at or before `from`.
    pub(super) fn previous(&self, from: u64) -> Option<u64> {
        let end = self.segments.partition_point(|segment| segment.first <= from);
        self.segments.range(..end).rev().find_map(|segment| segment.previous(from))
    }

    /// Messages at or after `from`.
    pub(super) fn count_from(&self, from: u64) -> u64 {
        let start = self.segments.partition_point(|segment| segment.end <= from);
        self.segments.range(start..).map(|segment| segment.count_from(from)).sum()
    }

    /// The first sequence of the first segment that may hold messages stored at `time` or later.
    pub(super) fn segment_since(&self, time: u64) -> Option<u64> {
        self.segments
            .iter()
            .find(|segment| segment.live > 0 && segment.last_time >= time)
            .map(|found| found.first)
    }

    /// The first sequence at or after `from` in a segment with a message that has headers.
    pub(super) fn headers_from(&self, from: u64) -> Option<u64> {
        let start = self.segments.partition_point(|segment| segment.end <= from);
        self.segments.range(start..).find(|segment| segment.headers).map(|found| found.first.max(from))
    }

    /// Forgets a message; whether it was there.
    pub(super) fn forget(&mut self, sequence: u64) -> bool {
        self.segment_of(sequence).is_some_and(|index| self.segments[index].forget(sequence))
    }

    /// Removes a message.
    pub(super) fn remove(&mut self, sequence: u64) {
        if self.forget(sequence) {
            self.removed.push(sequence);
        }
    }

    /// The first sequence has moved.
    pub(super) fn trim(&mut self, first: u64) {
        self.trimmed = Some(first);
        self.drop_segments(first);
    }

    /// Lets go of segments that hold nothing from `first` on.
    pub(super) fn drop_segments(&mut self, first: u64) {
        while self.segments.len() > 1 && self.segments[1].first <= first && self.segments[0].live == 0 {
            if let Some(segment) = self.segments.pop_front() {
                self.pages.forget(segment.salt);
                self.superfluous.push(segment.path);
                self.summary_due = true;
            }
        }
    }

    /// Everything is gone; the next message has the sequence `first`.
    pub(super) fn clear(&mut self, first: u64) {
        self.removed.clear();
        self.segments.iter_mut().for_each(Segment::forget_all);
        if self.segments.back().is_some_and(|last| last.length > AHEAD.0 && last.followed_by(first).is_some())
        {
            match self.roll(first) {
                // Its space is wanted for something else, and comes back with the next message.
                Err(error) if space::is_full(&error) => {}
                other => self.note_failure(other),
            }
        }
        self.trim(first);
    }

    fn record_removals(&mut self) {
        let first = self.trimmed.take();
        let nothing = Stored { sequence: 0, time: 0, subject: b"", header_length: 0, body: b"" };
        let single: Vec<u8> = std::mem::take(&mut self.removed)
            .into_iter()
            .filter(|&sequence| first.is_none_or(|first| sequence >= first))
            .flat_map(u64::to_le_bytes)
            .collect();
        if !single.is_empty() {
            self.record(Kind::Removed, &Stored { body: &single, ..nothing });
        }
        if let Some(sequence) = first {
            self.record(Kind::Trimmed, &Stored { sequence, ..nothing });
        }
    }

    fn write(&mut self) -> io::Result<()> {
        if self.unwritten.is_empty() {
            return Ok(());
        }
        if let Some(segment) = self.segments.back() {
            let start = segment.length - self.unwritten.len() as u64;
            self.file.write_all_at(&self.unwritten, start)?;
            if self.layout.journal {
                let origin = Origin { path: &segment.path, salt: segment.salt };
                journal::entry(&mut self.journal, origin, start, &self.unwritten);
            }
        }
        self.since_summary += self.unwritten.len() as u64;
        self.unwritten.clear();
        self.unsynced = true;
        Ok(())
    }

    /// Writes what has been appended and removed; what the journal is to hold of it is appended to `journal`.
    ///
    /// # Errors
    /// The disk's. After `StorageFull` it can be tried again; after others the files must not be trusted to hold what was
    /// acknowledged since the last sync.
    pub(super) fn flush(&mut self, journal: &mut Vec<u8>) -> io::Result<()> {
        self.record_removals();
        if self.failed.as_ref().is_some_and(space::is_full) {
            self.failed = None;
        }
        self.write()?;
        journal.append(&mut self.journal);
        match self.failed.take() {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    /// Lets superfluous segments go with the next upkeep, however little was written since the last summary.
    pub(super) fn make_room(&mut self) {
        if !self.superfluous.is_empty() {
            self.summary_size = 0;
        }
    }

    /// Whether there is something that should not wait.
    pub(super) fn wants_upkeep(&self) -> bool {
        self.wants_summary() || !self.to_pack.is_empty()
    }

    /// Whether a summary is to be written, which takes a moment when nothing is left to be written.
    fn wants_summary(&self) -> bool {
        let settled = self.unwritten.is_empty() && self.removed.is_empty() && self.trimmed.is_none();
        settled && self.summary_due && self.since_summary >= SUMMARY_SHARE * self.summary_size
    }

    /// What is to be done beside the event loop, if there is anything: `all` is whatever can be.
    pub(super) fn upkeep(&mut self, books: &Books, all: bool) -> Option<Upkeep> {
        let summary = self.wants_summary();
        let sync = all && (self.unsynced || !self.sealed.is_empty());
        if !summary && !sync && self.to_pack.is_empty() {
            return None;
        }
        let mut upkeep =
            Upkeep { dir: self.dir.clone(), files: std::mem::take(&mut self.sealed), ..Upkeep::default() };
        if std::mem::take(&mut self.unsynced) {
            upkeep.files.push(Arc::clone(&self.file));
        }
        // One at a time: syncs must not wait for all that there may be after a start.
        upkeep.to_pack = self.to_pack.pop().into_iter().collect();
        if summary {
            let bytes = summary::encode(self.segments.iter(), books, &self.note);
            (self.summary_due, self.since_summary, self.summary_size) = (false, 0, bytes.len() as u64);
            upkeep.summary = Some(bytes);
            upkeep.superfluous = std::mem::take(&mut self.superfluous);
        }
        Some(upkeep)
    }
}

/// Where a message is at hand.
#[derive(Debug, Clone, Copy)]
enum Found {
    Unwritten(usize),
    Read(AtHand),
}
