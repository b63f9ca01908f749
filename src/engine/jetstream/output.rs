//! What waits to be written to one client: own bytes, and blocks shared with others.

use std::collections::VecDeque;
use std::io::{self, IoSlice};
use std::rc::Rc;

/// From this length on a block is shared, below it is copied.
pub(super) const SHARE_FROM: usize = 4 * 1024;
/// Own bytes are kept in blocks of about this size, so that memory goes back while a backlog drains.
const OWN_BLOCK: usize = 64 * 1024;
/// Pieces gathered in one system call.
const GATHER: usize = 64;
/// Empty blocks kept for reuse by all clients.
const SPARE_BLOCKS: usize = 256;

/// Empty blocks for reuse.
#[derive(Debug, Default)]
pub(super) struct Spare(Vec<Vec<u8>>);

impl Spare {
    fn take(&mut self) -> Vec<u8> {
        self.0.pop().unwrap_or_default()
    }

    fn give(&mut self, mut block: Vec<u8>) {
        if self.0.len() < SPARE_BLOCKS && block.capacity() <= 4 * OWN_BLOCK {
            block.clear();
            self.0.push(block);
        }
    }
}

#[derive(Debug)]
enum Segment {
    Own(Vec<u8>),
    Shared(Rc<Vec<u8>>),
}

impl Segment {
    fn bytes(&self) -> &[u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared(bytes) => bytes,
        }
    }
}

/// The queue of one client.
#[derive(Debug, Default)]
pub(super) struct Output {
    segments: VecDeque<Segment>,
    /// Bytes of the first segment that are written already.
    written: usize,
    pending: usize,
}

impl Output {
    /// Bytes that wait.
    #[inline]
    pub(super) fn pending(&self) -> usize {
        self.pending
    }

    /// Appends what `write` writes.
    #[inline]
    pub(super) fn append(&mut self, spare: &mut Spare, write: impl FnOnce(&mut Vec<u8>)) {
        let full = !matches!(self.segments.back(), Some(Segment::Own(block)) if block.len() < OWN_BLOCK);
        if full {
            self.segments.push_back(Segment::Own(spare.take()));
        }
        if let Some(Segment::Own(block)) = self.segments.back_mut() {
            let before = block.len();
            write(block);
            self.pending += block.len() - before;
        }
    }

    /// Appends a block that others have too.
    pub(super) fn share(&mut self, block: &Rc<Vec<u8>>) {
        self.pending += block.len();
        self.segments.push_back(Segment::Shared(block.clone()));
    }

    /// Writes with `write` until all is out or it takes less than it was given (then `false`).
    ///
    /// # Errors
    /// What `write` says, other than that it would block.
    pub(super) fn flush(
        &mut self,
        spare: &mut Spare,
        mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<bool> {
        while self.pending > 0 {
            let mut slices = [IoSlice::new(&[]); GATHER];
            let (mut given, mut count) = (0, 0);
            for (slot, segment) in slices.iter_mut().zip(&self.segments) {
                let bytes = &segment.bytes()[if count == 0 { self.written } else { 0 }..];
                given += bytes.len();
                *slot = IoSlice::new(bytes);
                count += 1;
            }
            let taken = match write(&slices[..count]) {
                Ok(taken) => taken,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.advance(taken, spare);
            if taken < given {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn advance(&mut self, taken: usize, spare: &mut Spare) {
        self.pending -= taken;
        self.written += taken;
        while let Some(front) = self.segments.front() {
            let length = front.bytes().len();
            if self.written < length {
                return;
            }
            self.written -= length;
            if let Some(Segment::Own(block)) = self.segments.pop_front() {
                spare.give(block);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prng::Prng;

    #[test]
    fn whatever_the_socket_takes_at_a_time_all_bytes_come_out_in_order() {
        for seed in 0..50 {
            let (mut output, mut spare, mut prng) = (Output::default(), Spare::default(), Prng::new(seed));
            let (mut expected, mut got) = (Vec::new(), Vec::new());
            for round in 0..80 {
                let length = prng.below(3 * SHARE_FROM as u64) as usize;
                let bytes: Vec<u8> = (0..length).map(|_| prng.next_u64() as u8).collect();
                expected.extend_from_slice(&bytes);
                if round % 3 == 0 {
                    output.share(&Rc::new(bytes));
                } else {
                    output.append(&mut spare, |block| block.extend_from_slice(&bytes));
                }
                let room = prng.below(20_000) as usize;
                let all = output.flush(&mut spare, |slices| {
                    let flat: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
                    let taken = flat.len().min(room);
                    got.extend_from_slice(&flat[..taken]);
                    Ok(taken)
                });
                assert_eq!(all.unwrap(), output.pending() == 0, "seed {seed}");
            }
            assert_eq!(expected[..got.len()], got[..], "seed {seed}");
            assert_eq!(expected.len() - got.len(), output.pending(), "seed {seed}");
        }
    }
}
