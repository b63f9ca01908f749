//! Messages on their way from streams to those that take them, a part at a time, in the tick after they were written: no
//! copy may be there of what a crash takes away.

use super::errors::ApiError;
use super::feed::Feed;
use super::info::{OriginInfo, StreamInfo};
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
        let way = Way { mirror: feeds.mirror, index, key, times };
        let more = way.copy(&mut feeds.all[index], (origin, target), &mut self.outbox);
        target.feeds = feeds;
        // The origin may have let go of what was copied.
        self.touch(from);
        self.touch(key);
        more
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
    key: usize,
    times: Times,
}

impl Way {
    fn copy(
        self,
        feed: &mut Feed,
        (origin, target): (&mut Stream, &mut Stream),
        outbox: &mut super::Outbox,
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
        feed.position = Some(position);
        let own = |reader: &&mut super::feed::Reader| reader.stream == self.key && reader.feed == self.index;
        if let Some(reader) = origin.readers.iter_mut().find(own) {
            reader.position = position;
        }
        taken.into_iter().for_each(|sequence| origin.done_with(sequence));
        copied == PART.0 || bytes >= PART.1
    }
}
