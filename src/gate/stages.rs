//! The decision of a gate in two stages: a first look at every metric, and, only if one looks bad, a second
//! look at fresh blocks at a strict level. Pure: blocks in, decision out.

use serde::Serialize;

use crate::scenario::Metric;

use super::blocks::Block;
use super::judge::or_inf;
use super::rank_sum::RankSum;
use super::signed_rank::SignedRank;
use super::value::value;
use crate::measure::TrialRecord;

/// Numbers of a gate, chosen by the simulation in `tests/gate_simulation.rs`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Design {
    /// Blocks of the first stage.
    pub first: usize,
    /// Fresh blocks of the second stage.
    pub second: usize,
    /// Level of the first stage.
    pub alpha_first: f64,
    /// Level of the second stage.
    pub alpha_second: f64,
    /// A ratio below this is no regression, however certain.
    pub least_ratio: f64,
    /// A pass needs the upper bound of every ratio below this.
    pub tolerance: f64,
    /// Largest coefficient of variation of a metric between like trials that allows an answer.
    pub noise_max: f64,
}

impl Design {
    /// False alarms below 0.5 %, and a p99 that is 20 % worse found in at least 90 % at a variation of 15 %.
    pub const STANDARD: Self = Self {
        first: 15,
        second: 26,
        alpha_first: 0.05,
        alpha_second: 0.01,
        least_ratio: 1.05,
        tolerance: 1.20,
        noise_max: 0.25,
    };
}

/// What one metric says of two sides, in logarithms, oriented so that above 0 the candidate is worse.
pub trait Evidence {
    /// The metric.
    fn metric(&self) -> &str;
    /// What its ranks say; the bound at this level.
    fn ranks(&self, alpha: f64) -> Ranks;
}

/// A rank test with the estimate and the bound that belong to it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Ranks {
    /// One-sided p-value of "no worse".
    pub p: f64,
    /// Hodges–Lehmann estimate of candidate over base, a logarithm.
    pub estimate: f64,
    /// What the true logarithm exceeds with a probability of at most the level.
    pub upper: f64,
    /// Blocks, or trials of the candidate where nothing was paired.
    pub count: usize,
}

/// The sign with which a metric's logarithm says "worse": rates are turned round.
fn sign(metric: &Metric) -> f64 {
    if metric.name.ends_with("_per_s") { -1.0 } else { 1.0 }
}

/// One metric over blocks: the logarithm of candidate over base, oriented so that above 0 is worse.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The metric.
    pub metric: String,
    /// One for each block.
    pub log_ratios: Vec<f64>,
}

impl Series {
    /// A metric over blocks. Rates are turned round, so that above 0 is worse for them too.
    ///
    /// # Errors
    /// Names the first block with an empty cell.
    pub fn of(metric: &Metric, blocks: &[Block<'_>]) -> Result<Self, String> {
        let sign = sign(metric);
        let log_ratio = |(index, block): (usize, &Block<'_>)| {
            let ratio = block.log_ratio(metric).map(|ratio| sign * ratio);
            ratio.ok_or_else(|| format!("`{}` is empty in block {}", metric.name, index + 1))
        };
        let log_ratios = blocks.iter().enumerate().map(log_ratio).collect::<Result<_, _>>()?;
        Ok(Self { metric: metric.name.clone(), log_ratios })
    }
}

impl Evidence for Series {
    fn metric(&self) -> &str {
        &self.metric
    }

    fn ranks(&self, alpha: f64) -> Ranks {
        let ranked = SignedRank::of(&self.log_ratios);
        let (p, estimate, upper) = (ranked.p_above(), ranked.estimate(), ranked.upper(alpha));
        Ranks { p, estimate, upper, count: ranked.count() }
    }
}

/// One metric of two sides that were not measured in turn: trials of a baseline and fresh ones.
#[derive(Debug, Clone, PartialEq)]
pub struct Apart {
    metric: String,
    base: Vec<f64>,
    candidate: Vec<f64>,
}

impl Apart {
    /// A metric over the trials of both sides.
    ///
    /// # Errors
    /// Names the first trial with an empty cell.
    pub fn of(metric: &Metric, base: &[&TrialRecord], candidate: &[&TrialRecord]) -> Result<Self, String> {
        let logs = |records: &[&TrialRecord], side: &str| {
            let log = |record: &&TrialRecord| {
                let found = value(record, metric).filter(|value| *value >= 0.0);
                let found = found.ok_or_else(|| {
                    format!("`{}` is empty in trial {} of the {side}", metric.name, record.trial)
                })?;
                Ok(sign(metric) * found.ln())
            };
            records.iter().map(log).collect::<Result<Vec<f64>, String>>()
        };
        let (base, candidate) = (logs(base, "baseline")?, logs(candidate, "candidate")?);
        Ok(Self { metric: metric.name.clone(), base, candidate })
    }
}

impl Evidence for Apart {
    fn metric(&self) -> &str {
        &self.metric
    }

    fn ranks(&self, alpha: f64) -> Ranks {
        let ranked = RankSum::of(&self.base, &self.candidate);
        let (p, estimate, upper) = (ranked.p_above(), ranked.estimate(), ranked.upper(alpha));
        Ranks { p, estimate, upper, count: ranked.count() }
    }
}

/// What a stage says about one metric.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// The metric.
    pub metric: String,
    /// Candidate over base, above 1 is worse: Hodges–Lehmann estimate of the median.
    #[serde(serialize_with = "or_inf")]
    pub ratio: f64,
    /// What the true ratio exceeds with a probability of at most 5 %; `None` if nothing bounds it.
    pub ratio_at_most: Option<f64>,
    /// One-sided p-value of the rank test, Holm-adjusted over the metrics of the stage.
    pub p: f64,
    /// The smallest ratio that a stage with this scatter finds in nine cases of ten.
    pub smallest_effect: Option<f64>,
    /// Blocks; trials of the candidate against a baseline.
    pub blocks: usize,
}

/// What comes next after the first stage.
#[derive(Debug, Clone, PartialEq)]
pub enum First {
    /// No regression, and every ratio is bounded below the tolerance.
    Pass(Vec<Finding>),
    /// Nothing looks bad, but the bounds are too wide for a pass.
    Inconclusive(Vec<Finding>),
    /// Some metrics look bad: measure fresh blocks.
    LookAgain {
        /// Those that do.
        suspects: Vec<String>,
        /// What was found of all.
        findings: Vec<Finding>,
    },
}

/// The end of the second stage.
#[derive(Debug, Clone, PartialEq)]
pub enum Second {
    /// A regression, confirmed on fresh blocks.
    Fail(Vec<Finding>),
    /// Not confirmed, and every ratio is bounded below the tolerance: by the fresh blocks for the metrics that
    /// had looked bad, by the first ones for the others.
    Pass(Vec<Finding>),
    /// Neither.
    Inconclusive(Vec<Finding>),
}

/// Level of the bounds that a pass rests on.
const BOUND_ALPHA: f64 = 0.05;
/// Normal quantiles of the levels: for a power of 90 %, and for 95 % on one side.
const Z_POWER: f64 = 1.2816;
const Z_BOUND: f64 = 1.6449;

/// Fewest blocks of a first stage: with fewer, nothing bounds a ratio at 95 % with room to spare.
const FIRST_MIN: usize = 7;

impl Design {
    /// The standard design for another tolerance, a ratio above 1: a regression is what reaches a quarter of it,
    /// as 1.05 is of 1.20.
    #[must_use]
    pub fn tolerating(tolerance: f64) -> Self {
        Self { tolerance, least_ratio: 1.0 + (tolerance - 1.0) / 4.0, ..Self::STANDARD }
    }

    /// The same for sides that were not measured in turn: whatever moved in the machine between them adds to the
    /// ratio, so that twice as much is needed before it is a regression.
    #[must_use]
    pub fn apart(self) -> Self {
        Self { least_ratio: 1.0 + (self.least_ratio - 1.0) * 2.0, ..self }
    }

    /// The design cut down to as many blocks as can be afforded, in the same proportion; `None` if that is too few
    /// to say anything.
    #[must_use]
    pub fn fitting(self, blocks: usize) -> Option<Self> {
        let whole = self.first + self.second;
        if blocks >= whole {
            return Some(self);
        }
        let first = (blocks * self.first).div_ceil(whole);
        (first >= FIRST_MIN).then_some(Self { first, second: blocks - first, ..self })
    }

    /// The fewest blocks that [`Design::fitting`] takes.
    #[must_use]
    pub fn fewest(self) -> usize {
        (1..).find(|blocks| self.fitting(*blocks).is_some()).unwrap_or(FIRST_MIN)
    }

    /// Judges the first stage.
    #[must_use]
    pub fn first_look<E: Evidence>(&self, series: &[E]) -> First {
        let findings = findings(series);
        let suspects: Vec<String> = findings
            .iter()
            .filter(|one| self.is_worse(one, self.alpha_first))
            .map(|one| one.metric.clone())
            .collect();
        if !suspects.is_empty() {
            First::LookAgain { suspects, findings }
        } else if self.all_bounded(&findings) {
            First::Pass(findings)
        } else {
            First::Inconclusive(findings)
        }
    }

    /// Judges the second stage: fresh blocks only, of the metrics that looked bad. `first` are the findings of
    /// the first stage; those of the other metrics still count for a pass.
    #[must_use]
    pub fn second_look<E: Evidence>(&self, first: &[Finding], series: &[E]) -> Second {
        let mut findings = findings(series);
        let fresh: Vec<String> = findings.iter().map(|one| one.metric.clone()).collect();
        let confirmed = findings.iter().any(|one| self.is_worse(one, self.alpha_second));
        findings.extend(first.iter().filter(|one| !fresh.contains(&one.metric)).cloned());
        if confirmed {
            Second::Fail(findings)
        } else if self.all_bounded(&findings) {
            Second::Pass(findings)
        } else {
            Second::Inconclusive(findings)
        }
    }

    fn is_worse(&self, finding: &Finding, alpha: f64) -> bool {
        finding.p <= alpha && finding.ratio >= self.least_ratio
    }

    fn all_bounded(&self, findings: &[Finding]) -> bool {
        let bounded = |one: &Finding| one.ratio_at_most.is_some_and(|most| most < self.tolerance);
        !findings.is_empty() && findings.iter().all(bounded)
    }
}

fn findings<E: Evidence>(series: &[E]) -> Vec<Finding> {
    let ranked: Vec<Ranks> = series.iter().map(|one| one.ranks(BOUND_ALPHA)).collect();
    let adjusted = holm(&ranked.iter().map(|ranks| ranks.p).collect::<Vec<_>>());
    let finding = |((one, ranks), p): ((&E, &Ranks), f64)| {
        let Ranks { estimate, upper, count, .. } = *ranks;
        let margin = upper - estimate;
        Finding {
            metric: one.metric().to_owned(),
            ratio: estimate.exp(),
            ratio_at_most: Some(upper.exp()).filter(|ratio| ratio.is_finite()),
            p,
            // The bound is 1.64 standard errors from the estimate; an effect is found in nine of ten cases
            // from 1.28 further on.
            smallest_effect: Some((margin * (1.0 + Z_POWER / Z_BOUND)).exp())
                .filter(|ratio| ratio.is_finite()),
            blocks: count,
        }
    };
    series.iter().zip(&ranked).zip(adjusted).map(finding).collect()
}

/// Holm's step-down adjustment ("A simple sequentially rejective multiple test procedure", 1979).
#[must_use]
pub fn holm(p: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    let mut adjusted = vec![0.0; p.len()];
    let mut largest: f64 = 0.0;
    for (place, index) in order.into_iter().enumerate() {
        largest = largest.max(p[index] * (p.len() - place) as f64).min(1.0);
        adjusted[index] = largest;
    }
    adjusted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(metric: &str, log_ratios: Vec<f64>) -> Series {
        Series { metric: metric.to_owned(), log_ratios }
    }

    /// Small symmetric scatter around a ratio.
    fn around(ratio: f64, blocks: usize) -> Vec<f64> {
        (0..blocks).map(|block| ratio.ln() + 0.02 * ((block * 7 % 11) as f64 - 5.0) / 5.0).collect()
    }

    #[test]
    fn holm_adjusts_as_in_the_worked_example() {
        // 0.01·4, 0.013·3 (not below 0.04), 0.03·2, 0.04·1 (not below 0.06).
        let adjusted = holm(&[0.01, 0.04, 0.03, 0.013]);
        let expected = [0.04, 0.06, 0.06, 0.04];
        assert!(adjusted.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12), "{adjusted:?}");
    }

    #[test]
    fn equal_sides_pass_at_once_and_a_clear_regression_fails_on_fresh_blocks() {
        let design = Design::STANDARD;
        assert!(matches!(design.first_look(&[series("p99", around(1.0, 15))]), First::Pass(_)));
        let First::LookAgain { suspects, findings } =
            design.first_look(&[series("p50", around(1.0, 15)), series("p99", around(1.3, 15))])
        else {
            panic!("30 % worse went unseen");
        };
        assert_eq!(suspects, ["p99"]);
        assert!((findings[1].ratio - 1.3).abs() < 0.02, "{findings:?}");
        assert!(matches!(design.second_look(&findings, &[series("p99", around(1.3, 26))]), Second::Fail(_)));
        assert!(matches!(design.second_look(&findings, &[series("p99", around(1.0, 26))]), Second::Pass(_)));
    }

    #[test]
    fn an_alarm_that_fresh_blocks_refute_is_no_pass_for_a_metric_that_stayed_open() {
        let wide: Vec<f64> = (0..15).map(|block| ((block * 7 % 15) as f64 - 7.0) / 7.0).collect();
        let first = Design::STANDARD.first_look(&[series("p50", wide), series("p99", around(1.3, 15))]);
        let First::LookAgain { findings, .. } = first else { panic!("{first:?}") };
        let second = Design::STANDARD.second_look(&findings, &[series("p99", around(1.0, 26))]);
        assert!(matches!(&second, Second::Inconclusive(all) if all.len() == 2), "{second:?}");
    }

    #[test]
    fn a_budget_cuts_both_stages_alike_and_refuses_what_says_nothing() {
        let stages = |blocks| Design::STANDARD.fitting(blocks).map(|design| (design.first, design.second));
        assert_eq!(
            [stages(100), stages(41), stages(24), stages(16)],
            [Some((15, 26)), Some((15, 26)), Some((9, 15)), None]
        );
        assert_eq!(Design::STANDARD.fewest(), 17);
    }

    #[test]
    fn a_wider_tolerance_asks_for_a_larger_regression() {
        assert_eq!(Design::tolerating(1.20).least_ratio, Design::STANDARD.least_ratio);
        assert_eq!(Design::tolerating(1.40).least_ratio, 1.1);
        assert!((Design::STANDARD.apart().least_ratio - 1.10).abs() < 1e-12);
    }

    #[test]
    fn a_certain_but_tiny_regression_is_none() {
        assert!(matches!(Design::STANDARD.first_look(&[series("p99", around(1.03, 15))]), First::Pass(_)));
    }

    #[test]
    fn wide_scatter_is_inconclusive_and_says_what_it_could_have_found() {
        let wide: Vec<f64> = (0..15).map(|block| ((block * 7 % 15) as f64 - 7.0) / 7.0).collect();
        let First::Inconclusive(findings) = Design::STANDARD.first_look(&[series("p99", wide)]) else {
            panic!("such scatter gives no answer");
        };
        assert!(findings[0].smallest_effect.unwrap() > 1.2, "{findings:?}");
        assert!(matches!(Design::STANDARD.first_look::<Series>(&[]), First::Inconclusive(_)));
    }
}
