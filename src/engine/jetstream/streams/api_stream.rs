//! The API of streams.

use super::api::{ListRequest, Page, Request};
use super::errors::ApiError;
use super::info::{MAX_SUBJECTS, StreamInfo, StreamInfoRequest};
use super::maps::Maps;
use super::news::News;
use super::purge::Purge;
use super::stream_config::StreamConfig;
use super::{Streams, SubjectChange, Times, json};
use crate::engine::jetstream::store::is_full;
use crate::engine::jetstream::sublist::Member;
use crate::wire::nats::subject::overlap;
use serde::{Deserialize, Serialize};

/// Names listed in one answer.
const NAMES: usize = 1024;
/// Streams listed in one answer.
const LIST: usize = 256;

/// The highest sequence that a purge may let a stream go on with.
const FURTHEST: u64 = 1 << 62;

/// What says which messages are to be purged.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PurgeRequest {
    filter: String,
    seq: u64,
    keep: u64,
}

/// STREAM.INFO shows the page of its subjects, too.
#[derive(Debug, Serialize)]
struct Paged<T: Serialize> {
    #[serde(flatten)]
    page: Page,
    #[serde(flatten)]
    info: T,
}

impl Streams {
    pub(super) fn stream_request(&mut self, verb: &str, rest: Option<&str>, request: Request<'_>) {
        match (verb, rest) {
            ("NAMES", None) => self.stream_names(request),
            ("LIST", None) => self.stream_list(request),
            ("CREATE", Some(name)) => {
                let result = self.create_stream(name, request);
                self.reply(request, "stream_create", result);
            }
            ("UPDATE", Some(name)) => {
                let result = self.update_stream(name, request);
                self.reply(request, "stream_update", result);
            }
            ("INFO", Some(name)) => self.stream_info(name, request),
            ("DELETE", Some(name)) => {
                let result = request.expect_empty().and_then(|()| self.delete_stream(name));
                self.reply(request, "stream_delete", result);
            }
            ("PURGE", Some(name)) => match self.purge_of(name, request) {
                Ok((key, purge)) => self.begin_purge(key, purge, request),
                Err(error) => self.reply(request, "stream_purge", Err::<(), _>(error)),
            },
            ("MSG", Some(rest)) => match rest.split_once('.') {
                Some(("GET", name)) => self.message_get(name, request),
                Some(("DELETE", name)) => self.message_delete(name, request),
                _ => {}
            },
            _ => {}
        }
    }

    fn create_stream(&mut self, name: &str, request: Request<'_>) -> Result<StreamInfo<'static>, ApiError> {
        self.check_stream_fields(request.payload)?;
        let config = StreamConfig::read(request.payload)?;
        if config.name != name {
            return Err(ApiError::stream_mismatch());
        }
        let mut config = config.settle()?;
        self.meet_origins(&mut config)?;
        if config.sealed {
            return Err(ApiError::stream_config("stream configuration for create can not be sealed"));
        }
        let Times { now, unix } = request.times;
        if let Some(key) = self.key_of(name) {
            let known = &mut self.all[key];
            if known.config.asked() != config.asked() {
                return Err(ApiError::stream_name_exists());
            }
            let made = known.made(unix);
            return Ok(self.with_origins(key, made, now));
        }
        self.check_overlap(&config)?;
        self.check_account(&config)?;
        let stream = match self.shelf.create(self.account, config, unix) {
            Ok(stream) => stream,
            Err(error) if is_full(&error) => {
                self.notices.push(format!("Stream '{name}' is refused: {error}"));
                return Err(ApiError::insufficient_storage());
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                return Err(ApiError::stream_config(error.to_string()));
            }
            Err(error) => {
                let why = error.to_string();
                self.note(Err(error));
                return Err(ApiError::stream_config(why));
            }
        };
        let key = self.put(stream);
        self.happened(self.account, News::Stream { stream: name.to_owned(), action: "create" });
        let made = self.all[key].made(unix);
        let made = self.with_origins(key, made, now);
        self.relink();
        Ok(made)
    }

    fn check_overlap(&self, config: &StreamConfig) -> Result<(), ApiError> {
        let own = self.names().iter().filter(|(name, _)| **name != config.name);
        let others = own.filter_map(|(_, &key)| self.all.get(key));
        let taken = others
            .flat_map(|stream| &stream.config.subjects)
            .any(|theirs| config.subjects.iter().any(|own| overlap(own.as_bytes(), theirs.as_bytes())));
        if taken { Err(ApiError::subjects_overlap()) } else { Ok(()) }
    }

    fn update_stream(&mut self, name: &str, request: Request<'_>) -> Result<StreamInfo<'static>, ApiError> {
        self.check_stream_fields(request.payload)?;
        let config = StreamConfig::read(request.payload)?;
        if config.name != name {
            return Err(ApiError::stream_mismatch());
        }
        let mut config = config.settle()?;
        self.meet_origins(&mut config)?;
        if !self.ballast.is_held() {
            return Err(ApiError::insufficient_storage());
        }
        let key = self.key_of(name).ok_or_else(ApiError::stream_not_found)?;
        self.all[key].config.may_become(&config)?;
        config.seal();
        self.check_stream_size(&config)?;
        self.all[key].check_consumers(&config)?;
        self.check_overlap(&config)?;
        let (account, member) = (self.account, Member::Stream(key as u32));
        self.touch(key);
        let stream = &mut self.all[key];
        stream.maps = Maps::new(&config);
        stream.feeds.reconfigure(&config);
        stream.store.compress(config.is_compressed());
        let old = std::mem::replace(&mut stream.config, config);
        // What was without a limit before is limited as messages come, as by the real server.
        let lowered = (1..old.max_msgs_per_subject).contains(&stream.config.max_msgs_per_subject);
        stream.enforce_all(request.times.unix, lowered);
        self.changes.extend(
            old.subjects.into_iter().map(|old| SubjectChange::Remove((account, old.into_bytes()), member)),
        );
        let new = stream
            .config
            .subjects
            .iter()
            .map(|new| SubjectChange::Add((account, new.clone().into_bytes()), member));
        self.changes.extend(new);
        let saved = self.shelf.save(&self.all[key]);
        self.note(saved);
        self.relink();
        self.happened(self.account, News::Stream { stream: name.to_owned(), action: "modify" });
        let updated = self.all[key].updated(request.times.unix);
        Ok(self.with_origins(key, updated, request.times.now))
    }

    fn delete_stream(&mut self, name: &str) -> Result<serde_json::Value, ApiError> {
        let names = &mut self.by_name[self.account as usize];
        let key = names.remove(name).ok_or_else(ApiError::stream_not_found)?;
        let mut stream = self.all.remove(key);
        self.deadlines.remove(&(stream.deadline, key));
        for subject in &stream.config.subjects {
            self.changes.push(SubjectChange::Remove(
                (self.account, subject.clone().into_bytes()),
                Member::Stream(key as u32),
            ));
        }
        for consumer in stream.consumers.values_mut() {
            consumer.waiting.end_all(&mut self.outbox, 409, "Consumer Deleted");
            let (stream, consumer) = (name.to_owned(), consumer.name.clone());
            if self.listened[self.account as usize] {
                self.news.push((self.account, News::Consumer { stream, consumer, action: "delete" }));
            }
        }
        let removed = self.shelf.remove(stream);
        self.note(removed);
        self.hungry.remove(&key);
        self.relink();
        self.happened(self.account, News::Stream { stream: name.to_owned(), action: "delete" });
        Ok(serde_json::json!({ "success": true }))
    }

    /// What a request wants purged, of which stream.
    fn purge_of(&mut self, name: &str, request: Request<'_>) -> Result<(usize, Purge), ApiError> {
        let wish: PurgeRequest = json::read_as(request.payload)?;
        let key = self.key_of(name).ok_or_else(ApiError::stream_not_found)?;
        let stream = &mut self.all[key];
        if stream.config.sealed {
            return Err(ApiError::sealed());
        }
        if stream.config.deny_purge {
            return Err(ApiError::purge_failed("stream purge not permitted"));
        }
        if wish.seq > 0 && wish.keep > 0 {
            return Err(ApiError::bad_request());
        }
        let last = stream.store.books.last;
        if !wish.filter.is_empty() && wish.filter != ">" {
            let before = if wish.seq > 0 { wish.seq } else { last + 1 };
            return Ok((key, Purge::matching(stream, wish.filter.as_bytes(), (before, wish.keep))));
        }
        let first = if wish.keep > 0 {
            // The last `keep` messages stay, wherever holes are; the real server's memory counts sequences instead, and
            // purges more than it was asked to.
            stream.first_of_last(wish.keep)
        } else if wish.seq > 0 {
            // Beyond the end it is where the stream goes on.
            wish.seq.min(FURTHEST)
        } else {
            last + 1
        };
        Ok((key, Purge::before(first)))
    }

    fn stream_info(&mut self, name: &str, request: Request<'_>) {
        let leader = self.server_name.clone();
        let wish: Result<StreamInfoRequest, ApiError> = json::read_as(request.payload);
        let result = wish.and_then(|wish| {
            let key = self.key_of(name).ok_or_else(ApiError::stream_not_found)?;
            self.touch(key);
            let stream = &mut self.all[key];
            let asked = !wish.subjects_filter.is_empty();
            let total =
                if asked { stream.store.books.matching(wish.subjects_filter.as_bytes()).len() } else { 0 };
            let (offset, limit) = if total > 0 { (wish.offset, MAX_SUBJECTS) } else { (0, 0) };
            let info = stream.info(request.times.unix, (&leader, &wish));
            let info = self.with_origins(key, info, request.times.now);
            Ok(Paged { page: Page { total, offset, limit }, info })
        });
        self.reply(request, "stream_info", result);
    }

    /// Streams in the order of their names, from the offset on, whose subjects overlap the one that is asked for.
    fn chosen(&self, wish: &ListRequest) -> Vec<usize> {
        let likes = |key: &usize| {
            wish.subject.is_empty()
                || self.all[*key]
                    .config
                    .subjects
                    .iter()
                    .any(|own| overlap(own.as_bytes(), wish.subject.as_bytes()))
        };
        self.names().values().copied().filter(likes).collect()
    }

    fn stream_names(&mut self, request: Request<'_>) {
        let result = json::read_as::<ListRequest>(request.payload).map(|wish| {
            let chosen = self.chosen(&wish);
            let names: Vec<&str> = chosen.iter().skip(wish.offset).take(NAMES).map(|&key| &*self.all[key].config.name).collect();
            let streams = if names.is_empty() { serde_json::Value::Null } else { names.into() };
            serde_json::json!({ "total": chosen.len(), "offset": wish.offset, "limit": NAMES, "streams": streams })
        });
        self.reply(request, "stream_names", result);
    }

    fn stream_list(&mut self, request: Request<'_>) {
        let result = json::read_as::<ListRequest>(request.payload).map(|wish| {
            let chosen = self.chosen(&wish);
            let shown = chosen.iter().skip(wish.offset).take(LIST);
            let streams: Vec<StreamInfo<'_>> = shown
                .map(|&key| {
                    let listed = self.all[key].listed(request.times.unix);
                    self.with_origins(key, listed, request.times.now)
                })
                .collect();
            serde_json::json!({ "total": chosen.len(), "offset": wish.offset, "limit": LIST, "streams": streams })
        });
        self.reply(request, "stream_list", result);
    }
}
