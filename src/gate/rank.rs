//! The median of a few trials, with bounds that need no assumption on the distribution.

/// Largest probability that the true median lies beyond one bound.
const ALPHA: f64 = 0.05;

/// Fewest trials that give such bounds: (1/2)^5 is the first power of a half below `ALPHA`.
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

/// Median and rank interval (order statistics: Conover, "Practical Nonparametric Statistics", 3.2), each bound
/// at 95 % by itself, as a one-sided statement needs it. `None` for no values, or one that is no number.
#[must_use]
pub fn median_interval(values: &[f64]) -> Option<MedianInterval> {
    let sorted = sorted(values)?;
    let count = sorted.len();
    let rank = bound_rank(count).max(1);
    Some(MedianInterval { median: middle(&sorted), low: sorted[rank - 1], high: sorted[count - rank], count })
}

/// The median alone.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    sorted(values).map(|sorted| middle(&sorted))
}

fn sorted(values: &[f64]) -> Option<Vec<f64>> {
    if values.is_empty() || values.iter().any(|value| value.is_nan()) {
        return None;
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    Some(sorted)
}

fn middle(sorted: &[f64]) -> f64 {
    let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
    // Not the mean of two infinities of one sign, nor an overflow.
    if low == high { low } else { low / 2.0 + high / 2.0 }
}

/// The largest rank r (from 1) such that fewer than r of `count` values fall below the true median with a
/// probability of at most [`ALPHA`]; 0 if there is none.
fn bound_rank(count: usize) -> usize {
    let mut term = 0.5f64.powi(i32::try_from(count).unwrap_or(i32::MAX));
    let mut below = 0.0;
    for rank in 0..count {
        below += term;
        if below > ALPHA {
            return rank;
        }
        term *= (count - rank) as f64 / (rank + 1) as f64;
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prng::Prng;

    #[test]
    fn ranks_are_those_of_the_binomial_tables() {
        let ranks: Vec<usize> = [4, 5, 7, 8, 10, 11, 13, 20, 30].into_iter().map(bound_rank).collect();
        assert_eq!(ranks, [0, 1, 1, 2, 2, 3, 4, 6, 11]);
    }

    #[test]
    fn medians_stand_in_the_middle_even_of_infinities() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0]), Some(2.5));
        assert_eq!(median(&[f64::INFINITY, f64::INFINITY]), Some(f64::INFINITY));
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[1.0, f64::NAN]), None);
    }

    #[test]
    fn each_bound_misses_the_true_median_in_at_most_one_case_of_twenty() {
        let mut prng = Prng::new(11);
        for count in [5, 8, 15] {
            let rounds = 20_000;
            let mut missed = 0;
            for _ in 0..rounds {
                let values: Vec<f64> = (0..count).map(|_| prng.normal().exp()).collect();
                let interval = median_interval(&values).unwrap();
                missed += u32::from(interval.high < 1.0);
            }
            assert!(f64::from(missed) / f64::from(rounds) <= 0.053, "{count}: {missed}");
        }
    }
}
