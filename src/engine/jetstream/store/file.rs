//! Messages in files: segments that are only appended to.

use super::record::{self, Kind, Read};
use super::segment::Segment;
use super::{Books, Stored};
use crate::prng::Prng;
use std::collections::VecDeque;
use std::fs;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// Bytes after which a new segment is begun.
const SEGMENT: u64 = 64 * 1024 * 1024;
/// Bytes read ahead for consumers, which read in order.
const WINDOW: usize = 256 * 1024;
/// Appended bytes that are written before the tick ends.
const WRITE_FROM: usize = 4 * 1024 * 1024;

/// Bytes of a segment that were read last.
#[derive(Debug, Default)]
struct Window {
    segment: u64,
    start: u64,
    bytes: Vec<u8>,
}

/// The files of a stream.
#[derive(Debug)]
pub(in super::super) struct FileMedium {
    dir: PathBuf,
    /// In order; the last one is appended to, and there is always one.
    segments: VecDeque<Segment>,
    /// Appended to the last segment, not written yet.
    unwritten: Vec<u8>,
    /// Removed since the last write, not recorded yet.
    removed: Vec<u64>,
    /// The first sequence, if it has moved since the last write.
    trimmed: Option<u64>,
    unsynced: bool,
    /// Segments to be deleted once what makes them superfluous is written.
    superfluous: Vec<PathBuf>,
    window: Window,
    prng: Prng,
    /// The first error; after it nothing is promised any more.
    failed: Option<io::Error>,
}

/// A stream's files as they were found.
#[derive(Debug)]
pub(in super::super) struct Recovered {
    pub(in super::super) medium: FileMedium,
    pub(in super::super) books: Books,
    /// What people should know.
    pub(in super::super) notices: Vec<String>,
}

impl FileMedium {
    /// Opens the segments of a directory, which must be there; makes the first one if there is none.
    ///
    /// # Errors
    /// The disk's, and `InvalidData` for segments that must not be touched.
    pub(in super::super) fn open(dir: &Path, first: u64, seed: u64) -> io::Result<Recovered> {
        let mut paths: Vec<PathBuf> = fs::read_dir(dir)?
            .filter_map(|entry| entry.ok().map(|entry| entry.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "seg"))
            .collect();
        paths.sort();
        let mut medium = Self {
            dir: dir.to_owned(),
            segments: VecDeque::new(),
            unwritten: Vec::new(),
            removed: Vec::new(),
            trimmed: None,
            unsynced: false,
            superfluous: Vec::new(),
            window: Window::default(),
            prng: Prng::new(seed),
            failed: None,
        };
        let mut books = Books::new(first, true);
        let (mut notices, mut removed, mut trimmed) = (Vec::new(), Vec::new(), 0);
        for path in paths {
            let Some((mut segment, bytes)) = Segment::open(&path)? else {
                notices.push(format!("{}: empty, left out", path.display()));
                fs::remove_file(&path)?;
                continue;
            };
            // A segment's name says what came before it, even if all of that is gone.
            books.last = books.last.max(segment.first.saturating_sub(1));
            let found = segment.scan(&bytes, |message| books.added(message));
            books.last = books.last.max(found.last);
            notices.extend(found.damage);
            removed.extend(found.removed);
            trimmed = trimmed.max(found.trimmed);
            medium.segments.push_back(segment);
        }
        if let Some(segment) = medium.segments.back() {
            // What follows the last whole record never was acknowledged.
            segment.file.set_len(segment.length)?;
        }
        if medium.segments.is_empty() {
            medium.begin_segment(first.max(1))?;
        }
        medium.replay(&mut books, &removed, trimmed);
        Ok(Recovered { medium, books, notices })
    }

    /// Applies removals to what was found.
    fn replay(&mut self, books: &mut Books, removed: &[u64], trimmed: u64) {
        let first = books.first;
        let gone: Vec<u64> = removed.iter().copied().chain(first..trimmed.min(books.last + 1)).collect();
        for sequence in gone {
            let Some(message) = self.get(sequence) else { continue };
            let subject = Box::<[u8]>::from(message.subject);
            let size = (message.body.len(), message.header_length > 0);
            self.forget(sequence);
            books.removed(sequence, &subject, size);
        }
        if trimmed > books.last {
            books.last = trimmed - 1;
        }
        let mut first = books.first;
        if books.messages == 0 {
            first = books.last + 1;
        }
        while first <= books.last && self.get(first).is_none() {
            first += 1;
        }
        books.first = first;
        books.first_time = self.get(first).map_or(0, |message| message.time);
        self.drop_segments(first);
    }

    fn begin_segment(&mut self, first: u64) -> io::Result<()> {
        let salt = self.prng.next_u64();
        self.segments.push_back(Segment::create(&self.dir, first, salt)?);
        Ok(())
    }

    fn note_failure(&mut self, result: io::Result<()>) {
        if let Err(error) = result {
            self.failed.get_or_insert(error);
        }
    }

    pub(super) fn append(&mut self, message: &Stored<'_>) {
        self.roll(message.sequence);
        let Some(segment) = self.segments.back_mut() else { return };
        let at = segment.length;
        segment.place(message.sequence, at);
        self.record(Kind::Message, message);
    }

    /// A sequence that is used up for nothing.
    pub(super) fn skip(&mut self, sequence: u64) {
        self.roll(sequence);
        self.record(Kind::Skipped, &Stored { sequence, time: 0, subject: b"", header_length: 0, body: b"" });
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

    /// Begins a new segment if the last one is full.
    fn roll(&mut self, next: u64) {
        if self.segments.back().is_none_or(|segment| segment.length < SEGMENT) {
            return;
        }
        // A sealed segment is synced, so that later syncs need the last one only.
        let rolled = self.flush(true).and_then(|()| self.begin_segment(next));
        self.note_failure(rolled);
    }

    fn segment_of(&self, sequence: u64) -> Option<usize> {
        let after = self.segments.partition_point(|segment| segment.first <= sequence);
        after.checked_sub(1)
    }

    /// A message, if it is there.
    pub(super) fn get(&mut self, sequence: u64) -> Option<Stored<'_>> {
        let index = self.segment_of(sequence)?;
        let segment = &self.segments[index];
        let at = segment.offset(sequence)?;
        let salt = segment.salt;
        let written =
            segment.length - if index + 1 == self.segments.len() { self.unwritten.len() as u64 } else { 0 };
        let bytes = if at >= written {
            &self.unwritten[(at - written) as usize..]
        } else {
            let start = self.load(index, at, written)?;
            &self.window.bytes[start..]
        };
        match record::read(bytes, salt, false) {
            Read::Good(record) => Some(record.message),
            _ => None,
        }
    }

    /// Brings the record at `at` into the window; where in it the record begins.
    fn load(&mut self, index: usize, at: u64, written: u64) -> Option<usize> {
        let segment = &self.segments[index];
        let window = &mut self.window;
        let known = window.segment == segment.salt && at >= window.start;
        if known {
            let start = (at - window.start) as usize;
            let whole = window
                .bytes
                .get(start..)
                .is_some_and(|rest| !matches!(record::read(rest, segment.salt, false), Read::Cut));
            if whole {
                return Some(start);
            }
        }
        let mut wanted = WINDOW;
        loop {
            let length = ((written - at) as usize).min(wanted);
            window.bytes.resize(length, 0);
            window.segment = segment.salt;
            window.start = at;
            if segment.file.read_exact_at(&mut window.bytes, at).is_err() {
                window.segment = 0;
                window.bytes.clear();
                return None;
            }
            let cut = matches!(record::read(&window.bytes, segment.salt, false), Read::Cut);
            if !cut || length < wanted {
                return Some(0);
            }
            wanted *= 4;
        }
    }

    fn forget(&mut self, sequence: u64) -> bool {
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
    fn drop_segments(&mut self, first: u64) {
        while self.segments.len() > 1 && self.segments[1].first <= first && self.segments[0].live == 0 {
            if let Some(segment) = self.segments.pop_front() {
                self.superfluous.push(segment.path);
            }
        }
    }

    /// Everything is gone; the next message has the sequence `first`.
    pub(super) fn restart(&mut self, first: u64) {
        self.removed.clear();
        let begun = self.write().and_then(|()| self.begin_segment(first));
        self.note_failure(begun);
        while self.segments.len() > 1 {
            if let Some(segment) = self.segments.pop_front() {
                self.superfluous.push(segment.path);
            }
        }
        self.trimmed = Some(first);
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
            segment.file.write_all_at(&self.unwritten, start)?;
        }
        self.unwritten.clear();
        self.unsynced = true;
        Ok(())
    }

    /// The last segment, if something in it is not synced; the caller syncs it.
    ///
    /// # Errors
    /// No more descriptors.
    pub(super) fn take_unsynced(&mut self) -> io::Result<Option<fs::File>> {
        let Some(segment) = self.segments.back().filter(|_| self.unsynced) else { return Ok(None) };
        self.unsynced = false;
        segment.file.try_clone().map(Some)
    }

    /// Writes what has been appended and removed, and syncs if asked to.
    ///
    /// # Errors
    /// The disk's; after one the files must not be trusted to hold what was acknowledged since the last sync.
    pub(super) fn flush(&mut self, sync: bool) -> io::Result<()> {
        self.record_removals();
        self.write()?;
        if let Some(error) = self.failed.take() {
            return Err(error);
        }
        if sync && self.unsynced {
            if let Some(segment) = self.segments.back() {
                segment.file.sync_data()?;
            }
            self.unsynced = false;
        }
        for path in std::mem::take(&mut self.superfluous) {
            match fs::remove_file(path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}
