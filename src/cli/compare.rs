//! `busmark compare`: which of two runs is better at what.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::baseline;
use super::terminal::say;
use crate::report::Versus;

/// Arguments of `busmark compare`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  busmark compare results/quick-20260131T120000Z results/latest\n  \
    busmark compare main results/latest --json\n\nRuns with one target each are compared whatever their targets are called. \
    More than two runs: busmark report.")]
pub(super) struct CompareArgs {
    /// The folder of a run, or a baseline (see `busmark baseline`).
    first: String,
    /// The same: what is held against it.
    second: String,
    /// Folder that holds the baselines.
    #[arg(long, value_name = "DIR", default_value = baseline::ROOT)]
    baselines: PathBuf,
    /// Print one JSON document.
    #[arg(long)]
    json: bool,
}

/// Says it.
///
/// # Errors
/// When one of them can't be read, which says what is wrong with it.
pub(super) fn run(args: &CompareArgs) -> anyhow::Result<ExitCode> {
    let first = baseline::open(&args.first, &args.baselines)?;
    let second = baseline::open(&args.second, &args.baselines)?;
    let versus = Versus::of(&first, &second);
    say(&if args.json { serde_json::to_string_pretty(&versus)? + "\n" } else { versus.console() });
    Ok(ExitCode::SUCCESS)
}
