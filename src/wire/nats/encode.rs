//! Frames of both sides, appended to a buffer that the caller owns.

use super::options::ConnectOptions;
use crate::wire::resp::append_integer_digits;

/// Who and where to of a message; the sid is a server's, and empty in what clients send.
#[derive(Debug, Clone, Copy)]
pub struct MessageHead<'a> {
    /// Published to.
    pub subject: &'a [u8],
    /// The receiver's name for the subscription.
    pub sid: &'a [u8],
    /// Where answers go; empty if none are wanted.
    pub reply: &'a [u8],
    /// Bytes of the body that are headers; 0 sends MSG or PUB.
    pub header_length: usize,
}

#[inline]
fn append_frame(out: &mut Vec<u8>, verbs: [&[u8]; 2], head: MessageHead<'_>, body: &[u8]) {
    out.reserve(head.subject.len() + head.sid.len() + head.reply.len() + body.len() + 48);
    out.extend_from_slice(verbs[usize::from(head.header_length > 0)]);
    out.extend_from_slice(head.subject);
    out.push(b' ');
    if !head.sid.is_empty() {
        out.extend_from_slice(head.sid);
        out.push(b' ');
    }
    if !head.reply.is_empty() {
        out.extend_from_slice(head.reply);
        out.push(b' ');
    }
    if head.header_length > 0 {
        append_integer_digits(out, head.header_length as i64);
        out.push(b' ');
    }
    append_integer_digits(out, body.len() as i64);
    out.extend_from_slice(b"\r\n");
    out.extend_from_slice(body);
    out.extend_from_slice(b"\r\n");
}

/// Appends MSG or HMSG.
#[inline]
pub fn append_message(out: &mut Vec<u8>, head: MessageHead<'_>, body: &[u8]) {
    append_frame(out, [b"MSG ", b"HMSG "], head, body);
}

/// Appends PUB or HPUB; the head's sid must be empty.
#[inline]
pub fn append_publish(out: &mut Vec<u8>, head: MessageHead<'_>, body: &[u8]) {
    debug_assert!(head.sid.is_empty());
    append_frame(out, [b"PUB ", b"HPUB "], head, body);
}

/// Appends SUB; an empty queue is a plain subscription.
pub fn append_subscribe(out: &mut Vec<u8>, subject: &[u8], queue: &[u8], sid: &[u8]) {
    out.extend_from_slice(b"SUB ");
    for part in [subject, queue, sid].into_iter().filter(|part| !part.is_empty()) {
        out.extend_from_slice(part);
        out.push(b' ');
    }
    out.pop();
    out.extend_from_slice(b"\r\n");
}

/// Appends UNSUB; 0 is at once.
pub fn append_unsubscribe(out: &mut Vec<u8>, sid: &[u8], max: u64) {
    out.extend_from_slice(b"UNSUB ");
    out.extend_from_slice(sid);
    if max > 0 {
        out.push(b' ');
        out.extend_from_slice(max.to_string().as_bytes());
    }
    out.extend_from_slice(b"\r\n");
}

/// Appends CONNECT.
pub fn append_connect(out: &mut Vec<u8>, options: &ConnectOptions) {
    out.extend_from_slice(b"CONNECT ");
    let json = serde_json::to_vec(options).unwrap_or_else(|_| b"{}".to_vec());
    out.extend_from_slice(&json);
    out.extend_from_slice(b"\r\n");
}

/// Appends INFO; `json` must be one line.
pub fn append_info(out: &mut Vec<u8>, json: &[u8]) {
    out.extend_from_slice(b"INFO ");
    out.extend_from_slice(json);
    out.extend_from_slice(b" \r\n");
}

/// Appends `-ERR`.
pub fn append_error(out: &mut Vec<u8>, text: &str) {
    out.extend_from_slice(b"-ERR '");
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(b"'\r\n");
}
