//! Ten thousand of everything, and what an idle connection costs.

use super::support::{Conn, Served, command};
use std::net::TcpStream;
use std::sync::{Mutex, MutexGuard, PoisonError};

const MANY: usize = 10_000;

/// Files this process may open; tests that need more say so.
fn open_files() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    line.split_whitespace().nth(3).unwrap().parse().unwrap_or(usize::MAX)
}

/// One test of this size at a time: together they would need more files than a process has.
static TURN: Mutex<()> = Mutex::new(());

fn my_turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn enough_files() -> bool {
    let enough = open_files() > MANY + 200;
    if !enough {
        assert!(std::env::var_os("CI").is_none(), "needs {MANY} open files, has {}", open_files());
        eprintln!("NOT RUN: needs {MANY} open files, has {} (ulimit -n)", open_files());
    }
    enough
}

#[test]
#[ignore = "long: opens ten thousand connections"]
fn ten_thousand_subscribers_of_one_channel_all_get_the_message_and_the_next_client_is_told_why_not() {
    if !enough_files() {
        return;
    }
    let _turn = my_turn();
    let server = Served::engine("1");
    let mut publisher = server.connect();
    let mut subscribers: Vec<TcpStream> = Vec::new();
    for _ in 1..MANY {
        let mut stream = TcpStream::connect(server.address).unwrap();
        std::io::Write::write_all(&mut stream, b"SUBSCRIBE all\r\n").unwrap();
        subscribers.push(stream);
    }
    let mut subscribers: Vec<Conn> = subscribers.into_iter().map(Conn::new).collect();
    for conn in &mut subscribers {
        assert!(conn.next().begins_with("subscribe"));
    }
    let mut refused = server.connect();
    assert_eq!(refused.next().text(), "ERR max number of clients reached");
    for text in ["first", "second"] {
        assert_eq!(publisher.ask(&format!("PUBLISH all {text}")).text(), (MANY - 1).to_string());
        for conn in &mut subscribers {
            assert_eq!(conn.next().items()[2].text(), text);
        }
    }
    drop(subscribers);
    while publisher.ask("PUBSUB NUMSUB all").items()[1].text() != "0" {}
    assert_eq!(publisher.ask("PING").text(), "PONG");
}

#[test]
#[ignore = "long: opens ten thousand connections"]
fn an_idle_connection_costs_at_most_2_kib() {
    if !enough_files() {
        return;
    }
    let _turn = my_turn();
    let server = Served::engine("1");
    let mut first = server.connect();
    assert_eq!(first.ask("PING").text(), "PONG");
    let before = server.resident();
    let mut idle: Vec<Conn> = Vec::new();
    for _ in 2..MANY {
        idle.push(server.connect());
    }
    // Each has been greeted, so that what the greeting costs is in it.
    for conn in &mut idle {
        conn.raw(b"PING\r\n");
    }
    for conn in &mut idle {
        assert_eq!(conn.next().text(), "PONG");
    }
    let each = server.resident().saturating_sub(before) / idle.len() as u64;
    eprintln!("{each} bytes per idle connection");
    assert!(each <= 2048, "{each} bytes per idle connection");
}

#[test]
fn ten_thousand_channels_and_patterns_are_told_apart() {
    let server = Served::engine("1");
    let (mut subscriber, mut publisher) = (server.connect(), server.connect());
    let mut commands = Vec::new();
    for channel in 0..MANY {
        commands.extend(command(&["SUBSCRIBE", &format!("channel-{channel}")]));
    }
    subscriber.raw(&commands);
    for count in 1..=MANY {
        assert_eq!(subscriber.next().items()[2].text(), count.to_string());
    }
    subscriber.ask("PSUBSCRIBE channel-*77");
    let mut commands = Vec::new();
    for channel in 0..MANY {
        commands.extend(command(&["PUBLISH", &format!("channel-{channel}"), &channel.to_string()]));
    }
    publisher.raw(&commands);
    for channel in 0..MANY {
        let twice = channel % 100 == 77;
        assert_eq!(publisher.next().text(), if twice { "2" } else { "1" });
        assert_eq!(subscriber.next().items()[2].text(), channel.to_string());
        if twice {
            assert_eq!(subscriber.next().items()[3].text(), channel.to_string());
        }
    }
    assert_eq!(publisher.ask("PUBSUB CHANNELS").items().len(), MANY);
    drop(subscriber);
    while !publisher.ask("PUBSUB CHANNELS").items().is_empty() {}
}
