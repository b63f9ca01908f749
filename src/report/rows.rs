//! The figures of a run as people read them, row by row: shared by the table, Markdown and the page.

use super::estimate::Estimate;
use super::humanise::{self, NOT_MEASURED};
use super::summary::Headline;
use crate::measure::Grade;

/// One figure of all targets.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    /// What it is.
    pub(super) label: String,
    /// One cell per headline.
    pub(super) cells: Vec<String>,
    /// What each cell is put in order by; `None` if it isn't a measured number.
    pub(super) keys: Vec<Option<f64>>,
    /// Begins a group of rows that belong together.
    pub(super) begins: bool,
}

/// The latencies a table may head with, best first, and their names in words.
pub(super) const LATENCIES: [(&str, &str); 4] = [
    ("delivery_time", "delivery time"),
    ("transit_time", "transit time"),
    ("response_time", "response time"),
    ("service_time", "service time"),
];

/// Percentiles of the table: end of the column's name, and how it reads.
const PERCENTILES: [(&str, &str); 5] =
    [("p50", "p50"), ("p99", "p99"), ("p99_9", "p99.9"), ("p99_99", "p99.99"), ("max", "max")];

/// What is offered where no schedule says so.
const CLOSED_LOOP: &str = "max (closed loop)";

const WORST_SUBSCRIBER: &str = "worst_subscriber_delivery_time_us_p99";

/// All rows of a run.
pub(super) fn rows(headlines: &[Headline]) -> Vec<Row> {
    let mut all = vec![
        row("verdict", headlines, |h| h.verdict.name().to_owned()),
        row("guarantee", headlines, |h| broken(&h.guarantee)),
        ordered(row("trials", headlines, |h| h.trials.to_string()), headlines, |h| Some(h.trials as f64)),
    ];
    let mut group = |rows: Vec<Row>| {
        let begin = all.len();
        all.extend(rows);
        if let Some(first) = all.get_mut(begin) {
            first.begins = true;
        }
    };
    group(vec![
        ordered(
            row("offered", headlines, |headline| match headline.median("offered_per_s") {
                Some(found) => with_interval(found, humanise::rate),
                None => CLOSED_LOOP.to_owned(),
            }),
            headlines,
            |headline| headline.median("offered_per_s").map(|found| found.median),
        ),
        estimate("published", headlines, "publishes_per_s", humanise::rate),
        estimate("delivered", headlines, "deliveries_per_s", humanise::rate),
    ]);
    group(latencies(headlines));
    group(losses(headlines));
    group(vec![
        estimate("broker CPU per message", headlines, "broker_cpu_us_per_message", humanise::micros),
        estimate("harness CPU per message", headlines, "harness_cpu_us_per_message", humanise::micros),
        estimate("broker memory, largest", headlines, "broker_rss_bytes_max", |b| humanise::bytes(b as u64)),
        estimate("network, whole machine", headlines, "network_bytes", |b| humanise::bytes(b as u64)),
        estimate("broker's writes to disk", headlines, "broker_written_bytes", |b| humanise::bytes(b as u64)),
        estimate("of the generator's ceiling", headlines, "percent_of_ceiling", |p| {
            humanise::percent(p / 100.0)
        }),
    ]);
    if headlines.iter().any(|headline| headline.median("usd_per_month").is_some()) {
        group(vec![
            estimate(
                "USD per billion deliveries",
                headlines,
                "usd_per_billion_delivered",
                humanise::significant,
            ),
            estimate("USD per month", headlines, "usd_per_month", humanise::significant),
        ]);
    }
    all
}

/// A guarantee's label in lines of two promises each.
fn broken(guarantee: &str) -> String {
    let promises: Vec<&str> = guarantee.split(',').collect();
    promises.chunks(2).map(|pair| pair.join(", ")).collect::<Vec<_>>().join(",\n")
}

fn row(label: &str, headlines: &[Headline], cell: impl Fn(&Headline) -> String) -> Row {
    let cells: Vec<String> = headlines.iter().map(cell).collect();
    Row { label: label.to_owned(), keys: vec![None; cells.len()], cells, begins: false }
}

/// The row with what its cells are put in order by.
fn ordered(row: Row, headlines: &[Headline], key: impl Fn(&Headline) -> Option<f64>) -> Row {
    Row { keys: headlines.iter().map(key).collect(), ..row }
}

fn estimate(label: &str, headlines: &[Headline], column: &str, unit: fn(f64) -> String) -> Row {
    let cells = row(label, headlines, |headline| {
        headline.median(column).map_or_else(|| NOT_MEASURED.to_owned(), |found| with_interval(found, unit))
    });
    ordered(cells, headlines, |headline| headline.median(column).map(|found| found.median))
}

/// A median, and in brackets the interval it is known to.
pub(super) fn with_interval(estimate: &Estimate, unit: fn(f64) -> String) -> String {
    let median = unit(estimate.median);
    match estimate.interval {
        Some(interval) => format!("{median} [{} – {}]", unit(interval.low), unit(interval.high)),
        None => median,
    }
}

/// The rows of the first latency that any target has.
fn latencies(headlines: &[Headline]) -> Vec<Row> {
    let measured = |name: &str| headlines.iter().any(|h| h.median(&format!("{name}_us_p50")).is_some());
    let Some((name, words)) = LATENCIES.into_iter().find(|(name, _)| measured(name)) else {
        return Vec::new();
    };
    let percentile = |(end, reads)| {
        estimate(&format!("{words} {reads}"), headlines, &format!("{name}_us_{end}"), humanise::micros)
    };
    let mut rows: Vec<Row> = PERCENTILES.into_iter().map(percentile).collect();
    if headlines.iter().any(|headline| headline.median(WORST_SUBSCRIBER).is_some()) {
        rows.push(estimate("the worst subscriber's p99", headlines, WORST_SUBSCRIBER, humanise::micros));
    }
    rows
}

/// Loss in sums over all trials: a median would hide the one trial that lost something.
fn losses(headlines: &[Headline]) -> Vec<Row> {
    let sum = |label: &str, column: &'static str| {
        let sum = move |h: &Headline| h.sum(column);
        let cells =
            row(label, headlines, |h| sum(h).map_or_else(|| NOT_MEASURED.to_owned(), humanise::count));
        ordered(cells, headlines, |h| sum(h).map(|sum| sum as f64))
    };
    let mut rows = vec![
        ordered(row("lost", headlines, lost), headlines, |h| h.sum("lost").map(|sum| sum as f64)),
        sum("acknowledged, then lost", "acked_lost"),
        sum("duplicates", "duplicate"),
        sum("disconnects", "disconnects"),
    ];
    // Rows that are 0 nearly always are shown only where they are not.
    for (label, column) in [
        ("still held when the drain ended", "pending_at_deadline"),
        ("discarded by the system's limits", "discarded"),
        ("rejected", "rejected"),
        ("without an answer", "unknown"),
        ("redelivered", "redelivered"),
        ("out of order", "reordered"),
        ("corrupt", "corrupt"),
        ("foreign or stale", "unidentified"),
    ] {
        if headlines.iter().any(|headline| headline.sum(column).is_some_and(|sum| sum > 0)) {
            rows.push(sum(label, column));
        }
    }
    rows
}

fn lost(headline: &Headline) -> String {
    match (headline.sum("lost"), headline.loss_ratio()) {
        (Some(0), _) => "0".to_owned(),
        (Some(lost), Some(ratio)) => format!("{} ({})", humanise::count(lost), humanise::percent(ratio)),
        (Some(lost), None) => humanise::count(lost),
        (None, _) => NOT_MEASURED.to_owned(),
    }
}

/// What stands against the trials, one line per target and reason.
pub(super) fn reasons(headlines: &[Headline]) -> Vec<(Grade, String)> {
    let mut lines = Vec::new();
    for headline in headlines {
        let mut codes: Vec<_> = headline.reasons.iter().map(|found| found.reason.code).collect();
        codes.sort_unstable();
        codes.dedup();
        for code in codes {
            let own: Vec<_> = headline.reasons.iter().filter(|found| found.reason.code == code).collect();
            // Several threads of a trial may have the same reason: the first one's words stand for all.
            let mut trials: Vec<String> = own.iter().map(|found| found.trial.to_string()).collect();
            trials.dedup();
            let noun = if trials.len() == 1 { "trial" } else { "trials" };
            let (trials, name, text) = (trials.join(", "), code.name(), &own[0].reason.text);
            lines.push((headline.verdict, format!("{}, {noun} {trials}: {name}: {text}", headline.name())));
        }
    }
    lines
}

/// Groups of targets whose guarantees are equal; empty if they all are.
pub(super) fn unlike(headlines: &[Headline]) -> Vec<(String, Vec<String>)> {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for headline in headlines {
        match groups.iter_mut().find(|(guarantee, _)| *guarantee == headline.guarantee) {
            Some((_, names)) if names.contains(&headline.target) => {}
            Some((_, names)) => names.push(headline.target.clone()),
            None => groups.push((headline.guarantee.clone(), vec![headline.target.clone()])),
        }
    }
    if groups.len() > 1 { groups } else { Vec::new() }
}

/// What the signs in the table mean, as far as they stand there.
pub(super) fn legend(headlines: &[Headline], rows: &[Row]) -> Vec<String> {
    let trials = headlines.iter().map(|headline| headline.trials).max().unwrap_or(0);
    let shows = |sign: &str| rows.iter().any(|row| row.cells.iter().any(|cell| cell.contains(sign)));
    let mut lines = vec![match (trials, shows(" [")) {
        (0 | 1, _) => "One trial: nothing is known of how far another would be from it.",
        (_, true) => {
            "Medians over trials, in brackets their 95 % rank intervals; losses and other counts are sums."
        }
        (_, false) => {
            "Medians over trials (six give 95 % intervals: --trials 6); losses and other counts are sums."
        }
    }];
    if shows("∞") {
        lines.push("∞: latencies are ranked over all expected messages, and this rank was never delivered.");
    }
    if shows(NOT_MEASURED) {
        lines.push("–: not measured, or too few messages for this percentile.");
    }
    lines.into_iter().map(str::to_owned).collect()
}
