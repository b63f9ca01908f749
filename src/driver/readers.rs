//! Which subscription of a connection reads which topic.

use super::{AckToken, Delivery, DriverError, ErrorKind};
use crate::scenario::{Subscription, TopicId, Topology};

/// Marks a topic that a connection does not read.
const NOBODY: u32 = u32::MAX;

/// The topics that a connection reads.
///
/// Redis and Kafka send a connection one copy of what comes on a channel, a stream or a topic, so no two
/// subscriptions may share one.
#[derive(Debug)]
pub(in crate::driver) struct Readers {
    driver: &'static str,
    topology: Topology,
    /// By topic: index of the subscription that reads it, or [`NOBODY`].
    by_topic: Vec<u32>,
}

impl Readers {
    pub(in crate::driver) fn new(
        driver: &'static str,
        topology: &Topology,
        subscriptions: &[Subscription],
    ) -> Result<Self, DriverError> {
        let mut by_topic = vec![NOBODY; topology.topics as usize];
        for (index, subscription) in (0u32..).zip(subscriptions) {
            for topic in &subscription.topics {
                let reader = &mut by_topic[topic.0 as usize];
                if *reader != NOBODY {
                    return Err(twice(driver, topology, *topic));
                }
                *reader = index;
            }
        }
        Ok(Self { driver, topology: topology.clone(), by_topic })
    }

    /// The topics, ascending.
    pub(in crate::driver) fn topics(&self) -> Vec<TopicId> {
        let read = (0u32..).zip(&self.by_topic).filter(|(_, reader)| **reader != NOBODY);
        read.map(|(topic, _)| TopicId(topic)).collect()
    }

    /// The channels to subscribe to, or the streams to read.
    pub(in crate::driver) fn channels(&self) -> Vec<String> {
        self.topics().into_iter().map(|topic| self.topology.topic_name(topic)).collect()
    }

    /// The patterns to subscribe to: one where a subscription reads all topics, else one for each topic.
    pub(in crate::driver) fn patterns(&self) -> Vec<String> {
        // With two subscriptions there are two readers, and each needs a pattern of its own.
        let first = self.by_topic.first().copied().unwrap_or(NOBODY);
        if first != NOBODY && self.by_topic.iter().all(|reader| *reader == first) {
            return vec![pattern(&self.topology.prefix)];
        }
        self.channels().iter().map(|name| pattern(name)).collect()
    }

    /// The topic of a name, and the subscription that reads it.
    #[inline]
    pub(in crate::driver) fn find(&self, name: &[u8]) -> Result<(TopicId, u32), DriverError> {
        if let Some(topic) = self.topology.parse_topic(name) {
            let subscription = self.by_topic[topic.0 as usize];
            if subscription != NOBODY {
                return Ok((topic, subscription));
            }
        }
        Err(self.stray(name))
    }

    /// The delivery that a message on `channel` is.
    #[inline]
    pub(in crate::driver) fn delivery<'a>(
        &self,
        channel: &[u8],
        payload: &'a [u8],
    ) -> Result<Delivery<'a>, DriverError> {
        let (topic, subscription) = self.find(channel)?;
        Ok(Delivery { subscription, topic, payload, redelivered: false, token: None::<AckToken> })
    }

    #[cold]
    fn stray(&self, name: &[u8]) -> DriverError {
        let name = String::from_utf8_lossy(name);
        DriverError::new(
            ErrorKind::Fatal,
            self.driver,
            format!("a message came on {name}, which nobody subscribed to"),
        )
    }
}

/// A pattern for all names that begin like this, signs with a meaning escaped.
pub(super) fn pattern(start: &str) -> String {
    let escaped = start.chars().flat_map(|sign| {
        let special = matches!(sign, '*' | '?' | '[' | ']' | '^' | '\\');
        special.then_some('\\').into_iter().chain([sign])
    });
    escaped.chain(['*']).collect()
}

fn twice(driver: &'static str, topology: &Topology, topic: TopicId) -> DriverError {
    let name = topology.topic_name(topic);
    let what =
        format!("two subscribers of {name} share a connection, and the server sends one copy per connection");
    DriverError::new(ErrorKind::Fatal, driver, what).remedy(format!(
        "set workload.subscriber_connections = {} (one for each subscriber), or fewer subscribers",
        topology.subscribers
    ))
}
