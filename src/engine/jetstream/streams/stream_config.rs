//! How a stream is set up.

use super::errors::ApiError;
use super::origins::{Mapping, Origin, Republish};
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
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) duplicate_window: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) mirror: Option<Origin>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) sources: Vec<Origin>,
    pub(super) compression: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) first_seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) subject_transform: Option<Mapping>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) republish: Option<Republish>,
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
    /// How long what tells of a subject's last message having gone by age stays; 0 is nothing tells of it.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) subject_delete_marker_ttl: u64,
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
            mirror: None,
            sources: Vec::new(),
            compression: "none".to_owned(),
            first_seq: 0,
            subject_transform: None,
            republish: None,
            allow_direct: false,
            mirror_direct: false,
            discard_new_per_subject: false,
            sealed: false,
            deny_delete: false,
            deny_purge: false,
            allow_rollup_hdrs: false,
            consumer_limits: ConsumerLimits::default(),
            allow_msg_ttl: false,
            subject_delete_marker_ttl: 0,
            metadata: BTreeMap::new(),
        }
    }
}

/// The shortest lifetime of what tells of messages that are gone, in nanoseconds.
const SECOND: u64 = 1_000_000_000;
/// The shortest age limit, in nanoseconds.
const AGE_MIN: u64 = 100_000_000;
/// How long an id is remembered if nothing is said: 2 min, in nanoseconds.
const DUPLICATE_WINDOW: u64 = 120_000_000_000;
/// Fields of the real server that would change what a stream does, and which this engine has nothing for.
const UNSUPPORTED: &[&str] = &["placement"];
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
        let external = |origin: &serde_json::Value| {
            origin.get("external").is_some_and(|asked| !super::json::is_nothing(asked))
        };
        let sources = value.get("sources").and_then(|sources| sources.as_array());
        if value.get("mirror").into_iter().chain(sources.into_iter().flatten()).any(external) {
            return Err(ApiError::stream_config("external streams are not supported by this engine"));
        }
        let config: Self = serde_json::from_value(value).map_err(ApiError::invalid_json)?;
        if !matches!(config.compression.as_str(), "" | "none" | "s2") {
            return Err(ApiError::invalid_json("unknown compression algorithm"));
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
        if self.compression.is_empty() {
            "none".clone_into(&mut self.compression);
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
        if self.duplicate_window == 0 && self.mirror.is_none() {
            self.duplicate_window =
                if self.max_age > 0 { DUPLICATE_WINDOW.min(self.max_age) } else { DUPLICATE_WINDOW };
        }
        self.check_times()?;
        if self.subject_delete_marker_ttl > 0 {
            // What tells of a message goes by itself, and takes the place of what was there.
            (self.allow_msg_ttl, self.allow_rollup_hdrs) = (true, true);
        }
        self.check_origins()?;
        if self.subjects.is_empty() && self.origins().next().is_none() {
            self.subjects = vec![self.name.clone()];
        }
        self.check_subjects()?;
        self.settle_maps()?;
        let level = if self.allow_msg_ttl { "1" } else { "0" };
        self.metadata.insert("_nats.level".to_owned(), "1".to_owned());
        self.metadata.insert("_nats.req.level".to_owned(), level.to_owned());
        self.metadata.insert("_nats.ver".to_owned(), crate::engine::jetstream::settings::FOLLOWS.to_owned());
        Ok(self)
    }

    fn check_times(&self) -> Result<(), ApiError> {
        let within = |value: u64, least: u64| value == 0 || value >= least;
        let rules = [
            (within(self.max_age, AGE_MIN), "max age needs to be >= 100ms"),
            (
                self.max_age == 0 || self.duplicate_window <= self.max_age,
                "duplicates window can not be larger then max age",
            ),
            (within(self.duplicate_window, AGE_MIN), "duplicates window needs to be >= 100ms"),
            (!(self.deny_purge && self.allow_rollup_hdrs), "roll-ups require the purge permission"),
            (
                !self.discard_new_per_subject || self.discard == Discard::New,
                "discard new per subject requires discard new policy to be set",
            ),
            (
                !self.discard_new_per_subject || self.max_msgs_per_subject > 0,
                "discard new per subject requires max msgs per subject > 0",
            ),
            (
                within(self.subject_delete_marker_ttl, SECOND),
                "subject delete marker TTL must be at least 1 second",
            ),
        ];
        match rules.iter().find(|(held, _)| !held) {
            Some((_, why)) => Err(ApiError::stream_config(*why)),
            None => Ok(()),
        }
    }

    fn check_subjects(&self) -> Result<(), ApiError> {
        for (index, subject) in self.subjects.iter().enumerate() {
            if !is_valid_pattern(subject.as_bytes()) {
                return Err(ApiError::stream_config("invalid subject"));
            }
            if self.subjects[..index].contains(subject) {
                return Err(ApiError::stream_config("duplicate subjects detected"));
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
        }
        for (index, subject) in self.subjects.iter().enumerate() {
            let mut others = self.subjects.iter().enumerate().filter(|(other, _)| *other != index);
            if let Some((_, other)) = others.find(|(_, other)| overlap(other.as_bytes(), subject.as_bytes()))
            {
                return Err(ApiError::stream_config(format!("subject {subject:?} overlaps with {other:?}")));
            }
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
        if let Some((_, why)) = fixed.iter().find(|(changed, _)| *changed) {
            return Err(ApiError::stream_config(*why));
        }
        if self.mirror != new.mirror {
            return Err(ApiError::mirror_fixed());
        }
        if self.allow_msg_ttl && !new.allow_msg_ttl {
            return Err(ApiError::stream_config("message TTL status can not be disabled"));
        }
        Ok(())
    }

    /// Whether closed segments are to be compressed.
    pub(super) fn is_compressed(&self) -> bool {
        self.compression == "s2"
    }

    /// What being sealed makes of the rest.
    pub(super) fn seal(&mut self) {
        if self.sealed {
            (self.max_age, self.discard) = (0, Discard::New);
            (self.deny_delete, self.deny_purge, self.allow_rollup_hdrs) = (true, true, false);
        }
    }

    /// What people set, without what the server adds.
    pub(super) fn asked(&self) -> Self {
        let mut asked = self.clone();
        asked.metadata.retain(|key, _| !key.starts_with(OWN_METADATA));
        asked
    }
}
