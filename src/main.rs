//! The `busmark` command.

use std::process::ExitCode;

use busmark::cli::serve::{self, ServeArgs};
use clap::{Parser, Subcommand};

/// Benchmarks messaging systems and accounts for every message.
#[derive(Debug, Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run a bundled server
    Serve(ServeArgs),
}

fn main() -> anyhow::Result<ExitCode> {
    match Cli::parse().command {
        Command::Serve(args) => serve::run(&args),
    }
}
