//! What a run says in the end: every trial, and per target the medians over its trials.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::columns::{Cell, columns};
use super::estimate::Estimate;
use super::manifest::{Manifest, SCHEMA_VERSION};
use super::tables::Trial;
use crate::measure::{Grade, Reason, TrialRecord};

/// Columns that say what was run and not what came out.
const SETTINGS: [&str; 4] = ["trial", "payload_bytes", "publishers", "subscribers"];

/// The content of `summary.json`.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Summary {
    /// Layout; see [`SCHEMA_VERSION`].
    pub schema_version: u64,
    /// Name of the scenario.
    pub scenario: String,
    /// Start of the run, RFC 3339 UTC.
    pub started_at: String,
    /// One per target and point, in the order of their first trials.
    pub headlines: Vec<Headline>,
    /// Every trial, in the order in which they ended.
    pub trials: Vec<TrialRecord>,
}

/// One target at one point over all its trials.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Headline {
    /// The target.
    pub target: String,
    /// The point of the sweep; empty without a sweep.
    pub point: String,
    /// Label of its guarantees: only equals may be compared.
    pub guarantee: String,
    /// Trials that this sums up.
    pub trials: u32,
    /// The worst verdict among them.
    pub verdict: Grade,
    /// What stands against them.
    pub reasons: Vec<TrialReason>,
    /// Median over trials, with its interval, of every column of `summary.csv` that was measured.
    pub medians: BTreeMap<String, Estimate>,
    /// Sum over trials of every column that counts something.
    pub sums: BTreeMap<String, u64>,
}

/// One thing that stands against a trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrialReason {
    /// Which trial.
    pub trial: u32,
    /// What.
    #[serde(flatten)]
    pub reason: Reason,
}

impl Summary {
    /// Sums up the trials of a run.
    #[must_use]
    pub fn of(manifest: &Manifest, trials: &[Trial]) -> Self {
        let records: Vec<&TrialRecord> = trials.iter().map(|trial| &trial.record).collect();
        Self {
            schema_version: SCHEMA_VERSION,
            scenario: manifest.scenario.clone(),
            started_at: manifest.started_at.clone(),
            headlines: headlines(&records),
            trials: records.into_iter().cloned().collect(),
        }
    }
}

/// One headline per target and point, in the order of their first trials.
#[must_use]
pub fn headlines(records: &[&TrialRecord]) -> Vec<Headline> {
    let mut groups: Vec<Vec<&TrialRecord>> = Vec::new();
    for record in records {
        let alike = |group: &&mut Vec<&TrialRecord>| {
            group.first().is_some_and(|first| first.target == record.target && first.point == record.point)
        };
        match groups.iter_mut().find(alike) {
            Some(group) => group.push(record),
            None => groups.push(vec![record]),
        }
    }
    groups.iter().map(|group| headline(group)).collect()
}

fn headline(group: &[&TrialRecord]) -> Headline {
    let first = group[0];
    let mut headline = Headline {
        target: first.target.clone(),
        point: first.point.clone(),
        guarantee: first.guarantee.clone(),
        trials: group.len() as u32,
        verdict: group.iter().map(|record| record.verdict.grade).max().unwrap_or_default(),
        reasons: group.iter().flat_map(|record| reasons(record)).collect(),
        ..Headline::default()
    };
    for column in columns().into_iter().filter(|column| !SETTINGS.contains(&column.name.as_str())) {
        let cells: Vec<Cell> = group.iter().map(|record| column.cell(record)).collect();
        let numbers: Vec<f64> = cells.iter().filter_map(Cell::number).collect();
        // A median over some of the trials only would be a median of the lucky ones.
        if numbers.len() == cells.len() {
            headline.medians.extend(Estimate::of(&numbers).map(|estimate| (column.name.clone(), estimate)));
        }
        let counts: Option<u64> = cells.iter().map(Cell::count).sum();
        headline.sums.extend(counts.map(|sum| (column.name, sum)));
    }
    headline
}

fn reasons(record: &TrialRecord) -> impl Iterator<Item = TrialReason> {
    record.verdict.reasons.iter().map(|reason| TrialReason { trial: record.trial, reason: reason.clone() })
}

impl Headline {
    /// The target, with its point if there is a sweep.
    #[must_use]
    pub fn name(&self) -> String {
        if self.point.is_empty() { self.target.clone() } else { format!("{} {}", self.target, self.point) }
    }

    /// The median of a column.
    #[must_use]
    pub fn median(&self, column: &str) -> Option<&Estimate> {
        self.medians.get(column)
    }

    /// The sum of a column.
    #[must_use]
    pub fn sum(&self, column: &str) -> Option<u64> {
        self.sums.get(column).copied()
    }

    /// Lost by expected deliveries over all trials.
    #[must_use]
    pub fn loss_ratio(&self) -> Option<f64> {
        match (self.sum("lost"), self.sum("expected")) {
            (Some(lost), Some(expected)) if expected > 0 => Some(lost as f64 / expected as f64),
            _ => None,
        }
    }
}
