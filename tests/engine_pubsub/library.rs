//! The `redis` crate as a client of the engine.

use crate::support::Served;
use futures_util::StreamExt;
use redis::AsyncCommands;
use std::time::Duration;

async fn everything(url: &str) {
    let client = redis::Client::open(url).unwrap();
    let mut publisher = client.get_multiplexed_async_connection().await.unwrap();
    let mut pubsub = client.get_async_pubsub().await.unwrap();
    pubsub.subscribe("a").await.unwrap();
    pubsub.psubscribe("b*").await.unwrap();
    let mut messages = pubsub.on_message();
    for (channel, text) in [("a", "one"), ("bc", "two")] {
        let receivers: i64 = publisher.publish(channel, text).await.unwrap();
        assert_eq!(receivers, 1);
        let message = tokio::time::timeout(Duration::from_secs(10), messages.next()).await.unwrap().unwrap();
        assert_eq!(
            (message.get_channel_name(), message.get_payload::<String>().unwrap().as_str()),
            (channel, text)
        );
    }
    let mut pipeline = redis::pipe();
    for number in 0..1_000 {
        pipeline.publish("a", number);
    }
    let receivers: Vec<i64> = pipeline.query_async(&mut publisher).await.unwrap();
    assert_eq!(receivers, vec![1; 1_000]);
    for number in 0..1_000 {
        let message = tokio::time::timeout(Duration::from_secs(10), messages.next()).await.unwrap().unwrap();
        assert_eq!(message.get_payload::<i64>().unwrap(), number);
    }
    let transaction: (i64, String) =
        redis::pipe().atomic().publish("none", "x").cmd("PING").query_async(&mut publisher).await.unwrap();
    assert_eq!(transaction, (0, "PONG".to_owned()));
}

#[test]
fn the_redis_crate_publishes_and_subscribes_in_both_protocols() {
    let server = Served::engine(super::THREADS);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for protocol in ["resp2", "resp3"] {
        runtime.block_on(everything(&format!("redis://{}/?protocol={protocol}", server.address)));
    }
}
