//! The bounded buffer of one subscribing connection. Publishers append under a lock; the subscriber takes
//! all of it by swapping in its own empty buffer, so both buffers are reused and nothing is allocated once
//! they have grown.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::NAME;
use crate::driver::{DriverError, ErrorKind};

/// Bytes waiting in a ring at most, unless a single frame is larger.
const RING_BYTES: usize = 256 * 1024;
/// Bytes in front of each payload.
pub(super) const HEAD_BYTES: usize = 24;

/// How the subscriber treats a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mark {
    /// Hands it over, and what waits for it.
    Plain,
    /// Holds it back until the next plain one of its lane.
    Hold,
    /// Hands it over; it is the second copy.
    Copy,
    /// Hands it over; a bit is wrong.
    Corrupt,
}

/// What stands in front of a payload in the ring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// Not handed over before this time of the bus's clock; 0 for at once.
    pub(super) due: u64,
    pub(super) topic: u32,
    pub(super) subscription: u32,
    pub(super) length: u32,
    /// The publishing connection, below 2^24.
    pub(super) origin: u32,
    pub(super) mark: Mark,
}

impl Head {
    #[inline]
    fn append(&self, out: &mut Vec<u8>) {
        let mut bytes = [0u8; HEAD_BYTES];
        bytes[..8].copy_from_slice(&self.due.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.topic.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.subscription.to_le_bytes());
        bytes[16..20].copy_from_slice(&self.length.to_le_bytes());
        bytes[20..].copy_from_slice(&((self.origin << 8) | self.mark as u32).to_le_bytes());
        out.extend_from_slice(&bytes);
    }

    /// The head at `at`; there must be one.
    #[inline]
    pub(super) fn read(bytes: &[u8], at: usize) -> Self {
        let bytes: &[u8] = &bytes[at..at + HEAD_BYTES];
        let word = |at: usize| u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        let last = word(20);
        Self {
            due: u64::from(word(0)) | (u64::from(word(4)) << 32),
            topic: word(8),
            subscription: word(12),
            length: word(16),
            origin: last >> 8,
            mark: match last & 0xff {
                0 => Mark::Plain,
                1 => Mark::Hold,
                2 => Mark::Copy,
                _ => Mark::Corrupt,
            },
        }
    }
}

#[derive(Debug, Default)]
struct State {
    bytes: Vec<u8>,
    /// A publisher found no room since the last take.
    blocked: bool,
    closed: bool,
}

/// The buffer of one subscribing connection.
#[derive(Debug, Default)]
pub(super) struct Ring {
    state: Mutex<State>,
    filled: Notify,
    drained: Notify,
    /// Deliveries pushed and not handed over, second copies left out.
    outstanding: AtomicU64,
}

/// A ring with its lock held.
pub(super) struct Pushing<'a> {
    ring: &'a Ring,
    state: MutexGuard<'a, State>,
    was_empty: bool,
    pushed: u64,
}

impl Ring {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins to append.
    pub(super) fn push(&self) -> Pushing<'_> {
        let state = self.lock();
        Pushing { ring: self, was_empty: state.bytes.is_empty(), state, pushed: 0 }
    }

    /// Waits until the subscriber has taken what filled the ring.
    pub(super) async fn room(&self) {
        let mut drained = std::pin::pin!(self.drained.notified());
        drained.as_mut().enable();
        if self.lock().blocked {
            drained.await;
        }
    }

    /// Swaps all that waits into `empty`; `false` if nothing does.
    pub(super) fn take(&self, empty: &mut Vec<u8>) -> Result<bool, DriverError> {
        let mut state = self.lock();
        std::mem::swap(&mut state.bytes, empty);
        let woken = std::mem::take(&mut state.blocked);
        let closed = state.closed;
        drop(state);
        if woken {
            self.drained.notify_waiters();
        }
        match (empty.is_empty(), closed) {
            (false, _) => Ok(true),
            (true, false) => Ok(false),
            (true, true) => Err(DriverError::new(ErrorKind::Disconnected, NAME, "the bus was taken away")),
        }
    }

    /// Waits until something was pushed since the last take.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }

    /// Says that deliveries were handed over.
    pub(super) fn handed_over(&self, deliveries: u64) {
        self.outstanding.fetch_sub(deliveries, Ordering::Relaxed);
    }

    pub(super) fn outstanding(&self) -> u64 {
        self.outstanding.load(Ordering::Relaxed)
    }

    /// Closes for good: what it held is nobody's any more.
    pub(super) fn forget(&self) {
        self.close();
        self.outstanding.store(0, Ordering::Relaxed);
    }

    /// Refuses what comes from now on, and lets nobody wait.
    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.blocked = false;
        drop(state);
        self.filled.notify_one();
        self.drained.notify_waiters();
    }
}

impl Pushing<'_> {
    /// Appends a frame; `false` if there is no room for it. A closed ring swallows everything.
    #[inline]
    pub(super) fn frame(&mut self, head: &Head, payload: &[u8]) -> bool {
        let state = &mut *self.state;
        if state.closed {
            return true;
        }
        if !state.bytes.is_empty() && state.bytes.len() + HEAD_BYTES + payload.len() > RING_BYTES {
            state.blocked = true;
            return false;
        }
        head.append(&mut state.bytes);
        state.bytes.extend_from_slice(payload);
        self.pushed += u64::from(head.mark != Mark::Copy);
        true
    }

    /// Flips bit `bit` of the payload appended last, which has `length` bytes.
    pub(super) fn flip(&mut self, length: usize, bit: u32) {
        if self.state.closed {
            return;
        }
        let start = self.state.bytes.len() - length;
        self.state.bytes[start + bit as usize / 8] ^= 1 << (bit % 8);
    }

    /// Lets the subscriber see what was appended.
    pub(super) fn done(self) {
        let Self { ring, state, was_empty, pushed } = self;
        ring.outstanding.fetch_add(pushed, Ordering::Relaxed);
        let filled = was_empty && !state.bytes.is_empty();
        drop(state);
        if filled {
            ring.filled.notify_one();
        }
    }
}
