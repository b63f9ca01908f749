//! What the JetStream driver can be told: the longest of the drivers' vocabularies.

use super::options::{AckPolicy, ConsumerKind, DeliverPolicy, Discard, Retention, Storage};
use super::spec::{Default, Key, Kind, key};
use super::spec_drivers::CLIENT;
use super::words::words;

/// Messages or bytes, 0 for no limit.
const LIMIT: Kind = Kind::Whole { min: 0, max: 1_000_000_000_000_000 };

/// `options = { … }` of `jetstream`.
pub(super) static JETSTREAM: &[Key] = &[
    CLIENT,
    key("storage", Kind::Word(words::<Storage>), Default::Is("\"file\""), "Where the stream is kept."),
    key("replicas", Kind::Whole { min: 1, max: 5 }, Default::Is("1"), "Copies of the stream."),
    key(
        "sync",
        Kind::AnyOf(&[Kind::Literal("always"), Kind::Span]),
        Default::Is("\"2m\""),
        "How a server that busmark starts syncs its files: on each write, or in this interval.",
    ),
    key(
        "consumer",
        Kind::Word(words::<ConsumerKind>),
        Default::Is("\"pull\""),
        "Asked for, sent, or ordered: asked for, never acknowledged, and made again whenever a message is missing.",
    ),
    key("ack", Kind::Word(words::<AckPolicy>), Default::Is("\"explicit\""), "How messages are acknowledged."),
    key("ack_wait", Kind::Span, Default::Is("\"30s\""), "Redelivery after this."),
    key(
        "max_ack_pending",
        Kind::Whole { min: 0, max: 10_000_000 },
        Default::Is("1000"),
        "Unacknowledged deliveries at most, for each consumer; 0 for no limit.",
    ),
    key("deliver", Kind::Word(words::<DeliverPolicy>), Default::Is("\"all\""), "Where a consumer starts."),
    key("pull_batch", Kind::Whole { min: 1, max: 100_000 }, Default::Is("500"), "Messages per pull request."),
    key(
        "retention",
        Kind::Word(words::<Retention>),
        Default::Is("\"limits\""),
        "What removes a message: limits, all consumers, or the one consumer.",
    ),
    key("max_messages", LIMIT, Default::Is("0"), "Messages that the stream keeps at most; 0 for no limit."),
    key("max_bytes", LIMIT, Default::Is("0"), "Bytes that the stream keeps at most; 0 for no limit."),
    key("max_age", Kind::Span, Default::Is("\"0s\""), "Age of a kept message at most; 0s for no limit."),
    key(
        "discard",
        Kind::Word(words::<Discard>),
        Default::Is("\"old\""),
        "What goes when the stream is full.",
    ),
    key(
        "max_deliver",
        Kind::Whole { min: 0, max: 1_000_000 },
        Default::Is("0"),
        "Deliveries of one message at most; 0 for no limit.",
    ),
    key(
        "message_ids",
        Kind::Flag,
        Default::Is("false"),
        "Give each message an id by which the server knows a second copy.",
    ),
];
