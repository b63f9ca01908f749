//! Asks a Kafka broker: metadata and its configuration.

#[cfg(feature = "kafka")]
use std::time::Duration;

use super::{Counters, Identity};
#[cfg(feature = "kafka")]
use crate::driver::kafka;

/// Below the limit of a single question, so that its own words are told.
#[cfg(feature = "kafka")]
const WITHIN: Duration = Duration::from_millis(1500);
/// The same for settings, which are metadata and one question more.
#[cfg(feature = "kafka")]
const SETTINGS_WITHIN: Duration = Duration::from_secs(7);

/// Settings that bear on a measurement.
#[cfg(feature = "kafka")]
const SETTINGS: [&str; 12] = [
    "inter.broker.protocol.version",
    "num.io.threads",
    "num.network.threads",
    "num.replica.fetchers",
    "log.flush.interval.messages",
    "log.flush.interval.ms",
    "log.retention.ms",
    "log.segment.bytes",
    "message.max.bytes",
    "min.insync.replicas",
    "group.initial.rebalance.delay.ms",
    "offsets.topic.num.partitions",
];

#[cfg(feature = "kafka")]
pub(super) async fn identify(url: &str) -> Result<Identity, String> {
    let known = kafka::who(url, WITHIN).await?;
    // The protocol tells no version.
    Ok(Identity { version: String::new(), mark: known.broker.to_string() })
}

/// Brokers count by JMX, which is not asked; who answers is all there is.
#[cfg(feature = "kafka")]
pub(super) async fn counters(url: &str) -> Result<Counters, String> {
    let known = kafka::who(url, WITHIN).await?;
    Ok(Counters { server: format!("broker {}", known.broker), values: Vec::new() })
}

#[cfg(feature = "kafka")]
pub(super) async fn settings(url: &str) -> Result<Vec<(String, String)>, String> {
    kafka::settings(url, SETTINGS_WITHIN, &SETTINGS).await
}

#[cfg(feature = "kafka")]
pub(super) async fn brokers(url: &str) -> Result<usize, String> {
    Ok(kafka::who(url, WITHIN).await?.brokers)
}

#[cfg(not(feature = "kafka"))]
mod absent {
    use super::{Counters, Identity};

    const WITHOUT: &str = "this busmark was built without the driver kafka; build it with --features kafka";

    pub(in super::super) async fn identify(_: &str) -> Result<Identity, String> {
        Err(WITHOUT.to_owned())
    }

    pub(in super::super) async fn counters(_: &str) -> Result<Counters, String> {
        Err(WITHOUT.to_owned())
    }

    pub(in super::super) async fn settings(_: &str) -> Result<Vec<(String, String)>, String> {
        Err(WITHOUT.to_owned())
    }

    pub(in super::super) async fn brokers(_: &str) -> Result<usize, String> {
        Err(WITHOUT.to_owned())
    }
}

#[cfg(not(feature = "kafka"))]
pub(super) use absent::{brokers, counters, identify, settings};
