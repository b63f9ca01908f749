//! Mirrors and sources: what they take, what it becomes, and that a restart neither loses nor repeats any of it.

use super::*;
use async_nats::jetstream::stream::Stream;

/// Sequence, subject and headers of what a stream holds.
async fn contents(client: &Client, name: &str) -> Vec<(u64, String, String)> {
    let stream: Stream = jetstream::new(client.clone()).get_stream(name).await.unwrap();
    let state = &stream.cached_info().state;
    let mut found = Vec::new();
    for sequence in state.first_sequence..=state.last_sequence {
        if let Ok(message) = stream.get_raw_message(sequence).await {
            let source = message.headers.get("Nats-Stream-Source");
            let source = source.map(|value| value.as_str().to_owned()).unwrap_or_default();
            found.push((sequence, message.subject.to_string(), source));
        }
    }
    found
}

fn shown(all: &[(u64, String, String)]) -> Vec<String> {
    all.iter()
        .map(|(sequence, subject, source)| format!("{sequence} {subject} {source}").trim_end().to_owned())
        .collect()
}

async fn last_is(client: &Client, name: &str, last: u64) -> Value {
    until(client, name, |seen| seen["state"]["last_seq"] == last).await
}

async fn origin(client: &Client, storage: &str) {
    make(client, json!({ "name": "A", "subjects": ["a.>"], "storage": storage })).await;
    for number in 0..10 {
        let expected = number.to_string();
        let headers = [("Nats-Expected-Last-Sequence", &*expected)];
        publish_with(client, &format!("a.{}", number % 3), &headers, "x").await;
    }
    want(client, "STREAM.MSG.DELETE.A", json!({ "seq": 3 })).await;
}

/// A mirror, and what it is to have once it has caught up.
struct Mirror {
    name: &'static str,
    storage: &'static str,
    origin: Value,
    sequences: (u64, u64),
    subjects: Value,
    deleted: Value,
}

fn mirrors() -> Vec<Mirror> {
    let of = |name, storage, origin, sequences, (subjects, deleted)| Mirror {
        name,
        storage,
        origin,
        sequences,
        subjects,
        deleted,
    };
    let maps = json!([{ "src": "a.1", "dest": "z.1" }, { "src": "a.2", "dest": "" }]);
    let all = || json!({ "a.0": 4, "a.1": 3, "a.2": 2 });
    vec![
        of("M1", "memory", json!({ "name": "A" }), (1, 10), (all(), json!([3]))),
        of(
            "M2",
            "file",
            json!({ "name": "A", "filter_subject": "a.1" }),
            (2, 8),
            (json!({ "a.1": 3 }), json!([3, 4, 6, 7])),
        ),
        of(
            "M3",
            "memory",
            json!({ "name": "A", "opt_start_seq": 5 }),
            (5, 10),
            (json!({ "a.0": 2, "a.1": 2, "a.2": 2 }), Value::Null),
        ),
        of(
            "M4",
            "file",
            json!({ "name": "A", "subject_transforms": maps }),
            (2, 9),
            (json!({ "z.1": 3, "a.2": 2 }), json!([3, 4, 7])),
        ),
    ]
}

#[test]
fn a_mirror_has_the_sequences_and_times_of_its_origin_and_of_that_what_it_wants() {
    let engine = Engine::start();
    block_on(async {
        let client = engine.client().await;
        origin(&client, "file").await;
        let theirs = want(&client, "STREAM.MSG.GET.A", json!({ "seq": 8 })).await;
        for Mirror { name, storage, origin, sequences, subjects, deleted } in mirrors() {
            make(&client, json!({ "name": name, "storage": storage, "mirror": origin })).await;
            let seen = last_is(&client, name, sequences.1).await;
            let state = &seen["state"];
            assert_eq!((&state["first_seq"], &state["subjects"]), (&json!(sequences.0), &subjects), "{name}");
            assert_eq!(state.get("deleted").cloned().unwrap_or_default(), deleted, "{name}");
            assert_eq!(seen["mirror"]["lag"], 0);
            assert!(seen["mirror"]["active"].as_i64().unwrap() >= 0);
            let own = want(&client, &format!("STREAM.MSG.GET.{name}"), json!({ "seq": 8 })).await;
            assert_eq!(own["message"]["time"], theirs["message"]["time"]);
        }
        publish(&client, "a.1", "more").await;
        for name in ["M1", "M2", "M3", "M4"] {
            last_is(&client, name, 11).await;
        }
    });
}

#[test]
fn a_mirror_waits_for_its_origin_and_keeps_what_is_gone_there() {
    let mut engine = Engine::start();
    block_on(async {
        let client = engine.client().await;
        let made = make(&client, json!({ "name": "M", "mirror": { "name": "A" } })).await;
        assert_eq!(made["mirror"], json!({ "name": "A", "lag": 0, "active": -1 }));
        assert!(made["config"].get("duplicate_window").is_none() && made["config"].get("subjects").is_none());
        let missing = until(&client, "M", |seen| seen["mirror"].get("error").is_some()).await;
        assert_eq!(missing["mirror"]["error"]["err_code"], 10059);
        origin(&client, "file").await;
        // It was there before the message that was deleted.
        assert_eq!(last_is(&client, "M", 10).await["state"]["messages"], 10);
        let other = json!({ "name": "M", "mirror": { "name": "B" } });
        assert_eq!(refusal(&client, "STREAM.UPDATE.M", other).await.0, 10055);
        want(&client, "STREAM.PURGE.A", Value::Null).await;
        publish(&client, "a.1", "more").await;
        assert_eq!(last_is(&client, "M", 11).await["state"]["messages"], 11);
        // What is purged in the mirror does not come back.
        want(&client, "STREAM.PURGE.M", Value::Null).await;
    });
    engine.restart();
    block_on(async {
        let client = engine.client().await;
        publish(&client, "a.1", "more").await;
        assert_eq!(last_is(&client, "M", 12).await["state"]["messages"], 1);
    });
}

#[test]
fn sources_say_where_copies_are_from_and_are_kept_apart() {
    let engine = Engine::start();
    block_on(async {
        let client = engine.client().await;
        origin(&client, "memory").await;
        let config = json!({ "name": "S", "subjects": ["own"], "sources": [
            { "name": "A", "filter_subject": "a.1" },
            { "name": "A", "subject_transforms": [{ "src": "a.2", "dest": "q.2" }], "opt_start_seq": 5 },
            { "name": "none" }] });
        make(&client, config.clone()).await;
        let seen = last_is(&client, "S", 5).await;
        let sources = seen["sources"].as_array().unwrap();
        assert_eq!(sources[0]["filter_subject"], "a.1");
        assert_eq!(sources[1]["subject_transforms"], json!([{ "src": "a.2", "dest": "q.2" }]));
        assert_eq!((&sources[2]["active"], &sources[2]["error"]["err_code"]), (&json!(-1), &json!(10059)));
        publish(&client, "own", "x").await;
        publish(&client, "a.2", "x").await;
        last_is(&client, "S", 7).await;
        let expected = [
            "1 a.1 A 2 a.1 >",
            "2 a.1 A 5 a.1 >",
            "3 a.1 A 8 a.1 >",
            "4 q.2 A 6 a.2 q.2",
            "5 q.2 A 9 a.2 q.2",
            "6 own",
            "7 q.2 A 11 a.2 q.2",
        ];
        assert_eq!(shown(&contents(&client, "S").await), expected);
        // A source that comes back goes on where it was; a stream that comes to be there is taken from as well.
        let mut less = config.clone();
        less["sources"].as_array_mut().unwrap().remove(0);
        want(&client, "STREAM.UPDATE.S", less).await;
        publish(&client, "a.1", "while it was not wanted").await;
        want(&client, "STREAM.UPDATE.S", config).await;
        make(&client, json!({ "name": "none", "subjects": ["n"] })).await;
        last_is(&client, "S", 8).await;
        publish(&client, "n", "x").await;
        last_is(&client, "S", 9).await;
        assert_eq!(shown(&contents(&client, "S").await)[7..], ["8 a.1 A 12 a.1 >", "9 n none 1 > >"]);
    });
}

#[test]
fn what_is_taken_from_a_queue_is_gone_there() {
    let engine = Engine::start();
    block_on(async {
        let client = engine.client().await;
        for retention in ["workqueue", "interest"] {
            make(&client, json!({ "name": "Q", "subjects": ["q"], "retention": retention })).await;
            make(&client, json!({ "name": "M", "mirror": { "name": "Q" } })).await;
            make(&client, json!({ "name": "S", "sources": [{ "name": "Q" }] })).await;
            for number in 0..5 {
                publish(&client, "q", &number.to_string()).await;
            }
            last_is(&client, "S", 5).await;
            last_is(&client, "M", 5).await;
            let seen = until(&client, "Q", |seen| seen["state"]["messages"] == 0).await;
            assert_eq!(seen["state"]["last_seq"], 5, "{retention}");
            for name in ["Q", "M", "S"] {
                want(&client, &format!("STREAM.DELETE.{name}"), Value::Null).await;
            }
        }
    });
}

#[test]
fn a_target_that_is_full_takes_the_rest_once_there_is_room() {
    let engine = Engine::start();
    block_on(async {
        let client = engine.client().await;
        origin(&client, "file").await;
        make(&client, json!({ "name": "S", "max_msgs": 4, "discard": "new", "sources": [{ "name": "A" }] }))
            .await;
        let seen = until(&client, "S", |seen| seen["sources"][0]["lag"] == 5).await;
        assert_eq!(seen["state"]["messages"], 4);
        want(&client, "STREAM.PURGE.S", Value::Null).await;
        last_is(&client, "S", 8).await;
        want(&client, "STREAM.PURGE.S", Value::Null).await;
        let seen = last_is(&client, "S", 9).await;
        assert_eq!(seen["sources"][0]["lag"], 0);
    });
}

/// A stream, and several that take its messages; killed again and again while messages come.
#[test]
fn nothing_is_missing_or_twice_however_often_the_server_is_killed() {
    const ROUNDS: u64 = 12;
    const EACH: u64 = 150;
    let mut engine = Engine::start();
    let mut all = 0;
    for round in 0..ROUNDS {
        all = block_on(async {
            let client = engine.client().await;
            if round == 0 {
                make(&client, json!({ "name": "A", "subjects": ["a.>"] })).await;
                make(&client, json!({ "name": "M", "mirror": { "name": "A" } })).await;
                make(&client, json!({ "name": "S", "sources": [{ "name": "A" }] })).await;
                // What it was given is gone soon, and with it the headers that say where it is.
                make(
                    &client,
                    json!({ "name": "F", "max_msgs": 3, "sources": [
                    { "name": "A", "filter_subject": "a.0" }, { "name": "M", "filter_subject": "a.1" }] }),
                )
                .await;
            }
            let mut last = 0;
            for number in 0..EACH {
                let ack = publish(&client, &format!("a.{}", number % 2), "x").await;
                last = ack["seq"].as_u64().unwrap();
            }
            last
        });
        engine.restart();
    }
    assert_eq!(all, ROUNDS * EACH, "what was acknowledged is there");
    block_on(async {
        let client = engine.client().await;
        let mirror = last_is(&client, "M", all).await;
        assert_eq!(mirror["state"]["messages"], all);
        last_is(&client, "S", all).await;
        let sources: Vec<String> =
            contents(&client, "S").await.into_iter().map(|(_, _, source)| source).collect();
        let expected: Vec<String> = (1..=all).map(|sequence| format!("A {sequence} > >")).collect();
        assert_eq!(sources, expected);
        // Each copy uses up a sequence, so that one that is missing or twice shows although it is gone.
        let few = last_is(&client, "F", all).await;
        assert_eq!(few["state"]["messages"], 3);
        let settled = |seen: &Value| {
            seen["sources"]
                .as_array()
                .unwrap()
                .iter()
                .all(|source| source["lag"] == 0 && source["active"] != -1)
        };
        assert_eq!(until(&client, "F", settled).await["state"]["last_seq"], all);
    });
}
