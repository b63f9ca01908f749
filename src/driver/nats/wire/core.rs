//! NATS core over a plain socket: publish and subscribe, nothing kept, nobody answers.

use std::future::poll_fn;
use std::sync::Arc;

use super::super::address::Address;
use super::super::subjects::Subjects;
use super::super::{CORE, core_guarantees};
use super::Publisher;
use super::link::{Link, connection_of};
use super::subscriber::subscription_of;
use crate::driver::{AckToken, Delivery, Driver, DriverError, Guarantees, Leftovers, Subscriber};
use crate::scenario::{self, Subscription, Topology};
use crate::wire::nats::append_subscribe;

/// NATS core at one URL.
#[derive(Debug, Clone)]
pub struct NatsCore {
    address: Arc<Address>,
}

impl NatsCore {
    /// A client for the server at `url`.
    ///
    /// # Errors
    /// `Fatal` if the URL is none.
    pub fn new(url: &str) -> Result<Self, DriverError> {
        Ok(Self { address: Arc::new(Address::parse(CORE, url)?) })
    }
}

impl Driver for NatsCore {
    type Publisher = Publisher;
    type Subscriber = CoreSubscriber;

    fn guarantees(&self) -> Guarantees {
        core_guarantees(Vec::new())
    }

    /// Core keeps nothing, so there is nothing to clear; this finds out whether the server is there.
    async fn prepare(&self, topology: &Topology) -> Result<(), DriverError> {
        Subjects::of(topology, CORE)?;
        Link::open(&self.address, 0, 0).await.map(drop)
    }

    async fn publisher(&self, topology: &Topology, connection: u32) -> Result<Publisher, DriverError> {
        let subjects = Subjects::of(topology, CORE)?;
        Ok(Publisher::unanswered(Link::open(&self.address, connection, 0).await?, subjects))
    }

    async fn subscriber(
        &self,
        topology: &Topology,
        subscriptions: &[Subscription],
    ) -> Result<CoreSubscriber, DriverError> {
        let subjects = Subjects::of(topology, CORE)?;
        let connection = connection_of(subscriptions, topology);
        let mut link = Link::open(&self.address, connection, topology.payload_max).await?;
        let mut commands = Vec::new();
        let mut by_sid = Vec::new();
        for (number, subscription) in (0u32..).zip(subscriptions) {
            let group = match topology.delivery_of(subscription.receiver) {
                scenario::Delivery::FanOut => String::new(),
                scenario::Delivery::WorkQueue => format!("group{}", subscription.receiver),
            };
            for filter in subjects.filters(&subscription.topics) {
                let sid = by_sid.len().to_string();
                append_subscribe(&mut commands, filter.as_bytes(), group.as_bytes(), sid.as_bytes());
                by_sid.push(number);
            }
        }
        link.settle(commands).await?;
        Ok(CoreSubscriber { link, subjects, by_sid })
    }

    async fn leftovers(&self, _topology: &Topology) -> Result<Option<Leftovers>, DriverError> {
        Ok(None)
    }

    async fn tear_down(&self, _topology: &Topology) -> Result<(), DriverError> {
        Ok(())
    }
}

/// A subscribing connection over a plain socket.
#[derive(Debug)]
pub struct CoreSubscriber {
    link: Link,
    subjects: Subjects,
    /// The subscription that each of our names stands for.
    by_sid: Vec<u32>,
}

impl Subscriber for CoreSubscriber {
    async fn next_batch(&mut self, each: &mut impl FnMut(Delivery<'_>)) -> Result<(), DriverError> {
        let Self { link, subjects, by_sid } = self;
        poll_fn(|cx| {
            link.poll_messages(cx, &mut |message, _| {
                let subscription = subscription_of(message.sid, by_sid)?;
                let topic = subjects.topic(CORE, message.subject)?;
                each(Delivery {
                    subscription,
                    topic,
                    payload: message.payload(),
                    redelivered: false,
                    token: None,
                });
                Ok(())
            })
        })
        .await
    }

    async fn ack(&mut self, _tokens: &[AckToken]) -> Result<(), DriverError> {
        Ok(())
    }
}
