//! The results folders below a root: what they hold, and whether they may be taken away.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::ReportError;
use super::folder::{
    AUDIENCES_CSV, CHARTS, GATE_JSON, MANIFEST, PERCENTILES_CSV, REPORT_HTML, ResultsFolder, SLOWEST_CSV,
    SUMMARY_CSV, SUMMARY_JSON, TIMELINE_CSV,
};
use super::loaded::read_manifest;
use crate::measure::Grade;

/// A folder that a run has left.
#[derive(Debug, Clone, PartialEq)]
pub struct Listed {
    /// Where it is.
    pub dir: PathBuf,
    /// Name of the scenario.
    pub scenario: String,
    /// Start of the run, RFC 3339 UTC: sorts as text.
    pub started_at: String,
    /// How the run ended.
    pub state: State,
    /// Trials done and planned.
    pub trials: (u32, u32),
    /// The worst verdict among them; empty without trials.
    pub verdict: Option<Grade>,
    /// The targets.
    pub targets: Vec<String>,
    /// Bytes of all its files.
    pub bytes: u64,
}

/// How the run of a folder ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// By itself.
    Finished,
    /// On purpose.
    Interrupted,
    /// It is running still, or was killed.
    Unfinished,
    /// Its files can't be read, and why.
    Damaged(String),
}

impl State {
    /// One word for a list.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Interrupted => "interrupted",
            Self::Unfinished => "unfinished",
            Self::Damaged(_) => "damaged",
        }
    }
}

/// All results folders right below a root, oldest first. Whatever else is there is passed over, links too.
///
/// # Errors
/// If the root can't be read; a root that is not there holds nothing.
pub fn inventory(root: &Path) -> Result<Vec<Listed>, ReportError> {
    if !root.exists() {
        return Ok(Vec::new());
    }
    let mut all = Vec::new();
    for entry in fs::read_dir(root).map_err(ReportError::io(root))? {
        let dir = entry.map_err(ReportError::io(root))?.path();
        let real = fs::symlink_metadata(&dir).is_ok_and(|found| found.is_dir());
        // Without a manifest that can be read nothing says that the folder is ours.
        if let (true, Ok(manifest)) = (real, read_manifest(&dir)) {
            all.push(listed(dir, manifest));
        }
    }
    all.sort_by(|a, b| (&a.started_at, &a.dir).cmp(&(&b.started_at, &b.dir)));
    Ok(all)
}

fn listed(dir: PathBuf, manifest: super::Manifest) -> Listed {
    let loaded = ResultsFolder::open(&dir);
    let trials = loaded.as_ref().map_or(0, |run| run.trials.len() as u32);
    let verdict = loaded.as_ref().ok().and_then(|run| run.headlines.iter().map(|h| h.verdict).max());
    let state = match loaded {
        Err(error) if !matches!(error, ReportError::NoTrials { .. }) => State::Damaged(error.to_string()),
        _ if manifest.interrupted => State::Interrupted,
        _ if manifest.finished_at.is_some() => State::Finished,
        _ => State::Unfinished,
    };
    Listed {
        bytes: size(&dir),
        dir,
        scenario: manifest.scenario,
        started_at: manifest.started_at,
        state,
        trials: (trials, manifest.trials_planned),
        verdict,
        targets: manifest.targets.into_iter().map(|target| target.name).collect(),
    }
}

/// Bytes of all files below a folder; links are not followed.
fn size(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else { return 0 };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(found) if found.is_dir() => size(&entry.path()),
            Ok(found) => found.len(),
            Err(_) => 0,
        })
        .sum()
}

impl Listed {
    /// Files in the folder that no run writes: somebody keeps something of their own here.
    ///
    /// # Errors
    /// If the folder can't be read.
    pub fn foreign(&self) -> Result<Vec<String>, ReportError> {
        let (_own, foreign) = self.sorted()?;
        Ok(foreign)
    }

    /// Takes the folder away, file by file, and only what a run has written.
    ///
    /// # Errors
    /// [`ReportError::NotResults`] if it holds anything else: then nothing is removed.
    pub fn remove(&self) -> Result<(), ReportError> {
        let (own, foreign) = self.sorted()?;
        if !foreign.is_empty() {
            let why = format!("it also holds {}", foreign.join(", "));
            return Err(ReportError::NotResults { path: self.dir.clone(), why });
        }
        for file in &own {
            fs::remove_file(file).map_err(ReportError::io(file))?;
        }
        let charts = self.dir.join(CHARTS);
        if charts.exists() {
            fs::remove_dir(&charts).map_err(ReportError::io(&charts))?;
        }
        fs::remove_dir(&self.dir).map_err(ReportError::io(&self.dir))
    }

    /// The files that a run writes, and the names of all others.
    fn sorted(&self) -> Result<(Vec<PathBuf>, Vec<String>), ReportError> {
        let (mut own, mut foreign) = (Vec::new(), Vec::new());
        sort_into(&self.dir, is_own, &mut own, &mut foreign)?;
        let charts = self.dir.join(CHARTS);
        if fs::symlink_metadata(&charts).is_ok_and(|found| found.is_dir()) {
            sort_into(&charts, is_chart, &mut own, &mut foreign)?;
        }
        Ok((own, foreign))
    }
}

fn sort_into(
    dir: &Path,
    is_ours: fn(&str) -> bool,
    own: &mut Vec<PathBuf>,
    foreign: &mut Vec<String>,
) -> Result<(), ReportError> {
    for entry in fs::read_dir(dir).map_err(ReportError::io(dir))? {
        let entry = entry.map_err(ReportError::io(dir))?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let kind = entry.file_type().map_err(ReportError::io(dir))?;
        if kind.is_file() && is_ours(&name) {
            own.push(entry.path());
        } else if !(kind.is_dir() && name == CHARTS) {
            foreign.push(name);
        }
    }
    Ok(())
}

fn is_own(name: &str) -> bool {
    const NAMES: [&str; 9] = [
        MANIFEST,
        SUMMARY_CSV,
        SUMMARY_JSON,
        PERCENTILES_CSV,
        TIMELINE_CSV,
        SLOWEST_CSV,
        AUDIENCES_CSV,
        REPORT_HTML,
        GATE_JSON,
    ];
    // A write that was cut off leaves its part beside its place.
    let whole = name.strip_prefix('.').and_then(|name| name.strip_suffix(".part")).unwrap_or(name);
    NAMES.contains(&whole) || whole.ends_with(".hlog")
}

fn is_chart(name: &str) -> bool {
    let whole = name.strip_prefix('.').and_then(|name| name.strip_suffix(".part")).unwrap_or(name);
    whole.ends_with(".svg") || whole.ends_with(".png")
}
