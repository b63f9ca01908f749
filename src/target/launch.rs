//! What is to be started for a managed broker: for each node a program, a directory with its configuration,
//! and the address at which it will answer.

use std::path::Path;

use super::child::Process;
use super::config::{self, NatsPorts, NatsTarget, RedisListen};
use super::node::{Mark, Node};
use super::place::{Place, free_port};
use super::probe::Address;
use super::{System, TargetError, kafka};
use crate::scenario::{Managed, Target, Transport};

/// A server about to be started.
pub(super) struct Launch {
    argv: Vec<String>,
    place: Place,
    address: Address,
    config_text: String,
    mark: Mark,
    /// The port on which it speaks to the other nodes of a Redis cluster.
    bus: Option<u16>,
}

impl Launch {
    /// Starts the process; it may not answer yet.
    pub(super) fn start(self) -> Result<Node, TargetError> {
        let process = Process::start(&self.argv, self.place, false)?;
        let mut node = Node::started(self.address, process, Some(self.mark));
        node.config_text = Some(self.config_text);
        Ok(node)
    }

    /// See the field.
    pub(super) fn bus(&self) -> Option<u16> {
        self.bus
    }
}

/// The servers of a managed broker, with ports and directories of their own.
pub(super) fn launches(
    program: &Path,
    target: &Target,
    (system, ours): (System, &Managed),
) -> Result<Vec<Launch>, TargetError> {
    match system {
        System::Redis | System::Valkey => {
            (0..ours.nodes).map(|_| redis(program, target, (system, ours))).collect()
        }
        System::Kafka => kafka_nodes(program, target, ours),
        System::Nats => {
            let cluster = if ours.nodes > 1 { ours.nodes } else { 0 };
            let routes = (0..cluster).map(|_| free_port()).collect::<Result<Vec<u16>, _>>()?;
            let driver = NatsTarget { driver: &target.driver, user: &ours.config, routes: &routes };
            (0..ours.nodes).map(|index| nats(program, &target.name, index as usize, driver)).collect()
        }
    }
}

fn redis(program: &Path, target: &Target, (system, ours): (System, &Managed)) -> Result<Launch, TargetError> {
    let place = Place::new(&target.name)?;
    let (listen, url) = match ours.transport {
        Transport::Tcp => {
            let port = free_port()?;
            (RedisListen::Port(port), format!("redis://127.0.0.1:{port}"))
        }
        Transport::Unix => {
            let socket = place.path().join("redis.sock");
            let url = format!("unix://{}", socket.display());
            (RedisListen::Socket(socket), url)
        }
    };
    let bus = if ours.nodes > 1 { Some(free_port()?) } else { None };
    let lines = [config::of_driver(&target.driver), ours.config.clone()].concat();
    let config_text = config::redis(&listen, bus, place.path(), &lines);
    let file = place.write("redis.conf", &config_text)?;
    let argv = vec![text_of(program), text_of(&file)];
    let address = Address { system, url, monitor: None };
    Ok(Launch { argv, place, address, config_text, mark: Mark::ProcessId, bus })
}

fn nats(program: &Path, target: &str, index: usize, driver: NatsTarget<'_>) -> Result<Launch, TargetError> {
    let place = Place::new(target)?;
    let route = driver.routes.get(index).copied();
    let ports = NatsPorts { client: free_port()?, monitor: free_port()?, route };
    let name = place.path().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let config_text = config::nats(ports, &name, &place.path().join("data"), driver);
    let file = place.write("nats.conf", &config_text)?;
    let argv = vec![text_of(program), "-c".to_owned(), text_of(&file)];
    let address = Address {
        system: System::Nats,
        url: format!("nats://127.0.0.1:{}", ports.client),
        monitor: Some(format!("127.0.0.1:{}", ports.monitor)),
    };
    Ok(Launch { argv, place, address, config_text, mark: Mark::Name(name), bus: None })
}

/// The nodes of a Kafka cluster; `libs` is the directory of its jars.
fn kafka_nodes(libs: &Path, target: &Target, ours: &Managed) -> Result<Vec<Launch>, TargetError> {
    let ports = || Ok(kafka::Ports { client: free_port()?, controller: free_port()? });
    let all = (0..ours.nodes).map(|_| ports()).collect::<Result<Vec<_>, TargetError>>()?;
    let node = |own: &kafka::Ports| {
        let place = Place::new(&target.name)?;
        let config_text = kafka::properties(*own, &all, &place.path().join("data"), &ours.config);
        place.write("server.properties", &config_text)?;
        place.write("log4j.properties", kafka::LOG4J)?;
        let script = place.write("start.sh", kafka::SCRIPT)?;
        let words = [script.as_path(), libs, place.path()].map(text_of);
        let argv =
            ["/bin/sh".to_owned()].into_iter().chain(words).chain([kafka::cluster_id(all[0])]).collect();
        let url = format!("kafka://127.0.0.1:{}", own.client);
        let address = Address { system: System::Kafka, url, monitor: None };
        Ok(Launch { argv, place, address, config_text, mark: Mark::Name(own.client.to_string()), bus: None })
    };
    all.iter().map(node).collect()
}

/// A path as an argument.
pub(super) fn text_of(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
