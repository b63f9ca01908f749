//! Asks running servers: are you there, who are you, how are you configured, what have you counted.

mod nats;
mod redis;

use std::time::Duration;

use super::{System, TargetError};

/// A single question is answered within this, or counts as not answered.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// A server's own counters at one moment.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Counters {
    /// Changes when the server was restarted: Redis's run id, NATS's server id.
    pub server: String,
    /// Name and value, in the server's own words.
    pub values: Vec<(String, f64)>,
}

impl Counters {
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
    /// What tells a server of ours from a stranger on the same port: Redis's process id, NATS's name.
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
                System::Redis => redis::identify(&self.url).await,
                System::Nats => nats::identify(&self.url, self.monitor.as_deref()).await,
            }
        })
        .await
    }

    /// What the server has counted since it started.
    pub(super) async fn counters(&self) -> Result<Counters, TargetError> {
        self.within(async {
            match self.system {
                System::Redis => redis::counters(&self.url).await,
                System::Nats => nats::counters(&self.url, self.monitor.as_deref()).await,
            }
        })
        .await
    }

    /// The settings in effect that bear on a measurement; never a secret.
    pub(super) async fn settings(&self) -> Result<Vec<(String, String)>, TargetError> {
        self.within(async {
            match self.system {
                System::Redis => redis::settings(&self.url).await,
                System::Nats => nats::settings(self.monitor.as_deref()).await,
            }
        })
        .await
    }

    /// The URL without its password, for people.
    pub(super) fn public_url(&self) -> String {
        without_password(&self.url)
    }

    async fn within<T>(&self, answer: impl Future<Output = Result<T, String>>) -> Result<T, TargetError> {
        let what = match tokio::time::timeout(ANSWER_WITHIN, answer).await {
            Ok(Ok(value)) => return Ok(value),
            Ok(Err(what)) => what,
            Err(_) => format!("no answer within {} s", ANSWER_WITHIN.as_secs()),
        };
        Err(TargetError::Unreachable { url: self.public_url(), what })
    }
}

/// Replaces what stands between `://` and `@`.
fn without_password(url: &str) -> String {
    let Some(start) = url.find("://").map(|at| at + 3) else { return url.to_owned() };
    let authority_end = url[start..].find('/').map_or(url.len(), |at| start + at);
    match url[start..authority_end].rfind('@') {
        Some(at) => format!("{}…{}", &url[..start], &url[start + at..]),
        None => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_not_shown() {
        assert_eq!(without_password("redis://u:secret@h:1/0"), "redis://…@h:1/0");
        assert_eq!(without_password("nats://h:4222"), "nats://h:4222");
        assert_eq!(without_password("nonsense"), "nonsense");
    }
}
