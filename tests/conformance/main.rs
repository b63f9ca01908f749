//! What every driver promises, put to the test on its real broker. One test per driver and case, named
//! `driver::case`; to add a driver, add a line to the list below and a contestant.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

mod contestants;
mod delivery;
mod failure;
mod flow;
mod stage;
mod traffic;

/// The suite for each contestant.
macro_rules! every_driver {
    ($($contestant:ident),+ $(,)?) => {
        $(mod $contestant {
            every_case! { $contestant:
                every_message_arrives_once_and_in_the_order_of_its_lane => delivery::Order,
                a_connection_tells_its_subscriptions_and_topics_apart => delivery::SeveralTopics,
                a_pattern_stands_for_all_topics_or_for_each_or_is_refused => delivery::Patterns,
                ten_thousand_topics_fit_on_one_connection => delivery::ManyTopics,
                twenty_connections_a_side_work_beside_each_other => delivery::ManyConnections,
                two_subscribers_of_a_topic_share_a_connection_or_are_told_what_to_set => delivery::Shared,
                a_work_queue_hands_out_each_message_once_or_is_refused => delivery::WorkQueue,
                audiences_each_get_everything_in_their_own_way_or_are_refused => delivery::Audiences,
                large_payloads_arrive_as_they_were => delivery::Large,
                payloads_without_a_byte_arrive => delivery::Empty,
                a_late_subscriber_gets_what_the_guarantees_say => delivery::Late,
                prepare_leaves_nothing_of_an_earlier_trial => delivery::Fresh,
                every_message_is_answered_once_and_none_beyond_them => flow::Answers,
                a_full_output_buffer_says_so_and_goes_on_after_a_flush => flow::Full,
                a_subscriber_that_pauses_blocks_nobody_for_ever => flow::Pause,
                futures_dropped_at_every_turn_lose_nothing => flow::Cancelled,
                a_broker_that_stands_still_while_futures_are_dropped_gets_every_byte_once => flow::Frozen,
                a_closed_loop_hears_every_answer_of_a_broker_that_stood_still => flow::FrozenClosedLoop,
                a_refused_message_is_rejected_at_its_own_index => failure::Refused,
                a_broker_that_dies_is_noticed_on_both_sides => failure::Killed,
                a_broker_that_was_never_there_is_no_reason_to_wait => failure::Absent,
            }
        })+
    };
}

macro_rules! every_case {
    ($contestant:ident: $($name:ident => $module:ident::$case:ident),+ $(,)?) => {
        $(#[test]
        fn $name() {
            crate::stage::perform(crate::contestants::$contestant(), crate::$module::$case);
        })+
    };
}

every_driver! {
    loopback,
    redis_pubsub_wire,
    redis_pubsub_library,
    redis_pubsub_wire_resp3,
    redis_pubsub_library_resp3,
    valkey_pubsub_wire_mixed,
    redis_pubsub_wire_unix,
    redis_pubsub_library_unix,
    redis_pubsub_wire_tls,
    redis_pubsub_library_tls,
    valkey_pubsub_wire,
    valkey_pubsub_library,
    redis_cluster_classic,
    redis_cluster_sharded,
    valkey_cluster_sharded,
    redis_streams_group,
    redis_streams_read,
    valkey_streams_group,
    nats_core_wire,
    nats_core_library,
    jetstream_pull_wire,
    jetstream_pull_library,
    jetstream_push_wire,
    jetstream_push_library,
    jetstream_ordered_wire,
}

// Built where the driver is.
#[cfg(feature = "kafka")]
every_driver! {
    kafka_group,
    kafka_assign,
}
