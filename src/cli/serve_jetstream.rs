//! `busmark serve jetstream`: the JetStream-style engine, with the options of nats-server.

use crate::clock::Clock;
use crate::engine::jetstream::{Bound, Request, Settings};
use anyhow::Context;
use std::ffi::OsString;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

/// Exit code for options that can't be honoured.
const USAGE: u8 = 2;

/// How it is used.
pub const HELP: &str = "\
Serve NATS clients, with streams

Usage: busmark serve jetstream [OPTIONS]

Options, as of nats-server (also with two dashes, and as --name=value):
  -p, --port PORT         port for clients, -1 or 0 for any [4222]
  -a, --addr HOST         address to listen on [127.0.0.1]
      --listen HOST:PORT  both at once
  -c, --config FILE       configuration file; options win over it
  -n, --name NAME         the server's name
  -js, --jetstream        streams on
  -sd, --store_dir DIR    where streams are kept (implies -js)
      --sync always|2m    when streams are synced to the disk [2m]
      --segment_size SIZE bytes after which a stream's file is closed and a new one begun [64MB]
  -m, --http_port PORT    port for monitoring: varz, connz, subsz, jsz, healthz, accountz
      --user U --pass P   ask for user and password
      --auth TOKEN        ask for a token
      --tls --tlscert FILE --tlskey FILE
                          encrypt connections
      --tlsverify --tlscacert FILE
                          and ask clients for a certificate
  -P, --pid FILE          write the process id there
  -l, --log FILE          log there instead of to the standard error
      --signal ldm=PID    tell a running server to let nobody in any more, and to end when all
                          have gone; also quit, term and stop
  -t                      check the configuration only
  -v, --version           print the version

Accounts, users with permissions, and keys are set up in the configuration file.
Clusters and whatever else is not listed are refused.

Called through a link named nats-server it does the same: nats-server [OPTIONS].

Example: busmark serve jetstream -p 4222 -js -sd /var/lib/busmark
";

/// Serves until it is ended.
///
/// # Errors
/// The port or the store can't be had, or the disk failed.
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "cli owns the terminal")]
pub fn run(arguments: &[String]) -> anyhow::Result<ExitCode> {
    let settings = match Request::parse(arguments) {
        Ok(Request::Serve(settings)) => *settings,
        Ok(Request::Help) => {
            print!("{HELP}");
            return Ok(ExitCode::SUCCESS);
        }
        Ok(Request::Version) => {
            println!("busmark-jetstream: v{}", env!("CARGO_PKG_VERSION"));
            return Ok(ExitCode::SUCCESS);
        }
        Ok(Request::Test) => {
            println!("the configuration is right");
            return Ok(ExitCode::SUCCESS);
        }
        Ok(Request::Signal(order, pid)) => {
            order.send(pid).with_context(|| format!("cannot send a signal to process {pid}"))?;
            return Ok(ExitCode::SUCCESS);
        }
        Err(error) => {
            eprintln!("busmark serve jetstream: {error}");
            return Ok(ExitCode::from(USAGE));
        }
    };
    let mut log = Log::open(&settings)?;
    log.line(&format!("Starting busmark-jetstream, {}", settings.summary()))?;
    let bound = Bound::open(settings.clone(), Clock::real())?;
    heed_signals(&bound)?;
    if let Some(path) = &settings.pid_file {
        std::fs::write(path, std::process::id().to_string())
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    for line in bound.notices() {
        log.line(line)?;
    }
    log.line(&format!("Listening for client connections on {}", bound.address()))?;
    if let Some(web) = bound.websocket() {
        let scheme =
            if settings.websocket.as_ref().is_some_and(|web| web.tls.is_some()) { "wss" } else { "ws" };
        log.line(&format!("Listening for websocket clients on {scheme}://{web}"))?;
    }
    log.line("Server is ready")?;
    let watched = bound.monitor();
    if let Some(monitor) = watched {
        log.line(&format!("Starting http monitor on {monitor}"))?;
    }
    let monitoring = watched.map(|monitor| format!(", monitoring on {monitor}")).unwrap_or_default();
    println!("Listening on {}{monitoring}", bound.address());
    // A parent that waits for the line reads it now, or is gone and does not matter.
    let _ = std::io::stdout().flush();
    // A log that can't be written to is no reason to end.
    bound.run_and_tell(&mut |line| drop(log.line(line)))?;
    log.line("Server exiting")?;
    Ok(ExitCode::SUCCESS)
}

/// Lets SIGUSR2 make the server let nobody in any more, and end when all have gone.
fn heed_signals(bound: &Bound) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let kind = tokio::signal::unix::SignalKind::user_defined2();
    let mut orders = runtime.block_on(async { tokio::signal::unix::signal(kind) })?;
    let stopper = bound.stopper();
    let heed = move || {
        runtime.block_on(async {
            while orders.recv().await.is_some() {
                stopper.lame_duck()
            }
        })
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(heed)?;
    Ok(())
}

/// The program whose name stands for `busmark serve jetstream`, as a link to this one.
const STAND_IN: &str = "nats-server";

/// What was typed, or what is meant if this program was called through a link named `nats-server`.
pub(super) fn called(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut arguments: Vec<OsString> = arguments.collect();
    let name = arguments.first().and_then(|program| Path::new(program).file_name());
    if name.is_some_and(|name| name == STAND_IN) {
        arguments.splice(1..1, ["serve", "jetstream"].map(OsString::from));
    }
    arguments
}

/// Where the log goes.
enum Log {
    Stderr,
    File(std::fs::File),
}

impl Log {
    fn open(settings: &Settings) -> anyhow::Result<Self> {
        let Some(path) = &settings.log_file else { return Ok(Self::Stderr) };
        let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
        Ok(Self::File(file.with_context(|| format!("cannot open {}", path.display()))?))
    }

    #[expect(clippy::print_stderr, reason = "cli owns the terminal")]
    fn line(&mut self, text: &str) -> anyhow::Result<()> {
        let stamp = crate::clock::rfc3339(crate::clock::unix_nanos());
        match self {
            Self::Stderr => eprintln!("[{}] {stamp} [INF] {text}", std::process::id()),
            Self::File(file) => writeln!(file, "[{}] {stamp} [INF] {text}", std::process::id())?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_named_nats_server_serves_and_any_other_name_does_not() {
        let of = |line: &str| called(line.split(' ').map(OsString::from)).join(" ".as_ref());
        assert_eq!(
            of("/usr/bin/nats-server -p 4222 -js"),
            "/usr/bin/nats-server serve jetstream -p 4222 -js"
        );
        assert_eq!(of("nats-server"), "nats-server serve jetstream");
        assert_eq!(of("busmark run quick"), "busmark run quick");
        assert_eq!(of("./nats-server.sh -v"), "./nats-server.sh -v");
    }
}
