//! Odd and broken input is answered as Redis 8.2 answers it, and disturbs nobody else.

use crate::node::Node;
use crate::support::{Conn, Served};

fn sent(server: &Served, bytes: &[u8]) -> Conn {
    let mut conn = server.connect();
    conn.raw(bytes);
    conn
}

/// The connection gets this answer and then its end.
fn refused(server: &Served, bytes: &[u8], text: &str) {
    let mut conn = sent(server, bytes);
    let answer = conn.next();
    assert_eq!(
        answer,
        Node::Leaf(b'-', format!("ERR Protocol error: {text}").into_bytes()),
        "{}",
        bytes.escape_ascii()
    );
    assert!(conn.closes(), "{}", bytes.escape_ascii());
}

/// After these bytes the connection still answers a PING, and nothing before it.
fn ignored(server: &Served, bytes: &[u8]) {
    let mut conn = sent(server, bytes);
    assert_eq!(conn.ask("PING").text(), "PONG", "{}", bytes.escape_ascii());
}

#[test]
fn empty_commands_are_ignored_and_inline_ones_accepted() {
    let server = Served::engine(super::THREADS);
    for bytes in [&b"\r\n"[..], b"\n", b"*0\r\n", b"*-1\r\n", b"*-10\r\n", b"   \r\n"] {
        ignored(&server, bytes);
    }
    assert_eq!(sent(&server, b"PING\n").next().text(), "PONG");
    assert_eq!(sent(&server, b"ECHO \"a \\x41\"\r\n").next().text(), "a A");
    assert_eq!(sent(&server, b"*1\r\n$4\r\nPINGxx").next().text(), "PONG", "two bytes are skipped unchecked");
}

#[test]
fn broken_streams_get_the_words_of_redis_and_are_closed() {
    let server = Served::engine(super::THREADS);
    for head in ["*abc", "*01", "*+1", "*2147483648", "*3000000000"] {
        refused(&server, format!("{head}\r\n").as_bytes(), "invalid multibulk length");
    }
    for head in ["$-1", "$-5", "$-10", "$abc", "$536870913", "$2000000000"] {
        refused(&server, format!("*1\r\n{head}\r\n").as_bytes(), "invalid bulk length");
    }
    refused(&server, b"*2\r\n$4\r\nECHO\r\n:4\r\n", "expected '$', got ':'");
    refused(&server, b"*2\r\n$4\r\nECHO\r\n*1\r\n", "expected '$', got '*'");
    refused(&server, b"*1\r\nfoo\r\n", "expected '$', got 'f'");
    refused(&server, b"set \"\"\"k\"\"\" v\r\n", "unbalanced quotes in request");
}

#[test]
fn a_line_of_more_than_64_kib_is_refused() {
    let server = Served::engine(super::THREADS);
    for (head, text) in [
        ("", "too big inline request"),
        ("*", "too big mbulk count string"),
        ("*1\r\n$", "too big bulk count string"),
    ] {
        let mut bytes = head.as_bytes().to_vec();
        bytes.resize(bytes.len() + 64 * 1024 + 1, b'1');
        refused(&server, &bytes, text);
    }
}

#[test]
fn large_announcements_are_accepted_and_cost_nothing() {
    let server = Served::engine(super::THREADS);
    let before = server.resident();
    let heads = [&b"*1048577\r\n"[..], b"*2147483647\r\n", b"*1\r\n$536870912\r\n"];
    let waiting: Vec<Conn> = heads.iter().cycle().take(60).map(|head| sent(&server, head)).collect();
    assert_eq!(server.connect().ask("PING").text(), "PONG");
    let grown = server.resident().saturating_sub(before);
    assert!(grown < 4 << 20, "{} connections that announced much cost {grown} bytes", waiting.len());
}

#[test]
fn browsers_are_hung_up_on_without_a_word() {
    let server = Served::engine(super::THREADS);
    for bytes in [&b"POST / HTTP/1.1\r\n"[..], b"GET / HTTP/1.1\r\nHost: x\r\n", b"Host: x\r\n"] {
        let mut conn = sent(&server, bytes);
        assert!(conn.closes(), "{}", bytes.escape_ascii());
    }
}

#[test]
fn garbage_on_one_connection_never_disturbs_another() {
    let server = Served::engine(super::THREADS);
    let mut subscriber = server.connect();
    subscriber.ask("SUBSCRIBE calm");
    let mut publisher = server.connect();
    for round in 0..50u8 {
        let garbage: Vec<u8> =
            (0..2000u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8 ^ round).collect();
        let mut rude = server.connect();
        // The server may have closed before all is written.
        let _ = std::io::Write::write_all(&mut rude.stream, &garbage);
        assert_eq!(publisher.ask(&format!("PUBLISH calm {round}")).text(), "1");
        assert_eq!(subscriber.next().items()[2].text(), round.to_string());
    }
}

#[test]
fn a_subscriber_of_resp2_may_do_nothing_else() {
    let server = Served::engine(super::THREADS);
    let mut conn = server.connect();
    conn.ask("SUBSCRIBE a");
    let only = "only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context";
    for command in ["get", "publish", "multi", "hello", "echo"] {
        let answer =
            conn.ask(&format!("{command} x y").replace("echo x y", "echo x").replace("multi x y", "multi"));
        assert_eq!(answer.text(), format!("ERR Can't execute '{command}': {only}"));
    }
    assert_eq!(conn.ask("HELLO 4").text(), format!("ERR Can't execute 'hello': {only}"));
    assert_eq!(server.connect().ask("HELLO 4").text(), "NOPROTO unsupported protocol version");
    assert!(server.connect().ask("get x").text().contains("without a keyspace"));
}
