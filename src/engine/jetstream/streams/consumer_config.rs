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

/// Which of the requests for messages are served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum PriorityPolicy {
    /// Each in its turn.
    #[default]
    None,
    /// Those that ask for more to be pending than there is wait.
    Overflow,
    /// Those of one client alone.
    PinnedClient,
}

impl PriorityPolicy {
    pub(super) fn is_none(&self) -> bool {
        *self == Self::None
    }
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
    /// Bits.
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) rate_limit_bps: u64,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub(super) sample_freq: String,
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
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) pause_until: Option<Time>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) priority_groups: Vec<String>,
    #[serde(skip_serializing_if = "PriorityPolicy::is_none")]
    pub(super) priority_policy: PriorityPolicy,
    #[serde(skip_serializing_if = "is_zero")]
    pub(super) priority_timeout: u64,
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
/// How long a client stays pinned without a request: 2 min, in nanoseconds.
const PINNED: u64 = 120_000_000_000;
/// The shortest idle heartbeat, in nanoseconds.
const MIN_HEARTBEAT: u64 = 100_000_000;

/// What server and account allow each consumer; `None` is no limit.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ConsumerMost {
    /// Messages without an acknowledgement.
    pub(super) pending: Option<u64>,
    /// Messages of one request.
    pub(super) batch: Option<u64>,
}

impl ConsumerConfig {
    /// Reads the `config` of a request; what it asks for and can't be had is refused.
    pub(super) fn read(value: &serde_json::Value) -> Result<Self, ApiError> {
        let mut config: Self = serde_json::from_value(value.clone()).map_err(ApiError::invalid_json)?;
        config.opt_start_time = config.opt_start_time.filter(|time| time.0 > 0);
        config.pause_until = config.pause_until.filter(|time| time.0 > 0);
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
    pub(super) fn settle(mut self, stream: &StreamConfig, most: ConsumerMost) -> Result<Self, ApiError> {
        if self.ack_policy != AckPolicy::None {
            if self.ack_wait == 0 {
                self.ack_wait = ACK_WAIT;
            }
            if self.max_ack_pending == 0 {
                let limit = stream.consumer_limits.max_ack_pending as i64;
                let most = most.pending.map_or(MAX_ACK_PENDING, |most| MAX_ACK_PENDING.min(most as i64));
                self.max_ack_pending = if limit > 0 { limit } else { most };
            }
        }
        self.ack_wait = self.backoff.first().copied().unwrap_or(self.ack_wait);
        if self.max_deliver <= 0 {
            self.max_deliver = -1;
        }
        if self.priority_policy == PriorityPolicy::PinnedClient && self.priority_timeout == 0 {
            self.priority_timeout = PINNED;
        }
        if !self.is_push() && self.max_waiting == 0 {
            self.max_waiting = MAX_WAITING;
        }
        if self.durable_name.is_empty() && self.inactive_threshold == 0 {
            let limit = stream.consumer_limits.inactive_threshold;
            self.inactive_threshold = if limit > 0 { limit } else { INACTIVE };
        }
        if !self.is_push() && self.max_batch == 0 {
            self.max_batch = most.batch.unwrap_or(0);
        }
        self.check_limits(stream, most)?;
        self.check(stream)?;
        self.note_level();
        Ok(self)
    }

    /// Says in the metadata which level of the API it takes.
    pub(super) fn note_level(&mut self) {
        let grouped = !self.priority_policy.is_none() || !self.priority_groups.is_empty();
        let level =
            if self.pause_until.is_some() || grouped || self.priority_timeout > 0 { "1" } else { "0" };
        self.metadata.insert("_nats.level".to_owned(), "1".to_owned());
        self.metadata.insert("_nats.req.level".to_owned(), level.to_owned());
        self.metadata.insert("_nats.ver".to_owned(), crate::engine::jetstream::settings::FOLLOWS.to_owned());
    }

    /// Of a hundred acknowledgements, how many are told of.
    pub(super) fn samples(&self) -> u64 {
        self.sample_freq.trim_end_matches('%').parse().unwrap_or(0)
    }

    fn check(&self, stream: &StreamConfig) -> Result<(), ApiError> {
        if self.max_deliver > 0 && self.backoff.len() as i64 > self.max_deliver {
            return Err(ApiError::backoff_too_long());
        }
        if self.is_push() { self.check_push(stream) } else { self.check_pull(stream) }?;
        self.check_filters()?;
        self.check_start()?;
        let sampling = self.sample_freq.strip_suffix('%').unwrap_or(&self.sample_freq);
        if !sampling.is_empty() && sampling.parse::<u32>().is_err() {
            return Err(ApiError::invalid_sampling(sampling));
        }
        if self.flow_control && self.idle_heartbeat == 0 {
            return Err(ApiError::flow_control_needs_heartbeats());
        }
        self.check_groups()
    }

    /// Whether it is within what account and stream allow each consumer.
    fn check_limits(&self, stream: &StreamConfig, most: ConsumerMost) -> Result<(), ApiError> {
        let limits = &stream.consumer_limits;
        if let Some(most) = most.batch.filter(|most| !self.is_push() && self.max_batch > *most) {
            return Err(ApiError::max_batch_excess(most));
        }
        for most in most.pending.into_iter().chain([limits.max_ack_pending]).filter(|most| *most > 0) {
            if self.max_ack_pending > 0 && self.max_ack_pending as u64 > most {
                return Err(ApiError::max_ack_pending_excess(most));
            }
        }
        let most = limits.inactive_threshold;
        if most > 0 && self.inactive_threshold > most {
            return Err(ApiError::inactive_threshold_excess(most));
        }
        Ok(())
    }

    fn check_push(&self, stream: &StreamConfig) -> Result<(), ApiError> {
        if has_wildcard(self.deliver_subject.as_bytes()) {
            return Err(ApiError::deliver_to_wildcards());
        }
        if !is_valid_pattern(self.deliver_subject.as_bytes()) {
            return Err(ApiError::invalid_deliver_subject());
        }
        if stream.subjects.iter().any(|own| overlap(own.as_bytes(), self.deliver_subject.as_bytes())) {
            return Err(ApiError::deliver_cycle());
        }
        if self.max_waiting > 0 {
            return Err(ApiError::push_max_waiting());
        }
        if self.max_ack_pending > 0 && self.ack_policy == AckPolicy::None {
            return Err(ApiError::max_pending_requires_acks());
        }
        if (1..MIN_HEARTBEAT).contains(&self.idle_heartbeat) {
            return Err(ApiError::small_heartbeat());
        }
        Ok(())
    }

    fn check_pull(&self, stream: &StreamConfig) -> Result<(), ApiError> {
        if stream.retention == Retention::WorkQueue && self.ack_policy == AckPolicy::None {
            return Err(ApiError::pull_requires_explicit());
        }
        if self.rate_limit_bps > 0 {
            return Err(ApiError::pull_with_rate_limit());
        }
        if self.idle_heartbeat > 0 {
            return Err(ApiError::heartbeat_requires_push());
        }
        if self.flow_control {
            return Err(ApiError::flow_control_requires_push());
        }
        Ok(())
    }

    fn check_start(&self) -> Result<(), ApiError> {
        let policy = match self.deliver_policy {
            DeliverPolicy::All => "all",
            DeliverPolicy::Last => "last",
            DeliverPolicy::New => "new",
            DeliverPolicy::ByStartSequence => "by start sequence",
            DeliverPolicy::ByStartTime => "by start time",
            DeliverPolicy::LastPerSubject => "last per subject",
        };
        let (by_sequence, by_time) =
            (policy == "by start sequence", self.deliver_policy == DeliverPolicy::ByStartTime);
        let missing = if by_sequence && self.opt_start_seq == 0 {
            Some("start sequence")
        } else if by_time && self.opt_start_time.is_none() {
            Some("start time")
        } else {
            None
        };
        if let Some(missing) = missing {
            return Err(ApiError::start_missing(policy, missing));
        }
        if self.opt_start_seq > 0 && !by_sequence {
            return Err(ApiError::start_in_the_way(
                policy,
                if by_time { "start sequence" } else { "sequence" },
            ));
        }
        if self.opt_start_time.is_some() && !by_time {
            return Err(ApiError::start_in_the_way(policy, "time"));
        }
        let filtered = !self.filter_subject.is_empty() || !self.filter_subjects.is_empty();
        if self.deliver_policy == DeliverPolicy::LastPerSubject && !filtered {
            return Err(ApiError::start_missing(policy, "filter subject"));
        }
        Ok(())
    }

    fn check_groups(&self) -> Result<(), ApiError> {
        if self.priority_policy.is_none() {
            return Ok(());
        }
        if self.is_push() {
            return Err(ApiError::push_with_groups());
        }
        if self.priority_groups.is_empty() {
            return Err(ApiError::policy_without_group());
        }
        for group in &self.priority_groups {
            let fits = |c: char| c.is_ascii_alphanumeric() || "-_/=)+".contains(c);
            if group.is_empty() {
                return Err(ApiError::group_without_name());
            }
            if group.len() > 16 || !group.chars().all(fits) {
                return Err(ApiError::group_name_not_allowed());
            }
        }
        Ok(())
    }

    fn check_filters(&self) -> Result<(), ApiError> {
        if !self.filter_subject.is_empty() && !self.filter_subjects.is_empty() {
            return Err(ApiError::duplicate_filters());
        }
        if self.filter_subjects.iter().any(String::is_empty) {
            return Err(ApiError::empty_filter());
        }
        if self.filters().iter().any(|filter| !is_valid_pattern(filter)) {
            return Err(ApiError::filter_invalid());
        }
        for (index, filter) in self.filter_subjects.iter().enumerate() {
            let collides = |other: &String| overlap(other.as_bytes(), filter.as_bytes());
            if self.filter_subjects[..index].iter().any(collides) {
                return Err(ApiError::overlapping_filters());
            }
        }
        Ok(())
    }
}
