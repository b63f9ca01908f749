//! Which charts a run has, and what they show.

use std::path::Path;

use super::capacity::CapacityReport;
use super::charts::{
    self, Bars, LatencyByPercentile, OverSwept, OverTime, Panel, PercentileLine, PhaseSpan, TimeSeries,
};
use super::error::ReportError;
use super::files;
use super::folder::file_name;
use super::humanise;
use super::live::{self, Plot};
use super::loaded::Loaded;
use super::summary::Headline;
use super::swept;
use super::tables::Trial;
use crate::measure::{Phase, TimelineRow};

/// The latencies worth a chart, best first, and how an axis names them. At rate `max` nothing is intended,
/// so the first one is empty there.
const LATENCIES: [(&str, &str); 4] = [
    ("delivery_time", "delivery time: from the intended send to the receipt"),
    ("transit_time", "transit time: from the send to the receipt"),
    ("response_time", "response time: from the intended send to the acknowledgement"),
    ("service_time", "service time: from the send to the acknowledgement"),
];

/// One chart of a run.
#[derive(Debug, Clone)]
pub struct Picture {
    /// Name of its files without extension.
    pub stem: String,
    drawing: Drawing,
}

#[derive(Debug, Clone)]
enum Drawing {
    Percentiles(LatencyByPercentile),
    OverTime(OverTime),
    Bars(Bars),
    OverSwept(OverSwept),
}

impl Picture {
    /// As an SVG document.
    ///
    /// # Errors
    /// [`ReportError::Chart`].
    pub fn svg(&self) -> Result<String, ReportError> {
        match &self.drawing {
            Drawing::Percentiles(chart) => charts::svg(chart),
            Drawing::OverTime(chart) => charts::svg(chart),
            Drawing::Bars(chart) => charts::svg(chart),
            Drawing::OverSwept(chart) => charts::svg(chart),
        }
    }

    /// The numbers behind it, pair of axes by pair of axes; none for what shows all its numbers anyway.
    pub(super) fn plots(&self) -> Vec<Plot> {
        match &self.drawing {
            Drawing::Percentiles(chart) => live::percentiles(chart),
            Drawing::OverTime(chart) => live::over_time(chart),
            Drawing::OverSwept(chart) => live::over_swept(chart),
            Drawing::Bars(_) => Vec::new(),
        }
    }

    /// Its title, and under which conditions it holds.
    pub(super) fn caption(&self) -> (&str, &str) {
        match &self.drawing {
            Drawing::Percentiles(LatencyByPercentile { title, subtitle, .. })
            | Drawing::OverTime(OverTime { title, subtitle, .. })
            | Drawing::OverSwept(OverSwept { title, subtitle, .. })
            | Drawing::Bars(Bars { title, subtitle, .. }) => (title, subtitle),
        }
    }

    /// Writes it as SVG and as PNG into a folder.
    pub(super) fn write(&self, dir: &Path) -> Result<(), ReportError> {
        files::replace(&dir.join(format!("{}.svg", self.stem)), self.svg()?.as_bytes())?;
        let png = dir.join(format!("{}.png", self.stem));
        match &self.drawing {
            Drawing::Percentiles(chart) => charts::png(chart, &png),
            Drawing::OverTime(chart) => charts::png(chart, &png),
            Drawing::Bars(chart) => charts::png(chart, &png),
            Drawing::OverSwept(chart) => charts::png(chart, &png),
        }
    }
}

/// All charts of a run: one over each swept key, latency and timeline for each point, throughput and
/// loss for all of it. Of a search for the highest rate: latency over load, and the points of the answers.
#[must_use]
pub fn pictures(run: &Loaded) -> Vec<Picture> {
    let mut points: Vec<&str> = run.headlines.iter().map(|headline| headline.point.as_str()).collect();
    points.dedup();
    let mut all = over_load(run);
    for (key, chart) in swept::charts(run) {
        let stem = format!("over-{}", file_name(&key));
        all.push(Picture { stem, drawing: Drawing::OverSwept(chart) });
    }
    for (index, point) in points.iter().enumerate() {
        if points[..index].contains(point) || !is_shown(run, point) {
            continue;
        }
        let stem = |name: &str| {
            if point.is_empty() { name.to_owned() } else { format!("{name}-{}", file_name(point)) }
        };
        let medians = median_trials(run, point);
        if let Some(chart) = percentiles(run, point, &medians) {
            all.push(Picture { stem: stem("latency-by-percentile"), drawing: Drawing::Percentiles(chart) });
        }
        if let Some(chart) = over_time(run, point, &medians) {
            all.push(Picture { stem: stem("over-time"), drawing: Drawing::OverTime(chart) });
        }
    }
    if !run.headlines.is_empty() {
        all.push(Picture { stem: "throughput-and-loss".to_owned(), drawing: Drawing::Bars(bars(run)) });
    }
    all
}

/// What a search for the highest rate found.
fn over_load(run: &Loaded) -> Vec<Picture> {
    let charts = run.capacity.iter().flat_map(CapacityReport::charts);
    let picture = |(target, chart): (&str, OverSwept)| Picture {
        stem: format!("capacity-{}", file_name(target)),
        drawing: Drawing::OverSwept(chart),
    };
    charts.map(picture).collect()
}

/// Whether a point has charts of its own: of a search those that are an answer.
fn is_shown(run: &Loaded, point: &str) -> bool {
    let Some(search) = &run.capacity else { return true };
    let records = run.trials.iter().map(|trial| &trial.record).filter(|record| record.point == point);
    records.into_iter().any(|record| search.is_answer(&record.target, record.offered_per_s))
}

/// The targets of a run in the order of their first trials: a target's place is its colour in every chart.
fn targets(run: &Loaded) -> Vec<&str> {
    let mut names: Vec<&str> = Vec::new();
    for headline in &run.headlines {
        if !names.contains(&headline.target.as_str()) {
            names.push(&headline.target);
        }
    }
    names
}

/// Each target's trial in the middle of its trials at a point, by the latency that is worth most.
fn median_trials<'a>(run: &'a Loaded, point: &str) -> Vec<&'a Trial> {
    let of = |target: &str| {
        let mut own: Vec<&Trial> =
            run.trials.iter().filter(|t| t.record.target == target && t.record.point == point).collect();
        own.sort_by(|a, b| rank(a).total_cmp(&rank(b)));
        own.get(own.len().saturating_sub(1) / 2).copied()
    };
    targets(run).into_iter().filter_map(of).collect()
}

/// What trials are put in order by: the highest percentile of delivery time that all runs have, else service time.
fn rank(trial: &Trial) -> f64 {
    let latencies = &trial.record.latencies;
    let first =
        [latencies.delivery_time, latencies.transit_time, latencies.response_time, latencies.service_time]
            .into_iter()
            .flatten()
            .next();
    first.and_then(|quantiles| quantiles.p99.or(quantiles.p50)).map_or(0.0, |quantile| quantile.micros())
}

fn title(what: &str, run: &Loaded, point: &str) -> String {
    let scenario = &run.manifest.scenario;
    if point.is_empty() { format!("{what}: {scenario}") } else { format!("{what}: {scenario}, {point}") }
}

/// The workload in a few words, from what the trials say of it.
fn subtitle(run: &Loaded, point: &str) -> String {
    let at_point = || run.trials.iter().map(|trial| &trial.record).filter(|record| record.point == point);
    let Some(record) = at_point().next() else { return String::new() };
    let offered = record.offered_per_s.map_or_else(|| "as fast as it goes".to_owned(), humanise::rate);
    let trials = at_point().map(|record| record.trial).max().unwrap_or(1);
    let which = if trials > 1 { format!("; median trial of {trials}") } else { String::new() };
    format!(
        "{} per message, {} publishers, {} subscribers, {offered}{which}",
        humanise::bytes(record.payload_bytes),
        humanise::count(record.publishers.into()),
        humanise::count(record.subscribers.into()),
    )
}

fn percentiles(run: &Loaded, point: &str, medians: &[&Trial]) -> Option<LatencyByPercentile> {
    let (metric, latency) = LATENCIES
        .into_iter()
        .find(|(metric, _)| medians.iter().any(|trial| trial.curve(metric).is_some()))?;
    // A target without this latency keeps its place in the legend, and with it its colour.
    let line = |trial: &&Trial| PercentileLine {
        name: trial.record.target.clone(),
        points: trial.curve(metric).map_or_else(Vec::new, |curve| {
            curve.points.iter().filter(|(share, _)| *share < 1.0).map(|(s, q)| (*s, q.micros())).collect()
        }),
    };
    Some(LatencyByPercentile {
        title: title("Latency by percentile", run, point),
        subtitle: subtitle(run, point),
        latency: latency.to_owned(),
        lines: medians.iter().map(line).collect(),
    })
}

fn over_time(run: &Loaded, point: &str, medians: &[&Trial]) -> Option<OverTime> {
    let longest = medians.iter().max_by_key(|trial| trial.record.timeline.len())?;
    if longest.record.timeline.len() < 2 {
        return None;
    }
    Some(OverTime {
        title: title("Over time", run, point),
        subtitle: subtitle(run, point),
        phases: phases(&longest.record.timeline),
        marks: marks(medians),
        series: medians.iter().map(|trial| series(trial)).collect(),
    })
}

/// What was done to the brokers; the same thing done to several at about the same time stands there once.
fn marks(medians: &[&Trial]) -> Vec<(f64, String)> {
    let mut marks: Vec<(f64, String)> = Vec::new();
    for event in medians.iter().flat_map(|trial| &trial.record.events) {
        let words = match &event.failure {
            None => event.what.clone(),
            Some(_) => format!("{} (no effect)", event.what),
        };
        if !marks.iter().any(|(at, known)| *known == words && (at - event.began_s).abs() < 0.5) {
            marks.push((event.began_s, words));
        }
    }
    marks
}

/// Where each phase begins and ends.
fn phases(timeline: &[TimelineRow]) -> Vec<PhaseSpan> {
    let mut spans: Vec<(Phase, f64, f64)> = Vec::new();
    for row in timeline {
        match spans.last_mut() {
            Some((phase, _, to)) if *phase == row.phase => *to = row.second,
            Some((_, _, to)) => {
                let from = *to;
                spans.push((row.phase, from, row.second));
            }
            None => spans.push((row.phase, 0.0, row.second)),
        }
    }
    spans
        .into_iter()
        .map(|(phase, from, to)| PhaseSpan {
            name: phase.name().to_owned(),
            seconds: (from, to),
            counts: phase == Phase::Measure,
        })
        .collect()
}

fn series(trial: &Trial) -> TimeSeries {
    let record = &trial.record;
    let begins = std::iter::once(0.0).chain(record.timeline.iter().map(|row| row.second));
    let lengths: Vec<f64> =
        record.timeline.iter().zip(begins).map(|(row, begin)| (row.second - begin).max(1e-9)).collect();
    let each = |value: fn(&TimelineRow) -> Option<f64>| {
        record.timeline.iter().map(|row| (row.second, value(row).unwrap_or(f64::NAN))).collect::<Vec<_>>()
    };
    let rates =
        record.timeline.iter().zip(&lengths).map(|(row, length)| (row.second, row.delivered as f64 / length));
    let copies = record.counts.expected as f64 / record.counts.sent.max(1) as f64;
    let scheduled = record.timeline.iter().filter(|row| row.phase != Phase::Drain);
    let offered = |row: &TimelineRow| row.offered_per_s.or(record.offered_per_s);
    TimeSeries {
        name: record.target.clone(),
        p50_us: each(|row| row.delivery_time_us_p50),
        p99_us: each(|row| row.delivery_time_us_p99),
        expected_per_s: scheduled.filter_map(|row| Some((row.second, offered(row)? * copies))).collect(),
        delivered_per_s: rates.collect(),
    }
}

fn bars(run: &Loaded) -> Bars {
    let targets = targets(run);
    let colour = |headline: &Headline| targets.iter().position(|name| *name == headline.target).unwrap_or(0);
    let median = |column: &str| -> Vec<Option<f64>> {
        run.headlines.iter().map(|headline| headline.median(column).map(|estimate| estimate.median)).collect()
    };
    let panel =
        |heading: &str, label, values, wanted| Panel { heading: heading.to_owned(), label, values, wanted };
    Bars {
        title: title("Throughput and loss", run, ""),
        subtitle: "median over trials of messages and deliveries (black: offered); lost of all expected"
            .to_owned(),
        rows: run.headlines.iter().map(|headline| (headline.name(), colour(headline))).collect(),
        panels: vec![
            panel("published", humanise::rate, median("publishes_per_s"), median("offered_per_s")),
            panel("delivered", humanise::rate, median("deliveries_per_s"), vec![]),
            panel(
                "lost",
                humanise::percent,
                run.headlines.iter().map(Headline::loss_ratio).collect(),
                vec![],
            ),
        ],
    }
}
