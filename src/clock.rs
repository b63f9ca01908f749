//! The one place that reads the operating system's clocks.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Nanoseconds on the monotonic clock since an arbitrary origin shared by all clones of a [`Clock`].
pub type Nanos = u64;

/// A monotonic clock, or its manual twin for tests. Cheap to clone; clones agree.
#[derive(Debug, Clone)]
pub enum Clock {
    /// CLOCK_MONOTONIC, counted from when this clock was made.
    Real(Instant),
    /// Moves only when told to.
    Manual(Arc<AtomicU64>),
}

impl Clock {
    /// The machine's monotonic clock; 0 is now.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    pub fn real() -> Self {
        Self::Real(Instant::now())
    }

    /// A clock for tests, at 0.
    #[must_use]
    pub fn manual() -> Self {
        Self::Manual(Arc::new(AtomicU64::new(0)))
    }

    /// Nanoseconds since this clock's origin.
    #[must_use]
    #[inline]
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
    pub fn now(&self) -> Nanos {
        match self {
            Self::Real(origin) => {
                u64::try_from(Instant::now().duration_since(*origin).as_nanos()).unwrap_or(u64::MAX)
            }
            Self::Manual(nanos) => nanos.load(Ordering::Relaxed),
        }
    }

    /// Moves a manual clock; a real one ignores it.
    pub fn advance(&self, by: Nanos) {
        if let Self::Manual(nanos) = self {
            nanos.fetch_add(by, Ordering::Relaxed);
        }
    }
}

/// Wall-clock nanoseconds since 1970, for names and manifests only, never for latencies.
#[must_use]
#[expect(clippy::disallowed_methods, reason = "this is the one place that reads the clock")]
pub fn unix_nanos() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_told_and_all_clones_agree() {
        let clock = Clock::manual();
        let twin = clock.clone();
        clock.advance(5);
        assert_eq!((clock.now(), twin.now()), (5, 5));
    }

    #[test]
    fn a_real_clock_never_goes_back() {
        let clock = Clock::real();
        let first = clock.now();
        assert!(clock.now() >= first);
    }
}
