//! What XREAD and XREADGROUP answer, piece by piece: a stream's entries are handed over as they come, so that an
//! answer may be far larger than the buffer it is read into.

use super::reply::{Reply, ReplyError, Value, value};

/// The id of a stream's entry: milliseconds and a number within them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct EntryId {
    /// Milliseconds since 1970 by the server's clock, if the server chose it.
    pub millis: u64,
    /// Tells entries of the same millisecond apart.
    pub number: u64,
}

impl EntryId {
    /// Reads `1700000000000-0`.
    #[must_use]
    pub fn parse(text: &[u8]) -> Option<Self> {
        let (millis, number) = std::str::from_utf8(text).ok()?.split_once('-')?;
        Some(Self { millis: millis.parse().ok()?, number: number.parse().ok()? })
    }
}

impl std::fmt::Display for EntryId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.millis, self.number)
    }
}

/// A part of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Piece<'a> {
    /// The entries that follow are of this stream.
    Stream(&'a [u8]),
    /// One entry.
    Entry {
        /// Its id.
        id: EntryId,
        /// The value of its last field; `None` if the entry was deleted since it was delivered first.
        payload: Option<&'a [u8]>,
    },
    /// Nothing came within the time that the command allowed.
    Nothing,
    /// The server refuses.
    Error(&'a [u8]),
}

/// How far an answer was understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Entries {
    streams: u64,
    entries: u64,
}

impl Entries {
    /// Whether an answer is half read: more pieces of it are to come.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.streams > 0 || self.entries > 0
    }

    /// The piece that `buf` begins with, and how many bytes it takes. `None`: not whole yet.
    ///
    /// # Errors
    /// The stream is broken: close the connection.
    pub fn next<'a>(&mut self, buf: &'a [u8]) -> Result<Option<(Piece<'a>, usize)>, ReplyError> {
        if self.entries > 0 {
            let found = entry(buf)?;
            self.entries -= u64::from(found.is_some());
            return Ok(found);
        }
        let mut at = 0;
        let mut streams = self.streams;
        if streams == 0 {
            let Some(head) = value(buf)? else { return Ok(None) };
            at = head.length();
            match head {
                Value::Leaf(Reply::Null, _) => return Ok(Some((Piece::Nothing, at))),
                Value::Leaf(Reply::Error(text), _) => return Ok(Some((Piece::Error(text), at))),
                Value::Aggregate { kind: b'*', count, .. } if count > 0 => streams = count,
                _ => return Err(ReplyError::Number),
            }
        }
        let Some((2, next)) = aggregate(buf, at)? else { return Ok(None) };
        let Some((name, next)) = bulk(buf, next)? else { return Ok(None) };
        let Some((entries, next)) = aggregate(buf, next)? else { return Ok(None) };
        (self.streams, self.entries) = (streams - 1, entries);
        Ok(Some((Piece::Stream(name.unwrap_or_default()), next)))
    }
}

/// `*2 id fields`, where the fields may be gone.
fn entry(buf: &[u8]) -> Result<Option<(Piece<'_>, usize)>, ReplyError> {
    let Some((2, next)) = aggregate(buf, 0)? else { return Ok(None) };
    let Some((Some(id), mut at)) = bulk(buf, next)? else { return Ok(None) };
    let id = EntryId::parse(id).ok_or(ReplyError::Number)?;
    let mut payload = None;
    let Some(fields) = value(&buf[at..])? else { return Ok(None) };
    at += fields.length();
    if let Value::Aggregate { count, .. } = fields {
        for _ in 0..count {
            let Some((value, next)) = bulk(buf, at)? else { return Ok(None) };
            (payload, at) = (value, next);
        }
    }
    Ok(Some((Piece::Entry { id, payload }, at)))
}

/// The number of values in the array that begins at `at`, and where the first of them is.
fn aggregate(buf: &[u8], at: usize) -> Result<Option<(u64, usize)>, ReplyError> {
    match value(buf.get(at..).unwrap_or_default())? {
        Some(Value::Aggregate { kind: b'*', count, head }) => Ok(Some((count, at + head))),
        Some(_) => Err(ReplyError::Number),
        None => Ok(None),
    }
}

/// A bulk string, which may be none, and where the next value is.
type Bulk<'a> = (Option<&'a [u8]>, usize);

/// A bulk string (or none) that begins at `at`, and where the next value is.
fn bulk(buf: &[u8], at: usize) -> Result<Option<Bulk<'_>>, ReplyError> {
    match value(buf.get(at..).unwrap_or_default())? {
        Some(Value::Leaf(Reply::Bulk(bytes), length)) => Ok(Some((Some(bytes), at + length))),
        Some(Value::Leaf(Reply::Null, length)) => Ok(Some((None, at + length))),
        Some(_) => Err(ReplyError::Number),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::resp::{Protocol, Writer};
    use proptest::prelude::*;

    /// A stream's name and its entries.
    type Stream = (String, Vec<(EntryId, Vec<u8>)>);

    /// An answer with these entries, by stream.
    fn answer(streams: &[Stream]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut out = Writer::new(&mut bytes, Protocol::Resp2);
        out.array(streams.len());
        for (name, entries) in streams {
            out.array(2);
            out.bulk(name.as_bytes());
            out.array(entries.len());
            for (id, payload) in entries {
                out.array(2);
                out.bulk(id.to_string().as_bytes());
                out.array(2);
                out.bulk(b"p");
                out.bulk(payload);
            }
        }
        bytes
    }

    /// Reads `bytes` as they come, `step` at a time.
    fn read(bytes: &[u8], step: usize) -> Vec<Stream> {
        let (mut entries, mut got) = (Entries::default(), Vec::new());
        let (mut start, mut end) = (0, 0);
        while start < bytes.len() {
            match entries.next(&bytes[start..end]).unwrap() {
                Some((piece, length)) => {
                    start += length;
                    match piece {
                        Piece::Stream(name) => {
                            got.push((String::from_utf8_lossy(name).into_owned(), Vec::new()))
                        }
                        Piece::Entry { id, payload } => {
                            got.last_mut().unwrap().1.push((id, payload.unwrap().to_vec()));
                        }
                        other => panic!("{other:?}"),
                    }
                }
                None => end = (end + step).min(bytes.len()),
            }
        }
        assert!(!entries.is_open());
        got
    }

    proptest! {
        #[test]
        fn whatever_is_written_is_read_however_it_comes(
            streams in proptest::collection::vec(
                ("[a-z]{1,8}", proptest::collection::vec(
                    ((any::<u64>(), any::<u64>()), proptest::collection::vec(any::<u8>(), 0..40)), 0..6)),
                1..5),
            step in 1usize..50,
        ) {
            let streams: Vec<_> = streams.into_iter().map(|(name, entries)| {
                let id = |(millis, number)| EntryId { millis, number };
                (name, entries.into_iter().map(|(one, payload)| (id(one), payload)).collect::<Vec<_>>())
            }).collect();
            prop_assert_eq!(read(&answer(&streams), step), streams);
        }

        #[test]
        fn nothing_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut entries = Entries::default();
            let mut rest = &bytes[..];
            while let Ok(Some((_, length))) = entries.next(rest) {
                prop_assert!(length > 0 && length <= rest.len());
                rest = &rest[length..];
            }
        }
    }

    #[test]
    fn a_timeout_an_error_and_a_deleted_entry_are_told_apart() {
        let mut entries = Entries::default();
        assert_eq!(entries.next(b"*-1\r\n").unwrap(), Some((Piece::Nothing, 5)));
        assert_eq!(entries.next(b"-NOGROUP x\r\n").unwrap(), Some((Piece::Error(b"NOGROUP x"), 12)));
        let deleted = b"*1\r\n*2\r\n$1\r\nk\r\n*1\r\n*2\r\n$3\r\n7-1\r\n*-1\r\n";
        let (_, length) = entries.next(deleted).unwrap().unwrap();
        let id = EntryId { millis: 7, number: 1 };
        assert_eq!(entries.next(&deleted[length..]).unwrap().unwrap().0, Piece::Entry { id, payload: None });
        assert_eq!(EntryId::parse(b"7-1"), Some(id));
        assert_eq!(EntryId::parse(b"7"), None);
    }
}
