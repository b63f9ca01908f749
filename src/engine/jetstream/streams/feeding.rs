//! Messages on their way from streams to those that take them, a part at a time, once they are as safe as an answer has to
//! be: no copy may be there of what a crash takes away. A stream that retains messages only until they are copied lets them
//! go once the copies are as safe.

use super::errors::ApiError;
use super::feed::{Feed, Reader};
use super::info::{OriginInfo, StreamInfo};
use super::outbox::{Copied, Outbox, Written};
use super::stream::{Coming, Stream, Taken};
use super::stream_config::{Retention, StreamConfig};
use super::{Streams, Times};
use crate::clock::Nanos;

/// Messages and bytes copied before others have their turn.
const PART: (usize, usize) = (2_000, 4 * 1024 * 1024);
/// How soon a stream is asked again to take what it did not take, in nanoseconds.
const RETRY: Nanos = 250_000_000;
/// A source that is there counts as heard of this often.
const HEARTBEAT: Nanos = 1_000_000_000;

impl Streams {
    /// Finds out anew who takes messages from whom. Costs nothing as long as nobody does.
    pub(super) fn relink(&mut self) {
        let feeding = self.all.iter().any(|(_, stream)| !stream.feeds.all.is_empty());
        if !feeding && !self.feeding {
            return;
        }
        self.feeding = feeding;
        let mut readers = Vec::new();
        for (key, stream) in &mut self.all {
            stream.readers.clear();
            for (index, feed) in stream.feeds.all.iter().enumerate() {
                let from = self.by_name[stream.account as usize].get(&feed.origin.name);
                readers.extend(from.map(|&from| (from, feed.reader(key, index))));
            }
            if !stream.feeds.all.is_empty() {
                self.hungry.insert(key);
            }
        }
        for (from, reader) in readers {
            self.all[from].readers.push(reader);
        }
    }

    /// Copies what was written since the last time.
    pub(super) fn feed(&mut self, times: Times) {
        for key in std::mem::take(&mut self.hungry) {
            let feeds = self.all.get(key).map_or(0, |stream| stream.feeds.all.len());
            for index in 0..feeds {
                if self.feed_one((key, index), times) {
                    self.hungry.insert(key);
                }
            }
        }
    }

    /// Copies a part for one of a stream's feeds; whether there is more.
    fn feed_one(&mut self, (key, index): (usize, usize), times: Times) -> bool {
        let target = &mut self.all[key];
        let feed = &mut target.feeds.all[index];
        let from = self.by_name[target.account as usize].get(&feed.origin.name).copied();
        feed.missing = from.is_none();
        let Some(from) = from.filter(|&from| from != key) else { return false };
        feed.heard = Some(times.now);
        if feed.retry_at > times.now {
            return false;
        }
        feed.retry_at = 0;
        self.outbox.account = target.account;
        let Some((origin, target)) = self.all.get2_mut(from, key) else { return false };
        let mut feeds = std::mem::take(&mut target.feeds);
        let way = Way { mirror: feeds.mirror, index, from, key, times };
        let more = way.copy(&mut feeds.all[index], (origin, target), &mut self.outbox);
        target.feeds = feeds;
        self.touch(key);
        more
    }

    /// What was written is as safe as it has to be: streams may be copied up to there, and let go of what was copied from
    /// them, unless somebody else needs it. Whether there was any such.
    pub(in super::super) fn made_sure_of(&mut self, outbox: &mut Outbox) -> bool {
        let (all, written) = outbox.take_notes();
        for &Written { stream: (key, made), last } in &written {
            let stream =
                self.all.get_mut(key).filter(|stream| stream.created == made && stream.written < last);
            let Some(stream) = stream else { continue };
            stream.written = last;
            self.hungry.extend(stream.readers.iter().map(|reader| reader.stream));
        }
        for copied in &all {
            let Copied { origin: (from, made), target: (key, target_made), feed: index, position, .. } =
                *copied;
            let target = self.all.get_mut(key).filter(|target| target.created == target_made);
            let feed = target.and_then(|target| target.feeds.all.get_mut(index));
            let Some(feed) = feed.filter(|feed| feed.key == copied.feed_key) else { continue };
            feed.safe = feed.safe.max(position);
            let Some(origin) = self.all.get_mut(from).filter(|origin| origin.created == made) else {
                continue;
            };
            let own = |reader: &&mut Reader| (reader.stream, reader.feed) == (key, index);
            if let Some(reader) = origin.readers.iter_mut().find(own) {
                reader.position = reader.position.max(position);
            }
            copied.taken.iter().for_each(|&sequence| origin.done_with(sequence));
            self.touch(from);
        }
        !all.is_empty() || !self.hungry.is_empty()
    }

    /// Lets streams go of what was copied from them before a restart.
    pub(super) fn let_go_of_all_copied(&mut self) {
        for key in self.all.iter().map(|(key, _)| key).collect::<Vec<_>>() {
            let origin = &mut self.all[key];
            let retained = origin.config.retention != Retention::Limits;
            let until = origin.readers.iter().map(|reader| reader.position).max().filter(|_| retained);
            let mut at = origin.store.books.first;
            while let Some(sequence) = origin.store.next_there(at).filter(|&next| Some(next) <= until) {
                origin.done_with(sequence);
                at = sequence + 1;
            }
            if until.is_some() {
                self.touch(key);
            }
        }
    }

    /// Adds what the streams have come to that one takes messages from.
    pub(super) fn with_origins<'a>(
        &mut self,
        key: usize,
        mut info: StreamInfo<'a>,
        now: Nanos,
    ) -> StreamInfo<'a> {
        let feeds = std::mem::take(&mut self.all[key].feeds);
        let account = self.all[key].account as usize;
        let mut all = Vec::new();
        for feed in &feeds.all {
            let from = self.by_name[account].get(&feed.origin.name).copied().filter(|&from| from != key);
            let lag = from.map_or(0, |from| feed.lag(&mut self.all[from].store));
            all.push(shown(feed, lag, from.is_some(), now));
        }
        if feeds.mirror {
            info.mirror = all.pop();
        } else {
            info.sources = all;
        }
        self.all[key].feeds = feeds;
        info
    }

    /// A stream's configuration with what it takes over from the streams that it takes messages from.
    pub(super) fn meet_origins(&self, config: &mut StreamConfig) -> Result<(), ApiError> {
        let names = self.names();
        config.meet(&|name| names.get(name).and_then(|&key| self.all.get(key)).map(|stream| &stream.config))
    }

    /// The mirror that answers for a stream which does not, if there is one.
    pub(super) fn stand_in(&self, name: &str) -> Option<usize> {
        let mirrors = |stream: &Stream| {
            let of = stream.config.mirror.as_ref();
            stream.config.mirror_direct && of.is_some_and(|origin| origin.name == name)
        };
        self.names().values().copied().find(|&key| self.all.get(key).is_some_and(mirrors))
    }
}

fn shown(feed: &Feed, lag: u64, there: bool, now: Nanos) -> OriginInfo {
    let active = match feed.heard.map(|heard| now.saturating_sub(heard)) {
        None => -1,
        Some(since) if there => (since % HEARTBEAT).cast_signed(),
        Some(since) => since.cast_signed(),
    };
    OriginInfo {
        name: feed.origin.name.clone(),
        lag,
        active,
        error: (feed.missing && !there).then(ApiError::stream_not_found),
        filter_subject: feed.origin.filter_subject.clone(),
        subject_transforms: feed.origin.subject_transforms.clone(),
    }
}

/// The way from one stream to another.
#[derive(Debug, Clone, Copy)]
struct Way {
    mirror: bool,
    index: usize,
    from: usize,
    key: usize,
    times: Times,
}

impl Way {
    fn copy(
        self,
        feed: &mut Feed,
        (origin, target): (&mut Stream, &mut Stream),
        outbox: &mut Outbox,
    ) -> bool {
        let known = feed.position.or(Some(target.store.books.last).filter(|&last| self.mirror && last > 0));
        let mut position = known.unwrap_or_else(|| feed.begin(&mut origin.store));
        if self.mirror {
            // What it was told to go without, by a purge, it goes without.
            position = position.max(target.store.books.last);
        }
        let (mut copied, mut bytes, mut taken) = (0, 0, Vec::new());
        while copied < PART.0 && bytes < PART.1 {
            let next = feed.next(&mut origin.store, position);
            let Some(sequence) = next.filter(|&sequence| sequence <= origin.written) else {
                position = position.max(origin.written);
                break;
            };
            let Some(copy) = feed.copy(&mut origin.store, sequence, self.mirror) else {
                // It is damaged, which is told where it is.
                position = sequence;
                continue;
            };
            let coming =
                if self.mirror { Coming::Mirrored { sequence, time: copy.time } } else { Coming::Sourced };
            let message = copy.as_publish();
            match target.take(&message, coming, self.times.unix, outbox) {
                Ok(taken) => feed.silent |= !matches!(taken, Taken::Stored(_)),
                Err(_) => {
                    feed.retry_at = self.times.now + RETRY;
                    break;
                }
            }
            position = sequence;
            (copied, bytes) = (copied + 1, bytes + message.body.len());
            if origin.config.retention != Retention::Limits {
                taken.push(sequence);
            }
        }
        if origin.config.retention != Retention::Limits && feed.position != Some(position) {
            let (origin, target) = ((self.from, origin.created), (self.key, target.created));
            let feed_key = feed.key.clone();
            outbox.copied(Copied { origin, target, feed: self.index, feed_key, position, taken });
        }
        feed.position = Some(position);
        copied == PART.0 || bytes >= PART.1
    }
}
