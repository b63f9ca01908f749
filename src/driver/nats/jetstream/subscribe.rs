//! Reading through pull and push consumers, and acknowledging.

use std::collections::VecDeque;

use async_nats::{Message, StatusCode, Subject};
use bytes::Bytes;

use super::super::link::Link;
use super::super::streams::Streams;
use super::super::subjects::Subjects;
use super::control::Control;
use super::{NAME, ack};
use crate::driver::{self, AckToken, Delivery, DriverError, ErrorKind};
use crate::scenario::{self, AckPolicy, ConsumerKind, Subscription};

/// How long the server keeps a pull request, in ns; asked again when it is over.
const PULL_EXPIRES_NS: u64 = 60_000_000_000;

/// The server's acknowledgement word.
const ACK: &[u8] = b"+ACK";

/// Header of a status line: messages of the pull request that will not come.
const PENDING_MESSAGES: &str = "Nats-Pending-Messages";

/// A connection that subscribes.
pub struct Subscriber {
    link: Link,
    subjects: Subjects,
    streams: Streams,
    ack: AckPolicy,
    readers: Vec<Reader>,
    /// Readers that may ask for more.
    hungry: Vec<u32>,
    unacknowledged: Unacknowledged,
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
    batch: u32,
    /// Messages that were asked for and have not come.
    outstanding: u32,
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
                    let (stream, consumer) = (control.stream(), Control::consumer(receiver));
                    let pull = Pull {
                        request: format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}").into(),
                        inbox: inbox.clone().into(),
                        batch: options.pull_batch.max(1),
                        outstanding: 0,
                    };
                    (client.subscribe(inbox).await, Some(pull))
                }
                ConsumerKind::Push => {
                    let subject = control.deliver_subject(receiver);
                    let subscribed = match control.topology().delivery {
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
            unacknowledged: Unacknowledged::default(),
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
                && pull.outstanding <= pull.batch / 2
            {
                let more = pull.batch - pull.outstanding;
                let request = format!("{{\"batch\":{more},\"expires\":{PULL_EXPIRES_NS}}}");
                let (subject, inbox) = (pull.request.clone(), pull.inbox.clone());
                let sent = self.link.client().publish_with_reply(subject, inbox, request.into()).await;
                sent.map_err(|_| self.link.disconnected())?;
                pull.outstanding = pull.batch;
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
                pull.outstanding = pull.outstanding.saturating_sub(1);
            }
            let Some(topic) = self.subjects.parse(&message.subject) else { continue };
            let reply = message.reply.as_ref();
            let token = match self.ack {
                AckPolicy::None => None,
                AckPolicy::All | AckPolicy::Explicit => {
                    reply.map(|reply| self.unacknowledged.push(subscription, reply.clone()))
                }
            };
            let redelivered = reply.is_some_and(|reply| ack::redelivered(reply));
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
    link.client().publish(reply, Bytes::from_static(ACK)).await.map_err(|_| link.disconnected())
}

/// A status line instead of a message: a pull request is over, or the consumer is gone.
fn on_status(reader: &mut Reader, message: &Message, status: StatusCode) -> Result<(), DriverError> {
    let Some(pull) = &mut reader.pull else { return Ok(()) };
    let not_coming = message
        .headers
        .as_ref()
        .and_then(|headers| headers.get(PENDING_MESSAGES)?.as_str().parse().ok())
        .unwrap_or(pull.outstanding);
    pull.outstanding = pull.outstanding.saturating_sub(not_coming);
    match status {
        StatusCode::TIMEOUT | StatusCode::NOT_FOUND | StatusCode::IDLE_HEARTBEAT => Ok(()),
        _ => {
            let description = message.description.as_deref().unwrap_or_default();
            let what = format!("the server ended a pull request: {status} {description}");
            Err(DriverError::new(ErrorKind::Disconnected, NAME, what))
        }
    }
}

/// Deliveries that were handed over and not yet acknowledged, by their tokens.
#[derive(Debug, Default)]
struct Unacknowledged {
    /// Token of the front.
    first: u64,
    replies: VecDeque<Option<(u32, Subject)>>,
}

impl Unacknowledged {
    fn push(&mut self, subscription: u32, reply: Subject) -> AckToken {
        self.replies.push_back(Some((subscription, reply)));
        AckToken(self.first + self.replies.len() as u64 - 1)
    }

    fn take(&mut self, token: AckToken) -> Option<(u32, Subject)> {
        let at = usize::try_from(token.0.checked_sub(self.first)?).ok()?;
        let taken = self.replies.get_mut(at)?.take();
        while let Some(None) = self.replies.front() {
            self.replies.pop_front();
            self.first += 1;
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_token_gives_its_reply_once_in_any_order() {
        let mut open = Unacknowledged::default();
        let tokens: Vec<AckToken> =
            (0..5u32).map(|i| open.push(i, Subject::from(format!("reply.{i}")))).collect();
        for &at in &[3usize, 0, 1, 4, 2] {
            let (subscription, reply) = open.take(tokens[at]).unwrap();
            assert_eq!((subscription as usize, reply.as_str()), (at, format!("reply.{at}").as_str()));
            assert_eq!(open.take(tokens[at]), None);
        }
        assert!(open.replies.is_empty());
        assert_eq!(open.push(9, Subject::from("next")), AckToken(5));
    }
}
