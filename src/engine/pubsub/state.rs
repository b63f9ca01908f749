//! The engine's state, and the path of a message through it: bytes in, frames out. No sockets are opened
//! and no clock is read here.

use super::chunks::{CHUNK, ChunkId};
use super::client::Client;
use super::outbox::Outbox;
use super::output::{Piece, SHARE_FROM};
use super::registry::{ClientKey, Kind, Registry, TopicId};
use super::settings::Settings;
use super::stats::Rate;
use super::together::{Peers, Shared};
use crate::clock::Nanos;
use crate::engine::stream::Stream;
use crate::wire::resp::{
    CommandParser, Limits, MESSAGE_HEAD, MessageHead, Protocol, ProtocolError, Writer, message_length,
    messages_to_resp3, publish_channel, publish_run,
};
use std::sync::Arc;

/// An unfinished command with more arguments than this is not looked at from its beginning again.
const REMEMBER_FROM: usize = 8;
/// From this length on an unfinished command gets a buffer of its own, which grows as the command does.
pub(super) const LONG: usize = CHUNK / 2;

/// Who may come in.
#[derive(Debug, Clone)]
pub(super) struct Access {
    /// The only user.
    pub(super) user: String,
    /// What it has to say; nothing if anybody may come in.
    pub(super) password: Option<Vec<u8>>,
}

/// Everything the event loop works on.
#[derive(Debug)]
pub(super) struct Engine {
    pub(super) out: Outbox,
    pub(super) registry: Registry,
    pub(super) settings: Settings,
    pub(super) access: Access,
    /// The time of this step, in nanoseconds since the start.
    pub(super) now: Nanos,
    /// Wall-clock time of the start, in nanoseconds since 1970.
    pub(super) started: u64,
    /// 40 hexadecimal digits that name this run.
    pub(super) run_id: String,
    /// Commands and bytes per second.
    pub(super) rates: [Rate; 3],
    /// What all event loops share.
    pub(super) shared: Arc<Shared>,
    /// This loop's end of it, if there are more.
    pub(super) peers: Option<Peers>,
    /// Whether a command asked the whole engine to stand still, and until when.
    pub(super) asleep_until: Nanos,
    /// Whether a transaction is being executed.
    pub(super) in_exec: bool,
    parser: CommandParser,
    /// Patterns that match the channel looked up last.
    pub(super) matching: Vec<TopicId>,
    scratch: Vec<u8>,
}

/// What all event loops are started with.
#[derive(Debug, Clone)]
pub(super) struct Founding {
    pub(super) settings: Settings,
    pub(super) access: Access,
    /// Wall-clock time of the start, in nanoseconds since 1970.
    pub(super) started: u64,
    /// 40 hexadecimal digits that name this run.
    pub(super) run_id: String,
    pub(super) shared: Arc<Shared>,
}

impl Engine {
    /// An engine without clients.
    pub(super) fn new(founding: Founding, peers: Option<Peers>) -> Self {
        let Founding { settings, access, started, run_id, shared } = founding;
        let mut out = Outbox::default();
        out.set_limits(settings.limits);
        Self {
            out,
            registry: Registry::default(),
            settings,
            access,
            now: 0,
            started,
            run_id,
            rates: Default::default(),
            shared,
            peers,
            asleep_until: 0,
            in_exec: false,
            parser: CommandParser::default(),
            matching: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// Takes in a connection.
    pub(super) fn admit(&mut self, stream: Stream, id: u64) -> ClientKey {
        let client = Client::new(stream, id, self.access.password.is_none(), self.now);
        self.out.stats.connections += 1;
        self.out.clients.insert(client) as ClientKey
    }

    /// Forgets all that a client subscribed to.
    pub(super) fn unsubscribe_all(&mut self, key: ClientKey) {
        for kind in [Kind::Channel, Kind::Shard, Kind::Pattern] {
            let ids = std::mem::take(self.out.client_mut(key).subscriptions(kind));
            if ids.is_empty() {
                continue;
            }
            if self.peers.is_some() {
                let name = |id: &TopicId| self.registry.topics(kind).name(*id).into();
                let names = ids.iter().map(name).collect();
                self.announce(kind, names, false);
            }
            let topics = self.registry.topics_mut(kind);
            ids.into_iter().for_each(|id| topics.remove(id, key));
        }
    }

    /// Takes a client out; its socket closes with it.
    pub(super) fn dismiss(&mut self, key: ClientKey) -> Client {
        self.unsubscribe_all(key);
        let mut client = self.out.clients.remove(key as usize);
        client.output.clear(&mut self.out.chunks);
        client
    }

    /// What happens by time alone, `seconds` after the last time: limits that run out, rates, idle clients.
    pub(super) fn keep_house(&mut self, seconds: f64) {
        let counters = [self.out.stats.commands, self.out.stats.bytes_in, self.out.stats.bytes_out];
        for (rate, counter) in self.rates.iter_mut().zip(counters) {
            rate.sample(counter, seconds);
        }
        self.out.apply_limits(self.now);
        if self.settings.timeout > 0 {
            let longest = self.settings.timeout * 1_000_000_000;
            let idle = |client: &Client| {
                !client.is_subscriber() && self.now.saturating_sub(client.active_at) > longest
            };
            let idle = self.out.clients.iter().filter(|(_, client)| idle(client));
            let idle: Vec<_> = idle.map(|(key, _)| key as ClientKey).collect();
            idle.into_iter().for_each(|key| self.out.doom(key));
        }
    }

    /// Executes what a client sent: the first `filled` bytes of `buf`, which begin with a command.
    pub(super) fn ingest(&mut self, key: ClientKey, mut buf: Vec<u8>, filled: usize) {
        // What other loops did before these bytes were read comes before what they ask for.
        self.catch_up();
        let home = self.out.chunks.reserve();
        let parser = self.out.client_mut(key).parser.take();
        let mut resumed = parser.is_some();
        let mut parser = parser.map_or_else(|| std::mem::take(&mut self.parser), |parser| *parser);
        self.out.executing = Some(key);
        let mut at = 0;
        while at < filled {
            let client = self.out.client(key);
            if client.closing || client.doomed {
                at = filled;
                break;
            }
            if !resumed && client.publishes_freely() {
                let taken = self.publish_pipelined(key, &mut buf[at..filled], (home, at as u32));
                if taken > 0 {
                    at += taken;
                    continue;
                }
            }
            let authenticated = self.out.client(key).authenticated;
            let limits = Limits { authenticated, max_bulk: self.settings.max_bulk };
            match parser.parse(&buf[at..filled], limits) {
                Ok(Some(length)) => {
                    if !parser.is_empty() {
                        let whole = &buf[at..filled];
                        let args: Vec<&[u8]> =
                            (0..parser.len()).map(|index| parser.arg(whole, index)).collect();
                        self.execute(key, &args);
                    }
                    at += length;
                    resumed = false;
                }
                Ok(None) => break,
                Err(error) => {
                    self.refuse_stream(key, error);
                    at = filled;
                }
            }
        }
        self.out.executing = None;
        let client = self.out.client(key);
        if client.closing && client.output.pending() == 0 {
            // It wanted no answers, so no write will end it.
            self.out.doom(key);
        }
        let unfinished = self.keep_rest(key, &mut buf, at, filled);
        let remember = unfinished && parser.is_inside() && parser.len() > REMEMBER_FROM;
        if remember {
            self.out.client_mut(key).parser = Some(Box::new(parser));
        } else {
            self.parser = if parser.is_inside() { CommandParser::default() } else { parser };
        }
        self.out.chunks.fill(home, buf);
        self.out.chunks.release(home);
        self.out.settle_watched(self.now);
        if let Some(peers) = &mut self.peers {
            peers.wake_marked();
        }
    }

    /// Keeps the beginning of an unfinished command; says whether there is one.
    fn keep_rest(&mut self, key: ClientKey, buf: &mut Vec<u8>, at: usize, filled: usize) -> bool {
        let rest = filled - at;
        if rest == 0 {
            return false;
        }
        if rest > self.settings.max_query {
            self.out.stats.cut_by_query += 1;
            self.out.doom(key);
            return false;
        }
        // One that is too long to be copied at each read keeps its buffer.
        let inbox = if at == 0 && rest > LONG { std::mem::take(buf) } else { buf[at..filled].to_vec() };
        let client = self.out.client_mut(key);
        client.inbox = inbox;
        client.inbox_filled = rest;
        true
    }

    fn refuse_stream(&mut self, key: ClientKey, error: ProtocolError) {
        let mut text = b"ERR Protocol error: ".to_vec();
        match error {
            ProtocolError::ExpectedDollar(byte) => {
                text.extend_from_slice(b"expected '$', got '");
                text.extend_from_slice(&[byte, b'\'']);
            }
            other => text.extend_from_slice(other.to_string().as_bytes()),
        }
        self.error(key, &text);
        self.out.client_mut(key).closing = true;
    }

    /// The quick way of a fast publisher: a run of PUBLISHes becomes a run of messages where it lies.
    #[inline]
    fn publish_pipelined(&mut self, key: ClientKey, buf: &mut [u8], home: (u32, u32)) -> usize {
        let Some(channel) = publish_channel(buf) else { return 0 };
        let most = if self.out.client(key).is_subscriber() { 1 } else { usize::MAX };
        let run = publish_run(buf, self.settings.max_bulk, most);
        if run.count == 0 {
            return 0;
        }
        let id = self.place(Kind::Channel, &buf[channel], &buf[..run.length]);
        let receivers = self.fan_out(Kind::Channel, id, &mut Frames::Own(&mut buf[..run.length]), home);
        self.out.integers(key, receivers, run.count);
        self.out.stats.commands += run.count as u64;
        let client = self.out.client_mut(key);
        client.commands += run.count as u64;
        client.last_command = "publish";
        self.out.finish_command(key);
        run.length
    }

    /// Publishes one message; gives how many got it.
    pub(super) fn publish(&mut self, kind: Kind, channel: &[u8], payload: &[u8]) -> usize {
        let mut frame = Vec::with_capacity(channel.len() + payload.len() + 64);
        let head = if kind == Kind::Shard { MessageHead::Shard } else { MessageHead::Message };
        Writer::new(&mut frame, Protocol::Resp2).message(head, channel, payload);
        let home = self.out.chunks.reserve();
        let id = self.place(kind, channel, &frame);
        let receivers = self.fan_out(kind, id, &mut Frames::Own(&mut frame), (home, 0));
        self.out.chunks.fill(home, frame);
        self.out.chunks.release(home);
        receivers
    }

    /// Finds a channel that has subscribers, and notes the patterns that match it.
    #[inline]
    pub(super) fn look_up(&mut self, kind: Kind, channel: &[u8]) -> Option<TopicId> {
        let id = self.registry.topics(kind).find(channel);
        self.matching.clear();
        if kind != Kind::Shard {
            self.registry.matching(channel, id, &mut self.matching);
        }
        id
    }

    /// Delivers RESP2 `message` (or `smessage`) frames, all to the channel that was just looked up, to the
    /// subscribers of this event loop. Gives the receivers of each frame, on all loops. The frames may be
    /// turned into RESP3 ones.
    pub(super) fn fan_out(
        &mut self,
        kind: Kind,
        id: Option<TopicId>,
        frames: &mut Frames<'_>,
        home: (ChunkId, u32),
    ) -> usize {
        let targets = Targets { registry: &self.registry, kind, id, patterns: &self.matching };
        targets.deliver(&mut self.out, &mut self.scratch, frames, home);
        targets.receivers()
    }
}

/// Frames to be delivered.
#[derive(Debug)]
pub(super) enum Frames<'a> {
    /// They may be changed.
    Own(&'a mut [u8]),
    /// Others read them too.
    Common(&'a [u8]),
}

impl Frames<'_> {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Common(bytes) => bytes,
        }
    }

    fn part(&mut self, from: usize, to: usize) -> Frames<'_> {
        match self {
            Self::Own(bytes) => Frames::Own(&mut bytes[from..to]),
            Self::Common(bytes) => Frames::Common(&bytes[from..to]),
        }
    }
}

/// Who gets a message.
struct Targets<'a> {
    registry: &'a Registry,
    kind: Kind,
    id: Option<TopicId>,
    patterns: &'a [TopicId],
}

impl Targets<'_> {
    /// How many there are, on all event loops.
    fn receivers(&self) -> usize {
        let direct = self.id.map_or(0, |id| self.registry.topics(self.kind).receivers(id));
        let patterns = self.patterns.iter().map(|&id| self.registry.patterns().receivers(id));
        direct + patterns.sum::<usize>()
    }

    fn deliver(
        &self,
        out: &mut Outbox,
        scratch: &mut Vec<u8>,
        frames: &mut Frames<'_>,
        home: (ChunkId, u32),
    ) {
        if self.patterns.is_empty() {
            return self.deliver_direct(out, scratch, frames, home);
        }
        let mut at = 0;
        while at < frames.bytes().len() {
            let length = message_length(&frames.bytes()[at..]);
            let mut frame = frames.part(at, at + length);
            let home = (home.0, home.1 + at as u32);
            self.deliver_direct(out, scratch, &mut frame, home);
            self.deliver_by_pattern(out, scratch, frame.bytes());
            at += length;
        }
    }

    fn deliver_direct(
        &self,
        out: &mut Outbox,
        scratch: &mut Vec<u8>,
        frames: &mut Frames<'_>,
        home: (ChunkId, u32),
    ) {
        if let Some(id) = self.id {
            let subscribers = self.registry.topics(self.kind).subscribers(id);
            deliver_to(subscribers, out, scratch, frames, home);
        }
    }

    /// One message, pattern by pattern, after the channel's own subscribers, as Redis does.
    fn deliver_by_pattern(&self, out: &mut Outbox, scratch: &mut Vec<u8>, message: &[u8]) {
        for &pattern in self.patterns {
            let subscribers = self.registry.patterns().subscribers(pattern);
            if subscribers.is_empty() {
                continue;
            }
            let mut frame = Vec::with_capacity(message.len() + 64);
            let mut writer = Writer::new(&mut frame, Protocol::Resp2);
            writer.push(4);
            writer.bulk(b"pmessage");
            writer.bulk(self.registry.patterns().name(pattern));
            frame.extend_from_slice(&message[MESSAGE_HEAD..]);
            let home = out.chunks.reserve();
            deliver_to(subscribers, out, scratch, &mut Frames::Own(&mut frame), (home, 0));
            out.chunks.fill(home, frame);
            out.chunks.release(home);
        }
    }
}

/// Delivers the same RESP2 frames to clients of both protocols.
fn deliver_to(
    clients: &[ClientKey],
    out: &mut Outbox,
    scratch: &mut Vec<u8>,
    frames: &mut Frames<'_>,
    home: (ChunkId, u32),
) {
    let modern = clients.iter().filter(|&&key| out.client(key).protocol == Protocol::Resp3).count();
    let changed = match frames {
        Frames::Own(bytes) if modern > 0 && modern == clients.len() => {
            to_resp3(bytes);
            true
        }
        _ => false,
    };
    let piece = Piece { bytes: frames.bytes(), home };
    if modern == 0 || changed {
        clients.iter().for_each(|&key| out.deliver(key, piece));
        return;
    }
    let mut twin = std::mem::take(scratch);
    twin.clear();
    twin.extend_from_slice(piece.bytes);
    to_resp3(&mut twin);
    let twin_home = out.chunks.reserve();
    let new = Piece { bytes: &twin, home: (twin_home, 0) };
    for &key in clients {
        let piece = if out.client(key).protocol == Protocol::Resp3 { new } else { piece };
        out.deliver(key, piece);
    }
    if twin.len() < SHARE_FROM {
        // Nobody shares it.
        *scratch = twin;
    } else {
        out.chunks.fill(twin_home, twin);
    }
    out.chunks.release(twin_home);
}

/// Turns one `pmessage` or any number of `message` and `smessage` frames into pushes.
fn to_resp3(frames: &mut [u8]) {
    if frames.starts_with(b"*4") {
        frames[0] = b'>';
    } else {
        messages_to_resp3(frames);
    }
}
