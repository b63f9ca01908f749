//! JetStream: one stream over all topics, one durable consumer per receiver (shared by a work queue's
//! subscribers), publishes acknowledged by the server.

mod ack;
mod control;
mod publish;
mod subscribe;

pub use publish::Publisher;
pub use subscribe::Subscriber;

use control::Control;

use super::library_deviations;
use super::link::Link;
use super::subjects::Subjects;
use crate::driver::{
    Acknowledgement, DeliveryGuarantee, Driver, DriverError, Durability, Guarantees, Leftovers,
};
use crate::scenario::{AckPolicy, JetstreamOptions, Storage, Subscription, Sync, Topology};

const NAME: &str = "jetstream";

/// JetStream at one URL.
#[derive(Debug, Clone)]
pub struct Jetstream {
    url: String,
    options: JetstreamOptions,
}

impl Jetstream {
    /// The server at `url`.
    #[must_use]
    pub fn new(url: &str, options: &JetstreamOptions) -> Self {
        Self { url: url.to_owned(), options: options.clone() }
    }

    async fn control(&self, topology: &Topology) -> Result<Control, DriverError> {
        Control::connect(&self.url, &self.options, topology).await
    }
}

impl Driver for Jetstream {
    type Publisher = Publisher;
    type Subscriber = Subscriber;

    fn guarantees(&self) -> Guarantees {
        let options = &self.options;
        let mut deviations = library_deviations();
        if options.storage == Storage::File && options.replicas > 1 && options.sync == Sync::Always {
            deviations.push("the server flushes replicated streams after the acknowledgement".to_owned());
        }
        Guarantees {
            delivery: match options.ack {
                AckPolicy::None => DeliveryGuarantee::AtMostOnce,
                AckPolicy::All | AckPolicy::Explicit => DeliveryGuarantee::AtLeastOnce,
            },
            acknowledgement: match options.replicas {
                0 | 1 => Acknowledgement::Leader,
                _ => Acknowledgement::Quorum,
            },
            fsync: match (options.storage, options.sync) {
                (Storage::Memory, _) => Durability::Never,
                (Storage::File, Sync::Interval(_)) => Durability::Interval,
                (Storage::File, Sync::Always) => Durability::Always,
            },
            replicas: options.replicas.max(1),
            ordered: true,
            replay: true,
            work_queue: true,
            deviations,
        }
    }

    async fn prepare(&self, topology: &Topology) -> Result<(), DriverError> {
        self.control(topology).await?.create().await
    }

    async fn publisher(&self, topology: &Topology, _connection: u32) -> Result<Publisher, DriverError> {
        let subjects = Subjects::of(topology, NAME)?;
        let link = Link::with_capacity(NAME, &self.url, publish::ANSWERS_MAX).await?;
        Publisher::open(link, &subjects).await
    }

    async fn subscriber(
        &self,
        topology: &Topology,
        subscriptions: &[Subscription],
    ) -> Result<Subscriber, DriverError> {
        let control = self.control(topology).await?;
        Subscriber::open(Link::connect(NAME, &self.url).await?, &control, subscriptions).await
    }

    async fn leftovers(&self, topology: &Topology) -> Result<Option<Leftovers>, DriverError> {
        self.control(topology).await?.leftovers().await.map(Some)
    }

    async fn tear_down(&self, topology: &Topology) -> Result<(), DriverError> {
        self.control(topology).await?.delete().await
    }
}
