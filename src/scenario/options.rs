//! What each driver can be told in `options = { … }`.

use std::time::Duration;

/// Faults and delay of the in-memory bus. Ratios are per message and per receiver, 0 to 1.
#[derive(Debug, Clone, PartialEq)]
pub struct LoopbackOptions {
    /// Share of deliveries that vanish.
    pub drop: f64,
    /// Share of deliveries made twice.
    pub duplicate: f64,
    /// Share of deliveries swapped with the one behind them.
    pub reorder: f64,
    /// Share of deliveries with a bit flipped behind the stamp.
    pub corrupt: f64,
    /// Time every delivery takes.
    pub delay: Duration,
    /// Stop delivering once, this long after the first message …
    pub stall_at: Duration,
    /// … for this long (zero: never).
    pub stall_for: Duration,
}

/// Redis Pub/Sub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisPubsubOptions {
    /// Who builds the frames.
    pub client: Client,
    /// What subscribers speak.
    pub protocol: SubscriberProtocol,
}

impl Default for RedisPubsubOptions {
    fn default() -> Self {
        Self { client: Client::Wire, protocol: SubscriberProtocol::Resp2 }
    }
}

/// What subscribers speak to a Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubscriberProtocol {
    /// RESP2, which every connection starts with.
    Resp2,
    /// RESP3, after HELLO 3.
    Resp3,
    /// RESP3 on every other connection.
    Mixed,
}

impl SubscriberProtocol {
    /// Whether the subscribing connection with this number speaks RESP3.
    #[must_use]
    pub fn is_resp3(self, connection: u32) -> bool {
        match self {
            Self::Resp2 => false,
            Self::Resp3 => true,
            Self::Mixed => connection % 2 == 1,
        }
    }
}

/// Who builds the frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Client {
    /// busmark's own codec over a plain socket: what the broker can do.
    Wire,
    /// The language's usual client library: what an application sees.
    Library,
}

impl Client {
    /// As written in a scenario.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Wire => "wire",
            Self::Library => "library",
        }
    }
}

/// NATS core. A work queue uses one queue group per set of subscribers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NatsCoreOptions {
    /// Who builds the frames.
    pub client: Client,
}

impl Default for NatsCoreOptions {
    fn default() -> Self {
        Self { client: Client::Wire }
    }
}

/// NATS JetStream: one stream over all topics, one consumer per receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JetstreamOptions {
    /// Who builds the frames.
    pub client: Client,
    /// Where the stream is kept.
    pub storage: Storage,
    /// Copies of the stream.
    pub replicas: u8,
    /// How a managed server syncs its files.
    pub sync: Sync,
    /// How messages come to the subscriber.
    pub consumer: ConsumerKind,
    /// How they are acknowledged.
    pub ack: AckPolicy,
    /// Redelivery after this.
    pub ack_wait: Duration,
    /// Unacknowledged deliveries at most; 0 for no limit.
    pub max_ack_pending: u32,
    /// Where a consumer starts.
    pub deliver: DeliverPolicy,
    /// Messages per pull request.
    pub pull_batch: u32,
    /// What makes the stream remove a message.
    pub retention: Retention,
    /// Messages kept at most; 0 for no limit.
    pub max_messages: u64,
    /// Bytes kept at most, as the server counts them; 0 for no limit.
    pub max_bytes: u64,
    /// Age of the oldest message at most; zero for no limit.
    pub max_age: Duration,
    /// What goes when the stream is full.
    pub discard: Discard,
    /// Deliveries of one message at most; 0 for no limit.
    pub max_deliver: u32,
    /// Each message carries an id by which the server knows a second copy.
    pub message_ids: bool,
}

impl Default for JetstreamOptions {
    /// As a scenario that says nothing.
    fn default() -> Self {
        Self {
            client: Client::Wire,
            storage: Storage::File,
            replicas: 1,
            sync: Sync::Interval(Duration::from_secs(120)),
            consumer: ConsumerKind::Pull,
            ack: AckPolicy::Explicit,
            ack_wait: Duration::from_secs(30),
            max_ack_pending: 1000,
            deliver: DeliverPolicy::All,
            pull_batch: 500,
            retention: Retention::Limits,
            max_messages: 0,
            max_bytes: 0,
            max_age: Duration::ZERO,
            discard: Discard::Old,
            max_deliver: 0,
            message_ids: false,
        }
    }
}

impl JetstreamOptions {
    /// Whether the stream may remove what a consumer has not seen.
    #[must_use]
    pub fn has_limits(&self) -> bool {
        self.max_messages > 0 || self.max_bytes > 0 || !self.max_age.is_zero()
    }
}

/// What makes a stream remove a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// Its limits alone.
    Limits,
    /// That all consumers have acknowledged it.
    Interest,
    /// That its one consumer has acknowledged it.
    WorkQueue,
}

/// What goes when a stream is full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Discard {
    /// The oldest message.
    Old,
    /// The new one: it is refused.
    New,
}

/// Redis Streams: one stream for each topic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisStreamsOptions {
    /// How subscribers read.
    pub consumer: StreamConsumer,
    /// Entries that each stream keeps; 0 keeps all.
    pub max_length: u64,
    /// How exactly it keeps to that.
    pub trim: Trim,
    /// When a managed server writes its append-only file to disk.
    pub aof: Aof,
    /// Entries per read, of each stream.
    pub batch: u32,
    /// Entries that nobody acknowledged for so long are claimed by another member; zero never.
    pub claim_after: Duration,
}

/// How subscribers read a Redis stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StreamConsumer {
    /// XREADGROUP and XACK.
    Group,
    /// XREAD, each from where it was; nothing is acknowledged.
    Read,
}

/// How exactly a stream keeps to its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trim {
    /// `MAXLEN ~`: whole pages of entries go at a time.
    Approximate,
    /// `MAXLEN =`.
    Exact,
}

/// When an append-only file reaches the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Aof {
    /// There is none, which is Redis's default.
    Off,
    /// Once a second.
    EverySecond,
    /// Before the answer.
    Always,
}

/// Pub/Sub on a Redis Cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisClusterOptions {
    /// Whose messages go where.
    pub mode: ClusterMode,
}

/// How messages go through a Redis Cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClusterMode {
    /// PUBLISH: every node passes every message on to all others.
    Classic,
    /// SPUBLISH: a message stays on the node that serves its topic's slot.
    Sharded,
}

/// Where a stream is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Storage {
    /// On disk.
    File,
    /// In memory.
    Memory,
}

/// How the server syncs a file stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sync {
    /// In this interval (the server's default is two minutes).
    Interval(Duration),
    /// fsync on each write.
    Always,
}

/// How messages come to a subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConsumerKind {
    /// The subscriber asks for batches.
    Pull,
    /// The server sends as they come.
    Push,
    /// The subscriber asks, and makes the consumer again behind its last message whenever one is missing.
    Ordered,
}

/// How messages are acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AckPolicy {
    /// Not at all.
    None,
    /// One ack covers all before it.
    All,
    /// One by one.
    Explicit,
}

/// Where a consumer starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliverPolicy {
    /// At the first message of the stream.
    All,
    /// At messages published from now on.
    New,
    /// At the last message.
    Last,
    /// At the last message of each topic.
    LastPerTopic,
}
