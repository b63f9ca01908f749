//! `busmark baseline`: runs that are kept for later ones to be compared with.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use super::results::listed;
use super::terminal::{page, say};
use crate::report::{self, Loaded, ReportError, ResultsFolder, inventory, keep_baseline};

/// Where baselines are kept unless somebody says otherwise.
pub(super) const ROOT: &str = "baselines";

/// What can be done with baselines.
#[derive(Debug, Subcommand)]
pub(super) enum BaselineCommand {
    /// Keep a finished run under a name
    ///
    /// Its figures and how they came about are copied, a few 100 KiB that may well go into git: no logs, no charts.
    #[command(
        after_help = "Example:\n  busmark run ci/gate --set trials.count=15\n  busmark baseline save main\n  \
        busmark gate ci/gate --against main"
    )]
    Save(SaveArgs),
    /// List the baselines that are kept, oldest first
    ///
    /// Example: busmark baseline list
    List {
        /// Folder that holds them
        #[arg(long, value_name = "DIR", default_value = ROOT)]
        baselines: PathBuf,
    },
    /// Show what a baseline says, and on which machine it was measured
    ///
    /// Example: busmark baseline show main
    Show {
        /// Its name
        name: String,
        /// Folder that holds it
        #[arg(long, value_name = "DIR", default_value = ROOT)]
        baselines: PathBuf,
    },
}

/// Arguments of `busmark baseline save`.
#[derive(Debug, Args)]
pub(super) struct SaveArgs {
    /// Its name
    name: String,
    /// The run's folder
    #[arg(long, value_name = "DIR", default_value = "results/latest")]
    from: PathBuf,
    /// Folder that holds the baselines
    #[arg(long, value_name = "DIR", default_value = ROOT)]
    baselines: PathBuf,
    /// Replace an older one of this name
    #[arg(long)]
    force: bool,
}

/// Does it.
///
/// # Errors
/// If a run or baseline can't be read, which says what is wrong with it, or not be kept.
pub(super) fn run(command: &BaselineCommand) -> anyhow::Result<ExitCode> {
    let text = match command {
        BaselineCommand::Save(args) => save(args)?,
        BaselineCommand::List { baselines } => match inventory(baselines)?.as_slice() {
            [] => format!(
                "no baselines in {}; busmark baseline save NAME keeps the last run\n",
                baselines.display()
            ),
            kept => listed(kept),
        },
        BaselineCommand::Show { name, baselines } => show(&open(name, baselines)?),
    };
    say(&text);
    Ok(ExitCode::SUCCESS)
}

fn save(args: &SaveArgs) -> anyhow::Result<String> {
    let run = ResultsFolder::open(&args.from.canonicalize().unwrap_or_else(|_gone| args.from.clone()))?;
    let dir = keep_baseline(&run, &args.baselines, &args.name, args.force)?;
    let each =
        run.headlines.iter().map(|headline| format!("{} ({} trials)", headline.name(), headline.trials));
    let targets = each.collect::<Vec<_>>().join(", ");
    Ok(format!("kept {}: {}, {targets}\n", dir.display(), run.manifest.scenario))
}

/// A baseline by its name, or the folder of a run by its path.
pub(super) fn open(name: &str, root: &Path) -> Result<Loaded, ReportError> {
    let (kept, path) = (root.join(name), Path::new(name));
    if kept.is_dir() {
        return ResultsFolder::open(&kept);
    }
    if path.is_dir() {
        return ResultsFolder::open(&path.canonicalize().unwrap_or_else(|_gone| path.to_owned()));
    }
    let known: Vec<String> = inventory(root)?
        .iter()
        .filter_map(|run| run.dir.file_name().map(|name| name.to_string_lossy().into_owned()))
        .collect();
    let known = if known.is_empty() { "there are none".to_owned() } else { known.join(", ") };
    let why = format!("neither a baseline nor the folder of a run; baselines here: {known}");
    Err(ReportError::NoBaseline { path: kept, why })
}

/// The table of the run, and the machine.
fn show(run: &Loaded) -> String {
    let mut text = report::console(run, &run.judgements(), page());
    for (name, value) in run.manifest.environment.as_object().into_iter().flatten() {
        text.push_str(&format!("{}: {}\n", name.replace('_', " "), value.to_string().trim_matches('"')));
    }
    text
}
