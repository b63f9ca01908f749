//! What is done beside the event loop for the streams' files: syncs at intervals, upkeep, and with `sync = always` the
//! node's journal, whose one sync acknowledges all that wait.

use super::settings::SyncPolicy;
use super::store::{Journal, Position, Upkeep};
use super::streams::{Outbox, Streams};
use crate::clock::Nanos;
use mio::Waker;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

/// Bytes that may gather for the journal while it syncs; then the event loop waits for it.
const GATHER: usize = 64 * 1024 * 1024;
/// How long a batch waits for as many as were acknowledged last, in nanoseconds: whoever was answered is likely
/// to publish again, and one sync is to do for all of them.
const LINGER: Nanos = 150_000;

/// Looks after the files; a failure ends the server, since what was acknowledged can't be promised any more.
#[derive(Debug)]
pub(super) struct Syncer {
    interval: Option<Duration>,
    due: Nanos,
    running: Option<JoinHandle<io::Result<()>>>,
    committer: Option<Committer>,
    waker: Arc<Waker>,
}

/// Whether what is in the outbox may go.
#[derive(Debug)]
pub(super) enum Release {
    /// This may.
    Now(Outbox),
    /// Nothing may, or there is nothing. `soon`: look again at once.
    Nothing { soon: bool },
}

fn carry_out(work: Vec<Upkeep>) -> io::Result<()> {
    work.into_iter().try_for_each(Upkeep::carry_out)
}

impl Syncer {
    /// Syncs as told; never, if there are no streams.
    pub(super) fn new(
        policy: Option<SyncPolicy>,
        journal: Option<Journal>,
        (now, waker): (Nanos, Arc<Waker>),
    ) -> io::Result<Self> {
        let interval = match policy {
            Some(SyncPolicy::Interval(interval)) => Some(interval),
            Some(SyncPolicy::Always) | None => None,
        };
        let due = interval.map_or(Nanos::MAX, |interval| now + interval.as_nanos() as Nanos);
        let committer = journal.map(|journal| Committer::start(journal, waker.clone())).transpose()?;
        Ok(Self { interval, due, running: None, committer, waker })
    }

    /// Whether more that has come is to be read before a batch is closed.
    pub(super) fn wants_more(&self) -> bool {
        self.committer.as_ref().is_some_and(|committer| !committer.busy)
    }

    /// Whether nothing can be sent before a sync has ended, of which the event loop is told.
    pub(super) fn is_busy(&self) -> bool {
        self.committer.as_ref().is_some_and(|committer| committer.busy || committer.starved)
    }

    /// Begins what is due, and looks at what came of the last time.
    ///
    /// # Errors
    /// A sync failed.
    pub(super) fn tick(&mut self, now: Nanos, streams: &mut Streams) -> io::Result<()> {
        if self.running.as_ref().is_some_and(JoinHandle::is_finished) {
            self.join()?;
        }
        if self.running.is_some() {
            return Ok(());
        }
        let turned = self.committer.as_mut().is_some_and(|committer| std::mem::take(&mut committer.turned));
        let all = now >= self.due || turned;
        if now >= self.due {
            self.due = self.interval.map_or(Nanos::MAX, |interval| now + interval.as_nanos() as Nanos);
        }
        let work = if all || streams.upkeep_wanted() { streams.upkeep(all) } else { Vec::new() };
        if work.is_empty() {
            if let Some(committer) = self.committer.as_mut().filter(|_| turned) {
                committer.other_half_is_free = true;
            }
            return Ok(());
        }
        let (waker, frees) = (self.waker.clone(), turned);
        if let Some(committer) = &mut self.committer {
            committer.frees = frees;
        }
        let begin = move || {
            let done = carry_out(work);
            // If it can't be woken it looks by itself, a little later.
            let _ = waker.wake();
            done
        };
        self.running = Some(std::thread::Builder::new().name("upkeep".to_owned()).spawn(begin)?);
        Ok(())
    }

    fn join(&mut self) -> io::Result<()> {
        let Some(thread) = self.running.take() else { return Ok(()) };
        thread.join().unwrap_or_else(|_| Err(io::Error::other("the syncing thread panicked")))?;
        if let Some(committer) = &mut self.committer {
            committer.other_half_is_free |= std::mem::take(&mut committer.frees);
        }
        Ok(())
    }

    /// What may be sent now; with `sync = always` that is what a sync has made sure of.
    ///
    /// # Errors
    /// A sync failed.
    pub(super) fn release(&mut self, now: Nanos, streams: &mut Streams) -> io::Result<Release> {
        match &mut self.committer {
            Some(committer) => committer.release(now, streams),
            None if streams.outbox.is_empty() => Ok(Release::Nothing { soon: false }),
            None => Ok(Release::Now(std::mem::take(&mut streams.outbox))),
        }
    }
}

/// Work for the journal's thread.
enum Commit {
    /// Write this at this place, and sync.
    Batch(u64, Vec<u8>),
    /// A batch that is too large for the journal: sync the files themselves.
    Files(Vec<Upkeep>),
}

/// The journal: one batch is synced while the next one gathers.
#[derive(Debug)]
struct Committer {
    position: Position,
    to: SyncSender<Commit>,
    from: Receiver<io::Result<()>>,
    busy: bool,
    /// What waits for the batch that is being synced.
    held: Outbox,
    /// Whether all that the other half holds is synced where it belongs.
    other_half_is_free: bool,
    /// Whether it went on with the other half, and the files are to be synced.
    turned: bool,
    /// Whether the upkeep that runs frees the other half.
    frees: bool,
    /// Whether a batch waits for the other half.
    starved: bool,
    /// How many answers were held last, and when they were let go.
    last: (usize, Nanos),
}

fn work(file: &File, commit: Commit) -> io::Result<()> {
    match commit {
        Commit::Batch(at, bytes) => {
            file.write_all_at(&bytes, at)?;
            file.sync_data()
        }
        Commit::Files(all) => carry_out(all),
    }
}

impl Committer {
    fn start(journal: Journal, waker: Arc<Waker>) -> io::Result<Self> {
        let (to, commits) = sync_channel::<Commit>(1);
        let (done, from) = sync_channel(1);
        let Journal { file, position, .. } = journal;
        let run = move || {
            for commit in commits {
                if done.send(work(&file, commit)).is_err() || waker.wake().is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("journal".to_owned()).spawn(run)?;
        Ok(Self {
            position,
            to,
            from,
            busy: false,
            held: Outbox::default(),
            other_half_is_free: true,
            turned: false,
            frees: false,
            starved: false,
            last: (0, 0),
        })
    }

    /// The result of the sync that runs, if it has ended; waits for it if too much has gathered.
    fn result(&mut self, gathered: usize) -> io::Result<bool> {
        let gone = || io::Error::other("the journal's thread is gone");
        let result = if gathered > GATHER {
            Some(self.from.recv().map_err(|_| gone())?)
        } else {
            match self.from.try_recv() {
                Ok(result) => Some(result),
                Err(TryRecvError::Empty) => None,
                Err(TryRecvError::Disconnected) => return Err(gone()),
            }
        };
        let ended = result.is_some();
        result.unwrap_or(Ok(()))?;
        self.busy &= !ended;
        Ok(ended)
    }

    fn release(&mut self, now: Nanos, streams: &mut Streams) -> io::Result<Release> {
        if self.busy {
            if !self.result(streams.batch.len())? {
                return Ok(Release::Nothing { soon: false });
            }
            self.last = (self.held.len(), now);
            if !self.held.is_empty() {
                return Ok(Release::Now(std::mem::take(&mut self.held)));
            }
        }
        if streams.batch.is_empty() {
            return Ok(if streams.outbox.is_empty() {
                Release::Nothing { soon: false }
            } else {
                Release::Now(std::mem::take(&mut streams.outbox))
            });
        }
        let (count, at) = self.last;
        if streams.outbox.len() < count && now < at + LINGER {
            return Ok(Release::Nothing { soon: true });
        }
        self.commit(streams)?;
        Ok(Release::Nothing { soon: false })
    }

    fn commit(&mut self, streams: &mut Streams) -> io::Result<()> {
        let length = streams.batch.len();
        let commit = if Position::takes(length) {
            if !self.position.has_room(length) {
                self.starved = !self.other_half_is_free;
                if self.starved {
                    return Ok(());
                }
                self.position.turn();
                (self.other_half_is_free, self.turned) = (false, true);
            }
            let (at, bytes) = self.position.place(&streams.batch);
            streams.batch.clear();
            Commit::Batch(at, bytes)
        } else {
            streams.batch = Vec::new();
            Commit::Files(streams.upkeep(true))
        };
        self.held = std::mem::take(&mut streams.outbox);
        self.busy = true;
        self.to.send(commit).map_err(|_| io::Error::other("the journal's thread is gone"))
    }
}
