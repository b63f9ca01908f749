//! The API of single messages.

use super::api::Request;
use super::errors::ApiError;
use super::pull::plain_status;
use super::stream::Stream;
use super::times::Time;
use super::{Streams, json, outbox::Letter};
use crate::wire::nats::subject::matches;
use crate::wire::nats::{append_header, begin_headers, end_headers};
use serde::Deserialize;

/// Which message is asked for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct GetRequest {
    seq: u64,
    last_by_subj: String,
    next_by_subj: String,
    batch: u64,
    multi_last: Vec<String>,
    start_time: Option<Time>,
}

impl GetRequest {
    /// Whether it asks for more than one message, which this engine can't give.
    fn is_batch(&self) -> bool {
        self.batch > 0 || !self.multi_last.is_empty() || self.start_time.is_some()
    }
}

/// Which message is to go.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct DeleteRequest {
    seq: u64,
}

impl Stream {
    fn wanted(&mut self, wish: &GetRequest) -> Option<u64> {
        if !wish.last_by_subj.is_empty() {
            return self.last_matching(wish.last_by_subj.as_bytes());
        }
        if !wish.next_by_subj.is_empty() {
            let pattern = wish.next_by_subj.as_bytes();
            return self.store.next(wish.seq, |subject| matches(pattern, subject));
        }
        self.store.get(wish.seq).map(|message| message.sequence)
    }
}

impl Streams {
    pub(super) fn message_get(&mut self, name: &str, request: Request<'_>) {
        let result = self.get_as_json(name, request);
        self.reply(request, "stream_msg_get", result);
    }

    fn get_as_json(&mut self, name: &str, request: Request<'_>) -> Result<serde_json::Value, ApiError> {
        let wish: GetRequest = json::read_as(request.payload)?;
        let asks = wish.seq > 0 || !wish.last_by_subj.is_empty() || !wish.next_by_subj.is_empty();
        if !asks || wish.is_batch() || (!wish.last_by_subj.is_empty() && wish.seq > 0) {
            return Err(ApiError::bad_request());
        }
        let stream = self.find(name).ok_or_else(ApiError::stream_not_found)?;
        let found = stream.wanted(&wish).and_then(|sequence| stream.store.get(sequence));
        let message = found.ok_or_else(ApiError::no_message_found)?;
        let mut shown = serde_json::json!({
            "subject": String::from_utf8_lossy(message.subject), "seq": message.sequence,
        });
        if message.header_length > 0 {
            shown["hdrs"] = json::base64(message.headers()).into();
        }
        if !message.payload().is_empty() {
            shown["data"] = json::base64(message.payload()).into();
        }
        shown["time"] = Time(message.time).text().into();
        Ok(serde_json::json!({ "message": shown }))
    }

    pub(super) fn message_delete(&mut self, name: &str, request: Request<'_>) {
        let result = json::read_as::<DeleteRequest>(request.payload).and_then(|wish| {
            let stream = self.find(name).ok_or_else(ApiError::stream_not_found)?;
            if stream.config.sealed {
                return Err(ApiError::sealed());
            }
            if stream.config.deny_delete {
                return Err(ApiError::delete_failed("message delete not permitted"));
            }
            if !stream.remove(wish.seq) {
                return Err(stream.why_not_there(wish.seq));
            }
            Ok(serde_json::json!({ "success": true }))
        });
        self.reply(request, "stream_msg_delete", result);
    }

    /// Answers with the message itself; whether the stream allows that.
    pub(super) fn direct_get(&mut self, name: &str, subject: Option<&str>, request: Request<'_>) -> bool {
        let Some(key) = self.key_of(name) else { return false };
        self.touch(key);
        let stream = &mut self.all[key];
        if !stream.config.allow_direct {
            return false;
        }
        let wish = match subject {
            Some(subject) => Some(GetRequest { last_by_subj: subject.to_owned(), ..GetRequest::default() }),
            None => json::read_as::<GetRequest>(request.payload).ok().filter(|_| !request.payload.is_empty()),
        };
        let Some(wish) = wish else {
            plain_status(&mut self.outbox, request.reply, 408, "Empty Request");
            return true;
        };
        if wish.is_batch() {
            plain_status(&mut self.outbox, request.reply, 408, "Batch Requests Are Not Supported");
            return true;
        }
        let found = stream.wanted(&wish).and_then(|sequence| stream.store.get(sequence));
        let Some(message) = found else {
            plain_status(&mut self.outbox, request.reply, 404, "Message Not Found");
            return true;
        };
        let mut headers = Vec::with_capacity(192 + message.header_length);
        match message.headers().strip_suffix(b"\r\n") {
            Some(own) => headers.extend_from_slice(own),
            None => begin_headers(&mut headers),
        }
        append_header(&mut headers, "Nats-Stream", name.as_bytes());
        append_header(&mut headers, "Nats-Subject", message.subject);
        append_header(&mut headers, "Nats-Sequence", message.sequence.to_string().as_bytes());
        append_header(&mut headers, "Nats-Time-Stamp", Time(message.time).text().as_bytes());
        end_headers(&mut headers);
        let to = request.reply;
        self.outbox.send(&Letter {
            to,
            subject: to,
            reply: b"",
            headers: &headers,
            payload: message.payload(),
        });
        true
    }
}
