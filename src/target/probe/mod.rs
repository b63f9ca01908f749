//! Asks running servers: are you there, who are you, how are you configured, what have you counted.

mod kafka;
mod nats;
mod redis;

use std::time::Duration;

use super::{System, TargetError};
use crate::scenario::url;

/// A single question is answered within this, or counts as not answered.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);
/// Settings are asked once, before anything is measured, and a server that has just started may be slow to tell them.
const SETTINGS_WITHIN: Duration = Duration::from_secs(15);

/// A server's own counters at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Counters {
    /// Changes when the server was restarted: Redis's run id, NATS's server id.
    pub server: String,
    /// Name and value, in the server's own words.
    pub values: Vec<(String, f64)>,
}

impl Counters {
    /// Adds another node's counters to these, name by name.
    pub(super) fn add(&mut self, other: &Self) {
        self.server.push(' ');
        self.server.push_str(&other.server);
        for (name, value) in &other.values {
            match self.values.iter_mut().find(|(known, _)| known == name) {
                Some((_, sum)) => *sum += value,
                None => self.values.push((name.clone(), *value)),
            }
        }
    }

    /// The value of one counter.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<f64> {
        self.values.iter().find(|(key, _)| key == name).map(|(_, value)| *value)
    }
}

/// Who answers at a URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    /// Version as the server says it.
    pub(super) version: String,
    /// What tells a server of ours from a stranger on the same port: Redis's process id, NATS's name, Kafka's number.
    pub(super) mark: String,
}

/// Where a server is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) system: System,
    /// For clients.
    pub(super) url: String,
    /// `host:port` of NATS's monitoring, where there is one.
    pub(super) monitor: Option<String>,
}

impl Address {
    /// Asks the server whether it is ready to serve, and who it is.
    pub(super) async fn identify(&self) -> Result<Identity, TargetError> {
        self.within(async {
            match self.system {
                System::Redis | System::Valkey => redis::identify(&self.url).await,
                System::Nats => nats::identify(&self.url, self.monitor.as_deref()).await,
                System::Kafka => kafka::identify(&self.url).await,
            }
        })
        .await
    }

    /// What the server has counted since it started.
    pub(super) async fn counters(&self) -> Result<Counters, TargetError> {
        self.within(async {
            match self.system {
                System::Redis | System::Valkey => redis::counters(&self.url).await,
                System::Nats => nats::counters(&self.url, self.monitor.as_deref()).await,
                System::Kafka => kafka::counters(&self.url).await,
            }
        })
        .await
    }

    /// The settings in effect that bear on a measurement; never a secret.
    pub(super) async fn settings(&self) -> Result<Vec<(String, String)>, TargetError> {
        self.answer(SETTINGS_WITHIN, async {
            match self.system {
                System::Redis | System::Valkey => redis::settings(&self.url).await,
                System::Nats => nats::settings(self.monitor.as_deref()).await,
                System::Kafka => kafka::settings(&self.url).await,
            }
        })
        .await
    }

    /// How many brokers of a Kafka cluster this one knows, itself included.
    pub(super) async fn kafka_brokers(&self) -> Result<usize, TargetError> {
        self.within(kafka::brokers(&self.url)).await
    }

    /// The URL without its password, for people.
    pub(super) fn public_url(&self) -> String {
        url::public(&self.url)
    }

    async fn within<T>(&self, answer: impl Future<Output = Result<T, String>>) -> Result<T, TargetError> {
        self.answer(ANSWER_WITHIN, answer).await
    }

    async fn answer<T>(
        &self,
        within: Duration,
        answer: impl Future<Output = Result<T, String>>,
    ) -> Result<T, TargetError> {
        let what = match tokio::time::timeout(within, answer).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(what)) => what,
            Err(_) => format!("no answer within {} s", within.as_secs()),
        };
        Err(TargetError::Unreachable { url: self.public_url(), what })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_several_nodes_add_up_by_name() {
        let of = |server: &str, values: &[(&str, f64)]| Counters {
            server: server.to_owned(),
            values: values.iter().map(|(name, value)| ((*name).to_owned(), *value)).collect(),
        };
        let mut sum = of("a", &[("in", 1.0), ("out", 2.0)]);
        sum.add(&of("b", &[("out", 3.0), ("cut", 4.0)]));
        assert_eq!(sum, of("a b", &[("in", 1.0), ("out", 5.0), ("cut", 4.0)]));
    }
}
