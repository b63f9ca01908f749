//! What becomes of the subjects of a stream's messages: mapped as they come in, and sent on under another one.

use super::errors::ApiError;
use super::outbox::{Letter, Outbox};
use super::stream::{Coming, Stream, Taken};
use super::stream_config::StreamConfig;
use super::subject_map::SubjectMap;
use super::times::Time;
use crate::wire::nats::{Publish, append_header, begin_headers, end_headers};

/// The maps of a stream.
#[derive(Debug, Default)]
pub(super) struct Maps {
    /// From what is published to what is stored.
    incoming: Option<SubjectMap>,
    /// From what is stored to what is sent on, and whether only headers are.
    outgoing: Option<(SubjectMap, bool)>,
    /// Whether a published message takes the long way.
    pub(super) any: bool,
}

impl Maps {
    /// The maps of a configuration that was checked.
    pub(super) fn new(config: &StreamConfig) -> Self {
        let made = |source: &str, destination: &str| SubjectMap::new(source, destination).unwrap_or(None);
        let incoming = config.subject_transform.as_ref().and_then(|map| made(&map.src, &map.dest));
        let outgoing = config.republish.as_ref();
        let outgoing = outgoing.and_then(|asked| Some((made(&asked.src, &asked.dest)?, asked.headers_only)));
        let any = incoming.is_some() || outgoing.is_some() || config.leaves_markers();
        Self { incoming, outgoing, any }
    }
}

impl Stream {
    /// Takes a published message the long way: with another subject, with a longer lifetime, and sending it on.
    pub(super) fn take_mapped(
        &mut self,
        message: &Publish<'_>,
        unix: u64,
        outbox: &mut Outbox,
    ) -> Result<Taken, ApiError> {
        self.take(message, Coming::Published, unix, outbox)
    }

    /// Takes a message, however it comes.
    pub(super) fn take(
        &mut self,
        message: &Publish<'_>,
        coming: Coming,
        unix: u64,
        outbox: &mut Outbox,
    ) -> Result<Taken, ApiError> {
        if !self.maps.any {
            return self.publish(message, coming, unix);
        }
        let mapped = self.maps.incoming.as_ref().and_then(|map| map.apply(message.subject));
        let lengthened = self.config.lengthened(message);
        let subject = mapped.as_deref().unwrap_or(message.subject);
        let (header_length, body) = lengthened
            .as_ref()
            .map_or((message.header_length, message.body), |(length, body)| (*length, body));
        let message = Publish { subject, header_length, body, ..*message };
        let to = self.maps.outgoing.as_ref().and_then(|(map, _)| map.apply(subject));
        let before = if to.is_some() { self.store.last_of(subject).unwrap_or(0) } else { 0 };
        let taken = self.publish(&message, coming, unix)?;
        if let (Some(to), Taken::Stored(sequence)) = (to, taken) {
            self.send_on(&message, &to, (sequence, before), outbox);
        }
        Ok(taken)
    }

    /// Sends a message on that was just stored; `before` is the sequence of the one before it of its subject.
    fn send_on(&self, message: &Publish<'_>, to: &[u8], (sequence, before): (u64, u64), outbox: &mut Outbox) {
        let headers_only = self.maps.outgoing.as_ref().is_some_and(|(_, headers_only)| *headers_only);
        let mut headers = Vec::with_capacity(192 + message.header_length);
        match message.headers().strip_suffix(b"\r\n") {
            Some(own) => headers.extend_from_slice(own),
            None => begin_headers(&mut headers),
        }
        append_header(&mut headers, "Nats-Stream", self.config.name.as_bytes());
        append_header(&mut headers, "Nats-Subject", message.subject);
        append_header(&mut headers, "Nats-Sequence", sequence.to_string().as_bytes());
        let time = Time(self.store.books.last_time).text();
        append_header(&mut headers, "Nats-Time-Stamp", time.as_bytes());
        append_header(&mut headers, "Nats-Last-Sequence", before.to_string().as_bytes());
        if headers_only {
            let size = message.payload().len().to_string();
            append_header(&mut headers, "Nats-Msg-Size", size.as_bytes());
        }
        end_headers(&mut headers);
        let payload = if headers_only { b"" } else { message.payload() };
        outbox.send(&Letter { to, subject: to, reply: b"", headers: &headers, payload });
    }
}
