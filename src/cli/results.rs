//! `busmark results`: lists what runs have left, and takes old ones away.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::bail;
use clap::{Args, Subcommand};

use super::terminal::say;
use crate::clock;
use crate::report::{Listed, State, humanise, inventory};
use crate::units;

/// What can be done with the results of runs.
#[derive(Debug, Subcommand)]
pub enum ResultsCommand {
    /// List the runs that are kept, oldest first
    ///
    /// Example: busmark results list
    List {
        /// Folder that holds them
        #[arg(long, value_name = "DIR", default_value = "results")]
        root: PathBuf,
    },
    /// Take old runs away; without --yes it only says which
    ///
    /// Touches nothing but folders that a run has made, and of these only such as hold nothing else.
    #[command(
        after_help = "Examples:\n  busmark results prune --keep 10\n  busmark results prune --older-than 30d --yes"
    )]
    Prune(PruneArgs),
}

/// Arguments of `busmark results prune`.
#[derive(Debug, Args)]
pub struct PruneArgs {
    /// Folder that holds the runs
    #[arg(long, value_name = "DIR", default_value = "results")]
    pub root: PathBuf,
    /// Keep the newest N runs, whatever their age
    #[arg(long, value_name = "N", required_unless_present = "older_than")]
    pub keep: Option<usize>,
    /// Only runs that started longer ago than this, such as 30d or 12h
    #[arg(long, value_name = "AGE", value_parser = age)]
    pub older_than: Option<Duration>,
    /// Do it
    #[arg(long)]
    pub yes: bool,
}

/// A time span with days, which no scenario needs.
fn age(text: &str) -> Result<Duration, String> {
    const DAY: u64 = 86_400;
    if let Some(days) = text.strip_suffix('d').and_then(|days| days.parse::<u64>().ok()) {
        return days.checked_mul(DAY).map(Duration::from_secs).ok_or_else(|| "too long".to_owned());
    }
    units::parse_duration(text).map_err(|error| format!("{error}, or whole days such as 30d"))
}

/// Does it; 0 even if there is nothing to list or to take away.
///
/// # Errors
/// If the folder can't be read, or a run not be taken away.
pub fn run(command: &ResultsCommand) -> anyhow::Result<ExitCode> {
    match command {
        ResultsCommand::List { root } => say(&list(&inventory(root)?)),
        ResultsCommand::Prune(args) => say(&prune(args, clock::unix_nanos())?),
    }
    Ok(ExitCode::SUCCESS)
}

/// One line per run, and what is wrong with damaged ones.
fn list(runs: &[Listed]) -> String {
    if runs.is_empty() { "no results here; busmark run quick makes some\n".to_owned() } else { listed(runs) }
}

/// One line for each of some runs.
pub(super) fn listed(runs: &[Listed]) -> String {
    let width = runs.iter().map(|run| run.dir.display().to_string().len()).max().unwrap_or(0);
    let line = |run: &Listed| {
        let (done, planned) = run.trials;
        let verdict = run.verdict.map_or(humanise::NOT_MEASURED, |verdict| verdict.name());
        let why = match &run.state {
            State::Damaged(why) => format!("\n    {why}"),
            _ => String::new(),
        };
        format!(
            "{:width$}  {:<11}  {verdict:<7}  {done}/{planned} trials  {:>8}  {}{why}\n",
            run.dir.display(),
            run.state.name(),
            humanise::bytes(run.bytes),
            run.targets.join(", "),
        )
    };
    runs.iter().map(line).collect()
}

/// Takes away what the arguments say, or only says so, as of a time in nanoseconds since 1970.
fn prune(args: &PruneArgs, now: u64) -> anyhow::Result<String> {
    let mut runs = inventory(&args.root)?;
    let beyond = runs.len().saturating_sub(args.keep.unwrap_or(0));
    runs.truncate(beyond);
    if let Some(age) = args.older_than {
        let span = u64::try_from(age.as_nanos()).unwrap_or(u64::MAX);
        // RFC 3339 in UTC sorts as text.
        let cutoff = clock::rfc3339(now.saturating_sub(span));
        runs.retain(|run| run.started_at < cutoff);
    }
    let mut text = String::new();
    let mut freed = 0;
    let mut failed = Vec::new();
    for run in &runs {
        let shown = run.dir.display();
        let foreign = run.foreign()?;
        if !foreign.is_empty() {
            text.push_str(&format!("kept {shown}: it also holds {}\n", foreign.join(", ")));
            continue;
        }
        match if args.yes { run.remove() } else { Ok(()) } {
            Ok(()) => {
                freed += run.bytes;
                let done = if args.yes { "removed" } else { "would remove" };
                text.push_str(&format!("{done} {shown} ({})\n", humanise::bytes(run.bytes)));
            }
            Err(error) => failed.push(error.to_string()),
        }
    }
    if !failed.is_empty() {
        say(&text);
        bail!("{}", failed.join("\n"));
    }
    text.push_str(&match (freed, args.yes) {
        (0, _) => "nothing to remove\n".to_owned(),
        (freed, true) => format!("{} freed\n", humanise::bytes(freed)),
        (freed, false) => format!("{} would be freed; add --yes to do it\n", humanise::bytes(freed)),
    });
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages_may_be_in_days() {
        assert_eq!(age("30d"), Ok(Duration::from_secs(30 * 86_400)));
        assert_eq!(age("12h"), Ok(Duration::from_secs(12 * 3_600)));
        assert!(age("soon").unwrap_err().contains("30d"));
    }
}
