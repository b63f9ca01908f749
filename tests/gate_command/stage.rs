//! A folder with a scenario in it, and the command run there.

use std::path::Path;
use std::process::{Command, Output};

/// Deliveries over 5 ms on the in-memory bus, in trials of a third of a second: alike, ten times as slow, and lossy.
pub(crate) const SCENARIO: &str = r#"
name = "short"
[workload]
payload = "64B"
rate = "1k/s"
[phases]
warm_up = "50ms"
measure = "200ms"
drain = "1s"
[trials]
count = 6
[[target]]
name = "good"
driver = "loopback"
options = { delay = "5ms" }
[[target]]
name = "slow"
driver = "loopback"
options = { delay = "50ms" }
[[target]]
name = "lossy"
driver = "loopback"
options = { delay = "5ms", drop = 0.05 }
"#;

/// As a closed loop of few messages: no schedule that a busy machine could miss, and too few for a p99 that could be too
/// noisy, so that what a gate says hangs on its expectations alone.
pub(crate) const CLOSED: [&str; 6] =
    ["--set", "workload.rate=max", "--set", "workload.in_flight=4", "--set", "phases.measure=100ms"];

/// A folder that holds the scenario as `short.toml`.
pub(crate) fn folder() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("short.toml"), SCENARIO).unwrap();
    dir
}

/// Runs busmark there, as no CI job.
pub(crate) fn busmark(dir: &Path, words: &[&str]) -> Output {
    command(dir).args(words).output().expect("busmark starts")
}

/// busmark, to be run there, as no CI job.
pub(crate) fn command(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_busmark"));
    command.current_dir(dir).env_remove("GITHUB_ACTIONS").env_remove("GITHUB_STEP_SUMMARY");
    command
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The JSON document on stdout.
pub(crate) fn document(output: &Output) -> serde_json::Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!("stdout is no JSON document: {error}\n{}\n{}", stdout(output), stderr(output))
    })
}
