//! Reading through pull and push consumers, and acknowledging: what one read brought is acknowledged, and more
//! asked for, in one write.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior, interval, timeout};

use super::super::ack::{self, ACK};
use super::super::control::Control;
use super::super::demand::{self, Demand};
use super::super::ordered::{OrderedConsumers, Watching};
use super::super::subjects::Subjects;
use super::super::unacknowledged::Unacknowledged;
use super::super::{CORE, JETSTREAM};
use super::link::Link;
use crate::driver::{self, AckToken, Delivery, DriverError, ErrorKind};
use crate::scenario::{self, AckPolicy, ConsumerKind, Subscription};
use crate::wire::nats::{
    Headers, Message, MessageHead, append_publish, append_subscribe, append_unsubscribe,
};

/// Bytes of acknowledgements that may wait for the socket before acknowledging waits, too.
const ACKS_WAITING: usize = 1024 * 1024;

/// Between two attempts to make an ordered consumer again.
const TRY_AGAIN: Duration = Duration::from_millis(100);

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
    /// What makes ordered consumers again; `None` where there are none.
    again: Option<Again>,
}

/// What it takes to make ordered consumers again.
struct Again {
    control: Arc<Control>,
    ordered: Arc<OrderedConsumers>,
    /// The one that is being made: for which reader, under which name, and behind which message.
    making: Option<Making>,
    /// Looks after those of which nothing is heard.
    looks: Interval,
}

type Making = (u32, String, Option<u64>, Pin<Box<dyn Future<Output = Result<(), DriverError>>>>);

impl std::fmt::Debug for Again {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Again {{ making: {:?} }}", self.making.as_ref().map(|(_, name, ..)| name))
    }
}

/// One subscription.
#[derive(Debug)]
struct Reader {
    pull: Option<Pull>,
    /// How the reply subject of a first delivery begins.
    first_delivery: Vec<u8>,
    /// The newest delivery that is to be acknowledged, under `ack = "all"`.
    newest: Option<Reply>,
    /// Of an ordered consumer: what is watched, and how often it was made.
    watching: Option<Watching>,
    generation: u32,
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
        control: Control,
        ordered: &Arc<OrderedConsumers>,
        subscriptions: &[Subscription],
    ) -> Result<Self, DriverError> {
        let options = control.options().clone();
        let mut commands = Vec::new();
        let mut readers = Vec::with_capacity(subscriptions.len());
        for (number, subscription) in subscriptions.iter().enumerate() {
            let receiver = subscription.receiver;
            let sid = number.to_string();
            let mut name = Control::consumer(receiver);
            let mut watching = None;
            if options.consumer == ConsumerKind::Ordered {
                let after;
                (name, after) = ordered.next(receiver);
                control.create_ordered(receiver, &name, after).await?;
                watching = Some(Watching::new(receiver, after));
            }
            let pull = match options.consumer {
                ConsumerKind::Pull | ConsumerKind::Ordered => {
                    let (subject, inbox) = (control.pull_subject(&name), format!("{}.{number}", link.inbox));
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
            let first_delivery = format!("$JS.ACK.{}.{name}.1.", control.stream()).into_bytes();
            readers.push(Reader { pull, first_delivery, newest: None, watching, generation: 0 });
        }
        link.settle(commands).await?;
        for reader in &mut readers {
            link.owe(|output| reader.ask(output));
        }
        let subjects = control.subjects().clone();
        let again =
            (options.consumer == ConsumerKind::Ordered).then(|| Again::new(control, Arc::clone(ordered)));
        Ok(Self { link, subjects, ack: options.ack, readers, unacknowledged: Unacknowledged::new(), again })
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
        let Self { link, subjects, ack: ack_policy, readers, unacknowledged, again } = self;
        poll_fn(|cx| {
            if let Some(again) = again {
                again.poll(cx, readers, link)?;
            }
            link.poll_messages(cx, &mut |message, output| {
                let Some(subscription) = reader_of(message.sid, readers)? else { return Ok(()) };
                let reader = &mut readers[subscription as usize];
                if message.header_length > 0
                    && let Some((status, text)) = Headers(message.headers()).status()
                {
                    return reader.on_status(message, (status, text), output);
                }
                let topic = subjects.topic(JETSTREAM, message.subject)?;
                if let Some(watching) = &mut reader.watching
                    && !watching.takes(ack::sequences(message.reply))
                {
                    return Ok(());
                }
                let redelivered =
                    !message.reply.starts_with(&reader.first_delivery) && ack::redelivered(message.reply);
                reader.came(output);
                let token = (*ack_policy != AckPolicy::None && !message.reply.is_empty())
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
        // Ordered consumers are looked after one by one.
        for reader in readers.iter_mut().filter(|reader| reader.watching.is_none()) {
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

/// Remembers how far ordered consumers came, for whoever subscribes for them next.
impl Drop for Subscriber {
    fn drop(&mut self) {
        let Some(again) = &self.again else { return };
        for watching in self.readers.iter_mut().filter_map(|reader| reader.watching.as_mut()) {
            again.ordered.left(watching);
        }
    }
}

fn append_ack(output: &mut Vec<u8>, reply: &Reply) {
    let head = MessageHead { subject: reply.bytes(), sid: b"", reply: b"", header_length: 0 };
    append_publish(output, head, ACK);
}

impl Again {
    fn new(control: Control, ordered: Arc<OrderedConsumers>) -> Self {
        let mut looks = interval(demand::PATIENCE);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        looks.reset();
        Self { control: Arc::new(control), ordered, making: None, looks }
    }

    /// Begins to make the consumer of a reader again.
    fn make(&self, index: u32, watching: &mut Watching) -> Making {
        let receiver = watching.receiver;
        self.ordered.left(watching);
        let (name, after) = self.ordered.next(receiver);
        let (control, of_future) = (Arc::clone(&self.control), name.clone());
        let making = Box::pin(async move {
            let made = control.create_ordered(receiver, &of_future, after).await;
            if made.is_err() {
                tokio::time::sleep(TRY_AGAIN).await;
            }
            made
        });
        (index, name, after, making)
    }

    /// Makes the consumers again that broke, one after the other.
    fn poll(
        &mut self,
        cx: &mut std::task::Context<'_>,
        readers: &mut [Reader],
        link: &mut Link,
    ) -> Result<(), DriverError> {
        while self.looks.poll_tick(cx).is_ready() {
            readers.iter_mut().filter_map(|reader| reader.watching.as_mut()).for_each(Watching::passed);
        }
        loop {
            if self.making.is_none() {
                let watched = readers.iter_mut().map(|reader| reader.watching.as_mut());
                let mut watched = watched.enumerate().filter_map(|(index, one)| Some((index as u32, one?)));
                let Some((index, watching)) = watched.find(|(_, watching)| watching.broken) else {
                    return Ok(());
                };
                self.making = Some(self.make(index, watching));
            }
            let Some((index, name, after, making)) = &mut self.making else { return Ok(()) };
            let Poll::Ready(made) = making.as_mut().poll(cx) else { return Ok(()) };
            let (index, name, after) = (*index as usize, std::mem::take(name), *after);
            self.making = None;
            match made {
                Ok(()) => self.ordered.made_again(),
                Err(error) if error.kind == ErrorKind::Disconnected => return Err(error),
                // A server that stands still, or a cluster without a leader: it may do so later.
                Err(_) => continue,
            }
            let count = readers.len() as u32;
            readers[index].begin_again((index as u32, count), &self.control, (&name, after), link);
        }
    }
}

/// The reader that `sid` stands for; `None` if it stands for one of its earlier consumers.
#[inline]
fn reader_of(sid: &[u8], readers: &[Reader]) -> Result<Option<u32>, DriverError> {
    let sid = number_of(sid).filter(|_| !readers.is_empty()).ok_or_else(|| stray(JETSTREAM, sid))?;
    let count = readers.len() as u32;
    let (index, generation) = if sid < count { (sid, 0) } else { (sid % count, sid / count) };
    let of_now = readers[index as usize].generation;
    if generation > of_now {
        return Err(stray(JETSTREAM, sid.to_string().as_bytes()));
    }
    Ok((generation == of_now).then_some(index))
}

impl Reader {
    /// Reads from another consumer, under another name and inbox, so that what the earlier one still sends is known
    /// by it.
    fn begin_again(
        &mut self,
        (index, count): (u32, u32),
        control: &Control,
        (name, after): (&str, Option<u64>),
        link: &mut Link,
    ) {
        let (Some(pull), Some(watching)) = (&mut self.pull, &mut self.watching) else { return };
        let sid = |generation: u32| (index + generation * count).to_string();
        let old = sid(self.generation);
        self.generation += 1;
        let new = sid(self.generation);
        *watching = Watching::new(watching.receiver, after);
        pull.subject = control.pull_subject(name);
        pull.inbox = format!("{}.{new}", link.inbox);
        pull.demand.forgotten();
        self.first_delivery = format!("$JS.ACK.{}.{name}.1.", control.stream()).into_bytes();
        let inbox = pull.inbox.clone();
        link.owe(|output| {
            append_unsubscribe(output, old.as_bytes(), 0);
            append_subscribe(output, inbox.as_bytes(), b"", new.as_bytes());
            self.ask(output);
        });
    }

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
        if let Some(watching) = &mut self.watching {
            watching.lives();
        }
        let pending = Headers(message.headers()).get(demand::PENDING_MESSAGES.as_bytes());
        let pending = pending.and_then(|text| std::str::from_utf8(text).ok()?.parse().ok());
        let ended = pull.demand.ended(status, &String::from_utf8_lossy(text), pending);
        match (&mut self.watching, ended) {
            // An ordered consumer that nobody knows has gone with its server.
            (Some(watching), ended) if ended.is_err() || status == ack::NO_RESPONDERS => {
                watching.broken = true
            }
            (_, ended) => {
                ended?;
                self.ask(output);
            }
        }
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
