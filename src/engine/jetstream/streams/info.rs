//! What the API says of streams and consumers, in the order of nats-server's fields.

use super::consumer::{Consumer, Position};
use super::consumer_config::ConsumerConfig;
use super::errors::ApiError;
use super::origins::Mapping;
use super::priority::GroupState;
use super::stream::Stream;
use super::stream_config::StreamConfig;
use super::times::Time;
use serde::Serialize;
use std::collections::BTreeMap;

/// Most sequences listed as deleted.
const MAX_DELETED: usize = 100_000;
/// Most subjects listed in one answer.
pub(super) const MAX_SUBJECTS: usize = 100_000;

/// A whole answer: its type, then an error or what was asked for.
#[derive(Debug, Serialize)]
pub(super) struct Answer<T: Serialize> {
    r#type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<ApiError>,
    #[serde(flatten)]
    content: Option<T>,
}

/// An answer as bytes.
pub(super) fn answer<T: Serialize>(kind: &str, result: Result<T, ApiError>) -> Vec<u8> {
    let r#type = format!("io.nats.jetstream.api.v1.{kind}_response");
    let answer = match result {
        Ok(content) => Answer { r#type, error: None, content: Some(content) },
        Err(error) => {
            let answer = Answer { r#type, error: Some(error), content: beside_error(kind) };
            return serde_json::to_vec(&answer).unwrap_or_default();
        }
    };
    serde_json::to_vec(&answer).unwrap_or_default()
}

/// What stands beside an error where a list or a count was asked for.
fn beside_error(kind: &str) -> Option<serde_json::Value> {
    let list = match kind {
        "stream_names" => serde_json::json!({ "streams": null }),
        "stream_list" => serde_json::json!({ "streams": [] }),
        "consumer_names" | "consumer_list" => serde_json::json!({ "consumers": [] }),
        "consumer_pause" => {
            return Some(serde_json::json!({ "paused": false, "pause_until": Time(0).text() }));
        }
        "stream_info" => serde_json::json!({}),
        "stream_purge" => return Some(serde_json::json!({ "purged": 0 })),
        _ => return None,
    };
    let mut page = serde_json::json!({ "total": 0, "offset": 0, "limit": 0 });
    if let (Some(page), serde_json::Value::Object(list)) = (page.as_object_mut(), list) {
        page.extend(list);
    }
    Some(page)
}

/// A time as the API writes it.
pub(super) fn stamped(unix: u64) -> serde_json::Value {
    Time(unix).text().into()
}

/// The state of a stream.
#[derive(Debug, Serialize)]
pub(super) struct State {
    messages: u64,
    bytes: u64,
    first_seq: u64,
    first_ts: Time,
    last_seq: u64,
    last_ts: Time,
    #[serde(skip_serializing_if = "is_none")]
    num_subjects: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    subjects: Option<BTreeMap<String, u64>>,
    #[serde(skip_serializing_if = "is_zero")]
    num_deleted: u64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    deleted: Vec<u64>,
    consumer_count: usize,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_none(value: &usize) -> bool {
    *value == 0
}

use super::stream_config::is_zero;

/// What is asked of a stream's details.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct StreamInfoRequest {
    pub(super) subjects_filter: String,
    pub(super) deleted_details: bool,
    pub(super) offset: usize,
}

#[derive(Debug, Serialize)]
struct Leader<'a> {
    leader: &'a str,
}

/// A stream, as CREATE, UPDATE, INFO and LIST show it.
#[derive(Debug, Serialize)]
pub(super) struct StreamInfo<'a> {
    config: StreamConfig,
    created: Time,
    state: State,
    #[serde(skip_serializing_if = "Option::is_none")]
    cluster: Option<Leader<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mirror: Option<OriginInfo>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) sources: Vec<OriginInfo>,
    ts: Time,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    did_create: bool,
}

/// How far a stream has come with one that it takes messages from.
#[derive(Debug, Serialize)]
pub(super) struct OriginInfo {
    pub(super) name: String,
    pub(super) lag: u64,
    /// Nanoseconds since it was last heard of; -1 is never.
    pub(super) active: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<ApiError>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) filter_subject: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) subject_transforms: Vec<Mapping>,
}

impl Stream {
    fn state(&mut self, request: &StreamInfoRequest) -> State {
        let books = &self.store.books;
        let empty = books.messages == 0;
        // A stream that never had a message shows no sequence, unless it was purged.
        let (first, last) = (books.first, books.last);
        let spread = if empty { 0 } else { last + 1 - first };
        let num_deleted = spread.saturating_sub(books.messages);
        let subjects = (!request.subjects_filter.is_empty()).then(|| {
            let mut all = books.matching(request.subjects_filter.as_bytes());
            if all.len() > MAX_SUBJECTS || request.offset > 0 {
                all.sort_unstable();
            }
            let page = all.into_iter().skip(request.offset).take(MAX_SUBJECTS);
            page.map(|(name, count)| (String::from_utf8_lossy(name).into_owned(), count)).collect()
        });
        let subjects = subjects.filter(|page: &BTreeMap<String, u64>| !page.is_empty());
        let mut state = State {
            messages: books.messages,
            bytes: books.bytes,
            first_seq: if empty && last == 0 && !self.purged { 0 } else { first },
            first_ts: Time(books.first_time),
            last_seq: last,
            last_ts: Time(books.last_time),
            num_subjects: books.subject_count(),
            subjects,
            num_deleted,
            deleted: Vec::new(),
            consumer_count: self.consumers.len(),
        };
        if request.deleted_details && num_deleted > 0 {
            state.deleted =
                (first..=last).filter(|&at| self.store.get(at).is_none()).take(MAX_DELETED).collect();
        }
        state
    }

    /// As CREATE and UPDATE show it.
    pub(super) fn made(&mut self, unix: u64) -> StreamInfo<'static> {
        let state = self.state(&StreamInfoRequest::default());
        StreamInfo {
            config: self.config.clone(),
            created: Time(self.created),
            state,
            cluster: None,
            mirror: None,
            sources: Vec::new(),
            ts: Time(unix),
            did_create: true,
        }
    }

    /// As UPDATE shows it.
    pub(super) fn updated(&mut self, unix: u64) -> StreamInfo<'static> {
        StreamInfo { did_create: false, ..self.made(unix) }
    }

    /// As LIST shows it: without what the server adds when it is asked for one stream.
    pub(super) fn listed(&mut self, unix: u64) -> StreamInfo<'static> {
        let mut info = self.updated(unix);
        info.config.metadata.retain(|key, _| !matches!(key.as_str(), "_nats.level" | "_nats.ver"));
        info
    }

    /// As INFO shows it.
    pub(super) fn info<'a>(
        &mut self,
        unix: u64,
        (leader, request): (&'a str, &StreamInfoRequest),
    ) -> StreamInfo<'a> {
        StreamInfo {
            config: self.config.clone(),
            created: Time(self.created),
            state: self.state(request),
            cluster: Some(Leader { leader }),
            mirror: None,
            sources: Vec::new(),
            ts: Time(unix),
            did_create: false,
        }
    }
}

#[derive(Debug, Serialize)]
struct Reached {
    consumer_seq: u64,
    stream_seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_active: Option<Time>,
}

impl From<Position> for Reached {
    fn from(position: Position) -> Self {
        let last_active = (position.time > 0).then_some(Time(position.time));
        Self { consumer_seq: position.delivery, stream_seq: position.stream, last_active }
    }
}

/// A consumer, as CREATE, INFO and LIST show it.
#[derive(Debug, Serialize)]
pub(super) struct ConsumerInfo {
    stream_name: String,
    name: String,
    created: Time,
    config: ConsumerConfig,
    delivered: Reached,
    ack_floor: Reached,
    num_ack_pending: usize,
    num_redelivered: usize,
    num_waiting: usize,
    num_pending: u64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    push_bound: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    paused: bool,
    #[serde(skip_serializing_if = "is_zero")]
    pause_remaining: u64,
    ts: Time,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    priority_groups: Vec<GroupState>,
}

impl Consumer {
    /// What is shown of it.
    pub(super) fn info(&self, stream: &str, unix: u64, push_bound: bool) -> ConsumerInfo {
        ConsumerInfo {
            stream_name: stream.to_owned(),
            name: self.name.clone(),
            created: Time(self.created),
            config: self.config.clone(),
            delivered: self.delivered.into(),
            ack_floor: self.floor.into(),
            num_ack_pending: self.pending.len(),
            num_redelivered: self.deliveries.len(),
            num_waiting: self.waiting.len(),
            num_pending: self.outstanding,
            push_bound,
            paused: self.pause_remaining(unix) > 0,
            pause_remaining: self.pause_remaining(unix),
            ts: Time(unix),
            priority_groups: self.groups(),
        }
    }
}
