//! The numbers behind a run's charts, for the page's script: what is drawn as SVG can be hovered and zoomed there.

use serde::Serialize;

use super::charts::{LatencyByPercentile, OverSwept, OverTime};

/// One pair of axes with its lines.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Plot {
    /// What it shows, for whoever can't see it.
    pub(super) title: String,
    x: Axis,
    y: Axis,
    /// Name, begin and end of what doesn't count, on the x axis.
    shaded: Vec<(String, f64, f64)>,
    lines: Vec<Line>,
}

/// What an axis means; the script chooses scale and ticks by `kind`.
#[derive(Debug, Clone, Serialize)]
struct Axis {
    label: String,
    /// `tail` (share of messages), `seconds`, `places`, `micros` (on a logarithm) or `rate`.
    kind: &'static str,
    /// Names of the places 0, 1, …
    places: Vec<String>,
}

/// Points of one target; a value that is not finite becomes null.
#[derive(Debug, Clone, Serialize)]
struct Line {
    name: String,
    /// Number of its target, which gives the colour.
    colour: usize,
    /// `thick`, `thin` or `dashed`.
    stroke: &'static str,
    points: Vec<(f64, f64)>,
}

fn axis(label: &str, kind: &'static str) -> Axis {
    Axis { label: label.to_owned(), kind, places: Vec::new() }
}

fn line(name: String, colour: usize, stroke: &'static str, points: &[(f64, f64)]) -> Line {
    Line { name, colour, stroke, points: points.to_vec() }
}

/// Latency by percentile.
pub(super) fn percentiles(chart: &LatencyByPercentile) -> Vec<Plot> {
    let lines = chart.lines.iter().enumerate();
    vec![Plot {
        title: format!("{}: {}", chart.title, chart.latency),
        x: axis("messages delivered within", "tail"),
        y: axis(&chart.latency, "micros"),
        shaded: Vec::new(),
        lines: lines.map(|(i, l)| line(l.name.clone(), i, "thick", &l.points)).collect(),
    }]
}

/// Latency and rates over the seconds of a trial.
pub(super) fn over_time(chart: &OverTime) -> Vec<Plot> {
    let shaded: Vec<_> = chart
        .phases
        .iter()
        .filter(|phase| !phase.counts)
        .map(|phase| (phase.name.clone(), phase.seconds.0, phase.seconds.1))
        .collect();
    let plot = |what: &str, kind, lines| Plot {
        title: format!("{}: {what}", chart.title),
        x: axis("seconds since the trial's start", "seconds"),
        y: axis(what, kind),
        shaded: shaded.clone(),
        lines,
    };
    let (mut latencies, mut rates) = (Vec::new(), Vec::new());
    for (i, series) in chart.series.iter().enumerate() {
        let name = &series.name;
        latencies.push(line(format!("{name} p99"), i, "thick", &series.p99_us));
        latencies.push(line(format!("{name} p50"), i, "thin", &series.p50_us));
        rates.push(line(name.clone(), i, "thick", &series.delivered_per_s));
        if !series.expected_per_s.is_empty() {
            rates.push(line(format!("{name} expected"), i, "dashed", &series.expected_per_s));
        }
    }
    vec![plot("delivery time", "micros", latencies), plot("deliveries per second", "rate", rates)]
}

/// Latency and throughput over a swept key.
pub(super) fn over_swept(chart: &OverSwept) -> Vec<Plot> {
    let plot = |what: &str, kind, lines| Plot {
        title: format!("{}: {what}", chart.title),
        x: Axis { label: chart.key.clone(), kind: "places", places: chart.values.clone() },
        y: axis(what, kind),
        shaded: Vec::new(),
        lines,
    };
    let placed = |values: &[f64]| (0u32..).map(f64::from).zip(values.iter().copied()).collect::<Vec<_>>();
    let (mut latencies, mut rates) = (Vec::new(), Vec::new());
    for (i, series) in chart.series.iter().enumerate() {
        let name = &series.name;
        latencies.push(line(format!("{name} p99"), i, "thick", &placed(&series.p99_us)));
        latencies.push(line(format!("{name} p50"), i, "thin", &placed(&series.p50_us)));
        rates.push(line(name.clone(), i, "thick", &placed(&series.delivered_per_s)));
    }
    vec![plot(&chart.latency, "micros", latencies), plot("deliveries per second", "rate", rates)]
}

/// As JSON that can stand inside a `<script>`: nothing in it ends the element.
pub(super) fn json(plots: &[Plot]) -> String {
    serde_json::to_string(plots).unwrap_or_else(|_never| "[]".to_owned()).replace('<', "\\u003c")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::charts::PercentileLine;

    #[test]
    fn a_name_can_not_end_the_script_and_what_never_came_is_null() {
        let chart = LatencyByPercentile {
            title: "</script><b>".to_owned(),
            subtitle: String::new(),
            latency: "delivery time".to_owned(),
            lines: vec![PercentileLine {
                name: "a".to_owned(),
                points: vec![(0.5, 20.0), (0.9, f64::INFINITY)],
            }],
        };
        let text = json(&percentiles(&chart));
        assert!(!text.contains('<'), "{text}");
        assert!(text.contains("[[0.5,20.0],[0.9,null]]"), "{text}");
    }
}
