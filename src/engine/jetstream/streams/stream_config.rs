//! How a stream is set up.

use super::errors::ApiError;
use crate::engine::jetstream::config::duration;
use crate::wire::nats::Headers;
use crate::wire::nats::subject::{is_valid_pattern, overlap};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// When messages go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Retention {
    #[default]
    Limits,
    Interest,
    WorkQueue,
}

/// What gives way when a limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Discard {
    #[default]
    Old,
    New,
}

/// Where messages are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum StorageKind {
    #[default]
    File,
    Memory,
}

/// A stream's configuration, in the order of nats-server's fields; durations in nanoseconds.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct StreamConfig {
    pub(super) name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) description: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) subjects: Vec<String>,
    pub(super) retention: Retention,
    pub(super) max_consumers: i64,
    pub(super) max_msgs: i64,
    pub(super) max_bytes: i64,
    pub(super) max_age: u64,
    pub(super) max_msgs_per_subject: i64,
    pub(super) max_msg_size: i64,
    pub(super) discard: Discard,
    pub(super) storage: StorageKind,
    pub(super) num_replicas: i64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) no_ack: bool,
    pub(super) duplicate_window: u64,
    pub(super) compression: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) first_seq: u64,
    pub(super) allow_direct: bool,
    pub(super) mirror_direct: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) discard_new_per_subject: bool,
    pub(super) sealed: bool,
    pub(super) deny_delete: bool,
    pub(super) deny_purge: bool,
    pub(super) allow_rollup_hdrs: bool,
    pub(super) consumer_limits: ConsumerLimits,
    pub(super) allow_msg_ttl: bool,
    pub(super) metadata: BTreeMap<String, String>,
}

/// What a stream allows its consumers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct ConsumerLimits {
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) inactive_threshold: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) max_ack_pending: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
pub(super) fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl Default for StreamConfig {
    fn default() -> Self {
        Self {
            name: String::new(),
            description: String::new(),
            subjects: Vec::new(),
            retention: Retention::default(),
            max_consumers: -1,
            max_msgs: -1,
            max_bytes: -1,
            max_age: 0,
            max_msgs_per_subject: -1,
            max_msg_size: -1,
            discard: Discard::default(),
            storage: StorageKind::default(),
            num_replicas: 1,
            no_ack: false,
            duplicate_window: 0,
            compression: "none".to_owned(),
            first_seq: 0,
            allow_direct: false,
            mirror_direct: false,
            discard_new_per_subject: false,
            sealed: false,
            deny_delete: false,
            deny_purge: false,
            allow_rollup_hdrs: false,
            consumer_limits: ConsumerLimits::default(),
            allow_msg_ttl: false,
            metadata: BTreeMap::new(),
        }
    }
}

/// The shortest lifetime of a message, in nanoseconds.
const SECOND: u64 = 1_000_000_000;
/// How long an id is remembered if nothing is said: 2 min, in nanoseconds.
const DUPLICATE_WINDOW: u64 = 120_000_000_000;
/// Fields of the real server that would change what a stream does, and which this engine has nothing for.
const UNSUPPORTED: &[&str] =
    &["mirror", "sources", "republish", "subject_transform", "subject_delete_marker_ttl", "placement"];
/// What the server adds to `metadata` by itself.
const OWN_METADATA: &str = "_nats.";

impl StreamConfig {
    /// Reads a request, leniently as the real server does; what it asks for and can't be had is refused.
    pub(super) fn read(json: &[u8]) -> Result<Self, ApiError> {
        let value = super::json::read(json)?;
        for field in UNSUPPORTED {
            let asked = value.get(field).is_some_and(|asked| !super::json::is_nothing(asked));
            if asked {
                return Err(ApiError::stream_config(format!("{field} is not supported by this engine")));
            }
        }
        let config: Self = serde_json::from_value(value).map_err(ApiError::invalid_json)?;
        if config.compression != "none" && !config.compression.is_empty() {
            return Err(ApiError::stream_config("compression is not supported by this engine"));
        }
        Ok(config)
    }

    /// Fills in what was left out, and checks what can be checked without other streams.
    pub(super) fn settle(mut self) -> Result<Self, ApiError> {
        let named = !self.name.is_empty() && self.name.len() <= 255;
        if !named || self.name.contains(['.', '*', '>', '/', '\\', ' ', '\t', '\r', '\n', '\0']) {
            return Err(ApiError::stream_config("stream name is missing or not allowed"));
        }
        if self.num_replicas > 1 {
            return Err(ApiError::replicas());
        }
        self.num_replicas = 1;
        self.compression = "none".to_owned();
        if self.subjects.is_empty() {
            self.subjects = vec![self.name.clone()];
        }
        for limit in [
            &mut self.max_consumers,
            &mut self.max_msgs,
            &mut self.max_bytes,
            &mut self.max_msgs_per_subject,
            &mut self.max_msg_size,
        ] {
            if *limit <= 0 {
                *limit = -1;
            }
        }
        if self.duplicate_window == 0 {
            self.duplicate_window =
                if self.max_age > 0 { DUPLICATE_WINDOW.min(self.max_age) } else { DUPLICATE_WINDOW };
        }
        self.check()?;
        self.metadata.insert("_nats.level".to_owned(), "1".to_owned());
        self.metadata.insert("_nats.req.level".to_owned(), "0".to_owned());
        self.metadata.insert("_nats.ver".to_owned(), crate::engine::jetstream::settings::FOLLOWS.to_owned());
        Ok(self)
    }

    fn check(&self) -> Result<(), ApiError> {
        for (index, subject) in self.subjects.iter().enumerate() {
            if !is_valid_pattern(subject.as_bytes()) {
                return Err(ApiError::stream_config("invalid subject"));
            }
            let own = [&b"$JS.>"[..], b"$JSC.>", b"$NRG.>"];
            let all = subject == ">" || own.iter().any(|own| overlap(own, subject.as_bytes()));
            // What happens may be kept, too.
            let events = subject.starts_with("$JS.EVENT.");
            if all && !events && !(self.no_ack && subject == ">") {
                return Err(ApiError::stream_config(
                    "subjects that overlap with jetstream api require no-ack to be true",
                ));
            }
            if self.subjects[..index].iter().any(|other| overlap(other.as_bytes(), subject.as_bytes())) {
                return Err(ApiError::stream_config("duplicate subjects detected"));
            }
        }
        if self.max_age > 0 && self.duplicate_window > self.max_age {
            return Err(ApiError::stream_config("duplicates window can not be larger then max age"));
        }
        if self.discard_new_per_subject && (self.discard != Discard::New || self.max_msgs_per_subject <= 0) {
            return Err(ApiError::stream_config(
                "discard new per subject requires discard new policy and max msgs per subject to be set",
            ));
        }
        if self.deny_purge && self.allow_rollup_hdrs {
            return Err(ApiError::stream_config("roll-ups require the purge permission"));
        }
        Ok(())
    }

    /// Whether an update may turn this into `new`.
    pub(super) fn may_become(&self, new: &Self) -> Result<(), ApiError> {
        let fixed = [
            (
                self.max_consumers != new.max_consumers,
                "stream configuration update can not change MaxConsumers",
            ),
            (self.storage != new.storage, "stream configuration update can not change storage type"),
            (
                self.retention != new.retention
                    && (self.retention == Retention::WorkQueue) != (new.retention == Retention::WorkQueue),
                "stream configuration update can not change retention policy to/from workqueue",
            ),
            (self.sealed && !new.sealed, "stream configuration update can not unseal a sealed stream"),
            (
                self.deny_delete && !new.deny_delete,
                "stream configuration update can not cancel deny message deletes",
            ),
            (self.deny_purge && !new.deny_purge, "stream configuration update can not cancel deny purge"),
        ];
        match fixed.iter().find(|(changed, _)| *changed) {
            Some((_, why)) => Err(ApiError::stream_config(*why)),
            None => Ok(()),
        }
    }

    /// How long a message lives by its own header, in nanoseconds.
    pub(super) fn lifetime(&self, headers: Headers<'_>) -> Result<Option<u64>, ApiError> {
        let Some(text) = headers.get(b"Nats-TTL").filter(|text| !text.is_empty()) else { return Ok(None) };
        if !self.allow_msg_ttl {
            return Err(ApiError::lifetimes_disabled());
        }
        if text == b"never" {
            // Without an age limit nothing goes anyway; with one, this engine can't make an exception.
            return if self.max_age == 0 { Ok(None) } else { Err(ApiError::lifetime_invalid()) };
        }
        let text = std::str::from_utf8(text).map_err(|_| ApiError::lifetime_invalid())?;
        let lifetime =
            duration("Nats-TTL", text).map_err(|_| ApiError::lifetime_invalid())?.as_nanos() as u64;
        if lifetime < SECOND { Err(ApiError::lifetime_invalid()) } else { Ok(Some(lifetime)) }
    }

    /// What people set, without what the server adds.
    pub(super) fn asked(&self) -> Self {
        let mut asked = self.clone();
        asked.metadata.retain(|key, _| !key.starts_with(OWN_METADATA));
        asked
    }
}
