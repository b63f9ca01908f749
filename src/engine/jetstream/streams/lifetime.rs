//! Messages that go by themselves: by the stream's age limit, or by a lifetime of their own. Where the stream wants it,
//! the last one of a subject leaves behind what tells of it.

use super::errors::ApiError;
use super::outbox::Outbox;
use super::stream::Stream;
use super::stream_config::StreamConfig;
use crate::engine::jetstream::config::duration;
use crate::wire::nats::{Headers, Publish, append_header, begin_headers, end_headers};
use std::collections::BTreeSet;

/// The header that says how long a message lives.
pub(super) const LIFETIME: &[u8] = b"Nats-TTL";
/// The shortest lifetime of a message, in nanoseconds; lifetimes are whole multiples of it.
const SECOND: u64 = 1_000_000_000;

/// How long a message lives by its own header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lifetime {
    /// So many nanoseconds.
    For(u64),
    /// Whatever the age limit.
    Forever,
}

/// Reads the header; `None` if a message has none.
pub(super) fn read(headers: Headers<'_>) -> Result<Option<Lifetime>, ApiError> {
    let Some(text) = headers.get(LIFETIME).filter(|text| !text.is_empty()) else { return Ok(None) };
    if text.eq_ignore_ascii_case(b"never") {
        return Ok(Some(Lifetime::Forever));
    }
    let text = std::str::from_utf8(text).map_err(|_| ApiError::lifetime_invalid())?;
    let seconds = if text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().map_err(|_| ApiError::lifetime_invalid())?
    } else {
        let signed = text.starts_with(|c: char| !c.is_ascii_digit() && c != '.');
        let unit = text.ends_with(|c: char| c.is_ascii_alphabetic() && c != 'd');
        let read = duration("Nats-TTL", text).ok().filter(|_| !signed && unit);
        read.ok_or_else(ApiError::lifetime_invalid)?.as_secs()
    };
    if seconds == 0 {
        Err(ApiError::lifetime_invalid())
    } else {
        Ok(Some(Lifetime::For(seconds.saturating_mul(SECOND))))
    }
}

/// Which messages have a lifetime of their own.
#[derive(Debug, Default)]
pub(super) struct Lifetimes {
    /// When they go (nanoseconds since 1970), and their sequences.
    ends: BTreeSet<(u64, u64)>,
    /// Those that no age limit concerns.
    forever: BTreeSet<u64>,
    /// What comes before it is gone or stays for ever.
    looked: u64,
}

impl Lifetimes {
    /// A message is there, stored at a time.
    pub(super) fn note(&mut self, lifetime: Lifetime, (sequence, time): (u64, u64)) {
        match lifetime {
            Lifetime::For(nanos) => drop(self.ends.insert((time.saturating_add(nanos), sequence))),
            Lifetime::Forever => drop(self.forever.insert(sequence)),
        }
    }
}

impl StreamConfig {
    /// How long a message that somebody publishes lives by its own header, if that makes sense.
    pub(super) fn lifetime(
        &self,
        headers: Headers<'_>,
    ) -> Result<Result<Option<Lifetime>, ApiError>, ApiError> {
        match read(headers) {
            Ok(Some(_)) if !self.allow_msg_ttl => Err(ApiError::lifetimes_disabled()),
            lifetime => Ok(lifetime),
        }
    }

    /// Whether what goes by age leaves something behind.
    pub(super) fn leaves_markers(&self) -> bool {
        self.subject_delete_marker_ttl > 0
    }

    /// A message with a lifetime that is too short for what tells of it: with the shortest that isn't. What tells of a
    /// message might else be there still, and not be told again.
    pub(super) fn lengthened(&self, message: &Publish<'_>) -> Option<(usize, Vec<u8>)> {
        let least = self.subject_delete_marker_ttl / SECOND * SECOND;
        let headers = Headers(message.headers());
        let Ok(Some(Lifetime::For(own))) = read(headers) else { return None };
        if own >= least || self.max_msgs_per_subject == 1 {
            return None;
        }
        let mut body = without_headers(message.headers(), |name| name == LIFETIME);
        body.truncate(body.len() - 2);
        append_header(&mut body, "Nats-TTL", (least / SECOND).to_string().as_bytes());
        end_headers(&mut body);
        let length = body.len();
        body.extend_from_slice(message.payload());
        Some((length, body))
    }
}

/// Headers without those whose name is one of `unwanted`.
pub(super) fn without_headers(headers: &[u8], unwanted: impl Fn(&[u8]) -> bool) -> Vec<u8> {
    let lines = headers.split_inclusive(|&byte| byte == b'\n');
    let kept = lines.filter(|line| {
        let name = line.split(|&byte| byte == b':').next().unwrap_or_default();
        name.len() == line.len() || !unwanted(name)
    });
    kept.flatten().copied().collect()
}

/// Whether a message tells of others being gone, and needs none to tell of it.
fn is_marker(headers: Headers<'_>) -> bool {
    headers.get(b"Nats-Marker-Reason").is_some_and(|reason| !reason.is_empty())
        || headers.get(b"KV-Operation") == Some(b"PURGE")
}

impl Stream {
    /// Remembers which messages go by themselves, or never; has to look at all of them.
    pub(super) fn remember_lifetimes(&mut self) {
        let mut next = if self.config.allow_msg_ttl { self.store.books.first } else { u64::MAX };
        while let Some(at) = self.store.headers_from(next).filter(|&at| at <= self.store.books.last) {
            next = at + 1;
            if let Some(message) = self.store.get(at)
                && let Ok(Some(lifetime)) = read(Headers(message.headers()))
            {
                let time = message.time;
                self.lifetimes.note(lifetime, (at, time));
            }
        }
    }

    /// The oldest message that the age limit concerns, and when it was stored.
    fn oldest(&mut self) -> Option<(u64, u64)> {
        let (first, first_time) = (self.store.books.first, self.store.books.first_time);
        if self.lifetimes.forever.is_empty() {
            return (self.store.books.messages > 0).then_some((first, first_time));
        }
        while self.lifetimes.forever.first().is_some_and(|&sequence| sequence < first) {
            self.lifetimes.forever.pop_first();
        }
        let mut at = self.lifetimes.looked.max(first);
        loop {
            let sequence = self.store.next_there(at)?;
            self.lifetimes.looked = sequence;
            if !self.lifetimes.forever.contains(&sequence) {
                return self.store.time_of(sequence).map(|time| (sequence, time));
            }
            at = sequence + 1;
        }
    }

    /// The next message whose time is up.
    fn expired(&mut self, unix: u64) -> Option<u64> {
        let limit = self.config.max_age;
        if limit > 0
            && let Some((sequence, time)) = self.oldest()
            && time.saturating_add(limit) <= unix
        {
            return Some(sequence);
        }
        let (end, sequence) = self.lifetimes.ends.first().copied().filter(|(end, _)| *end <= unix)?;
        self.lifetimes.ends.remove(&(end, sequence));
        Some(sequence)
    }

    /// Lets go of whatever time is up for, and leaves nothing behind.
    pub(super) fn expire(&mut self, unix: u64) {
        while let Some(sequence) = self.expired(unix) {
            if !self.remove(sequence) && self.store.next_there(sequence) == Some(sequence) {
                // The disk can't tell what is there; that ends the server.
                return;
            }
        }
    }

    /// Lets go of whatever time is up for; the last message of a subject is followed by one that tells of it.
    pub(super) fn expire_and_tell(&mut self, unix: u64, outbox: &mut Outbox) {
        while let Some(sequence) = self.expired(unix) {
            let Some(message) = self.store.get(sequence) else {
                if self.store.next_there(sequence) == Some(sequence) {
                    return;
                }
                continue;
            };
            let (subject, marker) = (message.subject.to_vec(), is_marker(Headers(message.headers())));
            let last = self.store.books.count_of(&subject) == 1;
            self.remove(sequence);
            if last && !marker {
                self.leave_marker(&subject, unix, outbox);
            }
        }
    }

    fn leave_marker(&mut self, subject: &[u8], unix: u64, outbox: &mut Outbox) {
        let mut headers = Vec::with_capacity(80);
        begin_headers(&mut headers);
        append_header(&mut headers, "Nats-Marker-Reason", b"MaxAge");
        let lifetime = super::times::duration_text(self.config.subject_delete_marker_ttl / SECOND * SECOND);
        append_header(&mut headers, "Nats-TTL", lifetime.as_bytes());
        append_header(&mut headers, "Nats-Rollup", b"sub");
        end_headers(&mut headers);
        let marker = Publish { subject, reply: b"", header_length: headers.len(), body: &headers };
        // A stream that can't take it now does without, as it would without its disk.
        drop(self.take_mapped(&marker, unix, outbox));
    }

    /// When the next message goes by itself, in nanoseconds since 1970.
    pub(super) fn next_expiry(&mut self) -> Option<u64> {
        let limit = self.config.max_age;
        let by_age = if limit > 0 { self.oldest().map(|(_, time)| time.saturating_add(limit)) } else { None };
        by_age.into_iter().chain(self.lifetimes.ends.first().map(|&(end, _)| end)).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lifetime(text: &str) -> Result<Option<Lifetime>, u16> {
        let headers = format!("NATS/1.0\r\nNats-TTL: {text}\r\n\r\n");
        read(Headers(headers.as_bytes())).map_err(|error| error.err_code)
    }

    #[test]
    fn lifetimes_are_read_as_the_server_reads_them() {
        for (text, seconds) in [("1", 1), ("10s", 10), ("1500ms", 1), ("1h", 3600), ("1m30s", 90)] {
            assert_eq!(lifetime(text), Ok(Some(Lifetime::For(seconds * SECOND))), "{text}");
        }
        for text in ["never", "NEVER"] {
            assert_eq!(lifetime(text), Ok(Some(Lifetime::Forever)));
        }
        for text in ["0", "5ms", "-1", "-5s", "abc", "1.5", "1d"] {
            assert_eq!(lifetime(text), Err(10165), "{text}");
        }
        assert_eq!(lifetime(""), Ok(None));
    }

    /// Publishes with a lifetime, at a second.
    fn publish(stream: &mut Stream, subject: &str, lifetime: &str, second: u64) {
        let body = format!("NATS/1.0\r\nNats-TTL: {lifetime}\r\n\r\n");
        let header_length = if lifetime.is_empty() { 0 } else { body.len() };
        let body = &body.as_bytes()[..header_length];
        let message = Publish { subject: subject.as_bytes(), reply: b"", header_length, body };
        stream.take_mapped(&message, second * SECOND, &mut Outbox::default()).unwrap();
    }

    fn subjects(stream: &mut Stream) -> Vec<(u64, String)> {
        let mut found = Vec::new();
        for sequence in stream.store.books.first..=stream.store.books.last {
            if let Some(message) = stream.store.get(sequence) {
                found.push((sequence, String::from_utf8_lossy(message.subject).into_owned()));
            }
        }
        found
    }

    #[test]
    fn messages_go_when_their_time_is_up_and_the_last_of_a_subject_is_followed_by_a_marker() {
        let config = StreamConfig {
            name: "S".to_owned(),
            max_age: 10 * SECOND,
            allow_msg_ttl: true,
            allow_rollup_hdrs: true,
            subject_delete_marker_ttl: 3 * SECOND,
            ..StreamConfig::default()
        };
        let mut stream = Stream::new(config, 1, crate::engine::jetstream::store::Store::in_memory(1));
        let mut outbox = Outbox::default();
        publish(&mut stream, "ever", "never", 1);
        publish(&mut stream, "a", "", 2);
        publish(&mut stream, "a", "6s", 3);
        publish(&mut stream, "b", "1s", 3);
        // Made as long as a marker lives.
        assert_eq!(stream.next_expiry(), Some(6 * SECOND));
        stream.expire_and_tell(6 * SECOND - 1, &mut outbox);
        assert_eq!(subjects(&mut stream).len(), 4);
        stream.expire_and_tell(6 * SECOND, &mut outbox);
        let left = subjects(&mut stream).into_iter().map(|(sequence, _)| sequence).collect::<Vec<_>>();
        assert_eq!(left, [1, 2, 3, 5]);
        // A marker goes without another one; of two messages of a subject only the last one is told of.
        stream.expire_and_tell(9 * SECOND, &mut outbox);
        assert_eq!(subjects(&mut stream), [(1, "ever".to_owned()), (2, "a".to_owned())]);
        assert_eq!(stream.next_expiry(), Some(12 * SECOND));
        stream.expire_and_tell(12 * SECOND, &mut outbox);
        assert_eq!(subjects(&mut stream), [(1, "ever".to_owned()), (6, "a".to_owned())]);
        stream.expire_and_tell(100 * SECOND, &mut outbox);
        assert_eq!((subjects(&mut stream).len(), stream.next_expiry()), (1, None));
    }

    #[test]
    fn a_header_is_taken_out_whole_and_the_rest_stays() {
        let headers = b"NATS/1.0\r\nA: 1\r\nNats-TTL: 5\r\nB: 2\r\n\r\n";
        let left = without_headers(headers, |name| name == LIFETIME);
        assert_eq!(left, b"NATS/1.0\r\nA: 1\r\nB: 2\r\n\r\n");
    }
}
