//! What the Kafka driver can be told.

use std::time::Duration;

/// Partitions over all topics at most: each is a directory and three files at every broker that has it.
pub const KAFKA_PARTITIONS_MAX: u32 = 4_000;

/// Apache Kafka: one topic of its own for each of the scenario's topics.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaOptions {
    /// Whose answer a publisher waits for.
    pub acks: KafkaAcks,
    /// How long a message may wait for others to share a batch with.
    pub linger: Duration,
    /// Bytes of a batch at most.
    pub batch_bytes: u32,
    /// The broker knows a batch that is sent again, and the client sends it again by itself.
    pub idempotence: bool,
    /// How batches are compressed.
    pub compression: Compression,
    /// Partitions of each topic.
    pub partitions: u32,
    /// Copies of each partition.
    pub replicas: u8,
    /// How subscribers read.
    pub consumer: KafkaConsumer,
    /// How often a group's positions are committed.
    pub commit_interval: Duration,
    /// When the broker writes messages to disk.
    pub flush: KafkaFlush,
}

impl Default for KafkaOptions {
    /// As a scenario that says nothing.
    fn default() -> Self {
        Self {
            acks: KafkaAcks::All,
            linger: Duration::ZERO,
            batch_bytes: 16_384,
            idempotence: false,
            compression: Compression::None,
            partitions: 1,
            replicas: 1,
            consumer: KafkaConsumer::Group,
            commit_interval: Duration::from_secs(5),
            flush: KafkaFlush::Os,
        }
    }
}

/// Whose answer a publisher waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KafkaAcks {
    /// Nobody's.
    None,
    /// The partition's leader's.
    Leader,
    /// All replicas' that are in sync.
    All,
}

/// How batches are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    /// Not at all.
    None,
    /// LZ4.
    Lz4,
    /// Snappy.
    Snappy,
}

/// How subscribers read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KafkaConsumer {
    /// As a member of a group, whose coordinator hands out the partitions and keeps the positions.
    Group,
    /// All partitions from their beginning, without a group.
    Assign,
}

/// When a broker writes messages to disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KafkaFlush {
    /// When the operating system does, which is Kafka's default.
    Os,
    /// Before the answer.
    Always,
}
