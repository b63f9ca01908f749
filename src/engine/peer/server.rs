//! The peer's one thread: reads, fans out, holds back, writes.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use super::faults::{Fate, Faults, Fortune, Stats};
use super::speech::{Speech, Talk, Wish};
use super::streams::NullStream;
use crate::clock::{Clock, Nanos};

const LISTENER: Token = Token(usize::MAX);

/// Read from one connection at a time.
const READ_BYTES: usize = 256 * 1024;

/// A subscriber that has this much unread is cut.
const UNREAD_MAX: usize = 64 * 1024 * 1024;

/// Wait at most this long for events, so that the account is written now and then.
const IDLE: Duration = Duration::from_millis(100);

/// Why the peer ended.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// The address could not be had.
    #[error("could not listen on {address}: {source}; give another --listen, such as 127.0.0.1:0")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// The operating system failed.
    #[error("the event loop failed: {0}")]
    Poll(#[from] io::Error),
}

struct Connection {
    stream: TcpStream,
    talk: Talk,
    input: Vec<u8>,
    output: Vec<u8>,
    written: usize,
    dirty: bool,
    gone: bool,
}

/// A message held back for one subscriber.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Held {
    at: Nanos,
    number: u64,
    connection: usize,
    read_at: Nanos,
    counts: bool,
    frame: Vec<u8>,
}

/// A subscription: the connection, and its own name for it.
#[derive(Debug, Clone)]
struct Reader {
    connection: usize,
    name: Vec<u8>,
}

/// Who reads what: by channel, or by all channels that differ in the last token (`a.*` or `a.>`) alone.
#[derive(Debug, Default)]
struct Channels {
    by_name: HashMap<Vec<u8>, Vec<Reader>>,
    /// What wildcards stand for the last token of, with the dot.
    by_start: HashMap<Vec<u8>, Vec<Reader>>,
}

impl Channels {
    fn add(&mut self, channel: &[u8], reader: Reader) {
        let (table, key) = match channel {
            [start @ .., b'*' | b'>'] if start.ends_with(b".") => (&mut self.by_start, start),
            _ => (&mut self.by_name, channel),
        };
        table.entry(key.to_vec()).or_default().push(reader);
    }

    /// The readers of a channel.
    #[inline]
    fn readers(&self, channel: &[u8]) -> impl Iterator<Item = &Reader> + Clone {
        let by_start = match memchr::memrchr(b'.', channel) {
            Some(dot) if !self.by_start.is_empty() => self.by_start.get(&channel[..=dot]),
            _ => None,
        };
        [self.by_name.get(channel), by_start].into_iter().flatten().flatten()
    }

    fn remove(&mut self, connection: usize) {
        for table in [&mut self.by_name, &mut self.by_start] {
            table.retain(|_, readers| {
                readers.retain(|reader| reader.connection != connection);
                !readers.is_empty()
            });
        }
    }
}

struct Peer {
    clock: Clock,
    speech: Speech,
    connections: Slab<Connection>,
    channels: Channels,
    dirty: Vec<usize>,
    scratch: Vec<u8>,
    held: BinaryHeap<Reverse<Held>>,
    fortune: Option<Fortune>,
    streams: NullStream,
    /// An answer that is being written.
    answer: Vec<u8>,
    number: u64,
    stats: Stats,
    stats_to: Option<PathBuf>,
    stats_written: u64,
}

/// Serves until the process ends; `listening` is told the address once it listens. With `stats_to`, the
/// account of what was done is kept in that file, as JSON.
///
/// # Errors
/// If the address can't be had or the event loop fails.
pub fn serve(
    (address, speech): (SocketAddr, Speech),
    faults: Faults,
    stats_to: Option<PathBuf>,
    listening: impl FnOnce(SocketAddr),
) -> Result<(), PeerError> {
    let mut poll = Poll::new()?;
    let mut listener = TcpListener::bind(address).map_err(|source| PeerError::Listen { address, source })?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    listening(listener.local_addr()?);
    let fortune = (!faults.none()).then(|| Fortune::new(faults));
    let mut peer = Peer {
        clock: Clock::real(),
        speech,
        connections: Slab::new(),
        channels: Channels::default(),
        dirty: Vec::new(),
        scratch: vec![0; READ_BYTES],
        held: BinaryHeap::new(),
        fortune,
        streams: NullStream::default(),
        answer: Vec::new(),
        number: 0,
        stats: Stats::default(),
        stats_to,
        stats_written: 0,
    };
    let mut events = Events::with_capacity(1024);
    loop {
        match poll.poll(&mut events, Some(peer.patience())) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => other?,
        }
        if events.is_empty() {
            peer.write_stats();
        }
        for event in &events {
            if event.token() == LISTENER {
                peer.accept(&listener, &poll)?;
            } else {
                peer.ready(event.token().0, event.is_readable());
            }
        }
        peer.release();
        peer.flush();
    }
}

impl Peer {
    /// How long nothing needs to be done.
    fn patience(&self) -> Duration {
        let Some(Reverse(next)) = self.held.peek() else { return IDLE };
        Duration::from_nanos(next.at.saturating_sub(self.clock.now())).min(IDLE)
    }

    fn accept(&mut self, listener: &TcpListener, poll: &Poll) -> io::Result<()> {
        loop {
            let mut stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            stream.set_nodelay(true)?;
            let entry = self.connections.vacant_entry();
            let interest = Interest::READABLE | Interest::WRITABLE;
            poll.registry().register(&mut stream, Token(entry.key()), interest)?;
            let (talk, greeting) = self.speech.begin();
            entry.insert(Connection {
                stream,
                talk,
                input: Vec::new(),
                output: greeting.to_vec(),
                written: 0,
                dirty: false,
                gone: false,
            });
        }
    }

    fn ready(&mut self, key: usize, readable: bool) {
        if readable {
            self.read(key);
        }
        self.mark(key);
    }

    /// Reads all there is and does what it says.
    fn read(&mut self, key: usize) {
        loop {
            let Some(connection) = self.connections.get_mut(key) else { return };
            match connection.stream.read(&mut self.scratch) {
                Ok(0) => connection.gone = true,
                Ok(count) => connection.input.extend_from_slice(&self.scratch[..count]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => connection.gone = true,
            }
            if connection.gone {
                return;
            }
            let read_at = self.clock.now();
            self.obey(key, read_at);
        }
    }

    /// Does every whole command of a connection's input.
    fn obey(&mut self, key: usize, read_at: Nanos) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        let input = std::mem::take(&mut connection.input);
        let mut talk = std::mem::take(&mut connection.talk);
        let mut reply = std::mem::take(&mut connection.output);
        let mut at = 0;
        let broken = loop {
            match talk.next(&input[at..], &mut reply) {
                Ok(Some((wish, length))) => {
                    self.grant(key, wish, read_at, &mut reply);
                    at += length;
                }
                Ok(None) => break false,
                Err(_broken) => break true,
            }
        };
        let Some(connection) = self.connections.get_mut(key) else { return };
        connection.input = input;
        connection.input.drain(..at);
        connection.talk = talk;
        // What others published to this connection meanwhile comes behind its own replies.
        reply.append(&mut connection.output);
        connection.output = reply;
        connection.gone |= broken;
    }

    fn grant(&mut self, key: usize, wish: Wish<'_>, read_at: Nanos, reply: &mut Vec<u8>) {
        match wish {
            Wish::Publish { channel, payload, reply: to } => {
                let receivers = self.publish(channel, payload, read_at);
                self.speech.published(receivers, reply);
                if !to.is_empty() {
                    self.answer((key, to), (channel, payload), reply);
                }
            }
            Wish::Subscribe { channels, name } => {
                for channel in channels {
                    self.channels.add(channel, Reader { connection: key, name: name.to_vec() });
                }
            }
            Wish::Nothing => {}
        }
    }

    /// Answers a message to where its publisher `key` wants that. Who asks for answers to somebody else's inbox gets none.
    fn answer(&mut self, (key, to): (usize, &[u8]), (channel, payload): (&[u8], &[u8]), reply: &mut Vec<u8>) {
        let Self { channels, streams, speech, answer, .. } = self;
        let Some(reader) = channels.readers(to).find(|reader| reader.connection == key) else { return };
        answer.clear();
        streams.answer(channel, payload, answer);
        speech.append_message(reply, to, &reader.name, answer);
    }

    /// Fans a message out; gives the number of subscribers.
    fn publish(&mut self, channel: &[u8], payload: &[u8], read_at: Nanos) -> usize {
        self.stats.published += 1;
        let Self { channels, connections, dirty, speech, fortune, stats, .. } = self;
        let readers = channels.readers(channel);
        let mut count = 0;
        if fortune.is_none() {
            for reader in readers {
                count += 1;
                let Some(connection) = connections.get_mut(reader.connection) else { continue };
                speech.append_message(&mut connection.output, channel, &reader.name, payload);
                if !std::mem::replace(&mut connection.dirty, true) {
                    dirty.push(reader.connection);
                }
            }
            stats.expected += count as u64;
            return count;
        }
        let readers: Vec<Reader> = readers.cloned().collect();
        stats.expected += readers.len() as u64;
        for reader in &readers {
            let fate = self.fortune.as_mut().map_or((Fate::Whole, 0), Fortune::next);
            self.hold(reader, (channel, payload), fate, read_at);
        }
        readers.len()
    }

    /// Keeps a message back, with what is to happen to it.
    fn hold(
        &mut self,
        reader: &Reader,
        (channel, payload): (&[u8], &[u8]),
        (fate, delay): (Fate, Nanos),
        read_at: Nanos,
    ) {
        let mut payload = payload.to_vec();
        let copies = match fate {
            Fate::Whole => 1,
            Fate::Dropped => {
                self.stats.dropped += 1;
                0
            }
            Fate::Twice => {
                self.stats.duplicated += 1;
                2
            }
            Fate::Corrupt => {
                self.stats.corrupted += 1;
                if let Some(last) = payload.last_mut() {
                    *last ^= 1;
                }
                1
            }
        };
        for copy in 0..copies {
            let mut frame = Vec::new();
            self.speech.append_message(&mut frame, channel, &reader.name, &payload);
            self.number += 1;
            let (number, connection) = (self.number, reader.connection);
            let counts = copy == 0 && fate != Fate::Corrupt;
            self.held.push(Reverse(Held { at: read_at + delay, number, connection, read_at, counts, frame }));
        }
    }

    /// Moves what has been held back long enough to its outputs.
    fn release(&mut self) {
        while let Some(Reverse(next)) = self.held.peek() {
            let now = self.clock.now();
            if next.at > now {
                return;
            }
            let Some(Reverse(held)) = self.held.pop() else { return };
            let Some(connection) = self.connections.get_mut(held.connection) else { continue };
            connection.output.extend_from_slice(&held.frame);
            if held.counts {
                self.stats.held(now - held.read_at);
            }
            self.mark(held.connection);
            self.flush();
        }
    }

    fn mark(&mut self, key: usize) {
        let Some(connection) = self.connections.get_mut(key) else { return };
        if !std::mem::replace(&mut connection.dirty, true) {
            self.dirty.push(key);
        }
    }

    /// Writes all outputs as far as the sockets take them.
    fn flush(&mut self) {
        while let Some(key) = self.dirty.pop() {
            let Some(connection) = self.connections.get_mut(key) else { continue };
            connection.dirty = false;
            connection.write();
            if connection.gone {
                self.remove(key);
            }
        }
    }

    fn remove(&mut self, key: usize) {
        self.connections.remove(key);
        self.channels.remove(key);
        self.write_stats();
    }

    /// Writes the account to its file if it has changed.
    fn write_stats(&mut self) {
        let Some(path) = &self.stats_to else { return };
        let changed = self.stats.published + self.stats.held_us.len() as u64;
        if changed != self.stats_written && replace(path, &self.stats).is_ok() {
            self.stats_written = changed;
        }
    }
}

impl Connection {
    fn write(&mut self) {
        while self.written < self.output.len() {
            match self.stream.write(&self.output[self.written..]) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.gone |= self.output.len() - self.written > UNREAD_MAX;
                    return;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => {
                    self.gone = true;
                    return;
                }
            }
        }
        self.output.clear();
        self.written = 0;
    }
}

/// Writes a file so that a reader sees the old or the new one.
fn replace(path: &Path, stats: &Stats) -> io::Result<()> {
    let next = path.with_extension("next");
    std::fs::write(&next, serde_json::to_vec(stats)?)?;
    std::fs::rename(next, path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wildcard_reads_whatever_differs_in_the_last_token_alone() {
        let mut channels = Channels::default();
        for (connection, channel) in ["a.b", "a.*", "a.>", "*", "b.c"].into_iter().enumerate() {
            channels.add(channel.as_bytes(), Reader { connection, name: Vec::new() });
        }
        let readers = |channels: &Channels, channel: &str| {
            channels.readers(channel.as_bytes()).map(|reader| reader.connection).collect::<Vec<_>>()
        };
        assert_eq!(readers(&channels, "a.b"), [0, 1, 2]);
        assert_eq!(readers(&channels, "a.x"), [1, 2]);
        assert_eq!(readers(&channels, "b.x"), [0; 0]);
        channels.remove(1);
        assert_eq!(readers(&channels, "a.b"), [0, 2]);
    }
}
