//! The subscribing side: pushes are parsed in the read buffer and handed over where they lie.

use std::future::poll_fn;
use std::task::{Poll, ready};

use super::super::{CHANNELS_PER_COMMAND, NAME, fatal};
use crate::driver::redis::{Readers, broken, exchange};
use crate::driver::socket::Socket;
use crate::driver::{AckToken, Delivery, DriverError, ErrorKind, Subscriber};
use crate::scenario::{SubscribeBy, Subscription, Topology};
use crate::wire::resp::{Items, Reply, append_command, scan};

/// A subscribing connection over a plain socket.
#[derive(Debug)]
pub struct WireSubscriber {
    socket: Socket,
    readers: Readers,
    /// Messages that came between the confirmations of several channels.
    early: Vec<u8>,
    /// Bytes that came with the last confirmation wait in the read buffer.
    unseen: bool,
}

impl WireSubscriber {
    /// Subscribes to all topics and waits until each is confirmed.
    pub(in crate::driver) async fn subscribe(
        socket: Socket,
        topology: &Topology,
        subscriptions: &[Subscription],
    ) -> Result<Self, DriverError> {
        let readers = Readers::new(socket.driver(), topology, subscriptions)?;
        let (verb, names) = match topology.by {
            SubscribeBy::Name => ("SUBSCRIBE", readers.channels()),
            SubscribeBy::Pattern => ("PSUBSCRIBE", readers.patterns()),
        };
        let mut subscriber = Self { socket, readers, early: Vec::new(), unseen: true };
        subscriber.confirm(verb, &names).await?;
        Ok(subscriber)
    }

    async fn confirm(&mut self, verb: &str, names: &[String]) -> Result<(), DriverError> {
        let mut commands = Vec::new();
        for some in names.chunks(CHANNELS_PER_COMMAND) {
            let arguments: Vec<&[u8]> =
                std::iter::once(verb).chain(some.iter().map(String::as_str)).map(str::as_bytes).collect();
            append_command(&mut commands, &arguments);
        }
        let mut missing = names.len();
        if missing == 0 {
            return Ok(());
        }
        let early = &mut self.early;
        exchange(&mut self.socket, &commands, |reply, bytes| {
            match reply {
                Reply::Array(items) | Reply::Push(items) if is_confirmation(items) => missing -= 1,
                Reply::Message { .. } | Reply::PatternMessage { .. } => early.extend_from_slice(bytes),
                Reply::Error(text) => return Err(refused(text)),
                _ => return Err(fatal("the server answers a subscription with something else")),
            }
            Ok(missing == 0)
        })
        .await
    }
}

impl Subscriber for WireSubscriber {
    async fn next_batch(&mut self, each: &mut impl FnMut(Delivery<'_>)) -> Result<(), DriverError> {
        let Self { socket, readers, early, unseen } = self;
        if !early.is_empty() {
            let early = std::mem::take(early);
            return messages(readers, &early, each).1;
        }
        if !std::mem::take(unseen) {
            poll_fn(|cx| Poll::Ready(ready!(socket.poll_read(cx)))).await.map_err(why)?;
        }
        let (understood, result) = messages(readers, socket.unread(), each);
        socket.consume(understood);
        result
    }

    /// Pub/Sub knows no acks.
    async fn ack(&mut self, _tokens: &[AckToken]) -> Result<(), DriverError> {
        Ok(())
    }
}

/// Hands over the whole messages that `bytes` begins with; how many bytes they took.
#[inline]
fn messages(
    readers: &Readers,
    bytes: &[u8],
    each: &mut impl FnMut(Delivery<'_>),
) -> (usize, Result<(), DriverError>) {
    let mut understood = 0;
    let end = loop {
        match scan(&bytes[understood..]) {
            Ok(Some((
                Reply::Message { channel, payload } | Reply::PatternMessage { channel, payload, .. },
                length,
            ))) => {
                match readers.delivery(channel, payload) {
                    Ok(delivery) => each(delivery),
                    Err(stray) => break Err(stray),
                }
                understood += length;
            }
            Ok(None) => break Ok(()),
            Ok(Some((Reply::Error(text), _))) => break Err(refused(text)),
            Ok(Some(_)) => break Err(fatal("the server sends a subscriber what is no message")),
            Err(error) => break Err(broken(NAME, error)),
        }
    };
    (understood, end)
}

fn is_confirmation(mut items: Items<'_>) -> bool {
    matches!(items.next(), Some(Reply::Bulk(b"subscribe" | b"psubscribe")))
}

fn refused(text: &[u8]) -> DriverError {
    fatal(format!("the server refuses a subscriber: {}", String::from_utf8_lossy(text)))
}

/// Redis cuts subscribers that are too slow without a word, so the reason can only be guessed.
fn why(error: DriverError) -> DriverError {
    if error.kind != ErrorKind::Disconnected {
        return error;
    }
    error.remedy(
        "Redis closes a subscriber without a word when its client-output-buffer-limit for pubsub is exceeded: \
         client_output_buffer_limit_disconnections of INFO tells",
    )
}
