//! What streams of the JetStream-style engine do beyond storing and delivering: key-value and object stores, lifetimes,
//! direct reads, maps of subjects, copies from stream to stream. The engine is a process, used through async-nats.

#![expect(clippy::unwrap_used, reason = "a test that can't go on panics")]

mod compression;
mod copies;
mod direct;
mod lifetimes;
#[path = "../engine_jetstream_crash/node.rs"]
#[expect(dead_code, reason = "the tests of crashes use the rest of it")]
mod node;
mod rules;
mod stores;

use async_nats::jetstream::{self, Context};
use async_nats::{Client, HeaderMap};
use node::Node;
use serde_json::{Value, json};
use std::future::Future;
use std::time::Duration;
use tempfile::TempDir;

/// What has not happened within this will not.
const WITHIN: Duration = Duration::from_secs(60);

/// The engine over a directory that outlives it.
struct Engine {
    dir: TempDir,
    node: Node,
}

impl Engine {
    fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let node = Node::engine(&dir.path().join("store"), &[]);
        Self { dir, node }
    }

    /// SIGKILL, then the same again.
    fn restart(&mut self) {
        self.node.kill();
        self.node = Node::engine(&self.dir.path().join("store"), &[]);
    }

    async fn client(&self) -> Client {
        async_nats::connect(self.node.address.to_string()).await.unwrap()
    }

    async fn context(&self) -> Context {
        jetstream::new(self.client().await)
    }
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { tokio::time::timeout(WITHIN, future).await.expect("in time") })
}

/// Asks the API.
async fn ask(client: &Client, what: &str, body: Value) -> Value {
    let body = if body.is_null() { Vec::new() } else { serde_json::to_vec(&body).unwrap() };
    let answer = client.request(format!("$JS.API.{what}"), body.into()).await.unwrap();
    serde_json::from_slice(&answer.payload).unwrap()
}

/// Asks the API for what it must not refuse.
async fn want(client: &Client, what: &str, body: Value) -> Value {
    let answer = ask(client, what, body).await;
    assert!(answer.get("error").is_none(), "{what}: {answer}");
    answer
}

/// The code of the API's refusal, and its text.
async fn refusal(client: &Client, what: &str, body: Value) -> (u64, String) {
    let answer = ask(client, what, body).await;
    let error = answer.get("error").unwrap_or_else(|| panic!("{what} was not refused: {answer}"));
    (error["err_code"].as_u64().unwrap(), error["description"].as_str().unwrap().to_owned())
}

/// Makes a stream.
async fn make(client: &Client, config: Value) -> Value {
    let name = config["name"].as_str().unwrap().to_owned();
    want(client, &format!("STREAM.CREATE.{name}"), config).await
}

/// A stream's information, with all subjects and deleted sequences.
async fn info(client: &Client, name: &str) -> Value {
    let all = json!({ "subjects_filter": ">", "deleted_details": true });
    want(client, &format!("STREAM.INFO.{name}"), all).await
}

/// Publishes to a stream; the acknowledgement.
async fn publish(client: &Client, subject: &str, body: &str) -> Value {
    publish_with(client, subject, &[], body).await
}

/// The same with headers.
async fn publish_with(client: &Client, subject: &str, headers: &[(&str, &str)], body: &str) -> Value {
    let mut all = HeaderMap::new();
    for (name, value) in headers {
        all.insert(*name, *value);
    }
    let (subject, body) = (subject.to_owned(), body.to_owned().into());
    let answer = client.request_with_headers(subject, all, body).await.unwrap();
    serde_json::from_slice(&answer.payload).unwrap()
}

/// Looks again and again until what is seen is as wished, and gives it.
async fn until(client: &Client, name: &str, wished: impl Fn(&Value) -> bool) -> Value {
    let mut ticks = tokio::time::interval(Duration::from_millis(10));
    loop {
        let seen = info(client, name).await;
        if wished(&seen) {
            return seen;
        }
        ticks.tick().await;
    }
}
