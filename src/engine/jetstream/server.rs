//! The event loop: one thread, run to completion. Each tick reads what is there, carries it out, and writes
//! what came of it.

use super::accept::{Ungreeted, WEB, Web};
use super::error::EngineError;
use super::hub::Hub;
use super::info::Info;
use super::lame_duck::LameDuck;
use super::monitor::Watch;
use super::session::SECOND;
use super::settings::Settings;
use super::streams::{API, Opened, Outbox, Pace, Streams, Times};
use super::sublist::{ClientKey, Member};
use super::syncer::{Release, Syncer};
use crate::clock::{Clock, Nanos};
use crate::engine::descriptors;
use crate::engine::tls::TlsFiles;
use crate::wire::nats::append_error;
use mio::event::Event;
use mio::net::TcpListener;
use mio::{Events, Interest, Poll, Token, Waker};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Bytes read from one socket in one go at most.
const READ: usize = 256 * 1024;
const LISTENER: Token = Token(usize::MAX);
const WAKER: Token = Token(usize::MAX - 1);
/// How often timers are looked at, at least.
const HOUSEKEEPING: Duration = Duration::from_millis(100);
/// The longest a fast producer is held up at a time.
const STALL: Nanos = 10_000_000;
/// How often sockets are looked at again before a sync that acknowledgements wait for.
const DRAINS: usize = 8;
/// Events taken at a time.
const EVENTS: usize = 1024;

/// A producer that is not read because a receiver of its messages is far behind.
#[derive(Debug, Clone, Copy)]
struct Stalled {
    producer: ClientKey,
    receiver: ClientKey,
    until: Nanos,
}

/// The server.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) settings: Settings,
    pub(super) hub: Hub,
    pub(super) clock: Clock,
    pub(super) info: Info,
    pub(super) poll: Poll,
    /// Where clients connect.
    pub(super) address: SocketAddr,
    pub(super) watch: Option<Watch>,
    /// `None` once nobody is let in any more.
    pub(super) listener: Option<TcpListener>,
    pub(super) tls: Option<Arc<rustls::ServerConfig>>,
    /// `None` too once nobody is let in any more.
    pub(super) web: Option<Web>,
    pub(super) random: &'static dyn rustls::crypto::SecureRandom,
    pub(super) next_id: u64,
    /// Clients with bytes to be read.
    ready: Vec<ClientKey>,
    stalled: Vec<Stalled>,
    /// Clients that are not greeted yet.
    pub(super) ungreeted: Vec<Ungreeted>,
    buffer: Vec<u8>,
    housekept: Nanos,
    pub(super) streams: Option<Streams>,
    /// The clocks, as read at the start of the tick.
    pub(super) times: Times,
    pace: Pace,
    syncer: Syncer,
    /// How it ends, once it does.
    pub(super) ends: Option<LameDuck>,
}

/// Ends a running server.
#[derive(Debug, Clone)]
pub struct Stopper {
    waker: Arc<Waker>,
    stop: Arc<AtomicBool>,
    duck: Arc<AtomicBool>,
}

impl Stopper {
    /// Lets the server end after the current tick.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Release);
        // If it can't be woken it is gone.
        let _ = self.waker.wake();
    }

    /// Lets nobody in any more, and ends the server when all have gone.
    pub fn lame_duck(&self) {
        self.duck.store(true, Ordering::Release);
        let _ = self.waker.wake();
    }
}

/// A server that listens but does not run yet.
#[derive(Debug)]
pub struct Bound {
    server: Server,
    stopper: Stopper,
    address: SocketAddr,
}

impl Bound {
    /// Opens the port, and the streams.
    ///
    /// # Errors
    /// The port is taken, or the store can't be used.
    pub fn open(settings: Settings, clock: Clock) -> Result<Self, EngineError> {
        // Each connection has one, and each stream: as many as there may be, as nats-server takes them.
        descriptors::raise_limit(u64::MAX);
        let poll = Poll::new()?;
        let mut listener = TcpListener::bind(settings.listen)
            .map_err(|source| EngineError::Listen { at: settings.listen, source })?;
        let address = listener.local_addr()?;
        poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let flag = || Arc::new(AtomicBool::new(false));
        let stopper = Stopper { waker, stop: flag(), duck: flag() };
        let seed = crate::clock::unix_nanos();
        let id = super::names::server_id(seed);
        let times = Times { now: clock.now(), unix: seed };
        let info = Info::new(&settings, &id, address);
        let opened = match &settings.jetstream {
            Some(all) => Some(Streams::open((all, &settings.accounts[..]), info.name(), (seed, times))?),
            None => None,
        };
        let (streams, journal) =
            opened.map_or((None, None), |Opened { streams, journal }| (Some(streams), journal));
        let policy = settings.jetstream.as_ref().map(|all| all.sync);
        let syncer = Syncer::new(policy, journal, (times.now, stopper.waker.clone()))?;
        let watch = settings.monitor.map(|monitor| {
            let at = SocketAddr::new(monitor.host.unwrap_or(settings.listen.ip()), monitor.port);
            let watch = Watch::open(at, poll.registry(), seed);
            watch.map_err(|source| EngineError::Listen { at, source })
        });
        let mut server = Server {
            info,
            address,
            watch: watch.transpose()?,
            hub: Hub::new(seed, settings.accounts.len()),
            tls: settings.tls.as_ref().map(TlsFiles::load).transpose()?,
            web: settings.websocket.as_ref().map(|web| Web::open(web, poll.registry())).transpose()?,
            random: rustls::crypto::ring::default_provider().secure_random,
            settings,
            clock,
            poll,
            listener: Some(listener),
            next_id: 1,
            ready: Vec::new(),
            stalled: Vec::new(),
            ungreeted: Vec::new(),
            buffer: vec![0; 2 * READ],
            housekept: 0,
            streams,
            times,
            pace: Pace::Now,
            syncer,
            ends: None,
        };
        if server.streams.is_some() {
            // An account without streams is told so.
            for subjects in &mut server.hub.subjects {
                API.iter().for_each(|pattern| subjects.insert(pattern, b"", Member::Api));
            }
            server.apply_subject_changes();
        }
        Ok(Self { server, stopper, address })
    }

    /// Where it listens.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it can be watched over HTTP.
    #[must_use]
    pub fn monitor(&self) -> Option<SocketAddr> {
        self.server.watch.as_ref().map(|watch| watch.address)
    }

    /// Where clients connect that speak WebSocket.
    #[must_use]
    pub fn websocket(&self) -> Option<SocketAddr> {
        self.server.web.as_ref().map(|web| web.address)
    }

    /// What people should know of how the streams were found.
    #[must_use]
    pub fn notices(&self) -> &[String] {
        self.server.streams.as_ref().map_or(&[], |streams| &streams.notices)
    }

    /// What ends it.
    #[must_use]
    pub fn stopper(&self) -> Stopper {
        self.stopper.clone()
    }

    /// Serves until it is stopped.
    ///
    /// # Errors
    /// The system refuses what the loop stands on, or a disk failed.
    pub fn run(self) -> Result<(), EngineError> {
        self.run_and_tell(&mut |_| {})
    }

    /// The same; `tell` is given what people should know of what happens.
    ///
    /// # Errors
    /// As [`Bound::run`].
    pub fn run_and_tell(mut self, tell: &mut dyn FnMut(&str)) -> Result<(), EngineError> {
        let mut events = Events::with_capacity(EVENTS);
        if let Some(streams) = &mut self.server.streams {
            streams.notices.clear();
        }
        while !self.stopper.stop.load(Ordering::Acquire) {
            let done = self.server.tick(&mut events);
            if let Some(streams) = &mut self.server.streams {
                streams.notices.drain(..).for_each(|line| tell(&line));
            }
            done?;
            if self.stopper.duck.swap(false, Ordering::AcqRel) && self.server.ends.is_none() {
                tell("Entering lame duck mode, stop accepting new clients");
                self.server.begin_to_end()?;
            }
            if self.server.ends.as_ref().is_some_and(|ends| ends.is_over(self.server.times.now)) {
                break;
            }
        }
        Ok(())
    }
}

impl Server {
    fn tick(&mut self, events: &mut Events) -> Result<(), EngineError> {
        let timeout = self.timeout();
        match self.poll.poll(events, Some(timeout)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            other => other?,
        }
        for event in events.iter() {
            self.event(event)?;
        }
        let now = self.clock.now();
        self.times = Times { now, unix: crate::clock::unix_nanos() };
        self.hub.now = now;
        self.release_stalled(now);
        self.read_ready(now);
        if !self.ungreeted.is_empty() {
            self.greet_late(now);
        }
        if self.syncer.wants_more() {
            self.drain(events, now)?;
        }
        self.finish_streams()?;
        self.flush_all();
        if now.saturating_sub(self.housekept) >= HOUSEKEEPING.as_nanos() as Nanos {
            self.housekept = now;
            self.housekeeping(now);
            self.flush_all();
        }
        self.bury();
        Ok(())
    }

    fn event(&mut self, event: &Event) -> Result<(), EngineError> {
        let ready = (event.is_readable(), event.is_writable());
        match event.token() {
            LISTENER => self.accept(false)?,
            WEB => self.accept(true)?,
            WAKER => {}
            token if Watch::is_its(token) => self.watch_event(token, ready),
            Token(key) => self.note(key as ClientKey, ready.0, ready.1),
        }
        Ok(())
    }

    fn read_ready(&mut self, now: Nanos) {
        for key in std::mem::take(&mut self.ready) {
            self.read(key, now);
        }
    }

    /// Reads whatever else has come: one sync is to acknowledge all that wait.
    fn drain(&mut self, events: &mut Events, now: Nanos) -> Result<(), EngineError> {
        for _ in 0..DRAINS {
            self.poll.poll(events, Some(Duration::ZERO))?;
            for event in events.iter() {
                self.event(event)?;
            }
            if self.ready.is_empty() {
                break;
            }
            self.read_ready(now);
        }
        Ok(())
    }

    fn timeout(&self) -> Duration {
        if !self.ready.is_empty() || self.pace == Pace::Now {
            Duration::ZERO
        } else if !self.stalled.is_empty() || self.pace == Pace::Soon {
            Duration::from_millis(1)
        } else {
            let greetings = self.ungreeted.iter().map(|one| one.due).min().unwrap_or(Nanos::MAX);
            let deadline = self.streams.as_ref().map_or(Nanos::MAX, Streams::deadline).min(greetings);
            HOUSEKEEPING.min(Duration::from_nanos(deadline.saturating_sub(self.clock.now())))
        }
    }

    /// Lets consumers deliver, writes what acknowledgements stand on, then sends both.
    fn finish_streams(&mut self) -> Result<(), EngineError> {
        let Some(streams) = &mut self.streams else {
            self.pace = Pace::Idle;
            return Ok(());
        };
        for account in 0..self.settings.accounts.len() as u32 {
            *streams.listened(account) = self.hub.hears_events(account);
        }
        let (hub, high) = (&self.hub, self.settings.max_pending / 8);
        let interest = |account: u32, subject: &[u8]| hub.interest((account, subject), high);
        let failed = |error: io::Error| EngineError::Disk(error.to_string());
        self.pace = streams.finish(self.times, &interest).map_err(failed)?;
        self.syncer.tick(self.times.now, streams).map_err(failed)?;
        while let Some(streams) = &mut self.streams {
            let outbox = match self.syncer.release(self.times.now, streams).map_err(failed)? {
                Release::Now(outbox) => outbox,
                Release::Nothing { soon } => {
                    // Whatever consumers have to do waits for the sync as well.
                    let waits = self.syncer.is_busy();
                    self.pace = if soon {
                        Pace::Now
                    } else if waits {
                        Pace::Idle
                    } else {
                        self.pace
                    };
                    break;
                }
            };
            if self.send(outbox) {
                self.pace = Pace::Now;
                break;
            }
        }
        self.hub.end_run();
        Ok(())
    }

    /// Sends what streams have to say; whether that gives them more to do at once.
    fn send(&mut self, mut outbox: Outbox) -> bool {
        let mut stored = Vec::new();
        outbox.drain(|to, message| self.hub.deliver_to(to, message, &mut stored));
        let Some(streams) = &mut self.streams else { return false };
        let more = streams.made_sure_of(&mut outbox);
        if streams.outbox.is_empty() {
            streams.outbox = outbox;
        }
        // What is sent to a stream's own subject is stored, and acknowledged in the next tick.
        for (key, message) in &stored {
            streams.store(*key, &message.as_publish(), self.times);
        }
        more || !stored.is_empty()
    }

    fn note(&mut self, key: ClientKey, readable: bool, writable: bool) {
        let Some(client) = self.hub.clients.get_mut(key as usize) else { return };
        if writable && (!client.writable || client.stream.holds_back()) {
            client.writable = true;
            if !client.dirty {
                client.dirty = true;
                self.hub.dirty.push(key);
            }
        }
        if readable {
            self.queue(key);
        }
    }

    fn queue(&mut self, key: ClientKey) {
        let Some(client) = self.hub.clients.get_mut(key as usize) else { return };
        if !client.queued {
            client.queued = true;
            self.ready.push(key);
        }
    }

    /// Reads once from a client and carries out what it sent.
    fn read(&mut self, key: ClientKey, now: Nanos) {
        let Some(client) = self.hub.clients.get_mut(key as usize) else { return };
        client.queued = false;
        // A producer that is held up is queued again when it is let go.
        if client.is_leaving() || self.stalled.iter().any(|stalled| stalled.producer == key) {
            return;
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        let kept = client.unread.len();
        if buffer.len() < kept + READ {
            buffer.resize(kept + READ, 0);
        }
        buffer[..kept].copy_from_slice(&client.unread);
        client.unread.clear();
        let end = kept + READ;
        let read = client.stream.read(&mut buffer[kept..end]);
        if !self.ungreeted.is_empty() {
            self.greet_encrypted(key);
        }
        let client = self.hub.client(key);
        match read {
            Ok(0) => self.hub.doom(key),
            Ok(count) => {
                client.heard_at = now;
                let filled = kept + count;
                let (taken, _needed) = self.carry_out(key, &buffer[..filled]);
                let client = self.hub.client(key);
                client.unread.extend_from_slice(&buffer[taken..filled]);
                if count == READ || !client.stream.short_read_is_last() {
                    self.queue(key);
                }
                self.cool(key, now);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                client.unread.extend_from_slice(&buffer[..kept]);
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                client.unread.extend_from_slice(&buffer[..kept]);
                self.queue(key);
            }
            Err(_) => self.hub.doom(key),
        }
        self.buffer = buffer;
    }

    /// Writes the backlogs that grew in this read, cuts who is too far behind, and holds up the producer if
    /// somebody is nearly so.
    fn cool(&mut self, producer: ClientKey, now: Nanos) {
        for key in std::mem::take(&mut self.hub.hot) {
            let Some(client) = self.hub.clients.get_mut(key as usize) else { continue };
            client.hot = false;
            self.flush(key);
            let pending = self.hub.client(key).output.pending();
            if pending > self.settings.max_pending {
                self.hub.stats.slow_consumers += 1;
                self.hub.doom(key);
            } else if key != producer && pending > self.settings.max_pending / 4 * 3 {
                self.stalled.push(Stalled { producer, receiver: key, until: now + STALL });
            }
        }
    }

    /// Lets producers go on whose time is up, or whose receivers have caught up.
    fn release_stalled(&mut self, now: Nanos) {
        let high = self.settings.max_pending / 4 * 3;
        let (held, free): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.stalled).into_iter().partition(|stalled| {
                let receiver = self.hub.clients.get(stalled.receiver as usize);
                stalled.until > now && receiver.is_some_and(|receiver| receiver.output.pending() > high)
            });
        self.stalled = held;
        for stalled in free {
            self.queue(stalled.producer);
        }
    }

    /// Writes to everybody who has something waiting.
    pub(super) fn flush_all(&mut self) {
        for key in std::mem::take(&mut self.hub.dirty) {
            if let Some(client) = self.hub.clients.get_mut(key as usize) {
                client.dirty = false;
                self.flush(key);
            }
        }
    }

    fn flush(&mut self, key: ClientKey) {
        let client = &mut self.hub.clients[key as usize];
        if client.doomed || !client.writable {
            return;
        }
        if client.stream.holds_back() && client.stream.push().is_err() {
            return self.hub.doom(key);
        }
        let before = client.output.pending();
        let stream = &mut client.stream;
        let done = client.output.flush(&mut self.hub.spare, |slices| stream.write(slices));
        // Bytes that are encrypted and not written go out when the socket takes them.
        let done = done.map(|all| all && !client.stream.holds_back());
        let moved = client.output.pending() < before;
        match done {
            Ok(true) => {
                client.stuck_since = None;
                if client.closing {
                    self.hub.doom(key);
                }
            }
            Ok(false) => {
                client.writable = false;
                let now = self.clock.now();
                client.stuck_since = if moved { Some(now) } else { client.stuck_since.or(Some(now)) };
            }
            Err(_) => self.hub.doom(key),
        }
    }

    /// Pings, deadlines.
    fn housekeeping(&mut self, now: Nanos) {
        if let Some(watch) = &mut self.watch {
            watch.tidy(now);
        }
        self.let_go(now);
        let after = |since: Nanos, limit: Duration| now.saturating_sub(since) > limit.as_nanos() as Nanos;
        let keys: Vec<ClientKey> = self.hub.clients.iter().map(|(key, _)| key as ClientKey).collect();
        for key in keys {
            let client = self.hub.client(key);
            let (heard, pings) = (client.heard_at, client.pings_out);
            if client.stuck_since.is_some_and(|since| after(since, self.settings.write_deadline)) {
                self.hub.stats.slow_consumers += 1;
                self.hub.doom(key);
            } else if client.closing {
                // It has the write deadline to take its last words.
            } else if client.stream.is_handshaking() && after(client.connected_at, self.settings.tls_timeout)
            {
                self.hub.doom(key);
            } else if !client.authorised && after(client.connected_at, self.settings.auth_timeout) {
                self.refuse(key, "Authentication Timeout");
            } else if client.expires.is_some_and(|expires| expires <= self.times.unix / SECOND) {
                self.refuse(key, "User Authentication Expired");
            } else if after(heard, self.settings.ping_interval * (pings + 1)) {
                if pings >= self.settings.ping_max {
                    self.hub.push(key, |out| append_error(out, "Stale Connection"));
                    self.hub.close_after_output(key);
                } else {
                    client.pings_out += 1;
                    self.hub.push(key, |out| out.extend_from_slice(b"PING\r\n"));
                }
            }
        }
    }

    /// Takes away who is gone.
    fn bury(&mut self) {
        while let Some(key) = self.hub.doomed.pop() {
            self.drop_subscriptions(key);
            let mut client = self.hub.clients.remove(key as usize);
            // Closing it takes it off the poll in any case.
            let _ = client.stream.deregister(self.poll.registry());
        }
    }

    /// The last one in goes first: that is where it is looked for first.
    pub(super) fn drop_subscriptions(&mut self, key: ClientKey) {
        let slots = self.hub.client(key).subscriptions.iter().map(|(slot, _)| slot as u32);
        let slots: Vec<u32> = slots.collect();
        for slot in slots.into_iter().rev() {
            if let Some(gone) = self.hub.drop_subscription(key, slot) {
                let account = self.hub.client(key).account;
                self.interest_changed(account, &gone);
            }
        }
    }
}
