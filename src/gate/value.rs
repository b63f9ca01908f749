//! A metric's value in a trial's record.

use crate::measure::{Counts, Quantile, Quantiles, TrialRecord};
use crate::scenario::Metric;

/// The value in the unit of the metric's name; +∞ for a percentile that fell on an undelivered message, `None`
/// for an empty cell.
#[must_use]
pub fn value(record: &TrialRecord, metric: &Metric) -> Option<f64> {
    let name = metric.name.as_str();
    count(&record.counts, name).or_else(|| level(record, name)).or_else(|| latency(record, name))
}

fn count(counts: &Counts, name: &str) -> Option<f64> {
    let whole = match name {
        "loss_ratio" => return counts.loss_ratio(),
        "sent" => Some(counts.sent),
        "acked" => counts.acked,
        "delivered" => Some(counts.delivered),
        "expected" => Some(counts.expected),
        "lost" => Some(counts.lost),
        "acked_lost" => counts.acked_lost,
        "pending_at_deadline" => Some(counts.pending_at_deadline),
        "discarded" => Some(counts.discarded),
        "rejected" => Some(counts.rejected),
        "unknown" => Some(counts.unknown),
        "duplicate" => counts.duplicate,
        "redelivered" => Some(counts.redelivered),
        "reordered" => counts.reordered,
        "corrupt" => Some(counts.corrupt),
        "disconnects" => Some(counts.disconnects),
        "lost_away" => Some(counts.lost_away),
        _ => None,
    };
    whole.map(|whole| whole as f64)
}

fn level(record: &TrialRecord, name: &str) -> Option<f64> {
    let resources = &record.resources;
    match name {
        "offered_per_s" => record.offered_per_s,
        "publishes_per_s" => record.publishes_per_s,
        "deliveries_per_s" => record.deliveries_per_s,
        "bytes_per_s" => record.bytes_per_s,
        "broker_cpu_us_per_message" => resources.broker_cpu_us_per_message,
        "harness_cpu_us_per_message" => resources.harness_cpu_us_per_message,
        "broker_rss_bytes_max" => resources.broker_rss_bytes_max.map(|bytes| bytes as f64),
        "seconds" => Some(record.seconds),
        "outage_s" => record.outage.map(|outage| outage.seconds),
        "answer_outage_s" => record.answer_outage.map(|outage| outage.seconds),
        "backlog_max" => record.backlog.map(|backlog| backlog.deliveries as f64),
        "backlog_drain_s" => record.backlog.and_then(|backlog| backlog.drain_s),
        "backlog_drain_per_s" => record.backlog.and_then(|backlog| backlog.drain_per_s),
        _ => None,
    }
}

fn latency(record: &TrialRecord, name: &str) -> Option<f64> {
    let (latency, quantile) = name.split_once("_us_")?;
    let latencies = &record.latencies;
    let quantiles = match latency {
        "delivery_time" => latencies.delivery_time,
        "transit_time" => latencies.transit_time,
        "service_time" => latencies.service_time,
        "response_time" => latencies.response_time,
        "send_lag" => latencies.send_lag,
        "pacer_lag" => latencies.pacer_lag,
        _ => None,
    };
    pick(&quantiles?, quantile).map(Quantile::micros)
}

fn pick(quantiles: &Quantiles, name: &str) -> Option<Quantile> {
    match name {
        "p50" => quantiles.p50,
        "p90" => quantiles.p90,
        "p99" => quantiles.p99,
        "p99_9" => quantiles.p99_9,
        "p99_99" => quantiles.p99_99,
        "max" => quantiles.max,
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Backlog, Latencies, Outage, Resources};

    fn full() -> TrialRecord {
        let one = Some(Quantile::Micros(1.0));
        let all = Some(Quantiles {
            count: 1,
            missing: 0,
            mean: Some(1.0),
            p50: one,
            p90: one,
            p99: one,
            p99_9: one,
            p99_99: one,
            max: one,
        });
        TrialRecord {
            offered_per_s: Some(1.0),
            publishes_per_s: Some(1.0),
            deliveries_per_s: Some(1.0),
            bytes_per_s: Some(1.0),
            seconds: 1.0,
            outage: Some(Outage::default()),
            answer_outage: Some(Outage::default()),
            backlog: Some(Backlog { drain_s: Some(1.0), drain_per_s: Some(1.0), ..Backlog::default() }),
            counts: Counts {
                acked: Some(1),
                expected: 1,
                acked_lost: Some(0),
                duplicate: Some(0),
                reordered: Some(0),
                ..Counts::default()
            },
            latencies: Latencies {
                delivery_time: all,
                transit_time: all,
                service_time: all,
                response_time: all,
                send_lag: all,
                pacer_lag: all,
                ..Latencies::default()
            },
            resources: Resources {
                broker_cpu_us_per_message: Some(1.0),
                harness_cpu_us_per_message: Some(1.0),
                broker_rss_bytes_max: Some(1),
                ..Resources::default()
            },
            ..TrialRecord::default()
        }
    }

    #[test]
    fn every_metric_that_an_expectation_may_name_is_in_a_record() {
        for metric in Metric::all() {
            assert!(value(&full(), &metric).is_some(), "{}", metric.name);
        }
    }

    #[test]
    fn an_empty_cell_has_no_value_and_an_undelivered_rank_is_infinite() {
        let mut record = full();
        record.latencies.service_time = None;
        record.latencies.delivery_time =
            Some(Quantiles { p99: Some(Quantile::Beyond), ..Quantiles::default() });
        let of = |name| value(&record, &Metric::find(name).unwrap());
        assert_eq!(of("service_time_us_p50"), None);
        assert_eq!(of("delivery_time_us_p99"), Some(f64::INFINITY));
        assert_eq!(of("delivery_time_us_p50"), None);
    }
}
