//! What only an engine with several event loops can get wrong.

use crate::support::{Served, command};

#[test]
fn connections_are_shared_out_among_the_event_loops() {
    let server = Served::engine("4");
    let mut all: Vec<_> = (0..8).map(|_| server.connect()).collect();
    all.iter_mut().for_each(|conn| assert_eq!(conn.ask("PING").text(), "PONG"));
    let list = all[0].ask("CLIENT LIST").text();
    for thread in 0..4 {
        let on_it = list.lines().filter(|line| line.contains(&format!(" io-thread={thread} ")));
        assert_eq!(on_it.count(), 2, "{list}");
    }
}

#[test]
fn a_flood_from_one_event_loop_to_another_takes_bounded_memory() {
    let server = Served::engine("2");
    // The first connection goes to one loop, the second to the other.
    let (mut subscriber, mut publisher) = (server.connect(), server.connect());
    subscriber.ask("CONFIG SET client-output-buffer-limit \"pubsub 0 0 0\"");
    subscriber.ask("SUBSCRIBE flood");
    let batch = command(&["PUBLISH", "flood", &"x".repeat(4_000)]).repeat(500);
    let before = server.resident();
    let most = std::thread::scope(|scope| {
        let reader = scope.spawn(move || (0..50_000).for_each(|_| drop(subscriber.next())));
        let mut most = 0;
        for _ in 0..100 {
            publisher.raw(&batch);
            (0..500).for_each(|_| assert_eq!(publisher.next().text(), "1"));
            most = most.max(server.resident());
        }
        reader.join().unwrap();
        most
    });
    let grown = most.saturating_sub(before);
    assert!(grown < 256 << 20, "{grown} bytes more");
}

#[test]
fn as_many_threads_as_were_asked_for_and_no_other_number() {
    for wrong in ["0", "65", "x"] {
        let out = std::process::Command::new(env!("CARGO_BIN_EXE_busmark"))
            .args(["serve", "pubsub", "--listen", "127.0.0.1:0", "--threads", wrong])
            .output()
            .unwrap();
        assert_eq!(out.status.code(), Some(2), "{wrong}");
        assert!(String::from_utf8_lossy(&out.stderr).contains("from 1 to 64"));
    }
}
