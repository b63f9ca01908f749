//! The file in which a stream's consumers are kept: what they are, and each change of their state, appended. It is
//! written anew when it has grown.

use super::consumer::Consumer;
use super::consumer_config::ConsumerConfig;
use super::ledger::Ledger;
use crate::engine::jetstream::store::{Store, sync_dir};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64;

/// Bytes after which the file is written anew.
const COMPACT_FROM: u64 = 16 * 1024 * 1024;
/// Bytes before an entry: its length and its hash.
const HEAD: usize = 12;

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
    file: File,
    length: u64,
    unwritten: Vec<u8>,
    unsynced: bool,
}

fn entry(out: &mut Vec<u8>, kind: u8, name: &str, rest: &[u8]) {
    let mut body = vec![kind];
    body.extend_from_slice(&(name.len() as u16).to_le_bytes());
    body.extend_from_slice(name.as_bytes());
    body.extend_from_slice(rest);
    out.extend_from_slice(&(body.len() as u32).to_le_bytes());
    out.extend_from_slice(&xxh3_64(&body).to_le_bytes());
    out.extend_from_slice(&body);
}

fn creation(consumer: &Consumer) -> Vec<u8> {
    let creation =
        Creation { name: consumer.name.clone(), created: consumer.created, config: consumer.config.clone() };
    serde_json::to_vec(&creation).unwrap_or_default()
}

impl ConsumerLog {
    /// Opens or makes the file; gives the consumers it tells of, and what people should know.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn open(dir: &Path) -> io::Result<(Self, BTreeMap<String, Consumer>, Vec<String>)> {
        let path = dir.join("consumers");
        let bytes = match fs::read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
            other => other?,
        };
        let file = OpenOptions::new().create(true).truncate(false).read(true).write(true).open(&path)?;
        let mut consumers = BTreeMap::new();
        let (mut notices, mut at) = (Vec::new(), 0);
        while at < bytes.len() {
            let Some((body, good)) = read_entry(&bytes[at..]) else {
                notices.push(format!(
                    "{}: the last {} bytes are no whole entry",
                    path.display(),
                    bytes.len() - at
                ));
                break;
            };
            if !good || replay(body, &mut consumers).is_none() {
                notices.push(format!("{}: an entry at byte {at} is damaged and left out", path.display()));
            }
            at += HEAD + body.len();
        }
        file.set_len(at as u64)?;
        sync_dir(dir)?;
        Ok((
            Self { path, file, length: at as u64, unwritten: Vec::new(), unsynced: true },
            consumers,
            notices,
        ))
    }

    /// Notes that a consumer was made or set up anew.
    pub(super) fn created(&mut self, consumer: &Consumer) {
        entry(&mut self.unwritten, CREATED, &consumer.name, &creation(consumer));
    }

    /// Notes that a consumer is gone.
    pub(super) fn deleted(&mut self, name: &str) {
        entry(&mut self.unwritten, DELETED, name, b"");
    }

    /// Notes what changed of a consumer since the last time.
    pub(super) fn changed(&mut self, consumer: &mut Consumer) {
        let changes = consumer.ledger.take();
        if !changes.is_empty() {
            entry(&mut self.unwritten, CHANGED, &consumer.name, &changes);
        }
    }

    /// Writes what was noted, and syncs if asked to.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn flush(&mut self, sync: bool, consumers: &BTreeMap<String, Consumer>) -> io::Result<()> {
        if !self.unwritten.is_empty() {
            if self.length + self.unwritten.len() as u64 > COMPACT_FROM {
                return self.compact(consumers);
            }
            self.file.write_all_at(&self.unwritten, self.length)?;
            self.length += self.unwritten.len() as u64;
            self.unwritten.clear();
            self.unsynced = true;
        }
        if sync && self.unsynced {
            self.file.sync_data()?;
            self.unsynced = false;
        }
        Ok(())
    }

    /// Writes the file anew with the whole state of all consumers.
    fn compact(&mut self, consumers: &BTreeMap<String, Consumer>) -> io::Result<()> {
        let mut all = Vec::new();
        for consumer in consumers.values() {
            entry(&mut all, CREATED, &consumer.name, &creation(consumer));
            entry(&mut all, CHANGED, &consumer.name, &Ledger::whole(consumer));
        }
        let temporary = self.path.with_extension("new");
        let file = OpenOptions::new().create(true).truncate(true).read(true).write(true).open(&temporary)?;
        file.write_all_at(&all, 0)?;
        file.sync_all()?;
        fs::rename(&temporary, &self.path)?;
        self.path.parent().map_or(Ok(()), sync_dir)?;
        self.file = file;
        self.length = all.len() as u64;
        self.unwritten.clear();
        self.unsynced = false;
        Ok(())
    }

    /// The file, if something in it is not synced; the caller syncs it.
    ///
    /// # Errors
    /// No more descriptors.
    pub(super) fn take_unsynced(&mut self) -> io::Result<Option<File>> {
        std::mem::take(&mut self.unsynced).then(|| self.file.try_clone()).transpose()
    }
}

/// The entry that `bytes` begins with, and whether its hash is right; `None` if it is not whole.
fn read_entry(bytes: &[u8]) -> Option<(&[u8], bool)> {
    let (head, rest) = bytes.split_at_checked(HEAD)?;
    let length = u32::from_le_bytes(head[..4].try_into().ok()?) as usize;
    let body = rest.get(..length).filter(|body| body.len() >= 3)?;
    Some((body, xxh3_64(body).to_le_bytes() == head[4..]))
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
