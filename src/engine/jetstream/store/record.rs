//! One record of a segment, as bytes.
//!
//! A head of 44 bytes, then subject, headers, payload: mark, length of what follows the head, sequence, time,
//! length of the headers, length of the subject, kind, a hash of the head, a hash of the rest. Mark and
//! hashes are keyed with the segment's salt, so that no payload can pass for a record; the head's own hash lets the
//! length be trusted when the rest is damaged, and the mark lets reading go on when the head is.

use super::Stored;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Bytes of a head.
pub(super) const HEAD: usize = 44;
/// Longest rest that is believed: no message is longer than 64 MiB, nor a list of removed ones.
const MAX_REST: u32 = 80 * 1024 * 1024;

/// What a record says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A message.
    Message = 1,
    /// Messages that are gone: the rest is their sequences, 8 bytes each.
    Removed = 2,
    /// Everything before the sequence is gone.
    Trimmed = 3,
    /// The sequence was used up for nothing.
    Skipped = 4,
    /// What is to be known after a restart: the rest is that.
    Noted = 5,
}

/// A record that was read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record<'a> {
    pub(super) kind: Kind,
    /// The message; its sequence is what other kinds speak of, its body what they list.
    pub(super) message: Stored<'a>,
    /// Bytes of the whole record.
    pub(super) length: usize,
}

/// What a place in a segment holds.
#[derive(Debug)]
pub(super) enum Read<'a> {
    /// A record.
    Good(Record<'a>),
    /// A record whose head is right and whose rest isn't: its kind, sequence and length.
    BadRest(Kind, u64, usize),
    /// A record that ends after the bytes given.
    Cut,
    /// No head.
    BadHead,
}

/// The mark of a segment's records.
pub(super) fn mark(salt: u64) -> [u8; 4] {
    ((salt >> 16) as u32 | 1).to_le_bytes()
}

/// Appends a record.
pub(super) fn append(out: &mut Vec<u8>, salt: u64, kind: Kind, message: &Stored<'_>) {
    let start = out.len();
    let rest = message.subject.len() + message.body.len();
    out.reserve(HEAD + rest);
    out.extend_from_slice(&mark(salt));
    out.extend_from_slice(&(rest as u32).to_le_bytes());
    out.extend_from_slice(&message.sequence.to_le_bytes());
    out.extend_from_slice(&message.time.to_le_bytes());
    out.extend_from_slice(&(message.header_length as u32).to_le_bytes());
    out.extend_from_slice(&(message.subject.len() as u16).to_le_bytes());
    out.push(kind as u8);
    out.push(0);
    let head = xxh3_64_with_seed(&out[start..start + 32], salt) as u32;
    out.extend_from_slice(&head.to_le_bytes());
    out.extend_from_slice(&[0; 8]);
    out.extend_from_slice(message.subject);
    out.extend_from_slice(message.body);
    let hash = xxh3_64_with_seed(&out[start + HEAD..], salt);
    out[start + 36..start + HEAD].copy_from_slice(&hash.to_le_bytes());
}

/// A little-endian number.
pub(super) fn number(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

/// Reads the record that `buf` begins with; `check` also verifies subject, headers and payload.
pub(super) fn read(buf: &[u8], salt: u64, check: bool) -> Read<'_> {
    let Some(head) = buf.get(..HEAD) else { return Read::Cut };
    if head[..4] != mark(salt) || xxh3_64_with_seed(&head[..32], salt) as u32 != number(&head[32..36]) as u32
    {
        return Read::BadHead;
    }
    let read = decode(buf);
    match read {
        // Without a rest the head says everything.
        Read::Good(Record { kind, message, length })
            if check
                && length > HEAD
                && xxh3_64_with_seed(&buf[HEAD..length], salt) != number(&head[36..HEAD]) =>
        {
            Read::BadRest(kind, message.sequence, length)
        }
        _ => read,
    }
}

/// The same without looking at the hashes: of a record that was found to be good before, or made here.
pub(super) fn decode(buf: &[u8]) -> Read<'_> {
    let Some(head) = buf.get(..HEAD) else { return Read::Cut };
    let (rest, sequence) = (number(&head[4..8]) as u32, number(&head[8..16]));
    let (headers, subject) = (number(&head[24..28]) as usize, number(&head[28..30]) as usize);
    let kind = match head[30] {
        1 => Kind::Message,
        2 => Kind::Removed,
        3 => Kind::Trimmed,
        4 => Kind::Skipped,
        5 => Kind::Noted,
        _ => return Read::BadHead,
    };
    if rest > MAX_REST || subject + headers > rest as usize {
        return Read::BadHead;
    }
    let length = HEAD + rest as usize;
    let Some(bytes) = buf.get(HEAD..length) else { return Read::Cut };
    let (subject, body) = bytes.split_at(subject);
    let message = Stored { sequence, time: number(&head[16..24]), subject, header_length: headers, body };
    Read::Good(Record { kind, message, length })
}

/// Bytes for which a message counts whose record takes so many in a segment, as far as its head can be believed: a
/// record's head is longer than what nats-server counts for one, and that counts four bytes more for headers.
pub(super) fn counted(buf: &[u8], salt: u64, length: usize) -> u64 {
    let believed = matches!(read(buf, salt, true), Read::Good(_) | Read::BadRest(..));
    let headers = believed && buf.get(24..28).is_some_and(|length| number(length) > 0);
    length.saturating_sub(HEAD - 30) as u64 + if headers { 4 } else { 0 }
}

/// The sequences that a [`Kind::Removed`] record lists.
pub(super) fn sequences(body: &[u8]) -> impl Iterator<Item = u64> + '_ {
    body.chunks_exact(8).map(number)
}
