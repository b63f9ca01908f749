//! JetStream over a plain socket; its streams and consumers are made through the library.

use std::sync::Arc;

use super::super::address::Address;
use super::super::control::Control;
use super::super::ordered::OrderedConsumers;
use super::super::subjects::Subjects;
use super::super::{JETSTREAM, jetstream_guarantees};
use super::link::{Link, connection_of};
use super::{Publisher, Subscriber};
use crate::driver::{Driver, DriverError, Guarantees, Leftovers};
use crate::scenario::{ConsumerKind, JetstreamOptions, Subscription, Topology};

/// JetStream at one URL.
#[derive(Debug, Clone)]
pub struct Jetstream {
    url: String,
    address: Arc<Address>,
    options: JetstreamOptions,
    ordered: Arc<OrderedConsumers>,
}

impl Jetstream {
    /// A client for the server at `url`.
    ///
    /// # Errors
    /// `Fatal` if the URL is none.
    pub fn new(url: &str, options: &JetstreamOptions) -> Result<Self, DriverError> {
        let address = Arc::new(Address::parse(JETSTREAM, url)?);
        Ok(Self { url: url.to_owned(), address, options: options.clone(), ordered: Arc::default() })
    }

    async fn control(&self, topology: &Topology) -> Result<Control, DriverError> {
        Control::connect(&self.url, &self.options, topology).await
    }
}

impl Driver for Jetstream {
    type Publisher = Publisher;
    type Subscriber = Subscriber;

    fn guarantees(&self) -> Guarantees {
        jetstream_guarantees(&self.options, Vec::new())
    }

    async fn prepare(&self, topology: &Topology) -> Result<(), DriverError> {
        self.ordered.clear();
        self.control(topology).await?.create().await
    }

    async fn publisher(&self, topology: &Topology, connection: u32) -> Result<Publisher, DriverError> {
        let subjects = Subjects::of(topology, JETSTREAM)?;
        let mut link = Link::open(&self.address, connection, 0).await?;
        if topology.closed_loop {
            link.socket.look_now_and_then();
        }
        Publisher::answered(link, subjects, self.options.message_ids).await
    }

    async fn subscriber(
        &self,
        topology: &Topology,
        subscriptions: &[Subscription],
    ) -> Result<Subscriber, DriverError> {
        let control = self.control(topology).await?;
        let connection = connection_of(subscriptions, topology);
        let link = Link::open(&self.address, connection, topology.payload_max).await?;
        Subscriber::open(link, control, &self.ordered, subscriptions).await
    }

    async fn leftovers(&self, topology: &Topology) -> Result<Option<Leftovers>, DriverError> {
        let name = |receiver| match self.options.consumer {
            ConsumerKind::Pull | ConsumerKind::Push => Some((Control::consumer(receiver), 0)),
            ConsumerKind::Ordered => self.ordered.name(receiver),
        };
        self.control(topology).await?.leftovers(name).await.map(Some)
    }

    async fn leader(&self, topology: &Topology) -> Result<Option<String>, DriverError> {
        self.control(topology).await?.leader().await
    }

    fn remarks(&self) -> Vec<String> {
        self.ordered.remarks()
    }

    async fn tear_down(&self, topology: &Topology) -> Result<(), DriverError> {
        self.control(topology).await?.delete().await
    }
}
