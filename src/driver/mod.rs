//! The seam to one messaging system. A driver moves bytes; it takes no timestamps, keeps no statistics and
//! draws no conclusions.
//!
//! # Obligations of every driver
//! - [`Driver::prepare`] leaves nothing readable from an earlier trial.
//! - No silent retry: a message is handed to the system once, or an error says so.
//! - No unbounded buffer: [`Publisher::enqueue`] answers [`Enqueued::Full`] instead of growing for ever.
//! - Errors are classified by [`ErrorKind`]; policy is a total match on it.
//! - [`Publisher::flush`], [`Publisher::acks`] and [`Subscriber::next_batch`] are cancel-safe: a dropped
//!   future loses no byte, no ack and no delivery.
//! - All futures stay on the thread that polls them.
//! - Where a client library stands in the way of one of these, [`Guarantees::deviations`] says so.

#![expect(async_fn_in_trait, reason = "drivers are used monomorphised, on the thread that polls them")]

mod any;
mod dual;
mod error;
mod guarantees;
#[cfg(feature = "kafka")]
pub mod kafka;
mod looks;
pub mod loopback;
pub mod nats;
mod open;
mod readers;
pub mod redis;
pub mod redis_cluster;
pub mod redis_pubsub;
pub mod redis_streams;
mod runs;
mod socket;
mod tls;

pub use error::{DriverError, ErrorKind};
pub use guarantees::{Acknowledgement, DeliveryGuarantee, Durability, Guarantees};
pub use open::{Visitor, open, open_target};

use crate::scenario::{SubscribeBy, Subscription, TopicId, Topology};

/// One messaging system, as one target configures it. Cheap to clone into each thread of a trial.
pub trait Driver: Clone + Send + 'static {
    /// A publishing connection.
    type Publisher: Publisher;
    /// A subscribing connection.
    type Subscriber: Subscriber;

    /// What the system promises under this configuration.
    fn guarantees(&self) -> Guarantees;

    /// Creates what the topology needs (streams, consumers) and leaves nothing readable from an earlier
    /// trial.
    ///
    /// # Errors
    /// `Fatal` if the system can't do what is asked, `Disconnected` if it can't be reached.
    async fn prepare(&self, topology: &Topology) -> Result<(), DriverError>;

    /// Opens publishing connection `connection` (0 to publisher_connections − 1).
    ///
    /// # Errors
    /// `Disconnected` if the system can't be reached, `Fatal` if it refuses.
    async fn publisher(&self, topology: &Topology, connection: u32) -> Result<Self::Publisher, DriverError>;

    /// Opens a subscribing connection; once this returns, every message published afterwards on any
    /// connection to a topic of `subscriptions` is meant to be delivered.
    ///
    /// # Errors
    /// `Fatal` if the system can't serve these subscriptions on one connection, else as above.
    async fn subscriber(
        &self,
        topology: &Topology,
        subscriptions: &[Subscription],
    ) -> Result<Self::Subscriber, DriverError>;

    /// Messages that the system still holds undelivered for any receiver, and those that it discarded by
    /// limits of its own. `None` where the system keeps nothing.
    ///
    /// # Errors
    /// `Disconnected` if the system can't be reached any more.
    async fn leftovers(&self, topology: &Topology) -> Result<Option<Leftovers>, DriverError>;

    /// The name, as that server calls itself, of the server that leads what is replicated; `None` where nothing is
    /// led.
    ///
    /// # Errors
    /// `Disconnected` if nobody answers, `Fatal` if what is led is gone.
    async fn leader(&self, _topology: &Topology) -> Result<Option<String>, DriverError> {
        Ok(None)
    }

    /// What its connections met on the way that a reader of the result has to know, such as redirections, in
    /// words; asked for when they are gone. Empty where nothing happened.
    fn remarks(&self) -> Vec<String> {
        Vec::new()
    }

    /// What a target of two systems does when its scenario says so; nothing where there is one system.
    ///
    /// # Errors
    /// As [`Driver::prepare`].
    async fn migrate(&self, _topology: &Topology, _step: Migration) -> Result<(), DriverError> {
        Ok(())
    }

    /// Removes what `prepare` created.
    ///
    /// # Errors
    /// `Disconnected` if the system can't be reached any more.
    async fn tear_down(&self, topology: &Topology) -> Result<(), DriverError>;
}

/// A step from one system to another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Migration {
    /// The new system is made ready, and each message is written to both from now on.
    WriteBoth,
    /// This subscriber reads from the new system from its next connection on.
    Move(u32),
    /// So many subscribers, from this one on, are asked for: an error unless all have left the old system.
    AllMoved(u32, u32),
}

/// What a system holds at the end of a trial, in deliveries (messages × receivers).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Leftovers {
    /// Stored and not yet delivered, or delivered and not yet acknowledged.
    pub pending: u64,
    /// Thrown away by the system's own limits.
    pub discarded: u64,
}

/// Refuses subscriptions by pattern, for systems that know topics by name alone.
fn by_name_only(driver: &'static str, topology: &Topology) -> Result<(), DriverError> {
    if topology.by == SubscribeBy::Name {
        return Ok(());
    }
    Err(DriverError::new(ErrorKind::Fatal, driver, "topics are known by name only, not by a pattern").remedy(
        "set workload.subscribe_by = \"name\", or take a driver with patterns (redis-pubsub, nats-core, jetstream)",
    ))
}

/// Answer of [`Publisher::enqueue`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Enqueued {
    /// The frame is in the output buffer.
    Yes,
    /// The output buffer is full: flush first, then offer the message again.
    Full,
}

/// What became of consecutive messages of one publishing connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AckRun {
    /// First message of the run: the n-th that was enqueued on this connection, from 0.
    pub first: u64,
    /// How many follow on from it, at least 1.
    pub count: u32,
    /// What became of them.
    pub outcome: Outcome,
}

/// What became of a message, as the publisher learns it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The system took responsibility (or answered, where it takes none).
    Accepted,
    /// The system refused it.
    Rejected,
}

/// A publishing connection. Messages are numbered from 0 in the order in which they were enqueued.
///
/// It is kept until everything has arrived or the drain is over: what a client library or the socket still
/// holds is lost when it is dropped, and would be taken for the broker's loss.
pub trait Publisher {
    /// Appends a frame to the output buffer. No I/O here; where a client library sends by itself, the message may have
    /// arrived before this returns.
    ///
    /// # Errors
    /// `Rejected` if this message can never be sent (too large), `Disconnected` if the connection is gone.
    fn enqueue(&mut self, topic: TopicId, payload: &[u8]) -> Result<Enqueued, DriverError>;

    /// Writes all that is queued, in as few system calls as the socket allows. While the socket takes
    /// nothing, acks are still read and handed over, so that neither side can block the other: as they arrive,
    /// or within 2 ms in a closed loop ([`Topology::closed_loop`]). Acks that have already arrived may be
    /// handed over in any case. Cancel-safe.
    ///
    /// # Errors
    /// `Disconnected` if the connection broke; what was queued and not answered is then *unknown*.
    async fn flush(&mut self, each: &mut impl FnMut(AckRun)) -> Result<(), DriverError>;

    /// Waits until at least one ack has arrived and hands over all that have. Pends for ever where the
    /// system has no acks, but still notices a broken connection. Cancel-safe.
    ///
    /// # Errors
    /// `Disconnected` if the connection broke.
    async fn acks(&mut self, each: &mut impl FnMut(AckRun)) -> Result<(), DriverError>;
}

/// Names a delivery until it is acknowledged, unique per subscribing connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AckToken(pub u64);

/// One message as it came.
#[derive(Debug, Clone, Copy)]
pub struct Delivery<'a> {
    /// Index into the `subscriptions` given to [`Driver::subscriber`].
    pub subscription: u32,
    /// The topic it came on.
    pub topic: TopicId,
    /// The bytes, borrowed from the read buffer.
    pub payload: &'a [u8],
    /// The system says that it delivered this before.
    pub redelivered: bool,
    /// What to acknowledge, where the subscriber has to.
    pub token: Option<AckToken>,
}

/// A subscribing connection.
pub trait Subscriber {
    /// Waits for the next socket read (one at most) and hands over each message in it, in order. May hand over none
    /// (a partial frame). The harness reads the clock at the first message of a batch. Cancel-safe.
    ///
    /// # Errors
    /// `Disconnected` with the reason, where the system tells it.
    async fn next_batch(&mut self, each: &mut impl FnMut(Delivery<'_>)) -> Result<(), DriverError>;

    /// Acknowledges deliveries, in ascending order of their handling. Nothing to do where the system wants
    /// no acks.
    ///
    /// # Errors
    /// `Disconnected` if the connection broke.
    async fn ack(&mut self, tokens: &[AckToken]) -> Result<(), DriverError>;

    /// Messages that the client side read from the socket and threw away, because a queue of a client library
    /// was full: not the broker's loss. Exact once nothing more arrives; 0 where nothing is ever dropped.
    fn client_drops(&self) -> u64 {
        0
    }
}
