//! `busmark serve peer`: the instrument's own reference.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;

use super::exit::say;
use crate::engine::peer::{self, Faults, Speech, Step};

/// What the peer speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum PeerProtocol {
    /// Redis's.
    Resp,
    /// NATS's.
    Nats,
}

/// Flags of `busmark serve peer`.
#[derive(Debug, Args)]
pub struct PeerArgs {
    /// Protocol.
    #[arg(long, value_enum, default_value_t = PeerProtocol::Resp)]
    protocol: PeerProtocol,
    /// Address; port 0 picks one.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Hold this share of deliveries back this long, such as 0.01:20ms; repeatable.
    #[arg(long, value_name = "SHARE:DELAY")]
    delay: Vec<Step>,
    /// Share of deliveries to drop.
    #[arg(long, default_value_t = 0.0)]
    drop: f64,
    /// Share of deliveries to make twice.
    #[arg(long, default_value_t = 0.0)]
    duplicate: f64,
    /// Share of deliveries to damage.
    #[arg(long, default_value_t = 0.0)]
    corrupt: f64,
    /// Decides which.
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Keep an account of what was done in this file.
    #[arg(long, value_name = "FILE")]
    account: Option<PathBuf>,
}

/// Serves until the process is ended.
///
/// # Errors
/// When the address can't be had or the server fails.
pub(super) fn run(args: &PeerArgs) -> anyhow::Result<ExitCode> {
    let faults = Faults {
        delays: args.delay.clone(),
        drop: args.drop,
        duplicate: args.duplicate,
        corrupt: args.corrupt,
        seed: args.seed,
    };
    let listening = |address| say(&format!("Listening on {address}"));
    let speech = match args.protocol {
        PeerProtocol::Resp => Speech::Resp,
        PeerProtocol::Nats => Speech::Nats,
    };
    peer::serve((args.listen, speech), faults, args.account.clone(), listening)?;
    Ok(ExitCode::SUCCESS)
}
