//! The thread that asks librdkafka for what has come. It starts before a group is joined, since the library hands out
//! partitions only while somebody asks, and members of one group may have to wait for each other.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use rdkafka::client::ClientContext;
use rdkafka::consumer::{BaseConsumer, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::Message;
use tokio::sync::Notify;

use super::link::{disconnected, fatal};
use super::sources::Sources;
use crate::driver::{DriverError, ErrorKind};

/// Bytes that wait for the subscriber at most; one message of any size is always taken.
const WAITING_BYTES: usize = 8 << 20;
/// Messages likewise.
const WAITING_MESSAGES: usize = 65_536;
/// How long the library is asked at a time, so that an end is noticed.
const ASK: Duration = Duration::from_millis(50);

/// A message that waits; its bytes end where `end` says, behind those of the one before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// See [`Sources::slot`].
    pub(super) slot: u32,
    pub(super) offset: i64,
    pub(super) end: usize,
}

/// What has come since the subscriber last looked.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) entries: Vec<Entry>,
    pub(super) bytes: Vec<u8>,
}

impl Batch {
    fn is_full(&self) -> bool {
        self.entries.len() >= WAITING_MESSAGES || self.bytes.len() >= WAITING_BYTES
    }

    fn put(&mut self, slot: u32, offset: i64, payload: &[u8]) {
        self.bytes.extend_from_slice(payload);
        self.entries.push(Entry { slot, offset, end: self.bytes.len() });
    }
}

#[derive(Debug, Default)]
struct State {
    batch: Batch,
    broken: Option<(ErrorKind, String)>,
    /// The group has said which partitions are ours, none perhaps.
    assigned: bool,
    ended: bool,
}

/// Between the thread and the subscriber.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    arrived: Notify,
    room: Condvar,
}

impl Inbox {
    fn with<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn fail(&self, kind: ErrorKind, reason: &str) {
        self.with(|state| state.broken.get_or_insert_with(|| (kind, reason.to_owned())).0);
        self.arrived.notify_one();
    }

    /// Waits for room, and adds a message; false once nobody wants any.
    fn put(&self, slot: u32, offset: i64, payload: &[u8]) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        while state.batch.is_full() && !state.ended {
            state = self.room.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.batch.put(slot, offset, payload);
        let wanted = !state.ended;
        drop(state);
        self.arrived.notify_one();
        wanted
    }

    /// Waits until something has come, and swaps it for an empty `batch`. Cancel-safe.
    pub(super) async fn take(&self, batch: &mut Batch) -> Result<(), DriverError> {
        batch.entries.clear();
        batch.bytes.clear();
        loop {
            let broken = self.with(|state| {
                std::mem::swap(&mut state.batch, batch);
                state.broken.clone()
            });
            self.room.notify_one();
            match broken {
                _ if !batch.entries.is_empty() => return Ok(()),
                Some(broken) => return Err(error(broken)),
                None => self.arrived.notified().await,
            }
        }
    }

    /// Waits until partitions were handed out.
    pub(super) async fn assigned(&self) -> Result<(), DriverError> {
        loop {
            let (assigned, broken) = self.with(|state| (state.assigned, state.broken.clone()));
            match broken {
                Some(broken) => return Err(error(broken)),
                None if assigned => return Ok(()),
                None => self.arrived.notified().await,
            }
        }
    }

    /// Lets the thread end.
    pub(super) fn end(&self) {
        self.with(|state| state.ended = true);
        self.room.notify_one();
    }

    fn has_ended(&self) -> bool {
        self.with(|state| state.ended)
    }
}

fn error((kind, reason): (ErrorKind, String)) -> DriverError {
    if kind == ErrorKind::Disconnected { disconnected(reason) } else { fatal(reason) }
}

/// What librdkafka tells a subscriber.
pub(super) struct Watch(pub(super) Arc<Inbox>);

impl ClientContext for Watch {
    fn error(&self, error: KafkaError, reason: &str) {
        if let Some(kind) = error.rdkafka_error_code().and_then(gravity) {
            self.0.fail(kind, reason);
        }
    }
}

impl ConsumerContext for Watch {
    fn post_rebalance(&self, _consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if matches!(rebalance, Rebalance::Assign(_)) {
            self.0.with(|state| state.assigned = true);
            self.0.arrived.notify_one();
        }
    }
}

/// What an error means; nothing for those that the library mends by itself.
fn gravity(code: RDKafkaErrorCode) -> Option<ErrorKind> {
    match code {
        RDKafkaErrorCode::AllBrokersDown => Some(ErrorKind::Disconnected),
        RDKafkaErrorCode::Fatal
        | RDKafkaErrorCode::TopicAuthorizationFailed
        | RDKafkaErrorCode::GroupAuthorizationFailed
        | RDKafkaErrorCode::UnknownTopicOrPartition
        | RDKafkaErrorCode::InconsistentGroupProtocol => Some(ErrorKind::Fatal),
        _ => None,
    }
}

/// Starts the thread; it ends, and leaves the group, soon after [`Inbox::end`].
pub(super) fn start(
    consumer: Arc<BaseConsumer<Watch>>,
    inbox: Arc<Inbox>,
    sources: Arc<Sources>,
) -> Result<(), DriverError> {
    let started = thread::Builder::new().name("kafka-reader".to_owned()).spawn(move || {
        while !inbox.has_ended() {
            let wanted = match consumer.poll(ASK) {
                None => true,
                Some(Ok(message)) => match sources.slot(message.topic(), message.partition()) {
                    Some(slot) => inbox.put(slot, message.offset(), message.payload().unwrap_or_default()),
                    None => {
                        inbox.fail(ErrorKind::Fatal, "a message came on a topic that nobody subscribed to");
                        false
                    }
                },
                Some(Err(error)) => {
                    if let Some(kind) = error.rdkafka_error_code().and_then(gravity) {
                        inbox.fail(kind, &error.to_string());
                    }
                    true
                }
            };
            if !wanted {
                break;
            }
        }
    });
    started.map(|_| ()).map_err(|error| fatal("no thread for a subscriber can be had").source(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_of_a_batch_lie_behind_each_other() {
        let mut batch = Batch::default();
        batch.put(0, 7, b"one");
        batch.put(3, 8, b"");
        batch.put(1, 9, b"three");
        let ends: Vec<usize> = batch.entries.iter().map(|entry| entry.end).collect();
        assert_eq!((ends, batch.bytes.as_slice()), (vec![3, 3, 8], &b"onethree"[..]));
    }

    #[test]
    fn what_came_before_the_end_is_handed_over_before_it_is_told() {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let inbox = Inbox::default();
        assert!(inbox.put(0, 0, b"last words"));
        inbox.fail(ErrorKind::Disconnected, "all brokers are down");
        inbox.fail(ErrorKind::Fatal, "something later");
        let mut batch = Batch::default();
        runtime.block_on(inbox.take(&mut batch)).unwrap();
        assert_eq!(batch.bytes, b"last words");
        let error = runtime.block_on(inbox.take(&mut batch)).unwrap_err();
        assert_eq!((error.kind, error.what.as_str()), (ErrorKind::Disconnected, "all brokers are down"));
        inbox.end();
        assert!(!inbox.put(0, 1, b"nobody wants this"));
    }
}
