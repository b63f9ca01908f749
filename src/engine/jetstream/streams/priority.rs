//! Priority groups: requests that are served only while much waits, or only those of the one client that is pinned.

use super::api::Request;
use super::consumer::Consumer;
use super::consumer_config::PriorityPolicy;
use super::errors::ApiError;
use super::news::Happening;
use super::pull::{NextRequest, Pull};
use super::times::Time;
use super::{Streams, json};
use crate::clock::Nanos;
use crate::engine::jetstream::names::event_id;
use crate::prng::Prng;
use serde::{Deserialize, Serialize};

/// The state of the only group that counts, as by the real server.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// The id of the client that is pinned; empty is none.
    pub(super) pinned: String,
    /// When it was pinned, in nanoseconds since 1970.
    since: u64,
    /// When it is not pinned any more unless it asks again.
    until: Nanos,
    prng: Option<Prng>,
}

/// A group as the API shows it.
#[derive(Debug, Serialize)]
pub(super) struct GroupState {
    group: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pinned_client_id: String,
    pinned_ts: Time,
}

/// Whether a request that waits is to be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It is.
    Served,
    /// Not now.
    Passed,
    /// It names a client that is not the pinned one: it ends.
    Wrong,
}

/// Whom UNPIN is about.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct UnpinRequest {
    group: String,
}

impl Consumer {
    /// What a request for messages says of groups and can't say to this consumer.
    pub(super) fn group_objection(&mut self, wish: &NextRequest, now: Nanos) -> Option<(u16, &'static str)> {
        let policy = self.config.priority_policy;
        if !wish.structured {
            return None;
        }
        if (wish.min_pending != 0 || wish.min_ack_pending != 0) && policy != PriorityPolicy::Overflow {
            return Some((400, "Bad Request - Not a Overflow Priority consumer"));
        }
        if !wish.id.is_empty() && policy != PriorityPolicy::PinnedClient {
            return Some((400, "Bad Request - Not a Pinned Client Priority consumer"));
        }
        if policy.is_none() {
            return None;
        }
        if wish.group.is_empty() {
            return Some((400, "Bad Request - Priority Group missing"));
        }
        if !self.config.priority_groups.contains(&wish.group) {
            return Some((400, "Bad Request - Invalid Priority Group"));
        }
        if self.group.pinned.is_empty() || wish.id.is_empty() {
            return None;
        }
        if wish.id != self.group.pinned {
            return Some((423, "Nats-Pin-Id mismatch"));
        }
        self.group.until = now + self.config.priority_timeout;
        None
    }

    /// Whether a request is to be served with the next message.
    pub(super) fn standing(&self, pull: &Pull) -> Standing {
        match self.config.priority_policy {
            PriorityPolicy::None => Standing::Served,
            PriorityPolicy::Overflow => {
                let pending = self.outstanding as i64 + i64::from(!self.again.is_empty());
                let enough = pull.min_pending <= 0 || pull.min_pending <= pending;
                let open = pull.min_ack_pending <= 0 || pull.min_ack_pending <= self.pending.len() as i64;
                if enough && open { Standing::Served } else { Standing::Passed }
            }
            PriorityPolicy::PinnedClient if *pull.id == *self.group.pinned => Standing::Served,
            PriorityPolicy::PinnedClient if pull.id.is_empty() => Standing::Passed,
            PriorityPolicy::PinnedClient => Standing::Wrong,
        }
    }

    /// Pins the client whose request is served next if none is; gives the id that its messages carry.
    pub(super) fn pin(&mut self, (now, unix): (Nanos, u64)) -> Option<&str> {
        if self.config.priority_policy != PriorityPolicy::PinnedClient {
            return None;
        }
        if self.group.pinned.is_empty() {
            let prng = self.group.prng.get_or_insert_with(|| Prng::new(unix ^ self.created));
            self.group.pinned = event_id(prng);
            self.group.since = unix;
            self.group.until = now + self.config.priority_timeout;
            self.waiting.name_front(&self.group.pinned);
            self.news.push(Happening::Pinned { group: self.first_group(), id: self.group.pinned.clone() });
        }
        Some(&self.group.pinned)
    }

    /// Lets go of a client that has not asked for too long; whether others may have their turn.
    pub(super) fn unpin_late(&mut self, now: Nanos) -> bool {
        let late = !self.group.pinned.is_empty() && self.group.until <= now;
        if late {
            self.unpin(self.first_group(), "timeout");
        }
        late
    }

    fn unpin(&mut self, group: String, reason: &'static str) {
        self.group.pinned.clear();
        self.news.push(Happening::Unpinned { group, reason });
    }

    /// When the pinned client is let go.
    pub(super) fn pin_end(&self) -> Option<Nanos> {
        (!self.group.pinned.is_empty()).then_some(self.group.until)
    }

    fn first_group(&self) -> String {
        self.config.priority_groups.first().cloned().unwrap_or_default()
    }

    /// Its group, if it has one.
    pub(super) fn groups(&self) -> Vec<GroupState> {
        let shown = |group: &String| GroupState {
            group: group.clone(),
            pinned_client_id: self.group.pinned.clone(),
            pinned_ts: Time(self.group.since),
        };
        self.config.priority_groups.iter().take(1).map(shown).collect()
    }
}

impl Streams {
    pub(super) fn unpin_request(&mut self, stream: &str, name: &str, request: Request<'_>) {
        let result = self.unpin(stream, name, request);
        self.reply(request, "consumer_unpin", result);
    }

    fn unpin(
        &mut self,
        stream: &str,
        name: &str,
        request: Request<'_>,
    ) -> Result<serde_json::Value, ApiError> {
        let wish = serde_json::from_value::<UnpinRequest>(json::read(request.payload)?);
        let wish = wish.map_err(ApiError::invalid_json)?;
        if wish.group.is_empty() {
            return Err(ApiError::invalid_json("consumer group not specified"));
        }
        let found = self.find(stream).ok_or_else(ApiError::stream_not_found)?;
        let consumer = found.consumers.get_mut(name).ok_or_else(ApiError::consumer_not_found)?;
        if !consumer.config.priority_groups.contains(&wish.group) {
            return Err(ApiError::no_such_group());
        }
        consumer.unpin(wish.group, "admin");
        found.awake = true;
        Ok(serde_json::json!({}))
    }
}

#[cfg(test)]
mod tests {
    use super::super::consumer_config::ConsumerConfig;
    use super::*;

    fn consumer(priority_policy: PriorityPolicy) -> Consumer {
        let config = ConsumerConfig {
            priority_policy,
            priority_groups: vec!["A".into()],
            priority_timeout: 100,
            ..ConsumerConfig::default()
        };
        Consumer::bare("c", config, 7)
    }

    fn wish(json: &str) -> NextRequest {
        NextRequest::read(json.as_bytes()).unwrap()
    }

    fn standing(consumer: &mut Consumer, json: &str) -> Standing {
        consumer.waiting = super::super::pull::Waiting::default();
        consumer.waiting.add(b"r", &wish(json), 0);
        consumer.standing(consumer.waiting.front().unwrap())
    }

    #[test]
    fn overflow_serves_while_more_waits_than_was_asked_for() {
        let mut consumer = consumer(PriorityPolicy::Overflow);
        consumer.outstanding = 5;
        assert_eq!(standing(&mut consumer, r#"{"group":"A","min_pending":5}"#), Standing::Served);
        assert_eq!(standing(&mut consumer, r#"{"group":"A","min_pending":6}"#), Standing::Passed);
        assert_eq!(standing(&mut consumer, r#"{"group":"A","min_ack_pending":1}"#), Standing::Passed);
        assert_eq!(standing(&mut consumer, r#"{"group":"A"}"#), Standing::Served);
        let texts = [r#"{"batch":1}"#, r#"{"group":"B"}"#, r#"{"group":"A","id":"x"}"#, "5"];
        let said = texts.map(|text| consumer.group_objection(&wish(text), 0).map(|(_, why)| why));
        assert_eq!(said[0], Some("Bad Request - Priority Group missing"));
        assert_eq!(said[1], Some("Bad Request - Invalid Priority Group"));
        assert_eq!(said[2], Some("Bad Request - Not a Pinned Client Priority consumer"));
        assert_eq!(said[3], None, "a bare number says nothing of groups");
    }

    #[test]
    fn one_client_is_pinned_until_it_has_not_asked_for_too_long() {
        let mut consumer = consumer(PriorityPolicy::PinnedClient);
        assert_eq!(standing(&mut consumer, r#"{"group":"A","id":"old"}"#), Standing::Wrong);
        assert_eq!(standing(&mut consumer, r#"{"group":"A","batch":2}"#), Standing::Served);
        let id = consumer.pin((10, 99)).unwrap().to_owned();
        assert_eq!(
            consumer.standing(consumer.waiting.front().unwrap()),
            Standing::Served,
            "it has the pin now"
        );
        assert_eq!(consumer.pin((20, 99)), Some(&*id), "it stays");
        assert_eq!(standing(&mut consumer, r#"{"group":"A"}"#), Standing::Passed);
        let named = |id: &str| wish(&format!(r#"{{"group":"A","id":"{id}"}}"#));
        assert_eq!(consumer.group_objection(&named("other"), 30), Some((423, "Nats-Pin-Id mismatch")));
        assert_eq!(consumer.group_objection(&named(&id), 50), None);
        assert!(!consumer.unpin_late(149) && consumer.unpin_late(150));
        assert_eq!(consumer.pin_end(), None);
        assert_eq!(
            consumer.news,
            [
                Happening::Pinned { group: "A".into(), id },
                Happening::Unpinned { group: "A".into(), reason: "timeout" },
            ]
        );
    }
}
