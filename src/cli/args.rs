//! What was typed, as typed. Nothing but `cli` sees this.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use super::{
    baseline, bench, brokers, capacity, ci, compare, doctor, gate, report, results, scenario, selftest,
    serve, shell,
};

/// Benchmarks messaging systems and accounts for every message.
#[derive(Debug, Parser)]
#[command(name = "busmark", version, propagate_version = true, arg_required_else_help = true)]
#[command(
    after_help = "Start with:\n  busmark run quick\n  busmark bench redis://127.0.0.1:6379 nats://127.0.0.1:4222\n\nExit codes: 0 all expectations hold, 1 one fails, \
    2 usage or scenario error, 3 inconclusive or INVALID,\n4 a target could not be reached or started, \
    130 interrupted (what was measured so far is written)."
)]
pub(super) struct Typed {
    /// What to do.
    #[command(subcommand)]
    pub(super) command: Command,
    /// Say more on stderr (twice: debug).
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(super) verbose: u8,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Measure a scenario.
    Run(RunArgs),
    /// Measure systems that are named here, without a scenario.
    Bench(bench::BenchArgs),
    /// Find the highest rate that still meets an objective.
    Capacity(capacity::CapacityArgs),
    /// Decide whether a candidate is worse than a base, or than a baseline: for CI.
    Gate(gate::GateArgs),
    /// Keep a finished run for later ones to be compared with.
    #[command(subcommand)]
    Baseline(baseline::BaselineCommand),
    /// Check, list, show or start scenarios.
    #[command(subcommand)]
    Scenario(scenario::ScenarioCommand),
    /// Show which brokers can be driven from here, or fetch them.
    Brokers(brokers::BrokersArgs),
    /// Say which of two runs is better at what.
    Compare(compare::CompareArgs),
    /// Render finished runs again, alone or side by side.
    Report(report::ReportArgs),
    /// List or prune finished runs.
    #[command(subcommand)]
    Results(results::ResultsCommand),
    /// Drive a peer with known delays and faults, and print the instrument's own error.
    Selftest(selftest::SelftestArgs),
    /// Look for what on this machine would spoil a measurement.
    Doctor(doctor::DoctorArgs),
    /// Print completions for a shell.
    Completions(shell::CompletionsArgs),
    /// Print or write man pages.
    Man(shell::ManArgs),
    /// Run a bundled engine.
    Serve(serve::ServeArgs),
}

/// Flags of `busmark run`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  busmark run quick\n  busmark run redis-vs-jetstream --set workload.rate=50k/s\n  \
    busmark run my.toml --only redis-8 --trials 1 --json\n  busmark run 'article/*'"
)]
pub(super) struct RunArgs {
    /// A shipped scenario's name (see `busmark scenario list`) or a file; several are run one after another, and
    /// 'article/*' is all those of a group.
    #[arg(required = true, value_name = "SCENARIO")]
    pub(super) scenarios: Vec<String>,
    /// Override a key, such as workload.rate=50k/s; repeatable.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
    /// Measure only this target; repeatable.
    #[arg(long, value_name = "TARGET")]
    pub(super) only: Vec<String>,
    /// Also expect this, such as "lost == 0"; repeatable.
    #[arg(long, value_name = "EXPRESSION")]
    pub(super) expect: Vec<String>,
    /// Number of trials, instead of the scenario's.
    #[arg(long, value_name = "N")]
    pub(super) trials: Option<u32>,
    /// Print the plan with its duration and memory, and measure nothing.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// How it is measured and told.
    #[command(flatten)]
    pub(super) measure: MeasureArgs,
}

/// How a run is measured and told, whatever is run.
#[derive(Debug, Args)]
pub(super) struct MeasureArgs {
    /// Folder in which a folder for this run is made.
    #[arg(long, value_name = "DIR", default_value = "results")]
    pub(super) out: PathBuf,
    /// Print one JSON document on stdout instead of the table.
    #[arg(long)]
    pub(super) json: bool,
    /// Don't measure first what the generator itself manages on this machine.
    #[arg(long)]
    pub(super) no_calibration: bool,
    /// No progress on stderr.
    #[arg(short, long)]
    pub(super) quiet: bool,
    /// Treat SUSPECT like INVALID.
    #[arg(long)]
    pub(super) strict: bool,
    /// Serve a page of OpenMetrics at this address while it goes on, such as 127.0.0.1:9464; port 0 picks one.
    #[arg(long, value_name = "HOST:PORT")]
    pub(super) metrics: Option<SocketAddr>,
    /// What a CI job gets to read.
    #[command(flatten)]
    pub(super) ci: ci::CiArgs,
}
