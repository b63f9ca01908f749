//! The library client: the `redis` crate as an application would use it for throughput, with pipelines of
//! PUBLISH over a multiplexed connection, and its `PubSub` for subscribing.

use std::collections::VecDeque;
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use ::redis::aio::{MultiplexedConnection, PubSub};
use ::redis::{AsyncConnectionConfig, Client, Pipeline, ProtocolVersion, RedisError, RedisResult, Value};
use futures_util::StreamExt;
use futures_util::future::{MaybeDone, maybe_done};
use tokio::time::timeout;

use super::{CHANNELS_PER_COMMAND, NAME, disconnected, fatal};
use crate::driver::redis::{self, Address, FRAME_BYTES, Readers, check_length};
use crate::driver::socket::{OUTPUT_BYTES, Place, SETUP_LIMIT};
use crate::driver::{
    AckRun, AckToken, Delivery, Driver, DriverError, Enqueued, Guarantees, Leftovers, Outcome, Publisher,
    Subscriber,
};
use crate::scenario::{SubscribeBy, SubscriberProtocol, Subscription, TopicId, Topology};

/// Pipelines on their way at most; the crate's own channel holds 50.
const PIPELINES: usize = 16;
/// Messages handed over per batch at most, so that a fast broker can't keep a batch open for ever.
const BATCH: usize = 1024;

/// Redis Pub/Sub through the `redis` crate.
#[derive(Debug, Clone)]
pub struct LibraryClient {
    client: Client,
    place: Place,
    protocol: SubscriberProtocol,
}

impl LibraryClient {
    /// A client for the server at `url` (`redis://…` or `unix://…`).
    ///
    /// # Errors
    /// `Fatal` if the URL is none.
    pub fn new(url: &str) -> Result<Self, DriverError> {
        let place = Address::parse(NAME, url)?.place;
        let client = redis::client(url).map_err(|_| fatal("the redis crate refuses the target's URL"))?;
        Ok(Self { client, place, protocol: SubscriberProtocol::Resp2 })
    }

    /// The same with subscribers that speak `protocol`.
    #[must_use]
    pub fn speaking(self, protocol: SubscriberProtocol) -> Self {
        Self { protocol, ..self }
    }

    /// The crate's client for the subscribing connection with this number.
    fn client_of(&self, connection: u32) -> RedisResult<Client> {
        if !self.protocol.is_resp3(connection) {
            return Ok(self.client.clone());
        }
        let info = self.client.get_connection_info().clone();
        let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
        Client::open(info.set_redis_settings(settings))
    }

    async fn connect(&self) -> Result<MultiplexedConnection, DriverError> {
        // A reply that takes long is the trial's business, not the library's.
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(SETUP_LIMIT)).set_response_timeout(None);
        let connection = self.client.get_multiplexed_async_connection_with_config(&config).await;
        connection.map_err(|error| self.refused(error))
    }

    fn refused(&self, error: RedisError) -> DriverError {
        redis::of_library(NAME, &self.place.to_string(), error)
    }
}

impl Driver for LibraryClient {
    type Publisher = LibraryPublisher;
    type Subscriber = LibrarySubscriber;

    fn guarantees(&self) -> Guarantees {
        super::guarantees(
            [
                "flush hands a pipeline to the crate's task, which writes it some time later",
                "received messages queue without bound inside the crate",
                "a connection that breaks while no reply is due is noticed at the next message only",
            ]
            .map(str::to_owned)
            .to_vec(),
        )
    }

    async fn prepare(&self, topology: &Topology) -> Result<(), DriverError> {
        super::check(topology)?;
        self.connect().await.map(drop)
    }

    async fn publisher(&self, topology: &Topology, _connection: u32) -> Result<Self::Publisher, DriverError> {
        Ok(LibraryPublisher::new(self.connect().await?, topology))
    }

    async fn subscriber(
        &self,
        topology: &Topology,
        subscriptions: &[Subscription],
    ) -> Result<Self::Subscriber, DriverError> {
        let readers = Readers::new(NAME, topology, subscriptions)?;
        let client =
            self.client_of(super::connection_of(subscriptions)).map_err(|error| self.refused(error))?;
        let Ok(connected) = timeout(SETUP_LIMIT, client.get_async_pubsub()).await else {
            return Err(disconnected(format!("no connection to {} within {SETUP_LIMIT:?}", self.place)));
        };
        let mut pubsub = connected.map_err(|error| self.refused(error))?;
        let names = match topology.by {
            SubscribeBy::Name => readers.channels(),
            SubscribeBy::Pattern => readers.patterns(),
        };
        for some in names.chunks(CHANNELS_PER_COMMAND) {
            let subscribing = async {
                match topology.by {
                    SubscribeBy::Name => pubsub.subscribe(some).await,
                    SubscribeBy::Pattern => pubsub.psubscribe(some).await,
                }
            };
            match timeout(SETUP_LIMIT, subscribing).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(self.refused(error)),
                Err(_) => return Err(disconnected(format!("no confirmation within {SETUP_LIMIT:?}"))),
            }
        }
        Ok(LibrarySubscriber { pubsub, readers })
    }

    async fn leftovers(&self, _topology: &Topology) -> Result<Option<Leftovers>, DriverError> {
        Ok(None)
    }

    async fn tear_down(&self, _topology: &Topology) -> Result<(), DriverError> {
        Ok(())
    }
}

/// A pipeline on its way: how many messages it has, and their replies to come.
struct Sent {
    count: usize,
    replies: MaybeDone<Replies>,
}

type Replies = Pin<Box<dyn Future<Output = RedisResult<Vec<Value>>>>>;

/// A publishing connection through the `redis` crate.
pub struct LibraryPublisher {
    connection: MultiplexedConnection,
    /// By topic.
    channels: Vec<String>,
    pipeline: Pipeline,
    queued: usize,
    queued_bytes: usize,
    /// In the order in which they were handed to the crate, which is that of their replies.
    sent: VecDeque<Sent>,
    answered: u64,
}

impl std::fmt::Debug for LibraryPublisher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (queued, sent, answered) = (self.queued, self.sent.len(), self.answered);
        write!(f, "LibraryPublisher {{ queued: {queued}, sent: {sent}, answered: {answered} }}")
    }
}

impl LibraryPublisher {
    fn new(connection: MultiplexedConnection, topology: &Topology) -> Self {
        Self {
            connection,
            channels: (0..topology.topics).map(|topic| topology.topic_name(TopicId(topic))).collect(),
            pipeline: Pipeline::new(),
            queued: 0,
            queued_bytes: 0,
            sent: VecDeque::new(),
            answered: 0,
        }
    }

    /// Hands the queued messages to the crate. The first poll puts them into its channel, which has room.
    fn send(&mut self, cx: &mut Context<'_>) {
        let count = std::mem::take(&mut self.queued);
        let pipeline = std::mem::replace(&mut self.pipeline, Pipeline::with_capacity(count));
        self.queued_bytes = 0;
        let mut connection = self.connection.clone();
        let replies: Replies =
            Box::pin(async move { connection.send_packed_commands(&pipeline, 0, count).await });
        let mut replies = maybe_done(replies);
        // Ready or not: what came is kept until its turn.
        _ = Pin::new(&mut replies).poll(cx);
        self.sent.push_back(Sent { count, replies });
    }

    /// Hands over the replies of the oldest pipeline; pends while there is none.
    fn poll_oldest(
        &mut self,
        cx: &mut Context<'_>,
        each: &mut impl FnMut(AckRun),
    ) -> Poll<Result<(), DriverError>> {
        let Some(Sent { count, replies }) = self.sent.front_mut() else { return Poll::Pending };
        let (count, mut replies) = (*count, Pin::new(replies));
        ready!(replies.as_mut().poll(cx));
        let result = replies.take_output();
        self.sent.pop_front();
        let replies = match result {
            Some(Ok(replies)) if replies.len() == count => replies,
            Some(Err(error)) => return Poll::Ready(Err(disconnected("the connection broke").source(error))),
            _ => return Poll::Ready(Err(fatal(format!("{count} messages were answered otherwise")))),
        };
        for run in replies.chunk_by(|one, other| outcome(one) == outcome(other)) {
            let count = u32::try_from(run.len()).unwrap_or(u32::MAX);
            each(AckRun { first: self.answered, count, outcome: outcome(&run[0]) });
            self.answered += u64::from(count);
        }
        Poll::Ready(Ok(()))
    }
}

fn outcome(reply: &Value) -> Outcome {
    if matches!(reply, Value::ServerError(_)) { Outcome::Rejected } else { Outcome::Accepted }
}

impl Publisher for LibraryPublisher {
    fn enqueue(&mut self, topic: TopicId, payload: &[u8]) -> Result<Enqueued, DriverError> {
        let Some(channel) = self.channels.get(topic.0 as usize) else {
            return Err(fatal(format!("there is no topic {}", topic.0)));
        };
        check_length(NAME, payload)?;
        let more = channel.len() + FRAME_BYTES + payload.len();
        if self.queued > 0 && self.queued_bytes + more > OUTPUT_BYTES {
            return Ok(Enqueued::Full);
        }
        self.pipeline.cmd("PUBLISH").arg(channel).arg(payload);
        self.queued += 1;
        self.queued_bytes += more;
        Ok(Enqueued::Yes)
    }

    async fn flush(&mut self, each: &mut impl FnMut(AckRun)) -> Result<(), DriverError> {
        poll_fn(|cx| {
            while self.queued > 0 {
                if self.sent.len() < PIPELINES {
                    self.send(cx);
                } else {
                    ready!(self.poll_oldest(cx, each))?;
                }
            }
            Poll::Ready(Ok(()))
        })
        .await
    }

    async fn acks(&mut self, each: &mut impl FnMut(AckRun)) -> Result<(), DriverError> {
        poll_fn(|cx| self.poll_oldest(cx, each)).await
    }
}

/// A subscribing connection through the `redis` crate.
pub struct LibrarySubscriber {
    pubsub: PubSub,
    readers: Readers,
}

impl std::fmt::Debug for LibrarySubscriber {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "LibrarySubscriber {{ readers: {:?} }}", self.readers)
    }
}

impl Subscriber for LibrarySubscriber {
    async fn next_batch(&mut self, each: &mut impl FnMut(Delivery<'_>)) -> Result<(), DriverError> {
        let Self { pubsub, readers } = self;
        let mut messages = pubsub.on_message();
        let mut handed = 0;
        poll_fn(|cx| {
            while handed < BATCH {
                let message = match messages.poll_next_unpin(cx) {
                    Poll::Ready(Some(message)) => message,
                    Poll::Ready(None) if handed == 0 => {
                        return Poll::Ready(Err(disconnected("the connection ended")));
                    }
                    Poll::Pending if handed == 0 => return Poll::Pending,
                    Poll::Ready(None) | Poll::Pending => break,
                };
                let channel = message.get_channel_name().as_bytes();
                each(readers.delivery(channel, message.get_payload_bytes())?);
                handed += 1;
            }
            Poll::Ready(Ok(()))
        })
        .await
    }

    /// Pub/Sub knows no acks.
    async fn ack(&mut self, _tokens: &[AckToken]) -> Result<(), DriverError> {
        Ok(())
    }
}
