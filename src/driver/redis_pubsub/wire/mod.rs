//! The wire client: frames built in place, written together, and parsed in the read buffer.

mod subscriber;

use std::sync::Arc;

pub use subscriber::WireSubscriber;

use super::NAME;
use crate::driver::redis::{Address, Verb, WirePublisher, open, open_resp3};
use crate::driver::{Driver, DriverError, Guarantees, Leftovers};
use crate::scenario::{SubscriberProtocol, Subscription, Topology};

/// Redis Pub/Sub over a plain socket.
#[derive(Debug, Clone)]
pub struct WireClient {
    address: Arc<Address>,
    protocol: SubscriberProtocol,
}

impl WireClient {
    /// A client for the server at `url` (`redis://…` or `unix://…`).
    ///
    /// # Errors
    /// `Fatal` if the URL is none.
    pub fn new(url: &str) -> Result<Self, DriverError> {
        let protocol = SubscriberProtocol::Resp2;
        Ok(Self { address: Arc::new(Address::parse(NAME, url)?), protocol })
    }

    /// The same with subscribers that speak `protocol`.
    #[must_use]
    pub fn speaking(self, protocol: SubscriberProtocol) -> Self {
        Self { protocol, ..self }
    }
}

impl Driver for WireClient {
    type Publisher = WirePublisher;
    type Subscriber = WireSubscriber;

    fn guarantees(&self) -> Guarantees {
        super::guarantees(Vec::new())
    }

    /// Pub/Sub stores nothing, so there is nothing to clear; this finds out whether the server is there.
    async fn prepare(&self, topology: &Topology) -> Result<(), DriverError> {
        super::check(topology)?;
        open(&self.address, 0).await.map(drop)
    }

    async fn publisher(&self, topology: &Topology, _connection: u32) -> Result<Self::Publisher, DriverError> {
        Ok(WirePublisher::new(open(&self.address, 0).await?, topology, Verb::Publish))
    }

    async fn subscriber(
        &self,
        topology: &Topology,
        subscriptions: &[Subscription],
    ) -> Result<Self::Subscriber, DriverError> {
        let socket = if self.protocol.is_resp3(super::connection_of(subscriptions)) {
            open_resp3(&self.address, topology.payload_max).await?
        } else {
            open(&self.address, topology.payload_max).await?
        };
        WireSubscriber::subscribe(socket, topology, subscriptions).await
    }

    async fn leftovers(&self, _topology: &Topology) -> Result<Option<Leftovers>, DriverError> {
        Ok(None)
    }

    async fn tear_down(&self, _topology: &Topology) -> Result<(), DriverError> {
        Ok(())
    }
}
