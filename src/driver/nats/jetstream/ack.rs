//! What the server writes on its answers: the answer to a publish, and the reply subject of a delivery.

use async_nats::{Message, StatusCode};
use serde::Deserialize;

use crate::driver::Outcome;

/// How an answer begins that has nothing to complain about.
const GOOD_ANSWER: &[u8] = b"{\"stream\"";

/// The part of an answer to a publish that decides.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    error: Option<serde_json::Value>,
}

/// What an answer to a publish says. An answer that can't be read accepts nothing.
pub(super) fn outcome(message: &Message) -> Outcome {
    if message.status == Some(StatusCode::NO_RESPONDERS) {
        return Outcome::Rejected;
    }
    if message.payload.starts_with(GOOD_ANSWER) {
        return Outcome::Accepted;
    }
    match serde_json::from_slice(&message.payload) {
        Ok(Answer { error: None }) => Outcome::Accepted,
        Ok(Answer { error: Some(_) }) | Err(_) => Outcome::Rejected,
    }
}

/// Whether a delivery's reply subject says that it was delivered before:
/// `$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>`, and with
/// `<domain>.<account>` before the stream in the longer form.
pub(super) fn redelivered(reply: &str) -> bool {
    let tokens = reply.split('.').count();
    let delivered_at = if tokens > 9 { 6 } else { 4 };
    reply.split('.').nth(delivered_at).is_some_and(|delivered| delivered != "1")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(payload: &str, status: Option<StatusCode>) -> Message {
        Message {
            subject: "_INBOX.x.1".into(),
            reply: None,
            payload: payload.to_owned().into(),
            headers: None,
            status,
            description: None,
            length: payload.len(),
        }
    }

    #[test]
    fn answers_are_read_as_the_server_writes_them() {
        let accepted = [r#"{"stream":"busmark-bm", "seq":42}"#, r#"{"seq":1,"stream":"s","duplicate":true}"#];
        let rejected = [
            r#"{"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"},"stream":"s","seq":0}"#,
            "not json",
            "",
        ];
        for payload in accepted {
            assert_eq!(outcome(&answer(payload, None)), Outcome::Accepted, "{payload}");
        }
        for payload in rejected {
            assert_eq!(outcome(&answer(payload, None)), Outcome::Rejected, "{payload}");
        }
        assert_eq!(outcome(&answer("", Some(StatusCode::NO_RESPONDERS))), Outcome::Rejected);
    }

    #[test]
    fn a_second_delivery_is_seen_in_both_forms_of_the_reply_subject() {
        assert!(!redelivered("$JS.ACK.s.c.1.7.7.1700000000.0"));
        assert!(redelivered("$JS.ACK.s.c.2.7.8.1700000000.0"));
        assert!(!redelivered("$JS.ACK._.hash.s.c.1.7.7.1700000000.0.rand"));
        assert!(redelivered("$JS.ACK._.hash.s.c.3.7.9.1700000000.0"));
        assert!(!redelivered("nonsense"));
    }
}
