//! The rank-sum test of Mann and Whitney on two samples that were not taken in pairs, exact with ties, with the
//! bounds that belong to it (Hollander, Wolfe, Chicken, "Nonparametric Statistical Methods", 4.1 to 4.3).

use super::signed_rank::{clamped, double_ranks, middle};

/// What two samples say about the shift between them.
#[derive(Debug, Clone, PartialEq)]
pub struct RankSum {
    base: Vec<f64>,
    candidate: Vec<f64>,
    /// Candidate minus base, all pairs, ascending.
    shifts: Vec<f64>,
}

impl RankSum {
    /// Of these samples; infinite values are kept as very large, those that are no number as 0.
    #[must_use]
    pub fn of(base: &[f64], candidate: &[f64]) -> Self {
        let all = |values: &[f64]| values.iter().map(|value| clamped(*value)).collect::<Vec<f64>>();
        let (base, candidate) = (all(base), all(candidate));
        let mut shifts: Vec<f64> =
            candidate.iter().flat_map(|one| base.iter().map(move |other| one - other)).collect();
        shifts.sort_by(f64::total_cmp);
        Self { base, candidate, shifts }
    }

    /// Size of the candidate's sample.
    #[must_use]
    pub fn count(&self) -> usize {
        self.candidate.len()
    }

    /// The Hodges–Lehmann estimate: the median of all shifts; 0 without any.
    #[must_use]
    pub fn estimate(&self) -> f64 {
        middle(&self.shifts)
    }

    /// Probability that the candidate's ranks add up to as much or more, if both samples came from one source:
    /// small where the candidate's values are larger. Exact, given the ties.
    #[must_use]
    pub fn p_above(&self) -> f64 {
        let side = |values: &[f64], ours: bool| values.iter().map(|one| (*one, ours)).collect::<Vec<_>>();
        let mut all = side(&self.base, false);
        all.extend(side(&self.candidate, true));
        all.sort_by(|a, b| a.0.total_cmp(&b.0));
        let ranks = double_ranks(&all, |a, b| a.0 == b.0);
        let ours = all.iter().zip(&ranks).filter(|((_, ours), _)| *ours);
        let sum: usize = ours.map(|(_, rank)| rank).sum();
        distribution(&ranks, self.candidate.len())[sum..].iter().sum::<f64>().min(1.0)
    }

    /// A value that the shift exceeds with a probability of at most `alpha`; infinite if the samples are too
    /// small for that.
    #[must_use]
    pub fn upper(&self, alpha: f64) -> f64 {
        let (base, candidate) = (self.base.len(), self.candidate.len());
        let ranks: Vec<usize> = (1..=base + candidate).collect();
        let least = candidate * (candidate + 1) / 2;
        let mut below = 0.0;
        let fitting = distribution(&ranks, candidate).into_iter().skip(least).take_while(|share| {
            below += share;
            below <= alpha
        });
        let beyond = fitting.count();
        beyond.checked_sub(1).map_or(f64::INFINITY, |beyond| self.shifts[self.shifts.len() - 1 - beyond])
    }
}

/// Probability of each sum of `taken` of the ascending ranks, chosen at random, from 0 on. Ranks that are tied are taken
/// together, so that counts, which are 0 in most trials, cost little.
fn distribution(ranks: &[usize], taken: usize) -> Vec<f64> {
    let reach: usize = ranks.iter().rev().take(taken).sum();
    let mut ways = vec![vec![0.0f64; reach + 1]; taken + 1];
    ways[0][0] = 1.0;
    for group in ranks.chunk_by(|a, b| a == b) {
        // From the largest number taken down, so that each row still holds the groups before this one.
        for chosen in (0..=taken).rev() {
            let (row, above) = ways[chosen..].split_at_mut(1);
            for (sum, ways) in row[0].iter().enumerate().filter(|(_, ways)| **ways > 0.0) {
                let mut more = *ways;
                for (picked, into) in (1..=group.len()).zip(above.iter_mut()) {
                    more *= (group.len() + 1 - picked) as f64 / picked as f64;
                    let at = sum + picked * group[0];
                    into.get_mut(at).into_iter().for_each(|into| *into += more);
                }
            }
        }
    }
    let mut shares = ways.pop().unwrap_or_default();
    let all: f64 = shares.iter().sum();
    shares.iter_mut().for_each(|share| *share /= all);
    shares
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prng::Prng;

    #[test]
    fn p_values_are_those_of_the_published_tables() {
        // All of the candidate above all of the base: one way of C(n + m, n).
        let p = RankSum::of(&[1.0, 2.0, 3.0], &[4.0, 5.0, 6.0, 7.0]).p_above();
        assert!((p - 1.0 / 35.0).abs() < 1e-12, "{p}");
        // Hollander & Wolfe, example 4.1 (permeability of membranes): P = 0.1272, estimate 0.305.
        let at_term = [0.80, 0.83, 1.89, 1.04, 1.45, 1.38, 1.91, 1.64, 0.73, 1.46];
        let earlier = [1.15, 0.88, 0.90, 0.74, 1.21];
        let below = RankSum::of(&earlier, &at_term).p_above();
        assert!((below - 0.1272).abs() < 5e-4, "{below}");
        assert!((RankSum::of(&at_term, &earlier).estimate() + 0.305).abs() < 1e-9);
    }

    #[test]
    fn ties_keep_the_test_exact() {
        assert_eq!(RankSum::of(&[0.0; 4], &[0.0; 4]).p_above(), 1.0);
        // One of two against none of four: 2 of 6 places.
        let p = RankSum::of(&[0.0; 4], &[0.0, 7.0]).p_above();
        assert!((p - 2.0 / 6.0).abs() < 1e-12, "{p}");
        assert!(RankSum::of(&[1.0; 8], &[f64::INFINITY; 8]).p_above() < 1e-3);
    }

    #[test]
    fn too_few_values_bound_nothing() {
        assert_eq!(RankSum::of(&[1.0, 2.0], &[1.0, 2.0]).upper(0.05), f64::INFINITY);
        assert!(RankSum::of(&[1.0, 2.0, 3.0], &[1.0, 2.0, 3.0]).upper(0.05).is_finite());
    }

    #[test]
    fn test_and_bound_keep_their_level_under_no_difference() {
        let mut prng = Prng::new(5);
        let rounds = 1_000;
        let (mut alarms, mut missed) = (0, 0);
        for _ in 0..rounds {
            let mut sample = |count: usize| (0..count).map(|_| prng.normal()).collect::<Vec<f64>>();
            let ranks = RankSum::of(&sample(5), &sample(8));
            alarms += u32::from(ranks.p_above() <= 0.05);
            missed += u32::from(ranks.upper(0.05) < 0.0);
        }
        for count in [alarms, missed] {
            let share = f64::from(count) / f64::from(rounds);
            assert!((0.02..0.065).contains(&share), "{share}");
        }
    }
}
