//! The short spin before a due time, and how much CPU it took.

use std::cell::Cell;
use std::time::Duration;

use crate::clock::Nanos;

/// Longest spin before one due time.
pub const SPIN_MAX: Duration = Duration::from_micros(50);

/// One look at an idle runtime takes less than this (a yield and a poll of its sockets: about 1 µs).
const LOOK_MAX: Nanos = 5_000;

/// Counts the time that a thread spent spinning while it had nothing else to do, from a given moment on.
/// Tasks of the same thread call [`SpinMeter::worked`] when they do something, so that their time is not taken
/// for spin.
#[derive(Debug, Default)]
pub struct SpinMeter {
    from: Nanos,
    spun: Cell<Nanos>,
    work: Cell<u64>,
}

impl SpinMeter {
    /// A meter that counts from `from` on the clock.
    #[must_use]
    pub fn new(from: Nanos) -> Self {
        Self { from, ..Self::default() }
    }

    /// A task of this thread did something.
    #[inline]
    pub fn worked(&self) {
        self.work.set(self.work.get().wrapping_add(1));
    }

    /// How often [`Self::worked`] was called.
    #[must_use]
    #[inline]
    pub fn work(&self) -> u64 {
        self.work.get()
    }

    /// Looked once whether anything was to be done, between two moments on the clock. Longer than a look
    /// takes, and something was: a client library's own tasks don't say so.
    #[inline]
    pub fn spun(&self, before: Nanos, after: Nanos) {
        if before >= self.from && after - before <= LOOK_MAX {
            self.spun.set(self.spun.get() + (after - before));
        }
    }

    /// Nanoseconds spun so far.
    #[must_use]
    pub fn total(&self) -> Nanos {
        self.spun.get()
    }
}
