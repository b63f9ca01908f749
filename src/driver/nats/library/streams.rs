//! Many subscriptions of one connection, awaited together.

use async_nats::{Message, Subscriber};
use futures_util::StreamExt;
use futures_util::stream::{BoxStream, SelectAll};

use super::link::Link;
use crate::driver::DriverError;

/// Messages taken out of one subscription's queue at a time, at most.
const CHUNK: usize = 256;

/// The library's queues of one connection, each with a number.
pub(super) struct Streams {
    queues: SelectAll<BoxStream<'static, (u32, Vec<Message>)>>,
    /// Messages taken so far, one for the barrier that a subscriber starts with.
    taken: u64,
}

impl Streams {
    /// None yet.
    pub(super) fn new() -> Self {
        Self { queues: SelectAll::new(), taken: 1 }
    }

    /// Adds a subscription under a number.
    pub(super) fn add(&mut self, number: u32, subscriber: Subscriber) {
        let chunks = subscriber.ready_chunks(CHUNK).map(move |chunk| (number, chunk));
        self.queues.push(chunks.boxed());
    }

    /// The next messages of one subscription, in their order. What the library already has is handed over
    /// even after the connection broke. Cancel-safe.
    pub(super) async fn next(&mut self, link: &Link) -> Result<(u32, Vec<Message>), DriverError> {
        let nothing_to_wait_for = self.queues.is_empty();
        tokio::select! {
            biased;
            chunk = self.queues.next(), if !nothing_to_wait_for => {
                let (number, messages) = chunk.ok_or_else(|| link.disconnected())?;
                self.taken += messages.len() as u64;
                Ok((number, messages))
            }
            error = link.broken() => Err(error),
        }
    }

    /// Messages that the library dropped on this connection.
    pub(super) fn dropped(&self, link: &Link) -> u64 {
        link.dropped(self.taken)
    }
}
