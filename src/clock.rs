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

/// Wall-clock nanoseconds since 1970 as RFC 3339 in UTC, to the second: `2026-01-31T23:59:58Z`.
#[must_use]
pub fn rfc3339(unix_nanos: u64) -> String {
    const DAY: u64 = 86_400;
    /// Days from 0000-03-01, where a 400-year cycle begins, to 1970-01-01.
    const EPOCH: u64 = 719_468;
    const CYCLE: u64 = 146_097;
    let seconds = unix_nanos / 1_000_000_000;
    let (days, of_day) = (seconds / DAY + EPOCH, seconds % DAY);
    let (cycle, of_cycle) = (days / CYCLE, days % CYCLE);
    let year = (of_cycle - of_cycle / 1_460 + of_cycle / 36_524 - of_cycle / (CYCLE - 1)) / 365;
    let of_year = of_cycle - (365 * year + year / 4 - year / 100);
    // Months from March on are 31, 30, 31, 30, 31 days long, over and over.
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let year = year + cycle * 400 + u64::from(month <= 2);
    let (hour, minute, second) = (of_day / 3_600, of_day / 60 % 60, of_day % 60);
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_right_around_leap_days_and_turns_of_the_year() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_799, "2000-02-29T23:59:59Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (1_735_689_599, "2024-12-31T23:59:59Z"),
            (1_735_689_600, "2025-01-01T00:00:00Z"),
            (1_795_607_400, "2026-11-25T11:50:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
        ] {
            assert_eq!(rfc3339(seconds * 1_000_000_000), text);
        }
    }

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
