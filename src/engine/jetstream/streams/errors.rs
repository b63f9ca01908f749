//! What the API answers when it can't.

use super::times::duration_text;
use serde::Serialize;

/// An error of the API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct ApiError {
    pub(super) code: u16,
    pub(super) err_code: u16,
    pub(super) description: String,
}

impl ApiError {
    fn new(code: u16, err_code: u16, description: impl Into<String>) -> Self {
        Self { code, err_code, description: description.into() }
    }
}

macro_rules! errors {
    ($($name:ident = $code:literal, $err:literal, $text:literal;)*) => {
        impl ApiError {
            $(pub(super) fn $name() -> Self { Self::new($code, $err, $text) })*
        }
    };
}

errors! {
    account_resources = 400, 10002, "resource limits exceeded for account";
    maximum_streams = 400, 10027, "maximum number of streams reached";
    insufficient_memory = 500, 10028, "insufficient memory resources available";
    not_enabled = 503, 10039, "JetStream not enabled for account";
    bad_request = 400, 10003, "bad request";
    consumer_not_found = 404, 10014, "consumer not found";
    durable_name_mismatch = 400, 10017, "consumer name in subject does not match durable name in request";
    durable_name_not_set = 400, 10018, "consumer expected to be durable but a durable name was not set";
    insufficient_resources = 503, 10023, "insufficient resources";
    maximum_consumers = 400, 10026, "maximum consumers limit reached";
    no_message_found = 404, 10037, "no message found";
    message_not_deleted = 500, 10057, "no message found";
    payload_not_empty = 400, 10038, "expected an empty request payload";
    message_too_large = 400, 10054, "message size exceeds maximum allowed";
    stream_mismatch = 400, 10056, "stream name in subject does not match request";
    stream_name_exists = 400, 10058, "stream name already in use with a different configuration";
    no_space = 503, 10077, "no space left on the disk";
    insufficient_storage = 500, 10047, "insufficient storage resources available";
    stream_not_found = 404, 10059, "stream not found";
    expected_stream = 400, 10060, "expected stream does not match";
    subjects_overlap = 400, 10065, "subjects overlap with an existing stream";
    replicas = 500, 10074, "replicas > 1 not supported in non-clustered mode";
    consumer_config_required = 400, 10078, "consumer config required";
    deliver_to_wildcards = 400, 10079, "consumer deliver subject has wildcards";
    push_max_waiting = 400, 10080, "consumer in push mode can not set max waiting";
    deliver_cycle = 400, 10081, "consumer deliver subject forms a cycle";
    pull_requires_explicit = 400, 10084, "consumer in pull mode requires explicit ack policy on workqueue stream";
    filter_invalid = 500, 10052, "invalid subject";
    workqueue_requires_explicit = 400, 10098, "workqueue stream requires explicit ack";
    workqueue_not_filtered = 400, 10099, "multiple non-filtered consumers not allowed on workqueue stream";
    workqueue_not_unique = 400, 10100, "filtered consumer not unique on workqueue stream";
    workqueue_deliver_all = 400, 10101, "consumer must be deliver all on workqueue stream";
    max_pending_requires_acks = 400, 10082, "consumer requires ack policy for max ack pending";
    small_heartbeat = 400, 10083, "consumer idle heartbeat needs to be >= 100ms";
    pull_with_rate_limit = 400, 10086, "consumer in pull mode can not have rate limit set";
    heartbeat_requires_push = 400, 10088, "consumer idle heartbeat requires a push based consumer";
    flow_control_requires_push = 400, 10089, "consumer flow control requires a push based consumer";
    flow_control_needs_heartbeats = 400, 10108, "consumer with flow control also needs heartbeats";
    invalid_deliver_subject = 400, 10112, "invalid push consumer deliver subject";
    backoff_too_long = 400, 10116, "max deliver is required to be > length of backoff values";
    consumer_name_in_use = 400, 10013, "consumer name already in use";
    policy_without_group = 400, 10159, "Setting PriorityPolicy requires at least one PriorityGroup to be set";
    no_such_group = 400, 10160, "Provided priority group does not exist for this consumer";
    group_without_name = 400, 10161, "Group name cannot be an empty string";
    group_name_not_allowed = 400, 10162, "Valid priority group name must match A-Z, a-z, 0-9, -_/=)+ and may not exceed 16 characters";
    push_with_groups = 400, 10178, "priority groups can not be used with push consumers";
    sealed = 400, 10109, "invalid operation on sealed stream";
    rollup_not_permitted = 500, 10111, "rollup not permitted";
    duplicate_filters = 400, 10136, "consumer cannot have both FilterSubject and FilterSubjects specified";
    overlapping_filters = 400, 10138, "consumer subject filters cannot overlap";
    empty_filter = 400, 10139, "consumer filter in FilterSubjects cannot be empty";
    max_bytes_required = 400, 10113, "account requires a stream config to have max bytes set";
    max_stream_bytes = 400, 10122, "stream max bytes exceeds account limit max stream bytes";
    consumer_exists = 400, 10148, "consumer already exists";
    lifetime_invalid = 400, 10165, "invalid per-message TTL";
    lifetimes_disabled = 400, 10166, "per-message TTL is disabled";
    consumer_does_not_exist = 400, 10149, "consumer does not exist";
    mirror_message_size = 400, 10030, "stream mirror must have max message size >= source";
    mirror_with_sources = 400, 10031, "stream mirrors can not also contain other sources";
    mirror_with_subjects = 400, 10034, "stream mirrors can not contain subjects";
    source_message_size = 400, 10046, "stream source must have max message size >= target";
    mirror_fixed = 400, 10055, "stream mirror configuration can not be updated";
    headers_too_large = 400, 10097, "header size exceeds maximum allowed of 64k";
    source_twice = 400, 10140, "duplicate source configuration detected";
    source_name = 400, 10141, "sourced stream name is invalid";
    mirror_name = 400, 10142, "mirrored stream name is invalid";
    mirror_first_seq = 400, 10143, "stream mirrors can not have first sequence configured";
    source_filters = 400, 10144, "source with multiple subject transforms cannot also have a single subject filter";
    source_overlap = 400, 10147, "source filters can not overlap";
    mirror_filters = 400, 10150, "mirror with multiple subject transforms cannot also have a single subject filter";
    mirror_overlap = 400, 10152, "mirror subject filters can not overlap";
}

impl ApiError {
    pub(super) fn invalid_json(why: impl std::fmt::Display) -> Self {
        Self::new(400, 10025, format!("invalid JSON: {why}"))
    }

    pub(super) fn stream_config(why: impl Into<String>) -> Self {
        Self::new(500, 10052, why)
    }

    pub(super) fn limits_violated(consumers: &[&str]) -> Self {
        Self::new(500, 10069, format!("change to limits violates consumers: {}", consumers.join(", ")))
    }

    pub(super) fn consumer_config(why: impl Into<String>) -> Self {
        Self::new(500, 10012, why)
    }

    pub(super) fn max_ack_pending_excess(most: u64) -> Self {
        Self::new(400, 10121, format!("consumer max ack pending exceeds system limit of {most}"))
    }

    pub(super) fn max_batch_excess(most: u64) -> Self {
        Self::new(400, 10125, format!("consumer max request batch exceeds server limit of {most}"))
    }

    pub(super) fn inactive_threshold_excess(most: u64) -> Self {
        let why = format!("consumer inactive threshold exceeds system limit of {}", duration_text(most));
        Self::new(400, 10153, why)
    }

    pub(super) fn invalid_sampling(given: &str) -> Self {
        let why = format!("failed to parse consumer sampling configuration: {given:?} is no percentage");
        Self::new(400, 10095, why)
    }

    pub(super) fn start_missing(policy: &str, what: &str) -> Self {
        let why = format!("consumer delivery policy is deliver {policy}, but optional {what} is not set");
        Self::new(400, 10094, why)
    }

    pub(super) fn start_in_the_way(policy: &str, what: &str) -> Self {
        let why =
            format!("consumer delivery policy is deliver {policy}, but optional start {what} is also set");
        Self::new(400, 10094, why)
    }

    pub(super) fn wrong_last_id(last: &str) -> Self {
        Self::new(400, 10070, format!("wrong last msg ID: {last}"))
    }

    pub(super) fn wrong_last_sequence(last: u64) -> Self {
        Self::new(400, 10071, format!("wrong last sequence: {last}"))
    }

    pub(super) fn rollup_invalid(value: &str) -> Self {
        Self::new(500, 10111, format!("rollup value invalid: {value:?}"))
    }

    pub(super) fn store_failed(why: &str) -> Self {
        Self::new(503, 10077, why)
    }

    pub(super) fn purge_failed(why: &str) -> Self {
        Self::new(500, 10110, why)
    }

    pub(super) fn sequence_not_found(sequence: u64) -> Self {
        Self::new(400, 10043, format!("sequence {sequence} not found"))
    }

    /// What is wrong with the source of a map, or its destination, by the code of where it stands.
    pub(super) fn map(err_code: u16, what: &str, why: &str) -> Self {
        Self::new(400, err_code, format!("{what}: {why}"))
    }

    pub(super) fn delete_failed(why: &str) -> Self {
        Self::new(500, 10057, why)
    }
}
