//! Latency curves: the percentiles of one latency of one trial, close enough together to draw.

use serde::{Deserialize, Serialize};

use crate::measure::Quantile;

/// Steps of a curve in each tenfold of its tail.
const STEPS_PER_DECADE: i32 = 20;
/// The smallest tail a curve can show: one in a billion.
const DECADES: i32 = 9;

/// The percentiles of one latency of one trial.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Curve {
    /// Which latency: `delivery_time`, `service_time`, …
    pub metric: String,
    /// Share of messages at or below (0 to 1), ascending, and the latency.
    pub points: Vec<(f64, Quantile)>,
}

/// The shares at which a latency with this many samples is written down: finer and finer towards 1, so that
/// each nine has the same number of points, and as far as there is one sample behind a point, then 1 itself.
#[must_use]
pub fn shares(samples: u64) -> Vec<f64> {
    if samples == 0 {
        return Vec::new();
    }
    let mut shares: Vec<f64> = (0..=DECADES * STEPS_PER_DECADE)
        .map(tail)
        .filter(|tail| tail * samples as f64 >= 1.0)
        .map(|tail| 1.0 - tail)
        .chain([0.25, 0.5, 0.75, 1.0])
        .collect();
    shares.sort_by(f64::total_cmp);
    shares.dedup();
    shares
}

/// 10^(−step / steps per decade), exact at whole decades: 0.01 and not 0.010000000000000002.
fn tail(step: i32) -> f64 {
    let (decade, rest) = (step / STEPS_PER_DECADE, step % STEPS_PER_DECADE);
    10f64.powf(-f64::from(rest) / f64::from(STEPS_PER_DECADE)) / 10f64.powi(decade)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_hold_the_named_percentiles_and_end_where_the_samples_do() {
        let shares = shares(10_000);
        for named in [0.0, 0.5, 0.9, 0.99, 0.999, 0.9999, 1.0] {
            assert!(shares.iter().any(|share| (share - named).abs() < 1e-12), "{named}");
        }
        assert!(shares.windows(2).all(|pair| pair[0] < pair[1]));
        assert!(shares.iter().all(|share| *share == 1.0 || (1.0 - share) * 10_000.0 >= 0.999_999));
    }

    #[test]
    fn no_samples_have_no_percentiles_and_one_has_a_few() {
        assert!(shares(0).is_empty());
        assert_eq!(shares(1), [0.0, 0.25, 0.5, 0.75, 1.0]);
    }
}
