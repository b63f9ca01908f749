//! Blocks of four trials in the order ABBA or BAAB, so that a steady drift of the machine cancels out.

use crate::measure::TrialRecord;
use crate::prng::Prng;
use crate::scenario::Metric;

use super::rank::median;
use super::value::value;

/// One of the two sides of a gate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// What is known to be good.
    Base,
    /// What is judged.
    Candidate,
}

/// Trials in a block: two of each side.
pub const BLOCK_TRIALS: usize = 4;

/// The order of block `index`: which of the two it is follows from the seed alone.
#[must_use]
pub fn order(seed: u64, index: u64) -> [Side; BLOCK_TRIALS] {
    let (base, candidate) = (Side::Base, Side::Candidate);
    if Prng::split(seed, index).below(2) == 0 {
        [base, candidate, candidate, base]
    } else {
        [candidate, base, base, candidate]
    }
}

/// The two trials of each side in one block.
#[derive(Debug, Clone, Copy)]
pub struct Block<'a> {
    /// Of the base.
    pub base: [&'a TrialRecord; 2],
    /// Of the candidate.
    pub candidate: [&'a TrialRecord; 2],
}

impl Block<'_> {
    /// The logarithm of candidate over base for a metric: above 0 the candidate has more of it. `None` if
    /// one of the four has no value or a value below 0; a pair of zeros, or of infinities, is no difference.
    #[must_use]
    pub fn log_ratio(&self, metric: &Metric) -> Option<f64> {
        let side = |trials: [&TrialRecord; 2]| {
            let [first, second] = trials.map(|trial| value(trial, metric).filter(|value| *value >= 0.0));
            Some(first?.ln().midpoint(second?.ln()))
        };
        let (base, candidate) = (side(self.base)?, side(self.candidate)?);
        Some(if base == candidate { 0.0 } else { candidate - base })
    }
}

/// Turns the median absolute deviation of a normal distribution into its standard deviation.
const TO_DEVIATION: f64 = 1.4826;

/// Coefficient of variation of the bulk of the values: 1.4826 times the median absolute deviation, by the median, which
/// is standard deviation by mean for a normal distribution. A trial of six that something struck from outside does not
/// move it, as it does not move ranks. `None` for fewer than two values or a median of 0.
#[must_use]
pub fn variation(values: &[f64]) -> Option<f64> {
    let middle = median(values).filter(|middle| *middle != 0.0 && middle.is_finite() && values.len() > 1)?;
    let apart: Vec<f64> = values.iter().map(|value| (value - middle).abs()).collect();
    Some(TO_DEVIATION * median(&apart)? / middle)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Latencies, Quantile, Quantiles};

    fn trial(micros: f64) -> TrialRecord {
        let p99 = Some(Quantile::from_micros(micros));
        let delivery_time = Some(Quantiles { p99, ..Quantiles::default() });
        TrialRecord {
            latencies: Latencies { delivery_time, ..Latencies::default() },
            ..TrialRecord::default()
        }
    }

    fn log_ratio(base: [f64; 2], candidate: [f64; 2]) -> Option<f64> {
        let (base, candidate) = (base.map(trial), candidate.map(trial));
        let block = Block { base: [&base[0], &base[1]], candidate: [&candidate[0], &candidate[1]] };
        block.log_ratio(&Metric::find("delivery_time_us_p99").unwrap())
    }

    #[test]
    fn each_order_has_two_of_each_side_and_both_orders_come() {
        let orders: Vec<_> = (0..100).map(|index| order(42, index)).collect();
        assert_eq!(
            orders,
            (0..100).map(|index| order(42, index)).collect::<Vec<_>>(),
            "it repeats by its seed"
        );
        assert!(orders.iter().all(|order| order.iter().filter(|side| **side == Side::Base).count() == 2));
        assert!(orders.iter().all(|order| order[0] == order[3] && order[1] == order[2]));
        let base_first = orders.iter().filter(|order| order[0] == Side::Base).count();
        assert!((30..=70).contains(&base_first), "{base_first}");
    }

    #[test]
    fn a_steady_drift_cancels_out() {
        // Latency grows by a tenth from trial to trial; ABBA.
        let at = |step: i32| 100.0 * 1.1f64.powi(step);
        let ratio = log_ratio([at(0), at(3)], [at(1), at(2)]).unwrap();
        assert!(ratio.abs() < 1e-12, "{ratio}");
    }

    #[test]
    fn ratios_are_of_geometric_means_and_survive_infinities() {
        let ratio = log_ratio([100.0, 400.0], [400.0, 400.0]).unwrap();
        assert!((ratio - 2.0f64.ln()).abs() < 1e-12, "{ratio}");
        assert_eq!(log_ratio([f64::INFINITY; 2], [f64::INFINITY; 2]), Some(0.0));
        assert_eq!(log_ratio([1.0; 2], [f64::INFINITY, 1.0]), Some(f64::INFINITY));
        assert_eq!(log_ratio([0.0; 2], [0.0; 2]), Some(0.0));
    }

    #[test]
    fn variation_is_that_of_a_normal_sample_and_withstands_one_disturbed_trial() {
        let mut prng = Prng::new(2);
        let normal: Vec<f64> = (0..20_000).map(|_| 100.0 + 15.0 * prng.normal()).collect();
        assert!((variation(&normal).unwrap() - 0.15).abs() < 0.005);
        assert!(variation(&[100.0, 104.0, 97.0, 101.0, 99.0, 900.0]).unwrap() < 0.05);
        assert!(variation(&[100.0, 300.0, 50.0, 700.0, 20.0, 900.0]).unwrap() > 0.5);
        assert_eq!(variation(&[1.0]), None);
    }
}
