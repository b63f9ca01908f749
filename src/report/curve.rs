//! Latency curves: the percentiles of one latency of one trial, close enough together to draw.

use serde::{Deserialize, Serialize};

use crate::measure::{LatencyHistogram, Quantile};

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

impl Curve {
    /// Reads a histogram off at [`shares`], over its samples and `missing` more that never came and rank as +∞.
    #[must_use]
    pub fn of(metric: &str, histogram: &LatencyHistogram, missing: u64) -> Self {
        let count = histogram.count() + missing;
        let mut recorded = histogram.hdr().iter_recorded();
        let (mut seen, mut nanos) = (0u64, Some(0));
        let mut at = |share: f64| {
            let rank = ((share * count as f64).ceil() as u64).clamp(1, count);
            while seen < rank && nanos.is_some() {
                nanos = recorded.next().map(|step| {
                    seen += step.count_since_last_iteration();
                    step.value_iterated_to()
                });
            }
            (share, nanos.map_or(Quantile::Beyond, |nanos| Quantile::Micros(nanos as f64 / 1e3)))
        };
        Self { metric: metric.to_owned(), points: shares(count).into_iter().map(&mut at).collect() }
    }
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
    fn a_curve_agrees_with_a_sort_and_ends_in_what_never_came() {
        let mut histogram = LatencyHistogram::new();
        (1..=9_000u64).for_each(|i| histogram.record(i * 1_000));
        let curve = Curve::of("delivery_time", &histogram, 1_000);
        for (share, quantile) in &curve.points {
            let rank = (share * 10_000.0).ceil().max(1.0);
            match quantile {
                Quantile::Micros(us) => assert!((us / rank - 1.0).abs() < 2e-3, "{share}: {us} for {rank}"),
                Quantile::Beyond => assert!(rank > 9_000.0, "{share}"),
            }
        }
        assert_eq!(curve.points.last(), Some(&(1.0, Quantile::Beyond)));
        assert!(curve.points.iter().any(|(share, q)| *share > 0.89 && matches!(q, Quantile::Micros(_))));
    }

    #[test]
    fn a_curve_of_nothing_is_empty_and_one_of_losses_alone_is_infinite() {
        assert!(Curve::of("m", &LatencyHistogram::new(), 0).points.is_empty());
        let lost = Curve::of("m", &LatencyHistogram::new(), 5);
        assert!(lost.points.iter().all(|(_, quantile)| *quantile == Quantile::Beyond), "{lost:?}");
    }

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
