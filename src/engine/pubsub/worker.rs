//! One event loop: sockets in, sockets out, and the clock.

use super::door::Door;
use super::error::EngineError;
use super::registry::ClientKey;
use super::state::{Engine, Founding, LONG};
use super::together::{Arrival, Peers, Shared};
use crate::clock::{Clock, Nanos};
use crate::engine::descriptors;
use crate::engine::stream::Stream;
use mio::{Events, Poll, Token};
use std::io;
use std::sync::Arc;
use std::time::Duration;

/// Another event loop calls.
pub(super) const CALLED: Token = Token(usize::MAX - 2);
/// Events taken from the system at once.
const EVENTS: usize = 1024;
/// After this many bytes read, what they brought is written out before more is read: it is still in the cache.
const FLUSH_AFTER: usize = super::chunks::CHUNK;
/// Rates are sampled and limits looked at this often.
const HOUSEKEEPING: Nanos = 100_000_000;
/// Open files the engine needs beside its clients.
const OWN_FILES: u64 = 64;

/// A running event loop.
#[derive(Debug)]
pub(super) struct Worker {
    me: usize,
    poll: Poll,
    /// Where connections come in; only one loop has it.
    door: Option<Door>,
    shared: Arc<Shared>,
    clock: Clock,
    engine: Engine,
    /// Clients whose sockets may have more to read.
    readable: Vec<ClientKey>,
    /// Whether other loops are so far behind that nothing more is read.
    held_up: bool,
    housekeeping_at: Nanos,
}

/// Ends all event loops when one of them ends, however it does.
struct EndAll<'a>(&'a Shared);

impl Drop for EndAll<'_> {
    fn drop(&mut self) {
        self.0.stop();
    }
}

impl Worker {
    /// Event loop `me` of those that `founding` names.
    pub(super) fn new(
        me: usize,
        poll: Poll,
        door: Option<Door>,
        founding: Founding,
        peers: Option<Peers>,
    ) -> Self {
        let shared = Arc::clone(&founding.shared);
        Self {
            me,
            poll,
            door,
            shared,
            clock: Clock::real(),
            engine: Engine::new(founding, peers),
            readable: Vec::new(),
            held_up: false,
            housekeeping_at: 0,
        }
    }

    /// Serves until told to end.
    ///
    /// # Errors
    /// The system refuses to wait for events.
    pub(super) fn run(&mut self) -> Result<(), EngineError> {
        let shared = Arc::clone(&self.shared);
        let _end_all = EndAll(&shared);
        shared.sit_down(self.me);
        let mut events = Events::with_capacity(EVENTS);
        while !self.shared.is_stopping() {
            match self.wait(&mut events) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                done => done?,
            }
            self.engine.now = self.clock.now();
            self.engine.out.stats.loops += 1;
            for event in &events {
                self.note(event);
            }
            self.engine.catch_up();
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

    fn wait(&mut self, events: &mut Events) -> io::Result<()> {
        let mut patience = Duration::ZERO;
        let may_wait = self.readable.is_empty() || self.held_up;
        if may_wait && self.engine.peers.as_ref().is_none_or(Peers::fall_asleep) {
            patience = Duration::from_nanos(self.housekeeping_at.saturating_sub(self.clock.now()));
        }
        let waited = self.poll.poll(events, Some(patience));
        if let Some(peers) = &self.engine.peers {
            peers.wake_up();
        }
        waited
    }

    fn note(&mut self, event: &mio::event::Event) {
        let token = event.token();
        if token == CALLED {
            for Arrival { stream, id } in self.shared.arrivals(self.me) {
                self.admit(stream, id);
            }
            return;
        }
        if let Some(door) = &mut self.door
            && Door::is_its(token)
        {
            let keepalive = self.engine.settings.keepalive;
            match door.open(token, self.poll.registry(), keepalive) {
                Some(streams) => streams.into_iter().for_each(|stream| self.let_in(stream)),
                None => self.shared.stop(),
            }
            return;
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

    /// Takes a connection in, if there is room, and finds the loop that serves it.
    fn let_in(&mut self, mut stream: Stream) {
        let wanted = self.engine.settings.max_clients as u64 + OWN_FILES;
        let possible = descriptors::raise_limit(wanted).saturating_sub(OWN_FILES) as usize;
        if self.shared.clients() >= self.engine.settings.max_clients.min(possible) {
            self.engine.out.stats.rejected += 1;
            let text = b"-ERR max number of clients reached\r\n";
            // The connection closes whether the client hears why or not.
            let _ = stream.write(&[io::IoSlice::new(text)]);
            return;
        }
        let (on, id) = self.shared.place();
        if on == self.me {
            self.admit(stream, id);
        } else {
            self.shared.hand_over(on, Arrival { stream, id });
        }
    }

    fn admit(&mut self, stream: Stream, id: u64) {
        let key = self.engine.admit(stream, id);
        let client = self.engine.out.client_mut(key);
        if client.stream.register(self.poll.registry(), Token(key as usize)).is_err() {
            self.engine.out.doom(key);
        }
    }

    /// Reads once from every socket that may have something, unless other loops are too far behind.
    fn read_all(&mut self) {
        let mut since_flush = 0;
        let mut queue = std::mem::take(&mut self.readable).into_iter();
        self.held_up = false;
        for key in queue.by_ref() {
            if !self.engine.peers.as_ref().is_none_or(Peers::may_go_on) {
                self.held_up = true;
                self.readable.push(key);
                break;
            }
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
        self.readable.extend(queue);
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
            self.shared.gone(self.me);
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
