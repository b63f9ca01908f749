//! Reading through pull and push consumers, and acknowledging.

use async_nats::{Message, StatusCode, Subject};
use bytes::Bytes;

use super::super::JETSTREAM;
use super::super::ack;
use super::super::control::Control;
use super::super::demand::{self, Demand};
use super::super::subjects::Subjects;
use super::super::unacknowledged::Unacknowledged;
use super::link::Link;
use super::streams::Streams;
use crate::driver::{self, AckToken, Delivery, DriverError, ErrorKind};
use crate::scenario::{self, AckPolicy, ConsumerKind, Subscription};

/// A connection that subscribes.
pub struct Subscriber {
    link: Link,
    subjects: Subjects,
    streams: Streams,
    ack: AckPolicy,
    readers: Vec<Reader>,
    /// Readers that may ask for more.
    hungry: Vec<u32>,
    unacknowledged: Unacknowledged<Subject>,
}

/// One subscription.
struct Reader {
    pull: Option<Pull>,
    /// The newest delivery that is to be acknowledged, under `ack = "all"`.
    newest: Option<Subject>,
}

/// Pull requests of one subscription.
struct Pull {
    request: Subject,
    inbox: Subject,
    demand: Demand,
}

impl Subscriber {
    pub(super) async fn open(
        link: Link,
        control: &Control,
        subscriptions: &[Subscription],
    ) -> Result<Self, DriverError> {
        let options = control.options();
        let mut streams = Streams::new();
        let mut readers = Vec::with_capacity(subscriptions.len());
        for (number, subscription) in (0u32..).zip(subscriptions) {
            let receiver = subscription.receiver;
            let client = link.client();
            let (subscribed, pull) = match options.consumer {
                ConsumerKind::Pull => {
                    let inbox = client.new_inbox();
                    let pull = Pull {
                        request: control.pull_subject(&Control::consumer(receiver)).into(),
                        inbox: inbox.clone().into(),
                        demand: Demand::new(options.pull_batch),
                    };
                    (client.subscribe(inbox).await, Some(pull))
                }
                ConsumerKind::Ordered => {
                    let what = "the library makes an ordered consumer again without a word";
                    return Err(
                        DriverError::new(ErrorKind::Fatal, JETSTREAM, what).remedy("set client = \"wire\"")
                    );
                }
                ConsumerKind::Push => {
                    let subject = control.deliver_subject(receiver);
                    let subscribed = match control.topology().delivery_of(receiver) {
                        scenario::Delivery::FanOut => client.subscribe(subject).await,
                        scenario::Delivery::WorkQueue => {
                            client.queue_subscribe(subject, Control::consumer(receiver)).await
                        }
                    };
                    (subscribed, None)
                }
            };
            streams.add(number, subscribed.map_err(|_| link.disconnected())?);
            readers.push(Reader { pull, newest: None });
        }
        link.barrier().await?;
        let mut subscriber = Self {
            subjects: control.subjects().clone(),
            streams,
            ack: options.ack,
            hungry: (0u32..).take(readers.len()).collect(),
            readers,
            unacknowledged: Unacknowledged::new(),
            link,
        };
        subscriber.top_up().await?;
        Ok(subscriber)
    }

    /// Asks for more where less than half a batch is outstanding. Cancel-safe: a request that was not sent is
    /// still owed.
    async fn top_up(&mut self) -> Result<(), DriverError> {
        while let Some(&number) = self.hungry.last() {
            if let Some(pull) = self.readers[number as usize].pull.as_mut()
                && let Some(more) = pull.demand.more()
            {
                let request = demand::request(more);
                let (subject, inbox) = (pull.request.clone(), pull.inbox.clone());
                let sent = self.link.client().publish_with_reply(subject, inbox, request.into()).await;
                sent.map_err(|_| self.link.disconnected())?;
                pull.demand.asked();
            }
            self.hungry.pop();
        }
        Ok(())
    }
}

impl driver::Subscriber for Subscriber {
    async fn next_batch(&mut self, each: &mut impl FnMut(Delivery<'_>)) -> Result<(), DriverError> {
        self.top_up().await?;
        let (subscription, messages) = self.streams.next(&self.link).await?;
        self.hungry.push(subscription);
        let reader = &mut self.readers[subscription as usize];
        for message in &messages {
            if let Some(status) = message.status {
                on_status(reader, message, status)?;
                continue;
            }
            if let Some(pull) = &mut reader.pull {
                pull.demand.came();
            }
            let Some(topic) = self.subjects.parse(message.subject.as_bytes()) else { continue };
            let reply = message.reply.as_ref();
            let token = match self.ack {
                AckPolicy::None => None,
                AckPolicy::All | AckPolicy::Explicit => {
                    reply.map(|reply| self.unacknowledged.push(subscription, reply.clone()))
                }
            };
            let redelivered = reply.is_some_and(|reply| ack::redelivered(reply.as_bytes()));
            each(Delivery { subscription, topic, payload: &message.payload, redelivered, token });
        }
        Ok(())
    }

    async fn ack(&mut self, tokens: &[AckToken]) -> Result<(), DriverError> {
        let mut newest_of = Vec::new();
        for &token in tokens {
            let Some((number, reply)) = self.unacknowledged.take(token) else { continue };
            if self.ack == AckPolicy::All {
                // One acknowledgement covers all before it.
                if self.readers[number as usize].newest.replace(reply).is_none() {
                    newest_of.push(number);
                }
            } else {
                send_ack(&self.link, reply).await?;
            }
        }
        for number in newest_of {
            if let Some(reply) = self.readers[number as usize].newest.take() {
                send_ack(&self.link, reply).await?;
            }
        }
        Ok(())
    }

    fn client_drops(&self) -> u64 {
        self.streams.dropped(&self.link)
    }
}

async fn send_ack(link: &Link, reply: Subject) -> Result<(), DriverError> {
    link.client().publish(reply, Bytes::from_static(ack::ACK)).await.map_err(|_| link.disconnected())
}

/// A status line instead of a message: a pull request is over, or the consumer is gone.
fn on_status(reader: &mut Reader, message: &Message, status: StatusCode) -> Result<(), DriverError> {
    let Some(pull) = &mut reader.pull else { return Ok(()) };
    let headers = message.headers.as_ref();
    let pending = headers.and_then(|headers| headers.get(demand::PENDING_MESSAGES)?.as_str().parse().ok());
    pull.demand.ended(status.as_u16(), message.description.as_deref().unwrap_or_default(), pending)
}
