//! The API of single messages.

use super::api::Request;
use super::direct::GetRequest;
use super::errors::ApiError;
use super::times::Time;
use super::{Streams, json};
use serde::Deserialize;

/// Which message is to go.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct DeleteRequest {
    seq: u64,
}

impl Streams {
    pub(super) fn message_get(&mut self, name: &str, request: Request<'_>) {
        let result = self.get_as_json(name, request);
        self.reply(request, "stream_msg_get", result);
    }

    fn get_as_json(&mut self, name: &str, request: Request<'_>) -> Result<serde_json::Value, ApiError> {
        let wish: GetRequest = json::read_as(request.payload)?;
        if !wish.asks_for_one() || wish.contradicts_itself() || wish.batch > 0 || wish.max_bytes > 0 {
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
}
