//! The short spin before a due time, and how much CPU it took.

use std::cell::Cell;
use std::time::Duration;

use crate::clock::Nanos;

/// Longest spin before one due time.
pub const SPIN_MAX: Duration = Duration::from_micros(50);

/// Counts the time that a thread spent spinning while it had nothing else to do. Tasks of the same thread
/// call [`SpinMeter::worked`] when they do something, so that their time is not taken for spin.
#[derive(Debug, Default)]
pub struct SpinMeter {
    spun: Cell<Nanos>,
    work: Cell<u64>,
}

impl SpinMeter {
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

    /// Adds spin time.
    #[inline]
    pub fn spun(&self, nanos: Nanos) {
        self.spun.set(self.spun.get() + nanos);
    }

    /// Nanoseconds spun so far.
    #[must_use]
    pub fn total(&self) -> Nanos {
        self.spun.get()
    }
}
