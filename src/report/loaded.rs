//! A results folder read back, with a clear word about what is wrong with it.

use std::fs;
use std::path::{Path, PathBuf};

use super::capacity::CapacityReport;
use super::error::ReportError;
use super::files;
use super::folder::{MANIFEST, PERCENTILES_CSV, ResultsFolder, SUMMARY_CSV, SUMMARY_JSON};
use super::manifest::{Manifest, SCHEMA_VERSION};
use super::summary::{Headline, Summary};
use super::tables::{self, Trial};
use crate::gate::{self, Judgement};
use crate::measure::TrialRecord;
use crate::scenario::Scenario;

/// A results folder read back.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Loaded {
    /// Where it is.
    pub dir: PathBuf,
    /// How the run came about.
    pub manifest: Manifest,
    /// Its trials, in the order in which they ended.
    pub trials: Vec<Trial>,
    /// One per target and point.
    pub headlines: Vec<Headline>,
    /// What a reader has to know of the folder's state: unfinished, edited, incomplete.
    pub warnings: Vec<String>,
    /// The search for the highest rate whose trials these are, if they are one's.
    pub capacity: Option<CapacityReport>,
}

impl Loaded {
    /// The expectations of the run's own scenario, judged on its trials; none where that scenario is not
    /// understood any more.
    #[must_use]
    pub fn judgements(&self) -> Vec<Judgement> {
        let records: Vec<TrialRecord> = self.trials.iter().map(|trial| trial.record.clone()).collect();
        Scenario::parse(&self.manifest.scenario_filled_in, MANIFEST, &[])
            .map_or_else(|_error| Vec::new(), |scenario| gate::judge(&scenario.expects, &records))
    }
}

impl ResultsFolder {
    /// Reads a results folder.
    ///
    /// # Errors
    /// [`ReportError::NotResults`], [`ReportError::NoTrials`], [`ReportError::Damaged`] or
    /// [`ReportError::TooNew`], each naming the file and what to do; [`ReportError::Io`] otherwise.
    pub fn open(dir: &Path) -> Result<Loaded, ReportError> {
        let manifest = read_manifest(dir)?;
        let path = dir.join(SUMMARY_JSON);
        if !path.exists() {
            return Err(ReportError::NoTrials { path: dir.to_owned() });
        }
        let summary: Summary = files::read_json(&path, SCHEMA_VERSION)?;
        check(&path, &summary)?;
        let mut trials: Vec<Trial> =
            summary.trials.into_iter().map(|record| Trial { record, curves: Vec::new() }).collect();
        let mut warnings = unfinished(&manifest, trials.len());
        warnings.extend(edited(dir, &trials));
        warnings.extend(read_curves(dir, &mut trials)?);
        // Medians are taken from the trials again: whatever stands in the file can't disagree with them.
        let headlines = Summary::of(&manifest, &trials).headlines;
        if headlines != summary.headlines {
            warnings.push(format!("the headlines of {SUMMARY_JSON} are not those of its trials; taken anew"));
        }
        let capacity = CapacityReport::of_folder(dir)?;
        Ok(Loaded { dir: dir.to_owned(), manifest, trials, headlines, warnings, capacity })
    }
}

/// Reads the manifest of a folder; without one it is no results folder.
pub(super) fn read_manifest(dir: &Path) -> Result<Manifest, ReportError> {
    let not = |why: &str| ReportError::NotResults { path: dir.to_owned(), why: why.to_owned() };
    if !dir.exists() {
        return Err(not("it is not there"));
    }
    if !dir.is_dir() {
        return Err(not("it is a file"));
    }
    let path = dir.join(MANIFEST);
    if !path.exists() {
        return Err(not(&format!("it has no {MANIFEST}")));
    }
    files::read_json(&path, SCHEMA_VERSION)
}

/// What no run writes: no trials, or one twice.
fn check(path: &Path, summary: &Summary) -> Result<(), ReportError> {
    if summary.trials.is_empty() {
        return Err(ReportError::damaged(path, "it lists no trial"));
    }
    for (index, record) in summary.trials.iter().enumerate() {
        let key = |r: &TrialRecord| (r.target.clone(), r.point.clone(), r.trial);
        if summary.trials[..index].iter().any(|earlier| key(earlier) == key(record)) {
            let (target, trial) = (&record.target, record.trial);
            return Err(ReportError::damaged(path, format!("trial {trial} of {target} stands there twice")));
        }
    }
    Ok(())
}

fn unfinished(manifest: &Manifest, done: usize) -> Vec<String> {
    let planned = manifest.trials_planned;
    match (&manifest.finished_at, manifest.interrupted) {
        (_, true) => vec![format!("this run was interrupted after {done} of {planned} trials")],
        (None, false) => vec![format!("this run did not end by itself: {done} of {planned} trials are here")],
        (Some(_), false) => vec![],
    }
}

/// `summary.csv` is rendered from the same trials, so it must say the same to the letter.
fn edited(dir: &Path, trials: &[Trial]) -> Option<String> {
    let found = fs::read(dir.join(SUMMARY_CSV)).ok()?;
    let rendered = tables::summary(trials).ok()?;
    (found != rendered).then(|| {
        format!(
            "{SUMMARY_CSV} is not what {SUMMARY_JSON} says (edited by hand?); figures are from {SUMMARY_JSON}"
        )
    })
}

fn read_curves(dir: &Path, trials: &mut [Trial]) -> Result<Option<String>, ReportError> {
    let path = dir.join(PERCENTILES_CSV);
    if !path.exists() {
        return Ok(Some(format!("{PERCENTILES_CSV} is not there: no chart of latency by percentile")));
    }
    let content = fs::read(&path).map_err(ReportError::io(&path))?;
    tables::read_percentiles(&content, trials).map_err(|detail| ReportError::damaged(&path, detail))?;
    Ok(None)
}
