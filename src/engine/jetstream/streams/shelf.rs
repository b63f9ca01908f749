//! The directory of the file streams: one directory each, with `meta`, `consumers` and segments.

use super::consumer_log::{ConsumerLog, FoundConsumers};
use super::stream::Stream;
use super::stream_config::{StorageKind, StreamConfig};
use crate::clock::{Clock, Nanos};
use crate::engine::jetstream::error::EngineError;
use crate::engine::jetstream::store::{
    FileMedium, Layout, Recovered, Store, read_checked, replace_file, spare_descriptors, sync_dir,
};
use serde::{Deserialize, Serialize};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// What the names of directories begin with that are on their way out, or in; no stream's name can.
const LEAVING: &str = ".leaving.";
const COMING: &str = ".coming";
/// What the names of directories begin with that hold the streams of an account other than the global one.
const ACCOUNT: &str = ".account.";

/// What is written of a stream.
#[derive(Debug, Serialize, Deserialize)]
struct Meta {
    created: u64,
    config: StreamConfig,
}

/// The directory.
#[derive(Debug)]
pub(super) struct Shelf {
    dir: PathBuf,
    /// By account; the first one is the directory itself.
    dirs: Vec<PathBuf>,
    layout: Layout,
    seed: u64,
    removed: u64,
}

fn refused(path: &Path, why: impl ToString) -> EngineError {
    EngineError::Store { path: path.to_owned(), why: why.to_string() }
}

impl Shelf {
    /// Opens the directory, making it if it is missing.
    ///
    /// # Errors
    /// It can't be used.
    pub(super) fn open<'a>(
        (dir, accounts): (&Path, impl Iterator<Item = &'a str>),
        seed: u64,
        layout: Layout,
    ) -> Result<Self, EngineError> {
        let named = accounts.skip(1).map(|name| dir.join(format!("{ACCOUNT}{name}")));
        let dirs: Vec<PathBuf> = std::iter::once(dir.to_owned()).chain(named).collect();
        for dir in &dirs {
            fs::create_dir_all(dir).map_err(|error| refused(dir, error))?;
        }
        if dirs.len() > 1 {
            sync_dir(dir).map_err(|error| refused(dir, error))?;
        }
        if let Some(parent) = dir.parent() {
            sync_dir(parent).map_err(|error| refused(parent, error))?;
        }
        Ok(Self { dir: dir.to_owned(), dirs, layout, seed, removed: 0 })
    }

    fn next_seed(&mut self) -> u64 {
        self.seed = crate::prng::mix(self.seed.wrapping_add(1));
        self.seed
    }

    /// Opens all streams; gives what people should know, too.
    ///
    /// # Errors
    /// A stream can't be read for sure. It is left as it is: nothing is ever deleted for being unreadable.
    pub(super) fn load(
        &mut self,
        (now, unix): (Nanos, u64),
    ) -> Result<(Vec<Stream>, Vec<String>), EngineError> {
        let (mut streams, mut notices) = (Vec::new(), Vec::new());
        for (account, dir) in (0..).zip(self.dirs.clone()) {
            let entries = fs::read_dir(&dir).map_err(|error| refused(&dir, error))?;
            let mut paths: Vec<PathBuf> =
                entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect();
            paths.sort();
            for path in paths.into_iter().filter(|path| path.is_dir()) {
                let name =
                    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
                let stranger = name.starts_with(ACCOUNT) && !self.dirs.contains(&path);
                if stranger {
                    notices.push(format!("{}: no such account, left alone", path.display()));
                } else if name.starts_with(ACCOUNT) {
                    // It has its own turn.
                } else if name.starts_with(LEAVING) || name == COMING {
                    fs::remove_dir_all(&path).map_err(|error| refused(&path, error))?;
                } else if let Some(mut stream) = self.load_stream(&path, (now, unix), &mut notices)? {
                    stream.account = account;
                    streams.push(stream);
                }
            }
        }
        Ok((streams, notices))
    }

    fn load_stream(
        &mut self,
        dir: &Path,
        (now, unix): (Nanos, u64),
        notices: &mut Vec<String>,
    ) -> Result<Option<Stream>, EngineError> {
        let meta = match read_checked(&dir.join("meta")) {
            Ok(Some(meta)) => meta,
            Ok(None) => {
                return Err(refused(dir, "its meta file is damaged; mend it or move the directory away"));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let holds = fs::read_dir(dir)
                    .map_err(|error| refused(dir, error))?
                    .flatten()
                    .any(|entry| entry.path().extension().is_some_and(|extension| extension == "seg"));
                if holds {
                    return Err(refused(
                        dir,
                        "it has segments but no meta file; mend it or move the directory away",
                    ));
                }
                notices.push(format!("{}: no stream, left alone", dir.display()));
                return Ok(None);
            }
            Err(error) => return Err(refused(dir, error)),
        };
        let meta: Meta = serde_json::from_slice(&meta).map_err(|error| refused(dir, error))?;
        let clock = Clock::real();
        let (mut stream, scanned) =
            self.open_stream(dir, meta, notices).map_err(|error| refused(dir, error))?;
        for consumer in stream.consumers.values_mut() {
            consumer.restored(now, &mut stream.store);
            consumer.begin_pause(unix);
            consumer.begin_pacing(&stream.config, (stream.store.books.last, now));
        }
        stream.written = stream.store.books.last;
        stream.remember_ids(unix);
        stream.remember_lifetimes();
        stream.recall_feeds();
        stream.enforce_all(unix, true);
        notices.extend(stream.store.take_notices());
        notices.push(format!(
            "Restored {} messages and {} consumers for stream '{}' in {:.3} s, {} bytes read",
            stream.store.books.messages,
            stream.consumers.len(),
            stream.config.name,
            clock.now() as f64 / 1e9,
            scanned
        ));
        Ok(Some(stream))
    }

    fn open_stream(
        &mut self,
        dir: &Path,
        meta: Meta,
        notices: &mut Vec<String>,
    ) -> io::Result<(Stream, u64)> {
        let begin = (meta.config.first_seq, self.next_seed());
        let layout = Layout { copies: meta.config.origins().next().is_some(), ..self.layout };
        let Recovered { medium, books, notices: found, scanned } = FileMedium::open(dir, begin, layout)?;
        notices.extend(found);
        let seed = self.next_seed();
        let FoundConsumers { log, consumers, notices: found } = ConsumerLog::open(dir, seed, self.layout)?;
        notices.extend(found);
        let mut store = Store::in_files(medium, books);
        store.compress(meta.config.is_compressed());
        let mut stream = Stream::new(meta.config, meta.created, store);
        stream.log = Some(log);
        stream.consumers = consumers;
        stream.dir = Some(dir.to_owned());
        Ok((stream, scanned))
    }

    /// Makes a stream, in files if it wants them.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn create(&mut self, account: u32, config: StreamConfig, created: u64) -> io::Result<Stream> {
        if config.storage == StorageKind::Memory {
            let store = Store::in_memory(config.first_seq);
            let mut stream = Stream::new(config, created, store);
            stream.account = account;
            return Ok(stream);
        }
        spare_descriptors(&self.dir)?;
        let dir = self.dirs[account as usize].join(&config.name);
        if dir.exists() {
            return Err(io::Error::new(
                io::ErrorKind::AlreadyExists,
                format!("{} is in the way", dir.display()),
            ));
        }
        let mut made = self.make(&dir, Meta { created, config });
        if let Ok(stream) = &mut made {
            stream.account = account;
        }
        if made.is_err() {
            // Half a stream is in the way of a whole one; nobody was told of it.
            let _ = fs::remove_dir_all(&dir);
        }
        made
    }

    /// A stream is there with its configuration or not at all, whenever the server ends.
    fn make(&mut self, dir: &Path, meta: Meta) -> io::Result<Stream> {
        let coming = self.dir.join(COMING);
        if coming.exists() {
            fs::remove_dir_all(&coming)?;
        }
        fs::create_dir(&coming)?;
        replace_file(&coming.join("meta"), &serde_json::to_vec(&meta)?)?;
        fs::rename(&coming, dir)?;
        sync_dir(dir.parent().unwrap_or(&self.dir))?;
        let (stream, _) = self.open_stream(dir, meta, &mut Vec::new())?;
        Ok(stream)
    }

    /// Writes a stream's configuration.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn save(&self, stream: &Stream) -> io::Result<()> {
        let Some(dir) = &stream.dir else { return Ok(()) };
        let meta = Meta { created: stream.created, config: stream.config.clone() };
        replace_file(&dir.join("meta"), &serde_json::to_vec(&meta)?)
    }

    /// Removes a stream's directory: at once for whoever looks, the files after that.
    ///
    /// # Errors
    /// The disk's.
    pub(super) fn remove(&mut self, stream: Stream) -> io::Result<()> {
        let Some(dir) = stream.dir.clone() else { return Ok(()) };
        drop(stream);
        self.removed += 1;
        let leaving = self.dir.join(format!("{LEAVING}{}", self.removed));
        fs::rename(&dir, &leaving)?;
        sync_dir(dir.parent().unwrap_or(&self.dir))?;
        match fs::remove_dir_all(leaving) {
            // A segment was being compressed; what is left goes at the next start.
            Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => Ok(()),
            other => other,
        }
    }
}
