//! The API: requests on `$JS.API.…`, each answered on its reply subject.

use super::errors::ApiError;
use super::info::answer;
use super::{Streams, Times};
use crate::wire::nats::Publish;
use serde::Serialize;

/// An API request: what is left of the subject, and the message.
#[derive(Debug, Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) payload: &'a [u8],
    pub(super) reply: &'a [u8],
    pub(super) times: Times,
}

impl Request<'_> {
    /// Refuses a payload where none is expected; an empty object is none.
    pub(super) fn expect_empty(&self) -> Result<(), ApiError> {
        let empty = |value: serde_json::Value| value.as_object().is_some_and(serde_json::Map::is_empty);
        if self.payload.is_empty() || serde_json::from_slice(self.payload).is_ok_and(empty) {
            return Ok(());
        }
        Err(ApiError::payload_not_empty())
    }
}

impl Streams {
    /// Takes a message on a subject of [`super::API`]; whether anybody was there for it.
    pub(in super::super) fn request(&mut self, account: u32, message: &Publish<'_>, times: Times) -> bool {
        self.account = account;
        self.outbox.account = account;
        if let Some(rest) = message.subject.strip_prefix(b"$JS.ACK.") {
            return self.ack(rest, message, times);
        }
        if let Some(rest) = message.subject.strip_prefix(b"$JS.FC.") {
            return self.flow(rest, message);
        }
        let Some(subject) = message.subject.strip_prefix(b"$JS.API.") else { return false };
        let Ok(subject) = std::str::from_utf8(subject) else { return true };
        let request = Request { payload: message.payload(), reply: message.reply, times };
        self.dispatch(subject, request)
    }

    fn dispatch(&mut self, subject: &str, request: Request<'_>) -> bool {
        let mut split = subject.splitn(3, '.');
        let (area, verb) = (split.next().unwrap_or_default(), split.next().unwrap_or_default());
        let rest = split.next();
        if self.limits[self.account as usize].is_none() {
            return self.decline((area, verb, rest), request);
        }
        match (area, verb, rest) {
            ("CONSUMER", "MSG", Some(rest)) => {
                return match rest.strip_prefix("NEXT.").and_then(|rest| rest.split_once('.')) {
                    Some((stream, consumer)) => self.next(stream, consumer, request),
                    None => true,
                };
            }
            ("DIRECT", "GET", Some(rest)) => {
                let (stream, subject) = rest.split_once('.').map_or((rest, None), |(a, b)| (a, Some(b)));
                return self.direct_get(stream, subject, request);
            }
            _ => {}
        }
        self.api_calls += 1;
        match (area, verb, rest) {
            ("INFO", "", None) => self.account_info(request),
            ("STREAM", verb, rest) => self.stream_request(verb, rest, request),
            ("CONSUMER", verb, Some(rest)) => self.consumer_request(verb, rest, request),
            // The real server does not answer what it does not know.
            _ => {}
        }
        true
    }

    /// Answers for an account without streams; whether anybody was there for it.
    fn decline(&mut self, (area, verb, rest): (&str, &str, Option<&str>), request: Request<'_>) -> bool {
        let second = rest.and_then(|rest| rest.split('.').next()).unwrap_or_default();
        let kind = match (area, verb) {
            ("INFO", "") => "account_info".to_owned(),
            ("STREAM", "MSG") => format!("stream_msg_{}", second.to_ascii_lowercase()),
            ("CONSUMER", "DURABLE") => "consumer_create".to_owned(),
            ("CONSUMER", "MSG") => return false,
            ("STREAM" | "CONSUMER", verb) => format!("{area}_{verb}").to_ascii_lowercase(),
            _ => return false,
        };
        self.api_calls += 1;
        self.reply(request, &kind, Err::<(), _>(ApiError::not_enabled()));
        true
    }

    /// Answers a request.
    pub(super) fn reply<T: Serialize>(
        &mut self,
        request: Request<'_>,
        kind: &str,
        result: Result<T, ApiError>,
    ) {
        self.api_errors += u64::from(result.is_err());
        self.outbox.answer(request.reply, &answer(kind, result));
    }

    fn account_info(&mut self, request: Request<'_>) {
        let own = || self.names().values().filter_map(|&key| self.all.get(key));
        let consumers: usize = own().map(|stream| stream.consumers.len()).sum();
        let account = Some(self.account);
        let (memory, storage) = (self.used(account, false), self.used(account, true));
        let reserved = |file: bool| self.reserved(account, file);
        let limits = self.limits[self.account as usize].clone().unwrap_or_default();
        let limit = |limit: Option<u64>, whole: Option<u64>| limit.or(whole).map_or(-1, |limit| limit as i64);
        let info = serde_json::json!({
            "memory": memory, "storage": storage,
            "reserved_memory": reserved(false), "reserved_storage": reserved(true),
            "streams": own().count(), "consumers": consumers,
            "limits": {
                "max_memory": limit(limits.max_memory, self.settings.max_memory),
                "max_storage": limit(limits.max_file, self.settings.max_file),
                "max_streams": limit(limits.max_streams, None), "max_consumers": limit(limits.max_consumers, None),
                "max_ack_pending": -1,
                "memory_max_stream_bytes": -1, "storage_max_stream_bytes": -1, "max_bytes_required": false,
            },
            "api": { "level": 1, "total": self.api_calls - 1, "errors": self.api_errors },
        });
        self.reply(request, "account_info", Ok(info));
    }
}

impl Streams {
    /// Bytes that streams of an account, or all, have asked to be kept for them.
    pub(super) fn reserved(&self, account: Option<u32>, file: bool) -> u64 {
        let all = self.all.iter().map(|(_, stream)| stream);
        let counted = all.filter(|stream| {
            account.is_none_or(|account| stream.account == account) && stream.store.is_file() == file
        });
        counted.map(|stream| u64::try_from(stream.config.max_bytes).unwrap_or(0)).sum()
    }
}

/// The part of a list that one answer holds.
#[derive(Debug, Serialize)]
pub(super) struct Page {
    pub(super) total: usize,
    pub(super) offset: usize,
    pub(super) limit: usize,
}

/// What asks for a list.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct ListRequest {
    pub(super) offset: usize,
    pub(super) subject: String,
}
