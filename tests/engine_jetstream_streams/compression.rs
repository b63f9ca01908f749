//! Streams whose closed segments are compressed.

use super::*;
use std::path::Path;

/// Messages, and bytes of each: four closed segments and a part of one.
const MESSAGES: u64 = 9_000;
const SIZE: usize = 4_000;

fn body(number: u64) -> String {
    let words = format!("{{\"number\":{number},\"text\":\"the same words again and again\"}}\n");
    words.repeat(SIZE / words.len() + 1)[..SIZE].to_owned()
}

/// Bytes of a stream's segments, and how many of them are compressed.
fn on_disk(store: &Path, name: &str) -> (u64, usize) {
    let entries = std::fs::read_dir(store.join(name)).unwrap().flatten();
    entries.fold((0, 0), |(bytes, packed), entry| {
        let path = entry.path();
        let is = |wanted: &str| path.extension().is_some_and(|extension| extension == wanted);
        // A file may go while it is looked at.
        let length = entry.metadata().map_or(0, |data| data.len());
        let counts = is("seg") || is("sgz");
        (bytes + if counts { length } else { 0 }, packed + usize::from(is("sgz")))
    })
}

async fn fill(client: &Client, subject: &str) {
    for number in 1..=MESSAGES {
        client.publish(subject.to_owned(), body(number).into()).await.unwrap();
        if number % 500 == 0 {
            client.flush().await.unwrap();
        }
    }
}

async fn check(client: &Client, name: &str) {
    let inbox = client.new_inbox();
    let mut answers = client.subscribe(inbox.clone()).await.unwrap();
    let mut next = 1;
    while next <= MESSAGES {
        let wish = serde_json::to_vec(&json!({ "seq": next, "batch": 500 })).unwrap();
        let subject = format!("$JS.API.DIRECT.GET.{name}");
        client.publish_with_reply(subject, inbox.clone(), wish.into()).await.unwrap();
        while let Some(answer) = futures_util::StreamExt::next(&mut answers).await {
            if answer.status.is_some() {
                break;
            }
            assert!(answer.payload[..] == *body(next).as_bytes(), "message {next}");
            next += 1;
        }
    }
}

#[test]
fn a_compressed_stream_is_smaller_on_disk_and_holds_the_same_after_sigkill() {
    for sync in ["2m", "always"] {
        let dir = tempfile::tempdir().unwrap();
        let (root, store) = (dir.path().join("store"), dir.path().join("store/jetstream"));
        let mut node = Node::engine(&root, &["--sync", sync]);
        let connect = |node: &Node| async_nats::connect(node.address.to_string());
        block_on(async {
            let client = connect(&node).await.unwrap();
            for (name, compression) in [("S", "s2"), ("N", "none")] {
                let config = json!({ "name": name, "subjects": [name], "compression": compression, "allow_direct": true });
                let made = make(&client, config).await;
                assert_eq!(made["config"]["compression"], compression);
                fill(&client, name).await;
                until(&client, name, |seen| seen["state"]["last_seq"] == MESSAGES).await;
            }
            let mut ticks = tokio::time::interval(Duration::from_millis(20));
            while on_disk(&store, "S").1 < 4 {
                ticks.tick().await;
            }
            let (small, large) = (on_disk(&store, "S").0, on_disk(&store, "N").0);
            assert!(small * 4 < large, "{small} bytes compressed, {large} bytes plain");
            check(&client, "S").await;
            want(&client, "STREAM.MSG.DELETE.S", json!({ "seq": 5 })).await;
        });
        node.kill();
        node = Node::engine(&root, &["--sync", sync]);
        block_on(async {
            let client = connect(&node).await.unwrap();
            let seen = info(&client, "S").await;
            assert_eq!(
                (&seen["state"]["messages"], &seen["state"]["deleted"]),
                (&json!(MESSAGES - 1), &json!([5]))
            );
            // What is plain becomes small once it is asked for, and what is compressed stays readable.
            let config = json!({ "name": "N", "subjects": ["N"], "compression": "s2", "allow_direct": true });
            want(&client, "STREAM.UPDATE.N", config).await;
            let mut ticks = tokio::time::interval(Duration::from_millis(20));
            while on_disk(&store, "N").1 == 0 && large_segments(&store) {
                publish(&client, "N", "x").await;
                ticks.tick().await;
            }
            check(&client, "N").await;
            want(&client, "STREAM.PURGE.S", Value::Null).await;
            publish(&client, "S", "after").await;
        });
        node.kill();
        node = Node::engine(&root, &["--sync", sync]);
        block_on(async {
            let client = connect(&node).await.unwrap();
            let seen = info(&client, "S").await;
            assert_eq!(
                (&seen["state"]["messages"], &seen["state"]["last_seq"]),
                (&json!(1), &json!(MESSAGES + 1))
            );
        });
    }
}

/// Whether the plain stream has a segment that is larger than those of compressed streams.
fn large_segments(store: &Path) -> bool {
    std::fs::read_dir(store.join("N"))
        .unwrap()
        .flatten()
        .any(|entry| entry.metadata().is_ok_and(|data| data.len() > 8 << 20))
}
