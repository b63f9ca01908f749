//! Baselines: runs that are kept under a name of their own, for later ones to be compared with.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::ReportError;
use super::files;
use super::folder::{MANIFEST, PERCENTILES_CSV, SUMMARY_CSV, SUMMARY_JSON, file_name};
use super::loaded::Loaded;
use crate::measure::Grade;

/// What a baseline is made of: figures and how they came about, no logs and no charts.
const KEPT: [&str; 4] = [MANIFEST, SUMMARY_JSON, SUMMARY_CSV, PERCENTILES_CSV];

/// Keeps a run as a baseline in `<root>/<name>/`; `replace` takes an older one of this name away.
///
/// # Errors
/// [`ReportError::NoBaseline`] for a name that is no name, that is taken, or for a run that nothing may be compared
/// with; [`ReportError::Io`] if it can't be written.
pub fn keep_baseline(run: &Loaded, root: &Path, name: &str, replace: bool) -> Result<PathBuf, ReportError> {
    let dir = root.join(name);
    let not = |why: String| ReportError::NoBaseline { path: dir.clone(), why };
    if name.is_empty() || name.starts_with('.') || file_name(name) != name {
        return Err(not(format!("`{name}` is no name for it; allowed are letters, digits and . _ - =")));
    }
    unsound(run).map_or(Ok(()), |why| Err(not(format!("{} {why}", run.dir.display()))))?;
    if dir.exists() && !replace {
        return Err(not("it is there already; --force replaces it".to_owned()));
    }
    fs::create_dir_all(&dir).map_err(ReportError::io(&dir))?;
    for name in KEPT {
        let (from, to) = (run.dir.join(name), dir.join(name));
        if from.exists() {
            files::replace(&to, &fs::read(&from).map_err(ReportError::io(&from))?)?;
        }
    }
    Ok(dir)
}

/// Why nothing may be compared with a run: unfinished, edited, or INVALID.
#[must_use]
pub fn unsound(run: &Loaded) -> Option<String> {
    if let Some(warning) = run.warnings.first() {
        return Some(format!("can't be used: {warning}"));
    }
    let invalid = run.trials.iter().find(|trial| trial.record.verdict.grade == Grade::Invalid)?;
    Some(format!("can't be used: trial {} of {} is INVALID", invalid.record.trial, invalid.record.target))
}
