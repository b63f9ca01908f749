//! The CSV files of a results folder.

use super::columns::{Cell, columns};
use super::curve::Curve;
use super::files;
use crate::measure::{Quantile, Totals, TrialRecord};

/// Starts every row that belongs to a trial.
const TRIAL: [&str; 3] = ["target", "point", "trial"];

fn trial_cells(record: &TrialRecord) -> [String; 3] {
    [record.target.clone(), record.point.clone(), record.trial.to_string()]
}

fn text<T: Into<Cell>>(value: T) -> String {
    let cell: Cell = value.into();
    cell.text()
}

/// `summary.csv`: one row per target, point and trial.
///
/// # Errors
/// Never in memory; the CSV writer says otherwise.
pub fn summary(trials: &[Trial]) -> Result<Vec<u8>, csv::Error> {
    let columns = columns();
    let header: Vec<&str> = columns.iter().map(|column| column.name.as_str()).collect();
    let rows = trials.iter().map(|trial| columns.iter().map(|column| column.cell(&trial.record).text()));
    files::csv(&header, rows)
}

/// `percentiles.csv`: every latency of every trial, close enough together to draw.
pub(super) fn percentiles(trials: &[Trial]) -> Result<Vec<u8>, csv::Error> {
    let header = [TRIAL.as_slice(), &PERCENTILE_COLUMNS].concat();
    let rows = trials.iter().flat_map(|trial| {
        trial.curves.iter().flat_map(move |curve| {
            curve.points.iter().map(move |(share, quantile)| {
                let own = [curve.metric.clone(), share.to_string(), quantile.to_string()];
                trial_cells(&trial.record).into_iter().chain(own)
            })
        })
    });
    files::csv(&header, rows)
}

const PERCENTILE_COLUMNS: [&str; 3] = ["metric", "quantile", "us"];

/// `timeline.csv`: every interval of every trial.
pub(super) fn timeline(trials: &[Trial]) -> Result<Vec<u8>, csv::Error> {
    let header = [TRIAL.as_slice(), &TIMELINE_COLUMNS].concat();
    let rows = trials.iter().flat_map(|trial| {
        trial.record.timeline.iter().map(move |row| {
            let own = [
                text(row.second),
                row.phase.name().to_owned(),
                text(row.sent),
                text(row.acked),
                text(row.delivered),
                text(row.delivery_time_us_p50),
                text(row.delivery_time_us_p99),
                text(row.delivery_time_us_max),
                text(row.gaps),
                text(row.broker_cores),
                text(row.broker_rss_bytes),
                text(row.offered_per_s),
            ];
            trial_cells(&trial.record).into_iter().chain(own)
        })
    });
    files::csv(&header, rows)
}

const TIMELINE_COLUMNS: [&str; 12] = [
    "second",
    "phase",
    "sent",
    "acked",
    "delivered",
    "delivery_time_us_p50",
    "delivery_time_us_p99",
    "delivery_time_us_max",
    "gaps",
    "broker_cores",
    "broker_rss_bytes",
    "offered_per_s",
];

/// `audiences.csv`: what each audience of every trial got.
pub(super) fn audiences(trials: &[Trial]) -> Result<Vec<u8>, csv::Error> {
    let header = [TRIAL.as_slice(), &AUDIENCE_COLUMNS].concat();
    let rows = trials.iter().flat_map(|trial| {
        trial.record.audiences.iter().map(move |audience| {
            let own = [
                audience.name.clone(),
                if audience.work_queue { "work_queue" } else { "fan_out" }.to_owned(),
                audience.subscribers.to_string(),
                audience.expected.to_string(),
                audience.delivered.to_string(),
                audience.missing.to_string(),
                audience.missing_away.to_string(),
                audience.duplicate.to_string(),
                audience.redelivered.to_string(),
                text(audience.reordered),
                audience.corrupt.to_string(),
                audience.delivery_time_us_p99.map_or_else(String::new, |p99| p99.to_string()),
            ];
            trial_cells(&trial.record).into_iter().chain(own)
        })
    });
    files::csv(&header, rows)
}

const AUDIENCE_COLUMNS: [&str; 12] = [
    "audience",
    "delivery",
    "subscribers",
    "expected",
    "delivered",
    "missing",
    "missing_away",
    "duplicate",
    "redelivered",
    "reordered",
    "corrupt",
    "delivery_time_us_p99",
];

/// `slowest.csv`: the slowest messages of every trial, with when each stage was reached.
pub(super) fn slowest(trials: &[Trial]) -> Result<Vec<u8>, csv::Error> {
    let header = [TRIAL.as_slice(), &SLOWEST_COLUMNS].concat();
    let rows = trials.iter().flat_map(|trial| {
        trial.record.slowest.iter().enumerate().map(move |(rank, message)| {
            let from = message.intended.or(message.sent);
            let us = from.map(|from| (message.received.saturating_sub(from)) as f64 / 1e3);
            let own = [
                (rank + 1).to_string(),
                message.publisher.to_string(),
                message.lane.to_string(),
                message.sequence.to_string(),
                text(us),
                text(message.intended),
                text(message.woken),
                text(message.sent),
                text(message.acked),
                message.received.to_string(),
                text(message.handled),
            ];
            trial_cells(&trial.record).into_iter().chain(own)
        })
    });
    files::csv(&header, rows)
}

const SLOWEST_COLUMNS: [&str; 11] = [
    "rank",
    "publisher",
    "lane",
    "sequence",
    "us",
    "intended_ns",
    "woken_ns",
    "sent_ns",
    "acked_ns",
    "received_ns",
    "handled_ns",
];

/// A trial's record and its latency curves.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Trial {
    /// What was measured.
    pub record: TrialRecord,
    /// The latencies, percentile by percentile.
    pub curves: Vec<Curve>,
}

impl Trial {
    /// A trial with the curves of all latencies that were measured.
    #[must_use]
    pub fn of(record: TrialRecord, totals: &Totals) -> Self {
        let missing = |metric: &str| {
            let latencies = &record.latencies;
            let quantiles = match metric {
                "delivery_time" => latencies.delivery_time,
                "transit_time" => latencies.transit_time,
                "last_delivery" => latencies.last_delivery,
                "service_time" => latencies.service_time,
                "response_time" => latencies.response_time,
                _ => None,
            };
            quantiles.map_or(0, |quantiles| quantiles.missing)
        };
        let curves = totals
            .named()
            .into_iter()
            .map(|(metric, histogram)| Curve::of(metric, histogram, missing(metric)))
            .filter(|curve| !curve.points.is_empty())
            .collect();
        Self { record, curves }
    }

    /// The curve of a latency, if it was measured.
    #[must_use]
    pub fn curve(&self, metric: &str) -> Option<&Curve> {
        self.curves.iter().find(|curve| curve.metric == metric)
    }
}

/// Reads `percentiles.csv` back into the trials it belongs to; says what is wrong with the first bad row.
pub(super) fn read_percentiles(content: &[u8], trials: &mut [Trial]) -> Result<(), String> {
    let mut reader = csv::Reader::from_reader(content);
    let expected = [TRIAL.as_slice(), &PERCENTILE_COLUMNS].concat();
    let header = reader.headers().map_err(|error| error.to_string())?;
    if header.iter().ne(expected.iter().copied()) {
        return Err(format!("its columns are not {}", expected.join(",")));
    }
    for (index, row) in reader.records().enumerate() {
        let row = row.map_err(|error| error.to_string())?;
        let line = index + 2;
        let owner = trials.iter_mut().find(|trial| trial_cells(&trial.record).iter().eq(row.iter().take(3)));
        let owner = owner.ok_or_else(|| format!("line {line} belongs to no trial of summary.json"))?;
        let share: f64 = row[4].parse().map_err(|_| format!("line {line}: {:?} is no number", &row[4]))?;
        let micros: f64 = row[5].parse().map_err(|_| format!("line {line}: {:?} is no number", &row[5]))?;
        let point = (share, Quantile::from_micros(micros));
        match owner.curves.iter_mut().find(|curve| curve.metric == row[3]) {
            Some(curve) => curve.points.push(point),
            None => owner.curves.push(Curve { metric: row[3].to_owned(), points: vec![point] }),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(number: u32) -> Trial {
        let points = vec![(0.5, Quantile::Micros(12.5)), (0.999, Quantile::Beyond)];
        Trial {
            record: TrialRecord { target: "a,b".to_owned(), trial: number, ..TrialRecord::default() },
            curves: vec![
                Curve { metric: "delivery_time".to_owned(), points: points.clone() },
                Curve { metric: "service_time".to_owned(), points },
            ],
        }
    }

    #[test]
    fn curves_read_back_as_they_were_written_trial_by_trial() {
        let trials = [trial(1), trial(2)];
        let written = percentiles(&trials).unwrap();
        let mut bare: Vec<Trial> = trials.iter().map(|t| Trial { curves: vec![], ..t.clone() }).collect();
        read_percentiles(&written, &mut bare).unwrap();
        assert_eq!(bare, trials);
    }

    #[test]
    fn an_edited_percentiles_file_is_refused_with_its_line() {
        let mut trials = [trial(1)];
        let header = "target,point,trial,metric,quantile,us\n";
        let read =
            |text: String, trials: &mut [Trial]| read_percentiles(text.as_bytes(), trials).unwrap_err();
        assert!(read("a,b\n".to_owned(), &mut trials).contains("columns are not"));
        let error = read(format!("{header}\"a,b\",,1,m,0.5,soon\n"), &mut trials);
        assert!(error.contains("line 2: \"soon\""), "{error}");
        let error = read(format!("{header}\"a,b\",,7,m,0.5,1\n"), &mut trials);
        assert!(error.contains("line 2 belongs to no trial"), "{error}");
    }
}
