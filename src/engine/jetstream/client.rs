//! One client's connection.

use super::access::Permissions;
use super::output::Output;
use crate::clock::Nanos;
use crate::engine::stream::Stream;
use crate::wire::nats::ConnectOptions;
use slab::Slab;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// A subscription.
#[derive(Debug)]
pub(super) struct Subscription {
    pub(super) sid: Box<[u8]>,
    pub(super) subject: Box<[u8]>,
    /// Empty for plain subscriptions.
    pub(super) queue: Box<[u8]>,
    pub(super) delivered: u64,
    /// Ends after so many deliveries; 0 is never.
    pub(super) max: u64,
}

/// What CONNECT said, as far as the message path needs it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ways {
    pub(super) verbose: bool,
    pub(super) pedantic: bool,
    pub(super) echo: bool,
    pub(super) headers: bool,
    pub(super) no_responders: bool,
    /// Whether it understands INFO at any time.
    pub(super) informed: bool,
}

impl From<&ConnectOptions> for Ways {
    fn from(options: &ConnectOptions) -> Self {
        Self {
            verbose: options.verbose,
            pedantic: options.pedantic,
            echo: options.echo,
            headers: options.headers,
            no_responders: options.no_responders,
            informed: options.protocol > 0,
        }
    }
}

/// Who a client is, as the monitoring shows it.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) id: u64,
    pub(super) address: SocketAddr,
    /// What it was asked to sign.
    pub(super) nonce: String,
    /// The user's name or key; empty if nobody asked.
    pub(super) user: String,
    pub(super) name: String,
    pub(super) lang: String,
    pub(super) version: String,
    /// When it came, in nanoseconds since 1970.
    pub(super) since: u64,
}

/// A question to a client that may only answer.
#[derive(Debug, Clone, Copy)]
pub(super) struct Question {
    pub(super) asked_at: Nanos,
    pub(super) answers: u64,
}

/// What a client has sent and got.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Traffic {
    pub(super) in_messages: u64,
    pub(super) in_bytes: u64,
    pub(super) out_messages: u64,
    pub(super) out_bytes: u64,
}

/// A client.
#[derive(Debug)]
pub(super) struct Client {
    pub(super) stream: Stream,
    pub(super) identity: Box<Identity>,
    pub(super) traffic: Traffic,
    /// Number of its account.
    pub(super) account: u32,
    /// What it may do; `None` is everything.
    pub(super) permissions: Option<Arc<Permissions>>,
    /// Questions it may answer, by where the answers go.
    pub(super) questions: HashMap<Box<[u8]>, Question>,
    /// Whether some messages of its subscriptions are kept from it.
    pub(super) narrowed: bool,
    pub(super) ways: Ways,
    /// Whether it has shown who it is, or nobody asks.
    pub(super) authorised: bool,
    /// When it has to go again, in seconds since 1970.
    pub(super) expires: Option<u64>,
    /// What it is told first, where it has not been told yet: it may want to encrypt before.
    pub(super) greeting: Option<Vec<u8>>,
    /// Bytes of an operation that is not whole yet.
    pub(super) unread: Vec<u8>,
    pub(super) output: Output,
    pub(super) subscriptions: Slab<Subscription>,
    pub(super) by_sid: HashMap<Box<[u8]>, u32>,
    /// Whether the socket takes more.
    pub(super) writable: bool,
    /// Whether it is on the list of those to be written to.
    pub(super) dirty: bool,
    /// Whether it is on the list of those whose backlog grows.
    pub(super) hot: bool,
    /// Whether it is on the list of those to be read.
    pub(super) queued: bool,
    /// Nothing more is read; closed when all is written.
    pub(super) closing: bool,
    /// Closed at the end of the tick.
    pub(super) doomed: bool,
    pub(super) connected_at: Nanos,
    pub(super) heard_at: Nanos,
    pub(super) pings_out: u32,
    /// Since when bytes wait and none goes out.
    pub(super) stuck_since: Option<Nanos>,
}

impl Client {
    /// A client that has just come in.
    pub(super) fn new(stream: Stream, identity: Identity, now: Nanos) -> Self {
        Self {
            stream,
            identity: Box::new(identity),
            traffic: Traffic::default(),
            account: 0,
            permissions: None,
            questions: HashMap::new(),
            narrowed: false,
            ways: Ways::from(&ConnectOptions::default()),
            authorised: false,
            expires: None,
            greeting: None,
            unread: Vec::new(),
            output: Output::default(),
            subscriptions: Slab::new(),
            by_sid: HashMap::new(),
            writable: true,
            dirty: false,
            hot: false,
            queued: false,
            closing: false,
            doomed: false,
            connected_at: now,
            heard_at: now,
            pings_out: 0,
            stuck_since: None,
        }
    }

    /// Whether nothing more is to be sent to it.
    pub(super) fn is_leaving(&self) -> bool {
        self.closing || self.doomed
    }
}
