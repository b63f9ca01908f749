//! One journal for all file streams of a node: what a tick writes to many files is written here in one batch, and one
//! sync acknowledges all of it. After a loss of power its batches are written to the files again.
//!
//! The file has a head of one block, then two halves. Batches fill one half, then the other one; by then everything that
//! the other one holds has been synced where it belongs. All of it has been written before, so that a sync changes
//! no metadata.

use super::record::number;
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// Batches begin at multiples of this, so that no write touches an earlier batch.
pub(super) const BLOCK: u64 = 4096;
/// Bytes of each half.
pub(super) const HALF: u64 = 16 * 1024 * 1024;
/// Bytes of the whole file.
const WHOLE: u64 = BLOCK + 2 * HALF;
const MAGIC: &[u8; 4] = b"BMJJ";
const VERSION: u32 = 1;
const BATCH: &[u8; 8] = b"BMJBATCH";
/// Bytes before a batch's entries: mark, number, length, hash.
const BATCH_HEAD: usize = 32;

/// The file that an entry belongs to. Its head holds the salt, so that a file that took its name is left alone.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Origin<'a> {
    pub(in super::super) path: &'a Path,
    pub(in super::super) salt: u64,
}

/// Appends an entry: these bytes are at this place of a file, which is `STREAM/FILE` in the store's directory.
pub(in super::super) fn entry(out: &mut Vec<u8>, origin: Origin<'_>, offset: u64, bytes: &[u8]) {
    let mut names = origin.path.iter().rev();
    let file = names.next().unwrap_or_default().as_encoded_bytes();
    let stream = names.next().unwrap_or_default().as_encoded_bytes();
    out.extend_from_slice(&((stream.len() + 1 + file.len()) as u16).to_le_bytes());
    [stream, b"/", file].iter().for_each(|part| out.extend_from_slice(part));
    out.extend_from_slice(&origin.salt.to_le_bytes());
    out.extend_from_slice(&offset.to_le_bytes());
    out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
    out.extend_from_slice(bytes);
}

/// Space that a batch of entries takes.
pub(in super::super) fn space_of(entries: usize) -> u64 {
    (BATCH_HEAD as u64 + entries as u64).next_multiple_of(BLOCK)
}

fn hash(number: u64, entries: &[u8]) -> u64 {
    xxh3_64_with_seed(entries, number)
}

/// A batch as it is written.
fn frame(number: u64, entries: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(space_of(entries.len()) as usize);
    out.extend_from_slice(BATCH);
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&(entries.len() as u64).to_le_bytes());
    out.extend_from_slice(&hash(number, entries).to_le_bytes());
    out.extend_from_slice(entries);
    out.resize(space_of(entries.len()) as usize, 0);
    out
}

/// The batch that `bytes` begin with: its number, its entries, its length.
fn unframe(bytes: &[u8]) -> Option<(u64, &[u8], usize)> {
    let head = bytes.get(..BATCH_HEAD).filter(|head| &head[..8] == BATCH)?;
    let (batch, length) = (number(&head[8..16]), usize::try_from(number(&head[16..24])).ok()?);
    let entries = bytes[BATCH_HEAD..].get(..length)?;
    (hash(batch, entries) == number(&head[24..32])).then(|| (batch, entries, space_of(length) as usize))
}

/// Where the next batch goes.
#[derive(Debug)]
pub(in super::super) struct Position {
    half: u64,
    at: u64,
    next: u64,
}

impl Position {
    /// Whether a batch of so many bytes fits a half at all.
    pub(in super::super) fn takes(entries: usize) -> bool {
        space_of(entries) <= HALF
    }

    /// Whether there is room for it in the half that is being filled.
    pub(in super::super) fn has_room(&self, entries: usize) -> bool {
        self.at + space_of(entries) <= HALF
    }

    /// Goes on with the other half.
    pub(in super::super) fn turn(&mut self) {
        (self.half, self.at) = (1 - self.half, 0);
    }

    /// The place and the bytes of the next batch.
    pub(in super::super) fn place(&mut self, entries: &[u8]) -> (u64, Vec<u8>) {
        let offset = BLOCK + self.half * HALF + self.at;
        let bytes = frame(self.next, entries);
        self.at += bytes.len() as u64;
        self.next += 1;
        (offset, bytes)
    }
}

/// A journal that was opened.
#[derive(Debug)]
pub(in super::super) struct Journal {
    pub(in super::super) file: File,
    pub(in super::super) position: Position,
    /// What people should know.
    pub(in super::super) notices: Vec<String>,
}

fn head(floor: u64) -> Vec<u8> {
    let mut head = Vec::with_capacity(BLOCK as usize);
    head.extend_from_slice(MAGIC);
    head.extend_from_slice(&VERSION.to_le_bytes());
    head.extend_from_slice(&HALF.to_le_bytes());
    head.extend_from_slice(&floor.to_le_bytes());
    let hash = xxh3_64(&head);
    head.extend_from_slice(&hash.to_le_bytes());
    head.resize(BLOCK as usize, 0);
    head
}

impl Journal {
    /// Writes to the streams' files what the journal holds, and opens it. `wanted`: it is made if it is missing.
    ///
    /// # Errors
    /// The disk's, and `InvalidData` for a journal that can't be read for sure.
    pub(in super::super) fn open(dir: &Path, wanted: bool) -> io::Result<Option<Self>> {
        let path = dir.join("journal");
        if !wanted && !path.exists() {
            return Ok(None);
        }
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path)?;
        let mut notices = Vec::new();
        let bytes = std::fs::read(&path)?;
        let next = match floor(&bytes)
            .map_err(|why| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {why}", path.display())))?
        {
            Some(floor) => replay(dir, &bytes, floor, &mut notices)?,
            None => 1,
        };
        if (bytes.len() as u64) < WHOLE {
            let zeros = vec![0; 1 << 20];
            let from = bytes.len() as u64;
            for at in (from..WHOLE).step_by(zeros.len()) {
                let length = zeros.len().min((WHOLE - at) as usize);
                file.write_all_at(&zeros[..length], at)?;
            }
        }
        file.sync_all()?;
        file.write_all_at(&head(next), 0)?;
        file.sync_all()?;
        super::sync_dir(dir)?;
        Ok(Some(Self { file, position: Position { half: 0, at: 0, next }, notices }))
    }
}

/// The number of the first batch that counts; `None` for a journal that was not finished when it was made.
fn floor(bytes: &[u8]) -> Result<Option<u64>, &'static str> {
    let Some(head) = bytes.get(..BLOCK as usize) else { return Ok(None) };
    if head.iter().all(|&byte| byte == 0) {
        return Ok(None);
    }
    if &head[..4] != MAGIC || xxh3_64(&head[..24]) != number(&head[24..32]) {
        return Err("the journal's head is damaged; it is left alone");
    }
    if number(&head[4..8]) as u32 != VERSION || number(&head[8..16]) != HALF {
        return Err("the journal is of a version this engine does not know");
    }
    Ok(Some(number(&head[16..24])))
}

/// Writes batches to the files they belong to, and syncs those; gives the number of the batch that comes next.
fn replay(dir: &Path, bytes: &[u8], floor: u64, notices: &mut Vec<String>) -> io::Result<u64> {
    let mut batches = Vec::new();
    for half in 0..2 {
        let mut at = (BLOCK + half * HALF) as usize;
        let end = (at + HALF as usize).min(bytes.len());
        while at < end {
            match unframe(&bytes[at..end]) {
                Some((batch, entries, length)) => {
                    batches.push((batch, entries));
                    at += length;
                }
                // The end, or a damaged batch: others may follow.
                None => at += BLOCK as usize,
            }
        }
    }
    batches.retain(|&(batch, _)| batch >= floor);
    batches.sort_unstable_by_key(|&(batch, _)| batch);
    let missing: u64 = batches.windows(2).map(|pair| (pair[1].0 - pair[0].0).saturating_sub(1)).sum();
    if missing > 0 {
        notices.push(format!("{missing} batches of the journal are damaged and left out"));
    }
    let mut files = HashMap::new();
    for (_, entries) in &batches {
        apply(dir, entries, &mut files)?;
    }
    for file in files.values().flatten() {
        file.sync_data()?;
    }
    Ok(batches.last().map_or(floor, |&(batch, _)| batch + 1))
}

fn apply(dir: &Path, mut rest: &[u8], files: &mut HashMap<(String, u64), Option<File>>) -> io::Result<()> {
    while let Some((entry, after)) = read_entry(rest) {
        rest = after;
        let key = (entry.path.to_owned(), entry.salt);
        if !files.contains_key(&key) {
            let opened = open_if_same(&dir.join(entry.path), entry.salt)?;
            files.insert(key.clone(), opened);
        }
        if let Some(Some(file)) = files.get(&key) {
            file.write_all_at(entry.bytes, entry.offset)?;
        }
    }
    Ok(())
}

struct Entry<'a> {
    path: &'a str,
    salt: u64,
    offset: u64,
    bytes: &'a [u8],
}

fn read_entry(bytes: &[u8]) -> Option<(Entry<'_>, &[u8])> {
    let (length, rest) = bytes.split_at_checked(2)?;
    let (path, rest) = rest.split_at_checked(number(length) as usize)?;
    let (numbers, rest) = rest.split_at_checked(20)?;
    let (bytes, rest) = rest.split_at_checked(number(&numbers[16..]) as usize)?;
    let path = std::str::from_utf8(path).ok()?;
    Some((Entry { path, salt: number(&numbers[..8]), offset: number(&numbers[8..16]), bytes }, rest))
}

/// Opens a file unless it is gone or another one has its name.
fn open_if_same(path: &Path, salt: u64) -> io::Result<Option<File>> {
    let file = match OpenOptions::new().read(true).write(true).open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    let mut head = [0; 32];
    match file.read_exact_at(&mut head, 0) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    let same = number(&head[8..16]) == salt && xxh3_64(&head[..24]) == number(&head[24..]);
    Ok(same.then_some(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headed(dir: &Path, name: &str, salt: u64) {
        let mut head = b"BMJS\x01\0\0\0".to_vec();
        head.extend_from_slice(&salt.to_le_bytes());
        head.extend_from_slice(&[0; 8]);
        let hash = xxh3_64(&head);
        head.extend_from_slice(&hash.to_le_bytes());
        std::fs::create_dir_all(dir.join("S")).unwrap();
        std::fs::write(dir.join(name), head).unwrap();
    }

    #[test]
    fn batches_are_written_to_their_files_again_but_not_to_others_of_the_same_name() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let mut journal = Journal::open(dir, true).unwrap().unwrap();
        headed(dir, "S/1.seg", 7);
        headed(dir, "S/2.seg", 8);
        for (name, salt, text) in [("S/1.seg", 7, "one"), ("S/2.seg", 9, "two"), ("S/3.seg", 7, "three")] {
            let mut batch = Vec::new();
            entry(&mut batch, Origin { path: &dir.join(name), salt }, 32, text.as_bytes());
            let (at, bytes) = journal.position.place(&batch);
            journal.file.write_all_at(&bytes, at).unwrap();
        }
        drop(journal);
        let journal = Journal::open(dir, false).unwrap().unwrap();
        assert_eq!(journal.notices, Vec::<String>::new());
        assert_eq!(std::fs::read(dir.join("S/1.seg")).unwrap()[32..], *b"one");
        assert_eq!(std::fs::read(dir.join("S/2.seg")).unwrap().len(), 32);
        assert!(!dir.join("S/3.seg").exists());
        // Once they are where they belong they don't count any more.
        headed(dir, "S/1.seg", 7);
        Journal::open(dir, true).unwrap();
        assert_eq!(std::fs::read(dir.join("S/1.seg")).unwrap().len(), 32);
    }

    #[test]
    fn a_damaged_batch_is_left_out_and_those_after_it_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        headed(dir, "S/1.seg", 7);
        let mut journal = Journal::open(dir, true).unwrap().unwrap();
        for index in 0..3u64 {
            let mut batch = Vec::new();
            let origin = Origin { path: &dir.join("S/1.seg"), salt: 7 };
            entry(&mut batch, origin, 32 + 3 * index, &[b'a' + index as u8; 3]);
            let (at, mut bytes) = journal.position.place(&batch);
            if index == 1 {
                bytes[40] ^= 1;
            }
            journal.file.write_all_at(&bytes, at).unwrap();
        }
        let journal = Journal::open(dir, true).unwrap().unwrap();
        assert_eq!(journal.notices, ["1 batches of the journal are damaged and left out"]);
        assert_eq!(std::fs::read(dir.join("S/1.seg")).unwrap()[32..], *b"aaa\0\0\0ccc");
    }

    #[test]
    fn a_damaged_head_or_a_later_version_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        Journal::open(dir.path(), true).unwrap();
        let path = dir.path().join("journal");
        for at in [0, 4, 9, 16, 31] {
            let file = OpenOptions::new().read(true).write(true).open(&path).unwrap();
            let mut byte = [0];
            file.read_exact_at(&mut byte, at).unwrap();
            file.write_all_at(&[byte[0] ^ 1], at).unwrap();
            let error = Journal::open(dir.path(), true).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "byte {at}");
            file.write_all_at(&byte, at).unwrap();
        }
        assert!(Journal::open(dir.path(), true).is_ok());
    }
}
