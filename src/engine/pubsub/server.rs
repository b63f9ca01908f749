//! The event loop: sockets in, sockets out, and the clock.

use super::chunks::CHUNK;
use super::client::Client;
use super::error::EngineError;
use super::listen::{Listen, Listener};
use super::registry::ClientKey;
use super::settings::Settings;
use super::state::{Access, Engine, LONG};
use super::stream::Stream;
use super::sys;
use super::tls::{TlsFiles, TlsStream};
use crate::clock::{self, Clock, Nanos};
use crate::prng::Prng;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustls::ServerConfig;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::time::Duration;

/// The file that becomes readable when the process is asked to end.
const SIGNALS: Token = Token(usize::MAX - 1);
/// Tokens from here on are listeners; below are clients.
const LISTENERS: usize = 1 << 40;
/// Events taken from the system at once.
const EVENTS: usize = 1024;
/// Connections accepted in one step at most, so that a storm of them does not starve the others.
const ACCEPTS: usize = 256;
/// After this many bytes read, what they brought is written out before more is read: it is still in the cache.
const FLUSH_AFTER: usize = CHUNK;
/// Rates are sampled and limits looked at this often.
const HOUSEKEEPING: Nanos = 100_000_000;
/// Open files the engine needs beside its clients.
const OWN_FILES: u64 = 64;

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
}

/// A running engine.
#[derive(Debug)]
pub struct Server {
    poll: Poll,
    listeners: Vec<Listener>,
    places: Vec<Listen>,
    tls: Option<Arc<ServerConfig>>,
    signals: File,
    clock: Clock,
    engine: Engine,
    /// Clients whose sockets may have more to read.
    readable: Vec<ClientKey>,
    housekeeping_at: Nanos,
    stopping: bool,
}

impl Server {
    /// Opens all places, or none.
    ///
    /// # Errors
    /// A place can't be had or must not be, or the system refuses what the loop needs.
    pub fn bind(options: Options) -> Result<Self, EngineError> {
        let signals = sys::termination_signals()?;
        let tls = options.tls.as_ref().map(TlsFiles::load).transpose()?;
        let poll = Poll::new()?;
        poll.registry().register(&mut SourceFd(&signals.as_raw_fd()), SIGNALS, Interest::READABLE)?;
        let (mut listeners, mut places) = (Vec::new(), Vec::new());
        for listen in &options.listen {
            if options.password.is_none() && !listen.is_local() {
                return Err(EngineError::Unprotected { at: listen.to_string() });
            }
            if matches!(listen, Listen::Tcp { tls: true, .. }) && tls.is_none() {
                return Err(EngineError::NoCertificate { at: listen.to_string() });
            }
            let (mut listener, place) = Listener::open(listen)?;
            let token = Token(LISTENERS + listeners.len());
            match &mut listener {
                Listener::Tcp { socket, .. } => {
                    poll.registry().register(socket, token, Interest::READABLE)?
                }
                Listener::Unix { socket, .. } => {
                    poll.registry().register(socket, token, Interest::READABLE)?
                }
            }
            listeners.push(listener);
            places.push(place);
        }
        let started = clock::unix_nanos();
        let settings = settings_for(&places);
        let access = Access { user: options.user, password: options.password };
        let engine = Engine::new(settings, access, started, run_id(started));
        Ok(Self {
            poll,
            listeners,
            places,
            tls,
            signals,
            clock: Clock::real(),
            engine,
            readable: Vec::new(),
            housekeeping_at: 0,
            stopping: false,
        })
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
        let mut events = Events::with_capacity(EVENTS);
        while !self.stopping {
            let timeout = self.patience();
            match self.poll.poll(&mut events, Some(timeout)) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                done => done?,
            }
            self.engine.now = self.clock.now();
            self.engine.out.stats.loops += 1;
            for event in &events {
                self.note(event);
            }
            self.read_all();
            self.stand_still();
            self.engine.out.flush_dirty();
            self.close_doomed();
            self.keep_house();
        }
        // What is queued and fits the sockets still goes out; they close when they are dropped.
        self.engine.out.flush_dirty();
        Ok(())
    }

    /// How long to wait for events.
    fn patience(&self) -> Duration {
        if self.readable.is_empty() {
            Duration::from_nanos(self.housekeeping_at.saturating_sub(self.clock.now()))
        } else {
            Duration::ZERO
        }
    }

    fn note(&mut self, event: &mio::event::Event) {
        let token = event.token();
        if token == SIGNALS {
            // Read or not, the process ends.
            let _ = io::Read::read(&mut &self.signals, &mut [0; 128]);
            self.stopping = true;
            return;
        }
        if token.0 >= LISTENERS {
            return self.accept(token.0 - LISTENERS);
        }
        let key = token.0 as ClientKey;
        let Some(client) = self.engine.out.clients.get_mut(token.0) else { return };
        client.hung_up |= event.is_read_closed() || event.is_error();
        if (event.is_readable() || event.is_read_closed() || event.is_error()) && !client.readable {
            client.readable = true;
            self.readable.push(key);
        }
        if event.is_writable() && (!client.writable || client.stream.holds_back()) {
            client.writable = true;
            match client.stream.push() {
                Ok(()) => self.engine.out.flush(key),
                Err(_) => self.engine.out.doom(key),
            }
        }
    }

    fn accept(&mut self, index: usize) {
        for _ in 0..ACCEPTS {
            let accepted = match &self.listeners[index] {
                Listener::Tcp { socket, tls } => socket.accept().map(|(stream, _)| {
                    // Without it small replies would wait for the other end's acknowledgement.
                    let _ = stream.set_nodelay(true);
                    sys::keep_alive(&stream, self.engine.settings.keepalive);
                    if *tls { self.encrypted(stream) } else { Some(Stream::Tcp(stream)) }
                }),
                Listener::Unix { socket, .. } => {
                    socket.accept().map(|(stream, _)| Some(Stream::Unix(stream)))
                }
            };
            match accepted {
                Ok(Some(stream)) => self.admit(stream),
                Ok(None) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // A connection that ended meanwhile, or no file left for it: the others go on.
                Err(_) => {}
            }
        }
        // There may be more, and no edge will tell.
        self.rearm(index);
    }

    fn rearm(&mut self, index: usize) {
        let (registry, token) = (self.poll.registry(), Token(LISTENERS + index));
        let armed = match &mut self.listeners[index] {
            Listener::Tcp { socket, .. } => registry.reregister(socket, token, Interest::READABLE),
            Listener::Unix { socket, .. } => registry.reregister(socket, token, Interest::READABLE),
        };
        self.stopping |= armed.is_err();
    }

    fn encrypted(&self, stream: mio::net::TcpStream) -> Option<Stream> {
        let tls = TlsStream::new(stream, Arc::clone(self.tls.as_ref()?)).ok()?;
        Some(Stream::Tls(Box::new(tls)))
    }

    fn admit(&mut self, mut stream: Stream) {
        let wanted = self.engine.settings.max_clients as u64 + OWN_FILES;
        let possible = sys::raise_file_limit(wanted).saturating_sub(OWN_FILES) as usize;
        if self.engine.out.clients.len() >= self.engine.settings.max_clients.min(possible) {
            self.engine.out.stats.rejected += 1;
            let text = b"-ERR max number of clients reached\r\n";
            // The connection closes whether the client hears why or not.
            let _ = stream.write(&[io::IoSlice::new(text)]);
            return;
        }
        let now = self.engine.now;
        let key = self.engine.admit(|id, open| Client::new(stream, id, open, now));
        let client = self.engine.out.client_mut(key);
        if client.stream.register(self.poll.registry(), Token(key as usize)).is_err() {
            self.engine.out.doom(key);
        }
    }

    /// Reads once from every socket that may have something.
    fn read_all(&mut self) {
        let mut since_flush = 0;
        let queue = std::mem::take(&mut self.readable);
        for key in queue {
            let (taken, more) = self.read(key);
            if more {
                self.readable.push(key);
            } else if let Some(client) = self.engine.out.clients.get_mut(key as usize) {
                client.readable = false;
            }
            since_flush += taken;
            if since_flush >= FLUSH_AFTER {
                self.engine.out.flush_dirty();
                since_flush = 0;
            }
        }
    }

    /// Reads from one socket and executes what came: how much it was, and whether there may be more.
    fn read(&mut self, key: ClientKey) -> (usize, bool) {
        let out = &mut self.engine.out;
        let Some(client) = out.clients.get_mut(key as usize) else { return (0, false) };
        if client.doomed || client.closing {
            return (0, false);
        }
        let start = std::mem::take(&mut client.inbox_filled);
        let mut buf = std::mem::take(&mut client.inbox);
        if start <= LONG {
            let mut fresh = out.chunks.fresh();
            fresh[..start].copy_from_slice(&buf[..start]);
            buf = fresh;
        } else if start == buf.len() {
            buf.resize(2 * start, 0);
        }
        let room = buf.len() - start;
        out.stats.reads += 1;
        match client.stream.read(&mut buf[start..]) {
            Ok(taken) if taken > 0 => {
                out.stats.bytes_in += taken as u64;
                client.bytes_in += taken as u64;
                client.active_at = self.engine.now;
                let more = taken == room || !client.stream.short_read_is_last() || client.hung_up;
                self.engine.ingest(key, buf, start + taken);
                (taken, more)
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                // Nothing came: what was begun waits on.
                client.inbox_filled = start;
                if start > LONG {
                    client.inbox = buf;
                } else {
                    client.inbox = buf[..start].to_vec();
                    out.chunks.recycle(buf);
                }
                (0, false)
            }
            _ => {
                out.chunks.recycle(buf);
                out.doom(key);
                (0, false)
            }
        }
    }

    fn close_doomed(&mut self) {
        while let Some(key) = self.engine.out.doomed.pop() {
            let mut client = self.engine.dismiss(key);
            if client.readable {
                self.readable.retain(|&other| other != key);
            }
            // The descriptor leaves the poll when it closes, at the latest.
            let _ = client.stream.deregister(self.poll.registry());
        }
    }

    /// What happens by time alone.
    fn keep_house(&mut self) {
        let now = self.engine.now;
        if now < self.housekeeping_at {
            return;
        }
        let seconds = now.saturating_sub(self.housekeeping_at.saturating_sub(HOUSEKEEPING)) as f64 / 1e9;
        self.housekeeping_at = now + HOUSEKEEPING;
        self.engine.keep_house(seconds);
        self.close_doomed();
    }

    /// DEBUG SLEEP: nobody is served for a while.
    fn stand_still(&mut self) {
        loop {
            let left = self.engine.asleep_until.saturating_sub(self.clock.now());
            if left == 0 {
                return;
            }
            std::thread::park_timeout(Duration::from_nanos(left));
        }
    }
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
