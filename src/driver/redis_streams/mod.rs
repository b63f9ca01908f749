//! `redis-streams`: XADD, and XREADGROUP with XACK or plain XREAD, over a plain socket. Each topic is a stream of
//! its own. Control work (deleting, creating groups, asking what is left) goes through the `redis` crate.
//!
//! A subscribing connection reads all its streams with one blocking command, which can name one group only. Under
//! fan-out the group is that of the connection, in a work queue it is the same everywhere, since each topic then
//! has one group of subscribers. XACKs go over a second socket: on the first they would wait behind the blocking
//! command.

mod accounts;
mod claims;
mod control;
mod subscriber;

pub use subscriber::StreamSubscriber;

use std::sync::Arc;
use std::time::Duration;

use super::redis::{self, Address, Verb, WirePublisher, open};
use super::{
    Acknowledgement, DeliveryGuarantee, Driver, DriverError, Durability, Guarantees, Leftovers, by_name_only,
};
use crate::scenario::{self, Aof, RedisStreamsOptions, StreamConsumer, Subscription, Topology, Trim};
use accounts::Accounts;
use control::Control;

/// Name of the driver in errors and results.
const NAME: &str = "redis-streams";

/// Redis Streams at one server.
#[derive(Debug, Clone)]
pub struct RedisStreams {
    address: Arc<Address>,
    control: Control,
    options: RedisStreamsOptions,
    accounts: Arc<Accounts>,
}

impl RedisStreams {
    /// The server at `url`.
    ///
    /// # Errors
    /// `Fatal` if the URL is none.
    pub fn new(url: &str, options: &RedisStreamsOptions) -> Result<Self, DriverError> {
        let address = Arc::new(Address::parse(NAME, url)?);
        let client =
            redis::client(url).map_err(|_| redis::fatal(NAME, "the redis crate refuses the target's URL"))?;
        let control = Control::new(client, address.place.to_string());
        Ok(Self { address, control, options: options.clone(), accounts: Arc::default() })
    }

    fn verb(&self) -> Verb {
        Verb::Add {
            keep: Some(self.options.max_length).filter(|&length| length > 0),
            about: self.options.trim == Trim::Approximate,
        }
    }
}

impl Driver for RedisStreams {
    type Publisher = WirePublisher;
    type Subscriber = StreamSubscriber;

    fn guarantees(&self) -> Guarantees {
        Guarantees {
            delivery: DeliveryGuarantee::AtLeastOnce,
            acknowledgement: Acknowledgement::Leader,
            fsync: match self.options.aof {
                Aof::Off => Durability::Never,
                Aof::EverySecond => Durability::Interval,
                Aof::Always => Durability::Always,
            },
            replicas: 1,
            ordered: true,
            replay: true,
            work_queue: self.options.consumer == StreamConsumer::Group,
            patterns: false,
            deviations: Vec::new(),
        }
    }

    /// Deletes the streams of an earlier trial, and makes those of this one with their groups.
    async fn prepare(&self, topology: &Topology) -> Result<(), DriverError> {
        if topology.has_queue() && !self.guarantees().work_queue {
            return Err(redis::fatal(NAME, "without a group every reader gets every entry")
                .remedy("set options.consumer = \"group\""));
        }
        by_name_only(NAME, topology)?;
        self.accounts.clear();
        self.control.delete(topology).await?;
        match self.options.consumer {
            StreamConsumer::Group => self.control.create_groups(topology).await,
            StreamConsumer::Read => Ok(()),
        }
    }

    async fn publisher(&self, topology: &Topology, _connection: u32) -> Result<Self::Publisher, DriverError> {
        Ok(WirePublisher::new(open(&self.address, 0).await?, topology, self.verb()))
    }

    async fn subscriber(
        &self,
        topology: &Topology,
        subscriptions: &[Subscription],
    ) -> Result<Self::Subscriber, DriverError> {
        let reading = open(&self.address, topology.payload_max).await?;
        let acking = match self.options.consumer {
            StreamConsumer::Group => Some(open(&self.address, 0).await?),
            StreamConsumer::Read => None,
        };
        let claiming = match self.options.claim_after {
            Duration::ZERO => None,
            _ => Some(open(&self.address, topology.payload_max).await?),
        };
        StreamSubscriber::new((reading, acking, claiming), topology, subscriptions, self)
    }

    async fn leftovers(&self, topology: &Topology) -> Result<Option<Leftovers>, DriverError> {
        let group = self.options.consumer == StreamConsumer::Group;
        self.control.leftovers(topology, group, &self.accounts).await.map(Some)
    }

    fn remarks(&self) -> Vec<String> {
        self.accounts.remarks()
    }

    async fn tear_down(&self, topology: &Topology) -> Result<(), DriverError> {
        self.control.delete(topology).await
    }
}

/// The group in which a receiver reads its streams.
fn group_of(topology: &Topology, receiver: u32) -> String {
    match topology.delivery_of(receiver) {
        scenario::Delivery::FanOut => {
            let subscriber = topology.first_subscriber_of(receiver);
            format!("connection{}", subscriber % topology.subscriber_connections.max(1))
        }
        scenario::Delivery::WorkQueue => format!("workers{}", topology.audience_of(receiver)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Delivery, Subscribe};
    use proptest::prelude::*;
    use std::collections::HashMap;

    proptest! {
        /// What the driver rests on: a connection has one group, and no two receivers share a group on a stream
        /// unless they can't be served at all.
        #[test]
        fn a_connection_has_one_group_and_each_receiver_of_a_stream_its_own(
            subscribers in 1u32..12, connections in 1u32..12, topics in 1u32..12,
            paired in any::<bool>(), queue in any::<bool>(),
        ) {
            let topology = Topology {
                publishers: 1, publisher_connections: 1, subscribers,
                subscriber_connections: connections.min(subscribers), topics,
                subscribe: if paired { Subscribe::Paired } else { Subscribe::All },
                delivery: if queue { Delivery::WorkQueue } else { Delivery::FanOut },
                payload_max: 16, prefix: "t".to_owned(),
                ..Topology::default()
            };
            let mut seen: HashMap<(u32, String), u32> = HashMap::new();
            for connection in 0..topology.subscriber_connections {
                let subscriptions = topology.subscriptions_on(connection);
                if redis::Readers::new(NAME, &topology, &subscriptions).is_err() {
                    continue;
                }
                let groups: Vec<String> =
                    subscriptions.iter().map(|one| group_of(&topology, one.receiver)).collect();
                prop_assert!(groups.iter().all(|group| *group == groups[0]));
                for subscription in &subscriptions {
                    for topic in &subscription.topics {
                        let receiver = seen.entry((topic.0, groups[0].clone())).or_insert(subscription.receiver);
                        prop_assert_eq!(*receiver, subscription.receiver);
                    }
                }
            }
        }
    }
}
