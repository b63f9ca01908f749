//! A consumer at work: from the stream to whoever asked, or to its deliver subject.

use super::Times;
use super::consumer::Consumer;
use super::consumer_config::AckPolicy;
use super::outbox::{Letter, Outbox};
use super::pacing::Candidate;
use super::priority::Standing;
use super::pull::heartbeat;
use crate::clock::Nanos;
use crate::engine::jetstream::store::{Store, Stored};
use crate::wire::nats::{append_header, begin_headers, end_headers, status_line};
use crate::wire::resp::append_integer_digits;

/// Messages that one consumer delivers before others have their turn.
const TURN: usize = 2_000;
/// Bytes that may wait to be sent before consumers stop.
const TURN_BYTES: usize = 4 * 1024 * 1024;

/// Whether somebody listens to a subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in super::super) enum Interest {
    /// Nobody.
    Nobody,
    /// Somebody who has a lot to read already.
    Busy,
    /// Somebody.
    Ready,
}

/// Tells whether somebody listens.
pub(in super::super) type Listening<'a> = &'a dyn Fn(&[u8]) -> Interest;

/// What a consumer works with.
pub(super) struct Work<'a> {
    pub(super) stream: &'a str,
    pub(super) store: &'a mut Store,
    pub(super) outbox: &'a mut Outbox,
    pub(super) now: Nanos,
    /// Nanoseconds since 1970.
    pub(super) unix: u64,
    pub(super) interest: Listening<'a>,
}

/// What is to become of a consumer after its turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// It waits for something to happen.
    Idle,
    /// It goes on once somebody has read what waits for them.
    Held,
    /// It has more to do at once.
    More,
}

impl Consumer {
    /// Delivers what can be delivered.
    pub(super) fn work(&mut self, work: &mut Work<'_>) -> Turn {
        self.expire(work.now);
        if self.paused {
            self.waiting.exhausted(work.outbox);
            return Turn::Idle;
        }
        let mut known = Vec::new();
        let grouped = !self.config.priority_policy.is_none();
        for _ in 0..TURN {
            if work.outbox.pending() >= TURN_BYTES {
                return Turn::More;
            }
            // Who is served may depend on whether there is a message.
            if grouped && self.find_message(work.store).is_none() {
                return self.rest(work);
            }
            match self.find_taker(work, &mut known) {
                Taker::Nobody => return Turn::Idle,
                Taker::Busy => return Turn::Held,
                Taker::Passed => return self.rest(work),
                Taker::Some => {}
            }
            let Some(sequence) = self.find_message(work.store) else { return self.rest(work) };
            if !self.pacing.is_free() && !self.may_go(sequence, work) {
                return Turn::Idle;
            }
            self.deliver(sequence, work);
        }
        Turn::More
    }

    /// There is nothing to be had for those who wait.
    fn rest(&mut self, work: &mut Work<'_>) -> Turn {
        if !self.is_full() || self.outstanding == 0 {
            self.waiting.exhausted(work.outbox);
        }
        Turn::Idle
    }

    /// Whether it is time for a message; one that is delivered again does not wait for its old distance.
    fn may_go(&mut self, sequence: u64, work: &mut Work<'_>) -> bool {
        let Some(message) = work.store.get(sequence) else { return true };
        let size = (message.subject.len() + message.body.len() + work.stream.len() + self.name.len()) as u64;
        self.pacing.admits(Candidate { sequence, time: message.time, size }, work.now)
    }

    /// Looks for somebody to deliver to; `known` is who was found before, and need not be looked for again.
    fn find_taker(&mut self, work: &mut Work<'_>, known: &mut Vec<u8>) -> Taker {
        if self.config.is_push() {
            if self.push.is_stalled() {
                return Taker::Nobody;
            }
            let to = self.config.deliver_subject.as_bytes();
            return match look(work, to, known) {
                Interest::Nobody => {
                    self.push.reset();
                    Taker::Nobody
                }
                Interest::Busy => Taker::Busy,
                Interest::Ready => Taker::Some,
            };
        }
        let mut passed = 0;
        while let Some(pull) = self.waiting.front() {
            match (look(work, &pull.reply, known), self.standing(pull)) {
                (Interest::Nobody, _) => self.waiting.drop_front(),
                (_, Standing::Wrong) => self.waiting.end_front(work.outbox, 423, "Nats-Wrong-Pin-Id"),
                (_, Standing::Passed) => {
                    passed += 1;
                    if passed >= self.waiting.len() {
                        return Taker::Passed;
                    }
                    self.waiting.rotate();
                }
                (Interest::Busy, Standing::Served) => return Taker::Busy,
                (Interest::Ready, Standing::Served) => return Taker::Some,
            }
        }
        Taker::Nobody
    }

    /// The next message to be delivered, which stays where it is.
    fn find_message(&mut self, store: &mut Store) -> Option<u64> {
        while let Some(&sequence) = self.again.front() {
            if store.get(sequence).is_some() {
                return Some(sequence);
            }
            self.settle(sequence);
        }
        if self.is_full() {
            return None;
        }
        while let Some(&sequence) = self.ahead.front() {
            if store.get(sequence).is_some() {
                return Some(sequence);
            }
            self.ahead.pop_front();
        }
        let found = if self.wants_all() {
            store.next_there(self.cursor)
        } else {
            store.next(self.cursor, |subject| self.wants(subject))
        };
        self.cursor = found.unwrap_or(store.books.last + 1).max(self.cursor);
        found
    }

    fn deliver(&mut self, sequence: u64, work: &mut Work<'_>) {
        let Some(message) = work.store.get(sequence) else { return };
        let reply_bound = 64 + work.stream.len() + self.name.len();
        let size = (message.subject.len() + reply_bound + message.body.len()) as u64;
        if !self.config.is_push() && !self.waiting.takes(size, work.outbox) {
            return;
        }
        let again = self.again.front() == Some(&sequence);
        if again {
            self.again.pop_front();
        } else {
            self.outstanding = self.outstanding.saturating_sub(1);
            if self.ahead.front() == Some(&sequence) {
                self.ahead.pop_front();
            } else {
                self.cursor = sequence + 1;
            }
        }
        let pin = self.pin((work.now, work.unix)).map(str::to_owned);
        let times = self.delivered(sequence, (work.now, work.unix));
        let mut reply = Vec::with_capacity(reply_bound + 4 * 20);
        [&b"$JS.ACK."[..], work.stream.as_bytes(), b".", self.name.as_bytes()]
            .iter()
            .for_each(|part| reply.extend_from_slice(part));
        for number in [times, sequence, self.delivered.delivery, message.time, self.outstanding] {
            reply.push(b'.');
            append_integer_digits(&mut reply, number as i64);
        }
        let to = match self.waiting.front() {
            Some(pull) if !self.config.is_push() => &pull.reply[..],
            _ => self.config.deliver_subject.as_bytes(),
        };
        let (mut headers, mut payload) = message.body.split_at(message.header_length);
        let more;
        if self.config.headers_only || pin.is_some() {
            more = more_headers(&message, self.config.headers_only, pin.as_deref());
            headers = &more;
            payload = if self.config.headers_only { b"" } else { payload };
        }
        work.outbox.send(&Letter { to, subject: message.subject, reply: &reply, headers, payload });
        if self.config.is_push() {
            if let Some(question) = self.push.sent(size, work.now) {
                self.ask(question, work);
            }
        } else {
            self.waiting.given(size, work.now, work.outbox);
        }
    }

    /// Asks a client with flow control to confirm what it has read.
    fn ask(&mut self, question: u64, work: &mut Work<'_>) {
        let reply = format!("$JS.FC.{}.{}.{question}", work.stream, self.name).into_bytes();
        let mut headers = Vec::with_capacity(48);
        status_line(&mut headers, 100, "FlowControl Request");
        end_headers(&mut headers);
        let to = self.config.deliver_subject.as_bytes();
        work.outbox.send(&Letter { to, subject: to, reply: &reply, headers: &headers, payload: b"" });
        self.push.question = Some(reply.into());
    }

    /// Does what is due by the clock; whether there may be something to be delivered because of it.
    pub(super) fn tend(&mut self, work: &mut Work<'_>) -> bool {
        self.expire(work.now);
        self.end_pause(work.unix);
        self.unpin_late(work.now);
        // What is told of lets others have their turn.
        let wakes = !self.news.is_empty()
            || !self.again.is_empty()
            || self.pacing.next_due().is_some_and(|due| due <= work.now);
        let position = (self.delivered.delivery, self.delivered.stream);
        self.waiting.expire(work.now, position, work.outbox);
        if self.config.is_push() && self.push.beats(work.now) {
            let to = self.config.deliver_subject.as_bytes();
            if (work.interest)(to) != Interest::Nobody {
                let stalled = if self.push.is_stalled() { self.push.question.as_deref() } else { None };
                work.outbox.status(to, &heartbeat(position.0, position.1, stalled));
            }
        }
        wakes
    }

    /// When it is to be tended next.
    pub(super) fn next_deadline(&self, times: Times) -> Option<Nanos> {
        let inactive = (self.config.inactive_threshold > 0)
            .then(|| self.active_at.saturating_add(self.config.inactive_threshold));
        // One that is past waits for somebody to listen.
        let paced = self.pacing.next_due().filter(|due| *due > times.now);
        let dues = [self.next_due(), self.waiting.next_due(), self.push.next_due(), inactive];
        let others = [paced, self.pause_end(times), self.pin_end()];
        dues.into_iter().chain(others).flatten().min()
    }

    /// Whether nobody has used it for so long that it goes.
    pub(super) fn is_abandoned(&mut self, now: Nanos, interest: Listening<'_>) -> bool {
        if self.config.inactive_threshold == 0 {
            return false;
        }
        self.waiting.keep(|reply| interest(reply) != Interest::Nobody);
        let listened = if self.config.is_push() {
            interest(self.config.deliver_subject.as_bytes()) != Interest::Nobody
        } else {
            !self.waiting.is_empty()
        };
        if listened {
            self.active_at = now;
        }
        now.saturating_sub(self.active_at) >= self.config.inactive_threshold
    }

    /// Whether deliveries are all it takes for a message to be done with.
    pub(super) fn settles_by_delivery(&self) -> bool {
        self.config.ack_policy == AckPolicy::None
    }
}

fn look(work: &Work<'_>, to: &[u8], known: &mut Vec<u8>) -> Interest {
    if known == to {
        return Interest::Ready;
    }
    known.clear();
    let found = (work.interest)(to);
    if found == Interest::Ready {
        known.extend_from_slice(to);
    }
    found
}

enum Taker {
    Nobody,
    Busy,
    /// None of those who wait are to be served now.
    Passed,
    Some,
}

/// The headers of a message, and how long what is left out is, and which client is pinned.
fn more_headers(message: &Stored<'_>, only: bool, pin: Option<&str>) -> Vec<u8> {
    let mut headers = Vec::new();
    match message.headers().strip_suffix(b"\r\n") {
        Some(own) => headers.extend_from_slice(own),
        None => begin_headers(&mut headers),
    }
    if only {
        append_header(&mut headers, "Nats-Msg-Size", message.payload().len().to_string().as_bytes());
    }
    if let Some(pin) = pin {
        append_header(&mut headers, "Nats-Pin-Id", pin.as_bytes());
    }
    end_headers(&mut headers);
    headers
}
