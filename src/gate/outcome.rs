//! What a gate came to.

use serde::Serialize;

use super::judge::Judgement;
use super::stages::Finding;

/// What a gate came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// No worse, within the tolerance.
    Pass,
    /// Worse, or wrong.
    Fail,
    /// This run can't tell.
    Inconclusive,
}

/// How far a gate came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reached {
    /// The A/A check: the base against itself.
    Check,
    /// The first stage.
    First,
    /// The second stage, on fresh blocks.
    Second,
}

impl Reached {
    /// In words.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Check => "the A/A check",
            Self::First => "the first stage",
            Self::Second => "the second stage",
        }
    }
}

/// How much a metric varies between equal trials.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Noise {
    /// The metric.
    pub metric: String,
    /// Standard deviation by mean, of the bulk: see [`super::variation`].
    pub variation: f64,
}

/// The end of a gate.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// What it came to.
    pub decision: Decision,
    /// Why, in one sentence with the figures.
    pub reason: String,
    /// Where it ended.
    pub reached: Reached,
    /// What the A/A check found.
    pub noise: Vec<Noise>,
    /// What was found of each metric; empty if it ended before.
    pub findings: Vec<Finding>,
    /// The expectations, on the candidate unless they name a target.
    pub judgements: Vec<Judgement>,
    /// Trials measured, those that had to be repeated included.
    pub trials: usize,
    /// Trials that were INVALID, so that they count for nothing.
    pub invalid: usize,
}
