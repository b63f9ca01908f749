//! Messages on their way into the library, bounded, their bytes packed into shared blocks.

use std::collections::VecDeque;

use async_nats::Subject;
use bytes::{Bytes, BytesMut};

use super::link::Link;
use crate::driver::{DriverError, Enqueued, ErrorKind};

/// Messages held at most before they must be flushed.
const MAX_MESSAGES: usize = 8192;

/// Bytes held at most before they must be flushed; one message of any size is always taken.
const MAX_BYTES: usize = 4 << 20;

/// Bytes allocated at once for payloads and reply subjects.
const BLOCK: usize = 64 << 10;

/// Messages that were enqueued and not yet handed to the library.
#[derive(Debug)]
pub(super) struct Outbox {
    subjects: Vec<Subject>,
    queue: VecDeque<Item>,
    queued_bytes: usize,
    block: BytesMut,
    /// Something was handed to the library since the socket was last flushed.
    unflushed: bool,
}

#[derive(Debug)]
struct Item {
    subject: Subject,
    reply: Option<Subject>,
    payload: Bytes,
}

impl Outbox {
    /// An empty outbox for these subjects.
    pub(super) fn new(subjects: Vec<Subject>) -> Self {
        Self {
            subjects,
            queue: VecDeque::with_capacity(MAX_MESSAGES),
            queued_bytes: 0,
            block: BytesMut::new(),
            unflushed: false,
        }
    }

    /// Queues a message to topic `topic`; `reply` is where the answer shall go.
    pub(super) fn enqueue(
        &mut self,
        link: &Link,
        topic: u32,
        reply: Option<ReplyTo<'_>>,
        payload: &[u8],
    ) -> Result<Enqueued, DriverError> {
        if link.is_broken() {
            return Err(link.disconnected());
        }
        let limit = link.client().max_payload();
        if payload.len() > limit {
            let what = format!("a payload of {} bytes is above the server's limit of {limit}", payload.len());
            return Err(
                DriverError::new(ErrorKind::Rejected, link.driver(), what).remedy("raise max_payload")
            );
        }
        if self.queue.len() >= MAX_MESSAGES || self.queued_bytes >= MAX_BYTES {
            return Ok(Enqueued::Full);
        }
        let subject = self.subjects.get(topic as usize).cloned().ok_or_else(|| {
            DriverError::new(ErrorKind::Fatal, link.driver(), format!("there is no topic {topic}"))
        })?;
        let reply = reply.map(|reply| self.reply_subject(reply));
        let payload = self.pack(payload);
        self.queued_bytes += payload.len();
        self.queue.push_back(Item { subject, reply, payload });
        Ok(Enqueued::Yes)
    }

    /// Hands everything to the library and waits until it has written it. Cancel-safe: a message leaves the
    /// queue in the same step in which the library takes it.
    pub(super) async fn flush(&mut self, link: &Link) -> Result<(), DriverError> {
        let client = link.client();
        while let Some(item) = self.queue.front() {
            let (subject, payload) = (item.subject.clone(), item.payload.clone());
            let sent = match item.reply.clone() {
                Some(reply) => client.publish_with_reply(subject, reply, payload).await,
                None => client.publish(subject, payload).await,
            };
            sent.map_err(|_| link.disconnected())?;
            self.unflushed = true;
            if let Some(item) = self.queue.pop_front() {
                self.queued_bytes -= item.payload.len();
            }
        }
        if self.unflushed {
            client.flush().await.map_err(|_| link.disconnected())?;
            self.unflushed = false;
        }
        Ok(())
    }

    fn pack(&mut self, bytes: &[u8]) -> Bytes {
        if self.block.capacity() < bytes.len() {
            self.block = BytesMut::with_capacity(BLOCK.max(bytes.len()));
        }
        self.block.extend_from_slice(bytes);
        self.block.split().freeze()
    }

    fn reply_subject(&mut self, reply: ReplyTo<'_>) -> Subject {
        let mut digits = [0u8; 20];
        let digits = decimal(reply.index, &mut digits);
        if self.block.capacity() < reply.start.len() + digits.len() {
            self.block = BytesMut::with_capacity(BLOCK);
        }
        self.block.extend_from_slice(reply.start.as_bytes());
        self.block.extend_from_slice(digits);
        let bytes = self.block.split().freeze();
        // Both parts are ASCII; an empty subject would be rejected by the library and seen as an error.
        Subject::try_from(bytes).unwrap_or_else(|_| Subject::from_static(""))
    }
}

/// Where an answer shall go: `<start><index>`.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReplyTo<'a> {
    /// ASCII, with its dot at the end.
    pub(super) start: &'a str,
    /// Tells the answers apart.
    pub(super) index: u64,
}

/// A number in decimal, without allocating.
fn decimal(mut number: u64, buffer: &mut [u8; 20]) -> &[u8] {
    let mut at = buffer.len();
    loop {
        at -= 1;
        buffer[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return &buffer[at..];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_the_standard_library_would() {
        for number in [0, 7, 10, 1_234_567, u64::MAX] {
            assert_eq!(decimal(number, &mut [0; 20]), number.to_string().as_bytes());
        }
    }

    #[test]
    fn payloads_and_replies_share_blocks_and_keep_their_bytes() {
        let mut outbox = Outbox::new(Vec::new());
        let packed: Vec<(u64, Subject, Bytes)> = (0..10_000u64)
            .map(|index| {
                let subject = outbox.reply_subject(ReplyTo { start: "_INBOX.x.", index });
                (index, subject, outbox.pack(&index.to_be_bytes()))
            })
            .collect();
        for (index, subject, payload) in packed {
            assert_eq!(subject.as_str(), format!("_INBOX.x.{index}"));
            assert_eq!(*payload, index.to_be_bytes());
        }
        assert_eq!(outbox.pack(&vec![1; 3 * BLOCK]).len(), 3 * BLOCK);
    }
}
