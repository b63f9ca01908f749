//! Summing up trials: the median of per-trial figures, with intervals that assume no distribution.
//!
//! Percentiles of different trials are never pooled. The interval of the median is the rank (order-statistic)
//! interval: of n independent trials, the true median lies below the k-th smallest with the probability that
//! fewer than k of n fair coins show heads (David and Nagaraja, "Order Statistics", 3rd ed., 2003, section
//! 7.1; Le Boudec, "Performance Evaluation of Computer and Communication Systems", 2010, section 2.2). The
//! widest such interval, from the smallest to the largest, covers with 1 − 2^(1−n): 95 % needs 6 trials.

/// Coverage that an interval must reach.
pub const CONFIDENCE: f64 = 0.95;
/// Fewest trials for an interval of [`CONFIDENCE`].
pub const TRIALS_MIN: usize = 6;
/// Name of the method, for reports.
pub const METHOD: &str = "median of trials, order-statistic interval";
/// Name of the method for ratios, for reports.
pub const RATIO_METHOD: &str = "median of paired trial ratios, order-statistic interval";

/// A figure over trials.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Estimate {
    /// Trials.
    pub trials: usize,
    /// Median of the trials.
    pub median: f64,
    /// Rank interval; `None` with fewer than [`TRIALS_MIN`] trials.
    pub interval: Option<Interval>,
}

/// A rank interval.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Interval {
    /// Lower end: one of the trials.
    pub low: f64,
    /// Upper end: one of the trials.
    pub high: f64,
    /// Its exact coverage, at least [`CONFIDENCE`].
    pub coverage: f64,
}

/// The median of `values` with its interval. +∞ (a percentile beyond everything measured) ranks last; NaN is
/// not allowed. `None` without values.
#[must_use]
pub fn estimate(values: &[f64]) -> Option<Estimate> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let (low, high) = (*sorted.get((sorted.len().checked_sub(1)?) / 2)?, sorted[sorted.len() / 2]);
    // Two infinite middle ones have an infinite mean; an infinite and a finite one too.
    let median = if low == high { low } else { f64::midpoint(low, high) };
    let interval = rank(sorted.len()).map(|(rank, coverage)| Interval {
        low: sorted[rank - 1],
        high: sorted[sorted.len() - rank],
        coverage,
    });
    Some(Estimate { trials: sorted.len(), median, interval })
}

/// How many times larger `ours` is than `theirs`, trial by trial: trials are interleaved, so that the i-th of
/// both ran side by side and the machine's drift falls out of their ratio. Trials without a counterpart and
/// pairs without a meaningful ratio (0/0, ∞/∞) are left out. `None` if nothing is left.
#[must_use]
pub fn ratio(ours: &[f64], theirs: &[f64]) -> Option<Estimate> {
    let ratios: Vec<f64> =
        ours.iter().zip(theirs).map(|(our, their)| our / their).filter(|ratio| !ratio.is_nan()).collect();
    estimate(&ratios)
}

/// The largest rank k whose interval from the k-th smallest to the k-th largest of `trials` covers with
/// [`CONFIDENCE`], and its coverage 1 − 2·P(fewer than k heads in `trials` tosses).
#[must_use]
pub fn rank(trials: usize) -> Option<(usize, f64)> {
    // Beyond 1,000 tosses 2^-n leaves the range of f64; nobody runs as many trials.
    let n = trials.min(1000);
    let mut term = 0.5f64.powi(n as i32);
    let mut below = 0.0;
    let mut found = None;
    for k in 1..=n / 2 {
        below += term;
        term *= (n - k + 1) as f64 / k as f64;
        let coverage = 1.0 - 2.0 * below;
        if coverage < CONFIDENCE {
            break;
        }
        found = Some((k, coverage));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prng::Prng;

    #[test]
    fn five_trials_have_no_95_percent_interval_and_six_have() {
        assert_eq!(rank(TRIALS_MIN - 1), None);
        assert_eq!(rank(TRIALS_MIN), Some((1, 1.0 - 2.0 / 64.0)));
        assert_eq!(estimate(&[1.0, 2.0, 3.0, 4.0, 5.0]).unwrap().interval, None);
    }

    #[test]
    fn ranks_are_those_of_published_tables() {
        // Le Boudec 2010, appendix A (confidence 95 %): n = 10 → 2 and 9, n = 20 → 6 and 15, n = 30 → 10 and 21.
        for (trials, expected) in [(9, 2), (10, 2), (20, 6), (30, 10)] {
            let (rank, coverage) = rank(trials).unwrap();
            assert_eq!(rank, expected, "{trials}");
            assert!(coverage >= CONFIDENCE);
        }
    }

    #[test]
    fn the_interval_covers_the_true_median_as_often_as_it_says() {
        let mut prng = Prng::new(21);
        let rounds = 20_000;
        for trials in [6, 9, 15] {
            let (_, coverage) = rank(trials).unwrap();
            let covered = (0..rounds)
                .filter(|_| {
                    let values: Vec<f64> = (0..trials).map(|_| prng.exponential()).collect();
                    let interval = estimate(&values).unwrap().interval.unwrap();
                    (interval.low..=interval.high).contains(&std::f64::consts::LN_2)
                })
                .count();
            let share = covered as f64 / f64::from(rounds);
            assert!((share - coverage).abs() < 0.01, "seed 21, {trials} trials: {share}, said {coverage}");
        }
    }

    #[test]
    fn percentiles_beyond_everything_rank_last() {
        let inf = f64::INFINITY;
        let found = estimate(&[inf, 1.0, 2.0, inf, 3.0, inf, 4.0]).unwrap();
        assert_eq!((found.median, found.interval.unwrap().high), (4.0, inf));
        assert_eq!(estimate(&[inf, inf]).unwrap().median, inf);
        assert_eq!(estimate(&[]), None);
    }

    #[test]
    fn a_ratio_is_taken_trial_by_trial_so_that_drift_of_the_machine_falls_out() {
        let drift = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0];
        let ours = drift.map(|d| 3.0 * d);
        let found = ratio(&ours, &drift).unwrap();
        assert_eq!((found.median, found.interval.unwrap().low), (3.0, 3.0));
        assert_eq!(ratio(&[f64::INFINITY], &[f64::INFINITY]), None);
    }
}
