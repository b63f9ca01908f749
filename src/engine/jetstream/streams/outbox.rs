//! What streams and consumers want to be sent, in order, until what it stands on is written.

use crate::wire::nats::Publish;

/// Where the parts of a message are, as lengths from its start.
#[derive(Debug, Clone, Copy)]
struct Item {
    account: u32,
    start: usize,
    to: usize,
    subject: usize,
    reply: usize,
    headers: usize,
    end: usize,
}

/// Messages of a stream that retains them only until others have copies, and of which one has some more now.
#[derive(Debug)]
pub(super) struct Copied {
    /// Key of the stream that the messages are of, and when it was made, for another may have its key later.
    pub(super) origin: (usize, u64),
    /// The same of the one that has the copies, and which of its feeds brought them.
    pub(super) target: (usize, u64),
    pub(super) feed: usize,
    /// What that feed is of, for another may be in its place later.
    pub(super) feed_key: String,
    /// What that feed has come to.
    pub(super) position: u64,
    /// Sequences of the copied messages.
    pub(super) taken: Vec<u64>,
}

/// How far a stream has been written that others copy.
#[derive(Debug)]
pub(super) struct Written {
    /// Its key, and when it was made.
    pub(super) stream: (usize, u64),
    pub(super) last: u64,
}

/// Messages to be sent, and copies that the originals are to be let go for.
#[derive(Debug, Default)]
pub(in super::super) struct Outbox {
    bytes: Vec<u8>,
    items: Vec<Item>,
    copied: Vec<Copied>,
    written: Vec<Written>,
    /// Number of the account that what is added is for.
    pub(super) account: u32,
}

/// A message to be sent: to whom, and under which subject it is shown there.
#[derive(Debug, Clone, Copy)]
pub(super) struct Letter<'a> {
    pub(super) to: &'a [u8],
    pub(super) subject: &'a [u8],
    pub(super) reply: &'a [u8],
    pub(super) headers: &'a [u8],
    pub(super) payload: &'a [u8],
}

impl Outbox {
    /// Adds a message.
    pub(super) fn send(&mut self, letter: &Letter<'_>) {
        let start = self.bytes.len();
        let parts = [letter.to, letter.subject, letter.reply, letter.headers, letter.payload];
        self.bytes.reserve(parts.iter().map(|part| part.len()).sum());
        parts.iter().for_each(|part| self.bytes.extend_from_slice(part));
        self.items.push(Item {
            account: self.account,
            start,
            to: letter.to.len(),
            subject: letter.subject.len(),
            reply: letter.reply.len(),
            headers: letter.headers.len(),
            end: self.bytes.len(),
        });
    }

    /// Adds an answer without headers.
    pub(super) fn answer(&mut self, to: &[u8], payload: &[u8]) {
        if !to.is_empty() {
            self.send(&Letter { to, subject: to, reply: b"", headers: b"", payload });
        }
    }

    /// Adds a message of headers alone.
    pub(super) fn status(&mut self, to: &[u8], headers: &[u8]) {
        if !to.is_empty() {
            self.send(&Letter { to, subject: to, reply: b"", headers, payload: b"" });
        }
    }

    /// Notes copies: their originals may go once the copies are as safe as an answer has to be.
    pub(super) fn copied(&mut self, copied: Copied) {
        self.copied.push(copied);
    }

    /// Notes how far a stream has been written: it may be copied once that is as safe as an answer has to be.
    pub(super) fn wrote(&mut self, written: Written) {
        self.written.push(written);
    }

    pub(super) fn take_notes(&mut self) -> (Vec<Copied>, Vec<Written>) {
        (std::mem::take(&mut self.copied), std::mem::take(&mut self.written))
    }

    /// Whether nothing waits.
    pub(in super::super) fn is_empty(&self) -> bool {
        self.items.is_empty() && self.copied.is_empty() && self.written.is_empty()
    }

    /// Messages that wait.
    pub(in super::super) fn len(&self) -> usize {
        self.items.len()
    }

    /// Bytes that wait.
    pub(super) fn pending(&self) -> usize {
        self.bytes.len()
    }

    /// Hands all messages over, in order, each with account and subject that it is for.
    pub(in super::super) fn drain(&mut self, mut each: impl FnMut((u32, &[u8]), &Publish<'_>)) {
        for item in self.items.drain(..) {
            let (to, rest) = self.bytes[item.start..item.end].split_at(item.to);
            let (subject, rest) = rest.split_at(item.subject);
            let (reply, body) = rest.split_at(item.reply);
            each((item.account, to), &Publish { subject, reply, header_length: item.headers, body });
        }
        self.bytes.clear();
    }
}
