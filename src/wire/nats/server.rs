//! What servers send, for drivers.

use super::Parsed;
use super::line::{arguments, has_verb, line, may_become, size};

/// Longest control line taken from a server: INFO lists the servers of a cluster.
const MAX_LINE: usize = 1024 * 1024;

/// A message as delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Message<'a> {
    /// What it was published to.
    pub subject: &'a [u8],
    /// Our name for the subscription.
    pub sid: &'a [u8],
    /// Where answers (for JetStream: acknowledgements) go; empty if none are wanted.
    pub reply: &'a [u8],
    /// Bytes of `body` that are headers.
    pub header_length: usize,
    /// Headers, then payload.
    pub body: &'a [u8],
}

impl<'a> Message<'a> {
    /// The headers' block, or nothing.
    #[must_use]
    pub fn headers(&self) -> &'a [u8] {
        &self.body[..self.header_length]
    }

    /// What follows the headers.
    #[must_use]
    pub fn payload(&self) -> &'a [u8] {
        &self.body[self.header_length..]
    }
}

/// An operation of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerOp<'a> {
    /// INFO with its JSON, not parsed.
    Info(&'a [u8]),
    /// MSG or HMSG.
    Message(Message<'a>),
    /// PING: answer PONG.
    Ping,
    /// PONG.
    Pong,
    /// `+OK`, in verbose mode.
    Ok,
    /// `-ERR`, its text without quotes.
    Error(&'a [u8]),
}

/// Why the bytes are no operation of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ServerError {
    /// No verb that exists, or a payload that does not end with CRLF.
    #[error("the server sent something that is not NATS")]
    UnknownOperation,
    /// Arguments that make no sense.
    #[error("the server sent a message with malformed arguments")]
    Arguments,
}

const VERBS: [&[u8]; 7] = [b"MSG", b"HMSG", b"PING", b"PONG", b"+OK", b"-ERR", b"INFO"];

/// Reads the operation that `buf` begins with.
///
/// # Errors
/// The stream is broken beyond repair: close it.
#[inline]
pub fn parse_server(buf: &[u8]) -> Result<Parsed<ServerOp<'_>>, ServerError> {
    let Some((text, next)) = line(buf) else {
        let possible = buf.len() <= MAX_LINE && VERBS.iter().any(|verb| may_become(buf, verb));
        return if possible {
            Ok(Parsed::Partial(buf.len() + 1))
        } else {
            Err(ServerError::UnknownOperation)
        };
    };
    if has_verb(text, b"MSG ") {
        return message(buf, &text[4..], next);
    }
    let verb = VERBS.iter().find(|verb| has_verb(text, verb)).ok_or(ServerError::UnknownOperation)?;
    let rest = text[verb.len()..].trim_ascii();
    let op = match *verb {
        b"HMSG" => return message_with_headers(buf, rest, next),
        b"PING" => ServerOp::Ping,
        b"PONG" => ServerOp::Pong,
        b"+OK" => ServerOp::Ok,
        b"INFO" => ServerOp::Info(rest),
        b"-ERR" => ServerOp::Error(unquoted(rest)),
        _ => return Err(ServerError::Arguments),
    };
    Ok(Parsed::Whole(op, next))
}

fn unquoted(text: &[u8]) -> &[u8] {
    text.strip_prefix(b"'").and_then(|text| text.strip_suffix(b"'")).unwrap_or(text)
}

fn message<'a>(buf: &'a [u8], rest: &'a [u8], next: usize) -> Result<Parsed<ServerOp<'a>>, ServerError> {
    let (subject, sid, reply, length) = match arguments(rest) {
        Some(([subject, sid, length, _], 3)) => (subject, sid, &b""[..], length),
        Some(([subject, sid, reply, length], 4)) => (subject, sid, reply, length),
        _ => return Err(ServerError::Arguments),
    };
    let length = size(length).ok_or(ServerError::Arguments)?;
    body(buf, Message { subject, sid, reply, header_length: 0, body: b"" }, (next, length))
}

fn message_with_headers<'a>(
    buf: &'a [u8],
    rest: &'a [u8],
    next: usize,
) -> Result<Parsed<ServerOp<'a>>, ServerError> {
    // Five arguments at most: the total is taken off the end first.
    let cut = rest.iter().rposition(|byte| matches!(byte, b' ' | b'\t')).ok_or(ServerError::Arguments)?;
    let total = size(&rest[cut + 1..]).ok_or(ServerError::Arguments)?;
    let (subject, sid, reply, header) = match arguments(&rest[..cut]) {
        Some(([subject, sid, header, _], 3)) => (subject, sid, &b""[..], header),
        Some(([subject, sid, reply, header], 4)) => (subject, sid, reply, header),
        _ => return Err(ServerError::Arguments),
    };
    let header_length = size(header).filter(|&length| length <= total).ok_or(ServerError::Arguments)?;
    body(buf, Message { subject, sid, reply, header_length, body: b"" }, (next, total))
}

#[inline]
fn body<'a>(
    buf: &'a [u8],
    message: Message<'a>,
    (next, length): (usize, usize),
) -> Result<Parsed<ServerOp<'a>>, ServerError> {
    let end = next + length;
    match buf.get(end..end + 2) {
        Some(b"\r\n") => {
            Ok(Parsed::Whole(ServerOp::Message(Message { body: &buf[next..end], ..message }), end + 2))
        }
        Some(_) => Err(ServerError::UnknownOperation),
        None if buf.get(end).is_some_and(|&byte| byte != b'\r') => Err(ServerError::UnknownOperation),
        None => Ok(Parsed::Partial(end + 2)),
    }
}
