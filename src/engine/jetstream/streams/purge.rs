//! Purges: what goes, a part at a time where it is a lot, and what consumers make of it.

use super::api::Request;
use super::errors::ApiError;
use super::stream::Stream;
use super::{Streams, Times};
use crate::wire::nats::subject::{covers, has_wildcard, matches};

/// Messages looked at before others have their turn.
const PART: u64 = 5_000;

/// What is to go.
#[derive(Debug)]
enum Goal {
    /// Everything before a sequence.
    Before(u64),
    /// Messages whose subject matches, before a sequence, and so many at most.
    Matching { pattern: Box<[u8]>, before: u64, most: u64 },
}

/// A purge at work.
#[derive(Debug)]
pub(super) struct Purge {
    goal: Goal,
    /// Where it goes on.
    at: u64,
    pub(super) purged: u64,
}

/// A purge whose answer waits until it is done.
#[derive(Debug)]
pub(super) struct Pending {
    purge: Purge,
    account: u32,
    stream: String,
    /// When the stream was made: another one of its name is none of it.
    created: u64,
    reply: Box<[u8]>,
}

impl Purge {
    /// Of everything before a sequence.
    pub(super) fn before(first: u64) -> Self {
        Self { goal: Goal::Before(first), at: 0, purged: 0 }
    }

    /// Of messages whose subject matches, before a sequence, but for the last `keep` ones.
    pub(super) fn matching(stream: &mut Stream, pattern: &[u8], (before, keep): (u64, u64)) -> Self {
        let store = &mut stream.store;
        let count: u64 = store.books.matching(pattern).iter().map(|(_, count)| count).sum();
        let begin = if has_wildcard(pattern) { None } else { store.first_of(pattern) };
        let at = begin.unwrap_or(store.books.first);
        let goal = Goal::Matching { pattern: pattern.into(), before, most: count.saturating_sub(keep) };
        Self { goal, at, purged: 0 }
    }
}

impl Stream {
    /// The first of the last `keep` messages.
    pub(super) fn first_of_last(&mut self, keep: u64) -> u64 {
        let mut left = self.store.books.messages.saturating_sub(keep);
        let mut at = self.store.books.first;
        while left > 0 {
            at = self.store.next_there(at).unwrap_or(self.store.books.last) + 1;
            left -= 1;
        }
        at
    }

    /// Does all of a purge; how many messages that were.
    pub(super) fn purge(&mut self, mut purge: Purge) -> u64 {
        self.purge_part(&mut purge, u64::MAX);
        self.tell_of(&purge);
        purge.purged
    }

    /// Looks at `part` messages at most; whether all is done.
    fn purge_part(&mut self, purge: &mut Purge, part: u64) -> bool {
        let (pattern, before, most) = match &purge.goal {
            Goal::Before(first) => {
                let (gone, done) = self.store.compact(*first, part);
                purge.purged += gone;
                return done;
            }
            Goal::Matching { pattern, before, most } => (pattern, *before, *most),
        };
        for _ in 0..part {
            let next = self.store.next_there(purge.at).filter(|&next| next < before);
            let Some(next) = next.filter(|_| purge.purged < most) else { return true };
            purge.at = next + 1;
            if self.store.get(next).is_some_and(|message| matches(pattern, message.subject)) {
                // Memory tells its consumers of each message, files of all at the end, as in the real server.
                let gone = if self.store.is_file() { self.store.remove(next) } else { self.remove(next) };
                purge.purged += u64::from(gone);
            }
        }
        false
    }

    /// Tells the consumers of a purge that is done.
    fn tell_of(&mut self, purge: &Purge) {
        let first = self.store.books.first;
        let pattern = match &purge.goal {
            Goal::Before(_) => None,
            Goal::Matching { pattern, .. } => Some(pattern),
        };
        let Some(pattern) = pattern else {
            self.purged = true;
            let all = self.consumers.values_mut();
            return all.for_each(|consumer| consumer.purged(first, false, &mut self.store));
        };
        let left = self.store.next(first, |subject| matches(pattern, subject)).unwrap_or(0);
        for consumer in self.consumers.values_mut() {
            let wider = consumer.wants_all() || consumer.filters().iter().any(|own| covers(own, pattern));
            if consumer.is_within(pattern) {
                consumer.purged(left, false, &mut self.store);
            } else if wider {
                consumer.purged(first, true, &mut self.store);
            } else {
                consumer.count(&mut self.store);
            }
        }
        self.awake = true;
    }
}

impl Streams {
    /// Begins a purge of the stream at `key`, and answers once it is done.
    pub(super) fn begin_purge(&mut self, key: usize, mut purge: Purge, request: Request<'_>) {
        self.touch(key);
        let stream = &mut self.all[key];
        if stream.purge_part(&mut purge, PART) {
            stream.tell_of(&purge);
            let done = serde_json::json!({ "success": true, "purged": purge.purged });
            return self.reply(request, "stream_purge", Ok(done));
        }
        let (stream, created) = (stream.config.name.clone(), stream.created);
        let (account, reply) = (self.account, request.reply.into());
        self.purges.push(Pending { purge, account, stream, created, reply });
    }

    /// Goes on with the purges that are at work; whether any is left.
    pub(super) fn go_on_purging(&mut self, times: Times) -> bool {
        for mut pending in std::mem::take(&mut self.purges) {
            self.account = pending.account;
            self.outbox.account = pending.account;
            let created = pending.created;
            let found = self.find(&pending.stream).filter(|stream| stream.created == created);
            let part = found.map(|stream| {
                let done = stream.purge_part(&mut pending.purge, PART);
                if done {
                    stream.tell_of(&pending.purge);
                }
                done
            });
            let done = match part {
                Some(false) => {
                    self.purges.push(pending);
                    continue;
                }
                Some(true) => Ok(serde_json::json!({ "success": true, "purged": pending.purge.purged })),
                None => Err(ApiError::stream_not_found()),
            };
            let request = Request::left(&pending.reply, times);
            self.reply(request, "stream_purge", done);
        }
        !self.purges.is_empty()
    }
}
