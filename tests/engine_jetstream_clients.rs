//! The JetStream-style engine, used through async-nats as applications use a nats-server.

#![expect(clippy::unwrap_used, reason = "a test that can't go on panics")]

#[path = "shared/jetstream_engine.rs"]
mod jetstream_engine;

use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy, pull, push};
use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy, StorageType};
use async_nats::jetstream::{self, AckKind, Context};
use busmark::engine::jetstream::{JetStreamSettings, Settings};
use bytes::Bytes;
use futures_util::StreamExt;
use std::future::Future;
use std::path::Path;
use std::time::Duration;

use crate::jetstream_engine::Server;

/// A server with its streams in a directory.
fn serve(dir: &Path) -> Server {
    let streams = JetStreamSettings { store_dir: dir.to_owned(), ..JetStreamSettings::default() };
    Server::start(Settings { jetstream: Some(streams), ..Settings::default() })
}

impl Server {
    async fn client(&self) -> Context {
        jetstream::new(async_nats::connect(self.address.to_string()).await.unwrap())
    }
}

/// Runs a test against a fresh server, for streams in files and in memory.
fn with_server<F: Future<Output = ()>>(test: impl Fn(Context, StorageType) -> F) {
    for storage in [StorageType::File, StorageType::Memory] {
        let dir = tempfile::tempdir().unwrap();
        let server = serve(dir.path());
        block_on(async { test(server.client().await, storage).await });
    }
}

fn block_on(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(30), future).await.expect("in time") });
}

fn config(storage: StorageType) -> Config {
    Config { name: "S".to_owned(), subjects: vec!["s.>".to_owned()], storage, ..Config::default() }
}

async fn fill(context: &Context, count: usize) {
    for number in 0..count {
        let subject = format!("s.{}", number % 3);
        context.publish(subject, Bytes::from(number.to_string())).await.unwrap().await.unwrap();
    }
}

fn text(message: &jetstream::Message) -> String {
    String::from_utf8(message.payload.to_vec()).unwrap()
}

#[test]
fn a_pull_consumer_gets_all_in_order_with_exact_pending_counts() {
    with_server(|context, storage| async move {
        let stream = context.create_stream(config(storage)).await.unwrap();
        fill(&context, 250).await;
        let all = pull::Config { durable_name: Some("C".into()), ..pull::Config::default() };
        let consumer = stream.create_consumer(all).await.unwrap();
        let mut messages = consumer.messages().await.unwrap();
        for number in 0..250u64 {
            let message = messages.next().await.unwrap().unwrap();
            let info = message.info().unwrap();
            assert_eq!(
                (text(&message), info.stream_sequence, info.pending),
                (number.to_string(), number + 1, 249 - number)
            );
            message.double_ack().await.unwrap();
        }
        let one = pull::Config {
            durable_name: Some("F".into()),
            filter_subject: "s.1".into(),
            ..pull::Config::default()
        };
        let mut filtered = stream.create_consumer(one).await.unwrap();
        assert_eq!(filtered.info().await.unwrap().num_pending, 83);
        let mut batch = filtered.fetch().max_messages(100).messages().await.unwrap();
        let mut count = 0;
        while let Some(message) = batch.next().await {
            assert_eq!(text(&message.unwrap()), (1 + 3 * count).to_string());
            count += 1;
        }
        assert_eq!(count, 83);
        let info = filtered.info().await.unwrap();
        assert_eq!((info.num_pending, info.num_ack_pending), (0, 83));
    });
}

#[test]
fn push_and_ordered_consumers_deliver_by_themselves() {
    with_server(|context, storage| async move {
        let stream = context.create_stream(config(storage)).await.unwrap();
        fill(&context, 300).await;
        let own = push::Config {
            deliver_subject: "to.me".into(),
            durable_name: Some("P".into()),
            flow_control: true,
            idle_heartbeat: Duration::from_secs(1),
            ..push::Config::default()
        };
        let mut messages = stream.create_consumer(own).await.unwrap().messages().await.unwrap();
        let ordered = push::OrderedConfig {
            deliver_subject: context.client().new_inbox(),
            ..push::OrderedConfig::default()
        };
        let mut in_order = stream.create_consumer(ordered).await.unwrap().messages().await.unwrap();
        for number in 0..300 {
            let message = messages.next().await.unwrap().unwrap();
            assert_eq!(text(&message), number.to_string());
            message.ack().await.unwrap();
            assert_eq!(text(&in_order.next().await.unwrap().unwrap()), number.to_string());
        }
        fill(&context, 1).await;
        assert_eq!(text(&messages.next().await.unwrap().unwrap()), "0");
        assert_eq!(text(&in_order.next().await.unwrap().unwrap()), "0");
    });
}

#[test]
fn what_is_not_acknowledged_comes_again_and_not_more_often_than_allowed() {
    with_server(|context, storage| async move {
        let stream = context.create_stream(config(storage)).await.unwrap();
        fill(&context, 3).await;
        let config = pull::Config {
            durable_name: Some("C".into()),
            ack_wait: Duration::from_millis(300),
            max_deliver: 3,
            ..pull::Config::default()
        };
        let mut consumer = stream.create_consumer(config).await.unwrap();
        let mut messages = consumer.messages().await.unwrap();
        let mut seen: Vec<(String, i64)> = Vec::new();
        for _ in 0..3 {
            let message = messages.next().await.unwrap().unwrap();
            seen.push((text(&message), message.info().unwrap().delivered));
            match seen.len() {
                1 => message.ack_with(AckKind::Nak(Some(Duration::from_millis(50)))).await.unwrap(),
                2 => message.ack_with(AckKind::Term).await.unwrap(),
                _ => {}
            }
        }
        for _ in 0..4 {
            let message = messages.next().await.unwrap().unwrap();
            seen.push((text(&message), message.info().unwrap().delivered));
        }
        let expected = [("0", 1), ("1", 1), ("2", 1), ("0", 2), ("2", 2), ("0", 3), ("2", 3)];
        let mut expected: Vec<(String, i64)> =
            expected.map(|(text, times)| (text.to_owned(), times)).to_vec();
        seen.sort();
        expected.sort();
        assert_eq!(seen, expected);
        let more = tokio::time::timeout(Duration::from_millis(700), messages.next()).await;
        assert!(more.is_err(), "three deliveries are all that is allowed");
        let info = consumer.info().await.unwrap();
        assert_eq!((info.num_ack_pending, info.ack_floor.stream_sequence), (0, 3));
    });
}

#[test]
fn limits_and_retention_let_the_right_messages_go() {
    with_server(|context, storage| async move {
        let limited = Config { max_messages: 5, max_messages_per_subject: 2, ..config(storage) };
        let mut stream = context.create_stream(limited.clone()).await.unwrap();
        fill(&context, 20).await;
        let state = stream.info().await.unwrap().state.clone();
        assert_eq!((state.messages, state.first_sequence, state.last_sequence), (5, 16, 20));
        let refusing =
            Config { max_messages: 5, max_messages_per_subject: -1, discard: DiscardPolicy::New, ..limited };
        context.update_stream(refusing).await.unwrap();
        let refused = context.publish("s.9", "x".into()).await.unwrap().await.unwrap_err();
        assert!(refused.to_string().contains("maximum messages exceeded"), "{refused}");
        context.delete_stream("S").await.unwrap();

        let queue = Config { retention: RetentionPolicy::WorkQueue, ..config(storage) };
        let mut stream = context.create_stream(queue).await.unwrap();
        fill(&context, 10).await;
        let consumer = stream
            .create_consumer(pull::Config { durable_name: Some("W".into()), ..pull::Config::default() })
            .await
            .unwrap();
        assert!(
            stream
                .create_consumer(pull::Config { durable_name: Some("V".into()), ..pull::Config::default() })
                .await
                .is_err()
        );
        let mut messages = consumer.messages().await.unwrap();
        for _ in 0..4 {
            messages.next().await.unwrap().unwrap().double_ack().await.unwrap();
        }
        assert_eq!(stream.info().await.unwrap().state.messages, 6);
        context.delete_stream("S").await.unwrap();

        let interest = Config { retention: RetentionPolicy::Interest, ..config(storage) };
        let mut stream = context.create_stream(interest).await.unwrap();
        fill(&context, 5).await;
        assert_eq!(stream.info().await.unwrap().state.messages, 0, "nobody is interested yet");
        let [one, two] = ["A", "B"]
            .map(|name| pull::Config { durable_name: Some(name.into()), ..pull::Config::default() });
        let (one, two) =
            (stream.create_consumer(one).await.unwrap(), stream.create_consumer(two).await.unwrap());
        fill(&context, 3).await;
        for (consumer, left) in [(one, 3), (two, 0)] {
            let mut messages = consumer.messages().await.unwrap();
            for _ in 0..3 {
                messages.next().await.unwrap().unwrap().double_ack().await.unwrap();
            }
            assert_eq!(stream.info().await.unwrap().state.messages, left);
        }
    });
}

#[test]
fn every_deliver_policy_begins_where_it_says() {
    with_server(|context, storage| async move {
        let stream = context.create_stream(config(storage)).await.unwrap();
        fill(&context, 10).await;
        for (policy, expected) in [
            (DeliverPolicy::All, vec!["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"]),
            (DeliverPolicy::Last, vec!["9"]),
            (DeliverPolicy::New, vec![]),
            (DeliverPolicy::LastPerSubject, vec!["7", "8", "9"]),
            (DeliverPolicy::ByStartSequence { start_sequence: 8 }, vec!["7", "8", "9"]),
        ] {
            let filter = if policy == DeliverPolicy::LastPerSubject { "s.*" } else { "" };
            let config = pull::Config {
                deliver_policy: policy,
                ack_policy: AckPolicy::None,
                filter_subject: filter.into(),
                ..pull::Config::default()
            };
            let consumer = stream.create_consumer(config).await.unwrap();
            let mut batch = consumer.fetch().max_messages(100).messages().await.unwrap();
            let mut found = Vec::new();
            while let Some(message) = batch.next().await {
                found.push(text(&message.unwrap()));
            }
            assert_eq!(found, expected, "{policy:?}");
        }
    });
}

#[test]
fn ids_are_remembered_and_expectations_are_held() {
    with_server(|context, storage| async move {
        let stream = context.create_stream(config(storage)).await.unwrap();
        for (id, sequence, duplicate) in [("a", 1, false), ("b", 2, false), ("a", 1, true)] {
            let publish = jetstream::message::PublishMessage::build().payload("x".into()).message_id(id);
            let ack = context.send_publish("s.1", publish).await.unwrap().await.unwrap();
            assert_eq!((ack.sequence, ack.duplicate), (sequence, duplicate));
        }
        assert_eq!(stream.get_raw_message(2).await.unwrap().subject.as_str(), "s.1");
        let expect = |last: u64| {
            jetstream::message::PublishMessage::build()
                .payload("x".into())
                .expected_last_subject_sequence(last)
        };
        assert!(context.send_publish("s.1", expect(1)).await.unwrap().await.is_err(), "2 is the last one");
        assert_eq!(context.send_publish("s.1", expect(2)).await.unwrap().await.unwrap().sequence, 3);
        assert_eq!(context.send_publish("s.new", expect(0)).await.unwrap().await.unwrap().sequence, 4);
    });
}

#[test]
fn a_message_with_a_lifetime_of_its_own_goes_when_it_is_over() {
    with_server(|context, storage| async move {
        let mortal = Config { allow_message_ttl: true, ..config(storage) };
        let mut stream = context.create_stream(mortal).await.unwrap();
        fill(&context, 1).await;
        let publish =
            jetstream::message::PublishMessage::build().payload("x".into()).header("Nats-TTL", "1s");
        context.send_publish("s.1", publish).await.unwrap().await.unwrap();
        assert_eq!(stream.info().await.unwrap().state.messages, 2);
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        while stream.info().await.unwrap().state.messages == 2 {
            ticks.tick().await;
        }
        assert_eq!(stream.info().await.unwrap().state.first_sequence, 1);
        let too_short =
            jetstream::message::PublishMessage::build().payload("x".into()).header("Nats-TTL", "5ms");
        assert!(context.send_publish("s.1", too_short).await.unwrap().await.is_err());
    });
}

#[test]
fn streams_and_consumers_are_there_again_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(dir.path());
    block_on(async {
        let context = server.client().await;
        let stream = context.create_stream(config(StorageType::File)).await.unwrap();
        fill(&context, 100).await;
        let consumer = stream
            .create_consumer(pull::Config { durable_name: Some("C".into()), ..pull::Config::default() })
            .await
            .unwrap();
        let mut messages = consumer.messages().await.unwrap();
        for _ in 0..40 {
            messages.next().await.unwrap().unwrap().double_ack().await.unwrap();
        }
        stream.delete_message(60).await.unwrap();
    });
    drop(server);
    let server = serve(dir.path());
    block_on(async {
        let context = server.client().await;
        let mut stream = context.get_stream("S").await.unwrap();
        let state = stream.info().await.unwrap().state.clone();
        assert_eq!((state.messages, state.last_sequence, state.deleted_count), (99, 100, Some(1)));
        let mut consumer: jetstream::consumer::Consumer<pull::Config> =
            stream.get_consumer("C").await.unwrap();
        let info = consumer.info().await.unwrap().clone();
        assert_eq!(info.ack_floor.stream_sequence, 40);
        let fresh = context.publish("s.new", "new".into()).await.unwrap().await.unwrap();
        assert_eq!(fresh.sequence, 101);
    });
}
