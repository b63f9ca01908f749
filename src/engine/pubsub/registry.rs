//! Who subscribed to what. Clients are keys of the outbox; channels and patterns have small numbers of
//! their own, which clients keep.

use super::glob;
use slab::Slab;
use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher, RandomState};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Names a client.
pub(super) type ClientKey = u32;
/// Names a channel, shard channel or pattern.
pub(super) type TopicId = u32;

/// Channels without subscribers whose matching patterns are remembered.
const REMEMBERED: usize = 16 * 1024;

/// The three kinds of subscriptions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// SUBSCRIBE
    Channel,
    /// PSUBSCRIBE
    Pattern,
    /// SSUBSCRIBE
    Shard,
}

/// Subscribers of a topic on other event loops.
#[derive(Debug, Default)]
struct Elsewhere {
    /// By event loop; shorter if the last ones have none.
    counts: Vec<u32>,
    /// A bit for each event loop that has some.
    loops: u64,
}

/// Hashes names with a seed nobody outside knows.
#[derive(Debug, Clone)]
struct Seeded(u64);

impl Default for Seeded {
    fn default() -> Self {
        Self(RandomState::new().hash_one(0u8))
    }
}

impl BuildHasher for Seeded {
    type Hasher = OneShot;

    #[inline]
    fn build_hasher(&self) -> OneShot {
        OneShot(self.0)
    }
}

#[derive(Debug)]
struct OneShot(u64);

impl Hasher for OneShot {
    #[inline]
    fn write(&mut self, bytes: &[u8]) {
        self.0 = xxh3_64_with_seed(bytes, self.0);
    }

    #[inline]
    fn write_usize(&mut self, _length: usize) {
        // The length is part of what xxh3 hashes.
    }

    #[inline]
    fn finish(&self) -> u64 {
        self.0
    }
}

type Names<T> = HashMap<Box<[u8]>, T, Seeded>;

/// The patterns that match a channel, as of one generation of patterns.
#[derive(Debug, Default)]
struct Matching {
    generation: u64,
    patterns: Vec<TopicId>,
}

#[derive(Debug, Default)]
struct Topic {
    name: Box<[u8]>,
    subscribers: Vec<ClientKey>,
    elsewhere: Option<Box<Elsewhere>>,
    matching: Matching,
}

/// Names with their subscribers; a name exists while somebody is subscribed.
#[derive(Debug, Default)]
pub(super) struct Topics {
    ids: Names<TopicId>,
    topics: Slab<Topic>,
}

impl Topics {
    /// The topic of this name, if anybody is subscribed to it.
    #[inline]
    pub(super) fn find(&self, name: &[u8]) -> Option<TopicId> {
        self.ids.get(name).copied()
    }

    /// The name of a topic.
    pub(super) fn name(&self, id: TopicId) -> &[u8] {
        &self.topics[id as usize].name
    }

    /// Who is subscribed on this event loop.
    #[inline]
    pub(super) fn subscribers(&self, id: TopicId) -> &[ClientKey] {
        &self.topics[id as usize].subscribers
    }

    /// How many are subscribed, on whichever event loop.
    #[inline]
    pub(super) fn receivers(&self, id: TopicId) -> usize {
        let topic = &self.topics[id as usize];
        let elsewhere = topic.elsewhere.as_ref();
        topic.subscribers.len() + elsewhere.map_or(0, |other| other.counts.iter().sum::<u32>() as usize)
    }

    /// The other event loops with subscribers, a bit each.
    #[inline]
    pub(super) fn loops(&self, id: TopicId) -> u64 {
        self.topics[id as usize].elsewhere.as_ref().map_or(0, |other| other.loops)
    }

    /// How many are subscribed to this name.
    pub(super) fn count(&self, name: &[u8]) -> usize {
        self.find(name).map_or(0, |id| self.receivers(id))
    }

    /// How many names have subscribers.
    pub(super) fn len(&self) -> usize {
        self.ids.len()
    }

    /// All names with subscribers.
    pub(super) fn names(&self) -> impl Iterator<Item = &[u8]> {
        self.topics.iter().map(|(_, topic)| &*topic.name)
    }

    /// The topic of this name, made if need be.
    pub(super) fn intern(&mut self, name: &[u8]) -> TopicId {
        if let Some(id) = self.find(name) {
            return id;
        }
        let topic = Topic { name: name.into(), ..Topic::default() };
        let id = self.topics.insert(topic) as TopicId;
        self.ids.insert(name.into(), id);
        id
    }

    /// Adds a subscriber who is none yet.
    pub(super) fn add(&mut self, id: TopicId, client: ClientKey) {
        self.topics[id as usize].subscribers.push(client);
    }

    /// Takes a subscriber away, and the topic with its last one.
    pub(super) fn remove(&mut self, id: TopicId, client: ClientKey) {
        let topic = &mut self.topics[id as usize];
        if let Some(at) = topic.subscribers.iter().position(|&other| other == client) {
            topic.subscribers.swap_remove(at);
        }
        self.forget_unused(id);
    }

    /// Notes that another event loop has one subscriber more or less.
    pub(super) fn change_elsewhere(&mut self, name: &[u8], on: usize, more: bool) {
        let id = self.intern(name);
        let other = self.topics[id as usize].elsewhere.get_or_insert_default();
        if other.counts.len() <= on {
            other.counts.resize(on + 1, 0);
        }
        let count = &mut other.counts[on];
        *count = if more { *count + 1 } else { count.saturating_sub(1) };
        let bit = 1 << on;
        other.loops = if *count > 0 { other.loops | bit } else { other.loops & !bit };
        if other.loops == 0 {
            self.topics[id as usize].elsewhere = None;
        }
        self.forget_unused(id);
    }

    fn forget_unused(&mut self, id: TopicId) {
        let topic = &self.topics[id as usize];
        if topic.subscribers.is_empty() && topic.elsewhere.is_none() {
            let topic = self.topics.remove(id as usize);
            self.ids.remove(&topic.name);
        }
    }
}

/// All subscriptions of one engine.
#[derive(Debug, Default)]
pub(super) struct Registry {
    /// Channel subscriptions.
    pub(super) channels: Topics,
    /// Shard channel subscriptions.
    pub(super) shards: Topics,
    patterns: Topics,
    /// Grows whenever a pattern may appear or disappear; 0 until the first.
    generation: u64,
    orphans: Names<Matching>,
}

impl Registry {
    /// Pattern subscriptions.
    pub(super) fn patterns(&self) -> &Topics {
        &self.patterns
    }

    /// Pattern subscriptions, to be changed.
    pub(super) fn patterns_mut(&mut self) -> &mut Topics {
        self.generation += 1;
        &mut self.patterns
    }

    /// The subscriptions of one kind.
    pub(super) fn topics(&self, kind: Kind) -> &Topics {
        match kind {
            Kind::Channel => &self.channels,
            Kind::Pattern => &self.patterns,
            Kind::Shard => &self.shards,
        }
    }

    /// The subscriptions of one kind, to be changed.
    pub(super) fn topics_mut(&mut self, kind: Kind) -> &mut Topics {
        match kind {
            Kind::Channel => &mut self.channels,
            Kind::Pattern => self.patterns_mut(),
            Kind::Shard => &mut self.shards,
        }
    }

    /// The other event loops that have subscribers of the topic or the patterns, a bit each.
    pub(super) fn loops(&self, kind: Kind, id: Option<TopicId>, patterns: &[TopicId]) -> u64 {
        let direct = id.map_or(0, |id| self.topics(kind).loops(id));
        patterns.iter().fold(direct, |loops, &id| loops | self.patterns.loops(id))
    }

    /// Fills `found` with the patterns that match a channel, each compared once per generation.
    pub(super) fn matching(&mut self, channel: &[u8], id: Option<TopicId>, found: &mut Vec<TopicId>) {
        found.clear();
        if self.patterns.len() == 0 {
            return;
        }
        let matching = match id {
            Some(id) => &mut self.channels.topics[id as usize].matching,
            None => {
                if self.orphans.len() >= REMEMBERED {
                    self.orphans.clear();
                }
                if !self.orphans.contains_key(channel) {
                    self.orphans.insert(channel.into(), Matching::default());
                }
                match self.orphans.get_mut(channel) {
                    Some(matching) => matching,
                    None => return,
                }
            }
        };
        if matching.generation != self.generation {
            matching.generation = self.generation;
            let all = self.patterns.topics.iter();
            let fit = all.filter(|(_, pattern)| glob::matches(&pattern.name, channel, false));
            matching.patterns = fit.map(|(id, _)| id as TopicId).collect();
        }
        found.extend_from_slice(&matching.patterns);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matching(registry: &mut Registry, channel: &[u8]) -> Vec<Vec<u8>> {
        let mut found = Vec::new();
        let id = registry.channels.find(channel);
        registry.matching(channel, id, &mut found);
        found.iter().map(|&id| registry.patterns().name(id).to_vec()).collect()
    }

    #[test]
    fn a_topic_lives_as_long_as_its_last_subscriber() {
        let mut topics = Topics::default();
        let id = topics.intern(b"a");
        topics.add(id, 1);
        topics.add(id, 2);
        topics.remove(id, 1);
        assert_eq!((topics.count(b"a"), topics.len()), (1, 1));
        topics.remove(id, 2);
        assert_eq!((topics.find(b"a"), topics.len()), (None, 0));
    }

    #[test]
    fn subscribers_elsewhere_count_and_keep_a_topic_alive() {
        let mut topics = Topics::default();
        topics.change_elsewhere(b"a", 2, true);
        topics.change_elsewhere(b"a", 0, true);
        let id = topics.intern(b"a");
        topics.add(id, 7);
        assert_eq!((topics.count(b"a"), topics.subscribers(id), topics.loops(id)), (3, &[7][..], 0b101));
        topics.remove(id, 7);
        topics.change_elsewhere(b"a", 2, false);
        assert_eq!((topics.count(b"a"), topics.loops(id)), (1, 0b001));
        topics.change_elsewhere(b"a", 0, false);
        assert_eq!((topics.find(b"a"), topics.len()), (None, 0));
    }

    #[test]
    fn remembered_matches_follow_the_patterns_that_come_and_go() {
        let mut registry = Registry::default();
        assert!(matching(&mut registry, b"ab").is_empty());
        let id = registry.patterns_mut().intern(b"a*");
        registry.patterns_mut().add(id, 1);
        assert_eq!(matching(&mut registry, b"ab"), [b"a*"]);
        let channel = registry.channels.intern(b"ab");
        registry.channels.add(channel, 1);
        assert_eq!(matching(&mut registry, b"ab"), [b"a*"]);
        registry.patterns_mut().remove(id, 1);
        assert!(matching(&mut registry, b"ab").is_empty());
    }
}
