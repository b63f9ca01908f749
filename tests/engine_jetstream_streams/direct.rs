//! Messages read without a consumer.

use super::*;
use futures_util::StreamExt;

/// What one direct request was answered with: sequence, pending, sequence before, and body of each message, then the
/// status that ended it.
async fn read(client: &Client, subject: &str, body: Value) -> (Vec<(u64, u64, u64, String)>, String) {
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await.unwrap();
    let body = if body.is_null() { Vec::new() } else { serde_json::to_vec(&body).unwrap() };
    client.publish_with_reply(format!("$JS.API.DIRECT.GET.{subject}"), inbox, body.into()).await.unwrap();
    let mut found = Vec::new();
    loop {
        let answer = answers.next().await.unwrap();
        let headers = answer.headers.unwrap_or_default();
        let number = |name: &str| headers.get(name).and_then(|value| value.as_str().parse().ok());
        let shown = |name: &str| number(name).map_or("-".to_owned(), |number: u64| number.to_string());
        if let Some(status) = answer.status {
            let text = answer.description.unwrap_or_default();
            let (pending, last) = (shown("Nats-Num-Pending"), shown("Nats-Last-Sequence"));
            let end = format!("{} {text} {pending} {last} {}", status.as_u16(), shown("Nats-UpTo-Sequence"));
            return (found, end);
        }
        let text = String::from_utf8(answer.payload.to_vec()).unwrap();
        let pending = number("Nats-Num-Pending");
        let sequence = number("Nats-Sequence").unwrap();
        found.push((sequence, pending.unwrap_or(0), number("Nats-Last-Sequence").unwrap_or(0), text));
        if pending.is_none() {
            return (found, String::new());
        }
    }
}

async fn filled(client: &Client, storage: &str) {
    let config = json!({ "name": "G", "subjects": ["g.>"], "allow_direct": true, "storage": storage });
    make(client, config).await;
    for number in 0..12 {
        publish(client, &format!("g.{}", number % 4), &format!("x{number}")).await;
    }
    want(client, "STREAM.MSG.DELETE.G", json!({ "seq": 5 })).await;
}

#[test]
fn batches_and_last_ones_are_those_of_the_server() {
    let engine = Engine::start();
    block_on(async {
        let client = engine.client().await;
        for storage in ["file", "memory"] {
            filled(&client, storage).await;
            let eighth = want(&client, "STREAM.MSG.GET.G", json!({ "seq": 8 })).await;
            let time = &eighth["message"]["time"];
            // Each as nats-server 2.11.11 answered.
            for (wish, sequences, end) in [
                (json!({ "seq": 4 }), vec![4], ""),
                (json!({ "last_by_subj": "g.1" }), vec![10], ""),
                (json!({ "next_by_subj": "g.2", "seq": 4 }), vec![7], ""),
                (json!({ "start_time": time }), vec![8], ""),
                (json!({ "seq": 4, "batch": 3 }), vec![4, 6, 7], "204 EOB 5 7 -"),
                (json!({ "seq": 11, "batch": 5 }), vec![11, 12], "204 EOB 0 12 -"),
                (json!({ "next_by_subj": "g.1", "batch": 5 }), vec![2, 6, 10], "204 EOB 0 10 -"),
                (json!({ "next_by_subj": "g.1", "seq": 3, "batch": 1 }), vec![6], "204 EOB 1 6 -"),
                (
                    json!({ "next_by_subj": "g.*", "seq": 2, "batch": 2, "max_bytes": 1 }),
                    vec![2],
                    "204 EOB 9 2 -",
                ),
                (json!({ "start_time": time, "batch": 3 }), vec![8, 9, 10], "204 EOB 2 10 -"),
                (json!({ "multi_last": ["g.>"] }), vec![9, 10, 11, 12], "204 EOB 0 12 12"),
                (json!({ "multi_last": ["g.1", "g.2", "g.x"] }), vec![10, 11], "204 EOB 0 11 12"),
                (json!({ "multi_last": ["g.>"], "up_to_seq": 5 }), vec![1, 2, 3, 4], "204 EOB 0 4 5"),
                (json!({ "multi_last": ["g.>"], "up_to_time": time }), vec![1, 4, 6, 7], "204 EOB 0 7 7"),
                (json!({ "multi_last": ["g.>"], "batch": 2 }), vec![9, 10], "204 EOB 1 10 12"),
                (json!({ "multi_last": ["g.>"], "batch": 2, "seq": 11 }), vec![11, 12], "204 EOB 0 12 12"),
                (json!({ "multi_last": ["g.>"], "seq": 50 }), vec![], "204 EOB 0 0 12"),
                (json!({ "multi_last": ["g.>"], "max_bytes": 1 }), vec![9], "204 EOB 2 9 12"),
                (json!({ "seq": 5 }), vec![], "404 Message Not Found - - -"),
                (json!({ "seq": 50, "batch": 5 }), vec![], "404 Message Not Found - - -"),
                (json!({ "multi_last": ["none"] }), vec![], "404 No Results - - -"),
                (
                    json!({ "multi_last": ["g.>"], "up_to_time": "2020-01-01T00:00:00Z" }),
                    vec![],
                    "404 No Results - - -",
                ),
                (json!({}), vec![], "408 Empty Request - - -"),
                (Value::Null, vec![], "408 Empty Request - - -"),
                (json!({ "batch": 3 }), vec![], "408 Empty Request - - -"),
                (json!({ "seq": -1 }), vec![], "408 Malformed Request - - -"),
                (json!({ "last_by_subj": "g.1", "batch": 3 }), vec![], "408 Bad Request - - -"),
                (json!({ "multi_last": ["g.>"], "next_by_subj": "g.1" }), vec![], "408 Bad Request - - -"),
                (json!({ "seq": 3, "start_time": time }), vec![], "408 Bad Request - - -"),
            ] {
                let (found, said) = read(&client, "G", wish.clone()).await;
                let found: Vec<u64> = found.into_iter().map(|(sequence, ..)| sequence).collect();
                assert_eq!((found, &*said), (sequences, end), "{storage} {wish}");
            }
            let (batch, _) = read(&client, "G", json!({ "seq": 4, "batch": 3 })).await;
            let places: Vec<_> = batch.iter().map(|(_, pending, before, _)| (*pending, *before)).collect();
            assert_eq!(places, [(8, 0), (7, 4), (6, 6)]);
            assert_eq!(read(&client, "G.g.3", Value::Null).await.0[0].3, "x11");
            assert_eq!(read(&client, "G.g.3", json!({ "seq": 1 })).await.1, "408 Bad Request - - -");
            want(&client, "STREAM.DELETE.G", Value::Null).await;
        }
    });
}

#[test]
fn more_subjects_than_are_given_at_a_time_are_refused_and_listed_in_pages() {
    let engine = Engine::start();
    block_on(async {
        let client = engine.client().await;
        make(&client, json!({ "name": "G", "subjects": ["g.>"], "allow_direct": true })).await;
        for number in 0..1_025 {
            client.publish(format!("g.{number:04}"), "x".into()).await.unwrap();
        }
        publish(&client, "g.0000", "y").await;
        assert_eq!(
            read(&client, "G", json!({ "multi_last": ["g.*"] })).await.1,
            "413 Too Many Results - - -"
        );
        let (found, end) = read(&client, "G", json!({ "multi_last": ["g.*"], "up_to_seq": 1_024 })).await;
        assert_eq!((found.len(), &*end), (1_024, "204 EOB 0 1024 1024"));
        let page = want(&client, "STREAM.INFO.G", json!({ "subjects_filter": "g.*", "offset": 1_023 })).await;
        assert_eq!(
            (&page["total"], &page["offset"], &page["limit"]),
            (&json!(1_025), &json!(1_023), &json!(100_000))
        );
        assert_eq!(page["state"]["subjects"], json!({ "g.1023": 1, "g.1024": 1 }));
        let none = want(&client, "STREAM.INFO.G", json!({ "subjects_filter": "none" })).await;
        assert_eq!((&none["total"], none["state"].get("subjects")), (&json!(0), None));
    });
}

#[test]
fn a_mirror_answers_for_a_stream_that_is_gone() {
    let engine = Engine::start();
    block_on(async {
        let client = engine.client().await;
        filled(&client, "file").await;
        make(&client, json!({ "name": "M", "mirror": { "name": "G" } })).await;
        let caught_up = until(&client, "M", |seen| seen["state"]["last_seq"] == 12).await;
        assert_eq!(caught_up["config"]["mirror_direct"], true);
        want(&client, "STREAM.DELETE.G", Value::Null).await;
        assert_eq!(read(&client, "G", json!({ "seq": 4 })).await.0[0].3, "x3");
        want(&client, "STREAM.DELETE.M", Value::Null).await;
    });
}
