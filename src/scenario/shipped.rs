//! The scenarios that are part of the binary.

use super::model::Scenario;
use super::overrides::Override;
use super::problem::{ScenarioError, did_you_mean, one_of};

/// A scenario in the binary.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shipped {
    /// Its path under `scenarios/` without `.toml`, such as `drivers/nats-core`.
    pub name: &'static str,
    /// The file.
    pub text: &'static str,
}

/// One line for each file under `scenarios/`; a test compares the two.
macro_rules! shipped {
    ($($name:literal),+ $(,)?) => {
        &[$(Shipped { name: $name, text: include_str!(concat!("../../scenarios/", $name, ".toml")) }),+]
    };
}

static SHIPPED: &[Shipped] = shipped![
    "quick",
    "redis-vs-jetstream",
    "systems",
    "article/crossover",
    "article/crossover-above",
    "article/dual-write",
    "article/iot-alerts",
    "article/jetstream-ack",
    "article/jetstream-ack-pending",
    "article/jetstream-crash",
    "article/jetstream-failover",
    "article/jetstream-r1",
    "article/jetstream-r3",
    "article/jetstream-redelivery",
    "article/jetstream-sync",
    "article/kafka",
    "article/late-join",
    "article/overload",
    "article/payload-size",
    "article/processing-delay",
    "article/redis-cluster-classic",
    "article/redis-cluster-sharded",
    "article/redis-single",
    "article/redis-streams",
    "article/slow-subscriber",
    "article/spike",
    "article/transport",
    "ci/gate",
    "ci/gate-demo",
    "ci/jetstream-tail",
    "ci/redis-loss",
    "ci/smoke",
    "drivers/jetstream",
    "drivers/jetstream-cluster",
    "drivers/jetstream-library",
    "drivers/jetstream-limits",
    "drivers/jetstream-ordered",
    "drivers/jetstream-push",
    "drivers/kafka",
    "drivers/kafka-cluster",
    "drivers/kafka-queue",
    "drivers/loopback",
    "drivers/nats-core",
    "drivers/nats-core-library",
    "drivers/nats-core-queue",
    "drivers/redis-cluster-classic",
    "drivers/redis-cluster-sharded",
    "drivers/redis-pubsub",
    "drivers/redis-pubsub-library",
    "drivers/redis-resp3",
    "drivers/redis-streams",
    "drivers/redis-streams-aof",
    "drivers/redis-streams-queue",
    "drivers/redis-unix",
    "drivers/valkey",
    "patterns/audiences",
    "patterns/backlog",
    "patterns/broker-kill",
    "patterns/bursts",
    "patterns/churn",
    "patterns/claims",
    "patterns/dual-write",
    "patterns/dual-write-early",
    "patterns/kill",
    "patterns/late-join",
    "patterns/leader-kill",
    "patterns/leave-rejoin",
    "patterns/many-publishers",
    "patterns/master-kill",
    "patterns/pause",
    "patterns/payload-lognormal",
    "patterns/payload-mix",
    "patterns/payload-range",
    "patterns/ramp",
    "patterns/replay",
    "patterns/restart",
    "patterns/sine",
    "patterns/slow-subscriber",
    "patterns/spike",
    "patterns/steps",
    "patterns/stopped-subscriber",
    "patterns/sweep",
    "patterns/topic-skew",
    "patterns/topic-uniform",
    "patterns/wildcards",
    "reproduce/one-node",
    "reproduce/three-nodes",
];

impl Shipped {
    /// Reads it.
    ///
    /// # Errors
    /// Only for overrides that do not fit: the files themselves are right.
    pub fn scenario(&self, overrides: &[Override]) -> Result<Scenario, ScenarioError> {
        Scenario::parse(self.text, self.name, overrides)
    }
}

/// All of them, those to start with first.
#[must_use]
pub fn list() -> &'static [Shipped] {
    SHIPPED
}

/// The one of this name, with or without `.toml`.
#[must_use]
pub fn find(name: &str) -> Option<Shipped> {
    let wanted = name.strip_suffix(".toml").unwrap_or(name);
    SHIPPED.iter().copied().find(|shipped| shipped.name == wanted)
}

/// The names that a command line means: of a pattern with one `*`, all shipped ones that fit; else the name itself.
#[must_use]
pub fn named(given: &str) -> Vec<String> {
    let Some((before, after)) = given.split_once('*') else { return vec![given.to_owned()] };
    let fits = |name: &&str| {
        name.len() >= before.len() + after.len() && name.starts_with(before) && name.ends_with(after)
    };
    let names: Vec<String> =
        SHIPPED.iter().map(|shipped| shipped.name).filter(fits).map(str::to_owned).collect();
    if names.is_empty() { vec![given.to_owned()] } else { names }
}

/// The text of what a command line names: a file if there is one, else a shipped scenario.
#[must_use]
pub fn text(name: &str) -> Option<String> {
    std::fs::read_to_string(name).ok().or_else(|| find(name).map(|shipped| shipped.text.to_owned()))
}

/// Reads what a command line names: a file if there is one, else a shipped scenario.
///
/// # Errors
/// All mistakes together; for a name that is neither, the nearest and all known ones.
pub fn open(name: &str, overrides: &[Override]) -> Result<Scenario, ScenarioError> {
    let path = std::path::Path::new(name);
    if path.is_file() {
        return Scenario::load(path, overrides);
    }
    let shipped = find(name).ok_or_else(|| {
        let names = SHIPPED.iter().map(|shipped| shipped.name);
        let hint = did_you_mean(name, names.clone());
        ScenarioError::whole(
            name,
            format!("neither a file nor a shipped scenario{hint}; shipped: {}", one_of(names)),
        )
    })?;
    shipped.scenario(overrides)
}
