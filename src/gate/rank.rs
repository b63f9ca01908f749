//! The median of a few trials, with bounds for one-sided statements.

use crate::measure::statistics::{self, ONE_SIDED, ranked};

pub use crate::measure::statistics::median;

/// Fewest trials that give such bounds: (1/2)^5 is the first power of a half below [`ONE_SIDED`].
pub const TRIALS_MIN: usize = 5;

/// A median with its bounds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MedianInterval {
    /// The median; of an even number, the mean of the middle two.
    pub median: f64,
    /// The true median is below this with a probability of 5 % at most; the smallest value with fewer than
    /// [`TRIALS_MIN`].
    pub low: f64,
    /// The true median is above this with a probability of 5 % at most; the largest value with fewer.
    pub high: f64,
    /// Number of values.
    pub count: usize,
}

impl MedianInterval {
    /// Whether there were enough values for bounds that mean something.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.count >= TRIALS_MIN
    }
}

/// Median and rank interval (see [`statistics`]), each bound at 95 % by itself, as a one-sided statement needs it.
/// `None` for no values, or one that is no number.
#[must_use]
pub fn median_interval(values: &[f64]) -> Option<MedianInterval> {
    let sorted = ranked(values)?;
    let all = (sorted[0], sorted[sorted.len() - 1]);
    let (low, high) = statistics::interval(&sorted, ONE_SIDED).unwrap_or(all);
    Some(MedianInterval { median: statistics::middle(&sorted), low, high, count: sorted.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_few_trials_give_their_whole_range_and_say_that_it_means_nothing() {
        let four = median_interval(&[4.0, 1.0, 2.0, 3.0]).unwrap();
        assert_eq!((four.low, four.median, four.high, four.is_sound()), (1.0, 2.5, 4.0, false));
        let five = median_interval(&[4.0, 1.0, 2.0, 3.0, 5.0]).unwrap();
        assert_eq!((five.low, five.median, five.high, five.is_sound()), (1.0, 3.0, 5.0, true));
        assert_eq!(statistics::rank(TRIALS_MIN - 1, ONE_SIDED), None);
    }
}
