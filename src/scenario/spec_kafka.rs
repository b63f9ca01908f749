//! What the Kafka driver can be told, as a scenario writes it.

use super::options_kafka::{Compression, KAFKA_PARTITIONS_MAX, KafkaAcks, KafkaConsumer, KafkaFlush};
use super::spec::{Default, Key, Kind, key};
use super::words::words;

/// `options = { … }` of `kafka`.
pub(super) static KAFKA: &[Key] = &[
    key(
        "acks",
        Kind::Word(words::<KafkaAcks>),
        Default::Is("\"all\""),
        "Whose answer counts: nobody's, the leader's, or that of all replicas in sync.",
    ),
    key("linger", Kind::Span, Default::Is("\"0us\""), "How long a message may wait for others to join it."),
    key(
        "batch_bytes",
        Kind::Whole { min: 1, max: 100_000_000 },
        Default::Is("16384"),
        "Bytes of a batch at most.",
    ),
    key(
        "idempotence",
        Kind::Flag,
        Default::Is("false"),
        "The client sends batches again by itself, and the broker knows them; needs acks = \"all\".",
    ),
    key(
        "compression",
        Kind::Word(words::<Compression>),
        Default::Is("\"none\""),
        "How batches are compressed.",
    ),
    key(
        "partitions",
        Kind::Whole { min: 1, max: KAFKA_PARTITIONS_MAX as u64 },
        Default::Is("1"),
        "Partitions of each topic; a publishing connection writes to one of them, so that order is kept.",
    ),
    key("replicas", Kind::Whole { min: 1, max: 3 }, Default::Is("1"), "Copies of each partition."),
    key(
        "consumer",
        Kind::Word(words::<KafkaConsumer>),
        Default::Is("\"group\""),
        "Members of a group that share its partitions, or readers of all partitions.",
    ),
    key(
        "commit_interval",
        Kind::Span,
        Default::Is("\"5s\""),
        "How often a group's positions are committed; what came after them comes again to a new member.",
    ),
    key(
        "flush",
        Kind::Word(words::<KafkaFlush>),
        Default::Is("\"os\""),
        "When messages reach the disk: when the operating system likes, or before each answer.",
    ),
];
