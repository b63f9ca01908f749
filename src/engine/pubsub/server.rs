//! The engine as a whole: its places, and its event loops.

use super::door::Door;
use super::error::EngineError;
use super::listen::Listen;
use super::log::Cursor;
use super::settings::Settings;
use super::state::{Access, Founding};
use super::together::{self, MOST_THREADS, Peers, Shared};
use super::worker::{CALLED, Worker};
use crate::clock;
use crate::engine::tls::TlsFiles;
use crate::prng::Prng;
use mio::Poll;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::thread;

/// What the engine is started with.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen; at least one.
    pub listen: Vec<Listen>,
    /// The only user.
    pub user: String,
    /// What it has to say; nothing if anybody may come in.
    pub password: Option<Vec<u8>>,
    /// The server's identity for `tls:` places.
    pub tls: Option<TlsFiles>,
    /// Event loops, each on a thread of its own: 1 to 64.
    pub threads: NonZeroUsize,
}

/// A running engine.
#[derive(Debug)]
pub struct Server {
    workers: Vec<Worker>,
    places: Vec<Listen>,
}

impl Server {
    /// Opens all places, or none.
    ///
    /// # Errors
    /// A place can't be had or must not be, or the system refuses what the loops need.
    pub fn bind(options: Options) -> Result<Self, EngineError> {
        check(&options)?;
        let tls = options.tls.as_ref().map(TlsFiles::load).transpose()?;
        let mut polls = Vec::new();
        let mut wakers = Vec::new();
        for _ in 0..options.threads.get().min(MOST_THREADS) {
            let poll = Poll::new()?;
            wakers.push(together::waker(&poll, CALLED)?);
            polls.push(poll);
        }
        let (door, places) = Door::new(polls[0].registry(), &options.listen, tls)?;
        let started = clock::unix_nanos();
        let shared = Arc::new(Shared::new(wakers));
        let founding = Founding {
            settings: settings_for(&places),
            access: Access { user: options.user, password: options.password },
            started,
            run_id: run_id(started),
            shared: Arc::clone(&shared),
        };
        let (start, alone) = (Cursor::start(), polls.len() == 1);
        let mut door = Some(door);
        let worker = |(me, poll)| {
            let peers = (!alone).then(|| Peers::new(me, Arc::clone(&shared), start.clone()));
            Worker::new(me, poll, door.take(), founding.clone(), peers)
        };
        let workers = polls.into_iter().enumerate().map(worker).collect();
        Ok(Self { workers, places })
    }

    /// Where it listens, with the ports that were picked.
    #[must_use]
    pub fn places(&self) -> &[Listen] {
        &self.places
    }

    /// Serves until SIGTERM or SIGINT.
    ///
    /// # Errors
    /// The system refuses to wait for events.
    pub fn run(&mut self) -> Result<(), EngineError> {
        let Some((first, others)) = self.workers.split_first_mut() else { return Ok(()) };
        thread::scope(|scope| {
            let threads: Vec<_> = others.iter_mut().map(|worker| scope.spawn(|| worker.run())).collect();
            let mut ended = first.run();
            for thread in threads {
                match thread.join() {
                    Ok(done) => ended = ended.and(done),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            ended
        })
    }
}

/// Whether these places may be listened on.
fn check(options: &Options) -> Result<(), EngineError> {
    for listen in &options.listen {
        if options.password.is_none() && !listen.is_local() {
            return Err(EngineError::Unprotected { at: listen.to_string() });
        }
        if matches!(listen, Listen::Tcp { tls: true, .. }) && options.tls.is_none() {
            return Err(EngineError::NoCertificate { at: listen.to_string() });
        }
    }
    Ok(())
}

fn settings_for(places: &[Listen]) -> Settings {
    let mut settings = Settings::default();
    let mut hosts = Vec::new();
    for place in places {
        match place {
            Listen::Tcp { address, .. } => {
                hosts.push(address.ip().to_string());
                if settings.port == 0 {
                    settings.port = address.port();
                }
            }
            Listen::Unix(path) => settings.unix_socket = path.display().to_string(),
        }
    }
    settings.bind = hosts.join(" ");
    settings
}

/// 40 hexadecimal digits that differ from run to run.
fn run_id(started: u64) -> String {
    let mut prng = Prng::new(started ^ (u64::from(std::process::id()) << 40));
    let digits: String = (0..3).map(|_| format!("{:016x}", prng.next_u64())).collect();
    digits[..40].to_owned()
}
