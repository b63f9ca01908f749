//! A broker's process: started with its log in a file, watched over by a second process, and ended.
//!
//! The watchdog is a shell that holds the reading end of a pipe. When busmark ends, however it ends, the
//! kernel closes the writing end, and the shell kills the broker's process group and removes its directory.
//! (PR_SET_PDEATHSIG would not do: it fires when the *thread* that started the child ends, it misses
//! grandchildren, and it is Linux only.) The group is not that of the terminal, so that Ctrl-C reaches busmark
//! alone, and what was measured can still be written before the broker goes.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{self, ExitStatus, Stdio};
use std::time::Duration;

use tokio::process::{Child, ChildStdout, Command};

use super::TargetError;
use super::os::{self, Signal};
use super::place::Place;

/// A server that doesn't end on SIGTERM within this is killed.
const STOP_WITHIN: Duration = Duration::from_secs(5);

/// Bytes of the log that an error shows at most.
const TAIL_BYTES: u64 = 4096;

/// Lines of the log that an error shows at most.
const TAIL_LINES: usize = 12;

/// Name of the log in the broker's directory.
const LOG: &str = "log.txt";

/// Reads process ids until busmark is gone; then ends them and the whole group, and removes the directory.
const WATCHDOG: &str = r#"
trap '' HUP INT TERM
pids=
while read -r pid; do pids="$pids $pid"; done
[ -z "$pids" ] || kill -KILL $pids 2>/dev/null
rm -rf -- "$1"
kill -KILL 0
"#;

/// A running server with its directory, its log and its watchdog.
#[derive(Debug)]
pub(super) struct Process {
    argv: Vec<String>,
    place: Place,
    child: Child,
    pid: u32,
    watchdog: process::Child,
}

impl Process {
    /// Starts `argv` in `place`; with `piped`, its stdout can be taken, otherwise it goes to the log.
    pub(super) fn start(argv: &[String], place: Place, piped: bool) -> Result<Self, TargetError> {
        let (child, watchdog) = spawn(argv, place.path(), piped)?;
        let pid = child.id().unwrap_or(0);
        Ok(Self { argv: argv.to_vec(), place, child, pid, watchdog })
    }

    /// Starts it again in the same directory, with the same arguments; its log goes on. What still runs of it is
    /// ended first.
    pub(super) async fn restart(&mut self) -> Result<(), TargetError> {
        self.stop().await;
        (self.child, self.watchdog) = spawn(&self.argv, self.place.path(), false)?;
        self.pid = self.child.id().unwrap_or(0);
        Ok(())
    }

    /// Remembers that an argument which let the server choose where to listen came to mean `place`, so that a
    /// restarted one is found where it was.
    pub(super) fn listens_on(&mut self, argument: &str, place: &str) {
        for known in self.argv.iter_mut().filter(|known| *known == argument) {
            place.clone_into(known);
        }
    }

    /// The program's name.
    fn program(&self) -> String {
        self.argv.first().cloned().unwrap_or_default()
    }

    /// The process that was started.
    pub(super) fn pid(&self) -> u32 {
        self.pid
    }

    /// All processes of this broker: the one that was started and those that it started.
    pub(super) fn pids(&self) -> Vec<u32> {
        let members = os::group_members(self.watchdog.id());
        if members.is_empty() { vec![self.pid] } else { members }
    }

    /// The log's path.
    pub(super) fn log(&self) -> PathBuf {
        self.place.path().join(LOG)
    }

    /// The pipe that stdout goes to, if it was asked for.
    pub(super) fn stdout(&mut self) -> Option<&mut ChildStdout> {
        self.child.stdout.as_mut()
    }

    /// The end of the log.
    pub(super) fn log_tail(&self) -> String {
        tail(&self.log()).unwrap_or_default()
    }

    /// Pends until the process ends by itself. Cancel-safe.
    pub(super) async fn ended(&mut self) -> ExitStatus {
        match self.child.wait().await {
            Ok(status) => status,
            Err(_) => std::future::pending().await,
        }
    }

    /// How it ended, if it did.
    pub(super) fn has_ended(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// The error that says how it ended and what its log says; keeps the log.
    pub(super) fn exited(&mut self, status: ExitStatus) -> TargetError {
        self.place.keep();
        TargetError::Exited {
            program: self.program(),
            status: status.to_string(),
            log_tail: self.log_tail(),
            log: self.log(),
        }
    }

    /// The error that says that it runs but doesn't answer; keeps the log.
    pub(super) fn not_ready(&mut self, within: Duration, last: String) -> TargetError {
        self.place.keep();
        TargetError::NotReady {
            program: self.program(),
            within,
            last,
            log_tail: self.log_tail(),
            log: self.log(),
        }
    }

    /// Sends a signal to every process of this broker.
    pub(super) fn signal(&self, signal: Signal) {
        for pid in self.pids() {
            os::send(pid, signal);
        }
    }

    /// Ends it in order: SIGTERM, a limit, SIGKILL. All its processes are gone when this returns.
    pub(super) async fn stop(&mut self) {
        if self.has_ended().is_none() {
            self.signal(Signal::Continue);
            self.signal(Signal::Terminate);
            let _killed_below = tokio::time::timeout(STOP_WITHIN, self.child.wait()).await;
        }
        self.end_now();
        // Grandchildren are not ours to wait for; the kernel needs a moment to take them away.
        let gone = async {
            let mut ticks = tokio::time::interval(Duration::from_millis(1));
            while !os::group_members(self.watchdog.id()).is_empty() {
                ticks.tick().await;
            }
        };
        let _killed_anyway = tokio::time::timeout(STOP_WITHIN, gone).await;
    }

    /// Kills what is left, waits for it and for the watchdog.
    fn end_now(&mut self) {
        if self.has_ended().is_none() {
            os::send(self.pid, Signal::Kill);
            os::reap(self.pid);
        }
        for pid in os::group_members(self.watchdog.id()) {
            os::send(pid, Signal::Kill);
        }
        end_watchdog(&mut self.watchdog);
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end_now();
    }
}

/// Starts a program and its watchdog in `dir`.
fn spawn(argv: &[String], dir: &Path, piped: bool) -> Result<(Child, process::Child), TargetError> {
    let [program, arguments @ ..] = argv else {
        return Err(spawn_error("", io::Error::new(io::ErrorKind::InvalidInput, "the command is empty")));
    };
    let log_path = dir.join(LOG);
    let log = File::options()
        .create(true)
        .append(true)
        .open(&log_path)
        .map_err(|source| TargetError::Io { path: log_path, what: "could not make the log", source })?;
    let clone = log.try_clone().map_err(|error| spawn_error(program, error))?;
    let mut watchdog = start_watchdog(dir).map_err(|error| spawn_error("sh", error))?;
    let child = Command::new(program)
        .args(arguments)
        .current_dir(dir)
        .stdin(Stdio::null())
        .stdout(if piped { Stdio::piped() } else { Stdio::from(log) })
        .stderr(Stdio::from(clone))
        .process_group(i32::try_from(watchdog.id()).unwrap_or(0))
        .kill_on_drop(true)
        .spawn();
    let child = match child {
        Ok(child) => child,
        Err(error) => {
            end_watchdog(&mut watchdog);
            return Err(spawn_error(program, error));
        }
    };
    if let Some(pipe) = watchdog.stdin.as_mut() {
        // If the watchdog is gone there is nobody to tell; the broker's own end is not affected.
        let _gone = writeln!(pipe, "{}", child.id().unwrap_or(0));
    }
    Ok((child, watchdog))
}

fn start_watchdog(dir: &Path) -> io::Result<process::Child> {
    process::Command::new("/bin/sh")
        .args(["-c", WATCHDOG, "busmark-watchdog"])
        .arg(dir)
        .current_dir("/")
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
}

fn end_watchdog(watchdog: &mut process::Child) {
    // Killed before its pipe closes, so that it does not remove a directory that is kept.
    let _gone_already = watchdog.kill();
    let _reaped_already = watchdog.wait();
}

fn spawn_error(program: &str, source: io::Error) -> TargetError {
    TargetError::Spawn { program: program.to_owned(), source }
}

/// The last lines of a file.
fn tail(path: &Path) -> io::Result<String> {
    let mut file = File::open(path)?;
    let length = file.metadata()?.len();
    file.seek(SeekFrom::Start(length.saturating_sub(TAIL_BYTES)))?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    Ok(lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_of_a_log_is_its_last_lines() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let text: String = (0..1000).map(|i| format!("line {i}\n")).collect();
        std::fs::write(file.path(), text).unwrap();
        let tail = tail(file.path()).unwrap();
        assert_eq!(tail.lines().count(), TAIL_LINES);
        assert!(tail.ends_with("line 999"), "{tail}");
    }

    #[test]
    fn an_empty_command_is_an_error_and_not_a_panic() {
        let place = Place::new("empty").unwrap();
        assert!(matches!(Process::start(&[], place, false), Err(TargetError::Spawn { .. })));
    }
}
