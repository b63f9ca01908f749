//! Syncs files beside the event loop, at intervals.

use super::settings::SyncPolicy;
use super::streams::Streams;
use crate::clock::Nanos;
use std::fs::File;
use std::io;
use std::thread::JoinHandle;
use std::time::Duration;

/// Syncs at intervals; a failure ends the server, since what was acknowledged can't be promised any more.
#[derive(Debug)]
pub(super) struct Syncer {
    interval: Option<Duration>,
    before_acks: bool,
    due: Nanos,
    running: Option<JoinHandle<io::Result<()>>>,
}

fn sync(files: &[File]) -> io::Result<()> {
    files.iter().try_for_each(File::sync_data)
}

impl Syncer {
    /// Syncs as told; never, if there are no streams.
    pub(super) fn new(policy: Option<SyncPolicy>, now: Nanos) -> Self {
        let interval = match policy {
            Some(SyncPolicy::Interval(interval)) => Some(interval),
            Some(SyncPolicy::Always) | None => None,
        };
        let before_acks = policy == Some(SyncPolicy::Always);
        let due = interval.map_or(Nanos::MAX, |interval| now + interval.as_nanos() as Nanos);
        Self { interval, before_acks, due, running: None }
    }

    /// Whether syncs come before acknowledgements, not at intervals.
    pub(super) fn is_before_acks(&self) -> bool {
        self.before_acks
    }

    /// Begins to sync if it is time to, and looks at what came of the last time.
    ///
    /// # Errors
    /// The last sync failed.
    pub(super) fn tick(&mut self, now: Nanos, streams: &mut Streams) -> io::Result<()> {
        if self.running.as_ref().is_some_and(JoinHandle::is_finished)
            && let Some(thread) = self.running.take()
        {
            thread.join().unwrap_or_else(|_| Err(io::Error::other("the syncing thread panicked")))?;
        }
        let Some(interval) = self.interval.filter(|_| now >= self.due && self.running.is_none()) else {
            return Ok(());
        };
        self.due = now + interval.as_nanos() as Nanos;
        let files = streams.take_unsynced()?;
        if !files.is_empty() {
            self.running = Some(std::thread::spawn(move || sync(&files)));
        }
        Ok(())
    }
}
