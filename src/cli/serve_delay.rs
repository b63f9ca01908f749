//! `busmark serve delay`: a longer way to a broker.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use super::exit::say;
use crate::engine::peer;
use crate::units;

/// Flags of `busmark serve delay`.
#[derive(Debug, Args)]
pub struct DelayArgs {
    /// Address; port 0 picks one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where everything goes on to.
    #[arg(long, value_name = "HOST:PORT")]
    to: SocketAddr,
    /// How much later it arrives, on the way there and on the way back.
    #[arg(long, value_name = "TIME", value_parser = |text: &str| units::parse_duration(text).map_err(|e| e.to_string()))]
    by: Duration,
}

/// Serves until the process is ended.
///
/// # Errors
/// When the address can't be had.
pub(super) fn run(args: &DelayArgs) -> anyhow::Result<ExitCode> {
    let listening = |address| say(&format!("Listening on {address}"));
    peer::delay(args.listen, args.to, args.by, listening)
        .with_context(|| format!("could not serve on {}", args.listen))?;
    Ok(ExitCode::SUCCESS)
}
