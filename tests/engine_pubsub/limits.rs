//! Output buffer limits: who reads too slowly is cut as by Redis, and nobody else notices.

use crate::node::Node;
use crate::support::{Conn, Served};
use std::io::Read;
use std::time::Duration;

/// Publishes 1 KiB messages until a subscriber that reads nothing is cut; gives the messages it was sent.
/// A subscriber that reads is checked to get every one of them.
fn cut_after(server: &Served) -> u64 {
    const BATCH: u64 = 64;
    let mut stopped = server.connect();
    stopped.ask("SUBSCRIBE slow");
    let mut healthy = server.connect();
    healthy.ask("SUBSCRIBE slow");
    let reader = std::thread::spawn(move || {
        let mut next = 0u64;
        while let Some(node) = healthy.try_next() {
            let text = node.items()[2].text();
            if text == "end" {
                break;
            }
            assert_eq!(text[..12].parse::<u64>().unwrap(), next, "a healthy subscriber lost a message");
            next += 1;
        }
        next
    });
    let (mut publisher, mut sent) = (server.connect(), 0);
    loop {
        let batch: Vec<u8> = (sent..sent + BATCH)
            .flat_map(|n| crate::support::command(&["PUBLISH", "slow", &format!("{n:012}{:1012}", "")]))
            .collect();
        publisher.raw(&batch);
        let receivers: Vec<String> = (0..BATCH).map(|_| publisher.next().text()).collect();
        sent += BATCH;
        if receivers.last().is_some_and(|count| count == "1") {
            break;
        }
        assert!(sent < 200_000, "never cut");
    }
    publisher.ask("PUBLISH slow end");
    assert_eq!(reader.join().unwrap(), sent);
    let mut rest = Vec::new();
    let _ = stopped.stream.read_to_end(&mut rest);
    assert!(!rest.windows(4).any(|four| four == b"-ERR"), "it is cut without a word");
    sent
}

#[test]
fn a_stopped_reader_is_cut_after_as_many_bytes_as_by_redis_and_others_lose_nothing() {
    let Some(redis) = Served::redis("cut like Redis") else { return };
    let engine = Served::engine(super::THREADS);
    let (theirs, ours) = (cut_after(&redis), cut_after(&engine));
    eprintln!("cut after {theirs} messages of 1 KiB by Redis, {ours} by the engine");
    assert!(
        ours.abs_diff(theirs) * 10 <= theirs,
        "Redis cuts after {theirs} messages, the engine after {ours}"
    );
    let stat = engine.connect().ask("INFO stats").text();
    assert!(stat.contains("client_output_buffer_limit_disconnections:1\r\n"), "{stat}");
}

fn limit(server: &Served, limit: &str) {
    let mut conn = server.connect();
    conn.send(&["CONFIG", "SET", "client-output-buffer-limit", limit]);
    assert_eq!(conn.next(), Node::Leaf(b'+', b"OK".to_vec()));
}

/// Fills the kernel's buffers and some more of a subscriber that reads nothing.
fn stuck(server: &Served) -> Conn {
    let mut stopped = server.connect();
    stopped.ask("SUBSCRIBE slow");
    let payload = "x".repeat(12 << 20);
    let mut publisher = server.connect();
    publisher.send(&["PUBLISH", "slow", &payload]);
    assert_eq!(publisher.next().text(), "1");
    stopped
}

#[test]
fn the_soft_limit_runs_out_by_time_alone() {
    let server = Served::engine(super::THREADS);
    limit(&server, "pubsub 0 1mb 1");
    let _stopped = stuck(&server);
    let mut watcher = server.connect();
    assert_eq!(watcher.ask("PUBSUB NUMSUB slow").items()[1].text(), "1", "cut before its seconds were over");
    let started = busmark::clock::Clock::real();
    while watcher.ask("PUBSUB NUMSUB slow").items()[1].text() == "1" {
        assert!(started.now() < 10_000_000_000, "never cut");
    }
    assert!(started.now() >= 900_000_000, "cut after {} ns", started.now());
}

#[test]
fn a_backlog_below_the_limits_is_kept_and_delivered_whole() {
    let server = Served::engine(super::THREADS);
    limit(&server, "pubsub 0 0 0");
    let mut late = stuck(&server);
    let message = late.next();
    assert_eq!(message.items()[2].text().len(), 12 << 20);
    assert_eq!(late.ask("PING").items()[0].text(), "pong");
}

#[test]
fn clients_that_do_not_subscribe_have_a_limit_of_their_own() {
    let server = Served::engine(super::THREADS);
    limit(&server, "normal 2mb 0 0");
    let mut conn = server.connect();
    conn.stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // Its answers are longer than the limit and all that the kernel keeps.
    let word = "y".repeat(1 << 20);
    for _ in 0..40 {
        if std::io::Write::write_all(&mut conn.stream, &crate::support::command(&["ECHO", &word])).is_err() {
            break;
        }
    }
    let mut all = Vec::new();
    let _ = conn.stream.read_to_end(&mut all);
    assert!(all.len() < 40 << 20, "it was never cut");
}
