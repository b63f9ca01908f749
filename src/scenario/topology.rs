//! Who speaks to whom, by arithmetic alone.
//!
//! A *lane* is a publisher on a topic; sequences are counted per lane, so that a subscriber that reads
//! some of a publisher's topics still knows exactly which messages it should have seen. With P publishers
//! and T topics there are max(P, T) lanes, lane l being publisher l mod P on topic l mod T; where every publisher
//! writes to every topic there are P × T, lane l being publisher l / T on topic l mod T.

use std::ops::Range;

use super::model::{Audience, Delivery, Rate, Subscribe, SubscribeBy, Workload};
use super::traffic::TopicChoice;

/// Index of a topic, 0 to topics − 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicId(pub u32);

/// Index of a lane, 0 to lanes − 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LaneId(pub u32);

/// What one receiver reads: a subscriber under fan-out, a group of them under a work queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// The logical subscriber, 0 to subscribers − 1.
    pub subscriber: u32,
    /// The receiver whose expected deliveries this subscriber takes part in (its own under fan-out).
    pub receiver: u32,
    /// The topics, ascending.
    pub topics: Vec<TopicId>,
}

/// The actors of a trial and how they are joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Topology {
    /// Logical publishers.
    pub publishers: u32,
    /// Connections they share; publisher p uses connection p mod this.
    pub publisher_connections: u32,
    /// Logical subscribers.
    pub subscribers: u32,
    /// Connections they share.
    pub subscriber_connections: u32,
    /// Topics.
    pub topics: u32,
    /// Every publisher writes to every topic, not only to its own.
    pub every_lane: bool,
    /// Who reads which topic.
    pub subscribe: Subscribe,
    /// How topics are named in a subscription.
    pub by: SubscribeBy,
    /// One copy per subscriber or per group.
    pub delivery: Delivery,
    /// Subscribers with a delivery of their own each, all of whom read all topics; empty where all are one audience.
    pub audiences: Vec<Audience>,
    /// Largest payload in bytes.
    pub payload_max: usize,
    /// Publishers write as fast as their window allows, so that the time of an answer is worth less to them than
    /// what it costs to look for it.
    pub closed_loop: bool,
    /// Starts every topic name; ASCII without separators that a broker gives a meaning.
    pub prefix: String,
}

/// An audience among the others.
#[derive(Debug)]
struct Part {
    subscribers: Range<u32>,
    receivers: Range<u32>,
    delivery: Delivery,
}

/// Digits of the index at the end of a topic name.
const TOPIC_DIGITS: usize = 6;

impl Default for Topology {
    /// One publisher, one subscriber, one topic, each by its name.
    fn default() -> Self {
        Self {
            publishers: 1,
            publisher_connections: 1,
            subscribers: 1,
            subscriber_connections: 1,
            topics: 1,
            every_lane: false,
            subscribe: Subscribe::All,
            by: SubscribeBy::Name,
            delivery: Delivery::FanOut,
            audiences: Vec::new(),
            payload_max: 64,
            closed_loop: false,
            prefix: "busmark-t".to_owned(),
        }
    }
}

impl Topology {
    /// The topology of a workload; `prefix` starts every topic name.
    #[must_use]
    pub fn of(workload: &Workload, prefix: &str) -> Self {
        Self {
            publishers: workload.publishers,
            publisher_connections: workload.publisher_connections,
            subscribers: workload.subscribers,
            subscriber_connections: workload.subscriber_connections,
            topics: workload.topics,
            every_lane: workload.topic_choice != TopicChoice::RoundRobin,
            subscribe: workload.subscribe,
            by: workload.subscribe_by,
            delivery: workload.delivery,
            audiences: workload.audiences.clone(),
            payload_max: workload.payload.max(),
            closed_loop: workload.rate == Rate::Max,
            prefix: prefix.to_owned(),
        }
    }

    /// Number of lanes.
    #[must_use]
    pub fn lanes(&self) -> u32 {
        if self.every_lane { self.publishers * self.topics } else { self.publishers.max(self.topics) }
    }

    /// The lane of `publisher` on `topic`, if that publisher writes there.
    #[must_use]
    pub fn lane(&self, publisher: u32, topic: TopicId) -> Option<LaneId> {
        if self.every_lane {
            let exists = publisher < self.publishers && topic.0 < self.topics;
            return exists.then(|| LaneId(publisher * self.topics + topic.0));
        }
        let lane = if self.publishers >= self.topics { publisher } else { topic.0 };
        let exists =
            lane < self.lanes() && lane % self.publishers == publisher && lane % self.topics == topic.0;
        exists.then_some(LaneId(lane))
    }

    /// The topic of a lane.
    #[must_use]
    pub fn topic_of(&self, lane: LaneId) -> TopicId {
        TopicId(lane.0 % self.topics)
    }

    /// The publisher of a lane.
    #[must_use]
    pub fn publisher_of(&self, lane: LaneId) -> u32 {
        if self.every_lane { lane.0 / self.topics } else { lane.0 % self.publishers }
    }

    /// The lane that message `round` (0, 1, …) of a publisher goes to: round robin over its lanes.
    #[must_use]
    pub fn lane_of_round(&self, publisher: u32, round: u64) -> LaneId {
        if self.every_lane {
            return LaneId(
                publisher * self.topics + u32::try_from(round % u64::from(self.topics)).unwrap_or(0),
            );
        }
        // Most publishers have one lane, and this is asked for each message.
        if self.publishers >= self.topics {
            return LaneId(publisher);
        }
        let own = (self.lanes() - publisher).div_ceil(self.publishers);
        let step = u32::try_from(round % u64::from(own)).unwrap_or(0);
        LaneId(publisher + step * self.publishers)
    }

    /// The publishers on a connection, ascending.
    pub fn publishers_on(&self, connection: u32) -> impl Iterator<Item = u32> + use<> {
        (connection..self.publishers).step_by(self.publisher_connections.max(1) as usize)
    }

    /// The audiences with their subscribers and receivers; one of all where none is named.
    fn parts(&self) -> Vec<Part> {
        if self.audiences.is_empty() {
            let receivers = match (self.delivery, self.subscribe) {
                (Delivery::FanOut, _) => self.subscribers,
                (Delivery::WorkQueue, Subscribe::All) => self.subscribers.min(1),
                (Delivery::WorkQueue, Subscribe::Paired) => self.subscribers.min(self.topics),
            };
            return vec![Part {
                subscribers: 0..self.subscribers,
                receivers: 0..receivers,
                delivery: self.delivery,
            }];
        }
        let mut next = (0, 0);
        let part = |audience: &Audience| {
            let receivers = match audience.delivery {
                Delivery::FanOut => audience.subscribers,
                Delivery::WorkQueue => audience.subscribers.min(1),
            };
            let (subscriber, receiver) = next;
            next = (subscriber + audience.subscribers, receiver + receivers);
            Part { subscribers: subscriber..next.0, receivers: receiver..next.1, delivery: audience.delivery }
        };
        self.audiences.iter().map(part).collect()
    }

    /// Receivers whose deliveries are expected one by one: subscribers, or groups of them.
    #[must_use]
    pub fn receivers(&self) -> u32 {
        self.parts().last().map_or(0, |part| part.receivers.end)
    }

    /// The receiver that a subscriber takes part in.
    #[must_use]
    pub fn receiver_of(&self, subscriber: u32) -> u32 {
        let parts = self.parts();
        let Some(part) = parts.iter().find(|part| part.subscribers.contains(&subscriber)) else { return 0 };
        let place = subscriber - part.subscribers.start;
        let groups = part.receivers.len().max(1) as u32;
        part.receivers.start + place % groups
    }

    /// The audience of a receiver; 0 where there is only one.
    #[must_use]
    pub fn audience_of(&self, receiver: u32) -> usize {
        self.parts().iter().position(|part| part.receivers.contains(&receiver)).unwrap_or(0)
    }

    /// How the messages of a receiver are shared.
    #[must_use]
    pub fn delivery_of(&self, receiver: u32) -> Delivery {
        self.parts().get(self.audience_of(receiver)).map_or(self.delivery, |part| part.delivery)
    }

    /// The first subscriber that takes part in a receiver.
    #[must_use]
    pub fn first_subscriber_of(&self, receiver: u32) -> u32 {
        let part = self.parts().into_iter().find(|part| part.receivers.contains(&receiver));
        part.map_or(receiver, |part| part.subscribers.start + receiver - part.receivers.start)
    }

    /// The receivers of an audience.
    #[must_use]
    pub fn receivers_of_audience(&self, audience: usize) -> Range<u32> {
        self.parts().get(audience).map_or(0..0, |part| part.receivers.clone())
    }

    /// Whether any subscribers share their messages among them.
    #[must_use]
    pub fn has_queue(&self) -> bool {
        self.parts().iter().any(|part| part.delivery == Delivery::WorkQueue)
    }

    /// Whether any subscribers get a copy each.
    #[must_use]
    pub fn has_fan_out(&self) -> bool {
        self.parts().iter().any(|part| part.delivery == Delivery::FanOut)
    }

    /// The topics a receiver reads, ascending.
    #[must_use]
    pub fn topics_of_receiver(&self, receiver: u32) -> Vec<TopicId> {
        match self.subscribe {
            Subscribe::All => (0..self.topics).map(TopicId).collect(),
            // Fewer subscribers than topics: a subscriber reads every topic that is congruent to it.
            Subscribe::Paired if self.subscribers < self.topics => {
                (receiver..self.topics).step_by(self.subscribers.max(1) as usize).map(TopicId).collect()
            }
            Subscribe::Paired => vec![TopicId(receiver % self.topics)],
        }
    }

    /// The lanes a receiver reads, ascending.
    #[must_use]
    pub fn lanes_of_receiver(&self, receiver: u32) -> Vec<LaneId> {
        let topics = self.topics_of_receiver(receiver);
        let mut lanes: Vec<LaneId> = topics
            .iter()
            .flat_map(|topic| (topic.0..self.lanes()).step_by(self.topics as usize).map(LaneId))
            .collect();
        lanes.sort_unstable();
        lanes
    }

    /// The subscriptions that share a connection. Members of one group stay together only as far as the
    /// number of connections allows.
    #[must_use]
    pub fn subscriptions_on(&self, connection: u32) -> Vec<Subscription> {
        (connection..self.subscribers)
            .step_by(self.subscriber_connections.max(1) as usize)
            .map(|subscriber| {
                let receiver = self.receiver_of(subscriber);
                Subscription { subscriber, receiver, topics: self.topics_of_receiver(receiver) }
            })
            .collect()
    }

    /// Deliveries expected of each message on a topic.
    #[must_use]
    pub fn copies(&self, topic: TopicId) -> u32 {
        (0..self.receivers()).filter(|&receiver| self.reads(receiver, topic)).count() as u32
    }

    /// Whether a receiver reads a topic.
    #[must_use]
    pub fn reads(&self, receiver: u32, topic: TopicId) -> bool {
        match self.subscribe {
            Subscribe::All => true,
            Subscribe::Paired if self.subscribers < self.topics => topic.0 % self.subscribers == receiver,
            Subscribe::Paired => receiver % self.topics == topic.0,
        }
    }

    /// Name of a topic: the prefix and six or more digits.
    #[must_use]
    pub fn topic_name(&self, topic: TopicId) -> String {
        format!("{}{:0width$}", self.prefix, topic.0, width = TOPIC_DIGITS)
    }

    /// The topic of a name on the wire; `None` if it isn't one of ours.
    #[must_use]
    pub fn parse_topic(&self, name: &[u8]) -> Option<TopicId> {
        let digits = name.strip_prefix(self.prefix.as_bytes())?;
        if digits.len() < TOPIC_DIGITS || digits.len() > 9 {
            return None;
        }
        let mut index = 0u32;
        for &digit in digits {
            if !digit.is_ascii_digit() {
                return None;
            }
            index = index * 10 + u32::from(digit - b'0');
        }
        (index < self.topics).then_some(TopicId(index))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn audience(subscribers: u32, delivery: Delivery) -> Audience {
        Audience { name: String::new(), subscribers, delivery }
    }

    #[test]
    fn each_audience_has_its_own_subscribers_and_receivers_and_reads_everything() {
        let topology = Topology {
            subscribers: 7,
            subscriber_connections: 7,
            topics: 3,
            audiences: vec![
                audience(2, Delivery::FanOut),
                audience(3, Delivery::WorkQueue),
                audience(2, Delivery::WorkQueue),
            ],
            ..Topology::default()
        };
        assert_eq!(topology.receivers(), 4);
        let receivers: Vec<u32> = (0..7).map(|subscriber| topology.receiver_of(subscriber)).collect();
        assert_eq!(receivers, [0, 1, 2, 2, 2, 3, 3]);
        assert_eq!((0..4).map(|receiver| topology.audience_of(receiver)).collect::<Vec<_>>(), [0, 0, 1, 2]);
        assert_eq!(topology.receivers_of_audience(0), 0..2);
        assert_eq!(topology.first_subscriber_of(3), 5);
        assert_eq!(
            (topology.delivery_of(1), topology.delivery_of(2)),
            (Delivery::FanOut, Delivery::WorkQueue)
        );
        assert!(topology.has_queue() && topology.has_fan_out());
        assert!((0..3).all(|topic| topology.copies(TopicId(topic)) == 4));
    }
}
