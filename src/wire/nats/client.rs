//! What clients send, read as nats-server 2.11 reads it.

use super::Parsed;
use super::line::{arguments, has_verb, line, may_become, size};

/// What a connection may send.
#[derive(Debug, Clone, Copy)]
pub struct ClientLimits {
    /// Bytes of a control line's arguments.
    pub max_control_line: usize,
    /// Bytes of headers and payload together.
    pub max_payload: usize,
}

impl Default for ClientLimits {
    fn default() -> Self {
        Self { max_control_line: super::MAX_CONTROL_LINE, max_payload: super::MAX_PAYLOAD }
    }
}

/// A message as published.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Publish<'a> {
    /// Where to, as sent; not checked.
    pub subject: &'a [u8],
    /// Where answers go; empty if none are wanted.
    pub reply: &'a [u8],
    /// Bytes of `body` that are headers; 0 for PUB.
    pub header_length: usize,
    /// Headers, then payload.
    pub body: &'a [u8],
}

impl<'a> Publish<'a> {
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

/// An operation of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientOp<'a> {
    /// CONNECT with its JSON, not parsed.
    Connect(&'a [u8]),
    /// PUB or HPUB.
    Publish(Publish<'a>),
    /// SUB; the queue is empty for plain subscriptions.
    Subscribe {
        /// The pattern, not checked.
        subject: &'a [u8],
        /// The queue group.
        queue: &'a [u8],
        /// The client's name for it.
        sid: &'a [u8],
    },
    /// UNSUB, at once or after `max` messages in all.
    Unsubscribe {
        /// The client's name for the subscription.
        sid: &'a [u8],
        /// 0 is at once.
        max: u64,
    },
    /// PING.
    Ping,
    /// PONG.
    Pong,
    /// `-ERR`: the client gives up.
    Error,
    /// `+OK` and INFO mean nothing from a client.
    Ignored,
}

/// Why the bytes are no operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// No verb that exists, or a payload that does not end with CRLF.
    #[error("Unknown Protocol Operation")]
    UnknownOperation,
    /// A control line longer than allowed.
    #[error("maximum control line exceeded")]
    ControlLine,
    /// A message larger than allowed.
    #[error("Maximum Payload Violation")]
    Payload,
    /// Arguments that make no sense; the server closes without a word.
    #[error("malformed arguments")]
    Arguments,
}

const VERBS: [&[u8]; 9] = [b"PUB", b"HPUB", b"SUB", b"UNSUB", b"PING", b"PONG", b"CONNECT", b"INFO", b"+OK"];
/// Verbs whose arguments need white space before them.
const APART: [&[u8]; 4] = [b"PUB", b"HPUB", b"SUB", b"UNSUB"];
const MINUS_ERR: &[u8] = b"-ERR";

/// Reads the operation that `buf` begins with.
///
/// # Errors
/// The stream is broken beyond repair: answer what the error says, and close.
#[inline]
pub fn parse_client(buf: &[u8], limits: ClientLimits) -> Result<Parsed<ClientOp<'_>>, ClientError> {
    let Some((text, next)) = line(buf) else {
        return unfinished(buf, limits);
    };
    if has_verb(text, b"PUB") && text.get(3).is_some_and(is_space) {
        return publish(buf, &text[4..], next, limits);
    }
    other(buf, text, next, limits)
}

fn is_space(byte: &u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// A line without an end: may it become one?
fn unfinished(buf: &[u8], limits: ClientLimits) -> Result<Parsed<ClientOp<'_>>, ClientError> {
    let verb = VERBS.iter().chain([&MINUS_ERR]).find(|verb| may_become(buf, verb));
    let Some(verb) = verb else { return Err(ClientError::UnknownOperation) };
    if APART.contains(verb) && buf.get(verb.len()).is_some_and(|byte| !is_space(byte) && *byte != b'\r') {
        return Err(ClientError::UnknownOperation);
    }
    if buf.len() > verb.len() + 2 + limits.max_control_line {
        return Err(ClientError::ControlLine);
    }
    Ok(Parsed::Partial(buf.len() + 1))
}

fn other<'a>(
    buf: &'a [u8],
    text: &'a [u8],
    next: usize,
    limits: ClientLimits,
) -> Result<Parsed<ClientOp<'a>>, ClientError> {
    // Verbs that are prefixes of others don't exist here, so the first hit is the one.
    let verb = VERBS.iter().chain([&MINUS_ERR]).find(|verb| has_verb(text, verb));
    let Some(&verb) = verb else { return Err(ClientError::UnknownOperation) };
    let rest = &text[verb.len()..];
    if APART.contains(&verb) && !rest.first().is_some_and(is_space) {
        return Err(ClientError::UnknownOperation);
    }
    if rest.len() > limits.max_control_line + 1 {
        return Err(ClientError::ControlLine);
    }
    let op = match verb {
        b"HPUB" => return publish_with_headers(buf, rest, next, limits),
        b"SUB" => subscribe(rest)?,
        b"UNSUB" => unsubscribe(rest)?,
        b"PING" => ClientOp::Ping,
        b"PONG" => ClientOp::Pong,
        b"CONNECT" => ClientOp::Connect(rest.trim_ascii()),
        b"-ERR" => ClientOp::Error,
        _ => ClientOp::Ignored,
    };
    Ok(Parsed::Whole(op, next))
}

fn subscribe(rest: &[u8]) -> Result<ClientOp<'_>, ClientError> {
    match arguments(rest) {
        Some(([subject, sid, ..], 2)) => Ok(ClientOp::Subscribe { subject, queue: b"", sid }),
        Some(([subject, queue, sid, _], 3)) => Ok(ClientOp::Subscribe { subject, queue, sid }),
        _ => Err(ClientError::Arguments),
    }
}

fn unsubscribe(rest: &[u8]) -> Result<ClientOp<'_>, ClientError> {
    match arguments(rest) {
        Some(([sid, ..], 1)) => Ok(ClientOp::Unsubscribe { sid, max: 0 }),
        // A number that is none unsubscribes at once, as 0 does.
        Some(([sid, max, ..], 2)) => Ok(ClientOp::Unsubscribe { sid, max: size(max).unwrap_or(0) as u64 }),
        _ => Err(ClientError::Arguments),
    }
}

#[inline]
fn publish<'a>(
    buf: &'a [u8],
    rest: &'a [u8],
    next: usize,
    limits: ClientLimits,
) -> Result<Parsed<ClientOp<'a>>, ClientError> {
    if rest.len() > limits.max_control_line {
        return Err(ClientError::ControlLine);
    }
    let (subject, reply, length) = match arguments(rest) {
        Some(([subject, length, ..], 2)) => (subject, &b""[..], length),
        Some(([subject, reply, length, _], 3)) => (subject, reply, length),
        _ => return Err(ClientError::Arguments),
    };
    let length = size(length).ok_or(ClientError::Arguments)?;
    body(buf, Publish { subject, reply, header_length: 0, body: b"" }, (next, length), limits)
}

fn publish_with_headers<'a>(
    buf: &'a [u8],
    rest: &'a [u8],
    next: usize,
    limits: ClientLimits,
) -> Result<Parsed<ClientOp<'a>>, ClientError> {
    let (subject, reply, header, total) = match arguments(rest) {
        Some(([subject, header, total, _], 3)) => (subject, &b""[..], header, total),
        Some(([subject, reply, header, total], 4)) => (subject, reply, header, total),
        _ => return Err(ClientError::Arguments),
    };
    let header_length = size(header).ok_or(ClientError::Arguments)?;
    let total = size(total).ok_or(ClientError::Arguments)?;
    if header_length > total {
        return Err(ClientError::Arguments);
    }
    body(buf, Publish { subject, reply, header_length, body: b"" }, (next, total), limits)
}

/// Completes a message whose body of `length` bytes begins at `next`.
#[inline]
fn body<'a>(
    buf: &'a [u8],
    publish: Publish<'a>,
    (next, length): (usize, usize),
    limits: ClientLimits,
) -> Result<Parsed<ClientOp<'a>>, ClientError> {
    if length > limits.max_payload {
        return Err(ClientError::Payload);
    }
    let end = next + length;
    match buf.get(end..end + 2) {
        Some(b"\r\n") => {
            Ok(Parsed::Whole(ClientOp::Publish(Publish { body: &buf[next..end], ..publish }), end + 2))
        }
        Some(_) => Err(ClientError::UnknownOperation),
        None if buf.get(end).is_some_and(|&byte| byte != b'\r') => Err(ClientError::UnknownOperation),
        None => Ok(Parsed::Partial(end + 2)),
    }
}
