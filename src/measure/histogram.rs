//! Latency histograms: three significant digits from 1 ns to 1 h, and nothing lost on the way.
//!
//! The unit is the nanosecond, not the microsecond: it costs 25 % more counters (270 KiB in all, of which
//! only the pages around the measured latencies are ever touched) and keeps three digits below 1 ms, where
//! brokers on one machine live. Counters are 64 bits wide: no run is long enough to fill one.

use hdrhistogram::Histogram;

use super::quantile::{Quantile, Quantiles};
use crate::clock::Nanos;

/// Largest latency that is recorded: 1 h. What lies above is counted and ranks as +∞.
pub const HIGHEST: Nanos = 3_600_000_000_000;
/// Significant decimal digits kept.
pub const DIGITS: u8 = 3;
/// A percentile up to p99 needs this many samples beyond it; p50 and p90 need [`BEYOND_CENTRE`].
pub const BEYOND_P99: u64 = 100;
/// p50, p90, p99.9 and p99.99 need this many samples beyond them.
pub const BEYOND_CENTRE: u64 = 10;

/// A histogram of nanoseconds that counts what it can't hold.
#[derive(Debug, Clone)]
pub struct LatencyHistogram {
    inner: Histogram<u64>,
    negative: u64,
    above_range: u64,
}

impl Default for LatencyHistogram {
    fn default() -> Self {
        Self::new()
    }
}

impl LatencyHistogram {
    /// An empty histogram.
    #[must_use]
    pub fn new() -> Self {
        let inner = Histogram::new_with_bounds(1, HIGHEST, DIGITS).expect("1 ns to 1 h at 3 digits is valid");
        Self { inner, negative: 0, above_range: 0 }
    }

    /// Records the time from `earlier` to `later`. A negative one is recorded as 0 and counted.
    #[inline]
    pub fn record_between(&mut self, earlier: Nanos, later: Nanos) {
        self.record_run(earlier, later, 1);
    }

    /// The same for `count` messages that have both times in common.
    #[inline]
    pub fn record_run(&mut self, earlier: Nanos, later: Nanos, count: u64) {
        if later < earlier {
            self.negative += count;
        }
        if self.inner.record_n(later.saturating_sub(earlier), count).is_err() {
            self.above_range += count;
        }
    }

    /// Records a latency. One above [`HIGHEST`] is only counted; it ranks as +∞.
    #[inline]
    pub fn record(&mut self, nanos: Nanos) {
        self.record_run(0, nanos, 1);
    }

    /// Samples recorded, those above the range included.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.inner.len() + self.above_range
    }

    /// Samples whose later time came before the earlier one.
    #[must_use]
    pub fn negative(&self) -> u64 {
        self.negative
    }

    /// Samples above [`HIGHEST`].
    #[must_use]
    pub fn above_range(&self) -> u64 {
        self.above_range
    }

    /// Mean of the samples in range, nanoseconds; `None` without any.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (!self.inner.is_empty()).then(|| self.inner.mean())
    }

    /// Adds another histogram's samples.
    pub fn merge(&mut self, other: &Self) {
        // Equal bounds on both sides: the addition can't fail.
        let added = self.inner.add(&other.inner);
        debug_assert!(added.is_ok(), "{added:?}");
        self.negative += other.negative;
        self.above_range += other.above_range;
    }

    /// Forgets everything, keeping the memory.
    pub fn clear(&mut self) {
        if !self.inner.is_empty() {
            self.inner.reset();
        }
        (self.negative, self.above_range) = (0, 0);
    }

    /// The HDR histogram, nanoseconds.
    #[must_use]
    pub fn hdr(&self) -> &Histogram<u64> {
        &self.inner
    }

    /// Values at these ranks (from 1, ascending), nanoseconds: the highest value that three digits can't tell
    /// from the sample's. `None` where the rank lies above all recorded samples.
    fn at_ranks<const N: usize>(&self, ranks: [u64; N]) -> [Option<u64>; N] {
        let mut values = [None; N];
        let mut seen = 0;
        let mut next = 0;
        for step in self.inner.iter_recorded() {
            seen += step.count_since_last_iteration();
            while next < N && ranks[next] <= seen {
                values[next] = Some(step.value_iterated_to());
                next += 1;
            }
            if next == N {
                break;
            }
        }
        values
    }

    /// Percentiles in µs, ranked (nearest rank, ⌈q·n⌉) over the samples and `missing` more that never came
    /// and rank as +∞. Empty where too few samples lie beyond a percentile to speak of it.
    #[must_use]
    pub fn quantiles(&self, missing: u64) -> Quantiles {
        let count = self.count() + missing;
        let ranks = RANKS.map(|rank| rank.of(count));
        let values = self.at_ranks(ranks);
        let quantile = |index: usize| {
            let enough = count - ranks[index].min(count) >= RANKS[index].beyond;
            (enough && count > 0).then(|| to_quantile(values[index]))
        };
        let complete = missing == 0 && self.above_range == 0;
        Quantiles {
            count,
            missing,
            mean: self.mean().map(|nanos| nanos / 1e3),
            p50: quantile(0),
            p90: quantile(1),
            p99: quantile(2),
            p99_9: quantile(3),
            p99_99: quantile(4),
            max: (count > 0).then(|| to_quantile(complete.then(|| self.inner.max()))),
        }
    }

    /// One percentile in µs of what came, whatever the number of samples: for live views. `None` if empty.
    #[must_use]
    pub fn rough_micros(&self, quantile: f64) -> Option<f64> {
        (!self.inner.is_empty()).then(|| self.inner.value_at_quantile(quantile) as f64 / 1e3)
    }
}

fn to_quantile(nanos: Option<u64>) -> Quantile {
    nanos.map_or(Quantile::Beyond, |nanos| Quantile::Micros(nanos as f64 / 1e3))
}

/// A percentile as an exact fraction, and how many samples must lie beyond it.
struct Rank {
    numerator: u64,
    denominator: u64,
    beyond: u64,
}

impl Rank {
    fn of(&self, count: u64) -> u64 {
        let exact = u128::from(count) * u128::from(self.numerator);
        u64::try_from(exact.div_ceil(u128::from(self.denominator))).unwrap_or(count)
    }
}

const RANKS: [Rank; 5] = [
    Rank { numerator: 1, denominator: 2, beyond: BEYOND_CENTRE },
    Rank { numerator: 9, denominator: 10, beyond: BEYOND_CENTRE },
    Rank { numerator: 99, denominator: 100, beyond: BEYOND_P99 },
    Rank { numerator: 999, denominator: 1000, beyond: BEYOND_CENTRE },
    Rank { numerator: 9999, denominator: 10_000, beyond: BEYOND_CENTRE },
];

/// Sub-buckets per octave of a [`CoarseHistogram`]: 3 % apart.
const COARSE_STEPS: u64 = 32;
/// Unit of a [`CoarseHistogram`]: 2^7 ns.
const COARSE_SHIFT: u32 = 7;
/// Counters of a [`CoarseHistogram`]: 32 linear ones, then 32 an octave up to 2^42 ns (73 minutes).
const COARSE_COUNTERS: usize = ((42 - COARSE_SHIFT as usize - 5) + 1) * COARSE_STEPS as usize;

/// A histogram of 4 KiB for one subscriber among thousands: 128 ns or 3 %, whichever is larger.
#[derive(Debug, Clone)]
pub struct CoarseHistogram {
    counts: Box<[u32; COARSE_COUNTERS]>,
    total: u64,
}

impl Default for CoarseHistogram {
    fn default() -> Self {
        Self { counts: Box::new([0; COARSE_COUNTERS]), total: 0 }
    }
}

impl CoarseHistogram {
    /// Records a latency; one above the range ends up in the last counter.
    #[inline]
    pub fn record(&mut self, nanos: Nanos) {
        let units = nanos >> COARSE_SHIFT;
        let index = if units < COARSE_STEPS {
            units
        } else {
            let octave = units.ilog2() - COARSE_STEPS.ilog2();
            u64::from(octave + 1) * COARSE_STEPS + (units >> octave) - COARSE_STEPS
        };
        let counter = &mut self.counts[(index as usize).min(COARSE_COUNTERS - 1)];
        *counter = counter.saturating_add(1);
        self.total += 1;
    }

    /// Adds what another one has recorded.
    pub fn merge(&mut self, other: &Self) {
        for (own, theirs) in self.counts.iter_mut().zip(other.counts.iter()) {
            *own = own.saturating_add(*theirs);
        }
        self.total += other.total;
    }

    /// Samples recorded.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.total
    }

    /// The 99th percentile over the samples and `missing` more that rank as +∞: the upper edge of its
    /// counter. `None` if fewer than [`BEYOND_P99`] samples lie beyond it.
    #[must_use]
    pub fn p99(&self, missing: u64) -> Option<Quantile> {
        let count = self.total + missing;
        let rank = RANKS[2].of(count);
        if count - rank < BEYOND_P99 {
            return None;
        }
        let mut seen = 0;
        for (index, &samples) in self.counts.iter().enumerate() {
            seen += u64::from(samples);
            if seen >= rank {
                return Some(Quantile::Micros(upper_edge(index as u64) as f64 / 1e3));
            }
        }
        Some(Quantile::Beyond)
    }
}

/// The largest value, in nanoseconds, that falls into a counter of a [`CoarseHistogram`].
fn upper_edge(index: u64) -> u64 {
    let (octave, step) = (index / COARSE_STEPS, index % COARSE_STEPS);
    let units = if octave == 0 { step + 1 } else { (COARSE_STEPS + step + 1) << (octave - 1) };
    (units << COARSE_SHIFT) - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prng::Prng;

    /// Shuffled samples of known shape: uniform, exponential, lognormal, two-humped, constant.
    fn shapes(count: usize, prng: &mut Prng) -> Vec<Vec<u64>> {
        let mut shapes = vec![
            (0..count as u64).map(|i| 1000 + 37 * i).collect::<Vec<u64>>(),
            (0..count).map(|_| (prng.exponential() * 3e5) as u64).collect(),
            (0..count).map(|_| ((prng.normal() * 1.5).exp() * 8e4) as u64).collect(),
            (0..count).map(|i| if i % 50 == 0 { 40_000_000 } else { 30_000 } + prng.below(999)).collect(),
            vec![123_456; count],
        ];
        shapes.iter_mut().for_each(|samples| prng.shuffle(samples));
        shapes
    }

    #[test]
    fn percentiles_equal_a_sort_of_the_raw_samples_within_three_digits() {
        let mut prng = Prng::new(11);
        for missing in [0, 150, 60_000] {
            for (shape, samples) in shapes(200_000, &mut prng).iter().enumerate() {
                let mut histogram = LatencyHistogram::new();
                samples.iter().for_each(|&nanos| histogram.record(nanos));
                let mut sorted: Vec<f64> = samples.iter().map(|&nanos| nanos as f64 / 1e3).collect();
                sorted.sort_by(f64::total_cmp);
                sorted.resize(sorted.len() + missing, f64::INFINITY);
                let found = histogram.quantiles(missing as u64);
                let all = [found.p50, found.p90, found.p99, found.p99_9, found.p99_99, found.max];
                for (q, quantile) in [0.5, 0.9, 0.99, 0.999, 0.9999, 1.0].into_iter().zip(all) {
                    let true_value = sorted[(q * sorted.len() as f64).ceil() as usize - 1];
                    let value = quantile.expect("enough samples").micros();
                    let close =
                        value == true_value || (value >= true_value && value <= true_value * 1.001 + 0.001);
                    assert!(close, "seed 11, shape {shape}, {missing} missing, q {q}: {value} {true_value}");
                }
                let mean = samples.iter().sum::<u64>() as f64 / samples.len() as f64 / 1e3;
                assert!((found.mean.unwrap() / mean - 1.0).abs() < 1e-3);
            }
        }
    }

    #[test]
    fn a_broker_that_drops_two_of_five_has_a_p99_beyond_everything() {
        let mut histogram = LatencyHistogram::new();
        (0..6000).for_each(|_| histogram.record(50_000));
        let quantiles = histogram.quantiles(4000);
        assert_eq!((quantiles.count, quantiles.missing), (10_000, 4000));
        assert!(quantiles.p50.unwrap() < Quantile::Micros(51.0));
        assert_eq!(quantiles.p90, Some(Quantile::Beyond));
        assert_eq!((quantiles.p99, quantiles.max), (Some(Quantile::Beyond), Some(Quantile::Beyond)));
    }

    #[test]
    fn a_percentile_without_enough_samples_stays_empty() {
        let with = |count: u64| {
            let mut histogram = LatencyHistogram::new();
            (0..count).for_each(|i| histogram.record(i));
            let found = histogram.quantiles(0);
            [found.p50, found.p90, found.p99, found.p99_9, found.p99_99, found.max].map(|q| q.is_some())
        };
        assert_eq!(with(0), [false; 6]);
        assert_eq!(with(19), [false, false, false, false, false, true]);
        assert_eq!(with(20), [true, false, false, false, false, true]);
        assert_eq!(with(9_999), [true, true, false, false, false, true]);
        assert_eq!(with(10_000), [true, true, true, true, false, true]);
        assert_eq!(with(100_000), [true; 6]);
    }

    #[test]
    fn what_does_not_fit_is_counted_and_ranks_last() {
        let mut histogram = LatencyHistogram::new();
        histogram.record_between(10, 4);
        histogram.record_between(0, 2 * HIGHEST);
        assert_eq!((histogram.count(), histogram.negative(), histogram.above_range()), (2, 1, 1));
        assert_eq!(histogram.quantiles(0).max, Some(Quantile::Beyond));
        let mut sum = LatencyHistogram::new();
        sum.merge(&histogram);
        sum.merge(&histogram);
        assert_eq!((sum.count(), sum.negative(), sum.above_range()), (4, 2, 2));
        sum.clear();
        assert_eq!((sum.count(), sum.negative(), sum.above_range()), (0, 0, 0));
    }

    #[test]
    fn coarse_counters_meet_without_gap_or_overlap_and_are_three_percent_wide() {
        let mut low = 0u64;
        for index in 0..COARSE_COUNTERS as u64 {
            for nanos in [low, upper_edge(index)] {
                let mut histogram = CoarseHistogram::default();
                histogram.record(nanos);
                assert_eq!(histogram.counts[index as usize], 1, "{nanos} belongs to {index}");
            }
            let width = upper_edge(index) + 1 - low;
            assert!(width <= (low / 32).max(128), "{index}: {width} from {low}");
            low = upper_edge(index) + 1;
        }
        assert!(low > HIGHEST);
    }

    #[test]
    fn the_coarse_p99_is_within_three_percent_of_a_sort() {
        let mut prng = Prng::new(5);
        for samples in shapes(20_000, &mut prng) {
            let mut histogram = CoarseHistogram::default();
            samples.iter().for_each(|&nanos| histogram.record(nanos));
            let mut sorted = samples.clone();
            sorted.sort_unstable();
            let true_value = sorted[19_799] as f64 / 1e3;
            let value = histogram.p99(0).unwrap().micros();
            assert!(value >= true_value && value <= true_value * 1.032 + 0.128, "{value} {true_value}");
            assert_eq!(histogram.p99(400), Some(Quantile::Beyond));
        }
    }
}
