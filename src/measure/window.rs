//! How large the ledger's window has to be, and what it takes.

use std::time::Duration;

use super::lane_book::LaneBook;
use super::ledger::ReceiverLedger;

/// Smallest window that is chosen: below it nothing is saved.
pub const SMALLEST_WINDOW: u64 = 1024;
/// All ledgers of a trial together take at most this; a window that would need more is made smaller, and a
/// run whose messages come later than that is SUSPECT.
pub const MEMORY_CAP_BYTES: u64 = 1 << 30;

/// What a trial's ledgers have to hold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LedgerExtent {
    /// Messages per second on the busiest lane: offered, or the most the closed loop can be expected to reach.
    pub rate_per_lane: f64,
    /// How late a message or its answer may come: answer limit and drain limit together.
    pub lateness: Duration,
    /// Messages in flight on one lane at most.
    pub in_flight: u64,
    /// Lanes of the trial.
    pub lanes: u64,
    /// Lanes read, summed over the receivers.
    pub slots: u64,
}

/// The window in messages, a power of two: what the busiest lane sends in `lateness`, plus what is in flight,
/// plus a quarter; at least [`SMALLEST_WINDOW`], and as much as [`MEMORY_CAP_BYTES`] allows.
#[must_use]
pub fn window_for(extent: &LedgerExtent) -> u64 {
    let late = extent.rate_per_lane.max(0.0) * extent.lateness.as_secs_f64();
    let wanted = 1.25 * (late + extent.in_flight as f64);
    let mut window = (wanted.min(1e15) as u64).max(SMALLEST_WINDOW).next_power_of_two();
    while window > SMALLEST_WINDOW && memory_for(window, extent) > MEMORY_CAP_BYTES {
        window /= 2;
    }
    window
}

/// Bytes that all ledgers of the trial take at most with this window.
#[must_use]
pub fn memory_for(window: u64, extent: &LedgerExtent) -> u64 {
    LaneBook::bytes(window)
        .saturating_mul(extent.lanes)
        .saturating_add(ReceiverLedger::bytes_per_lane(window).saturating_mul(extent.slots))
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXTENT: LedgerExtent = LedgerExtent {
        rate_per_lane: 1000.0,
        lateness: Duration::from_secs(35),
        in_flight: 1000,
        lanes: 16,
        slots: 256,
    };

    #[test]
    fn the_window_holds_all_that_may_come_late() {
        assert_eq!(window_for(&EXTENT), 65_536, "1.25 × (35,000 + 1,000), rounded up");
        assert_eq!(window_for(&LedgerExtent { rate_per_lane: 0.1, in_flight: 1, ..EXTENT }), SMALLEST_WINDOW);
    }

    #[test]
    fn memory_has_a_cap_whatever_is_asked_for() {
        let huge = LedgerExtent { rate_per_lane: 1e7, lanes: 100, slots: 10_000, ..EXTENT };
        let window = window_for(&huge);
        assert!(
            memory_for(window, &huge) <= MEMORY_CAP_BYTES && memory_for(2 * window, &huge) > MEMORY_CAP_BYTES
        );
        let absurd = LedgerExtent { rate_per_lane: f64::INFINITY, ..EXTENT };
        assert!(memory_for(window_for(&absurd), &absurd) <= MEMORY_CAP_BYTES);
    }
}
