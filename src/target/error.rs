//! Errors of getting, asking and ending a broker.

use std::path::PathBuf;
use std::time::Duration;

use super::{System, kafka};

/// Why a target's broker could not be had, asked or ended.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// The server's program is not on this machine.
    #[error("{}", not_found(*system))]
    NotFound {
        /// The system whose server is missing.
        system: System,
    },
    /// The scenario asks for something that this kind of broker can't do.
    #[error("target {target}: {what}")]
    Unsupported {
        /// Name of the target.
        target: String,
        /// What was asked, and what is possible.
        what: String,
    },
    /// The program could not be started at all.
    #[error("could not start {program}")]
    Spawn {
        /// The program.
        program: String,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The server ended before it answered, or in the middle of a trial.
    #[error("{program} ended by itself ({status}); its log ({}) ends:\n{log_tail}", log.display())]
    Exited {
        /// The program.
        program: String,
        /// Exit code or signal, in words.
        status: String,
        /// Last lines of its log.
        log_tail: String,
        /// The whole log, kept.
        log: PathBuf,
    },
    /// The server runs but didn't answer in time.
    #[error(
        "{program} did not answer within {} s ({last}); its log ({}) ends:\n{log_tail}",
        within.as_secs_f64(), log.display()
    )]
    NotReady {
        /// The program.
        program: String,
        /// The limit.
        within: Duration,
        /// What the last attempt said.
        last: String,
        /// Last lines of its log.
        log_tail: String,
        /// The whole log, kept.
        log: PathBuf,
    },
    /// A server could not be reached, or answered what the system it claims to be would not.
    #[error("{url}: {what}")]
    Unreachable {
        /// Where, without password.
        url: String,
        /// What happened.
        what: String,
    },
    /// A file or directory could not be used.
    #[error("{}: {what}", path.display())]
    Io {
        /// Which.
        path: PathBuf,
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        #[source]
        source: std::io::Error,
    },
    /// The servers could not be fetched.
    #[error("could not fetch the brokers: {what}")]
    Fetch {
        /// What happened, and what to do about it.
        what: String,
    },
}

fn not_found(system: System) -> String {
    if system == System::Kafka && !kafka::has_java() {
        return kafka::JAVA_MISSING.to_owned();
    }
    format!(
        "{} was not found on PATH or in .brokers/; type `busmark brokers fetch` to get it",
        system.program()
    )
}
