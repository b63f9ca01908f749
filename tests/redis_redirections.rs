//! What a cluster's nodes send elsewhere, seen from a publisher whose nodes say it on purpose.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on says so by panicking")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use busmark::driver::redis_cluster::ShardedCluster;
use busmark::driver::{AckRun, Driver, Enqueued, Outcome, Publisher};
use busmark::scenario::{TopicId, Topology};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt};
use tokio::time::timeout;

/// Longest that the whole may take.
const WITHIN: Duration = Duration::from_secs(20);

fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { timeout(WITHIN, future).await.expect("a test never hangs") })
}

/// How many messages were accepted.
fn count(run: AckRun) -> u32 {
    assert_eq!(run.outcome, Outcome::Accepted);
    run.count
}

/// Two nodes that only know how to greet, to say that the first serves all slots, and to send every message to the
/// other with ASK, which takes it after ASKING only.
struct Askers {
    urls: [String; 2],
    taken: Arc<AtomicU32>,
}

impl Askers {
    async fn start() -> Self {
        let listeners = [
            tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap(),
            tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap(),
        ];
        let ports = [0, 1].map(|index: usize| listeners[index].local_addr().unwrap().port());
        let taken = Arc::new(AtomicU32::new(0));
        for (index, listener) in listeners.into_iter().enumerate() {
            let taken = Arc::clone(&taken);
            tokio::spawn(async move {
                while let Ok((socket, _)) = listener.accept().await {
                    tokio::spawn(serve(socket, index, ports, Arc::clone(&taken)));
                }
            });
        }
        Self { urls: ports.map(|port| format!("redis://127.0.0.1:{port}")), taken }
    }
}

async fn serve(socket: tokio::net::TcpStream, index: usize, ports: [u16; 2], taken: Arc<AtomicU32>) {
    let (read, mut write) = socket.into_split();
    let mut lines = tokio::io::BufReader::new(read).lines();
    let mut asking = false;
    // Lengths and arguments are passed over: each command is known by its name.
    while let Ok(Some(line)) = lines.next_line().await {
        let answer = match line.as_str() {
            "PING" => "+PONG\r\n".to_owned(),
            "SLOTS" => format!("*1\r\n*3\r\n:0\r\n:16383\r\n*2\r\n$9\r\n127.0.0.1\r\n:{}\r\n", ports[0]),
            "ASKING" => {
                asking = true;
                "+OK\r\n".to_owned()
            }
            "SPUBLISH" if index == 0 => format!("-ASK 1 127.0.0.1:{}\r\n", ports[1]),
            "SPUBLISH" if std::mem::take(&mut asking) => {
                taken.fetch_add(1, Ordering::Relaxed);
                ":1\r\n".to_owned()
            }
            "SPUBLISH" => "-ERR nobody asked\r\n".to_owned(),
            _ => continue,
        };
        write.write_all(answer.as_bytes()).await.unwrap();
    }
}

#[test]
fn a_message_that_is_sent_on_with_ask_is_taken_once_counted_and_told() {
    block_on(async {
        let askers = Askers::start().await;
        let driver = ShardedCluster::new(&askers.urls[0]).unwrap();
        let topology = Topology { prefix: "bm".to_owned(), ..Topology::default() };
        let mut publisher = driver.publisher(&topology, 0).await.unwrap();
        for _ in 0..20 {
            assert_eq!(publisher.enqueue(TopicId(0), b"sent on").unwrap(), Enqueued::Yes);
        }
        let mut accepted = 0;
        publisher.flush(&mut |run| accepted += count(run)).await.unwrap();
        while accepted < 20 {
            publisher.acks(&mut |run| accepted += count(run)).await.unwrap();
        }
        assert_eq!(askers.taken.load(Ordering::Relaxed), 20);
        let remarks = driver.remarks();
        assert!(
            remarks.len() == 1 && remarks[0].starts_with("20 messages were sent on with ASK"),
            "{remarks:?}"
        );
    });
}
