//! NATS core: publish and subscribe, nothing kept, nobody answers.

use super::library_deviations;
use super::link::Link;
use super::outbox::Outbox;
use super::streams::Streams;
use super::subjects::Subjects;
use crate::driver::{
    self, AckRun, AckToken, Acknowledgement, Delivery, DeliveryGuarantee, Driver, DriverError, Durability,
    Enqueued, Guarantees, Leftovers,
};
use crate::scenario::{self, NatsCoreOptions, Subscription, TopicId, Topology};

const NAME: &str = "nats-core";

/// NATS core at one URL.
#[derive(Debug, Clone)]
pub struct NatsCore {
    url: String,
}

impl NatsCore {
    /// The server at `url`.
    #[must_use]
    pub fn new(url: &str, NatsCoreOptions {}: &NatsCoreOptions) -> Self {
        Self { url: url.to_owned() }
    }
}

impl Driver for NatsCore {
    type Publisher = Publisher;
    type Subscriber = Subscriber;

    fn guarantees(&self) -> Guarantees {
        Guarantees {
            delivery: DeliveryGuarantee::AtMostOnce,
            acknowledgement: Acknowledgement::None,
            fsync: Durability::Never,
            replicas: 1,
            ordered: true,
            replay: false,
            work_queue: true,
            deviations: library_deviations(),
        }
    }

    async fn prepare(&self, topology: &Topology) -> Result<(), DriverError> {
        Subjects::of(topology, NAME)?;
        Link::connect(NAME, &self.url).await?.barrier().await
    }

    async fn publisher(&self, topology: &Topology, _connection: u32) -> Result<Publisher, DriverError> {
        let outbox = Outbox::new(Subjects::of(topology, NAME)?.table());
        Ok(Publisher { link: Link::connect(NAME, &self.url).await?, outbox })
    }

    async fn subscriber(
        &self,
        topology: &Topology,
        subscriptions: &[Subscription],
    ) -> Result<Subscriber, DriverError> {
        let subjects = Subjects::of(topology, NAME)?;
        let link = Link::connect(NAME, &self.url).await?;
        let mut streams = Streams::new();
        for (number, subscription) in (0u32..).zip(subscriptions) {
            for filter in subjects.filters(&subscription.topics) {
                let subscribed = match topology.delivery {
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
        Ok(Subscriber { link, subjects, streams })
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
pub struct Publisher {
    link: Link,
    outbox: Outbox,
}

impl driver::Publisher for Publisher {
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
pub struct Subscriber {
    link: Link,
    subjects: Subjects,
    streams: Streams,
}

impl driver::Subscriber for Subscriber {
    async fn next_batch(&mut self, each: &mut impl FnMut(Delivery<'_>)) -> Result<(), DriverError> {
        let (subscription, messages) = self.streams.next(&self.link).await?;
        for message in &messages {
            if let Some(topic) = self.subjects.parse(&message.subject) {
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
