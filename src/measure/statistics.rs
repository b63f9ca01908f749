//! Summing up trials: medians of per-trial figures, with intervals that assume no distribution.
//!
//! Percentiles of different trials are never pooled. The interval of the median is the rank (order-statistic)
//! interval: of n independent trials, the true median lies below the k-th smallest with the probability that
//! fewer than k of n fair coins show heads (David and Nagaraja, "Order Statistics", 3rd ed., 2003, section
//! 7.1; Le Boudec, "Performance Evaluation of Computer and Communication Systems", 2010, section 2.2). The
//! widest such interval, from the smallest to the largest, covers with 1 − 2^(1−n): 95 % needs 6 trials; one
//! bound at 95 % by itself needs 5.

/// Largest probability that the true median lies beyond one end of an interval that covers with 95 %.
pub const TWO_SIDED: f64 = 0.025;
/// Largest probability that the true median lies beyond the one bound that a one-sided statement needs.
pub const ONE_SIDED: f64 = 0.05;

/// The values in order, +∞ (a percentile beyond everything measured) last; `None` for none, or one that is no
/// number.
#[must_use]
pub fn ranked(values: &[f64]) -> Option<Vec<f64>> {
    if values.is_empty() || values.iter().any(|value| value.is_nan()) {
        return None;
    }
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    Some(sorted)
}

/// The median of values in order (at least one); of an even number, the mean of the middle two.
#[must_use]
pub fn middle(sorted: &[f64]) -> f64 {
    let (low, high) = (sorted[(sorted.len() - 1) / 2], sorted[sorted.len() / 2]);
    // Not the mean of two infinities of one sign, nor an overflow.
    if low == high { low } else { low / 2.0 + high / 2.0 }
}

/// The median; `None` for no values, or one that is no number.
#[must_use]
pub fn median(values: &[f64]) -> Option<f64> {
    ranked(values).map(|sorted| middle(&sorted))
}

/// The largest k for which the true median lies below the k-th smallest of `count` values (and above the k-th
/// largest) with a probability of at most `beyond`; `None` if there is none.
#[must_use]
pub fn rank(count: usize, beyond: f64) -> Option<usize> {
    // More tosses leave the range of f64; nobody runs as many trials.
    let n = count.min(1000);
    let mut term = 0.5f64.powi(n as i32);
    let mut below = 0.0;
    let mut found = None;
    for k in 1..=n.div_ceil(2) {
        below += term;
        term *= (n - k + 1) as f64 / k as f64;
        if below > beyond {
            break;
        }
        found = Some(k);
    }
    found
}

/// Lower and upper end of the rank interval of values in order; `None` with too few.
#[must_use]
pub fn interval(sorted: &[f64], beyond: f64) -> Option<(f64, f64)> {
    rank(sorted.len(), beyond).map(|k| (sorted[k - 1], sorted[sorted.len() - k]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prng::Prng;

    #[test]
    fn ranks_are_those_of_the_binomial_tables() {
        // Conover, "Practical Nonparametric Statistics"; Le Boudec 2010, appendix A: n = 10 → 2, 20 → 6, 30 → 10.
        let two_sided = [
            (5, None),
            (6, Some(1)),
            (8, Some(1)),
            (9, Some(2)),
            (12, Some(3)),
            (20, Some(6)),
            (30, Some(10)),
        ];
        for (count, expected) in two_sided {
            assert_eq!(rank(count, TWO_SIDED), expected, "n = {count}");
        }
        let one_sided: Vec<_> = [4, 5, 7, 8, 10, 11, 13, 20, 30].map(|count| rank(count, ONE_SIDED)).into();
        let expected = [None, Some(1), Some(1), Some(2), Some(2), Some(3), Some(4), Some(6), Some(11)];
        assert_eq!(one_sided, expected);
    }

    #[test]
    fn an_interval_covers_the_true_median_as_often_as_it_says() {
        let mut prng = Prng::new(21);
        let rounds = 20_000;
        for (trials, beyond) in
            [(6, TWO_SIDED), (9, TWO_SIDED), (15, TWO_SIDED), (5, ONE_SIDED), (8, ONE_SIDED)]
        {
            let mut missed = 0;
            for _ in 0..rounds {
                let values: Vec<f64> = (0..trials).map(|_| prng.exponential()).collect();
                let (_, high) = interval(&ranked(&values).unwrap(), beyond).unwrap();
                missed += u32::from(high < std::f64::consts::LN_2);
            }
            let share = f64::from(missed) / f64::from(rounds);
            assert!(share <= beyond + 0.005, "seed 21, {trials} trials: {share} beyond, said {beyond}");
        }
    }

    #[test]
    fn medians_stand_in_the_middle_even_of_infinities() {
        let inf = f64::INFINITY;
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0]), Some(2.5));
        assert_eq!(median(&[inf, inf]), Some(inf));
        assert_eq!(median(&[inf, 1.0, 2.0, inf, 3.0, inf, 4.0]), Some(4.0));
        assert_eq!((median(&[]), median(&[1.0, f64::NAN])), (None, None));
    }
}
