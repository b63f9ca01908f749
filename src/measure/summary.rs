//! Percentiles of a trial from its histograms and its ledger: the one place where the two meet.

use super::histogram::CoarseHistogram;
use super::quantile::Quantile;
use super::record::{Counts, Latencies};
use super::timeline::Totals;

/// What decides over which messages a latency is ranked, and whether there is one at all.
#[derive(Debug, Clone, Copy)]
pub struct Ranking<'a> {
    /// Messages had intended times: the rate was given.
    pub open_loop: bool,
    /// The system answers publishers.
    pub answers: bool,
    /// The ledger's sums.
    pub counts: &'a Counts,
    /// Messages whose last delivery is timed (the sum of `LaneBook::sampled_measured` over fan-out lanes).
    pub sampled: u64,
    /// Each subscriber's delivery times, and how many of its expected deliveries are missing.
    pub subscribers: &'a [(CoarseHistogram, u64)],
}

impl Latencies {
    /// Delivery time is ranked over expected deliveries, response and service time over messages whose answer
    /// was to be expected, the last delivery over the sampled messages; what is missing of them is +∞.
    /// Transit time and the generator's own times are ranked over what happened.
    #[must_use]
    pub fn of(totals: &Totals, ranking: &Ranking) -> Self {
        let Ranking { open_loop, answers, counts, .. } = *ranking;
        let missing = counts.expected - counts.delivered.min(counts.expected);
        let measured = |count: u64, missing: u64| (count + missing > 0).then_some(missing);
        let timed = |histogram: &super::LatencyHistogram, missing: u64| {
            measured(histogram.count(), missing).map(|missing| histogram.quantiles(missing))
        };
        let late = ranking.sampled.saturating_sub(totals.last_delivery.count());
        Self {
            delivery_time: timed(&totals.delivery, missing).filter(|_| open_loop),
            transit_time: timed(&totals.transit, 0),
            service_time: timed(&totals.service, counts.unknown).filter(|_| answers),
            response_time: timed(&totals.response, counts.unknown).filter(|_| answers && open_loop),
            send_lag: timed(&totals.send_lag, 0),
            pacer_lag: timed(&totals.pacer_lag, 0),
            stall: timed(&totals.stall, 0),
            last_delivery: timed(&totals.last_delivery, late).filter(|_| open_loop),
            worst_subscriber_delivery_p99_us: worst(ranking.subscribers),
        }
    }
}

/// The largest p99 among subscribers with enough samples for one.
fn worst(subscribers: &[(CoarseHistogram, u64)]) -> Option<Quantile> {
    subscribers
        .iter()
        .filter_map(|(histogram, missing)| histogram.p99(*missing))
        .max_by(|a, b| a.micros().total_cmp(&b.micros()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ranking(counts: &Counts) -> Ranking<'_> {
        Ranking { open_loop: true, answers: true, counts, sampled: 0, subscribers: &[] }
    }

    #[test]
    fn delivery_time_is_ranked_over_what_was_expected_and_transit_over_what_came() {
        let mut totals = Totals::default();
        (0..60).for_each(|_| totals.delivery.record(1000));
        (0..60).for_each(|_| totals.transit.record(1000));
        let counts = Counts { expected: 140, delivered: 60, ..Counts::default() };
        let latencies = Latencies::of(&totals, &ranking(&counts));
        assert_eq!(latencies.delivery_time.unwrap().p50, Some(Quantile::Beyond));
        assert_eq!(latencies.transit_time.unwrap().p50, Some(Quantile::Micros(1.0)));
        assert_eq!(latencies.service_time, None, "nothing was answered, nothing is unknown");
    }

    #[test]
    fn a_run_without_any_delivery_has_only_infinite_ones() {
        let counts = Counts { expected: 100, ..Counts::default() };
        let latencies = Latencies::of(&Totals::default(), &ranking(&counts));
        assert_eq!(latencies.delivery_time.unwrap().max, Some(Quantile::Beyond));
    }

    #[test]
    fn at_rate_max_there_is_no_delivery_or_response_time() {
        let counts = Counts { expected: 100, unknown: 5, ..Counts::default() };
        let closed = Ranking { open_loop: false, ..ranking(&counts) };
        let latencies = Latencies::of(&Totals::default(), &closed);
        assert_eq!((latencies.delivery_time, latencies.response_time), (None, None));
        assert_eq!(latencies.service_time.unwrap().missing, 5);
    }

    #[test]
    fn the_worst_subscriber_is_the_one_that_missed_most() {
        let mut histogram = CoarseHistogram::default();
        (0..20_000).for_each(|i| histogram.record(i * 1000));
        let subscribers = [(histogram.clone(), 0), (histogram, 1000)];
        assert_eq!(worst(&subscribers), Some(Quantile::Beyond));
        assert!(worst(&subscribers[..1]).unwrap() < Quantile::Beyond);
    }
}
