//! Generated configurations of managed servers, as text.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use crate::scenario::{Aof, DriverConfig, JetstreamOptions, Sync};

/// Keys of a scenario's `config` that start with this go into NATS's `jetstream { }` block.
const JETSTREAM_KEY: &str = "jetstream.";

/// A node of a cluster that is silent for this long is taken for dead by the others, in milliseconds.
const CLUSTER_NODE_TIMEOUT_MS: u32 = 2000;

/// Where a Redis server of ours listens.
#[derive(Debug, Clone)]
pub(super) enum RedisListen {
    /// TCP on loopback.
    Port(u16),
    /// A Unix socket, and nothing else.
    Socket(PathBuf),
}

/// What a Redis server of ours is told: loopback only, nothing written to disk, the port of the cluster's bus
/// if it is to be a node of one, then the user's lines, which win because the last one counts.
#[must_use]
pub(super) fn redis(listen: &RedisListen, bus: Option<u16>, dir: &Path, user: &[(String, String)]) -> String {
    let mut text = match listen {
        RedisListen::Port(port) => format!("bind 127.0.0.1\nport {port}\n"),
        RedisListen::Socket(path) => format!("port 0\nunixsocket {}\n", quoted(path)),
    };
    let dir = quoted(dir);
    let _infallible = write!(text, "dir {dir}\ndaemonize no\nsave \"\"\nappendonly no\n");
    if let Some(bus) = bus {
        let _infallible = write!(
            text,
            "cluster-enabled yes\ncluster-port {bus}\ncluster-node-timeout {CLUSTER_NODE_TIMEOUT_MS}\n"
        );
    }
    for (key, value) in user {
        let _infallible = writeln!(text, "{key} {value}");
    }
    text
}

/// The lines for a Redis server that a driver's options ask for; they come before the user's own.
pub(super) fn of_driver(driver: &DriverConfig) -> Vec<(String, String)> {
    let DriverConfig::RedisStreams(options) = driver else { return Vec::new() };
    let fsync = match options.aof {
        Aof::Off => return Vec::new(),
        Aof::EverySecond => "everysec",
        Aof::Always => "always",
    };
    [("appendonly", "yes"), ("appendfsync", fsync)]
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .to_vec()
}

/// What a NATS server of ours is told: loopback only, its monitoring port, a name to know it by, JetStream
/// where the driver wants it, then the user's lines.
#[must_use]
pub(super) fn nats(ports: NatsPorts, name: &str, dir: &Path, target: NatsTarget<'_>) -> String {
    let NatsPorts { client, monitor, route } = ports;
    let mut text =
        format!("server_name: {name}\nlisten: \"127.0.0.1:{client}\"\nhttp: \"127.0.0.1:{monitor}\"\n");
    for (key, value) in target.user.iter().filter(|(key, _)| !key.starts_with(JETSTREAM_KEY)) {
        let _infallible = writeln!(text, "{key}: {value}");
    }
    if let DriverConfig::Jetstream(options) = target.driver {
        text.push_str(&jetstream_block(options, dir, target.user));
    }
    if let Some(own) = route {
        text.push_str(&cluster_block(own, target.routes));
    }
    text
}

/// Where a node speaks to the others, and where they are.
fn cluster_block(own: u16, routes: &[u16]) -> String {
    let others = routes.iter().filter(|port| **port != own).map(|port| format!("nats://127.0.0.1:{port}"));
    let others: Vec<String> = others.collect();
    format!(
        "cluster {{\n  name: {CLUSTER}\n  listen: \"127.0.0.1:{own}\"\n  no_advertise: true\n  routes: [{}]\n}}\n",
        others.join(", ")
    )
}

/// The ports of a NATS server.
#[derive(Debug, Clone, Copy)]
pub(super) struct NatsPorts {
    pub(super) client: u16,
    pub(super) monitor: u16,
    /// On which it speaks to the other nodes of a cluster.
    pub(super) route: Option<u16>,
}

/// The name of every cluster of ours; clusters that don't know each other's routes never meet.
const CLUSTER: &str = "busmark";

/// The parts of a scenario's target that shape a NATS server.
#[derive(Debug, Clone, Copy)]
pub(super) struct NatsTarget<'a> {
    pub(super) driver: &'a DriverConfig,
    pub(super) user: &'a [(String, String)],
    /// Ports on which the nodes of its cluster speak to each other.
    pub(super) routes: &'a [u16],
}

/// Options of the bundled engine that turn its streams on.
pub(super) fn bundled_streams(options: &JetstreamOptions, dir: &Path) -> Vec<String> {
    ["--store_dir", &dir.to_string_lossy(), "--sync", &sync_text(options.sync)].map(str::to_owned).to_vec()
}

fn sync_text(sync: Sync) -> String {
    match sync {
        Sync::Always => "always".to_owned(),
        Sync::Interval(interval) => format!("{}ms", interval.as_millis().max(1)),
    }
}

fn jetstream_block(options: &JetstreamOptions, dir: &Path, user: &[(String, String)]) -> String {
    let sync = match options.sync {
        Sync::Always => sync_text(options.sync),
        Sync::Interval(_) => format!("\"{}\"", sync_text(options.sync)),
    };
    let mut text = format!("jetstream {{\n  store_dir: {}\n  sync_interval: {sync}\n", quoted(dir));
    for (key, value) in user {
        if let Some(key) = key.strip_prefix(JETSTREAM_KEY) {
            let _infallible = writeln!(text, "  {key}: {value}");
        }
    }
    text.push_str("}\n");
    text
}

fn quoted(path: &Path) -> String {
    format!("\"{}\"", path.display())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::scenario::NatsCoreOptions;

    fn lines(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn jetstream(sync: Sync) -> DriverConfig {
        DriverConfig::Jetstream(JetstreamOptions { sync, ..JetstreamOptions::default() })
    }

    #[test]
    fn the_users_lines_come_after_ours_so_that_they_win() {
        let text = redis(
            &RedisListen::Port(7),
            None,
            Path::new("/d"),
            &lines(&[("io-threads", "2"), ("save", "60 1")]),
        );
        assert!(text.starts_with("bind 127.0.0.1\nport 7\ndir \"/d\"\n"), "{text}");
        assert!(text.ends_with("appendonly no\nio-threads 2\nsave 60 1\n"), "{text}");
    }

    #[test]
    fn a_redis_listens_where_it_is_told_and_is_a_node_of_a_cluster_if_it_has_a_bus() {
        let socket = RedisListen::Socket(PathBuf::from("/d/redis.sock"));
        assert!(
            redis(&socket, None, Path::new("/d"), &[]).starts_with("port 0\nunixsocket \"/d/redis.sock\"\n")
        );
        let node =
            redis(&RedisListen::Port(7), Some(8), Path::new("/d"), &lines(&[("cluster-node-timeout", "5")]));
        assert!(node.contains("cluster-enabled yes\ncluster-port 8\n"), "{node}");
        assert!(node.ends_with("cluster-node-timeout 2000\ncluster-node-timeout 5\n"), "{node}");
    }

    #[test]
    fn the_bundled_engine_keeps_streams_where_it_is_told_and_syncs_as_the_scenario_says() {
        for (sync, text) in [(Sync::Always, "always"), (Sync::Interval(Duration::from_secs(2)), "2000ms")] {
            let DriverConfig::Jetstream(options) = jetstream(sync) else { panic!("another driver") };
            assert_eq!(bundled_streams(&options, Path::new("/d")), ["--store_dir", "/d", "--sync", text]);
        }
    }

    #[test]
    fn jetstream_is_on_only_for_its_driver_and_has_the_scenarios_sync() {
        let ports = NatsPorts { client: 1, monitor: 2, route: None };
        let core = DriverConfig::NatsCore(NatsCoreOptions::default());
        let user = lines(&[("max_payload", "2MB"), ("jetstream.max_file", "1GB")]);
        let of = |driver: &DriverConfig| {
            nats(ports, "n", Path::new("/d"), NatsTarget { driver, user: &user, routes: &[] })
        };
        assert_eq!(
            of(&core),
            "server_name: n\nlisten: \"127.0.0.1:1\"\nhttp: \"127.0.0.1:2\"\nmax_payload: 2MB\n"
        );
        assert_eq!(
            of(&jetstream(Sync::Always)),
            "server_name: n\nlisten: \"127.0.0.1:1\"\nhttp: \"127.0.0.1:2\"\nmax_payload: 2MB\n\
             jetstream {\n  store_dir: \"/d\"\n  sync_interval: always\n  max_file: 1GB\n}\n"
        );
        let node = NatsPorts { route: Some(4), ..ports };
        let target = NatsTarget { driver: &core, user: &[], routes: &[3, 4, 5] };
        let text = nats(node, "n", Path::new("/d"), target);
        let (listen, routes) =
            ("listen: \"127.0.0.1:4\"", "routes: [nats://127.0.0.1:3, nats://127.0.0.1:5]");
        assert!(text.contains(listen) && text.contains(routes), "{text}");
        let interval = jetstream(Sync::Interval(Duration::from_secs(120)));
        assert!(of(&interval).contains("sync_interval: \"120000ms\""), "{}", of(&interval));
    }
}
