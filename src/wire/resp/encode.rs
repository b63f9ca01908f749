//! Frames of both sides, appended to a buffer that the caller owns.

/// The two versions of the protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Protocol {
    /// Arrays and bulk strings only.
    #[default]
    Resp2,
    /// Maps, sets, nulls, pushes.
    Resp3,
}

/// Appends `value` in decimal digits.
#[inline]
pub fn append_integer_digits(out: &mut Vec<u8>, value: i64) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = value.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if value < 0 {
        at -= 1;
        digits[at] = b'-';
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends `<kind><value>\r\n`, the shape of lengths and integers.
#[inline]
fn append_line(out: &mut Vec<u8>, kind: u8, value: i64) {
    out.push(kind);
    append_integer_digits(out, value);
    out.extend_from_slice(b"\r\n");
}

/// Appends a bulk string.
#[inline]
fn append_bulk(out: &mut Vec<u8>, bytes: &[u8]) {
    append_line(out, b'$', bytes.len() as i64);
    out.extend_from_slice(bytes);
    out.extend_from_slice(b"\r\n");
}

/// Appends a command as clients send it.
pub fn append_command(out: &mut Vec<u8>, args: &[&[u8]]) {
    append_line(out, b'*', args.len() as i64);
    for arg in args {
        append_bulk(out, arg);
    }
}

/// A PUBLISH (or SPUBLISH) to one channel, prepared so that a message costs two copies.
#[derive(Debug, Clone)]
pub struct PublishFrame {
    head: Vec<u8>,
}

impl PublishFrame {
    /// Prepares `PUBLISH channel …`.
    #[must_use]
    pub fn new(channel: &[u8]) -> Self {
        Self::with_verb(b"PUBLISH", channel)
    }

    /// Prepares `SPUBLISH channel …`.
    #[must_use]
    pub fn sharded(channel: &[u8]) -> Self {
        Self::with_verb(b"SPUBLISH", channel)
    }

    /// Prepares `XADD key [MAXLEN =|~ keep] * p …`: an entry with one field, whose id the server chooses. With
    /// `about` the stream may keep a few more than `keep`, where that is quicker for the server.
    #[must_use]
    pub fn adding(key: &[u8], keep: Option<u64>, about: bool) -> Self {
        let number = keep.map(|keep| keep.to_string());
        let mut words = vec![&b"XADD"[..], key];
        if let Some(number) = &number {
            words.extend([&b"MAXLEN"[..], if about { b"~" } else { b"=" }, number.as_bytes()]);
        }
        words.extend([&b"*"[..], b"p"]);
        Self::of_words(&words)
    }

    fn with_verb(verb: &[u8], channel: &[u8]) -> Self {
        Self::of_words(&[verb, channel])
    }

    /// A command of these words and a payload.
    fn of_words(words: &[&[u8]]) -> Self {
        let mut head = Vec::new();
        append_line(&mut head, b'*', words.len() as i64 + 1);
        for word in words {
            append_bulk(&mut head, word);
        }
        Self { head }
    }

    /// Appends the command with this payload.
    #[inline]
    pub fn append(&self, out: &mut Vec<u8>, payload: &[u8]) {
        out.reserve(self.head.len() + payload.len() + 16);
        out.extend_from_slice(&self.head);
        append_bulk(out, payload);
    }

    /// Appends the command with a payload of `length` zeros, to be filled in through the slice returned.
    #[inline]
    pub fn append_blank<'a>(&self, out: &'a mut Vec<u8>, length: usize) -> &'a mut [u8] {
        out.extend_from_slice(&self.head);
        append_line(out, b'$', length as i64);
        let start = out.len();
        out.resize(start + length, 0);
        out.extend_from_slice(b"\r\n");
        &mut out[start..start + length]
    }
}

/// The three kinds of delivery, by what comes before channel and payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageHead<'a> {
    /// From a channel subscription.
    Message,
    /// From the subscription to this pattern.
    Pattern(&'a [u8]),
    /// From a shard channel subscription.
    Shard,
}

/// Appends replies and pushes in one version of the protocol.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut Vec<u8>,
    protocol: Protocol,
}

impl<'a> Writer<'a> {
    /// A writer that appends to `out`.
    #[inline]
    pub fn new(out: &'a mut Vec<u8>, protocol: Protocol) -> Self {
        Self { out, protocol }
    }

    /// The version it writes.
    #[must_use]
    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    fn line(&mut self, kind: u8, text: &[u8]) {
        self.out.push(kind);
        self.out.extend_from_slice(text);
        self.out.extend_from_slice(b"\r\n");
    }

    /// A simple string, such as `OK`; must have no line break.
    pub fn simple(&mut self, text: &str) {
        self.line(b'+', text.as_bytes());
    }

    /// An error, such as `ERR no`; line breaks become spaces, as in Redis.
    pub fn error(&mut self, text: &[u8]) {
        self.out.push(b'-');
        self.out.extend(text.iter().map(|&byte| if matches!(byte, b'\r' | b'\n') { b' ' } else { byte }));
        self.out.extend_from_slice(b"\r\n");
    }

    /// An integer.
    #[inline]
    pub fn integer(&mut self, value: i64) {
        append_line(self.out, b':', value);
    }

    /// A bulk string.
    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        append_bulk(self.out, bytes);
    }

    /// No value.
    pub fn null(&mut self) {
        self.out.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"$-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// No array (what EXEC and COMMAND INFO answer for nothing).
    pub fn null_array(&mut self) {
        self.out.extend_from_slice(match self.protocol {
            Protocol::Resp2 => b"*-1\r\n",
            Protocol::Resp3 => b"_\r\n",
        });
    }

    /// The head of an array of `length` values.
    pub fn array(&mut self, length: usize) {
        append_line(self.out, b'*', length as i64);
    }

    /// The head of a map of `pairs` keys and values.
    pub fn map(&mut self, pairs: usize) {
        match self.protocol {
            Protocol::Resp2 => append_line(self.out, b'*', pairs as i64 * 2),
            Protocol::Resp3 => append_line(self.out, b'%', pairs as i64),
        }
    }

    /// The head of a set of `length` values.
    pub fn set(&mut self, length: usize) {
        let kind = if self.protocol == Protocol::Resp3 { b'~' } else { b'*' };
        append_line(self.out, kind, length as i64);
    }

    /// The head of a push of `length` values.
    #[inline]
    pub fn push(&mut self, length: usize) {
        let kind = if self.protocol == Protocol::Resp3 { b'>' } else { b'*' };
        append_line(self.out, kind, length as i64);
    }

    /// Text for people, of format `txt`.
    pub fn verbatim(&mut self, text: &[u8]) {
        match self.protocol {
            Protocol::Resp2 => self.bulk(text),
            Protocol::Resp3 => {
                append_line(self.out, b'=', text.len() as i64 + 4);
                self.out.extend_from_slice(b"txt:");
                self.out.extend_from_slice(text);
                self.out.extend_from_slice(b"\r\n");
            }
        }
    }

    /// A delivered message.
    #[inline]
    pub fn message(&mut self, head: MessageHead<'_>, channel: &[u8], payload: &[u8]) {
        match head {
            MessageHead::Message => {
                self.push(3);
                self.bulk(b"message");
            }
            MessageHead::Pattern(pattern) => {
                self.push(4);
                self.bulk(b"pmessage");
                self.bulk(pattern);
            }
            MessageHead::Shard => {
                self.push(3);
                self.bulk(b"smessage");
            }
        }
        self.bulk(channel);
        self.bulk(payload);
    }
}
