//! What each driver can be told, but for the longest of these vocabularies, those of JetStream and Kafka.

use super::options::{Aof, Client, ClusterMode, StreamConsumer, SubscriberProtocol, Trim};
use super::spec::{Default, Key, Kind, RATIO, key};
use super::spec_jetstream::JETSTREAM;
use super::spec_kafka::KAFKA;
use super::words::words;

const SHARE: Default = Default::Is("0.0");

/// Options of each driver; the names are those of [`super::DriverConfig::name`].
pub(super) static DRIVERS: &[(&str, &[Key])] = &[
    ("loopback", LOOPBACK),
    ("redis-pubsub", REDIS_PUBSUB),
    ("redis-cluster", REDIS_CLUSTER),
    ("redis-streams", REDIS_STREAMS),
    ("nats-core", NATS_CORE),
    ("jetstream", JETSTREAM),
    ("kafka", KAFKA),
];

/// The drivers that a scenario can name.
#[must_use]
pub fn driver_names() -> Vec<&'static str> {
    DRIVERS.iter().map(|(name, _)| *name).collect()
}

static LOOPBACK: &[Key] = &[
    key("drop", RATIO, SHARE, "Share of deliveries that vanish."),
    key("duplicate", RATIO, SHARE, "Share of deliveries made twice."),
    key("reorder", RATIO, SHARE, "Share of deliveries swapped with the one behind them."),
    key("corrupt", RATIO, SHARE, "Share of deliveries with a bit flipped behind the stamp."),
    key("delay", Kind::Span, Default::Is("\"0us\""), "Time every delivery takes."),
    key("stall_at", Kind::Span, Default::Is("\"0us\""), "Stop delivering this long after the first message."),
    key("stall_for", Kind::Span, Default::Is("\"0us\""), "For this long; 0us never stops."),
];

/// Who builds the frames.
pub(super) const CLIENT: Key = key(
    "client",
    Kind::Word(words::<Client>),
    Default::Is("\"wire\""),
    "busmark's own codec over a plain socket, or the usual client library.",
);

static REDIS_PUBSUB: &[Key] = &[
    CLIENT,
    key(
        "protocol",
        Kind::Word(words::<SubscriberProtocol>),
        Default::Is("\"resp2\""),
        "What subscribers speak: RESP2, RESP3 (HELLO 3), or RESP3 on every other connection.",
    ),
];

static REDIS_CLUSTER: &[Key] = &[key(
    "mode",
    Kind::Word(words::<ClusterMode>),
    Default::Is("\"sharded\""),
    "SPUBLISH to the node that serves a topic's slot, or PUBLISH, which every node passes on to all others.",
)];

static REDIS_STREAMS: &[Key] = &[
    key(
        "consumer",
        Kind::Word(words::<StreamConsumer>),
        Default::Is("\"group\""),
        "XREADGROUP with XACK, or plain XREAD.",
    ),
    key(
        "max_length",
        Kind::Whole { min: 0, max: 1_000_000_000_000 },
        Default::Is("0"),
        "Entries that each stream keeps (MAXLEN); 0 keeps all. What it drops unread is counted as discarded.",
    ),
    key(
        "trim",
        Kind::Word(words::<Trim>),
        Default::Is("\"approximate\""),
        "How exactly a stream keeps to max_length: MAXLEN ~ or MAXLEN =.",
    ),
    key(
        "aof",
        Kind::Word(words::<Aof>),
        Default::Is("\"off\""),
        "When a server that busmark starts writes its append-only file to disk.",
    ),
    key(
        "batch",
        Kind::Whole { min: 1, max: 100_000 },
        Default::Is("100"),
        "Entries per read, of each stream.",
    ),
    key(
        "claim_after",
        Kind::Span,
        Default::Is("\"0s\""),
        "Entries that a member of a group got and did not acknowledge for so long are claimed by others (XAUTOCLAIM); 0s never.",
    ),
];

static NATS_CORE: &[Key] = &[CLIENT];
