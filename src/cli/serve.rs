//! `busmark serve`: the bundled servers, as processes of their own.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};

use super::serve_delay::{self, DelayArgs};
use super::serve_peer::{self, PeerArgs};
use crate::engine::TlsFiles;
use crate::engine::pubsub::{Listen, MOST_THREADS, Options, Server};

/// Where the password comes from if no file is named.
const PASSWORD_VARIABLE: &str = "BUSMARK_PASSWORD";

/// Event loops at most if nothing is said.
const MOST_BY_DEFAULT: usize = 8;

/// Arguments of `busmark serve`.
#[derive(Debug, Args)]
pub struct ServeArgs {
    /// Which server
    #[command(subcommand)]
    pub engine: ServeEngine,
}

/// The bundled servers.
#[derive(Debug, Subcommand)]
pub enum ServeEngine {
    /// A Redis-style Pub/Sub server (RESP2 and RESP3) without a keyspace, until SIGTERM
    ///
    /// Says in one line on stdout where it listens, once it does. The password is read from --password-file
    /// or from the environment variable BUSMARK_PASSWORD; without one only this machine is let in.
    ///
    /// Example: busmark serve pubsub --listen 127.0.0.1:6379
    Pubsub(PubsubArgs),
    /// A JetStream-style server for NATS clients, with the options of nats-server
    ///
    /// Says in one line on stdout where it listens, once it does. `busmark serve jetstream --help` lists the options.
    ///
    /// Example: busmark serve jetstream -p 4222 -js -sd DIR
    #[command(disable_help_flag = true)]
    Jetstream(JetstreamArgs),
    /// The reference against which the generator is measured: passes messages on, with known faults
    #[command(hide = true)]
    Peer(PeerArgs),
    /// A TCP proxy that delays every byte, for gates that must see it
    #[command(hide = true)]
    Delay(DelayArgs),
}

/// Arguments of `busmark serve jetstream`: nats-server's, which clap's rules don't fit.
#[derive(Debug, Args)]
pub struct JetstreamArgs {
    /// Options of nats-server, such as -p 4222 -js -sd DIR
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "OPTION")]
    pub options: Vec<String>,
}

/// Arguments of `busmark serve pubsub`.
#[derive(Debug, Args)]
pub struct PubsubArgs {
    /// Where to listen: HOST:PORT, tls:HOST:PORT or unix:PATH; port 0 picks one; repeatable
    #[arg(long, value_name = "PLACE", default_value = "127.0.0.1:6379")]
    pub listen: Vec<String>,
    /// Event loops, each on a thread of its own
    #[arg(long, value_name = "N", default_value_t = default_threads(), value_parser = threads)]
    pub threads: NonZeroUsize,
    /// The name of the only user
    #[arg(long, value_name = "NAME", default_value = "default")]
    pub user: String,
    /// A file whose first line is the password
    #[arg(long, value_name = "FILE")]
    pub password_file: Option<PathBuf>,
    /// The server's certificate chain for tls: places, PEM
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's private key, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub tls_key: Option<PathBuf>,
}

/// Serves until told to end.
///
/// # Errors
/// A place can't be listened on, or a file can't be used.
pub fn run(args: &ServeArgs) -> anyhow::Result<ExitCode> {
    let args = match &args.engine {
        ServeEngine::Pubsub(args) => args,
        ServeEngine::Jetstream(args) => return super::serve_jetstream::run(&args.options),
        ServeEngine::Peer(args) => return serve_peer::run(args),
        ServeEngine::Delay(args) => return serve_delay::run(args),
    };
    let mut server = Server::bind(options(args)?)?;
    let places: Vec<String> = server.places().iter().map(ToString::to_string).collect();
    announce(&places.join(", "))?;
    server.run()?;
    Ok(ExitCode::SUCCESS)
}

fn options(args: &PubsubArgs) -> anyhow::Result<Options> {
    let listen = args.listen.iter().map(|place| place.parse::<Listen>()).collect::<Result<_, _>>()?;
    let tls = args.tls_cert.clone().zip(args.tls_key.clone());
    Ok(Options {
        listen,
        user: args.user.clone(),
        password: password(args.password_file.as_deref())?,
        tls: tls.map(|(certificate, key)| TlsFiles { certificate, key, clients: None }),
        threads: args.threads,
    })
}

/// One event loop up to two cores, where more only cost; beyond, half as many as there are cores, for clients
/// need some as well.
fn default_threads() -> NonZeroUsize {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    NonZeroUsize::new((cores / 2).min(MOST_BY_DEFAULT)).unwrap_or(NonZeroUsize::MIN)
}

fn threads(given: &str) -> Result<NonZeroUsize, String> {
    match given.parse::<NonZeroUsize>() {
        Ok(threads) if threads.get() <= MOST_THREADS => Ok(threads),
        _ => Err(format!("give a number from 1 to {MOST_THREADS}")),
    }
}

/// The password from the file, else from the environment; an empty one is none.
fn password(file: Option<&Path>) -> anyhow::Result<Option<Vec<u8>>> {
    let text = match file {
        Some(path) => {
            let text = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read the password from {}", path.display()))?;
            let line = text.lines().next().unwrap_or_default().to_owned();
            anyhow::ensure!(!line.is_empty(), "{} holds no password in its first line", path.display());
            line
        }
        None => std::env::var(PASSWORD_VARIABLE).unwrap_or_default(),
    };
    Ok(Some(text.into_bytes()).filter(|text| !text.is_empty()))
}

/// The one line that a parent process waits for.
fn announce(places: &str) -> std::io::Result<()> {
    use std::io::Write;
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "Listening on {places}")?;
    stdout.flush()
}
