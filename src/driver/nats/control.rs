//! The stream and its consumers: created, asked, deleted.

use async_nats::jetstream::consumer::{self, pull, push};
use async_nats::jetstream::context::DeleteStreamErrorKind;
use async_nats::jetstream::stream::{self, DiscardPolicy, RetentionPolicy, StorageType};
use async_nats::jetstream::{self, Context};
use futures_util::{StreamExt, TryStreamExt};

use super::JETSTREAM;
use super::library::link::Link;
use super::subjects::Subjects;
use crate::driver::{DriverError, ErrorKind, Leftovers};
use crate::scenario::{
    AckPolicy, ConsumerKind, DeliverPolicy, Delivery, Discard, JetstreamOptions, Retention, Storage, TopicId,
    Topology,
};

/// Questions to the server that are under way at a time.
const CONCURRENT_REQUESTS: usize = 32;

/// How long the server keeps an ordered consumer that nobody asks.
const ORDERED_KEPT: std::time::Duration = std::time::Duration::from_secs(300);

/// How long creating may take: in a cluster it is answered once a leader is elected, by the server after 4 to 9 s where
/// the first candidate is not, and a machine that starts many replicas at once is busy.
const CREATED_WITHIN: std::time::Duration = std::time::Duration::from_secs(30);

/// Error code of the server for a stream that doesn't exist.
const STREAM_NOT_FOUND: u64 = 10059;

/// What all consumers together say of themselves.
#[derive(Debug, Default)]
struct Held {
    /// Stored and not delivered.
    pending: u64,
    /// Delivered and not acknowledged.
    unacknowledged: u64,
    /// Delivered, each time.
    delivered: u64,
    /// Removed while a consumer had not come that far.
    passed_over: u64,
}

/// Control of one topology's stream.
pub(super) struct Control {
    link: Link,
    context: Context,
    options: JetstreamOptions,
    topology: Topology,
    subjects: Subjects,
}

impl Control {
    pub(super) async fn connect(
        url: &str,
        options: &JetstreamOptions,
        topology: &Topology,
    ) -> Result<Self, DriverError> {
        let subjects = Subjects::of(topology, JETSTREAM)?;
        let link = Link::connect(JETSTREAM, url).await?;
        let context = jetstream::new(link.client().clone());
        Ok(Self { link, context, options: options.clone(), topology: topology.clone(), subjects })
    }

    pub(super) fn options(&self) -> &JetstreamOptions {
        &self.options
    }

    pub(super) fn topology(&self) -> &Topology {
        &self.topology
    }

    pub(super) fn subjects(&self) -> &Subjects {
        &self.subjects
    }

    /// The stream's name; it depends on the topic prefix alone, so that a trial finds what an earlier one
    /// with the same topics left behind.
    pub(super) fn stream(&self) -> String {
        format!("busmark-{}", self.topology.prefix)
    }

    /// The durable consumer of a receiver.
    pub(super) fn consumer(receiver: u32) -> String {
        format!("receiver-{receiver}")
    }

    /// Where a pull consumer of this name is asked for messages.
    pub(super) fn pull_subject(&self, consumer: &str) -> String {
        format!("$JS.API.CONSUMER.MSG.NEXT.{}.{consumer}", self.stream())
    }

    /// Makes the ordered consumer `name` of a receiver, which begins behind the stream's message `after`.
    pub(super) async fn create_ordered(
        &self,
        receiver: u32,
        name: &str,
        after: Option<u64>,
    ) -> Result<(), DriverError> {
        let start = |after: u64| consumer::DeliverPolicy::ByStartSequence { start_sequence: after + 1 };
        let config = pull::Config {
            durable_name: None,
            name: Some(name.to_owned()),
            deliver_policy: after.map_or_else(|| self.deliver_policy(), start),
            memory_storage: true,
            num_replicas: 1,
            inactive_threshold: ORDERED_KEPT,
            ..self.pull_config(receiver)
        };
        let created = self.context.create_consumer_on_stream(config, self.stream()).await;
        created.map(drop).map_err(|error| self.fatal("create an ordered consumer", error))
    }

    /// Where a push consumer sends; not below the stream's own subjects.
    pub(super) fn deliver_subject(&self, receiver: u32) -> String {
        format!("busmark-deliver-{}.{receiver}", self.topology.prefix)
    }

    /// Deletes what is there and creates the stream and all consumers anew.
    pub(super) async fn create(&self) -> Result<(), DriverError> {
        if self.topology.has_queue() && self.options.ack == AckPolicy::All {
            let what =
                "ack = \"all\" can't be used by a work queue: it would acknowledge the messages of others";
            return Err(
                DriverError::new(ErrorKind::Fatal, JETSTREAM, what).remedy("use \"explicit\" or \"none\"")
            );
        }
        if self.topology.has_queue() && self.options.consumer == ConsumerKind::Ordered {
            let what = "an ordered consumer is one subscriber's own and no work queue";
            return Err(DriverError::new(ErrorKind::Fatal, JETSTREAM, what)
                .remedy("use consumer = \"pull\" or \"push\""));
        }
        self.delete().await?;
        let config = stream::Config {
            name: self.stream(),
            subjects: vec![self.subjects.all()],
            storage: match self.options.storage {
                Storage::File => StorageType::File,
                Storage::Memory => StorageType::Memory,
            },
            retention: match self.options.retention {
                Retention::Limits => RetentionPolicy::Limits,
                Retention::Interest => RetentionPolicy::Interest,
                Retention::WorkQueue => RetentionPolicy::WorkQueue,
            },
            max_messages: limit(self.options.max_messages),
            max_bytes: limit(self.options.max_bytes),
            max_age: self.options.max_age,
            discard: match self.options.discard {
                Discard::Old => DiscardPolicy::Old,
                Discard::New => DiscardPolicy::New,
            },
            num_replicas: usize::from(self.options.replicas.max(1)),
            ..stream::Config::default()
        };
        let mut context = self.context.clone();
        context.set_timeout(CREATED_WITHIN);
        context.create_stream(config).await.map_err(|error| self.fatal("create the stream", error))?;
        // Ordered consumers are made when somebody subscribes.
        let durable =
            if self.options.consumer == ConsumerKind::Ordered { 0 } else { self.topology.receivers() };
        futures_util::stream::iter(0..durable)
            .map(|receiver| self.create_consumer(&context, receiver))
            .buffer_unordered(CONCURRENT_REQUESTS)
            .try_collect()
            .await
    }

    /// Deletes the stream with its consumers, if it is there.
    pub(super) async fn delete(&self) -> Result<(), DriverError> {
        match self.context.delete_stream(self.stream()).await.map_err(|error| error.kind()) {
            Ok(_) => Ok(()),
            Err(DeleteStreamErrorKind::JetStream(error)) if error.error_code().0 == STREAM_NOT_FOUND => {
                Ok(())
            }
            Err(kind) => Err(self.fatal("delete the stream", kind)),
        }
    }

    /// What the consumers have not delivered or got no acknowledgement for, and what the stream's limits took
    /// away before a consumer reached it: what was stored for its consumers, less what they delivered or still
    /// have before them. Deliveries count again when they are made again, so that this is rather too little than
    /// too much, and nothing where the stream has no limits.
    /// `name` says under which name a receiver's consumer is known, if it is there, and how many deliveries others made
    /// in its place before.
    pub(super) async fn leftovers(
        &self,
        name: impl Fn(u32) -> Option<(String, u64)>,
    ) -> Result<Leftovers, DriverError> {
        let stream = self
            .context
            .get_stream(self.stream())
            .await
            .map_err(|error| self.fatal("ask for the stream", error))?;
        let state = &stream.cached_info().state;
        let (stored, removed) = (state.last_sequence, state.first_sequence.saturating_sub(1));
        let names: Vec<(String, u64)> = (0..self.topology.receivers()).filter_map(name).collect();
        let sum = futures_util::stream::iter(names)
            .map(|(name, before)| {
                let stream = &stream;
                async move { stream.consumer_info(name).await.map(|info| (info, before)) }
            })
            .buffer_unordered(CONCURRENT_REQUESTS)
            .map_err(|error| self.fatal("ask for a consumer", error))
            .try_fold(Held::default(), async |sum, (info, before)| {
                let unacknowledged = match self.options.ack {
                    AckPolicy::None => 0,
                    AckPolicy::All | AckPolicy::Explicit => info.num_ack_pending as u64,
                };
                Ok(Held {
                    pending: sum.pending + info.num_pending,
                    unacknowledged: sum.unacknowledged + unacknowledged,
                    delivered: sum.delivered + before + info.delivered.consumer_sequence,
                    passed_over: sum.passed_over + removed.saturating_sub(info.delivered.stream_sequence),
                })
            })
            .await?;
        let pending = sum.pending + sum.unacknowledged;
        let discarded = match (self.options.has_limits(), self.copies()) {
            (false, _) => 0,
            (true, Some(copies)) => (copies * stored).saturating_sub(sum.delivered + sum.pending),
            (true, None) => sum.passed_over,
        };
        Ok(Leftovers { pending, discarded })
    }

    /// The server that leads the stream, by its name.
    pub(super) async fn leader(&self) -> Result<Option<String>, DriverError> {
        let stream = self.context.get_stream(self.stream()).await;
        let stream = stream.map_err(|error| self.fatal("ask for the stream", error))?;
        Ok(stream.cached_info().cluster.as_ref().and_then(|cluster| cluster.leader.clone()))
    }

    /// How many consumers each message is for, if that is the same for all.
    fn copies(&self) -> Option<u64> {
        let copies = |topic| u64::from(self.topology.copies(TopicId(topic)));
        let first = copies(0);
        (1..self.topology.topics).all(|topic| copies(topic) == first).then_some(first)
    }

    async fn create_consumer(&self, context: &Context, receiver: u32) -> Result<(), DriverError> {
        let created = match self.options.consumer {
            ConsumerKind::Pull | ConsumerKind::Ordered => {
                let config = self.pull_config(receiver);
                context.create_consumer_on_stream(config, self.stream()).await.map(|_| ())
            }
            ConsumerKind::Push => {
                let config = self.push_config(receiver);
                context.create_consumer_on_stream(config, self.stream()).await.map(|_| ())
            }
        };
        created.map_err(|error| self.fatal("create a consumer", error))
    }

    fn pull_config(&self, receiver: u32) -> pull::Config {
        let (filter_subject, filter_subjects) = self.filters(receiver);
        pull::Config {
            durable_name: Some(Self::consumer(receiver)),
            deliver_policy: self.deliver_policy(),
            ack_policy: self.ack_policy(),
            ack_wait: self.ack_wait(),
            max_ack_pending: self.max_ack_pending(),
            max_deliver: self.max_deliver(),
            filter_subject,
            filter_subjects,
            ..pull::Config::default()
        }
    }

    fn push_config(&self, receiver: u32) -> push::Config {
        let (filter_subject, filter_subjects) = self.filters(receiver);
        push::Config {
            durable_name: Some(Self::consumer(receiver)),
            deliver_subject: self.deliver_subject(receiver),
            deliver_group: match self.topology.delivery_of(receiver) {
                Delivery::FanOut => None,
                Delivery::WorkQueue => Some(Self::consumer(receiver)),
            },
            deliver_policy: self.deliver_policy(),
            ack_policy: self.ack_policy(),
            ack_wait: self.ack_wait(),
            max_ack_pending: self.max_ack_pending(),
            max_deliver: self.max_deliver(),
            filter_subject,
            filter_subjects,
            ..push::Config::default()
        }
    }

    /// One filter goes into the old field, several into the new one; the server wants it so.
    fn filters(&self, receiver: u32) -> (String, Vec<String>) {
        let mut filters = self.subjects.filters(&self.topology.topics_of_receiver(receiver));
        match filters.len() {
            1 => (filters.remove(0), Vec::new()),
            _ => (String::new(), filters),
        }
    }

    fn deliver_policy(&self) -> consumer::DeliverPolicy {
        match self.options.deliver {
            DeliverPolicy::All => consumer::DeliverPolicy::All,
            DeliverPolicy::New => consumer::DeliverPolicy::New,
            DeliverPolicy::Last => consumer::DeliverPolicy::Last,
            DeliverPolicy::LastPerTopic => consumer::DeliverPolicy::LastPerSubject,
        }
    }

    fn ack_policy(&self) -> consumer::AckPolicy {
        match self.options.ack {
            AckPolicy::None => consumer::AckPolicy::None,
            AckPolicy::All => consumer::AckPolicy::All,
            AckPolicy::Explicit => consumer::AckPolicy::Explicit,
        }
    }

    /// The server refuses a wait for acknowledgements that nobody sends.
    fn ack_wait(&self) -> std::time::Duration {
        match self.options.ack {
            AckPolicy::None => std::time::Duration::ZERO,
            AckPolicy::All | AckPolicy::Explicit => self.options.ack_wait,
        }
    }

    fn max_ack_pending(&self) -> i64 {
        match (self.options.ack, self.options.max_ack_pending) {
            (AckPolicy::None, _) => 0,
            (AckPolicy::All | AckPolicy::Explicit, 0) => -1,
            (AckPolicy::All | AckPolicy::Explicit, limit) => i64::from(limit),
        }
    }

    fn max_deliver(&self) -> i64 {
        match (self.options.ack, self.options.max_deliver) {
            (AckPolicy::None, _) | (_, 0) => -1,
            (AckPolicy::All | AckPolicy::Explicit, most) => i64::from(most),
        }
    }

    fn fatal(&self, what: &str, error: impl std::fmt::Display) -> DriverError {
        if self.link.is_broken() {
            return self.link.disconnected();
        }
        DriverError::new(ErrorKind::Fatal, JETSTREAM, format!("could not {what}: {error}"))
    }
}

/// A limit as the server writes it.
fn limit(most: u64) -> i64 {
    if most == 0 { -1 } else { i64::try_from(most).unwrap_or(i64::MAX) }
}
