//! The subscribing side: one blocking read of all streams at a time, entries handed over as they come, and
//! acknowledgements on a socket of their own.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use super::accounts::{Account, Accounts};
use super::claims::{Claiming, Member};
use super::{NAME, RedisStreams, group_of};
use crate::driver::redis::{Readers, broken, fatal};
use crate::driver::socket::{Output, Socket};
use crate::driver::{AckToken, Delivery, DriverError, Subscriber};
use crate::scenario::{StreamConsumer, Subscription, TopicId, Topology};
use crate::wire::resp::{Entries, EntryId, Piece, Reply, append_command, integer_run, scan};

/// A stream that this connection reads.
#[derive(Debug)]
struct Source {
    topic: TopicId,
    name: String,
    /// Index of the subscription that reads it, and its receiver.
    subscription: u32,
    receiver: u32,
    account: Account,
}

/// From where a connection reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mode {
    /// As a member of its group, from what it got before and never acknowledged.
    Unacknowledged,
    /// As a member of its group, what nobody in it got yet.
    Group,
    /// By itself, from the entry behind the last one.
    Alone,
}

/// A subscribing connection.
#[derive(Debug)]
pub struct StreamSubscriber {
    reading: Socket,
    output: Output,
    entries: Entries,
    /// A read was asked for and is not answered in full.
    asked: bool,
    /// Entries came with the answer being read.
    came: bool,
    mode: Mode,
    batch: String,
    group: String,
    consumer: String,
    readers: Readers,
    sources: Vec<Source>,
    /// By topic: index into `sources`.
    source_of: Vec<u32>,
    /// The stream whose entries are coming.
    current: usize,
    acking: Option<Acking>,
    claiming: Option<Claiming>,
    accounts: Arc<Accounts>,
}

/// Acknowledgements: a socket, and what waits for them.
#[derive(Debug)]
struct Acking {
    socket: Socket,
    output: Output,
    /// Entries handed over, by token from `first` on; none once acknowledged.
    held: VecDeque<Option<(u32, EntryId)>>,
    first: u64,
}

impl StreamSubscriber {
    pub(super) fn new(
        (reading, acking, claiming): (Socket, Option<Socket>, Option<Socket>),
        topology: &Topology,
        subscriptions: &[Subscription],
        driver: &RedisStreams,
    ) -> Result<Self, DriverError> {
        let readers = Readers::new(NAME, topology, subscriptions)?;
        let mut sources = Vec::new();
        let mut source_of = vec![u32::MAX; topology.topics as usize];
        for topic in readers.topics() {
            let name = topology.topic_name(topic);
            let (_, subscription) = readers.find(name.as_bytes())?;
            let receiver = subscriptions[subscription as usize].receiver;
            source_of[topic.0 as usize] = sources.len() as u32;
            sources.push(Source { topic, name, subscription, receiver, account: Account::default() });
        }
        let first = subscriptions.first();
        let group = first.map(|one| group_of(topology, one.receiver)).unwrap_or_default();
        let consumer = first.map(|one| format!("subscriber{}", one.subscriber)).unwrap_or_default();
        let batch = driver.options.batch.to_string();
        let claiming = claiming.map(|socket| {
            let member = Member { group: group.clone(), name: consumer.clone(), batch: batch.clone() };
            let streams = sources.iter().map(|source| source.name.clone());
            Claiming::new(socket, driver.options.claim_after, member, streams)
        });
        Ok(Self {
            reading,
            output: Output::default(),
            entries: Entries::default(),
            asked: false,
            came: false,
            mode: match driver.options.consumer {
                StreamConsumer::Group => Mode::Unacknowledged,
                StreamConsumer::Read => Mode::Alone,
            },
            batch,
            group,
            consumer,
            readers,
            sources,
            source_of,
            current: 0,
            acking: acking.map(|socket| Acking {
                socket,
                output: Output::default(),
                held: VecDeque::new(),
                first: 0,
            }),
            claiming,
            accounts: Arc::clone(&driver.accounts),
        })
    }

    /// Puts the next reading command into the output.
    fn ask(&mut self) {
        let ids: Vec<String> = match self.mode {
            Mode::Group => Vec::new(),
            Mode::Unacknowledged | Mode::Alone => {
                self.sources.iter().map(|source| source.account.last.to_string()).collect()
            }
        };
        let mut words: Vec<&[u8]> = match self.mode {
            Mode::Alone => vec![b"XREAD"],
            Mode::Group | Mode::Unacknowledged => {
                vec![b"XREADGROUP", b"GROUP", self.group.as_bytes(), self.consumer.as_bytes()]
            }
        };
        words.extend([&b"COUNT"[..], self.batch.as_bytes(), b"BLOCK", b"0", b"STREAMS"]);
        words.extend(self.sources.iter().map(|source| source.name.as_bytes()));
        match self.mode {
            Mode::Group => words.extend(self.sources.iter().map(|_| &b">"[..])),
            Mode::Unacknowledged | Mode::Alone => words.extend(ids.iter().map(String::as_bytes)),
        }
        append_command(self.output.frames(), &words);
        self.asked = true;
        self.came = false;
    }

    /// Sees to it that the next read is under way while the last one is worked on.
    fn ask_ahead(&mut self, cx: &mut Context<'_>) -> Result<(), DriverError> {
        if !self.asked {
            self.ask();
        }
        match self.output.poll_write(cx, &mut self.reading) {
            Poll::Ready(written) => written,
            // The next call goes on with it.
            Poll::Pending => Ok(()),
        }
    }

    /// Hands over every whole entry that was read; whether there was any.
    fn take(&mut self, each: &mut impl FnMut(Delivery<'_>)) -> Result<bool, DriverError> {
        let mut any = false;
        while self.asked {
            let unread = self.reading.unread();
            let Some((piece, length)) = self.entries.next(unread).map_err(|error| broken(NAME, error))?
            else {
                break;
            };
            match piece {
                Piece::Stream(name) => {
                    let (topic, _) = self.readers.find(name)?;
                    self.current = self.source_of[topic.0 as usize] as usize;
                }
                Piece::Entry { id, payload } => {
                    self.came = true;
                    let source = &mut self.sources[self.current];
                    source.account.last = id;
                    let redelivered = self.mode == Mode::Unacknowledged;
                    source.account.delivered += u64::from(!redelivered);
                    // An entry that was trimmed since it was delivered first has nothing in it any more.
                    if let Some(payload) = payload {
                        let token = self.acking.as_mut().map(|acking| acking.hold(self.current as u32, id));
                        let Source { topic, subscription, .. } = *source;
                        each(Delivery { subscription, topic, payload, redelivered, token });
                        any = true;
                    }
                }
                Piece::Nothing => {}
                Piece::Error(text) => {
                    let text = String::from_utf8_lossy(text);
                    return Err(fatal(NAME, format!("the server refuses a reader: {text}")));
                }
            }
            self.reading.consume(length);
            if !self.entries.is_open() {
                self.asked = false;
                if self.mode == Mode::Unacknowledged && !self.came {
                    self.mode = Mode::Group;
                }
            }
        }
        Ok(any)
    }

    /// Hands over what was claimed from other members.
    fn poll_claims(
        &mut self,
        cx: &mut Context<'_>,
        each: &mut impl FnMut(Delivery<'_>),
    ) -> Poll<Result<(), DriverError>> {
        let Self { claiming: Some(claiming), mode: Mode::Group, sources, acking, accounts, .. } = self else {
            // What was claimed would come again with what this member had before.
            return Poll::Pending;
        };
        let claimed = ready!(claiming.poll(cx, &mut |index, id, payload| {
            let Source { topic, subscription, .. } = sources[index];
            let token = acking.as_mut().map(|acking| acking.hold(index as u32, id));
            each(Delivery { subscription, topic, payload, redelivered: true, token });
        }));
        accounts.claimed(claimed?);
        Poll::Ready(Ok(()))
    }

    fn poll_batch(
        &mut self,
        cx: &mut Context<'_>,
        each: &mut impl FnMut(Delivery<'_>),
    ) -> Poll<Result<(), DriverError>> {
        if self.sources.is_empty() {
            // Nothing to read, but a broken connection is still to be noticed.
            return self.reading.poll_read(cx);
        }
        if let Poll::Ready(claimed) = self.poll_claims(cx, each) {
            return Poll::Ready(claimed);
        }
        loop {
            if !self.asked {
                self.ask();
            }
            ready!(self.output.poll_write(cx, &mut self.reading))?;
            if self.take(each)? {
                return Poll::Ready(self.ask_ahead(cx));
            }
            if self.asked {
                ready!(self.reading.poll_read(cx))?;
            }
        }
    }
}

impl Subscriber for StreamSubscriber {
    async fn next_batch(&mut self, each: &mut impl FnMut(Delivery<'_>)) -> Result<(), DriverError> {
        poll_fn(|cx| self.poll_batch(cx, each)).await
    }

    async fn ack(&mut self, tokens: &[AckToken]) -> Result<(), DriverError> {
        let Self { acking: Some(acking), sources, group, .. } = self else { return Ok(()) };
        acking.put(tokens, sources, group);
        let Acking { socket, output, .. } = acking;
        poll_fn(|cx| {
            ready!(output.poll_flush(cx, socket, |socket, _| done(socket)))?;
            // What was answered by now is taken; nobody waits for the rest.
            while let Poll::Ready(read) = socket.poll_read(cx) {
                read?;
                done(socket)?;
            }
            Poll::Ready(Ok(()))
        })
        .await
    }
}

/// Takes the answers of XACK that have come.
fn done(socket: &mut Socket) -> Result<(), DriverError> {
    loop {
        let run = integer_run(socket.unread());
        socket.consume(run.length);
        match scan(socket.unread()).map_err(|error| broken(NAME, error))? {
            None => return Ok(()),
            Some((Reply::Integer(_), length)) => socket.consume(length),
            Some((Reply::Error(text), _)) => {
                let text = String::from_utf8_lossy(text);
                return Err(fatal(NAME, format!("the server refuses an acknowledgement: {text}")));
            }
            Some(_) => return Err(fatal(NAME, "the server answers XACK with something else than a number")),
        }
    }
}

impl Acking {
    /// Names an entry of a source until it is acknowledged.
    fn hold(&mut self, source: u32, id: EntryId) -> AckToken {
        self.held.push_back(Some((source, id)));
        AckToken(self.first + self.held.len() as u64 - 1)
    }

    /// Puts an XACK into the output for each run of tokens of the same stream.
    fn put(&mut self, tokens: &[AckToken], sources: &[Source], group: &str) {
        let mut entries: Vec<(u32, EntryId)> = Vec::with_capacity(tokens.len());
        for token in tokens {
            let index = token.0.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
            entries.extend(index.and_then(|index| self.held.get_mut(index)?.take()));
        }
        while self.held.front() == Some(&None) {
            self.held.pop_front();
            self.first += 1;
        }
        for run in entries.chunk_by(|(one, _), (other, _)| one == other) {
            let name = &sources[run[0].0 as usize].name;
            let ids: Vec<String> = run.iter().map(|(_, id)| id.to_string()).collect();
            let mut words = vec![&b"XACK"[..], name.as_bytes(), group.as_bytes()];
            words.extend(ids.iter().map(String::as_bytes));
            append_command(self.output.frames(), &words);
        }
    }
}

/// Leaves its accounts behind.
impl Drop for StreamSubscriber {
    fn drop(&mut self) {
        if let Some(acking) = &self.acking {
            for (source, _) in acking.held.iter().flatten() {
                self.sources[*source as usize].account.unacknowledged += 1;
            }
        }
        for source in &self.sources {
            self.accounts.add(source.receiver, source.topic.0, source.account);
        }
    }
}
