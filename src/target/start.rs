//! The ways in which a broker comes to be there.

use std::env;
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};

use super::broker::Broker;
use super::child::Process;
use super::launch::{Launch, launches, text_of};
use super::node::{ASK_EVERY, Node};
use super::place::{Place, free_port};
use super::probe::Address;
use super::redis_cluster::{self, Member};
use super::{System, TargetError, config, discover};
use crate::scenario::{self, DriverConfig, Managed, Target, url};

/// Where a bundled engine is asked to listen: on whatever port is free.
const FREE_PLACE: &str = "127.0.0.1:0";

/// A free port can be taken by somebody else before the server binds it: so often another is tried.
const PORT_ATTEMPTS: u32 = 5;

/// What every server says when its port is taken, in lower case.
const PORT_TAKEN: &str = "address already in use";

/// What a bundled engine says on stdout once it listens.
const LISTENING: &str = "Listening on ";

/// What stands in that line before the address of the monitoring.
const MONITORING: &str = ", monitoring on ";

/// What a bundled engine is told for a monitoring port that is free.
const FREE_MONITOR: &str = "-1";

/// The longest first line that a bundled engine may print, in bytes.
const LISTENING_LINE_MAX: u64 = 256;

/// Makes the broker of a target with a server be there.
pub(super) async fn start(target: &Target, system: System) -> Result<Broker, TargetError> {
    if system == System::Kafka && !cfg!(feature = "kafka") {
        let what = "this busmark was built without the driver kafka; \
                    build it with: cargo install --path . --locked --features kafka";
        return Err(TargetError::Unsupported { target: target.name.clone(), what: what.to_owned() });
    }
    match &target.broker {
        scenario::Broker::External { url } => external(system, url).await,
        scenario::Broker::Managed(ours) => managed(target, ours).await,
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
    let address = Address { system, url: filled_in(url)?, monitor: None };
    let identity = address.identify().await?;
    Ok(finish(vec![Node::external(address, identity.version)]).await)
}

/// A URL with what the environment has for it.
fn filled_in(url: &str) -> Result<String, TargetError> {
    url::filled_in(url, |name| env::var(name).ok())
        .map_err(|error| TargetError::Unreachable { url: url::public(url), what: error.to_string() })
}

async fn managed(target: &Target, ours: &Managed) -> Result<Broker, TargetError> {
    let system = System::from(ours.server);
    let found = discover::find(system).ok_or(TargetError::NotFound { system })?;
    with_free_ports(async || {
        let launches = launches(&found.path, target, (system, ours))?;
        let buses: Vec<Option<u16>> = launches.iter().map(Launch::bus).collect();
        let mut nodes = launches.into_iter().map(Launch::start).collect::<Result<Vec<_>, _>>()?;
        for node in &mut nodes {
            node.until_ready(system.ready_within()).await?;
            if node.version.is_empty() {
                node.version.clone_from(&found.version);
            }
        }
        if system == System::Kafka {
            until_whole(&nodes).await?;
        }
        redis_cluster::form(&members(&nodes, &buses)).await?;
        Ok(finish(nodes).await)
    })
    .await
}

/// Waits until each node of a Kafka cluster knows all others.
async fn until_whole(nodes: &[Node]) -> Result<(), TargetError> {
    let mut ticks = tokio::time::interval(ASK_EVERY);
    let asking = async {
        for node in nodes {
            while node.address.kafka_brokers().await.unwrap_or(0) < nodes.len() {
                ticks.tick().await;
            }
        }
    };
    let url = nodes.first().map(Node::url).unwrap_or_default().to_owned();
    let late =
        |_| TargetError::Unreachable { url, what: format!("{} nodes did not become a cluster", nodes.len()) };
    tokio::time::timeout(System::Kafka.ready_within(), asking).await.map_err(late)
}

/// The nodes of a Redis cluster; none where there is no bus.
fn members(nodes: &[Node], buses: &[Option<u16>]) -> Vec<Member> {
    let port = |url: &str| url.rsplit(':').next().and_then(|port| port.parse().ok());
    let member = |(node, bus): (&Node, &Option<u16>)| {
        Some(Member { url: node.url().to_owned(), port: port(node.url())?, bus: (*bus)? })
    };
    nodes.iter().zip(buses).filter_map(member).collect()
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
        let url = filled_in(&fill(&template.url.to_owned()))?;
        let process = Process::start(&argv, place, false)?;
        let mut node = Node::started(Address { system, url, monitor: None }, process, None);
        node.until_ready(template.ready_within).await?;
        Ok(finish(vec![node]).await)
    })
    .await
}

async fn bundled(target: &Target, system: System) -> Result<Broker, TargetError> {
    let engine = match system {
        System::Redis | System::Valkey => "pubsub",
        System::Nats => "jetstream",
        System::Kafka => {
            return Err(TargetError::Unsupported {
                target: target.name.clone(),
                what: "no bundled engine speaks Kafka's protocol; take broker = \"managed\"".to_owned(),
            });
        }
    };
    let mut argv =
        [&text_of(&own_program()?), "serve", engine, "--listen", FREE_PLACE].map(str::to_owned).to_vec();
    let place = Place::new(&target.name)?;
    if system == System::Nats {
        argv.extend(["-m", FREE_MONITOR].map(str::to_owned));
    }
    if let DriverConfig::Jetstream(options) = &target.driver {
        argv.extend(config::bundled_streams(options, &place.path().join("data")));
    }
    let mut process = Process::start(&argv, place, true)?;
    let listening = listening_line(&mut process);
    let line = match tokio::time::timeout(system.ready_within(), listening).await {
        Ok(line) => line,
        Err(_) => {
            return Err(
                process.not_ready(system.ready_within(), "it did not say where it listens".to_owned())
            );
        }
    };
    let Some(place) = line.trim().strip_prefix(LISTENING) else {
        let status = tokio::time::timeout(ASK_EVERY, process.ended()).await;
        return Err(match status {
            Ok(status) => process.exited(status),
            Err(_) => {
                process.not_ready(system.ready_within(), format!("it said {line:?} and not where it listens"))
            }
        });
    };
    let (place, monitor) = place.split_once(MONITORING).map_or((place, None), |(a, b)| (a, Some(b)));
    let url = format!("{}://{place}", system.scheme());
    let address = Address { system, url, monitor: monitor.map(str::to_owned) };
    process.listens_on(FREE_PLACE, place);
    if let Some((_, port)) = monitor.and_then(|monitor| monitor.rsplit_once(':')) {
        process.listens_on(FREE_MONITOR, port);
    }
    let mut node = Node::started(address, process, None);
    node.until_ready(system.ready_within()).await?;
    Ok(finish(vec![node]).await)
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

/// What clients are told: of a NATS or Kafka cluster every node, of others the first.
fn client_url(nodes: &[Node]) -> String {
    let every = nodes.iter().all(|node| matches!(node.address.system, System::Nats | System::Kafka));
    let urls: Vec<&str> = nodes.iter().take(if every { nodes.len() } else { 1 }).map(Node::url).collect();
    urls.join(",")
}

/// A broker all of whose nodes answer.
async fn finish(nodes: Vec<Node>) -> Broker {
    let settings = match nodes.first() {
        // Servers that forbid the question are used all the same; the manifest then has no settings.
        Some(first) => first.address.settings().await.unwrap_or_else(|error| {
            tracing::warn!("the broker's settings are not in the manifest: {error}");
            Vec::new()
        }),
        None => Vec::new(),
    };
    Broker {
        url: client_url(&nodes),
        settings,
        pids: nodes.iter().flat_map(|node| node.pids().to_vec()).collect(),
        versions: None,
        nodes,
    }
}
