//! One file of a stream: a head of 32 bytes, then records.

use super::bits::Bits;
use super::index;
use super::packed;
use super::record::{self, Kind, Read};
use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64;

/// Bytes of the head.
pub(super) const SEGMENT_HEAD: usize = 32;
const MAGIC: &[u8; 4] = b"BMJS";
const VERSION: u32 = 1;
/// Sequences passed over within a segment; more begin a new one.
const MAX_GAP: u64 = 1 << 20;
/// Bytes that a disk writes at least.
const SECTOR: usize = 512;
/// Zeros at the end of a sector that look as if it had not been written whole.
const ZEROS: usize = 16;
/// Where no message is.
const NOWHERE: u32 = u32::MAX;

/// Where each message begins.
#[derive(Debug)]
enum Places {
    /// By its distance from the first sequence.
    Here(Vec<u32>),
    /// In the index beside the file.
    OnDisk,
}

/// A segment. Its sequences are `first..end`; of those, some may hold nothing.
#[derive(Debug)]
pub(super) struct Segment {
    pub(super) path: PathBuf,
    pub(super) salt: u64,
    pub(super) first: u64,
    pub(super) end: u64,
    /// Bytes that are in use.
    pub(super) length: u64,
    /// Messages that are there.
    pub(super) live: u64,
    /// When the last message was stored.
    pub(super) last_time: u64,
    /// Whether any message has headers.
    pub(super) headers: bool,
    /// Sequences that hold nothing, by their distance from the first; meaningless if nothing is there at all.
    pub(super) dead: Bits,
    /// Whether it was compressed when it was opened.
    pub(super) packed: bool,
    places: Places,
}

/// Where a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// At this byte of the segment.
    At(u64),
    /// At the byte that is noted at this byte of the index.
    Indexed(u64),
}

/// What reading a segment found.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// Damaged places, told to people.
    pub(super) damage: Vec<String>,
    /// Sequences of messages that are damaged, with the bytes they counted for, as far as that can be told.
    pub(super) lost: BTreeMap<u64, u64>,
    /// Removed sequences, in the order of the records.
    pub(super) removed: Vec<u64>,
    /// The highest sequence before which everything is gone.
    pub(super) trimmed: u64,
    /// What was noted last.
    pub(super) note: Option<Vec<u8>>,
    /// Where the first damaged place is that looks as if it had never been written.
    pub(super) unwritten: Option<usize>,
}

impl Found {
    /// Notes a damaged place of a file. A loss of power leaves zeros where what was written had not reached the disk: up to
    /// the end of a sector, and before that perhaps what the sector held when it was written last.
    fn damaged(&mut self, bytes: &[u8], place: Range<usize>) {
        let mut ends = (place.start + 1..=place.end).filter(|end| end.is_multiple_of(SECTOR));
        let zeros = |end: usize| bytes[place.start.max(end - ZEROS)..end].iter().all(|&byte| byte == 0);
        if self.unwritten.is_none() && ends.any(zeros) {
            self.unwritten = Some(place.start);
        }
    }
}

impl Segment {
    /// Makes a new file, whose name is its first sequence. `lasting`: it is there even if power is lost right after.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn create(dir: &Path, first: u64, salt: u64, lasting: bool) -> io::Result<(Self, File)> {
        let path = dir.join(format!("{first:020}.seg"));
        let file = OpenOptions::new().create(true).truncate(true).read(true).write(true).open(&path)?;
        let mut head = Vec::with_capacity(SEGMENT_HEAD);
        head.extend_from_slice(MAGIC);
        head.extend_from_slice(&VERSION.to_le_bytes());
        head.extend_from_slice(&salt.to_le_bytes());
        head.extend_from_slice(&first.to_le_bytes());
        let hash = xxh3_64(&head);
        head.extend_from_slice(&hash.to_le_bytes());
        let written = file.write_all_at(&head, 0);
        if let Err(error) = written {
            let _ = std::fs::remove_file(&path);
            return Err(error);
        }
        if lasting {
            file.sync_data()?;
            super::sync_dir(dir)?;
        }
        Ok((Self::bare(path, salt, first), file))
    }

    fn bare(path: PathBuf, salt: u64, first: u64) -> Self {
        Self {
            path,
            salt,
            first,
            end: first,
            length: SEGMENT_HEAD as u64,
            live: 0,
            last_time: 0,
            headers: false,
            dead: Bits::default(),
            packed: false,
            places: Places::Here(Vec::new()),
        }
    }

    /// A segment that is compressed, by its head.
    ///
    /// # Errors
    /// The disk's, and `InvalidData` for a file that must not be touched.
    pub(super) fn open_packed(path: &Path) -> io::Result<Self> {
        let head = packed::Head::read(path)?;
        let mut segment = Self::bare(path.with_extension("seg"), head.salt, head.first);
        (segment.packed, segment.length) = (true, head.length);
        Ok(segment)
    }

    /// Bytes that are there to be read.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn bytes_there(&self) -> io::Result<u64> {
        if self.packed { Ok(self.length) } else { Ok(std::fs::metadata(&self.path)?.len()) }
    }

    /// What a compressed file of it says.
    pub(super) fn head(&self) -> packed::Head {
        packed::Head { salt: self.salt, first: self.first, length: self.length }
    }

    /// All its bytes, whether it is compressed, or has been meanwhile, or not.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn read_all(&self) -> io::Result<Vec<u8>> {
        match std::fs::read(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let path = packed::path_of(&self.path);
                let mut bytes = vec![0; packed::Head::read(&path)?.length as usize];
                packed::read(&path, &mut bytes, 0)?;
                Ok(bytes)
            }
            other => other,
        }
    }

    /// Reads a file's head. `None`: it never was written whole, so nothing was acknowledged from it.
    ///
    /// # Errors
    /// The disk's, and `InvalidData` for a file that must not be touched: a later version's, or a damaged head before
    /// records.
    pub(super) fn open(path: &Path) -> io::Result<Option<Self>> {
        let file = File::open(path)?;
        let refuse =
            |why: &str| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {why}", path.display()));
        if file.metadata()?.len() < SEGMENT_HEAD as u64 {
            return Ok(None);
        }
        let mut head = [0; SEGMENT_HEAD];
        file.read_exact_at(&mut head, 0)?;
        if &head[..4] != MAGIC || xxh3_64(&head[..24]).to_le_bytes() != head[24..] {
            let empty =
                head.iter().all(|&byte| byte == 0) && std::fs::read(path)?.iter().all(|&byte| byte == 0);
            return if empty {
                Ok(None)
            } else {
                Err(refuse("the segment's head is damaged; its records are left alone"))
            };
        }
        if record::number(&head[4..8]) as u32 != VERSION {
            return Err(refuse("the segment is of a version this engine does not know"));
        }
        Ok(Some(Self::bare(path.to_owned(), record::number(&head[8..16]), record::number(&head[16..24]))))
    }

    /// Its messages' places are in the index file.
    pub(super) fn rely_on_index(&mut self) {
        self.places = Places::OnDisk;
    }

    /// Writes the index, so that nothing of it need be held in memory. If that fails it is held all the same.
    pub(super) fn seal(&mut self) {
        if let Places::Here(offsets) = &self.places
            && index::write(&self.path, (self.salt, self.first), offsets).is_ok()
        {
            self.places = Places::OnDisk;
            self.tidy();
        }
    }

    /// Takes stock of the records in `bytes`, the whole file, going on after damaged ones. `each` gets every message
    /// with where it is; removals count from the byte `from` on.
    pub(super) fn scan(
        &mut self,
        bytes: &[u8],
        from: u64,
        mut each: impl FnMut(u64, &super::Stored<'_>),
    ) -> Found {
        self.places = Places::Here(Vec::new());
        (self.end, self.live, self.dead) = (self.first, 0, Bits::default());
        let mut found = Found::default();
        let mut at = SEGMENT_HEAD;
        while at < bytes.len() {
            match record::read(&bytes[at..], self.salt, true) {
                Read::Good(record) => {
                    let (message, counts) = (&record.message, at as u64 >= from);
                    match record.kind {
                        Kind::Message => self.take(message, at as u64, &mut each),
                        Kind::Skipped => self.pass(message.sequence),
                        Kind::Removed if counts => found.removed.extend(record::sequences(message.body)),
                        Kind::Trimmed if counts => found.trimmed = found.trimmed.max(message.sequence),
                        Kind::Noted if counts => found.note = Some(message.body.to_vec()),
                        Kind::Removed | Kind::Trimmed | Kind::Noted => {}
                    }
                    at += record.length;
                    self.length = at as u64;
                }
                Read::BadRest(kind, sequence, length) => {
                    let end = at + length;
                    let more = end < bytes.len();
                    found.damaged(bytes, at..end);
                    found.damage.push(format!(
                        "{}: {} at byte {at} is damaged and left out{}",
                        self.path.display(),
                        if kind == Kind::Message {
                            format!("message {sequence}")
                        } else if kind == Kind::Noted {
                            "a note".to_owned()
                        } else {
                            "a list of removed messages".to_owned()
                        },
                        if more { ", what follows is kept" } else { "" }
                    ));
                    // A damaged list of removals: its messages come back, and that is said.
                    if kind == Kind::Message {
                        found.lost.insert(sequence, record::counted(&bytes[at..], self.salt, length));
                        self.pass(sequence);
                    }
                    at = end;
                    self.length = at as u64;
                }
                Read::Cut | Read::BadHead => match self.next_head(bytes, at + 1) {
                    Some(next) => {
                        let size = record::counted(&bytes[at..], self.salt, next - at);
                        found.lost.insert(self.end, size);
                        found.damaged(bytes, at..next);
                        let bytes = next - at;
                        found.damage.push(format!(
                            "{}: {bytes} bytes at {at} are damaged and left out",
                            self.path.display()
                        ));
                        at = next;
                    }
                    None => {
                        found.damage.extend(self.leftover(&bytes[at..]));
                        break;
                    }
                },
            }
        }
        found
    }

    /// Places a message and hands it on, unless its sequence was seen before.
    fn take(&mut self, message: &super::Stored<'_>, at: u64, each: &mut impl FnMut(u64, &super::Stored<'_>)) {
        if self.place(message, at) {
            each(at, message);
        }
    }

    fn leftover(&self, rest: &[u8]) -> Option<String> {
        let count = rest.len();
        rest.iter()
            .any(|&byte| byte != 0)
            .then(|| format!("{}: the last {count} bytes are no whole record", self.path.display()))
    }

    /// Bytes that the record at the start of `bytes` takes up: what its head says, or up to the next whole one.
    pub(super) fn extent(&self, bytes: &[u8]) -> usize {
        match record::read(bytes, self.salt, true) {
            Read::Good(record) => record.length,
            Read::BadRest(_, _, length) => length,
            Read::Cut | Read::BadHead => self.next_head(bytes, 1).unwrap_or(bytes.len()),
        }
    }

    fn next_head(&self, bytes: &[u8], from: usize) -> Option<usize> {
        let mark = record::mark(self.salt);
        let rest = bytes.get(from..)?;
        memchr::memmem::find_iter(rest, &mark)
            .map(|at| from + at)
            .find(|&at| matches!(record::read(&bytes[at..], self.salt, true), Read::Good(_)))
    }

    /// Notes where a message is, and that the sequences before it hold nothing; whether its sequence was free.
    pub(super) fn place(&mut self, message: &super::Stored<'_>, at: u64) -> bool {
        if message.sequence < self.end {
            return false;
        }
        if message.sequence > self.end {
            self.pass(message.sequence - 1);
        }
        if let Places::Here(offsets) = &mut self.places {
            offsets.push(at as u32);
        }
        self.end += 1;
        self.live += 1;
        self.last_time = message.time;
        self.headers |= message.header_length > 0;
        true
    }

    /// Notes that the sequences up to and with this one hold nothing.
    pub(super) fn pass(&mut self, sequence: u64) {
        while self.end <= sequence {
            self.dead.set(self.end - self.first);
            if let Places::Here(offsets) = &mut self.places {
                offsets.push(NOWHERE);
            }
            self.end += 1;
        }
    }

    /// Whether a sequence is too far behind its last one to stand in it.
    pub(super) fn is_far_from(&self, next: u64) -> bool {
        next.saturating_sub(self.end) > MAX_GAP
    }

    /// Whether a segment that was read lacks its end, if one that begins with `next` follows.
    pub(super) fn is_short_of(&self, next: u64) -> bool {
        matches!(self.places, Places::Here(_)) && next > self.end && !self.is_far_from(next)
    }

    /// The first sequence of the segment after this one, which names it, if it is to hold `next`: right after this one's
    /// last, whatever is passed over, so that a segment whose end never reached the disk is noticed. `None` if it would
    /// have the same name, for this one has used no sequence.
    pub(super) fn followed_by(&self, next: u64) -> Option<u64> {
        let first = if self.is_far_from(next) { next } else { self.end };
        (first > self.first).then_some(first)
    }

    /// Notes that all sequences before this one were given out, here or nowhere. Nothing is noted of a far jump: no
    /// sequence of it is asked for here.
    pub(super) fn pass_to(&mut self, end: u64) {
        if end > self.end && !self.is_far_from(end) {
            self.pass(end - 1);
        }
    }

    /// Whether a message is there.
    #[inline]
    pub(super) fn has(&self, sequence: u64) -> bool {
        self.live > 0 && (self.first..self.end).contains(&sequence) && !self.dead.has(sequence - self.first)
    }

    /// Where a message is that is there.
    pub(super) fn place_of(&self, sequence: u64) -> Option<Place> {
        if !self.has(sequence) {
            return None;
        }
        let index = sequence - self.first;
        match &self.places {
            Places::Here(offsets) => {
                offsets.get(index as usize).filter(|&&at| at != NOWHERE).map(|&at| Place::At(u64::from(at)))
            }
            Places::OnDisk => Some(Place::Indexed(index::INDEX_HEAD as u64 + 4 * index)),
        }
    }

    /// Bytes of its index.
    pub(super) fn index_length(&self) -> u64 {
        index::INDEX_HEAD as u64 + 4 * (self.end - self.first)
    }

    /// The first message at or after `from`.
    pub(super) fn next(&self, from: u64) -> Option<u64> {
        if self.live == 0 {
            return None;
        }
        let from = from.max(self.first) - self.first;
        self.dead.next_clear(from, self.end - self.first).map(|index| self.first + index)
    }

    /// The last message at or before `from`.
    pub(super) fn previous(&self, from: u64) -> Option<u64> {
        if self.live == 0 || from < self.first || self.end == self.first {
            return None;
        }
        let from = from.min(self.end - 1) - self.first;
        self.dead.previous_clear(from).map(|index| self.first + index)
    }

    /// Messages at or after `from`.
    pub(super) fn count_from(&self, from: u64) -> u64 {
        if self.live == 0 || from >= self.end {
            return 0;
        }
        let (from, end) = (from.max(self.first) - self.first, self.end - self.first);
        end - from - self.dead.count(from, end)
    }

    /// Forgets a message; whether it was there.
    pub(super) fn forget(&mut self, sequence: u64) -> bool {
        if !self.has(sequence) {
            return false;
        }
        self.dead.set(sequence - self.first);
        self.live -= 1;
        self.tidy();
        true
    }

    /// Forgets all messages.
    pub(super) fn forget_all(&mut self) {
        (self.first..self.end).for_each(|sequence| self.dead.set(sequence - self.first));
        self.live = 0;
        self.tidy();
    }

    /// A closed segment of which nothing is left need not know what is not there.
    fn tidy(&mut self) {
        if self.live == 0 && matches!(self.places, Places::OnDisk) {
            self.dead = Bits::default();
        }
    }
}
