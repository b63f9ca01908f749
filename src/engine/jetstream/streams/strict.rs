//! With `strict`, what a request says and this engine does not know is refused instead of passed over.

use super::errors::ApiError;
use super::{Streams, json};
use serde_json::Value;

/// What may be said of a stream.
const STREAM: &[&str] = &[
    "name",
    "description",
    "subjects",
    "retention",
    "max_consumers",
    "max_msgs",
    "max_bytes",
    "max_age",
    "max_msgs_per_subject",
    "max_msg_size",
    "discard",
    "storage",
    "num_replicas",
    "no_ack",
    "template_owner",
    "duplicate_window",
    "placement",
    "mirror",
    "sources",
    "compression",
    "first_seq",
    "subject_transform",
    "republish",
    "allow_direct",
    "mirror_direct",
    "discard_new_per_subject",
    "sealed",
    "deny_delete",
    "deny_purge",
    "allow_rollup_hdrs",
    "consumer_limits",
    "allow_msg_ttl",
    "subject_delete_marker_ttl",
    "metadata",
    "pedantic",
];
/// What may stand around a consumer's configuration.
const REQUEST: &[&str] = &["stream_name", "config", "action", "pedantic"];
/// What may be said of a consumer.
const CONSUMER: &[&str] = &[
    "durable_name",
    "name",
    "description",
    "deliver_policy",
    "opt_start_seq",
    "opt_start_time",
    "ack_policy",
    "ack_wait",
    "max_deliver",
    "backoff",
    "filter_subject",
    "filter_subjects",
    "replay_policy",
    "rate_limit_bps",
    "sample_freq",
    "max_waiting",
    "max_ack_pending",
    "flow_control",
    "headers_only",
    "max_batch",
    "max_expires",
    "max_bytes",
    "deliver_subject",
    "deliver_group",
    "idle_heartbeat",
    "inactive_threshold",
    "num_replicas",
    "mem_storage",
    "direct",
    "metadata",
    "pause_until",
    "priority_groups",
    "priority_policy",
    "priority_timeout",
];

fn check(value: Option<&Value>, known: &[&str]) -> Result<(), ApiError> {
    let unknown = value.and_then(Value::as_object).and_then(|map| {
        // Case does not matter to the real server.
        map.keys().find(|name| !known.iter().any(|known| known.eq_ignore_ascii_case(name)))
    });
    match unknown {
        Some(name) => Err(ApiError::invalid_json(format!("json: unknown field {name:?}"))),
        None => Ok(()),
    }
}

impl Streams {
    /// Refuses what is not known of a stream, if that is asked for.
    pub(super) fn check_stream_fields(&self, payload: &[u8]) -> Result<(), ApiError> {
        if self.settings.strict { check(Some(&json::read(payload)?), STREAM) } else { Ok(()) }
    }

    /// Refuses what is not known of a consumer, if that is asked for.
    pub(super) fn check_consumer_fields(&self, request: &Value) -> Result<(), ApiError> {
        if !self.settings.strict {
            return Ok(());
        }
        check(Some(request), REQUEST)?;
        check(request.get("config"), CONSUMER)
    }
}

#[cfg(test)]
mod tests {
    use super::super::consumer_config::ConsumerConfig;
    use super::super::stream_config::StreamConfig;
    use super::*;

    #[test]
    fn what_the_engine_shows_it_knows() {
        let stream = serde_json::to_value(StreamConfig::default()).unwrap();
        let consumer = serde_json::to_value(ConsumerConfig::default()).unwrap();
        assert!(check(Some(&stream), STREAM).is_ok() && check(Some(&consumer), CONSUMER).is_ok());
        let unknown = check(Some(&serde_json::json!({ "name": "S", "nonsense": 1 })), STREAM).unwrap_err();
        assert_eq!(
            (unknown.err_code, &*unknown.description),
            (10025, "invalid JSON: json: unknown field \"nonsense\"")
        );
    }
}
