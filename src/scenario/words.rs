//! Values that a scenario names by a word.

use super::broker::{Server, Transport};
use super::happenings::Action;
use super::model::{Delivery, Scale, Subscribe, SubscribeBy};
use super::options::{
    AckPolicy, Aof, Client, ClusterMode, ConsumerKind, DeliverPolicy, Discard, Retention, Storage,
    StreamConsumer, SubscriberProtocol, Trim,
};
use super::options_kafka::{Compression, KafkaAcks, KafkaConsumer, KafkaFlush};
use super::sweep::Combine;

/// A value that is one word in a file.
pub(super) trait Word: Copy + PartialEq + 'static {
    /// Each value with its word.
    const WORDS: &'static [(&'static str, Self)];

    /// The word of this value.
    fn word(self) -> &'static str {
        Self::WORDS.iter().find(|(_, value)| *value == self).map_or("", |(word, _)| word)
    }
}

/// The words of a type.
pub(super) fn words<W: Word>() -> Vec<&'static str> {
    W::WORDS.iter().map(|(word, _)| *word).collect()
}

impl Word for Scale {
    const WORDS: &'static [(&'static str, Self)] = &[("local", Self::Local), ("full", Self::Full)];
}

impl Word for Subscribe {
    const WORDS: &'static [(&'static str, Self)] = &[("all", Self::All), ("paired", Self::Paired)];
}

impl Word for SubscribeBy {
    const WORDS: &'static [(&'static str, Self)] = &[("name", Self::Name), ("pattern", Self::Pattern)];
}

impl Word for SubscriberProtocol {
    const WORDS: &'static [(&'static str, Self)] =
        &[("resp2", Self::Resp2), ("resp3", Self::Resp3), ("mixed", Self::Mixed)];
}

impl Word for Delivery {
    const WORDS: &'static [(&'static str, Self)] =
        &[("fan_out", Self::FanOut), ("work_queue", Self::WorkQueue)];
}

impl Word for Action {
    const WORDS: &'static [(&'static str, Self)] =
        &[("kill", Self::Kill), ("pause", Self::Pause), ("restart", Self::Restart)];
}

impl Word for Combine {
    const WORDS: &'static [(&'static str, Self)] = &[("cross", Self::Cross), ("zip", Self::Zip)];
}

impl Word for Client {
    const WORDS: &'static [(&'static str, Self)] = &[("wire", Self::Wire), ("library", Self::Library)];
}

impl Word for Storage {
    const WORDS: &'static [(&'static str, Self)] = &[("file", Self::File), ("memory", Self::Memory)];
}

impl Word for ConsumerKind {
    const WORDS: &'static [(&'static str, Self)] =
        &[("pull", Self::Pull), ("push", Self::Push), ("ordered", Self::Ordered)];
}

impl Word for AckPolicy {
    const WORDS: &'static [(&'static str, Self)] =
        &[("none", Self::None), ("all", Self::All), ("explicit", Self::Explicit)];
}

impl Word for Retention {
    const WORDS: &'static [(&'static str, Self)] =
        &[("limits", Self::Limits), ("interest", Self::Interest), ("work_queue", Self::WorkQueue)];
}

impl Word for Discard {
    const WORDS: &'static [(&'static str, Self)] = &[("old", Self::Old), ("new", Self::New)];
}

impl Word for DeliverPolicy {
    const WORDS: &'static [(&'static str, Self)] = &[
        ("all", Self::All),
        ("new", Self::New),
        ("last", Self::Last),
        ("last_per_topic", Self::LastPerTopic),
    ];
}

impl Word for Server {
    const WORDS: &'static [(&'static str, Self)] =
        &[("redis", Self::Redis), ("valkey", Self::Valkey), ("nats", Self::Nats), ("kafka", Self::Kafka)];
}

impl Word for Transport {
    const WORDS: &'static [(&'static str, Self)] = &[("tcp", Self::Tcp), ("unix", Self::Unix)];
}

impl Word for StreamConsumer {
    const WORDS: &'static [(&'static str, Self)] = &[("group", Self::Group), ("read", Self::Read)];
}

impl Word for Trim {
    const WORDS: &'static [(&'static str, Self)] =
        &[("approximate", Self::Approximate), ("exact", Self::Exact)];
}

impl Word for Aof {
    const WORDS: &'static [(&'static str, Self)] =
        &[("off", Self::Off), ("everysec", Self::EverySecond), ("always", Self::Always)];
}

impl Word for ClusterMode {
    const WORDS: &'static [(&'static str, Self)] = &[("sharded", Self::Sharded), ("classic", Self::Classic)];
}

impl Word for KafkaAcks {
    const WORDS: &'static [(&'static str, Self)] =
        &[("all", Self::All), ("1", Self::Leader), ("0", Self::None)];
}

impl Word for Compression {
    const WORDS: &'static [(&'static str, Self)] =
        &[("none", Self::None), ("lz4", Self::Lz4), ("snappy", Self::Snappy)];
}

impl Word for KafkaConsumer {
    const WORDS: &'static [(&'static str, Self)] = &[("group", Self::Group), ("assign", Self::Assign)];
}

impl Word for KafkaFlush {
    const WORDS: &'static [(&'static str, Self)] = &[("os", Self::Os), ("always", Self::Always)];
}
