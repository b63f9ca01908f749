//! Taking over what another member of a group got and did not acknowledge (XAUTOCLAIM), on a socket of its own, since
//! the reading one waits inside a blocking command.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::time::{Interval, MissedTickBehavior};

use super::NAME;
use crate::driver::DriverError;
use crate::driver::redis::{broken, fatal};
use crate::driver::socket::{Output, Socket};
use crate::wire::resp::{EntryId, Items, Reply, append_command, scan};

/// Asks for what nobody acknowledged, of each stream in turn.
#[derive(Debug)]
pub(super) struct Claiming {
    socket: Socket,
    output: Output,
    member: Member,
    /// Each stream, and from which entry on it is looked through next: an answer looks at a part of a long list only.
    streams: Vec<(String, String)>,
    idle_ms: String,
    every: Interval,
    /// The stream whose answer comes next; all have come if there is none.
    next: usize,
}

/// Who claims: a member of a group, so many entries at a time.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) group: String,
    pub(super) name: String,
    pub(super) batch: String,
}

/// Where looking through a stream begins.
const BEGINNING: &str = "0-0";

impl Claiming {
    /// Entries are claimed once nobody has acknowledged them for so long, and looked for twice as often.
    pub(super) fn new(
        socket: Socket,
        after: Duration,
        member: Member,
        streams: impl Iterator<Item = String>,
    ) -> Self {
        let streams: Vec<_> = streams.map(|name| (name, BEGINNING.to_owned())).collect();
        let mut every = tokio::time::interval((after / 2).max(Duration::from_millis(1)));
        every.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let idle_ms = after.as_millis().max(1).to_string();
        let next = streams.len();
        Self { socket, output: Output::default(), member, streams, idle_ms, every, next }
    }

    /// Hands over what was claimed, with the index of its stream; how many entries. Pends while there is nothing.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        each: &mut impl FnMut(usize, EntryId, &[u8]),
    ) -> Poll<Result<u64, DriverError>> {
        loop {
            if self.next == self.streams.len() {
                ready!(self.every.poll_tick(cx));
                self.ask();
            }
            if let Poll::Ready(written) = self.output.poll_write(cx, &mut self.socket) {
                written?;
            }
            let count = self.take(each)?;
            if count > 0 {
                return Poll::Ready(Ok(count));
            }
            if self.next < self.streams.len() {
                ready!(self.socket.poll_read(cx))?;
            }
        }
    }

    /// Puts a question about each stream into the output.
    fn ask(&mut self) {
        let Member { group, name: member, batch } = &self.member;
        for (stream, from) in &self.streams {
            let command = ["XAUTOCLAIM", stream, group, member, &self.idle_ms, from, "COUNT", batch];
            append_command(self.output.frames(), &command.map(str::as_bytes));
        }
        self.next = 0;
    }

    /// Understands the answers that have come.
    fn take(&mut self, each: &mut impl FnMut(usize, EntryId, &[u8])) -> Result<u64, DriverError> {
        let mut count = 0;
        while self.next < self.streams.len() {
            let found = scan(self.socket.unread()).map_err(|error| broken(NAME, error))?;
            let Some((reply, length)) = found else { break };
            match reply {
                Reply::Array(answer) => {
                    let from = &mut self.streams[self.next].1;
                    match answer.clone().next() {
                        Some(Reply::Bulk(cursor)) => *from = String::from_utf8_lossy(cursor).into_owned(),
                        _ => BEGINNING.clone_into(from),
                    }
                    for (id, payload) in entries(answer) {
                        each(self.next, id, payload);
                        count += 1;
                    }
                }
                Reply::Error(text) => {
                    let text = String::from_utf8_lossy(text);
                    return Err(fatal(NAME, format!("the server refuses XAUTOCLAIM: {text}")));
                }
                _ => return Err(fatal(NAME, "the server answers XAUTOCLAIM with something else")),
            }
            self.socket.consume(length);
            self.next += 1;
        }
        Ok(count)
    }
}

/// The entries in an answer to XAUTOCLAIM: cursor, entries, and the ids of those that are gone.
fn entries<'a>(mut answer: Items<'a>) -> impl Iterator<Item = (EntryId, &'a [u8])> {
    let claimed = match answer.nth(1) {
        Some(Reply::Array(claimed)) => Some(claimed),
        _ => None,
    };
    claimed.into_iter().flatten().filter_map(|entry| {
        let Reply::Array(mut entry) = entry else { return None };
        let (Reply::Bulk(id), Reply::Array(fields)) = (entry.next()?, entry.next()?) else { return None };
        let Reply::Bulk(payload) = fields.last()? else { return None };
        Some((EntryId::parse(id)?, payload))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn claimed_entries_are_read_and_those_that_are_gone_are_none() {
        let answer = "*3\r\n$3\r\n0-0\r\n*2\r\n*2\r\n$3\r\n7-1\r\n*2\r\n$1\r\np\r\n$3\r\nabc\r\n*2\r\n$3\r\n8-0\r\n*2\r\n$1\r\np\r\n$0\r\n\r\n*1\r\n$3\r\n6-0\r\n";
        let Ok(Some((Reply::Array(items), length))) = scan(answer.as_bytes()) else { panic!("it is whole") };
        assert_eq!(length, answer.len());
        let id = |millis, number| EntryId { millis, number };
        let found: Vec<(EntryId, &[u8])> = entries(items).collect();
        assert_eq!(found, [(id(7, 1), &b"abc"[..]), (id(8, 0), &b""[..])]);
    }
}
