//! The metrics that an expectation may speak of: the numeric columns of summary.csv.

/// How a metric is judged over trials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// Counted message by message: each trial is judged by itself.
    Count,
    /// Measured: judged by the median over trials, with its interval.
    Level,
}

/// A column of summary.csv.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metric {
    /// The column, such as `delivery_time_us_p99`.
    pub name: String,
    /// How it is judged.
    pub kind: MetricKind,
}

/// Counts of messages and deliveries, and what follows from them alone.
const COUNTS: [&str; 17] = [
    "sent",
    "acked",
    "delivered",
    "expected",
    "lost",
    "loss_ratio",
    "acked_lost",
    "pending_at_deadline",
    "discarded",
    "rejected",
    "unknown",
    "duplicate",
    "redelivered",
    "reordered",
    "corrupt",
    "disconnects",
    "lost_away",
];

/// Measured figures that are no latencies.
const LEVELS: [&str; 13] = [
    "offered_per_s",
    "publishes_per_s",
    "deliveries_per_s",
    "bytes_per_s",
    "broker_cpu_us_per_message",
    "harness_cpu_us_per_message",
    "broker_rss_bytes_max",
    "seconds",
    "outage_s",
    "answer_outage_s",
    "backlog_max",
    "backlog_drain_s",
    "backlog_drain_per_s",
];

/// Latencies, each with every one of [`QUANTILES`].
const LATENCIES: [&str; 6] =
    ["delivery_time", "transit_time", "service_time", "response_time", "send_lag", "pacer_lag"];

/// Ends of the latency columns.
const QUANTILES: [&str; 6] = ["p50", "p90", "p99", "p99_9", "p99_99", "max"];

impl Metric {
    /// Every metric, in the order of summary.csv as far as the groups allow.
    #[must_use]
    pub fn all() -> Vec<Self> {
        let count = |name: &&str| Self { name: (*name).to_owned(), kind: MetricKind::Count };
        let level = |name: String| Self { name, kind: MetricKind::Level };
        let latencies = LATENCIES
            .iter()
            .flat_map(|name| QUANTILES.iter().map(move |quantile| format!("{name}_us_{quantile}")));
        let levels = LEVELS.iter().map(|name| (*name).to_owned());
        COUNTS.iter().map(count).chain(levels.chain(latencies).map(level)).collect()
    }

    /// The metric of this name.
    #[must_use]
    pub fn find(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|metric| metric.name == name)
    }

    /// All names, the nearest to `given` first.
    #[must_use]
    pub fn nearest_first(given: &str) -> Vec<String> {
        let mut names: Vec<String> = Self::all().into_iter().map(|metric| metric.name).collect();
        names.sort_by_key(|name| strsim::damerau_levenshtein(given, name));
        names
    }

    /// Whether it needs intended send times, which there are none of at rate max.
    #[must_use]
    pub fn needs_schedule(&self) -> bool {
        ["delivery_time", "response_time", "send_lag", "pacer_lag", "offered"]
            .iter()
            .any(|name| self.name.starts_with(name))
    }
}
