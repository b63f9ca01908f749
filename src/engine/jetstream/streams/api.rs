//! The API: requests on `$JS.API.…`, each answered on its reply subject.

use super::consumer::Consumer;
use super::errors::ApiError;
use super::info::answer;
use super::news::News;
use super::{Everywhere, Interest, Streams, Times};
use crate::wire::nats::Publish;
use serde::Serialize;

/// An API request: what is left of the subject, and the message.
#[derive(Clone, Copy)]
pub(super) struct Request<'a> {
    pub(super) payload: &'a [u8],
    pub(super) reply: &'a [u8],
    pub(super) times: Times,
    subject: &'a str,
    account: u32,
    interest: Everywhere<'a>,
    /// Who asks, if that is to be told.
    client: Option<&'a serde_json::Value>,
}

/// Who asks, and what is known of the world then.
pub(in super::super) struct Caller<'a> {
    pub(in super::super) times: Times,
    pub(in super::super) interest: Everywhere<'a>,
    /// What is told of whoever asks, if somebody listens to that.
    pub(in super::super) client: Option<serde_json::Value>,
}

impl<'a> Request<'a> {
    /// What is left of a request that was taken before: where its answer goes.
    pub(super) fn left(reply: &'a [u8], times: Times) -> Self {
        let interest: Everywhere<'_> = &|_, _| Interest::Nobody;
        Self { payload: b"", reply, times, subject: "", account: 0, interest, client: None }
    }

    /// Whether somebody listens to a subject.
    pub(super) fn is_heard(&self, subject: &[u8]) -> bool {
        (self.interest)(self.account, subject) != Interest::Nobody
    }

    /// Whether a consumer has somebody to deliver to by itself.
    pub(super) fn is_bound(&self, consumer: &Consumer) -> bool {
        consumer.config.is_push() && self.is_heard(consumer.config.deliver_subject.as_bytes())
    }

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
    pub(in super::super) fn request(
        &mut self,
        account: u32,
        message: &Publish<'_>,
        caller: &Caller<'_>,
    ) -> bool {
        let times = caller.times;
        self.account = account;
        self.outbox.account = account;
        if let Some(rest) = message.subject.strip_prefix(b"$JS.ACK.") {
            return self.ack(rest, message, times);
        }
        if let Some(rest) = message.subject.strip_prefix(b"$JS.FC.") {
            return self.flow(rest, message);
        }
        let Ok(subject) = std::str::from_utf8(message.subject) else { return true };
        let Some(rest) = subject.strip_prefix("$JS.API.") else { return false };
        let request = Request {
            payload: message.payload(),
            reply: message.reply,
            times,
            subject,
            account,
            interest: caller.interest,
            client: caller.client.as_ref(),
        };
        self.dispatch(rest, request)
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
        let calls = &mut self.calls[self.account as usize];
        calls.total += 1;
        calls.errors += u64::from(result.is_err());
        let text = answer(kind, result);
        self.outbox.answer(request.reply, &text);
        if let Some(client) = request.client {
            let shown = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let (client, subject) = (client.clone(), request.subject.to_owned());
            let (request, response) = (shown(request.payload), shown(&text));
            self.happened(self.account, News::Request { client, subject, request, response });
        }
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
