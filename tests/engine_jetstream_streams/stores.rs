//! Key-value and object stores of async-nats.

use super::*;
use async_nats::jetstream::kv::{self, Operation};
use async_nats::jetstream::object_store::{self, UpdateMetadata};
use async_nats::jetstream::stream::StorageType;
use futures_util::{StreamExt, TryStreamExt};
use tokio::io::AsyncReadExt;

async fn bucket(context: &Context, config: kv::Config) -> kv::Store {
    context.create_key_value(kv::Config { bucket: "B".to_owned(), ..config }).await.unwrap()
}

async fn text(store: &kv::Store, key: &str) -> Option<String> {
    let value = store.get(key).await.unwrap();
    value.map(|value| String::from_utf8(value.to_vec()).unwrap())
}

#[test]
fn keys_have_values_revisions_and_a_history() {
    for storage in [StorageType::File, StorageType::Memory] {
        let engine = Engine::start();
        block_on(async {
            let context = engine.context().await;
            let store = bucket(&context, kv::Config { history: 5, storage, ..kv::Config::default() }).await;
            assert_eq!(store.create("a", "1".into()).await.unwrap(), 1);
            assert_eq!(
                store.create("a", "2".into()).await.unwrap_err().kind(),
                kv::CreateErrorKind::AlreadyExists
            );
            assert_eq!(store.update("a", "2".into(), 1).await.unwrap(), 2);
            let stale = store.update("a", "3".into(), 1).await.unwrap_err();
            assert_eq!(stale.kind(), kv::UpdateErrorKind::WrongLastRevision);
            assert_eq!(store.put("b.c", "4".into()).await.unwrap(), 3);
            assert_eq!(text(&store, "a").await.as_deref(), Some("2"));
            let first = store.entry_for_revision("a", 1).await.unwrap().unwrap();
            assert_eq!((&first.value[..], first.revision), (&b"1"[..], 1));
            store.delete("a").await.unwrap();
            assert_eq!(text(&store, "a").await, None);
            assert_eq!(store.entry("a").await.unwrap().unwrap().operation, Operation::Delete);
            let all: Vec<kv::Entry> = store.history("a").await.unwrap().try_collect().await.unwrap();
            let seen: Vec<_> = all.iter().map(|entry| (entry.revision, entry.operation)).collect();
            assert_eq!(seen, [(1, Operation::Put), (2, Operation::Put), (4, Operation::Delete)]);
            assert_eq!(store.create("a", "again".into()).await.unwrap(), 5, "what is deleted can be created");
            let mut keys: Vec<String> = store.keys().await.unwrap().try_collect().await.unwrap();
            keys.sort();
            assert_eq!(keys, ["a", "b.c"]);
            store.purge("a").await.unwrap();
            let all: Vec<kv::Entry> = store.history("a").await.unwrap().try_collect().await.unwrap();
            assert_eq!(all.iter().map(|entry| entry.operation).collect::<Vec<_>>(), [Operation::Purge]);
            let keys: Vec<String> = store.keys().await.unwrap().try_collect().await.unwrap();
            assert_eq!(keys, ["b.c"]);
            let status = context.get_key_value("B").await.unwrap().status().await.unwrap();
            assert_eq!((status.values(), status.history()), (2, 5));
            context.delete_key_value("B").await.unwrap();
        });
    }
}

#[test]
fn whoever_watches_sees_each_change() {
    let engine = Engine::start();
    block_on(async {
        let context = engine.context().await;
        let store = bucket(&context, kv::Config { history: 3, ..kv::Config::default() }).await;
        for value in ["1", "2"] {
            store.put("a.x", value.into()).await.unwrap();
            store.put("b", value.into()).await.unwrap();
        }
        let mut new = store.watch("a.*").await.unwrap();
        let mut past = store.watch_with_history("b").await.unwrap();
        let mut many = store.watch_many_with_history(["a.x", "b"]).await.unwrap();
        let mut from = store.watch_from_revision("a.x", 3).await.unwrap();
        store.put("a.y", "3".into()).await.unwrap();
        store.delete("a.y").await.unwrap();
        for (operation, revision) in [(Operation::Put, 5), (Operation::Delete, 6)] {
            let entry = new.next().await.unwrap().unwrap();
            assert_eq!((&*entry.key, entry.operation, entry.revision), ("a.y", operation, revision));
        }
        assert_eq!(past.next().await.unwrap().unwrap().revision, 4);
        for revision in [3, 4] {
            let entry = many.next().await.unwrap().unwrap();
            assert_eq!((entry.revision, entry.seen_current), (revision, revision == 4));
        }
        assert_eq!(from.next().await.unwrap().unwrap().revision, 3);
    });
}

#[test]
fn keys_go_by_age_and_leave_markers() {
    let engine = Engine::start();
    block_on(async {
        let context = engine.context().await;
        let config = kv::Config {
            history: 4,
            max_age: Duration::from_millis(500),
            limit_markers: Some(Duration::from_secs(5)),
            ..kv::Config::default()
        };
        let store = bucket(&context, config).await;
        let mut seen = store.watch_all().await.unwrap();
        store.put("a", "1".into()).await.unwrap();
        for (operation, value) in [(Operation::Put, &b"1"[..]), (Operation::Purge, b"")] {
            let entry = seen.next().await.unwrap().unwrap();
            assert_eq!((&*entry.key, entry.operation, &entry.value[..]), ("a", operation, value));
        }
        assert_eq!(text(&store, "a").await, None);
        context.delete_key_value("B").await.unwrap();

        let config = kv::Config { limit_markers: Some(Duration::from_secs(1)), ..kv::Config::default() };
        let store = bucket(&context, config).await;
        let mut seen = store.watch_all().await.unwrap();
        store.create_with_ttl("a", "1".into(), Duration::from_secs(1)).await.unwrap();
        for operation in [Operation::Put, Operation::Purge] {
            assert_eq!(seen.next().await.unwrap().unwrap().operation, operation);
        }
        assert_eq!(store.create("a", "2".into()).await.unwrap(), 3);
    });
}

#[test]
fn a_bucket_is_mirrored_and_sent_on() {
    let mut engine = Engine::start();
    block_on(async {
        let context = engine.context().await;
        let client = engine.client().await;
        let mut told = client.subscribe("told.>").await.unwrap();
        let republish = async_nats::jetstream::stream::Republish {
            source: ">".to_owned(),
            destination: "told.>".to_owned(),
            headers_only: false,
        };
        let store =
            bucket(&context, kv::Config { republish: Some(republish), ..kv::Config::default() }).await;
        store.put("a", "1".into()).await.unwrap();
        let message = told.next().await.unwrap();
        assert_eq!((message.subject.as_str(), &message.payload[..]), ("told.$KV.B.a", &b"1"[..]));
        let of = async_nats::jetstream::stream::Source { name: "B".to_owned(), ..Default::default() };
        let config = kv::Config { bucket: "M".to_owned(), mirror: Some(of), ..kv::Config::default() };
        context.create_key_value(config).await.unwrap();
        store.purge("a").await.unwrap();
        store.put("b", "2".into()).await.unwrap();
        until(&client, "KV_M", |seen| seen["state"]["last_seq"] == 3).await;
    });
    engine.restart();
    block_on(async {
        let (client, context) = (engine.client().await, engine.context().await);
        let mirror = context.get_stream("KV_M").await.unwrap();
        let last = |key: &'static str| mirror.direct_get_last_for_subject(format!("$KV.B.{key}"));
        assert_eq!(&last("b").await.unwrap().payload[..], b"2");
        assert_eq!(last("a").await.unwrap().headers.get("KV-Operation").unwrap().as_str(), "PURGE");
        context.get_key_value("B").await.unwrap().put("c", "3".into()).await.unwrap();
        until(&client, "KV_M", |seen| seen["state"]["last_seq"] == 4).await;
        assert_eq!(&last("c").await.unwrap().payload[..], b"3");
    });
}

async fn object(store: &object_store::ObjectStore, name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    store.get(name).await.unwrap().read_to_end(&mut bytes).await.unwrap();
    bytes
}

#[test]
fn objects_of_many_parts_are_put_got_listed_linked_and_deleted() {
    for storage in [StorageType::File, StorageType::Memory] {
        let mut engine = Engine::start();
        let large: Vec<u8> =
            (0..1_000_000u32).flat_map(|number| number.to_le_bytes()).take(700_000).collect();
        block_on(async {
            let context = engine.context().await;
            let config = object_store::Config { bucket: "O".to_owned(), storage, ..Default::default() };
            let store = context.create_object_store(config).await.unwrap();
            let mut seen = store.watch().await.unwrap();
            for (name, content) in [("large", &large[..]), ("small", b"few"), ("empty", b"")] {
                let info = store.put(name, &mut &content[..]).await.unwrap();
                assert_eq!(info.size, content.len());
                assert_eq!(seen.next().await.unwrap().unwrap().name, name);
            }
            for (name, content) in [("large", &large[..]), ("small", b"few"), ("empty", b"")] {
                assert_eq!(object(&store, name).await, content, "{name}");
            }
            store.put("small", &mut &b"others"[..]).await.unwrap();
            assert_eq!(object(&store, "small").await, b"others");
            let target = store.info("small").await.unwrap();
            store.add_link("link", &target).await.unwrap();
            assert_eq!(object(&store, "link").await, b"others");
            let renamed = UpdateMetadata { name: "renamed".to_owned(), ..Default::default() };
            store.update_metadata("empty", renamed).await.unwrap();
            store.delete("small").await.unwrap();
            let mut names: Vec<String> =
                store.list().await.unwrap().map_ok(|info| info.name).try_collect().await.unwrap();
            names.sort();
            assert_eq!(names, ["large", "link", "renamed"]);
        });
        if storage == StorageType::Memory {
            continue;
        }
        engine.restart();
        block_on(async {
            let context = engine.context().await;
            let mut store = context.get_object_store("O").await.unwrap();
            assert_eq!(object(&store, "large").await, large);
            store.seal().await.unwrap();
            assert!(store.put("more", &mut &b"x"[..]).await.is_err());
            assert_eq!(object(&store, "large").await, large);
        });
    }
}
