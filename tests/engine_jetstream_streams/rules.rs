//! What a stream's configuration forbids, and what it does to subjects.

use super::*;
use futures_util::StreamExt;

#[test]
fn a_sealed_stream_can_only_be_read() {
    let mut engine = Engine::start();
    block_on(async {
        let client = engine.client().await;
        let config = json!({ "name": "S", "subjects": ["s.>"], "max_age": 3_600_000_000_000u64 });
        make(&client, config.clone()).await;
        publish(&client, "s.1", "x").await;
        let mut sealed = config;
        sealed["sealed"] = true.into();
        assert_eq!(
            refusal(&client, "STREAM.CREATE.T", json!({ "name": "T", "sealed": true })).await.0,
            10052
        );
        let after = want(&client, "STREAM.UPDATE.S", sealed.clone()).await;
        let config = &after["config"];
        assert_eq!((&config["discard"], &config["max_age"]), (&json!("new"), &json!(0)));
        assert_eq!((&config["deny_delete"], &config["deny_purge"]), (&json!(true), &json!(true)));
    });
    engine.restart();
    block_on(async {
        let client = engine.client().await;
        assert_eq!(publish(&client, "s.1", "x").await["error"]["err_code"], 10109);
        assert_eq!(refusal(&client, "STREAM.PURGE.S", Value::Null).await.0, 10109);
        assert_eq!(refusal(&client, "STREAM.MSG.DELETE.S", json!({ "seq": 1 })).await.0, 10109);
        let open = json!({ "name": "S", "subjects": ["s.>"] });
        let (code, why) = refusal(&client, "STREAM.UPDATE.S", open).await;
        assert_eq!((code, &*why), (10052, "stream configuration update can not unseal a sealed stream"));
        assert_eq!(info(&client, "S").await["state"]["messages"], 1);
        want(&client, "STREAM.DELETE.S", Value::Null).await;
    });
}

#[test]
fn what_was_denied_stays_denied_and_metadata_is_kept() {
    let mut engine = Engine::start();
    let denied = json!({ "name": "S", "subjects": ["s"], "deny_delete": true, "deny_purge": true,
        "metadata": { "owner": "ann" } });
    block_on(async {
        let client = engine.client().await;
        make(&client, denied).await;
        publish(&client, "s", "x").await;
    });
    engine.restart();
    block_on(async {
        let client = engine.client().await;
        assert_eq!(refusal(&client, "STREAM.PURGE.S", json!({ "filter": "s" })).await.0, 10110);
        assert_eq!(refusal(&client, "STREAM.MSG.DELETE.S", json!({ "seq": 1 })).await.0, 10057);
        for (left, why) in
            [("deny_purge", "cancel deny message deletes"), ("deny_delete", "cancel deny purge")]
        {
            let milder = json!({ "name": "S", "subjects": ["s"], left: true });
            let (code, said) = refusal(&client, "STREAM.UPDATE.S", milder).await;
            assert_eq!(code, 10052);
            assert!(said.ends_with(why), "{said}");
        }
        assert_eq!(info(&client, "S").await["config"]["metadata"]["owner"], "ann");
    });
}

#[test]
fn subjects_are_mapped_as_they_come_in_and_sent_on_once_they_are_stored() {
    let engine = Engine::start();
    block_on(async {
        let client = engine.client().await;
        let mut told = client.subscribe("told.>").await.unwrap();
        let config = json!({ "name": "S", "subjects": ["s.>"],
            "subject_transform": { "src": "s.in.*", "dest": "s.{{wildcard(1)}}.{{partition(2,1)}}" },
            "republish": { "src": "s.*.*", "dest": "told.{{wildcard(2)}}.$1" } });
        make(&client, config).await;
        for body in ["first", "second"] {
            publish_with(&client, "s.in.x", &[("K", "v")], body).await;
        }
        publish(&client, "s.other", "not sent on").await;
        for (number, body) in [(1, "first"), (2, "second")] {
            let message = told.next().await.unwrap();
            let headers = message.headers.unwrap();
            let header = |name: &str| headers.get(name).unwrap().as_str().to_owned();
            assert_eq!((message.subject.as_str(), &message.payload[..]), ("told.1.x", body.as_bytes()));
            assert_eq!(
                (header("K"), header("Nats-Stream"), header("Nats-Subject")),
                ("v".to_owned(), "S".to_owned(), "s.x.1".to_owned())
            );
            assert_eq!(header("Nats-Sequence"), number.to_string());
            assert_eq!(header("Nats-Last-Sequence"), (number - 1).to_string());
            assert!(header("Nats-Time-Stamp").ends_with('Z'));
        }
        let seen = info(&client, "S").await;
        assert_eq!(seen["state"]["subjects"], json!({ "s.x.1": 2, "s.other": 1 }));
        let heads = json!({ "name": "S", "subjects": ["s.>"],
            "republish": { "src": "s.>", "dest": "told.>", "headers_only": true } });
        want(&client, "STREAM.UPDATE.S", heads).await;
        publish(&client, "s.in.x", "12345").await;
        let message = told.next().await.unwrap();
        assert_eq!((message.subject.as_str(), message.payload.len()), ("told.in.x", 0));
        assert_eq!(message.headers.unwrap().get("Nats-Msg-Size").unwrap().as_str(), "5");
    });
}

#[test]
fn what_makes_no_sense_is_refused_in_the_words_of_the_server() {
    let engine = Engine::start();
    block_on(async {
        let client = engine.client().await;
        make(&client, json!({ "name": "A", "subjects": ["a.>"], "max_msg_size": 100 })).await;
        make(&client, json!({ "name": "B", "sources": [{ "name": "A" }] })).await;
        for (config, code, why) in [
            (
                json!({ "mirror": { "name": "A" }, "subjects": ["x"] }),
                10034,
                "stream mirrors can not contain subjects",
            ),
            (
                json!({ "mirror": { "name": "A" }, "first_seq": 3 }),
                10143,
                "stream mirrors can not have first sequence configured",
            ),
            (json!({ "mirror": { "name": "a.b" } }), 10142, "mirrored stream name is invalid"),
            (
                json!({ "mirror": { "name": "A" }, "max_msg_size": 5 }),
                10030,
                "stream mirror must have max message size >= source",
            ),
            (
                json!({ "sources": [{ "name": "A" }, { "name": "A" }] }),
                10140,
                "duplicate source configuration detected",
            ),
            (
                json!({ "sources": [{ "name": "A", "subject_transforms": [{ "src": "a.*", "dest": "b.$2" }] }] }),
                10146,
                "source transform: invalid mapping destination: wildcard index out of range in $2: [2]",
            ),
            (
                json!({ "subjects": ["w"], "subject_transform": { "src": "w.", "dest": "b" } }),
                10155,
                "stream transform source: invalid subject w.",
            ),
            (
                json!({ "subjects": ["w"], "republish": { "src": "w", "dest": "w" } }),
                10052,
                "stream configuration for republish destination forms a cycle",
            ),
            (
                json!({ "mirror": { "name": "A" }, "subject_delete_marker_ttl": 1_000_000_000 }),
                10052,
                "subject delete markers forbidden on mirrors",
            ),
            (json!({ "sources": [{ "name": "W" }] }), 10052, "detected cycle"),
            (
                json!({ "mirror": { "name": "A", "external": { "api": "$JS.hub.API" } } }),
                10052,
                "external streams are not supported by this engine",
            ),
        ] {
            let mut config = config;
            config["name"] = "W".into();
            let said = refusal(&client, "STREAM.CREATE.W", config.clone()).await;
            assert_eq!(said, (code, why.to_owned()), "{config}");
        }
        let back =
            json!({ "name": "A", "subjects": ["a.>"], "max_msg_size": 100, "sources": [{ "name": "B" }] });
        assert_eq!(refusal(&client, "STREAM.UPDATE.A", back).await, (10052, "detected cycle".to_owned()));
    });
}

#[test]
fn limits_for_consumers_are_not_lowered_below_what_consumers_have() {
    let engine = Engine::start();
    block_on(async {
        let client = engine.client().await;
        make(&client, json!({ "name": "S", "subjects": ["s"] })).await;
        let consumer =
            json!({ "stream_name": "S", "config": { "durable_name": "C", "ack_policy": "explicit" } });
        want(&client, "CONSUMER.DURABLE.CREATE.S.C", consumer).await;
        let config = |most: u64| {
            let limits = json!({ "max_ack_pending": most });
            json!({ "name": "S", "subjects": ["s"], "consumer_limits": limits })
        };
        let said = refusal(&client, "STREAM.UPDATE.S", config(10)).await;
        assert_eq!(said, (10069, "change to limits violates consumers: C".to_owned()));
        want(&client, "STREAM.UPDATE.S", config(1_000)).await;
    });
}
