//! The columns of `summary.csv`: one table that the writer, the reader and the tests share.

use crate::measure::{Quantile, Quantiles, TrialRecord};

/// One cell: empty means "not measured", never 0.
#[derive(Debug, Clone, PartialEq)]
pub enum Cell {
    /// Not measured.
    Empty,
    /// Words.
    Text(String),
    /// A whole number.
    Count(u64),
    /// A real number; never infinite.
    Real(f64),
    /// A percentile in microseconds, `inf` beyond everything measured.
    Micros(Quantile),
}

impl Cell {
    /// As it stands in a CSV file.
    #[must_use]
    pub fn text(&self) -> String {
        match self {
            Self::Empty => String::new(),
            Self::Text(text) => text.clone(),
            Self::Count(count) => count.to_string(),
            Self::Real(real) => real.to_string(),
            Self::Micros(quantile) => quantile.to_string(),
        }
    }

    /// As a number, if it is one: +∞ for a percentile beyond everything measured.
    #[must_use]
    pub fn number(&self) -> Option<f64> {
        match self {
            Self::Count(count) => Some(*count as f64),
            Self::Real(real) => Some(*real),
            Self::Micros(quantile) => Some(quantile.micros()),
            Self::Text(_) | Self::Empty => None,
        }
    }

    /// As a whole number, if it counts something.
    #[must_use]
    pub fn count(&self) -> Option<u64> {
        match self {
            Self::Count(count) => Some(*count),
            _ => None,
        }
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<u64> for Cell {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

impl From<f64> for Cell {
    fn from(real: f64) -> Self {
        if real.is_finite() { Self::Real(real) } else { Self::Empty }
    }
}

impl From<Quantile> for Cell {
    fn from(quantile: Quantile) -> Self {
        Self::Micros(quantile)
    }
}

impl<T: Into<Self>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Empty, Into::into)
    }
}

/// A column: its name, and where its cells come from.
#[derive(Clone)]
pub struct Column {
    /// As in the header.
    pub name: String,
    cell: Source,
}

#[derive(Clone, Copy)]
enum Source {
    Plain(fn(&TrialRecord) -> Cell),
    Percentile(Latency, Percentile),
}

type Latency = fn(&TrialRecord) -> Option<Quantiles>;
type Percentile = fn(&Quantiles) -> Option<Quantile>;

impl Column {
    /// The cell of a trial.
    #[must_use]
    pub fn cell(&self, record: &TrialRecord) -> Cell {
        match self.cell {
            Source::Plain(cell) => cell(record),
            Source::Percentile(latency, percentile) => {
                latency(record).as_ref().and_then(percentile).map_or(Cell::Empty, Cell::Micros)
            }
        }
    }
}

/// The percentiles written of every latency, by the end of their column's name.
pub(super) const PERCENTILES: [(&str, Percentile); 6] = [
    ("p50", |q| q.p50),
    ("p90", |q| q.p90),
    ("p99", |q| q.p99),
    ("p99_9", |q| q.p99_9),
    ("p99_99", |q| q.p99_99),
    ("max", |q| q.max),
];

/// The latencies whose columns every reader may rely on.
const PROMISED_LATENCIES: [(&str, Latency); 6] = [
    ("delivery_time", |r| r.latencies.delivery_time),
    ("transit_time", |r| r.latencies.transit_time),
    ("service_time", |r| r.latencies.service_time),
    ("response_time", |r| r.latencies.response_time),
    ("send_lag", |r| r.latencies.send_lag),
    ("pacer_lag", |r| r.latencies.pacer_lag),
];

/// Latencies that follow behind.
const FURTHER_LATENCIES: [(&str, Latency); 2] =
    [("stall", |r| r.latencies.stall), ("last_delivery", |r| r.latencies.last_delivery)];

type Plain = (&'static str, fn(&TrialRecord) -> Cell);

/// What was run, and what became of the messages.
const BEFORE: [Plain; 32] = [
    ("scenario", |r| r.scenario.as_str().into()),
    ("target", |r| r.target.as_str().into()),
    ("driver", |r| r.driver.as_str().into()),
    ("client", |r| r.client.as_str().into()),
    ("point", |r| r.point.as_str().into()),
    ("payload_bytes", |r| r.payload_bytes.into()),
    ("publishers", |r| u64::from(r.publishers).into()),
    ("subscribers", |r| u64::from(r.subscribers).into()),
    ("trial", |r| u64::from(r.trial).into()),
    ("verdict", |r| r.verdict.grade.name().into()),
    ("reasons", reasons),
    ("guarantee", |r| r.guarantee.as_str().into()),
    ("offered_per_s", |r| r.offered_per_s.into()),
    ("publishes_per_s", |r| r.publishes_per_s.into()),
    ("deliveries_per_s", |r| r.deliveries_per_s.into()),
    ("bytes_per_s", |r| r.bytes_per_s.into()),
    ("sent", |r| r.counts.sent.into()),
    ("acked", |r| r.counts.acked.into()),
    ("delivered", |r| r.counts.delivered.into()),
    ("expected", |r| r.counts.expected.into()),
    ("lost", |r| r.counts.lost.into()),
    ("loss_ratio", |r| r.counts.loss_ratio().into()),
    ("acked_lost", |r| r.counts.acked_lost.into()),
    ("pending_at_deadline", |r| r.counts.pending_at_deadline.into()),
    ("discarded", |r| r.counts.discarded.into()),
    ("rejected", |r| r.counts.rejected.into()),
    ("unknown", |r| r.counts.unknown.into()),
    ("duplicate", |r| r.counts.duplicate.into()),
    ("redelivered", |r| r.counts.redelivered.into()),
    ("reordered", |r| r.counts.reordered.into()),
    ("corrupt", |r| r.counts.corrupt.into()),
    ("disconnects", |r| r.counts.disconnects.into()),
];

/// What it cost.
const AFTER: [Plain; 5] = [
    ("broker_cpu_us_per_message", |r| r.resources.broker_cpu_us_per_message.into()),
    ("harness_cpu_us_per_message", |r| r.resources.harness_cpu_us_per_message.into()),
    ("broker_rss_bytes_max", |r| r.resources.broker_rss_bytes_max.into()),
    ("started_at", |r| r.started_at.as_str().into()),
    ("seconds", |r| r.seconds.into()),
];

/// What may grow at the end.
const FURTHER: [Plain; 26] = [
    ("percent_of_ceiling", |r| r.percent_of_ceiling.into()),
    ("worst_subscriber_delivery_time_us_p99", |r| r.latencies.worst_subscriber_delivery_p99_us.into()),
    ("spin_cpu_us_per_message", |r| r.resources.spin_cpu_us_per_message.into()),
    ("harness_rss_bytes_max", |r| r.resources.harness_rss_bytes_max.into()),
    ("broker_cores", |r| r.resources.broker_cores.into()),
    ("broker_cpu_s_per_million_deliveries", |r| r.resources.broker_cpu_s_per_million_deliveries.into()),
    ("broker_written_bytes", |r| r.resources.broker_written_bytes.into()),
    ("broker_busiest_thread_cores", |r| r.resources.broker_busiest_thread_cores.into()),
    ("broker_switches_per_message", |r| r.resources.broker_switches_per_message.into()),
    ("harness_switches_per_message", |r| r.resources.harness_switches_per_message.into()),
    ("network_bytes", |r| r.resources.network_bytes.into()),
    ("harness_busiest_thread", busiest_thread),
    ("usd_per_billion_delivered", |r| r.resources.usd_per_billion_delivered.into()),
    ("usd_per_month", |r| r.resources.usd_per_month.into()),
    ("unidentified", |r| r.counts.unidentified.into()),
    ("beyond_window", |r| r.counts.beyond_window.into()),
    ("lost_away", |r| r.counts.lost_away.into()),
    ("outage_s", |r| r.outage.map(|outage| outage.seconds).into()),
    ("answer_outage_s", |r| r.answer_outage.map(|outage| outage.seconds).into()),
    ("backlog_max", |r| r.backlog.map(|backlog| backlog.deliveries).into()),
    ("backlog_drain_s", |r| r.backlog.and_then(|backlog| backlog.drain_s).into()),
    ("backlog_drain_per_s", |r| r.backlog.and_then(|backlog| backlog.drain_per_s).into()),
    ("lost_prefix", |r| r.counts.lost_prefix.into()),
    ("lost_middle", |r| r.counts.lost_middle.into()),
    ("lost_tail", |r| r.counts.lost_tail.into()),
    ("notes", |r| r.notes.join("; ").as_str().into()),
];

/// All columns in the order of the file.
#[must_use]
pub fn columns() -> Vec<Column> {
    let plain = |(name, cell): &Plain| Column { name: (*name).to_owned(), cell: Source::Plain(*cell) };
    let mut all: Vec<Column> = BEFORE.iter().map(plain).collect();
    all.extend(percentile_columns(&PROMISED_LATENCIES));
    all.extend(AFTER.iter().map(plain));
    all.extend(FURTHER.iter().map(plain));
    all.extend(percentile_columns(&FURTHER_LATENCIES));
    all
}

/// The columns of each latency, percentile by percentile.
fn percentile_columns(latencies: &[(&'static str, Latency)]) -> impl Iterator<Item = Column> {
    latencies.iter().flat_map(|&(name, latency)| {
        PERCENTILES.iter().map(move |&(suffix, percentile)| Column {
            name: format!("{name}_us_{suffix}"),
            cell: Source::Percentile(latency, percentile),
        })
    })
}

/// The share of a core that the busiest thread of the harness worked, spinning apart.
fn busiest_thread(record: &TrialRecord) -> Cell {
    record.threads.iter().map(|thread| thread.busy).reduce(f64::max).into()
}

/// The codes of what stands against the trial, `;` between them; the words are in `summary.json`.
fn reasons(record: &TrialRecord) -> Cell {
    let codes: Vec<&str> = record.verdict.reasons.iter().map(|reason| reason.code.name()).collect();
    Cell::Text(codes.join(";"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_measured_is_empty_and_never_zero() {
        let record = TrialRecord::default();
        let cell = |name: &str| {
            columns().iter().find(|column| column.name == name).map(|column| column.cell(&record).text())
        };
        assert_eq!(cell("acked"), Some(String::new()));
        assert_eq!(cell("loss_ratio"), Some(String::new()));
        assert_eq!(cell("delivery_time_us_p99"), Some(String::new()));
        assert_eq!(cell("broker_rss_bytes_max"), Some(String::new()));
        assert_eq!(cell("lost"), Some("0".to_owned()));
    }

    #[test]
    fn no_column_stands_twice() {
        let mut names: Vec<String> = columns().into_iter().map(|column| column.name).collect();
        let all = names.len();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), all);
    }
}
