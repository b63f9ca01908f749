//! Reading through pull and push consumers, and acknowledging: what one read brought is acknowledged, and more
//! asked for, in one write.

use std::future::poll_fn;

use tokio::time::timeout;

use super::super::ack::{self, ACK};
use super::super::control::Control;
use super::super::demand::{self, Demand};
use super::super::subjects::Subjects;
use super::super::unacknowledged::Unacknowledged;
use super::super::{CORE, JETSTREAM};
use super::link::Link;
use crate::driver::{self, AckToken, Delivery, DriverError, ErrorKind};
use crate::scenario::{self, AckPolicy, ConsumerKind, Subscription};
use crate::wire::nats::{Headers, Message, MessageHead, append_publish, append_subscribe};

/// Bytes of acknowledgements that may wait for the socket before acknowledging waits, too.
const ACKS_WAITING: usize = 1024 * 1024;

/// Bytes of a reply subject that are kept without allocating; ours have about 70.
const REPLY_BYTES: usize = 111;

/// A connection that subscribes.
#[derive(Debug)]
pub struct Subscriber {
    link: Link,
    subjects: Subjects,
    ack: AckPolicy,
    readers: Vec<Reader>,
    unacknowledged: Unacknowledged<Reply>,
}

/// One subscription.
#[derive(Debug)]
struct Reader {
    pull: Option<Pull>,
    /// How the reply subject of a first delivery begins.
    first_delivery: Vec<u8>,
    /// The newest delivery that is to be acknowledged, under `ack = "all"`.
    newest: Option<Reply>,
}

/// Pull requests of one subscription.
#[derive(Debug)]
struct Pull {
    subject: String,
    inbox: String,
    demand: Demand,
}

/// A reply subject.
#[derive(Debug, Clone)]
enum Reply {
    Short { length: u8, bytes: [u8; REPLY_BYTES] },
    Long(Box<[u8]>),
}

impl Subscriber {
    pub(super) async fn open(
        mut link: Link,
        control: &Control,
        subscriptions: &[Subscription],
    ) -> Result<Self, DriverError> {
        let options = control.options();
        let mut commands = Vec::new();
        let mut readers = Vec::with_capacity(subscriptions.len());
        for (number, subscription) in subscriptions.iter().enumerate() {
            let receiver = subscription.receiver;
            let sid = number.to_string();
            let pull = match options.consumer {
                ConsumerKind::Pull => {
                    let (subject, inbox) =
                        (control.pull_subject(receiver), format!("{}.{number}", link.inbox));
                    append_subscribe(&mut commands, inbox.as_bytes(), b"", sid.as_bytes());
                    Some(Pull { subject, inbox, demand: Demand::new(options.pull_batch) })
                }
                ConsumerKind::Push => {
                    let subject = control.deliver_subject(receiver);
                    let group = match control.topology().delivery_of(receiver) {
                        scenario::Delivery::FanOut => String::new(),
                        scenario::Delivery::WorkQueue => Control::consumer(receiver),
                    };
                    append_subscribe(&mut commands, subject.as_bytes(), group.as_bytes(), sid.as_bytes());
                    None
                }
            };
            let first_delivery =
                format!("$JS.ACK.{}.{}.1.", control.stream(), Control::consumer(receiver)).into_bytes();
            readers.push(Reader { pull, first_delivery, newest: None });
        }
        link.settle(commands).await?;
        for reader in &mut readers {
            link.owe(|output| reader.ask(output));
        }
        Ok(Self {
            link,
            subjects: control.subjects().clone(),
            ack: options.ack,
            readers,
            unacknowledged: Unacknowledged::new(),
        })
    }

    /// Notes whom to acknowledge; what is sent for a token, if anything is sent for it at once.
    fn acknowledged(&mut self, token: AckToken, touched: &mut Vec<u32>) {
        let Some((number, reply)) = self.unacknowledged.take(token) else { return };
        match self.ack {
            AckPolicy::All => {
                // One acknowledgement covers all before it.
                if self.readers[number as usize].newest.replace(reply).is_none() {
                    touched.push(number);
                }
            }
            AckPolicy::Explicit | AckPolicy::None => append_ack(self.link.output.frames(), &reply),
        }
    }
}

impl Subscriber {
    async fn read(&mut self, each: &mut impl FnMut(Delivery<'_>)) -> Result<(), DriverError> {
        let Self { link, subjects, ack, readers, unacknowledged } = self;
        poll_fn(|cx| {
            link.poll_messages(cx, &mut |message, output| {
                let subscription = number_of(message.sid).filter(|&sid| (sid as usize) < readers.len());
                let subscription = subscription.ok_or_else(|| stray(JETSTREAM, message.sid))?;
                let reader = &mut readers[subscription as usize];
                if message.header_length > 0
                    && let Some((status, text)) = Headers(message.headers()).status()
                {
                    return reader.on_status(message, (status, text), output);
                }
                let topic = subjects.topic(JETSTREAM, message.subject)?;
                let redelivered =
                    !message.reply.starts_with(&reader.first_delivery) && ack::redelivered(message.reply);
                reader.came(output);
                let token = (*ack != AckPolicy::None && !message.reply.is_empty())
                    .then(|| unacknowledged.push(subscription, Reply::new(message.reply)));
                each(Delivery { subscription, topic, payload: message.payload(), redelivered, token });
                Ok(())
            })
        })
        .await
    }
}

impl driver::Subscriber for Subscriber {
    async fn next_batch(&mut self, each: &mut impl FnMut(Delivery<'_>)) -> Result<(), DriverError> {
        if let Ok(read) = timeout(demand::PATIENCE, self.read(each)).await {
            return read;
        }
        let Self { link, readers, .. } = self;
        for reader in readers {
            link.owe(|output| reader.ask_again(output));
        }
        Ok(())
    }

    async fn ack(&mut self, tokens: &[AckToken]) -> Result<(), DriverError> {
        let mut touched = Vec::new();
        for &token in tokens {
            self.acknowledged(token, &mut touched);
        }
        for number in touched {
            if let Some(reply) = self.readers[number as usize].newest.take() {
                append_ack(self.link.output.frames(), &reply);
            }
        }
        self.link.owe(|_| ());
        poll_fn(|cx| self.link.poll_write(cx, ACKS_WAITING)).await
    }
}

fn append_ack(output: &mut Vec<u8>, reply: &Reply) {
    let head = MessageHead { subject: reply.bytes(), sid: b"", reply: b"", header_length: 0 };
    append_publish(output, head, ACK);
}

impl Reader {
    /// Asks for more, if it is time to.
    fn ask(&mut self, output: &mut Vec<u8>) {
        let Some(pull) = &mut self.pull else { return };
        let Some(more) = pull.demand.more() else { return };
        let (subject, reply) = (pull.subject.as_bytes(), pull.inbox.as_bytes());
        let head = MessageHead { subject, sid: b"", reply, header_length: 0 };
        append_publish(output, head, demand::request(more).as_bytes());
        pull.demand.asked();
    }

    /// Asks anew for all that was asked for: the server would have said that it still knows of it.
    fn ask_again(&mut self, output: &mut Vec<u8>) {
        if let Some(pull) = &mut self.pull {
            pull.demand.forgotten();
            self.ask(output);
        }
    }

    /// A message came.
    #[inline]
    fn came(&mut self, output: &mut Vec<u8>) {
        if let Some(pull) = &mut self.pull {
            pull.demand.came();
            self.ask(output);
        }
    }

    /// A status line instead of a message: a pull request is over, or the consumer is gone.
    fn on_status(
        &mut self,
        message: &Message<'_>,
        (status, text): (u16, &[u8]),
        output: &mut Vec<u8>,
    ) -> Result<(), DriverError> {
        let Some(pull) = &mut self.pull else { return Ok(()) };
        let pending = Headers(message.headers()).get(demand::PENDING_MESSAGES.as_bytes());
        let pending = pending.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
        pull.demand.ended(status, &String::from_utf8_lossy(text), pending)?;
        self.ask(output);
        Ok(())
    }
}

impl Reply {
    #[inline]
    fn new(subject: &[u8]) -> Self {
        if subject.len() > REPLY_BYTES {
            return Self::Long(subject.into());
        }
        let mut bytes = [0; REPLY_BYTES];
        bytes[..subject.len()].copy_from_slice(subject);
        Self::Short { length: subject.len() as u8, bytes }
    }

    #[inline]
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Short { length, bytes } => &bytes[..usize::from(*length)],
            Self::Long(bytes) => bytes,
        }
    }
}

/// The number that one of our names for a subscription is.
#[inline]
fn number_of(sid: &[u8]) -> Option<u32> {
    if sid.is_empty() || sid.len() > 9 {
        return None;
    }
    sid.iter()
        .try_fold(0u32, |number, digit| digit.is_ascii_digit().then(|| number * 10 + u32::from(digit - b'0')))
}

/// What `sid` stands for in `by_sid`.
#[inline]
pub(super) fn subscription_of(sid: &[u8], by_sid: &[u32]) -> Result<u32, DriverError> {
    let known = number_of(sid).and_then(|number| by_sid.get(number as usize));
    known.copied().ok_or_else(|| stray(CORE, sid))
}

#[cold]
fn stray(driver: &'static str, sid: &[u8]) -> DriverError {
    let what = format!("a message came for subscription {}, which is none", String::from_utf8_lossy(sid));
    DriverError::new(ErrorKind::Fatal, driver, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_subject_of_any_length_is_kept_as_it_is() {
        for length in [0, 1, 70, REPLY_BYTES, REPLY_BYTES + 1, 4096] {
            let subject: Vec<u8> = (0..length).map(|at| b'a' + (at % 26) as u8).collect();
            assert_eq!(Reply::new(&subject).bytes(), subject);
        }
    }

    #[test]
    fn our_names_for_subscriptions_are_numbers_and_nothing_else() {
        assert_eq!(subscription_of(b"1", &[5, 7]).unwrap(), 7);
        for stranger in [&b""[..], b"2", b"x", b"-1", b"1x", b"99999999999"] {
            assert_eq!(subscription_of(stranger, &[5, 7]).unwrap_err().kind, ErrorKind::Fatal);
        }
    }
}
