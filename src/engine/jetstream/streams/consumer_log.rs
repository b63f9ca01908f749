//! The file in which a stream's consumers are kept: what they are, and each change of their state, appended. It is
//! written anew when it has grown.
//!
//! A head of 32 bytes with a salt, then entries: a mark, the length of the body, the body's hash, the body. Mark and hash
//! are keyed with the salt; by the mark reading goes on after a damaged entry.

use super::consumer::Consumer;
use super::consumer_config::ConsumerConfig;
use super::ledger::Ledger;
use crate::engine::jetstream::store::{
    Layout, Origin, Store, is_full, journal_entry, spare_descriptors, sync_dir,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// Bytes after which the file is written anew.
const COMPACT_FROM: u64 = 16 * 1024 * 1024;
/// Bytes of the file's head.
const FILE_HEAD: usize = 32;
const MAGIC: &[u8; 4] = b"BMJC";
const VERSION: u32 = 1;
/// Bytes before an entry's body.
const HEAD: usize = 16;

const CREATED: u8 = 1;
const DELETED: u8 = 2;
const CHANGED: u8 = 3;

/// What is written of a consumer that was made.
#[derive(Debug, Serialize, Deserialize)]
struct Creation {
    name: String,
    created: u64,
    config: ConsumerConfig,
}

/// The file.
#[derive(Debug)]
pub(super) struct ConsumerLog {
    path: PathBuf,
    /// `None` before the first consumer: most streams of many have none.
    file: Option<Arc<File>>,
    salt: u64,
    length: u64,
    /// Length at which it is written anew; grows while that can't be done.
    compact_from: u64,
    unwritten: Vec<u8>,
    unsynced: bool,
    journal: bool,
}

/// Consumers as they were found.
#[derive(Debug)]
pub(super) struct FoundConsumers {
    pub(super) log: ConsumerLog,
    pub(super) consumers: BTreeMap<String, Consumer>,
    /// What people should know.
    pub(super) notices: Vec<String>,
}

fn mark(salt: u64) -> [u8; 4] {
    ((salt >> 16) as u32 | 1).to_le_bytes()
}

fn entry(out: &mut Vec<u8>, salt: u64, (kind, name): (u8, &str), rest: &[u8]) {
    out.extend_from_slice(&mark(salt));
    out.extend_from_slice(&((3 + name.len() + rest.len()) as u32).to_le_bytes());
    let hash_at = out.len();
    out.extend_from_slice(&[0; 8]);
    out.push(kind);
    out.extend_from_slice(&(name.len() as u16).to_le_bytes());
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(rest);
    let hash = xxh3_64_with_seed(&out[hash_at + 8..], salt);
    out[hash_at..hash_at + 8].copy_from_slice(&hash.to_le_bytes());
}

fn creation(consumer: &Consumer) -> Vec<u8> {
    let creation =
        Creation { name: consumer.name.clone(), created: consumer.created, config: consumer.config.clone() };
    serde_json::to_vec(&creation).unwrap_or_default()
}

fn head(salt: u64) -> Vec<u8> {
    let mut head = Vec::with_capacity(FILE_HEAD);
    head.extend_from_slice(MAGIC);
    head.extend_from_slice(&VERSION.to_le_bytes());
    head.extend_from_slice(&salt.to_le_bytes());
    head.extend_from_slice(&[0; 8]);
    let hash = xxh3_64(&head);
    head.extend_from_slice(&hash.to_le_bytes());
    head
}

/// The salt of a file; `None` for one that never was begun.
fn salt_of(bytes: &[u8], path: &Path) -> io::Result<Option<u64>> {
    if bytes.len() < FILE_HEAD || bytes.iter().all(|&byte| byte == 0) {
        return Ok(None);
    }
    let salt = u64::from_le_bytes(bytes[8..16].try_into().unwrap_or_default());
    let refuse = |why: &str| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {why}", path.display()));
    if &bytes[..4] != MAGIC || xxh3_64(&bytes[..24]).to_le_bytes() != bytes[24..FILE_HEAD] {
        return Err(refuse("the head of the consumers' file is damaged; it is left alone"));
    }
    if bytes[4..8] != VERSION.to_le_bytes() {
        return Err(refuse("the consumers' file is of a version this engine does not know"));
    }
    Ok(Some(salt))
}

impl ConsumerLog {
    /// Opens the file if there is one. `seed` is for the salt of a new one.
    ///
    /// # Errors
    /// The disk's, and `InvalidData` for a file that must not be touched.
    pub(super) fn open(dir: &Path, seed: u64, layout: Layout) -> io::Result<FoundConsumers> {
        let path = dir.join("consumers");
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            other => other?,
        };
        let known = salt_of(&bytes, &path)?;
        let salt = known.unwrap_or(seed | 1);
        let mut consumers = BTreeMap::new();
        let mut notices = Vec::new();
        let (mut file, mut length) = (None, 0);
        if known.is_some() {
            length = read_all(&bytes, salt, &mut consumers, (&path, &mut notices)) as u64;
            let opened = OpenOptions::new().read(true).write(true).open(&path)?;
            opened.set_len(length)?;
            opened.sync_data()?;
            sync_dir(dir)?;
            file = Some(Arc::new(opened));
        }
        let log = Self {
            path,
            file,
            salt,
            length,
            compact_from: COMPACT_FROM,
            unwritten: Vec::new(),
            unsynced: false,
            journal: layout.journal,
        };
        Ok(FoundConsumers { log, consumers, notices })
    }

    /// Notes that a consumer was made or set up anew.
    pub(super) fn created(&mut self, consumer: &Consumer) {
        entry(&mut self.unwritten, self.salt, (CREATED, &consumer.name), &creation(consumer));
    }

    /// Notes that a consumer is gone.
    pub(super) fn deleted(&mut self, name: &str) {
        entry(&mut self.unwritten, self.salt, (DELETED, name), b"");
    }

    /// Notes what changed of a consumer since the last time.
    pub(super) fn changed(&mut self, consumer: &mut Consumer) {
        if !consumer.ledger.is_empty() {
            consumer.ledger.close();
            entry(&mut self.unwritten, self.salt, (CHANGED, &consumer.name), consumer.ledger.bytes());
            consumer.ledger.clear();
        }
    }

    /// Writes what was noted; what is for the node's journal is appended to `journal`.
    ///
    /// # Errors
    /// The disk's; after its being full it can be tried again.
    pub(super) fn flush(
        &mut self,
        journal: &mut Vec<u8>,
        consumers: &BTreeMap<String, Consumer>,
    ) -> io::Result<()> {
        if self.unwritten.is_empty() {
            return Ok(());
        }
        if self.length + self.unwritten.len() as u64 > self.compact_from {
            match self.compact(consumers) {
                Err(error) if is_full(&error) => self.compact_from *= 2,
                other => return other,
            }
        }
        let Some(file) = &self.file else { return Err(io::ErrorKind::NotFound.into()) };
        file.write_all_at(&self.unwritten, self.length)?;
        if self.journal {
            journal_entry(
                journal,
                Origin { path: &self.path, salt: self.salt },
                self.length,
                &self.unwritten,
            );
        }
        self.length += self.unwritten.len() as u64;
        self.unwritten.clear();
        self.unsynced = true;
        Ok(())
    }

    /// Makes the file before the first consumer, unless it is there. After that it is there even if power is lost, as
    /// the node's journal expects.
    ///
    /// # Errors
    /// The disk's; it may be full, or descriptors too few.
    pub(super) fn begin(&mut self) -> io::Result<()> {
        let Some(dir) = self.path.parent().filter(|_| self.file.is_none()) else { return Ok(()) };
        spare_descriptors(dir)?;
        let file = OpenOptions::new().create(true).truncate(true).read(true).write(true).open(&self.path)?;
        file.write_all_at(&head(self.salt), 0)?;
        file.sync_data()?;
        sync_dir(dir)?;
        (self.file, self.length) = (Some(Arc::new(file)), FILE_HEAD as u64);
        Ok(())
    }

    /// Writes the file anew with the whole state of all consumers.
    fn compact(&mut self, consumers: &BTreeMap<String, Consumer>) -> io::Result<()> {
        let salt = crate::prng::mix(self.salt) | 1;
        let mut all = head(salt);
        for consumer in consumers.values() {
            entry(&mut all, salt, (CREATED, &consumer.name), &creation(consumer));
            entry(&mut all, salt, (CHANGED, &consumer.name), &Ledger::whole(consumer));
        }
        let temporary = self.path.with_extension("new");
        let file = OpenOptions::new().create(true).truncate(true).read(true).write(true).open(&temporary)?;
        if let Err(error) = file.write_all_at(&all, 0) {
            let _ = fs::remove_file(&temporary);
            return Err(error);
        }
        file.sync_all()?;
        fs::rename(&temporary, &self.path)?;
        self.path.parent().map_or(Ok(()), sync_dir)?;
        (self.file, self.salt) = (Some(Arc::new(file)), salt);
        self.length = all.len() as u64;
        self.compact_from = COMPACT_FROM.max(self.length * 2);
        self.unwritten.clear();
        self.unsynced = false;
        Ok(())
    }

    /// The file, if something in it is not synced; the caller syncs it.
    pub(super) fn take_unsynced(&mut self) -> Option<Arc<File>> {
        self.file.clone().filter(|_| std::mem::take(&mut self.unsynced))
    }
}

/// Reads all entries, going on after damaged ones; gives where the last whole one ends.
fn read_all(
    bytes: &[u8],
    salt: u64,
    consumers: &mut BTreeMap<String, Consumer>,
    (path, notices): (&Path, &mut Vec<String>),
) -> usize {
    let mut at = FILE_HEAD;
    while at < bytes.len() {
        if let Some(body) = read_entry(&bytes[at..], salt) {
            if replay(body, consumers).is_none() {
                notices.push(format!("{}: an entry at byte {at} makes no sense", path.display()));
            }
            at += HEAD + body.len();
            continue;
        }
        let next = memchr::memmem::find_iter(&bytes[at + 1..], &mark(salt))
            .map(|found| at + 1 + found)
            .find(|&found| read_entry(&bytes[found..], salt).is_some());
        let Some(next) = next else {
            let rest = &bytes[at..];
            if rest.iter().any(|&byte| byte != 0) {
                notices.push(format!("{}: the last {} bytes are no whole entry", path.display(), rest.len()));
            }
            break;
        };
        notices.push(format!(
            "{}: {} bytes at {at} are damaged and left out, what follows is kept",
            path.display(),
            next - at
        ));
        at = next;
    }
    at
}

/// The body of the entry that `bytes` begin with, if it is whole.
fn read_entry(bytes: &[u8], salt: u64) -> Option<&[u8]> {
    let (head, rest) = bytes.split_at_checked(HEAD).filter(|(head, _)| head[..4] == mark(salt))?;
    let length = u32::from_le_bytes(head[4..8].try_into().ok()?) as usize;
    let body = rest.get(..length).filter(|body| body.len() >= 3)?;
    (xxh3_64_with_seed(body, salt).to_le_bytes() == head[8..]).then_some(body)
}

fn replay(body: &[u8], consumers: &mut BTreeMap<String, Consumer>) -> Option<()> {
    let (kind, rest) = body.split_first()?;
    let (length, rest) = rest.split_at_checked(2)?;
    let (name, rest) = rest.split_at_checked(u16::from_le_bytes(length.try_into().ok()?) as usize)?;
    let name = std::str::from_utf8(name).ok()?;
    match *kind {
        CREATED => {
            let creation: Creation = serde_json::from_slice(rest).ok()?;
            let fresh = Consumer::bare(name, creation.config, creation.created);
            match consumers.get_mut(name) {
                Some(known) => known.replay_config(fresh.config),
                None => drop(consumers.insert(name.to_owned(), fresh)),
            }
        }
        DELETED => drop(consumers.remove(name)),
        CHANGED => Ledger::replay(rest, consumers.get_mut(name)?)?,
        _ => return None,
    }
    Some(())
}

impl Consumer {
    /// Takes over a configuration that was read from disk.
    fn replay_config(&mut self, config: ConsumerConfig) {
        self.reconfigure(config, &mut Store::in_memory(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LAYOUT: Layout = Layout { segment_bytes: 1 << 20, journal: false, copies: false };

    fn names(dir: &Path) -> (Vec<String>, Vec<String>) {
        let found = ConsumerLog::open(dir, 5, LAYOUT).unwrap();
        (found.consumers.into_keys().collect(), found.notices)
    }

    /// A file that tells of three consumers; where the entry of the second one is.
    fn three(dir: &Path) -> (Vec<u8>, std::ops::Range<usize>) {
        let mut log = ConsumerLog::open(dir, 5, LAYOUT).unwrap().log;
        let mut ends = Vec::new();
        for name in ["A", "B", "C"] {
            log.begin().unwrap();
            log.created(&Consumer::bare(name, ConsumerConfig::default(), 7));
            log.flush(&mut Vec::new(), &BTreeMap::new()).unwrap();
            ends.push(log.length as usize);
        }
        (fs::read(dir.join("consumers")).unwrap(), ends[0]..ends[1])
    }

    #[test]
    fn any_flipped_bit_of_an_entry_loses_that_entry_alone_and_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let (whole, second) = three(dir.path());
        for bit in second.start * 8..second.end * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            fs::write(dir.path().join("consumers"), &bytes).unwrap();
            let (names, notices) = names(dir.path());
            assert_eq!(names, ["A", "C"], "bit {bit}");
            assert_eq!(notices.len(), 1, "bit {bit}: {notices:?}");
        }
    }

    #[test]
    fn a_last_entry_cut_anywhere_loses_itself_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (whole, second) = three(dir.path());
        for length in second.end..whole.len() {
            fs::write(dir.path().join("consumers"), &whole[..length]).unwrap();
            assert_eq!(names(dir.path()).0, ["A", "B"], "cut at {length}");
        }
    }

    #[test]
    fn a_damaged_head_or_a_later_version_is_refused_and_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let (whole, _) = three(dir.path());
        for at in 0..FILE_HEAD {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            fs::write(dir.path().join("consumers"), &bytes).unwrap();
            let error = ConsumerLog::open(dir.path(), 5, LAYOUT).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "byte {at}");
            assert_eq!(fs::read(dir.path().join("consumers")).unwrap(), bytes, "byte {at}: it was touched");
        }
    }
}
