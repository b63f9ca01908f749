//! One JSON document for machines: everything a run says.

use serde::Serialize;

use super::error::ReportError;
use super::loaded::Loaded;
use super::manifest::{Manifest, SCHEMA_VERSION};
use super::summary::Headline;
use crate::gate::Judgement;
use crate::measure::TrialRecord;

#[derive(Serialize)]
struct Document<'a> {
    schema_version: u64,
    folder: String,
    manifest: &'a Manifest,
    headlines: &'a [Headline],
    judgements: &'a [Judgement],
    warnings: &'a [String],
    trials: Vec<&'a TrialRecord>,
}

/// A run as one JSON document, pretty, with a newline at its end.
///
/// # Errors
/// Never for what was measured; serde_json says otherwise.
pub fn json(run: &Loaded, judgements: &[Judgement]) -> Result<String, ReportError> {
    let document = Document {
        schema_version: SCHEMA_VERSION,
        folder: run.dir.display().to_string(),
        manifest: &run.manifest,
        headlines: &run.headlines,
        judgements,
        warnings: &run.warnings,
        trials: run.trials.iter().map(|trial| &trial.record).collect(),
    };
    let text = serde_json::to_string_pretty(&document);
    text.map(|text| text + "\n").map_err(|error| ReportError::damaged(&run.dir, error))
}
