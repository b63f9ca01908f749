//! NATS core through the library: publish and subscribe, nothing kept, nobody answers.

use super::super::subjects::Subjects;
use super::super::{CORE, core_guarantees};
use super::deviations;
use super::link::Link;
use super::outbox::Outbox;
use super::streams::Streams;
use crate::driver::{
    AckRun, AckToken, Delivery, Driver, DriverError, Enqueued, Guarantees, Leftovers, Publisher, Subscriber,
};
use crate::scenario::{self, Subscription, TopicId, Topology};

/// NATS core at one URL.
#[derive(Debug, Clone)]
pub struct NatsCore {
    url: String,
}

impl NatsCore {
    /// The server at `url`.
    #[must_use]
    pub fn new(url: &str) -> Self {
        Self { url: url.to_owned() }
    }
}

impl Driver for NatsCore {
    type Publisher = CorePublisher;
    type Subscriber = CoreSubscriber;

    fn guarantees(&self) -> Guarantees {
        core_guarantees(deviations())
    }

    async fn prepare(&self, topology: &Topology) -> Result<(), DriverError> {
        Subjects::of(topology, CORE)?;
        Link::connect(CORE, &self.url).await?.barrier().await
    }

    async fn publisher(&self, topology: &Topology, _connection: u32) -> Result<CorePublisher, DriverError> {
        let outbox = Outbox::new(Subjects::of(topology, CORE)?.table());
        Ok(CorePublisher { link: Link::connect(CORE, &self.url).await?, outbox })
    }

    async fn subscriber(
        &self,
        topology: &Topology,
        subscriptions: &[Subscription],
    ) -> Result<CoreSubscriber, DriverError> {
        let subjects = Subjects::of(topology, CORE)?;
        let link = Link::connect(CORE, &self.url).await?;
        let mut streams = Streams::new();
        for (number, subscription) in (0u32..).zip(subscriptions) {
            for filter in subjects.filters(&subscription.topics) {
                let subscribed = match topology.delivery_of(subscription.receiver) {
                    scenario::Delivery::FanOut => link.client().subscribe(filter).await,
                    scenario::Delivery::WorkQueue => {
                        let group = format!("group{}", subscription.receiver);
                        link.client().queue_subscribe(filter, group).await
                    }
                };
                streams.add(number, subscribed.map_err(|_| link.disconnected())?);
            }
        }
        link.barrier().await?;
        Ok(CoreSubscriber { link, subjects, streams })
    }

    async fn leftovers(&self, _topology: &Topology) -> Result<Option<Leftovers>, DriverError> {
        Ok(None)
    }

    async fn tear_down(&self, _topology: &Topology) -> Result<(), DriverError> {
        Ok(())
    }
}

/// A connection that publishes.
#[derive(Debug)]
pub struct CorePublisher {
    link: Link,
    outbox: Outbox,
}

impl Publisher for CorePublisher {
    fn enqueue(&mut self, topic: TopicId, payload: &[u8]) -> Result<Enqueued, DriverError> {
        self.outbox.enqueue(&self.link, topic.0, None, payload)
    }

    async fn flush(&mut self, _each: &mut impl FnMut(AckRun)) -> Result<(), DriverError> {
        tokio::select! {
            biased;
            flushed = self.outbox.flush(&self.link) => flushed,
            error = self.link.broken() => Err(error),
        }
    }

    async fn acks(&mut self, _each: &mut impl FnMut(AckRun)) -> Result<(), DriverError> {
        Err(self.link.broken().await)
    }
}

/// A connection that subscribes.
pub struct CoreSubscriber {
    link: Link,
    subjects: Subjects,
    streams: Streams,
}

impl Subscriber for CoreSubscriber {
    async fn next_batch(&mut self, each: &mut impl FnMut(Delivery<'_>)) -> Result<(), DriverError> {
        let (subscription, messages) = self.streams.next(&self.link).await?;
        for message in &messages {
            if let Some(topic) = self.subjects.parse(message.subject.as_bytes()) {
                let payload = &message.payload;
                each(Delivery { subscription, topic, payload, redelivered: false, token: None });
            }
        }
        Ok(())
    }

    async fn ack(&mut self, _tokens: &[AckToken]) -> Result<(), DriverError> {
        Ok(())
    }

    fn client_drops(&self) -> u64 {
        self.streams.dropped(&self.link)
    }
}
