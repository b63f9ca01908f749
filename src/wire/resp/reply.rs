//! Replies and pushes as a client reads them.

use super::line::{short_length, strict_i64};
use super::{MAX_BULK, MAX_LINE};
use memchr::memchr;

/// Values nested in one reply that are read before it is taken for an attack.
const MAX_VALUES: u64 = 1 << 26;

/// One reply or push, borrowed from the buffer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reply<'a> {
    /// `:1`
    Integer(i64),
    /// `+OK`
    Simple(&'a [u8]),
    /// `-ERR …`, or RESP3's `!` bulk error; without the mark.
    Error(&'a [u8]),
    /// `$…`; RESP3's verbatim strings too, with their format in front.
    Bulk(&'a [u8]),
    /// `$-1`, `*-1`, `_`
    Null,
    /// `#t`
    Boolean(bool),
    /// `,1.5` or `(123…`: the text of the number.
    Number(&'a [u8]),
    /// `*`, `~` or `%`.
    Array(Items<'a>),
    /// `>`, other than the messages below.
    Push(Items<'a>),
    /// A message from a channel subscription (as a RESP2 array or a RESP3 push).
    Message {
        /// Where it was published.
        channel: &'a [u8],
        /// What was published.
        payload: &'a [u8],
    },
    /// A message from a pattern subscription.
    PatternMessage {
        /// The pattern subscribed to.
        pattern: &'a [u8],
        /// Where it was published.
        channel: &'a [u8],
        /// What was published.
        payload: &'a [u8],
    },
    /// A message from a shard channel subscription.
    ShardMessage {
        /// Where it was published.
        channel: &'a [u8],
        /// What was published.
        payload: &'a [u8],
    },
}

/// The bytes are no reply; the connection is of no use any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// A value that begins with no type mark of RESP.
    #[error("unknown RESP type mark {0:#04x}")]
    UnknownType(u8),
    /// A length or number that is none.
    #[error("malformed RESP number or length")]
    Number,
    /// A line, string or nesting beyond all limits.
    #[error("RESP value too large")]
    TooLarge,
}

/// The values of an aggregate, in order; keys and values of a map alternate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Items<'a> {
    body: &'a [u8],
    count: usize,
}

impl<'a> Items<'a> {
    /// How many values are left.
    #[must_use]
    pub fn len(&self) -> usize {
        self.count
    }

    /// Whether none is left.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }
}

impl<'a> Iterator for Items<'a> {
    type Item = Reply<'a>;

    fn next(&mut self) -> Option<Reply<'a>> {
        self.count = self.count.checked_sub(1)?;
        // The scan that made this has walked all values already, so none is incomplete or broken.
        let (reply, length) = scan(self.body).ok()??;
        self.body = &self.body[length..];
        Some(reply)
    }
}

/// Reads the reply or push that `buf` begins with, and how many bytes it takes. `None`: not whole yet.
///
/// # Errors
/// The stream is broken: close the connection.
#[inline]
pub fn scan(buf: &[u8]) -> Result<Option<(Reply<'_>, usize)>, ReplyError> {
    match message(buf) {
        Some(found) => Ok(Some(found)),
        None => scan_any(buf),
    }
}

const ARRAY_MESSAGE: &[u8] = b"*3\r\n$7\r\nmessage\r\n$";
const SHARD_MESSAGE: &[u8] = b"*3\r\n$8\r\nsmessage\r\n$";
const PATTERN_MESSAGE: &[u8] = b"*4\r\n$8\r\npmessage\r\n$";

/// The quick way for whole `message`, `smessage` and `pmessage` frames.
#[inline]
fn message(buf: &[u8]) -> Option<(Reply<'_>, usize)> {
    if !matches!(buf.first(), Some(b'*' | b'>')) {
        return None;
    }
    let begins = |head: &[u8]| buf.get(1..head.len()) == Some(&head[1..]);
    if begins(ARRAY_MESSAGE) {
        let (channel, payload, next) = two_bulks(buf, ARRAY_MESSAGE.len())?;
        return Some((Reply::Message { channel, payload }, next));
    }
    if begins(SHARD_MESSAGE) {
        let (channel, payload, next) = two_bulks(buf, SHARD_MESSAGE.len())?;
        return Some((Reply::ShardMessage { channel, payload }, next));
    }
    if begins(PATTERN_MESSAGE) {
        let (pattern, next) = bulk_body(buf, PATTERN_MESSAGE.len())?;
        if buf.get(next) != Some(&b'$') {
            return None;
        }
        let (channel, payload, next) = two_bulks(buf, next + 1)?;
        return Some((Reply::PatternMessage { pattern, channel, payload }, next));
    }
    None
}

/// Two bulk strings, the length of the first of which begins at `at`, and where the next value is.
#[inline]
fn two_bulks(buf: &[u8], at: usize) -> Option<(&[u8], &[u8], usize)> {
    let (first, next) = bulk_body(buf, at)?;
    if buf.get(next) != Some(&b'$') {
        return None;
    }
    let (second, next) = bulk_body(buf, next + 1)?;
    Some((first, second, next))
}

/// A bulk string whose length begins at `at`, and where the next value is.
#[inline]
fn bulk_body(buf: &[u8], at: usize) -> Option<(&[u8], usize)> {
    let (length, start) = short_length(buf, at)?;
    let end = start + length;
    (length <= MAX_BULK && buf.len() >= end + 2).then(|| (&buf[start..end], end + 2))
}

/// A run of integer replies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IntegerRun {
    /// How many there were.
    pub count: usize,
    /// Their sum: of PUBLISH replies, the receivers.
    pub sum: i64,
    /// Bytes they took.
    pub length: usize,
}

/// Counts the integer replies that `buf` begins with, as pipelined PUBLISHes are answered. Stops at the
/// first other or incomplete value.
#[must_use]
pub fn integer_run(buf: &[u8]) -> IntegerRun {
    let mut run = IntegerRun::default();
    while let Some(rest) = buf.get(run.length..) {
        let (value, length) = match rest {
            [b':', digit @ b'0'..=b'9', b'\r', b'\n', ..] => (i64::from(digit - b'0'), 4),
            [b':', ..] => match short_length(rest, 1) {
                Some((value, length)) => (value as i64, length),
                None => return run,
            },
            _ => return run,
        };
        run.count += 1;
        run.sum += value;
        run.length += length;
    }
    run
}

/// Counts the bulk strings that `buf` begins with, as pipelined XADDs are answered, and the bytes they take.
/// Stops at the first other or incomplete value.
#[must_use]
pub fn bulk_run(buf: &[u8]) -> (usize, usize) {
    let (mut count, mut length) = (0, 0);
    while buf.get(length) == Some(&b'$')
        && let Some((_, next)) = bulk_body(buf, length + 1)
    {
        count += 1;
        length = next;
    }
    (count, length)
}

#[cold]
fn scan_any(buf: &[u8]) -> Result<Option<(Reply<'_>, usize)>, ReplyError> {
    let mut start = 0;
    loop {
        let Some(value) = value(&buf[start..])? else { return Ok(None) };
        let body = start + value.length();
        let (kind, count) = match value {
            Value::Leaf(reply, _) => return Ok(Some((reply, body))),
            Value::Aggregate { kind, count, .. } => (kind, count),
        };
        let Some(end) = end_of_values(buf, body, count)? else { return Ok(None) };
        if kind == b'|' {
            // Attributes say something about the reply that follows; they are skipped.
            start = end;
            continue;
        }
        let count = usize::try_from(count).map_err(|_| ReplyError::TooLarge)?;
        return Ok(Some((classified(kind, Items { body: &buf[body..end], count }), end)));
    }
}

/// Messages told from other arrays and pushes.
fn classified(kind: u8, items: Items<'_>) -> Reply<'_> {
    let mut rest = items.body;
    let parts = [bulk(&mut rest), bulk(&mut rest), bulk(&mut rest), bulk(&mut rest)];
    match (kind, items.count, parts) {
        (b'*' | b'>', 3, [Some(b"message"), Some(channel), Some(payload), _]) => {
            Reply::Message { channel, payload }
        }
        (b'*' | b'>', 3, [Some(b"smessage"), Some(channel), Some(payload), _]) => {
            Reply::ShardMessage { channel, payload }
        }
        (b'*' | b'>', 4, [Some(b"pmessage"), Some(pattern), Some(channel), Some(payload)]) => {
            Reply::PatternMessage { pattern, channel, payload }
        }
        (b'>', ..) => Reply::Push(items),
        _ => Reply::Array(items),
    }
}

/// Takes a bulk string off the front, if there is one.
fn bulk<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    match value(rest) {
        Ok(Some(Value::Leaf(Reply::Bulk(bytes), length))) => {
            *rest = &rest[length..];
            Some(bytes)
        }
        _ => None,
    }
}

/// Walks over `count` values from `at`, however nested, without recursion.
fn end_of_values(buf: &[u8], mut at: usize, count: u64) -> Result<Option<usize>, ReplyError> {
    let mut pending = count;
    while pending > 0 {
        if pending > MAX_VALUES {
            return Err(ReplyError::TooLarge);
        }
        let Some(value) = value(&buf[at..])? else { return Ok(None) };
        at += value.length();
        pending -= 1;
        if let Value::Aggregate { kind, count, .. } = value {
            // What an attribute belongs to is still to come, and counts in its place.
            pending = pending.saturating_add(count).saturating_add(u64::from(kind == b'|'));
        }
    }
    Ok(Some(at))
}

/// A value without what is nested in it.
pub(super) enum Value<'a> {
    Leaf(Reply<'a>, usize),
    Aggregate { kind: u8, count: u64, head: usize },
}

impl Value<'_> {
    pub(super) fn length(&self) -> usize {
        match self {
            Self::Leaf(_, length) => *length,
            Self::Aggregate { head, .. } => *head,
        }
    }
}

pub(super) fn value(buf: &[u8]) -> Result<Option<Value<'_>>, ReplyError> {
    let Some(&kind) = buf.first() else { return Ok(None) };
    if !b":+-$_#,(=!*~%>|".contains(&kind) {
        return Err(ReplyError::UnknownType(kind));
    }
    let Some(end) = memchr(b'\n', buf) else {
        return if buf.len() > MAX_LINE { Err(ReplyError::TooLarge) } else { Ok(None) };
    };
    let text = buf[1..end].strip_suffix(b"\r").ok_or(ReplyError::Number)?;
    let next = end + 1;
    let leaf = |reply| Ok(Some(Value::Leaf(reply, next)));
    match kind {
        b'+' => leaf(Reply::Simple(text)),
        b'-' => leaf(Reply::Error(text)),
        b':' => leaf(Reply::Integer(strict_i64(text).ok_or(ReplyError::Number)?)),
        b'_' => leaf(Reply::Null),
        b'#' => leaf(Reply::Boolean(text == b"t")),
        b',' | b'(' => leaf(Reply::Number(text)),
        _ => sized(buf, kind, strict_i64(text).ok_or(ReplyError::Number)?, next),
    }
}

/// Values that begin with a length.
fn sized(buf: &[u8], kind: u8, length: i64, next: usize) -> Result<Option<Value<'_>>, ReplyError> {
    if length == -1 {
        return Ok(Some(Value::Leaf(Reply::Null, next)));
    }
    let length = u64::try_from(length).map_err(|_| ReplyError::Number)?;
    match kind {
        b'$' | b'=' | b'!' => {
            if length > MAX_BULK as u64 {
                return Err(ReplyError::TooLarge);
            }
            let end = next + length as usize;
            let Some(bytes) = buf.get(next..end).filter(|_| buf.len() >= end + 2) else { return Ok(None) };
            let reply = if kind == b'!' { Reply::Error(bytes) } else { Reply::Bulk(bytes) };
            Ok(Some(Value::Leaf(reply, end + 2)))
        }
        b'%' | b'|' => Ok(Some(Value::Aggregate { kind, count: length.saturating_mul(2), head: next })),
        _ => Ok(Some(Value::Aggregate { kind, count: length, head: next })),
    }
}

#[cfg(test)]
mod tests;
