//! What the generator manages on this machine: the same workload against a peer that does nothing but pass
//! messages on (`busmark serve peer`), over the same sockets, framing and client.

use std::io;
use std::time::Duration;

use crate::scenario::{
    Broker, Delivery, DriverConfig, Extent, JetstreamOptions, NatsCoreOptions, Phases, Rate,
    RedisPubsubOptions, Scenario, SubscribeBy, Target, Topology, Trials, Workload,
};
use crate::target;
use crate::trial::{self, TrialError, TrialOutcome, TrialPlan};

/// Length of each of the two measurements.
const MEASURE: Duration = Duration::from_secs(1);

/// Rate at which the floor of latency is measured, messages per second.
const FLOOR_RATE: f64 = 11_000.0;

/// The ceiling and the floor of the generator for one workload, driver and client.
#[derive(Debug, Clone, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Calibration {
    /// Name of the driver.
    pub driver: String,
    /// Who built the frames.
    pub client: String,
    /// The points of a sweep that it holds for; empty for all of them.
    #[serde(default)]
    pub points: Vec<String>,
    /// Messages published per second against the null peer, closed loop with the scenario's window (at least
    /// 10,000 in flight): no broker can look faster from here.
    pub ceiling_per_s: f64,
    /// Median and 99th percentile of the delivery time through the null peer at 11,000 messages per second (enough for a p99 in a second),
    /// µs: no broker can look quicker from here.
    pub floor_us_p50: Option<f64>,
    /// See `floor_us_p50`.
    pub floor_us_p99: Option<f64>,
}

impl Calibration {
    /// Whether it is of this driver and client.
    #[must_use]
    pub fn is_of(&self, driver: &DriverConfig) -> bool {
        self.driver == driver.name() && self.client == driver.client()
    }

    /// The same for these points alone.
    #[must_use]
    pub fn at(self, points: Vec<String>) -> Self {
        Self { points, ..self }
    }
}

impl std::fmt::Display for Calibration {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { driver, client, ceiling_per_s, .. } = self;
        let at =
            if self.points.is_empty() { String::new() } else { format!(" at {}", self.points.join("; ")) };
        write!(
            f,
            "generator, {driver} ({client}){at}: ceiling {}",
            crate::units::rate(ceiling_per_s.round())
        )?;
        for (name, floor) in [("p50", self.floor_us_p50), ("p99", self.floor_us_p99)] {
            if let Some(floor) = floor {
                write!(f, ", floor {name} {floor:.0} µs")?;
            }
        }
        Ok(())
    }
}

/// A target that is the peer, with more of its flags; `None` where the peer doesn't speak the driver's
/// protocol.
///
/// # Errors
/// When this program can't be found.
pub(super) fn peer_target(driver: &DriverConfig, flags: &[String]) -> io::Result<Option<Target>> {
    let (driver, protocol, scheme) = match driver {
        DriverConfig::RedisPubsub(RedisPubsubOptions { client, .. }) => {
            let options = RedisPubsubOptions { client: *client, ..RedisPubsubOptions::default() };
            (DriverConfig::RedisPubsub(options), "resp", "redis")
        }
        // The peer keeps no streams and is no cluster: channels of the same client stand in for them.
        DriverConfig::RedisStreams(_) | DriverConfig::RedisCluster(_) => {
            (DriverConfig::RedisPubsub(RedisPubsubOptions::default()), "resp", "redis")
        }
        // A stream needs a server that keeps it; what its driver costs on the way is that of core messages.
        DriverConfig::NatsCore(NatsCoreOptions { client })
        | DriverConfig::Jetstream(JetstreamOptions { client, .. }) => {
            (DriverConfig::NatsCore(NatsCoreOptions { client: *client }), "nats", "nats")
        }
        // The peer speaks neither.
        DriverConfig::Loopback(_) | DriverConfig::Kafka(_) => return Ok(None),
    };
    let program = std::env::current_exe()?.display().to_string();
    let words = [program.as_str(), "serve", "peer", "--protocol", protocol, "--listen", "127.0.0.1:{port}"];
    let broker = Broker::Command {
        argv: words.iter().map(|word| (*word).to_owned()).chain(flags.iter().cloned()).collect(),
        url: format!("{scheme}://127.0.0.1:{{port}}"),
        ready_within: Duration::from_secs(5),
    };
    Ok(Some(Target::one("peer", driver, broker)))
}

/// The points of a sweep by what the generator has to do at them: names, and the scenario of the first. Points
/// that differ only in rate, phases or targets go together.
#[must_use]
pub fn alike(scenario: &Scenario) -> Vec<(Vec<String>, &Scenario)> {
    let mut groups: Vec<(Vec<String>, &Scenario)> = Vec::new();
    let work = |scenario: &Scenario| Workload { rate: Rate::Max, ..scenario.workload.clone() };
    for (name, at_point) in scenario.at_points() {
        match groups.iter_mut().find(|(_, first)| work(first) == work(at_point)) {
            Some((names, _)) => names.push(name.to_owned()),
            None => groups.push((vec![name.to_owned()], at_point)),
        }
    }
    groups
}

/// Measures ceiling and floor for a target's driver; `None` where the peer doesn't speak its protocol, or there are two.
///
/// # Errors
/// When the peer can't be started or driven.
pub fn calibrate(
    runtime: &tokio::runtime::Runtime,
    scenario: &Scenario,
    target: &Target,
) -> Result<Option<Calibration>, TrialError> {
    // There is no peer of two systems.
    let peer = if target.dual_write.is_some() { None } else { peer_target(&target.driver, &[])? };
    let Some(peer) = peer else { return Ok(None) };
    let ceiling = measure(runtime, scenario, &peer, Rate::Max)?;
    let floor = measure(runtime, scenario, &peer, Rate::PerSecond(FLOOR_RATE))?;
    let delivery = floor.latencies.delivery_time;
    Ok(Some(Calibration {
        driver: target.driver.name().to_owned(),
        client: target.driver.client().to_owned(),
        points: Vec::new(),
        ceiling_per_s: ceiling.publishes_per_s.unwrap_or(0.0),
        floor_us_p50: delivery.and_then(|quantiles| quantiles.p50).map(|quantile| quantile.micros()),
        floor_us_p99: delivery.and_then(|quantiles| quantiles.p99).map(|quantile| quantile.micros()),
    }))
}

/// One short trial of the scenario's workload at another rate.
fn measure(
    runtime: &tokio::runtime::Runtime,
    scenario: &Scenario,
    peer: &Target,
    rate: Rate,
) -> Result<crate::measure::TrialRecord, TrialError> {
    let mut scenario = scenario.clone();
    scenario.workload.rate = rate;
    scenario.workload.in_flight = scenario.workload.in_flight.max(10_000);
    // The peer matches nothing: it is subscribed to by name.
    scenario.workload.subscribe_by = SubscribeBy::Name;
    // Nor has it audiences: each receiver of theirs is a subscriber of its own.
    if !scenario.workload.audiences.is_empty() {
        let receivers = Topology::of(&scenario.workload, "").receivers();
        scenario.workload.audiences.clear();
        scenario.workload.subscribers = receivers;
        scenario.workload.subscriber_connections = scenario.workload.subscriber_connections.min(receivers);
    }
    // The peer has no groups: a work queue is measured as fan-out to one of each group.
    if scenario.workload.delivery == Delivery::WorkQueue {
        scenario.workload.delivery = Delivery::FanOut;
        scenario.workload.subscribers = scenario.workload.subscribers.min(1);
        scenario.workload.subscriber_connections = scenario.workload.subscribers;
    }
    scenario.phases = Phases {
        warm_up: Duration::from_millis(300),
        measure: Extent::Time(MEASURE),
        drain: Duration::from_secs(2),
    };
    scenario.trials = Trials { count: 1, ..scenario.trials };
    Ok(run_once(runtime, &scenario, peer)?.record)
}

/// One trial of a scenario on a target that need not be one of its own.
pub(super) fn run_once(
    runtime: &tokio::runtime::Runtime,
    scenario: &Scenario,
    target: &Target,
) -> Result<TrialOutcome, TrialError> {
    let mut broker = runtime.block_on(target::Broker::start(target))?;
    let plan = TrialPlan { scenario, point: "", target, trial: 1, seed: scenario.trials.seed, unlike: None };
    let outcome = trial::run(runtime, &plan, &mut broker, &mut |_| true);
    runtime.block_on(broker.stop())?;
    outcome
}
