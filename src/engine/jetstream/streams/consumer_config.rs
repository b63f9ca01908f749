//! How a consumer is set up.

use super::errors::ApiError;
use super::stream_config::{Retention, StreamConfig, is_zero};
use super::times::Time;
use crate::wire::nats::subject::{has_wildcard, is_valid_pattern, overlap};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Where a consumer begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum DeliverPolicy {
    #[default]
    All,
    Last,
    New,
    ByStartSequence,
    ByStartTime,
    LastPerSubject,
}

/// What has to be acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum AckPolicy {
    #[default]
    None,
    All,
    Explicit,
}

/// How fast messages come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum ReplayPolicy {
    #[default]
    Instant,
    Original,
}

/// A consumer's configuration, in the order of nats-server's fields; durations in nanoseconds.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct ConsumerConfig {
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) durable_name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) name: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) description: String,
    pub(super) deliver_policy: DeliverPolicy,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) opt_start_seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) opt_start_time: Option<Time>,
    pub(super) ack_policy: AckPolicy,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) ack_wait: u64,
    #[serde(skip_serializing_if = "is_none_i64")]
    pub(super) max_deliver: i64,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) backoff: Vec<u64>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) filter_subject: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) filter_subjects: Vec<String>,
    pub(super) replay_policy: ReplayPolicy,
    #[serde(skip_serializing_if = "is_none_i64")]
    pub(super) max_waiting: i64,
    #[serde(skip_serializing_if = "is_none_i64")]
    pub(super) max_ack_pending: i64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) flow_control: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) headers_only: bool,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) max_batch: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) max_expires: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) max_bytes: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) deliver_subject: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) deliver_group: String,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) idle_heartbeat: u64,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) inactive_threshold: u64,
    pub(super) num_replicas: i64,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) mem_storage: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub(super) direct: bool,
    pub(super) metadata: BTreeMap<String, String>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_none_i64(value: &i64) -> bool {
    *value == 0
}

/// 30 s, in nanoseconds.
const ACK_WAIT: u64 = 30_000_000_000;
/// 5 s, in nanoseconds.
const INACTIVE: u64 = 5_000_000_000;
const MAX_ACK_PENDING: i64 = 1000;
const MAX_WAITING: i64 = 512;
/// Fields of the real server that would change what a consumer does, and which this engine has nothing for.
const UNSUPPORTED: &[&str] =
    &["rate_limit_bps", "pause_until", "priority_groups", "priority_policy", "priority_timeout"];

impl ConsumerConfig {
    /// Reads the `config` of a request; what it asks for and can't be had is refused.
    pub(super) fn read(value: &serde_json::Value) -> Result<Self, ApiError> {
        for field in UNSUPPORTED {
            let asked = value.get(field).is_some_and(|asked| !super::json::is_nothing(asked));
            if asked && value.get(field) != Some(&serde_json::json!("none")) {
                return Err(ApiError::consumer_config(format!("{field} is not supported by this engine")));
            }
        }
        let mut config: Self = serde_json::from_value(value.clone()).map_err(ApiError::invalid_json)?;
        config.opt_start_time = config.opt_start_time.filter(|time| time.0 > 0);
        if config.replay_policy == ReplayPolicy::Original {
            return Err(ApiError::consumer_config("replay policy original is not supported by this engine"));
        }
        Ok(config)
    }

    /// Whether messages come by themselves.
    pub(super) fn is_push(&self) -> bool {
        !self.deliver_subject.is_empty()
    }

    /// What it wants of the stream; empty is all.
    pub(super) fn filters(&self) -> Vec<Box<[u8]>> {
        let one = (!self.filter_subject.is_empty()).then_some(&self.filter_subject);
        one.into_iter()
            .chain(&self.filter_subjects)
            .filter(|filter| *filter != ">")
            .map(|filter| filter.as_bytes().into())
            .collect()
    }

    /// Fills in what was left out, and checks it against the stream.
    pub(super) fn settle(mut self, stream: &StreamConfig) -> Result<Self, ApiError> {
        if self.ack_policy != AckPolicy::None {
            if self.ack_wait == 0 {
                self.ack_wait = self.backoff.first().copied().unwrap_or(ACK_WAIT);
            }
            if self.max_ack_pending == 0 {
                let limit = stream.consumer_limits.max_ack_pending as i64;
                self.max_ack_pending = if limit > 0 { limit } else { MAX_ACK_PENDING };
            }
        }
        if self.max_deliver <= 0 {
            self.max_deliver = -1;
        }
        if !self.is_push() && self.max_waiting == 0 {
            self.max_waiting = MAX_WAITING;
        }
        if self.durable_name.is_empty() && self.inactive_threshold == 0 {
            let limit = stream.consumer_limits.inactive_threshold;
            self.inactive_threshold = if limit > 0 { limit } else { INACTIVE };
        }
        self.check(stream)?;
        self.metadata.insert("_nats.level".to_owned(), "1".to_owned());
        self.metadata.insert("_nats.req.level".to_owned(), "0".to_owned());
        self.metadata.insert("_nats.ver".to_owned(), crate::engine::jetstream::settings::FOLLOWS.to_owned());
        Ok(self)
    }

    fn check(&self, stream: &StreamConfig) -> Result<(), ApiError> {
        self.check_filters(stream)?;
        if self.is_push() {
            if has_wildcard(self.deliver_subject.as_bytes()) {
                return Err(ApiError::deliver_to_wildcards());
            }
            if !is_valid_pattern(self.deliver_subject.as_bytes()) {
                return Err(ApiError::consumer_config("invalid push consumer deliver subject"));
            }
            if stream.subjects.iter().any(|own| overlap(own.as_bytes(), self.deliver_subject.as_bytes())) {
                return Err(ApiError::deliver_cycle());
            }
            if self.max_waiting > 0 {
                return Err(ApiError::push_max_waiting());
            }
        } else if self.flow_control || self.idle_heartbeat > 0 {
            return Err(ApiError::consumer_config(
                "consumer in pull mode can not have flow control or idle heartbeats",
            ));
        }
        if self.max_deliver > 0 && self.backoff.len() as i64 > self.max_deliver {
            return Err(ApiError::consumer_config(
                "max deliver is required to be > length of backoff values",
            ));
        }
        let start = match self.deliver_policy {
            DeliverPolicy::ByStartSequence => self.opt_start_seq > 0 && self.opt_start_time.is_none(),
            DeliverPolicy::ByStartTime => self.opt_start_seq == 0 && self.opt_start_time.is_some(),
            _ => self.opt_start_seq == 0 && self.opt_start_time.is_none(),
        };
        if !start {
            return Err(ApiError::consumer_config(
                "consumer delivery policy does not fit the optional start",
            ));
        }
        let queue = stream.retention == Retention::WorkQueue;
        if queue && !self.is_push() && self.ack_policy == AckPolicy::None {
            return Err(ApiError::pull_requires_explicit());
        }
        Ok(())
    }

    fn check_filters(&self, stream: &StreamConfig) -> Result<(), ApiError> {
        if !self.filter_subject.is_empty() && !self.filter_subjects.is_empty() {
            return Err(ApiError::duplicate_filters());
        }
        for (index, filter) in self.filter_subjects.iter().enumerate() {
            if filter.is_empty() {
                return Err(ApiError::empty_filter());
            }
            if self.filter_subjects[..index].iter().any(|other| overlap(other.as_bytes(), filter.as_bytes()))
            {
                return Err(ApiError::overlapping_filters());
            }
        }
        for filter in self.filters() {
            if !is_valid_pattern(&filter)
                || !stream.subjects.iter().any(|own| overlap(own.as_bytes(), &filter))
            {
                return Err(ApiError::filter_not_subset());
            }
        }
        Ok(())
    }
}
