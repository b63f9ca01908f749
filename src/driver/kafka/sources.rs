//! Which partitions a subscribing connection may read, by number, and how far each receiver came with them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use super::Names;
use crate::driver::DriverError;
use crate::driver::readers::Readers;
use crate::scenario::{Subscription, TopicId, Topology};

/// A topic that a connection reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Source {
    pub(super) topic: TopicId,
    /// Index of the subscription that reads it, and its receiver.
    pub(super) subscription: u32,
    pub(super) receiver: u32,
}

/// The topics of a connection; each of their partitions has a slot.
#[derive(Debug)]
pub(super) struct Sources {
    names: Names,
    partitions: u32,
    topology: Topology,
    all: Vec<Source>,
    /// By topic: index into `all`.
    by_topic: Vec<Option<u32>>,
}

impl Sources {
    pub(super) fn new(
        names: Names,
        partitions: u32,
        topology: &Topology,
        subscriptions: &[Subscription],
    ) -> Result<Self, DriverError> {
        let readers = Readers::new(super::NAME, topology, subscriptions)?;
        let mut by_topic = vec![None; topology.topics as usize];
        let mut all = Vec::new();
        for topic in readers.topics() {
            let (_, subscription) = readers.find(topology.topic_name(topic).as_bytes())?;
            by_topic[topic.0 as usize] = Some(all.len() as u32);
            let receiver = subscriptions[subscription as usize].receiver;
            all.push(Source { topic, subscription, receiver });
        }
        Ok(Self { names, partitions, topology: topology.clone(), all, by_topic })
    }

    /// The names of the topics at the broker.
    pub(super) fn names(&self) -> Vec<&str> {
        self.all.iter().map(|source| self.names.of(source.topic)).collect()
    }

    /// The slot of a partition, if this connection reads its topic.
    pub(super) fn slot(&self, name: &str, partition: i32) -> Option<u32> {
        let topic = self.topology.parse_topic(self.names.without_generation(name)?.as_bytes())?;
        let source = self.by_topic.get(topic.0 as usize).copied().flatten()?;
        let partition = u32::try_from(partition).ok().filter(|&partition| partition < self.partitions)?;
        Some(source * self.partitions + partition)
    }

    /// What a slot is: the topic, and its partition.
    pub(super) fn of(&self, slot: u32) -> (Source, u32) {
        (self.all[(slot / self.partitions) as usize], slot % self.partitions)
    }

    /// How many slots there are.
    pub(super) fn slots(&self) -> usize {
        self.all.len() * self.partitions as usize
    }

    /// The name of a slot's topic at the broker.
    pub(super) fn name(&self, slot: u32) -> &str {
        self.names.of(self.of(slot).0.topic)
    }
}

/// Offsets up to which receivers have read and finished with partitions, by receiver, topic and partition.
/// Subscribers add theirs at their end.
#[derive(Debug, Default)]
pub(super) struct Accounts(Mutex<HashMap<(u32, u32, u32), i64>>);

impl Accounts {
    /// Forgets an earlier trial.
    pub(super) fn clear(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// A receiver needs nothing before `offset` of a partition any more.
    pub(super) fn done(&self, source: Source, partition: u32, offset: i64) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let known = all.entry((source.receiver, source.topic.0, partition)).or_default();
        *known = offset.max(*known);
    }

    /// See [`Accounts::done`]; 0 where nothing was ever done.
    pub(super) fn of(&self, receiver: u32, topic: TopicId, partition: u32) -> i64 {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&(receiver, topic.0, partition)).copied().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Subscribe;

    fn topology() -> Topology {
        Topology {
            subscribers: 2,
            subscriber_connections: 2,
            topics: 6,
            subscribe: Subscribe::Paired,
            payload_max: 16,
            prefix: "bm".to_owned(),
            ..Topology::default()
        }
    }

    #[test]
    fn each_partition_of_a_connection_has_a_slot_and_others_have_none() {
        let topology = topology();
        let names = Names::new(&topology, 3);
        let sources = Sources::new(names.clone(), 4, &topology, &topology.subscriptions_on(1)).unwrap();
        assert_eq!(sources.slots(), 12, "three topics of four partitions");
        for (index, topic) in [1, 3, 5].map(TopicId).into_iter().enumerate() {
            for partition in 0..4 {
                let slot = sources.slot(names.of(topic), partition).unwrap();
                assert_eq!(slot, index as u32 * 4 + partition as u32);
                let (source, of) = sources.of(slot);
                assert_eq!((source.topic, source.receiver, of as i32), (topic, 1, partition));
                assert_eq!(sources.name(slot), names.of(topic));
            }
        }
        assert_eq!(sources.slot(names.of(TopicId(0)), 0), None, "a topic of the other connection");
        assert_eq!(sources.slot(names.of(TopicId(1)), 4), None, "a partition that isn't there");
        let other = Names::new(&topology, 4);
        assert_eq!(sources.slot(other.of(TopicId(1)), 0), None, "a topic of another trial");
    }

    #[test]
    fn the_furthest_member_of_a_group_counts() {
        let accounts = Accounts::default();
        let source = Source { topic: TopicId(2), subscription: 0, receiver: 1 };
        accounts.done(source, 0, 5);
        accounts.done(source, 0, 3);
        assert_eq!([accounts.of(1, TopicId(2), 0), accounts.of(1, TopicId(2), 1)], [5, 0]);
        accounts.clear();
        assert_eq!(accounts.of(1, TopicId(2), 0), 0);
    }
}
