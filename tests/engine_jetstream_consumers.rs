//! Consumers of the JetStream-style engine that pause, take turns, keep a pace, and tell of what happens; what accounts
//! may have; and a server that lets nobody in any more. Requests are those of the wire, since clients differ in which of
//! them they know.

#![expect(clippy::unwrap_used, reason = "a test that can't go on panics")]

#[path = "shared/jetstream_engine.rs"]
mod jetstream_engine;
#[path = "engine_jetstream_consumers/process.rs"]
mod process;

use async_nats::{Client, Message, Subscriber};
use busmark::clock::Clock;
use busmark::engine::jetstream::{Account, AccountLimits, JetStreamSettings, Settings};
use futures_util::StreamExt;
use serde_json::{Value, json};
use std::future::Future;
use std::path::Path;
use std::time::Duration;

use crate::jetstream_engine::Server;

/// A moment from which time is taken.
struct Since(Clock, u64);

impl Since {
    fn now() -> Self {
        let clock = Clock::real();
        let begin = clock.now();
        Self(clock, begin)
    }

    fn elapsed(&self) -> Duration {
        Duration::from_nanos(self.0.now() - self.1)
    }
}

const SECOND: u64 = 1_000_000_000;

fn serve(dir: &Path, accounts: Vec<Account>) -> Server {
    let streams = JetStreamSettings { store_dir: dir.to_owned(), ..JetStreamSettings::default() };
    Server::start(Settings { jetstream: Some(streams), accounts, ..Settings::default() })
}

fn block_on(future: impl Future<Output = ()>) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(Duration::from_secs(30), future).await.expect("in time") });
}

/// Runs a test against a fresh server with a stream `S` of `s.>`.
fn with_stream<F: Future<Output = ()>>(test: impl FnOnce(Client) -> F) {
    let dir = tempfile::tempdir().unwrap();
    let server = serve(dir.path(), vec![Account::global()]);
    block_on(async {
        let client = async_nats::connect(server.address.to_string()).await.unwrap();
        let config = json!({ "name": "S", "subjects": ["s.>"], "storage": "memory", "max_msg_size": 1000 });
        let made = api(&client, "STREAM.CREATE.S", &config).await;
        assert_eq!(made["did_create"], true, "{made}");
        test(client).await;
    });
}

async fn api(client: &Client, subject: &str, body: &Value) -> Value {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let answer = client.request(format!("$JS.API.{subject}"), body.into()).await.unwrap();
    serde_json::from_slice(&answer.payload).unwrap()
}

/// Makes a durable consumer with explicit acknowledgements and whatever else is said.
async fn consumer(client: &Client, name: &str, more: Value) -> Value {
    let mut config = json!({ "durable_name": name, "name": name, "ack_policy": "explicit" });
    config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let request = json!({ "stream_name": "S", "config": config });
    api(client, &format!("CONSUMER.CREATE.S.{name}"), &request).await
}

async fn store(client: &Client, count: usize) {
    for number in 0..count {
        client.request("s.a", number.to_string().into()).await.unwrap();
    }
}

/// Asks for messages; what comes, comes to the subscription.
async fn pull(client: &Client, name: &str, wish: Value) -> Subscriber {
    let inbox = client.new_inbox();
    let answers = client.subscribe(inbox.clone()).await.unwrap();
    let subject = format!("$JS.API.CONSUMER.MSG.NEXT.S.{name}");
    client.publish_with_reply(subject, inbox, wish.to_string().into()).await.unwrap();
    answers
}

async fn next(from: &mut Subscriber) -> Message {
    from.next().await.unwrap()
}

fn text(message: &Message) -> &str {
    std::str::from_utf8(&message.payload).unwrap()
}

fn status(message: &Message) -> (Option<u16>, String) {
    (message.status.map(|status| status.as_u16()), message.description.clone().unwrap_or_default())
}

/// A time from now as the API takes it.
fn from_now(after: Duration) -> String {
    let at = busmark::clock::unix_nanos() + after.as_nanos() as u64;
    let fraction = format!(".{:09}Z", at % SECOND);
    busmark::clock::rfc3339(at).replace('Z', &fraction)
}

#[test]
fn a_consumer_that_pauses_delivers_nothing_but_heartbeats_until_its_time() {
    with_stream(async |client| {
        store(&client, 2).await;
        let mut told = client.subscribe("$JS.EVENT.ADVISORY.CONSUMER.PAUSE.S.*").await.unwrap();
        let mut delivered = client.subscribe("to.me").await.unwrap();
        let (begin, pause) = (Since::now(), Duration::from_millis(700));
        let more = json!({
            "deliver_subject": "to.me", "idle_heartbeat": SECOND / 10, "pause_until": from_now(pause),
        });
        let made = consumer(&client, "P", more).await;
        assert_eq!((&made["paused"], &made["push_bound"]), (&json!(true), &json!(true)), "{made}");
        assert!(made["pause_remaining"].as_u64().unwrap() <= pause.as_nanos() as u64);
        assert_eq!(made["config"]["metadata"]["_nats.req.level"], "1");
        let mut beats = 0;
        let first = loop {
            let message = next(&mut delivered).await;
            if message.status.is_none() {
                break message;
            }
            assert_eq!(status(&message), (Some(100), "Idle Heartbeat".to_owned()));
            beats += 1;
        };
        assert!(begin.elapsed() >= pause && beats >= 3, "{beats} heartbeats in {:?}", begin.elapsed());
        assert_eq!(text(&first), "0");
        let said: Vec<Value> = [next(&mut told).await, next(&mut told).await]
            .iter()
            .map(|message| serde_json::from_slice(&message.payload).unwrap())
            .collect();
        assert_eq!((&said[0]["paused"], &said[1]["paused"]), (&json!(true), &json!(false)));
        let info = api(&client, "CONSUMER.INFO.S.P", &Value::Null).await;
        assert!(info.get("paused").is_none() && info["config"].get("pause_until").is_some(), "{info}");
    });
}

#[test]
fn a_pause_is_begun_and_ended_by_a_request_and_by_nothing_else() {
    with_stream(async |client| {
        store(&client, 1).await;
        consumer(&client, "C", json!({})).await;
        let until = from_now(Duration::from_secs(60));
        let paused = api(&client, "CONSUMER.PAUSE.S.C", &json!({ "pause_until": until })).await;
        assert_eq!(paused["type"], "io.nats.jetstream.api.v1.consumer_pause_response");
        assert_eq!(paused["paused"], true);
        let updated = consumer(&client, "C", json!({ "description": "x" })).await;
        assert_eq!(updated["paused"], true, "an update does not end it: {updated}");
        let mut now = pull(&client, "C", json!({ "batch": 1, "no_wait": true })).await;
        assert_eq!(status(&next(&mut now).await), (Some(404), "No Messages".to_owned()));
        let mut waits = pull(&client, "C", json!({ "batch": 1, "expires": 20 * SECOND })).await;
        let resumed = api(&client, "CONSUMER.PAUSE.S.C", &Value::Null).await;
        assert_eq!(
            (&resumed["paused"], &resumed["pause_until"]),
            (&json!(false), &json!("0001-01-01T00:00:00Z"))
        );
        assert_eq!(text(&next(&mut waits).await), "0");
        let missing = api(&client, "CONSUMER.PAUSE.S.X", &Value::Null).await;
        assert_eq!((&missing["error"]["err_code"], &missing["paused"]), (&json!(10014), &json!(false)));
    });
}

#[test]
fn an_overflow_group_serves_while_more_waits_than_was_asked_for() {
    with_stream(async |client| {
        consumer(&client, "O", json!({ "priority_policy": "overflow", "priority_groups": ["A"] })).await;
        let wish = json!({ "batch": 1, "expires": 20 * SECOND, "group": "A", "min_pending": 3 });
        let mut over = pull(&client, "O", wish).await;
        store(&client, 2).await;
        let mut plain = pull(&client, "O", json!({ "batch": 1, "expires": 20 * SECOND, "group": "A" })).await;
        assert_eq!(text(&next(&mut plain).await), "0", "one that asks for no overflow has its turn");
        let mut under =
            pull(&client, "O", json!({ "batch": 1, "no_wait": true, "group": "A", "min_ack_pending": 2 }))
                .await;
        assert_eq!(status(&next(&mut under).await), (Some(404), "No Messages".to_owned()));
        store(&client, 2).await;
        assert_eq!(text(&next(&mut over).await), "1", "now three wait");
        let mut lost = pull(&client, "O", json!({ "batch": 1, "group": "B" })).await;
        assert_eq!(status(&next(&mut lost).await).1, "Bad Request - Invalid Priority Group");
        let mut lost = pull(&client, "O", json!({ "batch": 1 })).await;
        assert_eq!(status(&next(&mut lost).await).1, "Bad Request - Priority Group missing");
    });
}

#[test]
fn one_client_is_pinned_until_it_stays_away_or_is_let_go() {
    with_stream(async |client| {
        let mut told = client.subscribe("$JS.EVENT.ADVISORY.CONSUMER.*.S.P").await.unwrap();
        let more = json!({
            "priority_policy": "pinned_client", "priority_groups": ["A"], "priority_timeout": SECOND / 2,
        });
        let made = consumer(&client, "P", more).await;
        assert_eq!(made["priority_groups"], json!([{ "group": "A", "pinned_ts": "0001-01-01T00:00:00Z" }]));
        store(&client, 6).await;
        let wish =
            |batch: u64, id: &str| json!({ "batch": batch, "expires": 20 * SECOND, "group": "A", "id": id });
        let mut first = pull(&client, "P", wish(2, "")).await;
        let message = next(&mut first).await;
        let id = message.headers.as_ref().unwrap().get("Nats-Pin-Id").unwrap().to_string();
        next(&mut first).await;
        let mut second = pull(&client, "P", wish(1, "")).await;
        let mut wrong = pull(&client, "P", wish(1, "another")).await;
        assert_eq!(status(&next(&mut wrong).await).0, Some(423));
        let begin = Since::now();
        let mut first = pull(&client, "P", wish(1, &id)).await;
        assert_eq!(text(&next(&mut first).await), "2");
        let info = api(&client, "CONSUMER.INFO.S.P", &Value::Null).await;
        assert_eq!(info["priority_groups"][0]["pinned_client_id"], json!(id), "{info}");
        let message = next(&mut second).await;
        assert!(begin.elapsed() >= Duration::from_millis(450), "after {:?}", begin.elapsed());
        assert_ne!(message.headers.as_ref().unwrap().get("Nats-Pin-Id").unwrap().as_str(), id);
        assert_eq!(text(&message), "3");
        let mut third = pull(&client, "P", wish(1, "")).await;
        let unpinned = api(&client, "CONSUMER.UNPIN.S.P", &json!({ "group": "A" })).await;
        assert_eq!(unpinned, json!({ "type": "io.nats.jetstream.api.v1.consumer_unpin_response" }));
        assert_eq!(text(&next(&mut third).await), "4");
        let mut kinds = Vec::new();
        while kinds.len() < 6 {
            let subject = next(&mut told).await.subject.to_string();
            kinds.push(subject.split('.').nth(4).unwrap().to_owned());
        }
        assert_eq!(kinds, ["CREATED", "PINNED", "UNPINNED", "PINNED", "UNPINNED", "PINNED"]);
        let wrong = api(&client, "CONSUMER.UNPIN.S.P", &json!({ "group": "B" })).await;
        assert_eq!(wrong["error"]["err_code"], 10160);
    });
}

#[test]
fn groups_that_make_no_sense_are_refused_with_the_codes_of_nats_server() {
    with_stream(async |client| {
        let long = "A".repeat(17);
        for (more, code) in [
            (json!({ "priority_policy": "overflow" }), 10159),
            (json!({ "priority_policy": "overflow", "priority_groups": [""] }), 10161),
            (json!({ "priority_policy": "overflow", "priority_groups": [long] }), 10162),
            (
                json!({ "priority_policy": "overflow", "priority_groups": ["A"], "deliver_subject": "d" }),
                10178,
            ),
            (json!({ "priority_policy": "nonsense", "priority_groups": ["A"] }), 10025),
            (json!({ "rate_limit_bps": 5 }), 10086),
            (json!({ "sample_freq": "often" }), 10095),
            (json!({ "deliver_subject": "d", "flow_control": true }), 10108),
            (json!({ "idle_heartbeat": SECOND }), 10088),
            (json!({ "deliver_policy": "by_start_sequence" }), 10094),
        ] {
            let refused = consumer(&client, "X", more.clone()).await;
            assert_eq!(refused["error"]["err_code"], code, "{more}: {refused}");
        }
    });
}

#[test]
fn an_original_replay_keeps_the_gaps_between_messages() {
    with_stream(async |client| {
        let gap = Duration::from_millis(300);
        for _ in 0..3 {
            store(&client, 1).await;
            // The distance that the replay is to keep.
            tokio::time::sleep(gap).await;
        }
        let mut delivered = client.subscribe("to.me").await.unwrap();
        let begin = Since::now();
        consumer(&client, "R", json!({ "deliver_subject": "to.me", "replay_policy": "original" })).await;
        let mut after = Vec::new();
        for _ in 0..3 {
            next(&mut delivered).await;
            after.push(begin.elapsed());
        }
        assert!(after[0] < gap, "the first one comes at once: {after:?}");
        let slack = Duration::from_millis(30);
        assert!(after[1] + slack >= gap && after[2] + slack >= 2 * gap, "{after:?}");
        let mut pulled = {
            consumer(&client, "Q", json!({ "replay_policy": "original" })).await;
            pull(&client, "Q", json!({ "batch": 3, "expires": 20 * SECOND })).await
        };
        let begin = Since::now();
        for _ in 0..3 {
            next(&mut pulled).await;
        }
        assert!(begin.elapsed() + slack >= 2 * gap, "{:?}", begin.elapsed());
    });
}

#[test]
fn a_push_consumer_with_a_rate_takes_its_time() {
    with_stream(async |client| {
        for _ in 0..12 {
            client.request("s.a", vec![b'x'; 480].into()).await.unwrap();
        }
        let mut delivered = client.subscribe("to.me").await.unwrap();
        let begin = Since::now();
        // 6,000 bytes a second after a burst of one message of the largest size, 1,000 bytes.
        consumer(&client, "R", json!({ "deliver_subject": "to.me", "rate_limit_bps": 48_000 })).await;
        for _ in 0..12 {
            next(&mut delivered).await;
        }
        let took = begin.elapsed();
        assert!(took >= Duration::from_millis(780), "12 × 480 bytes took {took:?}");
        let begin = Since::now();
        let mut fast = client.subscribe("to.others").await.unwrap();
        consumer(&client, "F", json!({ "deliver_subject": "to.others" })).await;
        for _ in 0..12 {
            next(&mut fast).await;
        }
        assert!(begin.elapsed() < took, "one without a rate is faster");
    });
}

#[test]
fn acknowledgements_are_sampled_and_whatever_else_comes_of_a_message_is_told() {
    with_stream(async |client| {
        let mut told = client.subscribe("$JS.EVENT.*.CONSUMER.>").await.unwrap();
        let more = json!({ "sample_freq": "100%", "max_deliver": 2, "ack_wait": SECOND / 5 });
        consumer(&client, "C", more).await;
        store(&client, 3).await;
        let mut pulled = pull(&client, "C", json!({ "batch": 10, "expires": 20 * SECOND })).await;
        let replies = ["+ACK", "+TERM no good", "-NAK"];
        for answer in replies {
            let message = next(&mut pulled).await;
            client.publish(message.reply.unwrap(), answer.into()).await.unwrap();
        }
        let mut said = std::collections::BTreeMap::new();
        while said.len() < 5 {
            let message = next(&mut told).await;
            let value: Value = serde_json::from_slice(&message.payload).unwrap();
            said.insert(message.subject.to_string(), value);
        }
        let subjects: Vec<&str> = said.keys().map(String::as_str).collect();
        assert_eq!(
            subjects,
            [
                "$JS.EVENT.ADVISORY.CONSUMER.CREATED.S.C",
                "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES.S.C",
                "$JS.EVENT.ADVISORY.CONSUMER.MSG_NAKED.S.C",
                "$JS.EVENT.ADVISORY.CONSUMER.MSG_TERMINATED.S.C",
                "$JS.EVENT.METRIC.CONSUMER.ACK.S.C",
            ]
        );
        let of = |kind: &str| said.iter().find(|(subject, _)| subject.contains(kind)).unwrap().1;
        assert_eq!((&of("ACK.S")["stream_seq"], &of("ACK.S")["deliveries"]), (&json!(1), &json!(1)));
        let after = of("ACK.S")["ack_time"].as_u64().unwrap();
        assert!((1..SECOND).contains(&after), "{after} ns after its delivery");
        assert_eq!((&of("TERM")["stream_seq"], &of("TERM")["reason"]), (&json!(2), &json!("no good")));
        assert_eq!((&of("NAKED")["stream_seq"], &of("NAKED")["consumer_seq"]), (&json!(3), &json!(3)));
        assert_eq!((&of("MAX_")["stream_seq"], &of("MAX_")["deliveries"]), (&json!(3), &json!(2)));
    });
}

#[test]
fn streams_tell_what_becomes_of_them_and_the_api_who_asked_for_it() {
    with_stream(async |client| {
        let mut told = client.subscribe("$JS.EVENT.ADVISORY.>").await.unwrap();
        consumer(&client, "C", json!({})).await;
        api(&client, "STREAM.UPDATE.S", &json!({ "name": "S", "subjects": ["s.>"], "storage": "memory" }))
            .await;
        api(&client, "STREAM.DELETE.S", &Value::Null).await;
        let (mut subjects, mut audits) = (Vec::new(), Vec::new());
        while subjects.len() + audits.len() < 7 {
            let message = next(&mut told).await;
            let value: Value = serde_json::from_slice(&message.payload).unwrap();
            match message.subject.strip_prefix("$JS.EVENT.ADVISORY.").unwrap() {
                "API" => audits.push(value),
                other => subjects.push(other.to_owned()),
            }
        }
        assert_eq!(
            subjects,
            ["CONSUMER.CREATED.S.C", "STREAM.UPDATED.S", "CONSUMER.DELETED.S.C", "STREAM.DELETED.S"]
        );
        let asked: Vec<&str> = audits.iter().map(|audit| audit["subject"].as_str().unwrap()).collect();
        assert_eq!(
            asked,
            ["$JS.API.CONSUMER.CREATE.S.C", "$JS.API.STREAM.UPDATE.S", "$JS.API.STREAM.DELETE.S"]
        );
        let (who, response) = (&audits[2]["client"], audits[2]["response"].as_str().unwrap());
        assert_eq!(
            (&who["acc"], &who["lang"], &who["kind"]),
            (&json!("$G"), &json!("rust"), &json!("Client"))
        );
        assert!(response.contains("\"success\":true") && audits[2].get("request").is_none(), "{response}");
    });
}

#[test]
fn headers_alone_say_how_long_the_message_is() {
    with_stream(async |client| {
        store(&client, 1).await;
        consumer(&client, "H", json!({ "headers_only": true })).await;
        let mut pulled = pull(&client, "H", json!({ "batch": 1 })).await;
        let message = next(&mut pulled).await;
        assert_eq!(
            (message.payload.len(), message.headers.unwrap().get("Nats-Msg-Size").unwrap().as_str()),
            (0, "1")
        );
    });
}

#[test]
fn an_account_is_held_to_its_limits_and_told_of_them() {
    let dir = tempfile::tempdir().unwrap();
    let limits = AccountLimits {
        max_streams: Some(1),
        max_consumers: Some(1),
        max_ack_pending: Some(50),
        memory_max_stream_bytes: Some(5_000),
        max_bytes_required: true,
        ..AccountLimits::default()
    };
    let server = serve(dir.path(), vec![Account { streams: Some(limits), ..Account::global() }]);
    block_on(async {
        let client = async_nats::connect(server.address.to_string()).await.unwrap();
        let stream = |name: &str, max_bytes: i64| json!({ "name": name, "subjects": [format!("{name}.>")], "storage": "memory", "max_bytes": max_bytes });
        let refused = async |subject: &str, body: Value| {
            api(&client, subject, &body).await["error"]["err_code"].clone()
        };
        assert_eq!(refused("STREAM.CREATE.S", stream("S", -1)).await, 10113);
        assert_eq!(refused("STREAM.CREATE.S", stream("S", 6_000)).await, 10122);
        assert_eq!(refused("STREAM.CREATE.S", stream("S", 5_000)).await, Value::Null);
        assert_eq!(refused("STREAM.CREATE.T", stream("T", 5_000)).await, 10027);
        assert_eq!(refused("STREAM.UPDATE.S", stream("S", 6_000)).await, 10122);
        let made = consumer(&client, "A", json!({})).await;
        assert_eq!(made["config"]["max_ack_pending"], 50);
        assert_eq!(consumer(&client, "B", json!({})).await["error"]["err_code"], 10026);
        assert_eq!(
            consumer(&client, "A", json!({ "max_ack_pending": 51 })).await["error"]["err_code"],
            10121
        );
        let info = api(&client, "INFO", &Value::Null).await;
        assert_eq!(
            (&info["streams"], &info["consumers"], &info["reserved_memory"]),
            (&json!(1), &json!(1), &json!(5_000))
        );
        assert_eq!(info["api"], json!({ "level": 1, "total": 8, "errors": 6 }), "{info}");
        let limits = &info["limits"];
        assert_eq!((&limits["max_ack_pending"], &limits["max_bytes_required"]), (&json!(50), &json!(true)));
        assert_eq!((&limits["memory_max_stream_bytes"], &limits["max_storage"]), (&json!(5_000), &json!(-1)));
    });
}

#[test]
fn limits_of_the_server_and_of_a_stream_hold_for_each_consumer() {
    let dir = tempfile::tempdir().unwrap();
    let streams = JetStreamSettings {
        store_dir: dir.path().to_owned(),
        max_request_batch: Some(20),
        strict: true,
        ..JetStreamSettings::default()
    };
    let server = Server::start(Settings { jetstream: Some(streams), ..Settings::default() });
    block_on(async {
        let client = async_nats::connect(server.address.to_string()).await.unwrap();
        let stream = |limits: Value| json!({ "name": "S", "subjects": ["s.>"], "consumer_limits": limits });
        api(&client, "STREAM.CREATE.S", &stream(json!({}))).await;
        let made = consumer(&client, "C", json!({ "filter_subject": "of.another.stream" })).await;
        assert_eq!((&made["config"]["max_batch"], &made["num_pending"]), (&json!(20), &json!(0)), "{made}");
        let mut lost = pull(&client, "C", json!({ "batch": 21 })).await;
        assert_eq!(status(&next(&mut lost).await), (Some(409), "Exceeded MaxRequestBatch of 20".to_owned()));
        let code = async |more: Value| consumer(&client, "C", more).await["error"]["err_code"].clone();
        assert_eq!(code(json!({ "max_batch": 21 })).await, 10125);
        assert_eq!(code(json!({ "filter_subject": "a..b" })).await, 10052);
        assert_eq!(code(json!({ "nonsense": 1 })).await, 10025, "strict");
        let refused = api(&client, "STREAM.UPDATE.S", &stream(json!({ "max_ack_pending": 10 }))).await;
        assert_eq!(refused["error"]["err_code"], 10069, "{refused}");
        let wider = json!({ "max_ack_pending": 2_000, "inactive_threshold": 60 * SECOND });
        let taken = api(&client, "STREAM.UPDATE.S", &stream(wider)).await;
        assert!(taken.get("error").is_none(), "{taken}");
        assert_eq!(code(json!({ "max_ack_pending": 2_001 })).await, 10121);
        assert_eq!(code(json!({ "inactive_threshold": 61 * SECOND })).await, 10153);
    });
}

#[test]
fn a_pause_and_the_pace_of_a_consumer_outlive_a_killed_server() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = process::Process::start(dir.path(), "");
    block_on(async {
        let client = async_nats::connect(process.address.to_string()).await.unwrap();
        api(&client, "STREAM.CREATE.S", &json!({ "name": "S", "subjects": ["s.>"] })).await;
        store(&client, 1).await;
        consumer(&client, "C", json!({ "priority_policy": "overflow", "priority_groups": ["A"] })).await;
        let until = from_now(Duration::from_secs(3_600));
        api(&client, "CONSUMER.PAUSE.S.C", &json!({ "pause_until": until })).await;
        process.kill();
        process = process::Process::start(dir.path(), "");
        let client = async_nats::connect(process.address.to_string()).await.unwrap();
        let info = api(&client, "CONSUMER.INFO.S.C", &Value::Null).await;
        assert_eq!((&info["paused"], &info["num_pending"]), (&json!(true), &json!(1)), "{info}");
        assert_eq!(info["config"]["priority_policy"], "overflow");
        let mut waits = pull(&client, "C", json!({ "batch": 1, "no_wait": true, "group": "A" })).await;
        assert_eq!(status(&next(&mut waits).await).0, Some(404), "it still pauses");
        let mut waits = pull(&client, "C", json!({ "batch": 1, "expires": 20 * SECOND, "group": "A" })).await;
        api(&client, "CONSUMER.PAUSE.S.C", &Value::Null).await;
        assert_eq!(text(&next(&mut waits).await), "0");
    });
}

#[test]
fn a_lame_duck_tells_its_clients_lets_nobody_in_and_ends_when_they_are_gone() {
    let dir = tempfile::tempdir().unwrap();
    let mut process =
        process::Process::start(dir.path(), "lame_duck_duration: \"30s\"\nlame_duck_grace_period: \"200ms\"");
    let mut peers = [process.greet(1), process.greet(1), process.greet(0)];
    process.order("ldm");
    for peer in &mut peers[..2] {
        let info = peer.line().unwrap();
        assert!(info.starts_with("INFO ") && info.contains("\"ldm\":true"), "{info}");
        peer.send("SUB a 1\r\nPUB a 1\r\nx\r\n");
        assert!(peer.line().unwrap().starts_with("MSG a 1 1"), "it is served until it is closed");
    }
    let refused = std::net::TcpStream::connect(process.address);
    assert_eq!(refused.map(drop).map_err(|error| error.kind()), Err(std::io::ErrorKind::ConnectionRefused));
    assert_eq!(peers[2].line(), None, "one that does not understand INFO is closed alike");
    assert!(process.wait().success());
    for peer in &mut peers {
        while peer.line().is_some() {}
    }
}
