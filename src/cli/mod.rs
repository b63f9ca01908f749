//! Turns arguments into a plan, calls the rooms in order, owns stdout and the exit code.

mod args;
mod baseline;
mod bench;
mod bench_place;
pub mod brokers;
mod capacity;
mod ci;
mod compare;
mod doctor;
pub mod estimate;
mod exit;
mod gate;
mod gate_plan;
mod help;
mod metrics;
mod observe;
pub mod report;
pub mod results;
mod run;
pub mod scenario;
mod selftest;
pub mod serve;
pub mod serve_delay;
pub mod serve_jetstream;
pub mod serve_peer;
mod shell;
pub mod terminal;

use std::process::ExitCode;

use args::Command;
use exit::Exit;

/// The whole command: parse, dispatch, exit code.
#[must_use]
pub fn main() -> ExitCode {
    let typed =
        help::parse(serve_jetstream::called(std::env::args_os())).unwrap_or_else(|error| error.exit());
    log_to_stderr(typed.verbose);
    let done = match &typed.command {
        Command::Run(args) => run::run(args),
        Command::Bench(args) => bench::run(args),
        Command::Capacity(args) => capacity::run(args),
        Command::Gate(args) => gate::run(args),
        Command::Baseline(command) => baseline::run(command),
        Command::Scenario(command) => scenario::run(command),
        Command::Brokers(args) => brokers::run(args),
        Command::Compare(args) => compare::run(args),
        Command::Report(args) => report::run(args),
        Command::Results(command) => results::run(command),
        Command::Selftest(args) => selftest::run(args),
        Command::Doctor(args) => doctor::run(args),
        Command::Completions(args) => Ok(shell::completions(args)),
        Command::Man(args) => shell::man(args),
        Command::Serve(args) => serve::run(args),
    };
    done.unwrap_or_else(|error| {
        exit::complain(&format!("error: {error:#}"));
        Exit::Usage.code()
    })
}

/// Logs of the crate and its libraries go to stderr; `-v` for what happens, `-vv` for details.
fn log_to_stderr(verbose: u8) {
    let level = match verbose {
        0 => "warn",
        1 => "info",
        _ => "debug",
    };
    let filter = tracing_subscriber::EnvFilter::try_from_env("BUSMARK_LOG")
        .unwrap_or_else(|_unset| tracing_subscriber::EnvFilter::new(level));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}
