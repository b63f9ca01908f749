//! How a run is going, as a page of OpenMetrics text (version 1.0.0), for Prometheus and whatever else reads it.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::measure::{Grade, Live, TrialRecord};

/// A counter or a gauge.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Counter,
    Gauge,
}

/// A family: its name without suffix, its kind, its unit (empty if none) and one sentence.
type Family = (&'static str, Kind, &'static str, &'static str);

const TRIALS: Family = ("busmark_trials", Kind::Counter, "", "Finished trials by verdict.");
/// Sums over the measured phases of finished trials.
const SUMS: [Family; 5] = [
    ("busmark_messages_sent", Kind::Counter, "", "Messages sent in measured phases of finished trials."),
    ("busmark_deliveries", Kind::Counter, "", "First deliveries in measured phases of finished trials."),
    ("busmark_deliveries_expected", Kind::Counter, "", "Deliveries that should have happened in them."),
    ("busmark_deliveries_lost", Kind::Counter, "", "Deliveries that never happened though they were owed."),
    ("busmark_deliveries_duplicate", Kind::Counter, "", "Unflagged second deliveries."),
];
/// Of the trial that is running.
const NOW: [Family; 6] = [
    ("busmark_trial", Kind::Gauge, "", "Number of the running trial, from 1."),
    ("busmark_offered_rate", Kind::Gauge, "", "Messages per second that the schedule asks for."),
    ("busmark_published_rate", Kind::Gauge, "", "Messages per second sent lately."),
    ("busmark_delivered_rate", Kind::Gauge, "", "Deliveries per second lately."),
    ("busmark_deliveries_missing", Kind::Gauge, "", "Deliveries missing so far though later ones have come."),
    (
        "busmark_delivery_time_p99_seconds",
        Kind::Gauge,
        "seconds",
        "The delivery time's 99th percentile lately.",
    ),
];

/// What the page says.
#[derive(Debug, Clone, Default)]
pub struct OpenMetrics {
    trials: BTreeMap<(String, &'static str), u64>,
    sums: BTreeMap<String, [u64; SUMS.len()]>,
    /// The running trial's target, phase and values.
    now: Option<(String, &'static str, [Option<f64>; NOW.len()])>,
}

impl OpenMetrics {
    /// Notes how a trial is going.
    pub fn live(&mut self, live: &Live<'_>) {
        let values = [
            Some(f64::from(live.trial)),
            live.offered_per_s,
            Some(live.published_per_s),
            Some(live.delivered_per_s),
            Some(live.lost_so_far as f64),
            live.p99_us.map(|us| us / 1e6),
        ];
        self.now = Some((live.target.to_owned(), live.phase.name(), values));
    }

    /// Notes a finished trial.
    pub fn finished(&mut self, record: &TrialRecord) {
        let grade = match record.verdict.grade {
            Grade::Valid => "valid",
            Grade::Suspect => "suspect",
            Grade::Invalid => "invalid",
        };
        *self.trials.entry((record.target.clone(), grade)).or_default() += 1;
        let counts = &record.counts;
        let own =
            [counts.sent, counts.delivered, counts.expected, counts.lost, counts.duplicate.unwrap_or(0)];
        let sums = self.sums.entry(record.target.clone()).or_default();
        sums.iter_mut().zip(own).for_each(|(sum, own)| *sum += own);
        self.now = None;
    }

    /// The page.
    #[must_use]
    pub fn page(&self) -> String {
        let mut page = String::new();
        head(&mut page, &TRIALS);
        for ((target, verdict), count) in &self.trials {
            sample(
                &mut page,
                "busmark_trials_total",
                &[("target", target), ("verdict", verdict)],
                *count as f64,
            );
        }
        for (index, family) in SUMS.iter().enumerate() {
            head(&mut page, family);
            let name = format!("{}_total", family.0);
            for (target, sums) in &self.sums {
                sample(&mut page, &name, &[("target", target)], sums[index] as f64);
            }
        }
        for (index, family) in NOW.iter().enumerate() {
            head(&mut page, family);
            if let Some((target, phase, values)) = &self.now
                && let Some(value) = values[index]
            {
                sample(&mut page, family.0, &[("target", target), ("phase", phase)], value);
            }
        }
        page.push_str("# EOF\n");
        page
    }
}

fn head(page: &mut String, (name, kind, unit, help): &Family) {
    let kind = match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
    };
    let _infallible = writeln!(page, "# TYPE {name} {kind}");
    if !unit.is_empty() {
        let _infallible = writeln!(page, "# UNIT {name} {unit}");
    }
    let _infallible = writeln!(page, "# HELP {name} {help}");
}

fn sample(page: &mut String, name: &str, labels: &[(&str, &str)], value: f64) {
    let labels: Vec<String> =
        labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).collect();
    let value = if value.is_infinite() { "+Inf".to_owned() } else { value.to_string() };
    let _infallible = writeln!(page, "{name}{{{}}} {value}", labels.join(","));
}

/// A label's value: backslash, quote and end of line are escaped.
fn escaped(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Counts, Phase};

    fn live() -> Live<'static> {
        Live {
            target: "a \"b\"",
            trial: 2,
            trials: 5,
            phase: Phase::Measure,
            seconds: 1.0,
            of_seconds: None,
            offered_per_s: None,
            published_per_s: 1_000.5,
            delivered_per_s: 900.0,
            lost_so_far: 3,
            p99_us: Some(f64::INFINITY),
        }
    }

    #[test]
    fn a_running_trial_is_on_the_page_and_what_is_not_measured_is_not() {
        let mut metrics = OpenMetrics::default();
        metrics.live(&live());
        let page = metrics.page();
        assert!(
            page.contains("busmark_published_rate{target=\"a \\\"b\\\"\",phase=\"measure\"} 1000.5\n"),
            "{page}"
        );
        assert!(
            page.contains(
                "busmark_delivery_time_p99_seconds{target=\"a \\\"b\\\"\",phase=\"measure\"} +Inf\n"
            )
        );
        assert!(!page.contains("busmark_offered_rate{"), "it has no schedule: {page}");
        assert!(page.ends_with("# EOF\n"));
    }

    #[test]
    fn finished_trials_are_summed_up_by_target_and_the_running_one_is_gone() {
        let mut metrics = OpenMetrics::default();
        let record = TrialRecord {
            target: "a".into(),
            counts: Counts { sent: 10, delivered: 9, expected: 10, lost: 1, ..Counts::default() },
            ..TrialRecord::default()
        };
        metrics.live(&live());
        metrics.finished(&record);
        metrics.finished(&record);
        let page = metrics.page();
        assert!(page.contains("busmark_trials_total{target=\"a\",verdict=\"valid\"} 2\n"), "{page}");
        assert!(page.contains("busmark_deliveries_lost_total{target=\"a\"} 2\n"), "{page}");
        assert!(!page.contains("busmark_published_rate{"), "{page}");
        let families = page.lines().filter(|line| line.starts_with("# TYPE")).count();
        assert_eq!(families, 1 + SUMS.len() + NOW.len());
    }
}
