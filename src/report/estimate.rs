//! A median over trials with the interval it is known to.

use serde::{Deserialize, Serialize};

use crate::measure::Quantile;
use crate::measure::statistics::{self, TWO_SIDED, middle, ranked};

/// Probability with which an interval holds the true median, at least.
pub const CONFIDENCE: f64 = 0.95;

/// A median over trials. Latencies may be infinite (written `inf`).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// Median of the trials' values.
    #[serde(with = "number")]
    pub median: f64,
    /// Lower and upper end of its rank interval at [`CONFIDENCE`]; empty below six trials, which can't give one.
    pub interval: Option<Interval>,
    /// How many trials.
    pub trials: u32,
}

/// Two order statistics between which the median lies.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    #[serde(with = "number")]
    pub low: f64,
    /// Upper end.
    #[serde(with = "number")]
    pub high: f64,
}

impl Estimate {
    /// Of the values of all trials; `None` without any, or with one that is no number.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Self> {
        let sorted = ranked(values)?;
        let interval = statistics::interval(&sorted, TWO_SIDED).map(|(low, high)| Interval { low, high });
        Some(Self { median: middle(&sorted), interval, trials: sorted.len() as u32 })
    }
}

/// How much larger values of one run are than those of another.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Ratio {
    /// Median of all ratios of a value of the one to a value of the other (Hodges and Lehmann).
    #[serde(with = "number")]
    pub ratio: f64,
    /// The Mann–Whitney interval of it at [`CONFIDENCE`]; empty where there are too few trials (four on each
    /// side are enough).
    pub interval: Option<Interval>,
}

/// Most trials on a side for which exact ranks are worth their time; more are left out evenly.
const RATIO_TRIALS: usize = 40;

impl Ratio {
    /// Of the trials' values of one run to those of another; `None` without any, or where a ratio says nothing
    /// (0 by 0, ∞ by ∞).
    #[must_use]
    pub fn of(values: &[f64], to: &[f64]) -> Option<Self> {
        let (values, to) = (&values[..values.len().min(RATIO_TRIALS)], &to[..to.len().min(RATIO_TRIALS)]);
        let ratios: Vec<f64> =
            values.iter().flat_map(|value| to.iter().map(move |base| value / base)).collect();
        let ratios = ranked(&ratios)?;
        let interval = rank_sum(values.len(), to.len())
            .map(|rank| Interval { low: ratios[rank], high: ratios[ratios.len() - 1 - rank] });
        Some(Self { ratio: middle(&ratios), interval })
    }
}

/// The innermost rank among all pairs whose order statistic and its mirror hold the true ratio with
/// [`CONFIDENCE`]: from the exact distribution of the rank sum of `one` among `one + other` values.
fn rank_sum(one: usize, other: usize) -> Option<usize> {
    let pairs = one * other;
    // ways[taken][u]: how often `taken` values can be placed with u pairs in which the other is smaller.
    let mut ways = vec![vec![0.0f64; pairs + 1]; one + 1];
    ways[0][0] = 1.0;
    for rank in 0..one + other {
        for taken in (0..one.min(rank + 1)).rev() {
            let smaller = rank - taken;
            for u in smaller..=pairs {
                ways[taken + 1][u] += ways[taken][u - smaller];
            }
        }
    }
    let all: f64 = ways[one].iter().sum();
    let mut below = 0.0;
    let mut found = None;
    for (rank, ways) in ways[one].iter().enumerate().take(pairs / 2) {
        below += ways / all;
        if 1.0 - 2.0 * below < CONFIDENCE {
            break;
        }
        found = Some(rank);
    }
    found
}

/// Numbers in JSON, with `inf` for infinity as everywhere in a results folder.
mod number {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use super::Quantile;

    pub(super) fn serialize<S: Serializer>(value: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        Quantile::from_micros(*value).serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        Quantile::deserialize(deserializer).map(Quantile::micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_than_six_trials_give_a_median_but_no_interval() {
        let estimate = Estimate::of(&[5.0, 1.0, 3.0, 2.0, 4.0]).unwrap();
        assert_eq!((estimate.median, estimate.interval, estimate.trials), (3.0, None, 5));
        assert_eq!(Estimate::of(&[]), None);
    }

    #[test]
    fn rank_sums_are_those_of_the_mann_whitney_table() {
        // Two-sided 5 % critical values of U.
        for (one, other, critical) in [(4, 4, 0), (5, 5, 2), (6, 6, 5), (8, 8, 13), (10, 10, 23), (4, 8, 4)] {
            assert_eq!(rank_sum(one, other), Some(critical), "{one} and {other}");
        }
        assert_eq!(rank_sum(3, 3), None);
    }

    #[test]
    fn a_ratio_finds_a_common_factor_and_is_empty_where_it_says_nothing() {
        let base: Vec<f64> = (1..=6).map(f64::from).collect();
        let doubled: Vec<f64> = base.iter().map(|value| value * 2.0).collect();
        let ratio = Ratio::of(&doubled, &base).unwrap();
        assert_eq!(ratio.ratio, 2.0);
        let interval = ratio.interval.unwrap();
        assert!(interval.low < 2.0 && 2.0 < interval.high && interval.low > 0.5, "{interval:?}");
        assert_eq!(Ratio::of(&[0.0], &[0.0]), None);
        assert_eq!(Ratio::of(&[f64::INFINITY], &[f64::INFINITY]), None);
        assert_eq!(Ratio::of(&[f64::INFINITY], &[1.0]).unwrap().ratio, f64::INFINITY);
        assert_eq!(Ratio::of(&[], &[1.0]), None);
    }

    #[test]
    fn a_median_of_undelivered_messages_is_infinite_and_reads_back() {
        let estimate = Estimate::of(&[1.0, f64::INFINITY, f64::INFINITY, 2.0, 3.0, f64::INFINITY]).unwrap();
        assert_eq!(estimate.median, f64::INFINITY);
        assert_eq!(estimate.interval, Some(Interval { low: 1.0, high: f64::INFINITY }));
        let text = serde_json::to_string(&estimate).unwrap();
        assert!(text.contains("\"median\":\"inf\""), "{text}");
        assert_eq!(serde_json::from_str::<Estimate>(&text).unwrap(), estimate);
    }
}
