//! `busmark selftest`: what the instrument itself gets wrong.

use std::process::ExitCode;

use clap::Args;

use super::exit::{Exit, say};
use crate::campaign::{self, Finding};

/// Flags of `busmark selftest`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  busmark selftest --json")]
pub(super) struct SelftestArgs {
    /// Print one JSON document instead of the table.
    #[arg(long)]
    json: bool,
}

/// Drives a peer with known delays and faults, and prints the instrument's error; 3 if it is too large.
///
/// # Errors
/// When the peer can't be started or driven.
pub(super) fn run(args: &SelftestArgs) -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let findings = campaign::selftest(&runtime)?;
    say(&if args.json { serde_json::to_string_pretty(&findings)? } else { table(&findings) });
    let good = findings.iter().all(|finding| finding.holds);
    Ok(if good { Exit::Good } else { Exit::Inconclusive }.code())
}

fn table(findings: &[Finding]) -> String {
    let mut text = format!("{:24} {:>12} {:>12} {:>10}\n", "", "done", "measured", "error");
    for Finding { what, done, measured, holds } in findings {
        let mark = if *holds { "ok" } else { "WRONG" };
        text += &format!("{what:24} {done:12.0} {measured:12.0} {:10.0}  {mark}\n", measured - done);
    }
    text.trim_end().to_owned()
}
