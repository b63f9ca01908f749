//! How much a pull consumer's reader has asked for, and when to ask for more.

use std::time::Duration;

use super::JETSTREAM;
use super::ack::NO_RESPONDERS;
use crate::driver::{DriverError, ErrorKind};

/// How long the server keeps a pull request, in ns; asked again when it is over.
const PULL_EXPIRES_NS: u64 = 60_000_000_000;

/// How often the server says that it still has the request while there is nothing else to say, in ns.
const HEARTBEAT_NS: u64 = 2_000_000_000;

/// Silence after which a request is taken for forgotten, such as by a leader that died: a little more than two
/// heartbeats.
pub(super) const PATIENCE: Duration = Duration::from_millis(4500);

/// Header of a status line: messages of the pull request that will not come.
pub(super) const PENDING_MESSAGES: &str = "Nats-Pending-Messages";

/// Status codes after which one simply asks again.
const NOTHING_NOW: u16 = 404;
const EXPIRED: u16 = 408;
const HEARTBEAT: u16 = 100;

/// What a server says, with another status, when somebody else is to be asked from now on.
const MOVED: [&str; 2] = ["Leadership Change", "Server Shutdown"];

/// Pull requests of one reader.
#[derive(Debug)]
pub(super) struct Demand {
    batch: u32,
    /// Messages that were asked for and have not come.
    outstanding: u32,
}

impl Demand {
    /// Nothing was asked for yet; `batch` messages at a time.
    pub(super) fn new(batch: u32) -> Self {
        Self { batch: batch.max(1), outstanding: 0 }
    }

    /// How many to ask for now: up to a batch, once half of the last one has come.
    pub(super) fn more(&self) -> Option<u32> {
        (self.outstanding <= self.batch / 2).then(|| self.batch - self.outstanding)
    }

    /// What [`Self::more`] said was asked for.
    pub(super) fn asked(&mut self) {
        self.outstanding = self.batch;
    }

    /// A message came.
    #[inline]
    pub(super) fn came(&mut self) {
        self.outstanding = self.outstanding.saturating_sub(1);
    }

    /// Nobody knows of what was asked for any more.
    pub(super) fn forgotten(&mut self) {
        self.outstanding = 0;
    }

    /// A request has ended with this status, and `pending` messages of it will not come (all, if it doesn't
    /// say).
    pub(super) fn ended(&mut self, status: u16, text: &str, pending: Option<u32>) -> Result<(), DriverError> {
        // While a cluster elects a leader nobody answers: what was asked for is asked for again after the silence.
        if status == HEARTBEAT || status == NO_RESPONDERS {
            return Ok(());
        }
        self.outstanding = self.outstanding.saturating_sub(pending.unwrap_or(self.outstanding));
        match status {
            NOTHING_NOW | EXPIRED => Ok(()),
            _ if MOVED.contains(&text) => Ok(()),
            _ => {
                let what = format!("the server ended a pull request: {status} {text}");
                Err(DriverError::new(ErrorKind::Disconnected, JETSTREAM, what))
            }
        }
    }
}

/// The body of a request for `batch` messages.
pub(super) fn request(batch: u32) -> String {
    format!("{{\"batch\":{batch},\"expires\":{PULL_EXPIRES_NS},\"idle_heartbeat\":{HEARTBEAT_NS}}}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_is_asked_for_when_half_has_come_and_what_will_not_come_is_asked_for_again() {
        let mut demand = Demand::new(100);
        assert_eq!(demand.more(), Some(100));
        demand.asked();
        (0..49).for_each(|_| demand.came());
        assert_eq!(demand.more(), None);
        demand.came();
        assert_eq!(demand.more(), Some(50));
        demand.asked();
        demand.ended(408, "Request Timeout", Some(70)).unwrap();
        assert_eq!(demand.more(), Some(70));
        demand.ended(404, "No Messages", None).unwrap();
        assert_eq!(demand.more(), Some(100));
        demand.asked();
        demand.ended(100, "Idle Heartbeat", None).unwrap();
        assert_eq!(demand.more(), None, "a heartbeat ends nothing");
        demand.ended(503, "", None).unwrap();
        assert_eq!(demand.more(), None, "asking again at once would find nobody again");
        demand.ended(409, "Leadership Change", None).unwrap();
        assert_eq!(demand.more(), Some(100));
        demand.asked();
        demand.forgotten();
        assert_eq!(demand.more(), Some(100));
        let gone = demand.ended(409, "Consumer Deleted", None).unwrap_err();
        assert_eq!(gone.kind, ErrorKind::Disconnected);
        assert!(gone.what.contains("409 Consumer Deleted"));
    }
}
