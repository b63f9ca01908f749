//! `busmark scenario`: check, list, show and start scenario files.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Subcommand;

use super::terminal::say;
use crate::scenario::{Override, Scale, ScenarioError, schema, shipped};

/// Exit code for a wrong scenario.
const WRONG: u8 = 2;

/// What can be done with scenarios.
#[derive(Debug, Subcommand)]
pub enum ScenarioCommand {
    /// Say what is wrong with scenario files, all mistakes together
    ///
    /// Example: busmark scenario check scenarios/*.toml
    Check {
        /// Files, or names of shipped scenarios
        #[arg(required = true, value_name = "FILE")]
        files: Vec<String>,
        /// Override a key, as on `run`
        #[arg(long, value_name = "KEY=VALUE")]
        set: Vec<String>,
    },
    /// List the shipped scenarios
    ///
    /// Example: busmark scenario list
    List,
    /// Print a scenario with all its defaults filled in
    ///
    /// Example: busmark scenario show quick --set workload.rate=50k/s
    Show {
        /// A file, or the name of a shipped scenario
        #[arg(value_name = "NAME|FILE")]
        name: String,
        /// Override a key, as on `run`
        #[arg(long, value_name = "KEY=VALUE")]
        set: Vec<String>,
    },
    /// Print the JSON Schema of scenario files, for editors
    ///
    /// Example: busmark scenario schema > scenario.schema.json
    Schema,
    /// Write a scenario to start from
    ///
    /// Example: busmark scenario init mine.toml --from redis-vs-jetstream
    Init {
        /// The file to write; never over one that is there
        #[arg(default_value = "scenario.toml")]
        file: PathBuf,
        /// The shipped scenario to copy
        #[arg(long, value_name = "NAME", default_value = "quick")]
        from: String,
    },
}

/// Does it; 2 for a wrong scenario.
///
/// # Errors
/// If a file can't be written.
pub fn run(command: &ScenarioCommand) -> anyhow::Result<ExitCode> {
    let done = match command {
        ScenarioCommand::Check { files, set } => return Ok(check(files, set)),
        ScenarioCommand::Show { name, set } => show(name, set),
        ScenarioCommand::List => Ok(list()),
        ScenarioCommand::Schema => Ok(format!("{:#}\n", schema())),
        ScenarioCommand::Init { file, from } => return init(file, from),
    };
    Ok(match done {
        Ok(text) => {
            say(&text);
            ExitCode::SUCCESS
        }
        Err(error) => wrong(&error),
    })
}

/// Prints what is wrong with a scenario.
#[expect(clippy::print_stderr, reason = "the command line owns stderr")]
fn wrong(error: &ScenarioError) -> ExitCode {
    eprintln!("{error}");
    ExitCode::from(WRONG)
}

/// The overrides of a command line.
///
/// # Errors
/// All that are no KEY=VALUE, together.
pub fn overrides(set: &[String]) -> Result<Vec<Override>, ScenarioError> {
    let mut problems = Vec::new();
    let mut overrides = Vec::new();
    for text in set {
        match Override::parse(text) {
            Ok(one) => overrides.push(one),
            Err(error) => problems.extend(error.problems),
        }
    }
    if problems.is_empty() { Ok(overrides) } else { Err(ScenarioError { problems }) }
}

fn check(files: &[String], set: &[String]) -> ExitCode {
    let overrides = match overrides(set) {
        Ok(overrides) => overrides,
        Err(error) => return wrong(&error),
    };
    let mut code = ExitCode::SUCCESS;
    for file in files {
        match shipped::open(file, &overrides) {
            Ok(scenario) => {
                let (targets, expects) = (scenario.targets.len(), scenario.expects.len());
                say(&format!(
                    "{file}: right ({}: targets {targets}, expectations {expects})\n",
                    scenario.name
                ));
            }
            Err(error) => code = wrong(&error),
        }
    }
    code
}

fn show(name: &str, set: &[String]) -> Result<String, ScenarioError> {
    Ok(shipped::open(name, &overrides(set)?)?.to_toml())
}

/// One line for each: its name, its sentence, and whether it takes more than this machine.
fn list() -> String {
    let width = shipped::list().iter().map(|shipped| shipped.name.len()).max().unwrap_or(0);
    let line = |shipped: &shipped::Shipped| {
        let (sentence, scale) = shipped
            .scenario(&[])
            .map_or((String::new(), Scale::Local), |scenario| (scenario.description, scenario.scale));
        let machines = if scale == Scale::Full { " (for machines of its own)" } else { "" };
        format!("{:width$}  {sentence}{machines}\n", shipped.name)
    };
    shipped::list().iter().map(line).collect()
}

fn init(file: &Path, from: &str) -> anyhow::Result<ExitCode> {
    let Some(shipped) = shipped::find(from) else {
        return Ok(shipped::open(from, &[]).map_or_else(|error| wrong(&error), |_| ExitCode::from(WRONG)));
    };
    if file.exists() {
        let message = "is there already; give another name: busmark scenario init FILE";
        return Ok(wrong(&ScenarioError::whole(&file.display().to_string(), message)));
    }
    std::fs::write(file, shipped.text).with_context(|| format!("can't write {}", file.display()))?;
    say(&format!("wrote {}; run it: busmark run {}\n", file.display(), file.display()));
    Ok(ExitCode::SUCCESS)
}
