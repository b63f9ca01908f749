//! The way of a publisher to one node: frames are kept until they are answered, so that what a node refuses with
//! MOVED can be handed to another one as it was.

use std::collections::VecDeque;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use super::slots::Node;
use crate::driver::DriverError;
use crate::driver::redis::{Address, open};
use crate::driver::socket::Socket;

/// Answered frames are moved out of the way once they take so many bytes.
const COMPACT_BYTES: usize = 256 * 1024;
/// How often a node that is gone is tried again.
const TRY_EVERY: Duration = Duration::from_millis(100);

/// A message that waits for its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Waiting {
    /// The n-th that was enqueued on the whole connection.
    pub(super) number: u64,
    pub(super) topic: u32,
    /// Bytes of its frame.
    pub(super) length: usize,
}

type Opening = Pin<Box<dyn Future<Output = Socket>>>;

/// The way to one node.
pub(super) struct Lane {
    pub(super) node: Node,
    address: Address,
    pub(super) socket: Option<Socket>,
    opening: Option<Opening>,
    /// Its node was lost: nothing is taken for it until it is back.
    pub(super) lost: bool,
    /// Frames that were not answered yet, from `answered` on.
    bytes: Vec<u8>,
    answered: usize,
    written: usize,
    pub(super) waiting: VecDeque<Waiting>,
}

impl std::fmt::Debug for Lane {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { node, lost, waiting, .. } = self;
        write!(f, "Lane {{ node: {node}, lost: {lost}, waiting: {} }}", waiting.len())
    }
}

impl Lane {
    /// A way to `node` over a socket that is open, or to be opened.
    pub(super) fn new(node: Node, address: Address, socket: Option<Socket>) -> Self {
        let mut lane = Self {
            node,
            address,
            socket,
            opening: None,
            lost: false,
            bytes: Vec::new(),
            answered: 0,
            written: 0,
            waiting: VecDeque::new(),
        };
        if lane.socket.is_none() {
            lane.open_again();
        }
        lane
    }

    /// Bytes that the socket has not taken yet.
    pub(super) fn unwritten(&self) -> usize {
        self.bytes.len() - self.written
    }

    /// Bytes that are kept because they are not answered.
    pub(super) fn kept(&self) -> usize {
        self.bytes.len() - self.answered
    }

    /// Has `append` put a frame behind the others.
    #[inline]
    pub(super) fn put(&mut self, number: u64, topic: u32, append: impl FnOnce(&mut Vec<u8>)) {
        let before = self.bytes.len();
        append(&mut self.bytes);
        self.waiting.push_back(Waiting { number, topic, length: self.bytes.len() - before });
    }

    /// The oldest message without an answer is answered now; its frame is shown to `look` before it goes.
    #[inline]
    pub(super) fn answer(&mut self, look: impl FnOnce(&[u8])) -> Option<Waiting> {
        let waiting = self.waiting.pop_front()?;
        let end = self.answered + waiting.length;
        look(&self.bytes[self.answered..end]);
        self.answered = end;
        Some(waiting)
    }

    /// Moves answered frames out of the way, now and then.
    pub(super) fn compact(&mut self) {
        if self.answered == self.bytes.len() {
            self.bytes.clear();
            (self.answered, self.written) = (0, 0);
        } else if self.answered > COMPACT_BYTES && self.answered * 2 > self.bytes.len() {
            self.bytes.drain(..self.answered);
            self.written -= self.answered;
            self.answered = 0;
        }
    }

    /// Writes as much as the socket takes; `Ready` once that is all, or there is nobody to write to.
    pub(super) fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), DriverError>> {
        self.poll_open(cx);
        let Some(socket) = &mut self.socket else {
            return if self.unwritten() == 0 { Poll::Ready(Ok(())) } else { Poll::Pending };
        };
        while self.written < self.bytes.len() {
            self.written += ready!(socket.poll_write(cx, &self.bytes[self.written..]))?;
        }
        socket.poll_push(cx)
    }

    /// Reads once; pends while there is nobody to read from.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), DriverError>> {
        self.poll_open(cx);
        match &mut self.socket {
            Some(socket) => socket.poll_read(cx),
            None => Poll::Pending,
        }
    }

    /// The node is lost: nobody knows what became of the messages that it has not answered.
    pub(super) fn lose(&mut self) {
        self.socket = None;
        self.lost = true;
        self.bytes.clear();
        (self.answered, self.written) = (0, 0);
        self.waiting.clear();
        self.open_again();
    }

    fn open_again(&mut self) {
        let address = self.address.clone();
        self.opening = Some(Box::pin(async move {
            let mut ticks = tokio::time::interval(TRY_EVERY);
            loop {
                ticks.tick().await;
                if let Ok(socket) = open(&address, 0).await {
                    return socket;
                }
            }
        }));
    }

    fn poll_open(&mut self, cx: &mut Context<'_>) {
        let Some(opening) = &mut self.opening else { return };
        if let Poll::Ready(socket) = opening.as_mut().poll(cx) {
            self.opening = None;
            self.socket = Some(socket);
            self.lost = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::driver::socket::Place;
    use proptest::prelude::*;

    /// A lane that never gets a socket: only its books are looked at.
    fn lane() -> Lane {
        let address = Address {
            driver: "redis-cluster",
            place: Place::Tcp("127.0.0.1".to_owned(), 1),
            tls: None,
            username: None,
            password: None,
            database: 0,
        };
        Lane::new(Node { host: "127.0.0.1".to_owned(), port: 1 }, address, None)
    }

    proptest! {
        #[test]
        fn every_frame_is_kept_until_it_is_answered_and_is_still_what_it_was(
            steps in proptest::collection::vec((any::<bool>(), 1usize..200_000), 1..60),
        ) {
            let (mut lane, mut next, mut oldest) = (lane(), 0u64, 0u64);
            let frame = |number: u64, length: usize| vec![number as u8; length];
            let mut lengths = Vec::new();
            for (put, length) in steps {
                if put {
                    lane.put(next, 0, |bytes| bytes.extend_from_slice(&frame(next, length)));
                    lane.written = lane.bytes.len();
                    lengths.push(length);
                    next += 1;
                } else if oldest < next {
                    let mut seen = Vec::new();
                    let waiting = lane.answer(|bytes| seen = bytes.to_vec()).unwrap();
                    prop_assert_eq!(waiting.number, oldest);
                    prop_assert_eq!(seen, frame(oldest, lengths[oldest as usize]));
                    oldest += 1;
                    lane.compact();
                }
                let open: usize = lengths[oldest as usize..].iter().sum();
                prop_assert_eq!((lane.kept(), lane.unwritten()), (open, 0));
            }
        }
    }
}
