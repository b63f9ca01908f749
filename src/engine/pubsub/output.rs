//! What waits to be written to one client: own bytes, and pieces of shared buffers.

use super::chunks::{ChunkId, Chunks};
use std::collections::VecDeque;
use std::io::{self, IoSlice};

/// From this length on a piece is shared, below it is copied: a gathered piece costs about as much as
/// copying this many bytes.
pub(super) const SHARE_FROM: usize = 4 * 1024;
/// Own bytes are kept in blocks of about this size, so that memory goes back while a backlog drains.
const OWN_BLOCK: usize = 64 * 1024;
/// Pieces gathered in one system call.
const GATHER: usize = 64;
/// A waiting piece may pin a shared buffer at most this many times its own size.
const PIN_FACTOR: usize = 4;

/// Bytes to be sent: where they are, and, if they are worth sharing, by which name others may hold them.
#[derive(Debug, Clone, Copy)]
pub(super) struct Piece<'a> {
    /// The bytes.
    pub(super) bytes: &'a [u8],
    /// The buffer they are in, and where in it they begin.
    pub(super) home: (ChunkId, u32),
}

#[derive(Debug)]
enum Segment {
    Own(Vec<u8>),
    Shared { chunk: ChunkId, start: u32, end: u32 },
}

impl Segment {
    fn bytes<'a>(&'a self, chunks: &'a Chunks) -> &'a [u8] {
        match self {
            Self::Own(bytes) => bytes,
            Self::Shared { chunk, start, end } => &chunks.bytes(*chunk)[*start as usize..*end as usize],
        }
    }
}

/// Empty blocks for reuse by all clients of an event loop.
#[derive(Debug, Default)]
pub(super) struct Spare(Vec<Vec<u8>>);

/// Blocks kept at most.
const SPARE_BLOCKS: usize = 256;

impl Spare {
    fn take(&mut self) -> Vec<u8> {
        self.0.pop().unwrap_or_default()
    }

    fn give(&mut self, mut block: Vec<u8>) {
        if self.0.len() < SPARE_BLOCKS && block.capacity() <= 2 * OWN_BLOCK {
            block.clear();
            self.0.push(block);
        }
    }
}

/// The queue of one client. Whoever drops it calls [`Self::clear`] before, or shared buffers stay held.
#[derive(Debug, Default)]
pub(super) struct Output {
    segments: VecDeque<Segment>,
    /// Bytes of the first segment that are written already.
    written: usize,
    pending: usize,
    /// Segments at the front that pin no more than they may.
    settled: usize,
}

impl Output {
    /// Bytes that wait.
    #[inline]
    pub(super) fn pending(&self) -> usize {
        self.pending
    }

    /// Pieces that wait.
    pub(super) fn segments(&self) -> usize {
        self.segments.len()
    }

    /// A block to append own bytes to; call [`Self::grown`] with how many it became.
    #[inline]
    pub(super) fn block(&mut self, spare: &mut Spare) -> &mut Vec<u8> {
        let full = !matches!(self.segments.back(), Some(Segment::Own(block)) if block.len() < OWN_BLOCK);
        if full {
            self.segments.push_back(Segment::Own(spare.take()));
        }
        match self.segments.back_mut() {
            Some(Segment::Own(block)) => block,
            _ => unreachable!("an own block was just pushed"),
        }
    }

    /// Counts bytes appended to [`Self::block`].
    #[inline]
    pub(super) fn grown(&mut self, by: usize) {
        self.pending += by;
    }

    /// Appends a copy.
    #[inline]
    pub(super) fn copy(&mut self, bytes: &[u8], spare: &mut Spare) {
        self.block(spare).extend_from_slice(bytes);
        self.pending += bytes.len();
    }

    /// Appends a piece: shared when it is large, else copied.
    #[inline]
    pub(super) fn append(&mut self, piece: Piece<'_>, chunks: &mut Chunks, spare: &mut Spare) {
        if piece.bytes.len() < SHARE_FROM {
            return self.copy(piece.bytes, spare);
        }
        let (chunk, start) = piece.home;
        chunks.hold(chunk);
        self.segments.push_back(Segment::Shared { chunk, start, end: start + piece.bytes.len() as u32 });
        self.pending += piece.bytes.len();
    }

    /// Writes with `write` until all is out or it takes less than it was given (then `false`).
    ///
    /// # Errors
    /// What `write` says, other than that it would block.
    pub(super) fn flush(
        &mut self,
        chunks: &mut Chunks,
        spare: &mut Spare,
        mut write: impl FnMut(&[IoSlice<'_>]) -> io::Result<usize>,
    ) -> io::Result<bool> {
        while self.pending > 0 {
            let mut slices = [IoSlice::new(&[]); GATHER];
            let mut given = 0;
            let mut count = 0;
            for (slot, segment) in slices.iter_mut().zip(&self.segments) {
                let from = if count == 0 { self.written } else { 0 };
                let bytes = &segment.bytes(chunks)[from..];
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
            self.advance(taken, chunks, spare);
            if taken < given {
                self.settle(chunks);
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn advance(&mut self, taken: usize, chunks: &mut Chunks, spare: &mut Spare) {
        self.pending -= taken;
        self.written += taken;
        while let Some(front) = self.segments.front() {
            let length = front.bytes(chunks).len();
            if self.written < length {
                return;
            }
            self.written -= length;
            self.settled = self.settled.saturating_sub(1);
            match self.segments.pop_front() {
                Some(Segment::Own(block)) => spare.give(block),
                Some(Segment::Shared { chunk, .. }) => chunks.release(chunk),
                None => return,
            }
        }
    }

    /// Copies waiting pieces that would pin much larger buffers.
    fn settle(&mut self, chunks: &mut Chunks) {
        for segment in self.segments.iter_mut().skip(self.settled) {
            let Segment::Shared { chunk, start, end } = *segment else { continue };
            let (home, length) = (chunks.bytes(chunk), (end - start) as usize);
            if length * PIN_FACTOR < home.len() {
                *segment = Segment::Own(home[start as usize..end as usize].to_vec());
                chunks.release(chunk);
            }
        }
        self.settled = self.segments.len();
    }

    /// Drops all that waits.
    pub(super) fn clear(&mut self, chunks: &mut Chunks) {
        for segment in self.segments.drain(..) {
            if let Segment::Shared { chunk, .. } = segment {
                chunks.release(chunk);
            }
        }
        self.pending = 0;
        self.written = 0;
        self.settled = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prng::Prng;

    fn shared(chunks: &mut Chunks, bytes: &[u8]) -> ChunkId {
        let id = chunks.reserve();
        chunks.fill(id, bytes.to_vec());
        id
    }

    #[test]
    fn whatever_the_socket_takes_at_a_time_all_bytes_come_out_in_order() {
        for seed in 0..50 {
            let (mut chunks, mut spare, mut output) =
                (Chunks::default(), Spare::default(), Output::default());
            let mut prng = Prng::new(seed);
            let (mut expected, mut got) = (Vec::new(), Vec::new());
            for round in 0..60u32 {
                let length = prng.below(3 * SHARE_FROM as u64) as usize;
                let bytes: Vec<u8> = (0..length).map(|_| prng.next_u64() as u8).collect();
                let id = shared(
                    &mut chunks,
                    &[&[9; 3], &bytes[..], &[8; 40_000][..round as usize * 600]].concat(),
                );
                output.append(Piece { bytes: &bytes, home: (id, 3) }, &mut chunks, &mut spare);
                chunks.release(id);
                expected.extend_from_slice(&bytes);
                let room = prng.below(20_000) as usize;
                let all = output.flush(&mut chunks, &mut spare, |slices| {
                    let flat: Vec<u8> = slices.iter().flat_map(|slice| slice.iter().copied()).collect();
                    let taken = flat.len().min(room);
                    got.extend_from_slice(&flat[..taken]);
                    Ok(taken)
                });
                assert_eq!(all.unwrap(), output.pending() == 0, "seed {seed}");
            }
            assert_eq!(expected[..got.len()], got[..], "seed {seed}");
            assert_eq!(expected.len() - got.len(), output.pending(), "seed {seed}");
            output.clear(&mut chunks);
            assert_eq!(chunks.in_use(), 0, "seed {seed}");
        }
    }

    #[test]
    fn a_waiting_piece_does_not_pin_a_buffer_far_larger_than_itself() {
        let (mut chunks, mut spare, mut output) = (Chunks::default(), Spare::default(), Output::default());
        let id = shared(&mut chunks, &vec![1; 10 * SHARE_FROM]);
        let piece = chunks.bytes(id)[..SHARE_FROM].to_vec();
        output.append(Piece { bytes: &piece, home: (id, 0) }, &mut chunks, &mut spare);
        chunks.release(id);
        assert_eq!(chunks.in_use(), 1);
        assert!(!output.flush(&mut chunks, &mut spare, |_| Err(io::ErrorKind::WouldBlock.into())).unwrap());
        assert_eq!((chunks.in_use(), output.pending()), (0, SHARE_FROM));
    }
}
