//! What the server writes on its answers: the answer to a publish, and the reply subject of a delivery.

use serde::Deserialize;

use crate::driver::runs::Runs;
use crate::driver::{AckRun, Outcome};
use crate::wire::nats::GOOD_ANSWER;

/// The server's word for an acknowledgement.
pub(super) const ACK: &[u8] = b"+ACK";

/// Status of an answer when nobody listens to a subject.
pub(super) const NO_RESPONDERS: u16 = 503;

/// The part of an answer to a publish that decides.
#[derive(Deserialize)]
struct Answer {
    #[serde(default)]
    error: Option<serde_json::Value>,
}

/// What an answer to a publish says. An answer that can't be read accepts nothing.
pub(super) fn outcome(status: Option<u16>, payload: &[u8]) -> Outcome {
    if status == Some(NO_RESPONDERS) {
        return Outcome::Rejected;
    }
    if payload.starts_with(GOOD_ANSWER) {
        return Outcome::Accepted;
    }
    match serde_json::from_slice(payload) {
        Ok(Answer { error: None }) => Outcome::Accepted,
        Ok(Answer { error: Some(_) }) | Err(_) => Outcome::Rejected,
    }
}

/// Whether a delivery's reply subject says that it was delivered before:
/// `$JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>`, and with
/// `<domain>.<account>` before the stream in the longer form.
pub(super) fn redelivered(reply: &[u8]) -> bool {
    let tokens = memchr::memchr_iter(b'.', reply).count() + 1;
    let delivered_at = if tokens > 9 { 6 } else { 4 };
    reply.split(|&byte| byte == b'.').nth(delivered_at).is_some_and(|delivered| delivered != b"1")
}

/// The numbers in a delivery's reply subject: the message's in the stream, and the delivery's at its consumer.
pub(super) fn sequences(reply: &[u8]) -> Option<(u64, u64)> {
    let tokens = memchr::memchr_iter(b'.', reply).count() + 1;
    let stream_at = if tokens > 9 { 7 } else { 5 };
    let mut numbers = reply
        .split(|&byte| byte == b'.')
        .skip(stream_at)
        .map(|token| std::str::from_utf8(token).ok().and_then(|text| text.parse::<u64>().ok()));
    Some((numbers.next()??, numbers.next()??))
}

/// Joins answers to consecutive messages with equal outcomes into runs.
pub(super) fn runs(answers: impl Iterator<Item = (u64, Outcome)>, each: &mut impl FnMut(AckRun)) {
    let mut runs = Runs::new(each);
    for (number, outcome) in answers {
        runs.add(number, outcome);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_as_the_server_writes_them() {
        let accepted = [r#"{"stream":"busmark-bm", "seq":42}"#, r#"{"seq":1,"stream":"s","duplicate":true}"#];
        let rejected = [
            r#"{"error":{"code":503,"err_code":10077,"description":"maximum bytes exceeded"},"stream":"s","seq":0}"#,
            "not json",
            "",
        ];
        for payload in accepted {
            assert_eq!(outcome(None, payload.as_bytes()), Outcome::Accepted, "{payload}");
        }
        for payload in rejected {
            assert_eq!(outcome(None, payload.as_bytes()), Outcome::Rejected, "{payload}");
        }
        assert_eq!(outcome(Some(503), b""), Outcome::Rejected);
    }

    #[test]
    fn a_second_delivery_is_seen_in_both_forms_of_the_reply_subject() {
        assert!(!redelivered(b"$JS.ACK.s.c.1.7.7.1700000000.0"));
        assert!(redelivered(b"$JS.ACK.s.c.2.7.8.1700000000.0"));
        assert!(!redelivered(b"$JS.ACK._.hash.s.c.1.7.7.1700000000.0.rand"));
        assert!(redelivered(b"$JS.ACK._.hash.s.c.3.7.9.1700000000.0"));
        assert!(!redelivered(b"nonsense"));
    }

    #[test]
    fn the_numbers_of_a_delivery_are_read_in_both_forms() {
        assert_eq!(sequences(b"$JS.ACK.s.c.1.70.7.1700000000.0"), Some((70, 7)));
        assert_eq!(sequences(b"$JS.ACK._.hash.s.c.1.70.8.1700000000.0.rand"), Some((70, 8)));
        assert_eq!(sequences(b"nonsense"), None);
    }

    #[test]
    fn consecutive_answers_with_equal_outcomes_become_one_run() {
        use Outcome::{Accepted, Rejected};
        let answers =
            [(4, Accepted), (5, Accepted), (6, Rejected), (7, Accepted), (9, Accepted), (8, Accepted)];
        let mut seen = Vec::new();
        runs(answers.into_iter(), &mut |run| seen.push((run.first, run.count, run.outcome)));
        assert_eq!(
            seen,
            [(4, 2, Accepted), (6, 1, Rejected), (7, 1, Accepted), (9, 1, Accepted), (8, 1, Accepted)]
        );
        runs([].into_iter(), &mut |_| panic!("there is no run in nothing"));
    }
}
