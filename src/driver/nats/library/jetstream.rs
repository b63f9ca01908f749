//! JetStream through the library: one stream over all topics, one durable consumer per receiver (shared by a
//! work queue's subscribers), publishes acknowledged by the server.

use super::super::control::Control;
use super::super::subjects::Subjects;
use super::super::{JETSTREAM, jetstream_guarantees};
use super::link::Link;
use super::{Publisher, Subscriber, deviations, publish};
use crate::driver::{Driver, DriverError, Guarantees, Leftovers};
use crate::scenario::{JetstreamOptions, Subscription, Topology};

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
        jetstream_guarantees(&self.options, deviations())
    }

    async fn prepare(&self, topology: &Topology) -> Result<(), DriverError> {
        self.control(topology).await?.create().await
    }

    async fn publisher(&self, topology: &Topology, _connection: u32) -> Result<Publisher, DriverError> {
        let subjects = Subjects::of(topology, JETSTREAM)?;
        let link = Link::with_capacity(JETSTREAM, &self.url, publish::ANSWERS_MAX).await?;
        Publisher::open(link, &subjects).await
    }

    async fn subscriber(
        &self,
        topology: &Topology,
        subscriptions: &[Subscription],
    ) -> Result<Subscriber, DriverError> {
        let control = self.control(topology).await?;
        Subscriber::open(Link::connect(JETSTREAM, &self.url).await?, &control, subscriptions).await
    }

    async fn leftovers(&self, topology: &Topology) -> Result<Option<Leftovers>, DriverError> {
        let name = |receiver| Some((Control::consumer(receiver), 0));
        self.control(topology).await?.leftovers(name).await.map(Some)
    }

    async fn leader(&self, topology: &Topology) -> Result<Option<String>, DriverError> {
        self.control(topology).await?.leader().await
    }

    async fn tear_down(&self, topology: &Topology) -> Result<(), DriverError> {
        self.control(topology).await?.delete().await
    }
}
