//! Messages that go by themselves, or never.

use super::*;
use futures_util::StreamExt;

const SECOND: u64 = 1_000_000_000;

#[test]
fn a_message_for_ever_outlives_the_age_limit_and_a_restart() {
    let mut engine = Engine::start();
    block_on(async {
        let client = engine.client().await;
        let config = json!({ "name": "S", "subjects": ["s.>"], "allow_msg_ttl": true, "max_age": SECOND });
        make(&client, config).await;
        for (subject, lifetime) in
            [("s.ever", "never"), ("s.age", ""), ("s.long", "1h"), ("s.ever2", "NEVER")]
        {
            let headers: &[(&str, &str)] = if lifetime.is_empty() { &[] } else { &[("Nats-TTL", lifetime)] };
            assert!(publish_with(&client, subject, headers, "x").await["seq"].is_u64());
        }
        for wrong in ["0", "5ms", "-1", "soon", "1d"] {
            let refused = publish_with(&client, "s.x", &[("Nats-TTL", wrong)], "x").await;
            assert_eq!(refused["error"]["err_code"], 10165, "{wrong}");
        }
    });
    engine.restart();
    block_on(async {
        let client = engine.client().await;
        let seen = until(&client, "S", |seen| seen["state"]["messages"] == 2).await;
        assert_eq!(seen["state"]["subjects"], json!({ "s.ever": 1, "s.ever2": 1 }));
        publish(&client, "s.age", "again").await;
        let seen = until(&client, "S", |seen| seen["state"]["messages"] == 2).await;
        assert_eq!((&seen["state"]["first_seq"], &seen["state"]["last_seq"]), (&json!(1), &json!(5)));
        let off = json!({ "name": "S", "subjects": ["s.>"], "max_age": SECOND });
        let (code, why) = refusal(&client, "STREAM.UPDATE.S", off).await;
        assert_eq!((code, &*why), (10052, "message TTL status can not be disabled"));
    });
}

#[test]
fn the_last_message_of_a_subject_leaves_a_marker_that_goes_as_well() {
    let engine = Engine::start();
    block_on(async {
        let client = engine.client().await;
        let mut seen = client.subscribe("to.me").await.unwrap();
        for (name, storage) in [("F", "file"), ("M", "memory")] {
            let config = json!({ "name": name, "subjects": [format!("{name}.>")], "storage": storage,
                "max_age": SECOND, "subject_delete_marker_ttl": 2 * SECOND });
            let made = make(&client, config).await;
            let config = &made["config"];
            assert_eq!(
                (&config["allow_msg_ttl"], &config["allow_rollup_hdrs"]),
                (&json!(true), &json!(true))
            );
            assert_eq!(config["metadata"]["_nats.req.level"], "1");
            let consumer = json!({ "stream_name": name, "config": {
                "durable_name": "C", "ack_policy": "none", "deliver_subject": "to.me" } });
            want(&client, &format!("CONSUMER.DURABLE.CREATE.{name}.C"), consumer).await;
            let subject = |of: &str| format!("{name}.{of}");
            publish(&client, &subject("a"), "x").await;
            publish(&client, &subject("a"), "y").await;
            publish_with(&client, &subject("b"), &[("Nats-TTL", "never")], "z").await;
            // A lifetime shorter than a marker's is made as long.
            publish_with(&client, &subject("c"), &[("Nats-TTL", "1")], "z").await;
            let mut got = Vec::new();
            for _ in 0..6 {
                let message = seen.next().await.unwrap();
                let headers = message.headers.unwrap_or_default();
                let header =
                    |key: &str| headers.get(key).map(|value| value.as_str().to_owned()).unwrap_or_default();
                got.push((
                    message.subject.rsplit('.').next().unwrap().to_owned(),
                    header("Nats-Marker-Reason"),
                    header("Nats-TTL"),
                    header("Nats-Rollup"),
                ));
            }
            let expected = [
                ("a", "", "", ""),
                ("a", "", "", ""),
                ("b", "", "never", ""),
                ("c", "", "2", ""),
                ("a", "MaxAge", "2s", "sub"),
                ("c", "MaxAge", "2s", "sub"),
            ];
            let expected = expected.map(|(subject, reason, lifetime, rollup)| {
                (subject.to_owned(), reason.to_owned(), lifetime.to_owned(), rollup.to_owned())
            });
            assert_eq!(got, expected, "{storage}");
            let after = until(&client, name, |seen| seen["state"]["messages"] == 1).await;
            assert_eq!((&after["state"]["first_seq"], &after["state"]["last_seq"]), (&json!(3), &json!(6)));
        }
    });
}
