//! `busmark report`: renders finished runs again, alone or side by side.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, ValueEnum};

use super::terminal::{page, say};
use crate::report::{self, Comparison, Loaded, ResultsFolder};

/// Arguments of `busmark report`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  busmark report\n  busmark report results/quick-20260131T120000Z --format markdown\n  \
    busmark report results/before results/after\n  busmark report results/before results/after --format html --out compared.html\n  \
    busmark report results/* --format claims"
)]
pub struct ReportArgs {
    /// Results folders; the last run's without any. Of several, the others are compared with the first
    #[arg(value_name = "DIR", default_value = "results/latest")]
    pub dirs: Vec<PathBuf>,
    /// How to say it
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub format: Format,
    /// Write it to this file instead of stdout
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Also draw the charts and the page in each folder again
    #[arg(long)]
    pub redraw: bool,
}

/// How a report is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// A table for people.
    Table,
    /// One JSON document.
    Json,
    /// summary.csv of one run; of several, one row per figure and run.
    Csv,
    /// GitHub-flavoured Markdown.
    Markdown,
    /// One HTML page that needs nothing else, with --out.
    Html,
    /// One Markdown row per system: throughput, latency, loss, guarantee, CPU, memory, monthly cost. Of one run.
    Article,
    /// One Markdown row per published claim: what was measured, the answer, and why. Of one run or several.
    Claims,
}

/// Does it.
///
/// # Errors
/// If a folder can't be read, which says what is wrong with it, or the output not be written.
pub fn run(args: &ReportArgs) -> anyhow::Result<ExitCode> {
    let runs: Vec<Loaded> = args.dirs.iter().map(|dir| open(dir)).collect::<anyhow::Result<_>>()?;
    if args.redraw {
        runs.iter().try_for_each(report::redraw)?;
    }
    let text = match runs.as_slice() {
        [run] => alone(run, args.format)?,
        several => side_by_side(several, args.format)?,
    };
    match &args.out {
        Some(file) => {
            std::fs::write(file, &text).with_context(|| format!("can't write {}", file.display()))?;
        }
        None => say(&text),
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads a folder; through a link, so that the real name is shown.
fn open(dir: &Path) -> anyhow::Result<Loaded> {
    let real = dir.canonicalize().unwrap_or_else(|_gone| dir.to_owned());
    let here = std::env::current_dir().unwrap_or_default();
    let shown = real.strip_prefix(&here).unwrap_or(&real);
    Ok(ResultsFolder::open(shown)?)
}

fn alone(run: &Loaded, format: Format) -> anyhow::Result<String> {
    let judgements = run.judgements();
    Ok(match format {
        Format::Table => report::console(run, &judgements, page()),
        Format::Json => report::json(run, &judgements)?,
        Format::Csv => String::from_utf8(report::summary_csv(&run.trials)?)?,
        Format::Markdown => report::markdown(run, &judgements),
        Format::Html => report::html(run, &judgements)?,
        Format::Article => report::article(run),
        Format::Claims => report::claims(std::slice::from_ref(run)),
    })
}

fn side_by_side(runs: &[Loaded], format: Format) -> anyhow::Result<String> {
    let comparison = Comparison::of(runs);
    Ok(match format {
        Format::Table => comparison.console(page()),
        Format::Json => serde_json::to_string_pretty(&comparison)? + "\n",
        Format::Csv => String::from_utf8(comparison.csv()?)?,
        Format::Markdown => comparison.markdown(),
        Format::Html => report::html_of_several(runs)?,
        Format::Claims => report::claims(runs),
        Format::Article => anyhow::bail!("--format article takes one run; give one folder"),
    })
}
