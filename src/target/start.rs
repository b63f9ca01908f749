//! The ways in which a broker comes to be there.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

use super::broker::{Broker, READY_WITHIN};
use super::child::Process;
use super::config::{self, NatsPorts, NatsTarget};
use super::place::{Place, free_port};
use super::probe::{Address, Identity};
use super::{System, TargetError, discover};
use crate::scenario::{self, DriverConfig, Target};

/// How often a server is asked whether it is ready.
const ASK_EVERY: Duration = Duration::from_millis(10);

/// A free port can be taken by somebody else before the server binds it: so often another is tried.
const PORT_ATTEMPTS: u32 = 5;

/// What every server says when its port is taken, in lower case.
const PORT_TAKEN: &str = "address already in use";

/// What a bundled engine says on stdout once it listens.
const LISTENING: &str = "Listening on ";

/// The longest first line that a bundled engine may print, in bytes.
const LISTENING_LINE_MAX: u64 = 256;

/// Makes the broker of a target with a server be there.
pub(super) async fn start(target: &Target, system: System) -> Result<Broker, TargetError> {
    match &target.broker {
        scenario::Broker::External { url } => external(system, url).await,
        scenario::Broker::Managed { config } => managed(target, system, config).await,
        scenario::Broker::Command { argv, url, ready_within } => {
            command(&target.name, system, Template { argv, url, ready_within: *ready_within }).await
        }
        scenario::Broker::Bundled => bundled(target, system).await,
        scenario::Broker::None => Err(TargetError::Unsupported {
            target: target.name.clone(),
            what: format!(
                "driver {} needs a broker: \"managed\", \"bundled\", a url or a command",
                target.driver.name()
            ),
        }),
    }
}

async fn external(system: System, url: &str) -> Result<Broker, TargetError> {
    let address = Address { system, url: url.to_owned(), monitor: None };
    let identity = address.identify().await?;
    Ok(finish(Launched { address, process: None, config_text: None }, identity).await)
}

async fn managed(target: &Target, system: System, user: &[(String, String)]) -> Result<Broker, TargetError> {
    if let DriverConfig::Jetstream(options) = &target.driver
        && options.replicas > 1
    {
        return Err(TargetError::Unsupported {
            target: target.name.clone(),
            what: format!(
                "replicas = {} needs a cluster, and a managed broker is one server; give the url of a cluster",
                options.replicas
            ),
        });
    }
    let found = discover::find(system).ok_or(TargetError::NotFound { system })?;
    with_free_ports(async || {
        let place = Place::new(&target.name)?;
        let launch = match system {
            System::Redis => redis_launch(&found.path, place, user),
            System::Nats => nats_launch(&found.path, place, NatsTarget { driver: &target.driver, user }),
        }?;
        let Launch { argv, place, address, config_text, mark } = launch;
        let mut process = Process::start(&argv, place, false)?;
        let mark = mark.unwrap_or_else(|| process.pid().to_string());
        let identity = until_ready(&mut process, &address, READY_WITHIN, Some(&mark)).await?;
        let launched = Launched { address, process: Some(process), config_text: Some(config_text) };
        Ok(finish(launched, identity).await)
    })
    .await
}

/// A server about to be started.
struct Launch {
    argv: Vec<String>,
    place: Place,
    address: Address,
    config_text: String,
    /// What the server will call itself; its process id if `None`.
    mark: Option<String>,
}

fn redis_launch(program: &Path, place: Place, user: &[(String, String)]) -> Result<Launch, TargetError> {
    let port = free_port()?;
    let config_text = config::redis(port, place.path(), user);
    let file = place.write("redis.conf", &config_text)?;
    let argv = vec![text_of(program), text_of(&file)];
    let url = format!("redis://127.0.0.1:{port}");
    let address = Address { system: System::Redis, url, monitor: None };
    Ok(Launch { argv, place, address, config_text, mark: None })
}

fn nats_launch(program: &Path, place: Place, target: NatsTarget<'_>) -> Result<Launch, TargetError> {
    let ports = NatsPorts { client: free_port()?, monitor: free_port()? };
    let name = place.path().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let config_text = config::nats(ports, &name, &place.path().join("data"), target);
    let file = place.write("nats.conf", &config_text)?;
    let argv = vec![text_of(program), "-c".to_owned(), text_of(&file)];
    let address = Address {
        system: System::Nats,
        url: format!("nats://127.0.0.1:{}", ports.client),
        monitor: Some(format!("127.0.0.1:{}", ports.monitor)),
    };
    Ok(Launch { argv, place, address, config_text, mark: Some(name) })
}

/// A command of the user's, with its placeholders.
#[derive(Clone, Copy)]
struct Template<'a> {
    argv: &'a [String],
    url: &'a str,
    ready_within: Duration,
}

async fn command(name: &str, system: System, template: Template<'_>) -> Result<Broker, TargetError> {
    with_free_ports(async || {
        let place = Place::new(name)?;
        let (port, dir) = (free_port()?.to_string(), text_of(place.path()));
        let fill = |text: &String| text.replace("{port}", &port).replace("{dir}", &dir);
        let argv: Vec<String> = template.argv.iter().map(fill).collect();
        let address = Address { system, url: fill(&template.url.to_owned()), monitor: None };
        let mut process = Process::start(&argv, place, false)?;
        let identity = until_ready(&mut process, &address, template.ready_within, None).await?;
        Ok(finish(Launched { address, process: Some(process), config_text: None }, identity).await)
    })
    .await
}

async fn bundled(target: &Target, system: System) -> Result<Broker, TargetError> {
    let engine = match system {
        System::Redis => "pubsub",
        System::Nats => "jetstream",
    };
    let mut argv =
        [&text_of(&own_program()?), "serve", engine, "--listen", "127.0.0.1:0"].map(str::to_owned).to_vec();
    let place = Place::new(&target.name)?;
    if let DriverConfig::Jetstream(options) = &target.driver {
        argv.extend(config::bundled_streams(options, &place.path().join("data")));
    }
    let mut process = Process::start(&argv, place, true)?;
    let listening = listening_line(&mut process);
    let line = match tokio::time::timeout(READY_WITHIN, listening).await {
        Ok(line) => line,
        Err(_) => return Err(process.not_ready(READY_WITHIN, "it did not say where it listens".to_owned())),
    };
    let Some(place) = line.trim().strip_prefix(LISTENING) else {
        let status = tokio::time::timeout(ASK_EVERY, process.ended()).await;
        return Err(match status {
            Ok(status) => process.exited(status),
            Err(_) => process.not_ready(READY_WITHIN, format!("it said {line:?} and not where it listens")),
        });
    };
    let address = Address { system, url: format!("{}://{place}", system.scheme()), monitor: None };
    let identity = until_ready(&mut process, &address, READY_WITHIN, None).await?;
    Ok(finish(Launched { address, process: Some(process), config_text: None }, identity).await)
}

/// The first line on the engine's stdout; empty if it closed it.
async fn listening_line(process: &mut Process) -> String {
    let mut line = String::new();
    if let Some(stdout) = process.stdout() {
        let _an_empty_line_says_it =
            BufReader::new(stdout.take(LISTENING_LINE_MAX)).read_line(&mut line).await;
    }
    line
}

/// The `busmark` program: this executable, or the one that cargo built beside a test's executable.
fn own_program() -> Result<PathBuf, TargetError> {
    let own =
        env::current_exe().map_err(|source| TargetError::Spawn { program: "busmark".to_owned(), source })?;
    match own.parent() {
        Some(dir) if dir.ends_with("deps") => Ok(dir.with_file_name("busmark")),
        _ => Ok(own),
    }
}

/// Starts again on other ports as long as somebody else was faster.
async fn with_free_ports(
    attempt: impl AsyncFn() -> Result<Broker, TargetError>,
) -> Result<Broker, TargetError> {
    for _ in 1..PORT_ATTEMPTS {
        match attempt().await {
            Err(TargetError::Exited { log_tail, log, .. })
                if log_tail.to_ascii_lowercase().contains(PORT_TAKEN) =>
            {
                if let Some(dir) = log.parent() {
                    let _gone_already = fs::remove_dir_all(dir);
                }
            }
            other => return other,
        }
    }
    attempt().await
}

/// Asks until the server answers, and is the one that was started.
async fn until_ready(
    process: &mut Process,
    address: &Address,
    within: Duration,
    mark: Option<&str>,
) -> Result<Identity, TargetError> {
    let mut last = "it was not asked yet".to_owned();
    let mut ticks = tokio::time::interval(ASK_EVERY);
    let asking = async {
        loop {
            ticks.tick().await;
            match address.identify().await {
                Ok(identity) if mark.is_none_or(|mark| mark == identity.mark) => return identity,
                Ok(stranger) => last = format!("{} answers there in its place", stranger.mark),
                Err(error) => last = error.to_string(),
            }
        }
    };
    tokio::select! {
        biased;
        status = process.ended() => Err(process.exited(status)),
        answer = tokio::time::timeout(within, asking) => {
            answer.map_err(|_| process.not_ready(within, last))
        }
    }
}

/// A server that answers.
struct Launched {
    address: Address,
    process: Option<Process>,
    config_text: Option<String>,
}

async fn finish(launched: Launched, identity: Identity) -> Broker {
    let Launched { address, process, config_text } = launched;
    Broker {
        url: address.url.clone(),
        // Servers that forbid the question are used all the same; the manifest then has no settings.
        settings: address.settings().await.unwrap_or_default(),
        address: Some(address),
        version: identity.version,
        config_text,
        pids: process.as_ref().map(Process::pids).unwrap_or_default(),
        process,
        killed: false,
    }
}

fn text_of(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
