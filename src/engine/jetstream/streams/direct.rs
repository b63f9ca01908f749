//! Messages read as they are, without a consumer: one, the next ones, or the last ones of many subjects.

use super::api::Request;
use super::outbox::{Letter, Outbox};
use super::pull::plain_status;
use super::stream::Stream;
use super::times::Time;
use super::{Streams, json};
use crate::engine::jetstream::store::{Store, Stored};
use crate::wire::nats::subject::matches;
use crate::wire::nats::{append_header, begin_headers, end_headers, status_line};
use serde::Deserialize;
use std::collections::{BTreeSet, HashSet};

/// Most messages that are given as the last ones of their subjects.
const MAX_LAST: usize = 1024;
/// Bytes given at a time if nothing is said: half of what may wait for a client.
const MAX_BYTES: u64 = 32 * 1024 * 1024;

/// Which messages are asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct GetRequest {
    seq: u64,
    last_by_subj: String,
    next_by_subj: String,
    pub(super) batch: u64,
    pub(super) max_bytes: u64,
    start_time: Option<Time>,
    multi_last: Vec<String>,
    up_to_seq: u64,
    up_to_time: Option<Time>,
}

impl GetRequest {
    /// Whether it says where to look for one message.
    pub(super) fn asks_for_one(&self) -> bool {
        self.seq > 0
            || !self.last_by_subj.is_empty()
            || !self.next_by_subj.is_empty()
            || self.start_time.is_some()
    }

    /// Whether it asks for what can't be had together.
    pub(super) fn contradicts_itself(&self) -> bool {
        let (last, next) = (!self.last_by_subj.is_empty(), !self.next_by_subj.is_empty());
        let start = self.start_time.is_some();
        (last && (self.seq > 0 || start || next)) || (self.seq > 0 && start)
    }

    /// The same for what only a direct request may ask.
    fn contradicts_itself_directly(&self) -> bool {
        let (last, next) = (!self.last_by_subj.is_empty(), !self.next_by_subj.is_empty());
        let many = !self.multi_last.is_empty();
        (last && (self.batch > 0 || many))
            || (next && many)
            || (self.up_to_seq > 0 && self.up_to_time.is_some())
    }

    /// Where to begin, in a stream.
    fn start(&self, store: &mut Store) -> u64 {
        self.start_time.map_or(self.seq, |time| next_since(store, time))
    }
}

/// The first message stored at or after a time; one past the last if there is none.
fn next_since(store: &mut Store, time: Time) -> u64 {
    let at = store.first_since(time.0);
    store.next_there(at).unwrap_or(at)
}

/// Where a message stands among those that are given.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// Messages that are left, this one included.
    pending: u64,
    /// The sequence of the one before it.
    before: u64,
}

impl Stream {
    /// The one message that is asked for.
    pub(super) fn wanted(&mut self, wish: &GetRequest) -> Option<u64> {
        if !wish.last_by_subj.is_empty() {
            return self.last_matching(wish.last_by_subj.as_bytes());
        }
        let start = wish.start(&mut self.store);
        if !wish.next_by_subj.is_empty() {
            let pattern = wish.next_by_subj.as_bytes();
            return self.store.next(start, |subject| matches(pattern, subject));
        }
        self.store.get(start).map(|message| message.sequence)
    }

    /// Messages from a sequence on whose subject matches; an empty pattern is all.
    fn pending_from(&mut self, start: u64, pattern: &[u8]) -> u64 {
        let (first, last) = (self.store.books.first, self.store.books.last);
        if pattern.is_empty() {
            return self.store.count_from(start);
        }
        let all: u64 = self.store.books.matching(pattern).iter().map(|(_, count)| count).sum();
        let mut count = |mut at: u64, end: u64| {
            let mut count = 0;
            while let Some(next) =
                self.store.next(at, |subject| matches(pattern, subject)).filter(|&next| next < end)
            {
                (at, count) = (next + 1, count + 1);
            }
            count
        };
        if start <= first {
            all
        } else if start - first < last.saturating_sub(start) {
            all - count(first, start)
        } else {
            count(start, u64::MAX)
        }
    }

    /// The next message from a sequence on, of a subject if that is asked for.
    fn next_of(&mut self, start: u64, pattern: &[u8]) -> Option<u64> {
        if pattern.is_empty() {
            return self.store.next_there(start);
        }
        self.store.next(start, |subject| matches(pattern, subject))
    }

    /// The last messages of subjects that match, up to and with a sequence, in order; `None` if they are too many.
    fn last_of_all(&mut self, patterns: &[String], up_to: u64) -> Option<BTreeSet<u64>> {
        let mut subjects: HashSet<Vec<u8>> = HashSet::new();
        for pattern in patterns {
            subjects.extend(
                self.store.books.matching(pattern.as_bytes()).into_iter().map(|(name, _)| name.to_vec()),
            );
        }
        let mut found = BTreeSet::new();
        if up_to >= self.store.books.last {
            if subjects.len() > MAX_LAST {
                return None;
            }
            found.extend(subjects.iter().filter_map(|subject| self.store.last_of(subject)));
            return Some(found);
        }
        let mut at = up_to;
        while !subjects.is_empty() {
            let Some(sequence) = self.store.previous(at, |subject| subjects.contains(subject)) else { break };
            if let Some(message) = self.store.get(sequence) {
                subjects.remove(message.subject);
            }
            found.insert(sequence);
            if found.len() > MAX_LAST {
                return None;
            }
            at = sequence - 1;
        }
        Some(found)
    }
}

/// Gives a message as it is, under the subject that it is to be sent to; how many bytes that counts for.
fn give(stream: &str, message: &Stored<'_>, place: Option<Place>, (to, outbox): (&[u8], &mut Outbox)) -> u64 {
    let mut headers = Vec::with_capacity(256 + message.header_length);
    match message.headers().strip_suffix(b"\r\n") {
        Some(own) => headers.extend_from_slice(own),
        None => begin_headers(&mut headers),
    }
    append_header(&mut headers, "Nats-Stream", stream.as_bytes());
    append_header(&mut headers, "Nats-Subject", message.subject);
    append_header(&mut headers, "Nats-Sequence", message.sequence.to_string().as_bytes());
    append_header(&mut headers, "Nats-Time-Stamp", Time(message.time).text().as_bytes());
    if let Some(place) = place {
        append_header(&mut headers, "Nats-Num-Pending", place.pending.to_string().as_bytes());
        append_header(&mut headers, "Nats-Last-Sequence", place.before.to_string().as_bytes());
    }
    end_headers(&mut headers);
    outbox.send(&Letter { to, subject: to, reply: b"", headers: &headers, payload: message.payload() });
    (message.subject.len() + message.body.len()) as u64
}

/// Says that no more comes.
fn end(place: Place, up_to: Option<u64>, (to, outbox): (&[u8], &mut Outbox)) {
    let mut headers = Vec::with_capacity(96);
    status_line(&mut headers, 204, "EOB");
    append_header(&mut headers, "Nats-Num-Pending", place.pending.to_string().as_bytes());
    append_header(&mut headers, "Nats-Last-Sequence", place.before.to_string().as_bytes());
    if let Some(up_to) = up_to {
        append_header(&mut headers, "Nats-UpTo-Sequence", up_to.to_string().as_bytes());
    }
    end_headers(&mut headers);
    outbox.status(to, &headers);
}

impl Streams {
    /// Answers with messages themselves; whether the stream, or a mirror of it, allows that.
    pub(super) fn direct_get(&mut self, name: &str, subject: Option<&str>, request: Request<'_>) -> bool {
        let own = self.key_of(name).filter(|&key| self.all[key].config.allow_direct);
        let Some(key) = own.or_else(|| self.stand_in(name)) else { return false };
        if request.reply.is_empty() {
            return true;
        }
        self.touch(key);
        let refused = match wish_of(subject, request.payload) {
            Ok(wish) => {
                let most = if wish.max_bytes > 0 { wish.max_bytes } else { MAX_BYTES };
                let to = (request.reply, &mut self.outbox);
                let stream = &mut self.all[key];
                if !wish.multi_last.is_empty() {
                    stream.give_last_ones(&wish, most, to)
                } else if wish.batch > 0 {
                    stream.give_batch(&wish, most, to)
                } else {
                    stream.give_one(&wish, to)
                }
            }
            Err(why) => Err((408, why)),
        };
        if let Err((code, why)) = refused {
            plain_status(&mut self.outbox, request.reply, code, why);
        }
        true
    }
}

/// Why there is nothing to be given: a status.
type Refusal = (u16, &'static str);

fn wish_of(subject: Option<&str>, payload: &[u8]) -> Result<GetRequest, &'static str> {
    if let Some(subject) = subject {
        // It is all in the subject.
        let plain = payload.is_empty() && !subject.is_empty();
        return if plain {
            Ok(GetRequest { last_by_subj: subject.to_owned(), ..GetRequest::default() })
        } else {
            Err("Bad Request")
        };
    }
    if payload.is_empty() {
        return Err("Empty Request");
    }
    let wish: GetRequest = json::read_as(payload).map_err(|_| "Malformed Request")?;
    if !wish.asks_for_one() && wish.multi_last.is_empty() {
        return Err("Empty Request");
    }
    if wish.contradicts_itself() || wish.contradicts_itself_directly() {
        return Err("Bad Request");
    }
    Ok(wish)
}

const NOT_FOUND: Refusal = (404, "Message Not Found");
const NO_RESULTS: Refusal = (404, "No Results");

impl Stream {
    fn give_one(&mut self, wish: &GetRequest, to: (&[u8], &mut Outbox)) -> Result<(), Refusal> {
        let found = self.wanted(wish).and_then(|sequence| self.store.get(sequence));
        give(&self.config.name, &found.ok_or(NOT_FOUND)?, None, to);
        Ok(())
    }

    /// Gives the next messages, so many or so many bytes.
    fn give_batch(
        &mut self,
        wish: &GetRequest,
        most: u64,
        (to, outbox): (&[u8], &mut Outbox),
    ) -> Result<(), Refusal> {
        let mut at = wish.start(&mut self.store);
        let pattern = wish.next_by_subj.as_bytes();
        let mut place = Place { pending: self.pending_from(at, pattern), before: 0 };
        let (mut given, mut bytes) = (0, 0);
        while given < wish.batch && bytes < most {
            let next = self.next_of(at, pattern);
            let Some(message) = next.and_then(|next| self.store.get(next)) else { break };
            at = message.sequence + 1;
            bytes += give(&self.config.name, &message, Some(place), (to, &mut *outbox));
            place = Place { pending: place.pending.saturating_sub(1), before: message.sequence };
            given += 1;
        }
        if given == 0 {
            return Err(NOT_FOUND);
        }
        end(place, None, (to, outbox));
        Ok(())
    }

    /// Gives the last messages of subjects, as of now or of an earlier time.
    fn give_last_ones(
        &mut self,
        wish: &GetRequest,
        most: u64,
        (to, outbox): (&[u8], &mut Outbox),
    ) -> Result<(), Refusal> {
        let up_to = match wish.up_to_time {
            Some(time) => {
                let after = next_since(&mut self.store, time);
                if after <= self.store.books.first {
                    return Err(NO_RESULTS);
                }
                after - 1
            }
            // To nats-server's files nothing is as late as that.
            None if wish.up_to_seq > self.store.books.last && self.store.is_file() => return Err(NO_RESULTS),
            None if wish.up_to_seq > 0 => wish.up_to_seq,
            None => self.store.books.last,
        };
        let found = self.last_of_all(&wish.multi_last, up_to).ok_or((413, "Too Many Results"))?;
        if found.is_empty() {
            return Err(NO_RESULTS);
        }
        let wanted: Vec<u64> = found.range(wish.seq..).copied().collect();
        let mut place = Place { pending: (wanted.len() as u64).saturating_sub(1), before: 0 };
        let (mut given, mut bytes) = (0, 0);
        for sequence in wanted {
            let message = self.store.get(sequence).ok_or(NOT_FOUND)?;
            bytes += give(&self.config.name, &message, Some(place), (to, &mut *outbox));
            place = Place { pending: place.pending.saturating_sub(1), before: sequence };
            given += 1;
            if bytes >= most || given == wish.batch {
                break;
            }
        }
        end(place, Some(up_to), (to, outbox));
        Ok(())
    }
}
