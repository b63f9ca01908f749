//! What a CI job gets to read: JUnit XML, a Markdown summary, annotations.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::Args;

use super::exit::complain;
use crate::report::{Case, annotations, junit};

/// Set by GitHub: the file whose Markdown is shown on the job's page.
const STEP_SUMMARY: &str = "GITHUB_STEP_SUMMARY";
/// Set to `true` by GitHub: lines that start with `::` are annotations.
const ACTIONS: &str = "GITHUB_ACTIONS";

/// Flags of the commands that run in CI.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "For CI")]
pub(super) struct CiArgs {
    /// Write the answers to this file as JUnit XML.
    #[arg(long, value_name = "FILE")]
    pub(super) junit: Option<PathBuf>,
    /// Append a Markdown summary to this file ($GITHUB_STEP_SUMMARY gets it in any case).
    #[arg(long, value_name = "FILE")]
    pub(super) summary: Option<PathBuf>,
}

/// What was asked, and what came of it.
#[derive(Debug)]
pub(super) struct Suite {
    /// Name of the scenario.
    pub(super) name: String,
    /// RFC 3339.
    pub(super) started_at: String,
    /// How long it took.
    pub(super) seconds: f64,
    /// One for each answer.
    pub(super) cases: Vec<Case>,
}

/// Writes everything that was asked for, and what GitHub expects where it runs there.
///
/// # Errors
/// When a file can't be written.
pub(super) fn publish(args: &CiArgs, suite: &Suite, markdown: &str) -> anyhow::Result<()> {
    if let Some(file) = &args.junit {
        let xml = junit(&suite.name, &suite.started_at, suite.seconds, &suite.cases);
        beside(file)?;
        std::fs::write(file, xml).with_context(|| format!("can't write {}", file.display()))?;
    }
    let step = std::env::var_os(STEP_SUMMARY).filter(|value| !value.is_empty()).map(PathBuf::from);
    let mut summaries: Vec<PathBuf> = args.summary.iter().cloned().chain(step).collect();
    summaries.dedup();
    for file in summaries {
        append(&file, markdown).with_context(|| format!("can't write {}", file.display()))?;
    }
    if std::env::var_os(ACTIONS).is_some_and(|value| value == "true") {
        // On stderr, which GitHub reads like stdout: stdout may be one JSON document.
        complain(annotations(&suite.name, &suite.cases).trim_end());
    }
    Ok(())
}

fn append(file: &Path, markdown: &str) -> anyhow::Result<()> {
    beside(file)?;
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(file)?;
    Ok(file.write_all(format!("{}\n\n", markdown.trim_end()).as_bytes())?)
}

/// Makes the folder of a file.
fn beside(file: &Path) -> anyhow::Result<()> {
    match file.parent().filter(|dir| !dir.as_os_str().is_empty()) {
        Some(dir) => std::fs::create_dir_all(dir).with_context(|| format!("can't make {}", dir.display())),
        None => Ok(()),
    }
}
