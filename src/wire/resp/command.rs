//! Commands as a server reads them, multibulk and inline, with the limits and error texts of Redis 8.2.

use super::inline;
use super::line::{line_end, short_length, strict_i64};
use super::{MAX_BULK, MAX_LINE};
use std::ops::Range;

/// Most arguments announced before a client has authenticated.
const UNAUTHENTICATED_ARGS: i64 = 10;
/// Longest argument announced before a client has authenticated, in bytes.
const UNAUTHENTICATED_BULK: i64 = 16 * 1024;

/// A range of bytes in the buffer that was parsed. 32 bits: no buffer may exceed 4 GiB.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// One past the last byte.
    pub end: u32,
}

impl Span {
    /// The range `start..end`.
    pub(super) fn new(start: usize, end: usize) -> Self {
        debug_assert!(u32::try_from(end).is_ok());
        Self { start: start as u32, end: end as u32 }
    }

    /// The bytes of this range in `buf`.
    #[must_use]
    #[inline]
    pub fn of<'a>(&self, buf: &'a [u8]) -> &'a [u8] {
        &buf[self.start as usize..self.end as usize]
    }
}

/// What a connection may announce.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Whether the client has authenticated; before that only small commands are read.
    pub authenticated: bool,
    /// Longest argument, in bytes.
    pub max_bulk: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { authenticated: true, max_bulk: MAX_BULK }
    }
}

/// Why a connection's bytes are no command; the text is what Redis answers after `ERR Protocol error: `.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "each text says it")]
pub enum ProtocolError {
    #[error("invalid multibulk length")]
    InvalidMultibulkLength,
    #[error("unauthenticated multibulk length")]
    UnauthenticatedMultibulkLength,
    #[error("invalid bulk length")]
    InvalidBulkLength,
    #[error("unauthenticated bulk length")]
    UnauthenticatedBulkLength,
    #[error("expected '$', got '{}'", char::from(*.0))]
    ExpectedDollar(u8),
    #[error("too big mbulk count string")]
    TooBigMultibulkCount,
    #[error("too big bulk count string")]
    TooBigBulkCount,
    #[error("too big inline request")]
    TooBigInline,
    #[error("unbalanced quotes in request")]
    UnbalancedQuotes,
}

/// Reads one command after the other. Keeps its place between calls, so that a command that arrives in many
/// pieces is looked at once; allocates for what has arrived, never for what was announced.
#[derive(Debug, Default)]
pub struct CommandParser {
    args: Vec<Span>,
    /// Unescaped words of an inline command.
    text: Vec<u8>,
    inline: bool,
    /// Bytes of the unfinished command that are understood.
    at: usize,
    /// Arguments still to come; 0 means that the command's head is still to come.
    missing: u32,
    /// Length of the argument whose bytes come next.
    bulk: Option<usize>,
}

impl CommandParser {
    /// Reads the command that `buf` begins with. `Some(length)`: it is whole, takes `length` bytes, and
    /// [`Self::arg`] gives its arguments (none: an empty line, to be ignored). `None`: call again with the
    /// same bytes and more of them.
    ///
    /// # Errors
    /// The stream is broken beyond repair: answer and close.
    pub fn parse(&mut self, buf: &[u8], limits: Limits) -> Result<Option<usize>, ProtocolError> {
        if self.missing == 0 {
            self.args.clear();
            self.at = 0;
            match buf.first() {
                None => return Ok(None),
                Some(b'*') => {
                    self.inline = false;
                    if !self.head(buf, limits)? {
                        return Ok(None);
                    }
                }
                Some(_) => return self.line(buf),
            }
        }
        while self.missing > 0 {
            if !self.argument(buf, limits)? {
                return Ok(None);
            }
        }
        Ok(Some(self.at))
    }

    /// How many arguments the command has.
    #[must_use]
    #[inline]
    pub fn len(&self) -> usize {
        self.args.len()
    }

    /// Whether the command was an empty line.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.args.is_empty()
    }

    /// Argument `index` of the whole command that [`Self::parse`] found in `buf`; 0 is its name.
    #[must_use]
    #[inline]
    pub fn arg<'a>(&'a self, buf: &'a [u8], index: usize) -> &'a [u8] {
        self.args[index].of(if self.inline { &self.text } else { buf })
    }

    /// Where argument `index` is in the buffer; `None` for inline commands, whose words are unescaped elsewhere.
    #[must_use]
    #[inline]
    pub fn span(&self, index: usize) -> Option<Span> {
        if self.inline { None } else { self.args.get(index).copied() }
    }

    /// A lower bound of the bytes the unfinished command takes from its beginning.
    #[must_use]
    pub fn needed(&self) -> usize {
        self.at + self.bulk.map_or(1, |length| length + 2)
    }

    /// Whether a command has begun and not ended.
    #[must_use]
    pub fn is_inside(&self) -> bool {
        self.missing > 0
    }

    fn head(&mut self, buf: &[u8], limits: Limits) -> Result<bool, ProtocolError> {
        let (count, next) = if let Some((count, next)) = short_length(buf, 1) {
            (count as i64, next)
        } else {
            let Some((text, next)) = header(buf).ok_or(ProtocolError::TooBigMultibulkCount)? else {
                return Ok(false);
            };
            (strict_i64(text).ok_or(ProtocolError::InvalidMultibulkLength)?, next)
        };
        if count > i64::from(i32::MAX) {
            return Err(ProtocolError::InvalidMultibulkLength);
        }
        if count > UNAUTHENTICATED_ARGS && !limits.authenticated {
            return Err(ProtocolError::UnauthenticatedMultibulkLength);
        }
        self.at = next;
        self.missing = u32::try_from(count).unwrap_or(0);
        Ok(true)
    }

    #[inline]
    fn argument(&mut self, buf: &[u8], limits: Limits) -> Result<bool, ProtocolError> {
        let length = match self.bulk {
            Some(length) => length,
            None => match self.bulk_length(&buf[self.at..], limits)? {
                Some(length) => length,
                None => return Ok(false),
            },
        };
        if buf.len() - self.at < length + 2 {
            self.bulk = Some(length);
            return Ok(false);
        }
        self.bulk = None;
        self.args.push(Span::new(self.at, self.at + length));
        self.at += length + 2;
        self.missing -= 1;
        Ok(true)
    }

    #[inline]
    fn bulk_length(&mut self, rest: &[u8], limits: Limits) -> Result<Option<usize>, ProtocolError> {
        let (length, next) = match short_length(rest, 1).filter(|_| rest[0] == b'$') {
            Some((length, next)) => (length as i64, next),
            None => {
                let Some((text, next)) = header(rest).ok_or(ProtocolError::TooBigBulkCount)? else {
                    return Ok(None);
                };
                if rest[0] != b'$' {
                    return Err(ProtocolError::ExpectedDollar(rest[0]));
                }
                (strict_i64(text).ok_or(ProtocolError::InvalidBulkLength)?, next)
            }
        };
        if length < 0 || length > i64::try_from(limits.max_bulk).unwrap_or(i64::MAX) {
            return Err(ProtocolError::InvalidBulkLength);
        }
        if length > UNAUTHENTICATED_BULK && !limits.authenticated {
            return Err(ProtocolError::UnauthenticatedBulkLength);
        }
        self.at += next;
        Ok(Some(length as usize))
    }

    fn line(&mut self, buf: &[u8]) -> Result<Option<usize>, ProtocolError> {
        let Some(newline) = line_end(buf, b'\n') else {
            return if buf.len() > MAX_LINE { Err(ProtocolError::TooBigInline) } else { Ok(None) };
        };
        let line = &buf[..newline];
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        self.inline = true;
        self.text.clear();
        inline::split(line, &mut self.text, &mut self.args).ok_or(ProtocolError::UnbalancedQuotes)?;
        Ok(Some(newline + 1))
    }
}

/// The text between a header's first byte and its CR, and where the next byte is. Outer `None`: too long;
/// inner `None`: not whole yet.
#[expect(clippy::option_option, reason = "two different kinds of nothing")]
fn header(buf: &[u8]) -> Option<Option<(&[u8], usize)>> {
    match line_end(buf, b'\r') {
        None => (buf.len() <= MAX_LINE).then_some(None),
        Some(end) if end + 1 >= buf.len() => Some(None),
        Some(end) => Some(Some((buf.get(1..end).unwrap_or_default(), end + 2))),
    }
}

/// A run of whole PUBLISH (or SPUBLISH) commands to one channel, as a fast publisher pipelines them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PublishRun {
    /// Commands in the run.
    pub count: usize,
    /// Bytes they take.
    pub length: usize,
}

/// The head of a pipelined PUBLISH; `message` has as many letters, so a frame becomes a delivery in place.
const PUBLISH: &[u8] = b"*3\r\n$7\r\nPUBLISH\r\n";
/// Where the verb begins in [`PUBLISH`].
const VERB_AT: usize = 8;
/// What the verb becomes.
const MESSAGE: &[u8] = b"message";

/// Turns the run of `PUBLISH` commands that `buf` begins with, all to the channel of the first one, into
/// RESP2 `message` pushes, in place: the two frames differ in the verb only. Stops before the first
/// command that is anything else, is not whole, or is longer than `max_bulk`.
pub fn publish_run(buf: &mut [u8], max_bulk: usize, most: usize) -> PublishRun {
    let mut run = PublishRun::default();
    if !buf.starts_with(PUBLISH) || buf.get(PUBLISH.len()) != Some(&b'$') {
        return run;
    }
    let Some((channel, start)) = short_length(buf, PUBLISH.len() + 1) else { return run };
    // From `$` to the CRLF behind the channel's name: what the heads of the run have in common.
    let head = start + channel + 2;
    if channel > max_bulk || buf.get(start + channel..head) != Some(b"\r\n") {
        return run;
    }
    while run.count < most {
        let (done, rest) = buf.split_at_mut(run.length);
        let alike = rest.starts_with(PUBLISH)
            && (run.count == 0 || rest.get(PUBLISH.len()..head) == Some(&done[PUBLISH.len()..head]));
        if !alike || rest.get(head) != Some(&b'$') {
            return run;
        }
        let Some((length, at)) = short_length(rest, head + 1) else { return run };
        if length > max_bulk || rest.get(at + length..at + length + 2) != Some(b"\r\n") {
            return run;
        }
        rest[VERB_AT..VERB_AT + MESSAGE.len()].copy_from_slice(MESSAGE);
        run.count += 1;
        run.length += at + length + 2;
    }
    run
}

/// Bytes of the `message` push that `frames` begins with, as [`publish_run`] makes them; all bytes if it is
/// cut short.
#[must_use]
pub fn message_length(frames: &[u8]) -> usize {
    let mut at = 0;
    for _ in 0..3 {
        // Behind the mark, and then behind each bulk string.
        let Some(mark) = frames[at..].iter().position(|&byte| byte == b'$') else { return frames.len() };
        let Some((length, start)) = short_length(frames, at + mark + 1) else { return frames.len() };
        at = (start + length + 2).min(frames.len());
    }
    at
}

/// Turns the RESP2 `message` pushes that [`publish_run`] made into RESP3 ones, in place.
pub fn messages_to_resp3(frames: &mut [u8]) {
    let mut at = 0;
    while at < frames.len() {
        frames[at] = b'>';
        at += message_length(&frames[at..]);
    }
}

/// Where the channel is of the whole-headed `PUBLISH` that `buf` begins with, if it is one that
/// [`publish_run`] takes.
#[must_use]
pub fn publish_channel(buf: &[u8]) -> Option<Range<usize>> {
    if !buf.starts_with(PUBLISH) || buf.get(PUBLISH.len()) != Some(&b'$') {
        return None;
    }
    let (length, start) = short_length(buf, PUBLISH.len() + 1)?;
    (start + length <= buf.len()).then_some(start..start + length)
}

/// Bytes of a `message` frame before its channel's length; what follows is a `pmessage`'s end as well.
pub const MESSAGE_HEAD: usize = PUBLISH.len();

#[cfg(test)]
mod tests;
