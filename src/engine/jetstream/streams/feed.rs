//! How far a stream has come with the streams that it takes messages from. Where it has come to outlasts a restart: a
//! mirror's own last sequence says it, the copies that a source brought say it in a header, and a note in the stream's
//! file says it once such copies may be gone.

use super::lifetime::without_headers;
use super::origins::Origin;
use super::stream::Stream;
use super::stream_config::StreamConfig;
use super::subject_map::SubjectMap;
use crate::clock::Nanos;
use crate::engine::jetstream::store::Store;
use crate::wire::nats::subject::matches;
use crate::wire::nats::{Headers, Publish, append_header, begin_headers, end_headers};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The header of a copy that says of what it is one.
const ORIGIN: &[u8] = b"Nats-Stream-Source";
/// Copies after which a note is written in any case, so that a restart has little to look at.
const NOTE_AFTER: u64 = 1_000;

/// What is wanted of a stream: subjects, none of which is all.
type Filters = Vec<Box<[u8]>>;

fn wants(filters: &Filters, subject: &[u8]) -> bool {
    filters.is_empty() || filters.iter().any(|filter| matches(filter, subject))
}

/// A stream that takes messages from the one that knows of it here.
#[derive(Debug)]
pub(super) struct Reader {
    /// Its key.
    pub(super) stream: usize,
    /// Which of its feeds.
    pub(super) feed: usize,
    filters: Filters,
    /// What it has come to, as far as the copies are safe.
    pub(super) position: u64,
}

impl Reader {
    /// Whether it wants messages of this subject.
    pub(super) fn wants(&self, subject: &[u8]) -> bool {
        wants(&self.filters, subject)
    }

    /// Whether it is still to take a message.
    pub(super) fn needs(&self, sequence: u64, subject: &[u8]) -> bool {
        sequence > self.position && self.wants(subject)
    }
}

/// One stream that messages are taken from.
#[derive(Debug)]
pub(super) struct Feed {
    pub(super) origin: Origin,
    pub(super) key: String,
    filters: Filters,
    maps: Vec<SubjectMap>,
    /// The origin's sequence up to which all was looked at; `None` before it was there.
    pub(super) position: Option<u64>,
    /// The same as far as the copies are safe.
    pub(super) safe: u64,
    /// When it was last seen to be there.
    pub(super) heard: Option<Nanos>,
    /// Whether it was looked for and not there.
    pub(super) missing: bool,
    /// When to try again what this stream did not take; 0 if there is nothing.
    pub(super) retry_at: Nanos,
    /// Whether it has gone past a message without a copy that says so.
    pub(super) silent: bool,
}

/// A copy to be stored.
#[derive(Debug)]
pub(super) struct Copied {
    pub(super) time: u64,
    subject: Vec<u8>,
    header_length: usize,
    body: Vec<u8>,
}

impl Copied {
    pub(super) fn as_publish(&self) -> Publish<'_> {
        Publish { subject: &self.subject, reply: b"", header_length: self.header_length, body: &self.body }
    }
}

impl Feed {
    fn new(origin: &Origin) -> Self {
        let of_maps = origin.subject_transforms.iter().map(|map| &map.src);
        let named = Some(&origin.filter_subject).filter(|filter| !filter.is_empty());
        let all: Vec<&String> = named.into_iter().chain(of_maps).collect();
        let open = all.iter().any(|filter| filter.is_empty() || *filter == ">");
        let filters =
            if open { Vec::new() } else { all.iter().map(|filter| filter.as_bytes().into()).collect() };
        let made = origin.subject_transforms.iter();
        let maps = made.filter_map(|map| SubjectMap::new(&map.src, &map.dest).unwrap_or(None)).collect();
        Self {
            key: origin.key(),
            origin: origin.clone(),
            filters,
            maps,
            position: None,
            safe: 0,
            heard: None,
            missing: false,
            retry_at: 0,
            silent: false,
        }
    }

    /// What the origin has to know of it.
    pub(super) fn reader(&self, stream: usize, feed: usize) -> Reader {
        Reader { stream, feed, filters: self.filters.clone(), position: self.safe }
    }

    /// Where it begins, as far as nothing was taken yet.
    pub(super) fn begin(&self, origin: &mut Store) -> u64 {
        if self.origin.opt_start_seq > 0 {
            return self.origin.opt_start_seq - 1;
        }
        self.origin.opt_start_time.map_or(0, |time| origin.first_since(time.0) - 1)
    }

    /// The next message after `position` that it wants.
    pub(super) fn next(&self, origin: &mut Store, position: u64) -> Option<u64> {
        if self.filters.is_empty() {
            return origin.next_there(position + 1);
        }
        origin.next(position + 1, |subject| wants(&self.filters, subject))
    }

    /// Messages that it is still to take.
    pub(super) fn lag(&self, origin: &mut Store) -> u64 {
        let Some(mut position) = self.position else { return 0 };
        if self.filters.is_empty() {
            return origin.count_from(position + 1);
        }
        let mut count = 0;
        while let Some(next) = self.next(origin, position) {
            (position, count) = (next, count + 1);
        }
        count
    }

    /// A copy of the origin's message, if it is there; a source's says where it is from.
    pub(super) fn copy(&self, origin: &mut Store, sequence: u64, mirror: bool) -> Option<Copied> {
        let message = origin.get(sequence)?;
        let mapped = self.maps.iter().find_map(|map| map.apply(message.subject));
        let subject = mapped.unwrap_or_else(|| message.subject.to_vec());
        // What its publisher expected was held there, and its own origin was another one.
        let mut body = without_headers(message.headers(), |name| {
            name.starts_with(b"Nats-Expected-") || (!mirror && name == ORIGIN)
        });
        if !mirror {
            match body.len().checked_sub(2) {
                Some(end) => body.truncate(end),
                None => begin_headers(&mut body),
            }
            let (filters, destinations) = self.origin.shape();
            let from = format!("{} {sequence} {filters} {destinations}", self.origin.name);
            append_header(&mut body, "Nats-Stream-Source", from.as_bytes());
            end_headers(&mut body);
        }
        let header_length = body.len();
        body.extend_from_slice(message.payload());
        Some(Copied { time: message.time, subject, header_length, body })
    }
}

/// What is written of how far a stream has come.
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
#[serde(default)]
struct Note {
    /// The stream's last sequence, and how many messages it had.
    last: u64,
    messages: u64,
    /// What each source has come to, by its key; also of those that were configured once.
    positions: BTreeMap<String, u64>,
}

/// The streams that one takes messages from.
#[derive(Debug, Default)]
pub(super) struct Feeds {
    pub(super) all: Vec<Feed>,
    pub(super) mirror: bool,
    /// As it was last written.
    noted: Note,
}

impl Feeds {
    /// Those of a configuration, not begun.
    pub(super) fn new(config: &StreamConfig) -> Self {
        Self {
            all: config.origins().map(Feed::new).collect(),
            mirror: config.mirror.is_some(),
            noted: Note::default(),
        }
    }

    /// Takes over a changed configuration; who was there before goes on where it was.
    pub(super) fn reconfigure(&mut self, config: &StreamConfig) {
        self.keep();
        let before = std::mem::take(&mut self.all);
        self.all = config.origins().map(Feed::new).collect();
        for feed in &mut self.all {
            feed.position = self.noted.positions.get(&feed.key).copied();
            if let Some(old) = before.iter().find(|old| old.key == feed.key) {
                (feed.heard, feed.safe) = (old.heard, old.safe);
            }
        }
        self.mirror = config.mirror.is_some();
    }

    fn keep(&mut self) {
        for feed in &self.all {
            if let Some(position) = feed.position {
                self.noted.positions.insert(feed.key.clone(), position);
            }
        }
    }

    /// When something is to be tried again.
    pub(super) fn next_due(&self) -> Option<Nanos> {
        self.all.iter().map(|feed| feed.retry_at).filter(|&at| at > 0).min()
    }

    fn has_moved(&self) -> bool {
        let moved = |feed: &Feed| {
            feed.position.is_some() && feed.position != self.noted.positions.get(&feed.key).copied()
        };
        !self.mirror && self.all.iter().any(moved)
    }
}

impl Stream {
    /// Writes down how far sources have come, if copies that said so may be gone, or will be many.
    pub(super) fn note_feeds(&mut self) {
        if !self.feeds.has_moved() {
            return;
        }
        let (books, noted) = (&self.store.books, &self.feeds.noted);
        let added = books.last.saturating_sub(noted.last);
        let silent = self.feeds.all.iter().any(|feed| feed.silent);
        if !silent && added < NOTE_AFTER && books.messages == noted.messages + added {
            return;
        }
        self.feeds.all.iter_mut().for_each(|feed| feed.silent = false);
        (self.feeds.noted.last, self.feeds.noted.messages) = (books.last, books.messages);
        self.feeds.keep();
        // Numbers and strings can always be written.
        if let Ok(note) = serde_json::to_vec(&self.feeds.noted) {
            self.store.note(&note);
        }
    }

    /// Finds out how far sources had come.
    pub(super) fn recall_feeds(&mut self) {
        if self.feeds.mirror {
            let last = self.store.books.last;
            self.feeds.all.iter_mut().for_each(|feed| feed.safe = last);
            return;
        }
        if self.feeds.all.is_empty() {
            return;
        }
        self.feeds.noted = serde_json::from_slice(self.store.noted()).unwrap_or_default();
        let mut next = self.feeds.noted.last + 1;
        while let Some(at) = self.store.headers_from(next).filter(|&at| at <= self.store.books.last) {
            next = at + 1;
            if let Some(message) = self.store.get(at)
                && let Some((key, position)) = Headers(message.headers()).get(ORIGIN).and_then(origin_of)
            {
                self.feeds.noted.positions.insert(key, position);
            }
        }
        for feed in &mut self.feeds.all {
            feed.position = self.feeds.noted.positions.get(&feed.key).copied();
            feed.safe = feed.position.unwrap_or(0);
        }
    }
}

/// Of what a header says that its message is a copy: the key of the origin, and the sequence there.
fn origin_of(header: &[u8]) -> Option<(String, u64)> {
    let text = std::str::from_utf8(header).ok()?;
    let (name, rest) = text.split_once(' ')?;
    let (sequence, shape) = rest.split_once(' ')?;
    Some((format!("{name} {shape}"), sequence.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::super::stream::Coming;
    use super::*;

    fn origin(json: &str) -> Origin {
        serde_json::from_str(json).unwrap()
    }

    fn filled() -> Stream {
        let config = StreamConfig { name: "A".to_owned(), ..StreamConfig::default() };
        let mut stream = Stream::new(config, 1, Store::in_memory(1));
        for number in 0..6u8 {
            let subject = format!("a.{}", number % 3);
            let body = *b"NATS/1.0\r\nNats-Expected-Last-Sequence: 0\r\nK: v\r\n\r\nx";
            let header_length = if number == 0 { body.len() - 1 } else { 0 };
            let body = if number == 0 { &body[..] } else { b"x" };
            let message = Publish { subject: subject.as_bytes(), reply: b"", header_length, body };
            stream.publish(&message, Coming::Published, 10 + u64::from(number)).unwrap();
        }
        stream
    }

    #[test]
    fn a_copy_says_where_it_is_from_and_expects_nothing() {
        let mut store = filled().store;
        let feed = Feed::new(&origin(r#"{"name":"A","subject_transforms":[{"src":"a.*","dest":"b.$1"}]}"#));
        let copy = feed.copy(&mut store, 1, false).unwrap();
        let expected = b"NATS/1.0\r\nK: v\r\nNats-Stream-Source: A 1 a.* b.$1\r\n\r\nx";
        assert_eq!((copy.as_publish().subject, copy.as_publish().body), (&b"b.0"[..], &expected[..]));
        assert_eq!(origin_of(b"A 1 a.* b.$1"), Some((feed.key.clone(), 1)));
        let mirrored = feed.copy(&mut store, 2, true).unwrap();
        assert_eq!((mirrored.as_publish().header_length, mirrored.time), (0, 11));
    }

    #[test]
    fn it_begins_where_it_is_told_and_counts_what_is_left() {
        let mut store = filled().store;
        for (json, begin, next, lag) in [
            (r#"{"name":"A"}"#, 0, Some(1), 6),
            (r#"{"name":"A","opt_start_seq":4}"#, 3, Some(4), 3),
            (r#"{"name":"A","filter_subject":"a.1"}"#, 0, Some(2), 2),
            (r#"{"name":"A","opt_start_time":"1970-01-01T00:00:00.000000012Z"}"#, 2, Some(3), 4),
        ] {
            let mut feed = Feed::new(&origin(json));
            let position = feed.begin(&mut store);
            feed.position = Some(position);
            let found = (position, feed.next(&mut store, position), feed.lag(&mut store));
            assert_eq!(found, (begin, next, lag), "{json}");
        }
    }
}
