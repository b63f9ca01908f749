//! Everything needed to repeat a run, as `manifest.json` keeps it.

use serde::{Deserialize, Serialize};

/// The newest layout of a results folder that this code writes and reads.
pub const SCHEMA_VERSION: u64 = 1;

/// Everything needed to repeat a run.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Manifest {
    /// Layout of the folder; see [`SCHEMA_VERSION`]. [`super::ResultsFolder`] fills it in.
    #[serde(default)]
    pub schema_version: u64,
    /// Name of the scenario.
    pub scenario: String,
    /// The scenario as it was given, byte for byte.
    pub scenario_text: String,
    /// The scenario as it was understood: TOML with all defaults filled in.
    pub scenario_filled_in: String,
    /// Seed of everything random.
    pub seed: u64,
    /// The command that started the run, word by word.
    pub command_line: Vec<String>,
    /// Start of the run, RFC 3339 UTC.
    pub started_at: String,
    /// End of the run, RFC 3339 UTC; empty while it runs, and for good if it was killed.
    pub finished_at: Option<String>,
    /// Whether it was ended early on purpose (Ctrl-C, SIGTERM).
    #[serde(default)]
    pub interrupted: bool,
    /// Trials that were planned, all targets and points together.
    pub trials_planned: u32,
    /// The busmark that ran it.
    pub busmark: Build,
    /// The machine, as `measure::host` saw it before the run.
    pub environment: serde_json::Value,
    /// The systems compared, in the scenario's order.
    pub targets: Vec<TargetManifest>,
    /// The points of a sweep, in order; empty without one.
    #[serde(default)]
    pub points: Vec<PointManifest>,
    /// What the generator manages on this machine against a null peer; null if it was not measured.
    #[serde(default)]
    pub calibration: serde_json::Value,
}

/// One point of a sweep.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct PointManifest {
    /// As in the column `point`.
    pub name: String,
    /// Each swept key by its short name, with its value as the scenario writes it.
    pub settings: Vec<(String, String)>,
}

/// Which busmark.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Build {
    /// Version of the crate.
    pub version: String,
    /// Commit it was built from, if known.
    pub commit: Option<String>,
    /// `release` or `debug`.
    pub profile: String,
}

/// One system as it was driven.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TargetManifest {
    /// Its name in the scenario.
    pub name: String,
    /// The driver.
    pub driver: String,
    /// Who built the frames: `wire`, `library` or `memory`.
    pub client: String,
    /// Where the broker came from: `managed`, `bundled`, `command`, `none`, or its URL.
    pub broker: String,
    /// What the server says of its version; empty if it was never reached.
    pub broker_version: Option<String>,
    /// The server's settings in force, name and value.
    pub effective_config: Vec<(String, String)>,
    /// Label of its guarantees: equal labels may be compared.
    pub guarantee: String,
    /// Obligations of the driver seam that the client in use breaks, in words.
    pub deviations: Vec<String>,
    /// Why it was left out, if it was.
    pub left_out: Option<String>,
}

impl Manifest {
    /// The command that repeats the run, quoted for a shell.
    #[must_use]
    pub fn command(&self) -> String {
        self.command_line.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" ")
    }
}

/// A word as a POSIX shell reads it back.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_can_be_pasted_into_a_shell() {
        let words = ["busmark", "run", "my file.toml", "--set", "workload.rate=50k/s", "it's", ""];
        let manifest =
            Manifest { command_line: words.iter().map(|w| (*w).to_owned()).collect(), ..Manifest::default() };
        assert_eq!(manifest.command(), r"busmark run 'my file.toml' --set workload.rate=50k/s 'it'\''s' ''");
    }

    #[test]
    fn a_manifest_reads_back_as_it_was_written() {
        let manifest = Manifest {
            scenario: "quick".to_owned(),
            targets: vec![TargetManifest {
                broker_version: Some("8.2.3".to_owned()),
                ..TargetManifest::default()
            }],
            environment: serde_json::json!({ "cpus": 2 }),
            ..Manifest::default()
        };
        let text = serde_json::to_string(&manifest).unwrap();
        assert_eq!(serde_json::from_str::<Manifest>(&text).unwrap(), manifest);
    }
}
