//! Wilcoxon's signed-rank test on paired differences, exact, with the bounds that belong to it
//! (Hollander, Wolfe, Chicken, "Nonparametric Statistical Methods", 3.1 to 3.3).

/// Stands for an infinite difference: beyond every logarithm of a ratio of two finite figures.
const BEYOND: f64 = 1_500.0;

/// What paired differences say about their median.
#[derive(Debug, Clone, PartialEq)]
pub struct SignedRank {
    differences: Vec<f64>,
    /// Means of all pairs of differences, each with itself too, ascending.
    walsh: Vec<f64>,
}

impl SignedRank {
    /// Of these differences; infinite ones are kept as very large, those that are no number as none at all.
    #[must_use]
    pub fn of(differences: &[f64]) -> Self {
        let differences: Vec<f64> = differences.iter().map(|one| clamped(*one)).collect();
        let mut walsh: Vec<f64> = differences
            .iter()
            .enumerate()
            .flat_map(|(index, first)| differences[index..].iter().map(move |second| first.midpoint(*second)))
            .collect();
        walsh.sort_by(f64::total_cmp);
        Self { differences, walsh }
    }

    /// Number of differences.
    #[must_use]
    pub fn count(&self) -> usize {
        self.differences.len()
    }

    /// The Hodges–Lehmann estimate of the median difference; 0 without any.
    #[must_use]
    pub fn estimate(&self) -> f64 {
        middle(&self.walsh)
    }

    /// Probability of rank sums this large or larger, if the differences were as likely below zero as above:
    /// small where they are above. Exact, given the ties; differences of zero say nothing and are left out.
    #[must_use]
    pub fn p_above(&self) -> f64 {
        let mut apart: Vec<f64> = self.differences.iter().copied().filter(|one| *one != 0.0).collect();
        apart.sort_by(|a, b| a.abs().total_cmp(&b.abs()));
        let ranks = double_ranks(&apart, |a, b| a.abs() == b.abs());
        let positive = apart.iter().zip(&ranks).filter(|(one, _)| **one > 0.0);
        let sum: usize = positive.map(|(_, rank)| rank).sum();
        distribution(&ranks)[sum..].iter().sum::<f64>().min(1.0)
    }

    /// A value that the median difference exceeds with a probability of at most `alpha`; infinite if there
    /// are too few differences for that.
    #[must_use]
    pub fn upper(&self, alpha: f64) -> f64 {
        self.margin(alpha).map_or(f64::INFINITY, |beyond| self.walsh[self.walsh.len() - 1 - beyond])
    }

    /// A value that the median difference falls short of with a probability of at most `alpha`; minus
    /// infinity if there are too few differences for that.
    #[must_use]
    pub fn lower(&self, alpha: f64) -> f64 {
        self.margin(alpha).map_or(f64::NEG_INFINITY, |beyond| self.walsh[beyond])
    }

    /// How many of the pair means may lie beyond a bound: the largest k with P(T ≤ k) ≤ alpha.
    fn margin(&self, alpha: f64) -> Option<usize> {
        let ranks: Vec<usize> = (1..=self.count()).collect();
        let mut below = 0.0;
        let fitting = distribution(&ranks).into_iter().take_while(|share| {
            below += share;
            below <= alpha
        });
        fitting.count().checked_sub(1)
    }
}

/// A value that ranks like the given one and can be subtracted: no infinity, and 0 for what is no number.
pub(super) fn clamped(value: f64) -> f64 {
    if value.is_nan() { 0.0 } else { value.clamp(-BEYOND, BEYOND) }
}

/// The median of sorted values; 0 without any.
pub(super) fn middle(sorted: &[f64]) -> f64 {
    let (count, middle) = (sorted.len(), sorted.len() / 2);
    match count {
        0 => 0.0,
        _ if count % 2 == 1 => sorted[middle],
        _ => sorted[middle - 1].midpoint(sorted[middle]),
    }
}

/// Twice the mid-ranks of sorted values, so that ties stay whole numbers.
pub(super) fn double_ranks<T>(sorted: &[T], tied: impl Fn(&T, &T) -> bool) -> Vec<usize> {
    let mut ranks = Vec::with_capacity(sorted.len());
    for group in sorted.chunk_by(tied) {
        let first = ranks.len() + 1;
        ranks.extend(std::iter::repeat_n(2 * first + group.len() - 1, group.len()));
    }
    ranks
}

/// Probability of each sum of a random half of the ranks, from 0 on.
fn distribution(ranks: &[usize]) -> Vec<f64> {
    let mut shares = vec![0.0; ranks.iter().sum::<usize>() + 1];
    shares[0] = 1.0;
    let mut reach = 0;
    for rank in ranks {
        reach += rank;
        for sum in (0..=reach).rev() {
            let with = if sum >= *rank { shares[sum - rank] } else { 0.0 };
            shares[sum] = (shares[sum] + with) / 2.0;
        }
    }
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prng::Prng;

    #[test]
    fn p_values_are_those_of_the_published_tables() {
        // All n positive: 2^-n. Hollander & Wolfe, table A.4: P(T+ >= 44 | n = 9) = 0.004, P(T+ >= 37) = 0.049.
        let all: Vec<f64> = (1..=6).map(f64::from).collect();
        assert!((SignedRank::of(&all).p_above() - 1.0 / 64.0).abs() < 1e-12);
        let nine = |negative: &[i32]| {
            let differences: Vec<f64> =
                (1..=9).map(|rank| f64::from(if negative.contains(&rank) { -rank } else { rank })).collect();
            SignedRank::of(&differences).p_above()
        };
        assert!((nine(&[1]) - 0.0039).abs() < 1e-4, "{}", nine(&[1]));
        assert!((nine(&[8]) - 0.0488).abs() < 1e-4, "{}", nine(&[8]));
    }

    #[test]
    fn depression_scores_of_hollander_and_wolfe_give_their_estimate_and_bound() {
        // Table 3.1 there: estimate of the shift −0.46, P = 0.020 for improvement, upper bound −0.01 at 96 %.
        let before = [1830.0, 500.0, 1620.0, 2480.0, 1680.0, 1880.0, 1550.0, 3060.0, 1300.0];
        let after = [878.0, 647.0, 598.0, 2050.0, 1060.0, 1290.0, 1060.0, 3140.0, 1290.0];
        let shift: Vec<f64> =
            before.iter().zip(after).map(|(before, after)| (after - before) / 1000.0).collect();
        let result = SignedRank::of(&shift);
        let improvement = SignedRank::of(&shift.iter().map(|one| -one).collect::<Vec<_>>());
        assert!((result.estimate() + 0.46).abs() < 0.005, "{}", result.estimate());
        assert!((improvement.p_above() - 0.0195).abs() < 5e-4, "{}", improvement.p_above());
        assert_eq!(result.upper(0.05), -improvement.lower(0.05));
    }

    #[test]
    fn ties_and_zeros_keep_the_test_exact() {
        assert_eq!(SignedRank::of(&[0.0; 8]).p_above(), 1.0);
        assert_eq!(SignedRank::of(&[]).p_above(), 1.0);
        assert!((SignedRank::of(&[1.0; 5]).p_above() - 1.0 / 32.0).abs() < 1e-12);
        assert_eq!(SignedRank::of(&[1.0, -1.0]).p_above(), 0.75);
        assert!(SignedRank::of(&[f64::INFINITY; 7]).p_above() < 0.01);
    }

    #[test]
    fn too_few_differences_bound_nothing() {
        let few = SignedRank::of(&[0.1, 0.2, 0.3, 0.4]);
        assert_eq!((few.upper(0.05), few.lower(0.05)), (f64::INFINITY, f64::NEG_INFINITY));
    }

    #[test]
    fn test_and_bound_keep_their_level_under_no_difference() {
        let mut prng = Prng::new(3);
        let rounds = 20_000;
        let (mut alarms, mut missed) = (0, 0);
        for _ in 0..rounds {
            let differences: Vec<f64> = (0..15).map(|_| prng.normal()).collect();
            let result = SignedRank::of(&differences);
            alarms += u32::from(result.p_above() <= 0.05);
            missed += u32::from(result.upper(0.05) < 0.0);
        }
        for count in [alarms, missed] {
            let share = f64::from(count) / f64::from(rounds);
            assert!((0.04..0.053).contains(&share), "{share}");
        }
    }
}
