//! A results folder while a run fills it: after every trial it is whole.

use std::fs;
use std::path::{Path, PathBuf};

use super::error::ReportError;
use super::loaded::Loaded;
use super::manifest::{Manifest, SCHEMA_VERSION};
use super::summary::Summary;
use super::tables::{self, Trial};
use super::{files, gallery, html};
use crate::clock;
use crate::measure::{IntervalLog, TrialRecord};

/// Names of the files of a results folder.
pub(super) const MANIFEST: &str = "manifest.json";
pub(super) const SUMMARY_JSON: &str = "summary.json";
pub(super) const SUMMARY_CSV: &str = "summary.csv";
pub(super) const PERCENTILES_CSV: &str = "percentiles.csv";
pub(super) const TIMELINE_CSV: &str = "timeline.csv";
pub(super) const SLOWEST_CSV: &str = "slowest.csv";
pub(super) const AUDIENCES_CSV: &str = "audiences.csv";
pub(super) const REPORT_HTML: &str = "report.html";
pub(super) const GATE_JSON: &str = "gate.json";
pub(super) const CHARTS: &str = "charts";
/// The link that always points at the newest results folder.
pub(super) const LATEST: &str = "latest";

/// How often the same second may start a run of the same scenario.
const SAME_SECOND: u32 = 100;

/// A results folder while a run fills it.
#[derive(Debug)]
pub struct ResultsFolder {
    dir: PathBuf,
    manifest: Manifest,
    trials: Vec<Trial>,
}

impl ResultsFolder {
    /// Makes `<root>/<scenario>-<UTC time>/` with its manifest, and points `<root>/latest` at it.
    ///
    /// # Errors
    /// If the folder or a file of it can't be written.
    pub fn create(root: &Path, started_unix_nanos: u64, manifest: Manifest) -> Result<Self, ReportError> {
        fs::create_dir_all(root).map_err(ReportError::io(root))?;
        let started_at = clock::rfc3339(started_unix_nanos);
        let stem = format!("{}-{}", manifest.scenario, started_at.replace(['-', ':'], ""));
        let dir = make_own(root, &stem)?;
        let manifest = Manifest { schema_version: SCHEMA_VERSION, started_at, ..manifest };
        files::replace_json(&dir.join(MANIFEST), &manifest)?;
        if let Some(name) = dir.file_name() {
            files::relink(&root.join(LATEST), Path::new(name))?;
        }
        Ok(Self { dir, manifest, trials: Vec::new() })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.dir
    }

    /// The trials so far, in the order in which they ended.
    #[must_use]
    pub fn trials(&self) -> &[Trial] {
        &self.trials
    }

    /// What the manifest says so far.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Changes the manifest, for what is known only once a broker answers.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn amend(&mut self, change: impl FnOnce(&mut Manifest)) -> Result<(), ReportError> {
        change(&mut self.manifest);
        files::replace_json(&self.dir.join(MANIFEST), &self.manifest)
    }

    /// Keeps a finished trial: afterwards all files hold everything measured so far, whatever comes.
    ///
    /// # Errors
    /// If a file can't be written.
    pub fn append(&mut self, trial: Trial) -> Result<(), ReportError> {
        self.trials.push(trial);
        self.write_tables()?;
        files::replace_json(&self.dir.join(SUMMARY_JSON), &Summary::of(&self.manifest, &self.trials))
    }

    /// Ends the run: notes its end in the manifest, and draws the charts and the page.
    ///
    /// # Errors
    /// If a file can't be written or a chart not be drawn; all tables are there by then.
    pub fn finish(&mut self, unix_nanos: u64, interrupted: bool) -> Result<(), ReportError> {
        self.amend(|manifest| {
            manifest.finished_at = Some(clock::rfc3339(unix_nanos));
            manifest.interrupted = interrupted;
        })?;
        if self.trials.is_empty() { Ok(()) } else { redraw(&Self::open(&self.dir)?) }
    }

    /// Writes the HDR log of a trial, one tag per latency: `<target>-<point>-<trial>.hlog`. `unix_start` is
    /// the wall-clock time of trial start, nanoseconds since 1970.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn write_log(
        &self,
        record: &TrialRecord,
        log: &IntervalLog,
        unix_start: u64,
    ) -> Result<(), ReportError> {
        let TrialRecord { scenario, target, point, trial, .. } = record;
        let place = if point.is_empty() { target.clone() } else { format!("{target}-{point}") };
        let path = self.dir.join(format!("{}-{trial}.hlog", file_name(&place)));
        let about = format!("busmark, {scenario}, {target}, {point}, trial {trial}; values are nanoseconds");
        let mut content = Vec::new();
        log.write(&mut content, unix_start, &[about]).map_err(ReportError::io(&path))?;
        files::replace(&path, &content)
    }

    fn write_tables(&self) -> Result<(), ReportError> {
        type Table = fn(&[Trial]) -> Result<Vec<u8>, csv::Error>;
        let all: [(&str, Table); 4] = [
            (SUMMARY_CSV, tables::summary),
            (PERCENTILES_CSV, tables::percentiles),
            (TIMELINE_CSV, tables::timeline),
            (SLOWEST_CSV, tables::slowest),
        ];
        let audiences = self.trials.iter().any(|trial| !trial.record.audiences.is_empty());
        let audiences = audiences.then_some((AUDIENCES_CSV, tables::audiences as Table));
        for (name, table) in all.into_iter().chain(audiences) {
            let path = self.dir.join(name);
            let content = table(&self.trials).map_err(|error| ReportError::damaged(&path, error))?;
            files::replace(&path, &content)?;
        }
        Ok(())
    }
}

/// Draws the charts and the page of a run into its folder, again if need be.
///
/// # Errors
/// If a chart can't be drawn or a file not be written.
pub fn redraw(run: &Loaded) -> Result<(), ReportError> {
    let dir = run.dir.join(CHARTS);
    fs::create_dir_all(&dir).map_err(ReportError::io(&dir))?;
    gallery::pictures(run).iter().try_for_each(|picture| picture.write(&dir))?;
    files::replace(&run.dir.join(REPORT_HTML), html::html(run, &run.judgements())?.as_bytes())
}

/// Makes a folder that was not there before, with a number behind its name if need be.
fn make_own(root: &Path, stem: &str) -> Result<PathBuf, ReportError> {
    let mut dir = root.join(stem);
    for number in 2..=SAME_SECOND {
        match fs::create_dir(&dir) {
            Ok(()) => return Ok(dir),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                dir = root.join(format!("{stem}-{number}"));
            }
            Err(source) => return Err(ReportError::Io { path: dir, source }),
        }
    }
    fs::create_dir(&dir).map_err(ReportError::io(&dir))?;
    Ok(dir)
}

/// A name without anything that a file name can't hold.
pub(super) fn file_name(name: &str) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || "._-=".contains(c) { c } else { '_' };
    name.chars().map(plain).collect()
}
