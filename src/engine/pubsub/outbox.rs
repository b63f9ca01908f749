//! All clients and what goes out to them.

use super::chunks::Chunks;
use super::client::{Client, ReplyMode};
use super::output::{Piece, Spare};
use super::registry::ClientKey;
use super::settings::BufferLimit;
use super::stats::Stats;
use crate::clock::Nanos;
use crate::wire::resp::Writer;
use slab::Slab;

/// A backlog is looked at when it reaches this many bytes (or a limit, if that is lower): the socket may
/// take some before a limit is applied.
const WATCH_FROM: usize = 256 * 1024;

/// The limits on backlogs of the two kinds of clients.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct BufferLimits {
    /// Clients without subscriptions.
    pub(super) normal: BufferLimit,
    /// Clients with subscriptions.
    pub(super) pubsub: BufferLimit,
}

impl BufferLimits {
    /// The smallest backlog that may matter.
    fn watch_from(&self) -> usize {
        [self.normal.hard, self.normal.soft, self.pubsub.hard, self.pubsub.soft]
            .into_iter()
            .filter(|&limit| limit > 0)
            .fold(WATCH_FROM, usize::min)
    }
}

/// Clients, buffers and the lists of who needs attention.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    pub(super) clients: Slab<Client>,
    pub(super) chunks: Chunks,
    pub(super) spare: Spare,
    /// The client whose command is being executed: pushes to it follow the reply.
    pub(super) executing: Option<ClientKey>,
    pub(super) stats: Stats,
    /// To be closed at the end of the step.
    pub(super) doomed: Vec<ClientKey>,
    limits: BufferLimits,
    watch_from: usize,
    dirty: Vec<ClientKey>,
    watched: Vec<ClientKey>,
}

impl Outbox {
    /// Sets the limits on backlogs.
    pub(super) fn set_limits(&mut self, limits: BufferLimits) {
        self.limits = limits;
        self.watch_from = limits.watch_from();
    }

    /// A client that is known to be there.
    #[inline]
    pub(super) fn client(&self, key: ClientKey) -> &Client {
        &self.clients[key as usize]
    }

    /// A client that is known to be there, to be changed.
    #[inline]
    pub(super) fn client_mut(&mut self, key: ClientKey) -> &mut Client {
        &mut self.clients[key as usize]
    }

    /// Delivers frames to a subscriber.
    #[inline]
    pub(super) fn deliver(&mut self, key: ClientKey, piece: Piece<'_>) {
        let client = &mut self.clients[key as usize];
        if client.doomed || client.closing {
            return;
        }
        if self.executing == Some(key) {
            client.deferred.extend_from_slice(piece.bytes);
            return;
        }
        client.output.append(piece, &mut self.chunks, &mut self.spare);
        self.touch(key);
    }

    /// Answers a command, unless the client wants no replies.
    pub(super) fn reply(&mut self, key: ClientKey, write: impl FnOnce(&mut Writer<'_>)) {
        if matches!(self.client(key).reply, ReplyMode::On | ReplyMode::SkipNext) {
            self.push(key, write);
        }
    }

    /// Writes to a client whether it wants replies or not.
    pub(super) fn push(&mut self, key: ClientKey, write: impl FnOnce(&mut Writer<'_>)) {
        let client = &mut self.clients[key as usize];
        if client.doomed {
            return;
        }
        let protocol = client.protocol;
        let block = client.output.block(&mut self.spare);
        let before = block.len();
        write(&mut Writer::new(block, protocol));
        let by = block.len() - before;
        client.output.grown(by);
        self.touch(key);
    }

    /// Answers `count` commands with the same integer.
    pub(super) fn integers(&mut self, key: ClientKey, value: usize, count: usize) {
        self.push(key, |out| (0..count).for_each(|_| out.integer(value as i64)));
    }

    /// Lets the pushes that waited for the end of a command follow.
    pub(super) fn finish_command(&mut self, key: ClientKey) {
        let client = &mut self.clients[key as usize];
        client.reply = match client.reply {
            ReplyMode::SkipNext => ReplyMode::Skip,
            ReplyMode::Skip => ReplyMode::On,
            other => other,
        };
        if !client.deferred.is_empty() {
            let deferred = std::mem::take(&mut client.deferred);
            client.output.copy(&deferred, &mut self.spare);
            self.touch(key);
        }
    }

    #[inline]
    fn touch(&mut self, key: ClientKey) {
        let client = &mut self.clients[key as usize];
        if !client.dirty {
            client.dirty = true;
            self.dirty.push(key);
        }
        if client.output.pending() >= self.watch_from && !client.watched {
            client.watched = true;
            self.watched.push(key);
        }
    }

    /// Closes a client at the end of this step.
    pub(super) fn doom(&mut self, key: ClientKey) {
        let client = &mut self.clients[key as usize];
        if !client.doomed {
            client.doomed = true;
            self.doomed.push(key);
        }
    }

    /// Writes to all clients that have something to be written.
    pub(super) fn flush_dirty(&mut self) {
        let mut dirty = std::mem::take(&mut self.dirty);
        for key in dirty.drain(..) {
            self.client_mut(key).dirty = false;
            self.flush(key);
        }
        self.dirty = dirty;
    }

    /// Writes what one client's socket takes.
    pub(super) fn flush(&mut self, key: ClientKey) {
        let client = &mut self.clients[key as usize];
        if client.doomed || !client.writable {
            return;
        }
        let (before, stream) = (client.output.pending(), &mut client.stream);
        let mut writes = 0;
        let done = client.output.flush(&mut self.chunks, &mut self.spare, |slices| {
            writes += 1;
            stream.write(slices)
        });
        self.stats.writes += writes;
        let written = (before - client.output.pending()) as u64;
        client.bytes_out += written;
        self.stats.bytes_out += written;
        match done {
            Ok(true) if client.closing && !client.stream.holds_back() => self.doom(key),
            Ok(all) => client.writable = all,
            Err(_) => self.doom(key),
        }
    }

    /// Looks at the backlogs that grew large: writes what the sockets take, then applies the limits.
    pub(super) fn settle_watched(&mut self, now: Nanos) {
        if self.watched.is_empty() {
            return;
        }
        let mut watched = std::mem::take(&mut self.watched);
        for key in watched.drain(..) {
            self.client_mut(key).watched = false;
            self.flush(key);
            self.apply_limit(key, now);
        }
        self.watched = watched;
    }

    /// Cuts a client whose backlog has reached the hard limit, or the soft one for long enough.
    pub(super) fn apply_limit(&mut self, key: ClientKey, now: Nanos) {
        let client = &mut self.clients[key as usize];
        let limit = if client.is_subscriber() { self.limits.pubsub } else { self.limits.normal };
        let pending = client.output.pending();
        let soft = limit.soft > 0 && pending >= limit.soft;
        let since = client.over_soft_since.filter(|_| soft);
        client.over_soft_since = if soft { since.or(Some(now)) } else { None };
        let lasted = since.is_some_and(|since| now.saturating_sub(since) / 1_000_000_000 > limit.seconds);
        if (lasted || (limit.hard > 0 && pending >= limit.hard)) && !client.doomed {
            self.stats.cut_by_limit += 1;
            self.doom(key);
        }
    }

    /// Applies the limits to everybody with a backlog: soft limits run out without any traffic.
    pub(super) fn apply_limits(&mut self, now: Nanos) {
        let waiting = self.clients.iter().filter(|(_, client)| client.output.pending() > 0);
        let waiting: Vec<_> = waiting.map(|(key, _)| key as ClientKey).collect();
        for key in waiting {
            self.apply_limit(key, now);
        }
    }
}
