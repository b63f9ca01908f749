//! One connected client, as the engine knows it.

use super::output::Output;
use super::registry::{Kind, TopicId};
use crate::clock::Nanos;
use crate::engine::stream::Stream;
use crate::wire::resp::{CommandParser, Protocol};
use std::collections::BTreeSet;

/// What CLIENT REPLY asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum ReplyMode {
    /// All replies.
    #[default]
    On,
    /// None.
    Off,
    /// None to this command (CLIENT REPLY SKIP itself) and the next.
    SkipNext,
    /// None to this command.
    Skip,
}

/// Commands queued between MULTI and EXEC.
#[derive(Debug, Default)]
pub(super) struct Transaction {
    /// Each with its arguments.
    pub(super) queued: Vec<Vec<Vec<u8>>>,
    /// Whether one of them was refused, so that EXEC will be.
    pub(super) broken: bool,
}

/// What a client says of itself; most say nothing.
#[derive(Debug, Default)]
pub(super) struct Identity {
    /// CLIENT SETNAME.
    pub(super) name: Vec<u8>,
    /// CLIENT SETINFO LIB-NAME.
    pub(super) lib_name: Vec<u8>,
    /// CLIENT SETINFO LIB-VER.
    pub(super) lib_ver: Vec<u8>,
    /// CLIENT NO-EVICT.
    pub(super) no_evict: bool,
    /// CLIENT NO-TOUCH.
    pub(super) no_touch: bool,
}

/// Everything kept per connection. An idle one costs its size and no heap beyond.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) output: Output,
    pub(super) protocol: Protocol,
    pub(super) reply: ReplyMode,
    /// The socket took all it was last given.
    pub(super) writable: bool,
    /// The socket may have more to read; the client is in the queue of readers.
    pub(super) readable: bool,
    /// The other end said that it sends nothing more.
    pub(super) hung_up: bool,
    /// In the list of clients with something to write.
    pub(super) dirty: bool,
    /// In the list of clients whose backlog is to be looked at.
    pub(super) watched: bool,
    /// Nothing more is read; closed once the output is written.
    pub(super) closing: bool,
    /// To be closed at the end of this step; gets nothing more.
    pub(super) doomed: bool,
    pub(super) authenticated: bool,
    /// What SELECT said; there is nothing in any of them.
    pub(super) database: u8,
    pub(super) stream: Stream,
    pub(super) channels: BTreeSet<TopicId>,
    pub(super) patterns: BTreeSet<TopicId>,
    pub(super) shards: BTreeSet<TopicId>,
    /// Begins with a command that is not whole yet; has room for more behind it if it is long.
    pub(super) inbox: Vec<u8>,
    /// Bytes of `inbox` that have come.
    pub(super) inbox_filled: usize,
    /// How far a long unfinished command is understood.
    pub(super) parser: Option<Box<CommandParser>>,
    pub(super) transaction: Option<Box<Transaction>>,
    /// Pushes that follow the reply to the command being executed.
    pub(super) deferred: Vec<u8>,
    pub(super) identity: Option<Box<Identity>>,
    pub(super) id: u64,
    pub(super) connected_at: Nanos,
    pub(super) active_at: Nanos,
    /// Since when the backlog is above the soft limit.
    pub(super) over_soft_since: Option<Nanos>,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    pub(super) commands: u64,
    pub(super) last_command: &'static str,
}

impl Client {
    /// A client that just connected.
    pub(super) fn new(stream: Stream, id: u64, authenticated: bool, now: Nanos) -> Self {
        Self {
            output: Output::default(),
            protocol: Protocol::Resp2,
            reply: ReplyMode::On,
            writable: true,
            readable: false,
            hung_up: false,
            dirty: false,
            watched: false,
            closing: false,
            doomed: false,
            authenticated,
            database: 0,
            stream,
            channels: BTreeSet::new(),
            patterns: BTreeSet::new(),
            shards: BTreeSet::new(),
            inbox: Vec::new(),
            inbox_filled: 0,
            parser: None,
            transaction: None,
            deferred: Vec::new(),
            identity: None,
            id,
            connected_at: now,
            active_at: now,
            over_soft_since: None,
            bytes_in: 0,
            bytes_out: 0,
            commands: 0,
            last_command: "NULL",
        }
    }

    /// What it subscribed to.
    pub(super) fn subscriptions(&mut self, kind: Kind) -> &mut BTreeSet<TopicId> {
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => &mut self.patterns,
            Kind::Shard => &mut self.shards,
        }
    }

    /// Whether it has any subscription: then the limits for subscribers apply, and RESP2 restricts it.
    #[inline]
    pub(super) fn is_subscriber(&self) -> bool {
        !(self.channels.is_empty() && self.patterns.is_empty() && self.shards.is_empty())
    }

    /// Whether a pipelined PUBLISH needs no look at the client's state.
    #[inline]
    pub(super) fn publishes_freely(&self) -> bool {
        self.authenticated
            && self.transaction.is_none()
            && self.reply == ReplyMode::On
            && (self.protocol == Protocol::Resp3 || !self.is_subscriber())
    }

    /// What it said of itself, to be changed.
    pub(super) fn identity_mut(&mut self) -> &mut Identity {
        self.identity.get_or_insert_default()
    }
}
