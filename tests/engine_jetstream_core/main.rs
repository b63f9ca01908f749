//! The JetStream-style engine's core, over real sockets: what nats-server 2.11.11 answers, it answers.

#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test may panic, and says what it can't do here"
)]

mod access;
mod doors;
#[path = "../shared/jetstream_engine.rs"]
mod jetstream_engine;
mod monitor;
mod process;

use busmark::engine::jetstream::{Credentials, Settings};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::jetstream_engine::Server;

impl Server {
    /// A connection that has read its INFO.
    fn raw(&self) -> Peer {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let mut peer = Peer { stream, read: Vec::new() };
        assert!(peer.line().starts_with("INFO {"));
        peer
    }

    /// A connection that has said CONNECT as clients do.
    fn client(&self) -> Peer {
        let mut peer = self.raw();
        peer.send(
            "CONNECT {\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true}\r\n",
        );
        peer.settle();
        peer
    }
}

struct Peer {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Peer {
    fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    /// Reads until `until` has come, or the other end closed.
    fn read_to(&mut self, until: &str) -> String {
        loop {
            let found = self.read.windows(until.len()).position(|window| window == until.as_bytes());
            if let Some(at) = found {
                return String::from_utf8(self.read.drain(..at + until.len()).collect()).unwrap();
            }
            let mut buffer = [0; 65536];
            match self.stream.read(&mut buffer) {
                Ok(0) => return String::from_utf8(std::mem::take(&mut self.read)).unwrap() + "<closed>",
                Ok(count) => self.read.extend_from_slice(&buffer[..count]),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return "<closed>".to_owned(),
                Err(error) => panic!("{error} while waiting for {until:?}; read {:?}", self.read),
            }
        }
    }

    fn line(&mut self) -> String {
        self.read_to("\r\n")
    }

    /// Everything that was sent so far has been carried out; gives what came before the PONG.
    fn settle(&mut self) -> String {
        self.send("PING\r\n");
        let all = self.read_to("PONG\r\n");
        all.strip_suffix("PONG\r\n").unwrap_or_else(|| panic!("{all:?}")).to_owned()
    }

    /// Whether the server closes without a word that is one of NATS; it may say what is wrong with encryption.
    fn until_end_of_any_kind(&mut self) -> bool {
        let mut rest = Vec::new();
        let _closed_or_reset = self.stream.read_to_end(&mut rest);
        !rest.windows(4).any(|window| window == b"PONG")
    }

    /// What the server says until it closes.
    fn until_end(&mut self) -> String {
        self.read_to("<never sent>")
    }
}

#[test]
fn odd_input_is_answered_as_by_the_real_server() {
    let server = Server::start(Settings::default());
    let long = format!("SUB {} 1\r\n", "a".repeat(4100));
    for (input, answer) in [
        ("FOO\r\n", "-ERR 'Unknown Protocol Operation'\r\n<closed>"),
        ("\r\n", "-ERR 'Unknown Protocol Operation'\r\n<closed>"),
        ("\0", "-ERR 'Unknown Protocol Operation'\r\n<closed>"),
        ("*1\r\n$4\r\nPING\r\n", "-ERR 'Unknown Protocol Operation'\r\n<closed>"),
        ("GET / HTTP/1.1\r\n\r\n", "-ERR 'Unknown Protocol Operation'\r\n<closed>"),
        ("CONNECT {bad\r\n", "<closed>"),
        ("CONNECT {\"protocol\":7}\r\n", "-ERR 'invalid client protocol'\r\n<closed>"),
        ("PUB a -1\r\n", "<closed>"),
        ("PUB a xx\r\n", "<closed>"),
        ("PUB a\r\n", "<closed>"),
        ("PUB a 99999999999999999999\r\n", "<closed>"),
        ("PUB a b c d 1\r\n", "<closed>"),
        ("SUB a\r\n", "<closed>"),
        ("HPUB a 9 3\r\n", "<closed>"),
        ("PUB a 1048577\r\n", "-ERR 'Maximum Payload Violation'\r\n<closed>"),
        (&long, "-ERR 'maximum control line exceeded'\r\n<closed>"),
        ("PUB a 2\r\nhixx", "-ERR 'Unknown Protocol Operation'\r\n<closed>"),
        ("HPUB a 12 12\r\nNATS/1.0\r\n\r\n\r\n", "-ERR 'message headers not supported'\r\n<closed>"),
    ] {
        let mut peer = server.raw();
        peer.send(input);
        assert_eq!(peer.until_end(), answer, "{input:.30}");
    }
}

#[test]
fn what_is_odd_but_allowed_keeps_the_connection() {
    let server = Server::start(Settings::default());
    let mut peer = server.raw();
    peer.send("ping\n");
    assert_eq!(peer.line(), "PONG\r\n");
    // Before CONNECT a client counts as verbose and pedantic.
    peer.send("pub a.* 2\nhi\r\n");
    assert_eq!((peer.line(), peer.line()), ("-ERR 'Invalid Publish Subject'\r\n".into(), "+OK\r\n".into()));
    for bad in ["a..b", "a.>.b", "a."] {
        peer.send(&format!("SUB {bad} 1\r\n"));
        assert_eq!(peer.line(), "-ERR 'Invalid Subject'\r\n", "{bad}");
    }
    let mut lenient = server.client();
    lenient.send("SUB a.* 1\r\nSUB b.* 1\r\nSUB foo* 2\r\nPUB a.* 1\r\nx\r\nPUB a.b 1\r\ny\r\nPUB b.c 1\r\nz\r\nPUB foobar 0\r\n\r\nPUB foo* 0\r\n\r\n");
    // The second SUB with sid 1 is ignored; `foo*` is a literal.
    assert_eq!(lenient.settle(), "MSG a.* 1 1\r\nx\r\nMSG a.b 1 1\r\ny\r\nMSG foo* 2 0\r\n\r\n");
}

#[test]
fn headers_queues_limits_and_requests_work_as_in_the_recorded_dialogue() {
    let server = Server::start(Settings::default());
    let mut peer = server.client();
    peer.send("SUB _INBOX.* 1\r\nPUB nobody.home _INBOX.1 1\r\nx\r\n");
    assert_eq!(peer.settle(), "HMSG _INBOX.1 1 16 16\r\nNATS/1.0 503\r\n\r\n\r\n");
    peer.send("SUB h.* q1 90\r\nUNSUB 90 2\r\n");
    for _ in 0..3 {
        peer.send("HPUB h.1 20 22\r\nNATS/1.0\r\nA: b\r\n\r\n\r\nhi\r\n");
    }
    let one = "HMSG h.1 90 20 22\r\nNATS/1.0\r\nA: b\r\n\r\n\r\nhi\r\n";
    assert_eq!(peer.settle(), one.repeat(2), "UNSUB after 2 ends it");
    // Who does not know headers gets the payload.
    let mut plain = server.raw();
    plain.send("CONNECT {\"verbose\":false,\"echo\":false}\r\nSUB h.> 5\r\nPUB h.own 1\r\nx\r\n");
    assert_eq!(plain.settle(), "", "echo is off");
    peer.send("HPUB h.1 r 20 22\r\nNATS/1.0\r\nA: b\r\n\r\n\r\nhi\r\n");
    assert_eq!(peer.settle(), "");
    assert_eq!(plain.settle(), "MSG h.1 5 r 2\r\nhi\r\n");
}

#[test]
fn each_message_goes_to_every_plain_subscriber_and_to_one_of_each_group() {
    let server = Server::start(Settings::default());
    let mut members: Vec<Peer> = (0..3).map(|_| server.client()).collect();
    for (index, member) in members.iter_mut().enumerate() {
        member.send(&format!("SUB w.> workers 1\r\nSUB w.a {}\r\n", if index == 2 { "7" } else { "2" }));
        member.settle();
    }
    let mut publisher = server.client();
    let frames: String = (0..300).map(|n| format!("PUB w.a 3\r\n{n:03}\r\n")).collect();
    publisher.send(&frames);
    publisher.settle();
    let mut by_group: Vec<String> = Vec::new();
    for (index, member) in members.iter_mut().enumerate() {
        let all = member.settle();
        let own = format!("MSG w.a {} 3\r\n", if index == 2 { "7" } else { "2" });
        let plain: String = (0..300).map(|n| format!("{own}{n:03}\r\n")).collect();
        let lines: Vec<&str> = all.split_terminator("\r\n").collect();
        let picked = |sid: &str| {
            lines
                .chunks(2)
                .filter(|pair| pair[0].split(' ').nth(2) == Some(sid))
                .map(|pair| pair[1].to_owned())
                .collect::<Vec<_>>()
        };
        let mine: Vec<String> = picked("1");
        assert!(!mine.is_empty(), "300 messages among 3 leave nobody out");
        by_group.extend(mine);
        let direct = picked(if index == 2 { "7" } else { "2" });
        assert_eq!(direct.iter().map(|body| format!("{own}{body}\r\n")).collect::<String>(), plain);
    }
    by_group.sort();
    assert_eq!(by_group, (0..300).map(|n| format!("{n:03}")).collect::<Vec<_>>());
}

#[test]
fn a_burst_to_many_subscribers_arrives_whole_in_order_and_with_each_ones_sid() {
    let server = Server::start(Settings::default());
    let mut peers: Vec<Peer> = (0..40).map(|_| server.client()).collect();
    for (index, peer) in peers.iter_mut().enumerate() {
        peer.send(&format!("SUB burst {}\r\n", 1 + index % 3));
        peer.settle();
    }
    let mut publisher = server.client();
    let frames: String = (0..5_000).map(|n| format!("PUB burst r{n} 20\r\n{n:020}\r\n")).collect();
    publisher.send(&frames);
    publisher.settle();
    for (index, peer) in peers.iter_mut().enumerate() {
        let expected: String =
            (0..5_000).map(|n| format!("MSG burst {} r{n} 20\r\n{n:020}\r\n", 1 + index % 3)).collect();
        assert!(peer.settle() == expected, "subscriber {index} got something else");
    }
}

#[test]
fn only_who_knows_the_password_comes_in_and_who_is_silent_is_cut() {
    let mut credentials = Credentials { token: Some("t".into()), ..Credentials::default() };
    credentials.add("u", "p");
    let server = Server::start(Settings {
        credentials,
        auth_timeout: Duration::from_millis(200),
        ..Settings::default()
    });
    for (input, welcome) in [
        ("CONNECT {\"user\":\"u\",\"pass\":\"p\",\"verbose\":false}\r\nPING\r\n", true),
        ("CONNECT {\"auth_token\":\"t\",\"verbose\":false}\r\nPING\r\n", true),
        ("CONNECT {\"user\":\"u\",\"pass\":\"x\"}\r\nPING\r\n", false),
        ("CONNECT {}\r\n", false),
        ("PING\r\n", false),
        ("PUB a 0\r\n\r\n", false),
    ] {
        let mut peer = server.raw();
        peer.send(input);
        let answer = if welcome { peer.line() } else { peer.until_end() };
        let expected = if welcome { "PONG\r\n" } else { "-ERR 'Authorization Violation'\r\n<closed>" };
        assert_eq!(answer, expected, "{input}");
    }
    assert_eq!(server.raw().until_end(), "-ERR 'Authentication Timeout'\r\n<closed>");
}

#[test]
fn too_many_connections_stale_ones_and_too_many_subscriptions_are_refused() {
    let server = Server::start(Settings {
        max_connections: 2,
        max_subscriptions: 1,
        ping_interval: Duration::from_millis(100),
        ping_max: 1,
        ..Settings::default()
    });
    let mut silent = server.raw();
    let mut greedy = server.client();
    assert_eq!(server.raw().until_end(), "-ERR 'maximum connections exceeded'\r\n<closed>");
    greedy.send("SUB a 1\r\nSUB b 2\r\n");
    assert!(greedy.until_end().ends_with("-ERR 'maximum subscriptions exceeded'\r\n<closed>"));
    assert_eq!(silent.until_end(), "PING\r\n-ERR 'Stale Connection'\r\n<closed>");
}

#[test]
fn a_reader_that_stops_is_cut_and_nobody_else_suffers() {
    let server = Server::start(Settings { max_pending: 4 << 20, ..Settings::default() });
    let (mut stopped, mut healthy, mut publisher) = (server.client(), server.client(), server.client());
    stopped.send("SUB flood 1\r\n");
    stopped.settle();
    healthy.send("SUB tick 1\r\n");
    healthy.settle();
    let block = format!("PUB flood 65536\r\n{}\r\n", "x".repeat(65_536));
    for round in 0..400 {
        publisher.send(&block);
        publisher.send(&format!("PUB tick 3\r\n{round:03}\r\n"));
        assert_eq!(healthy.read_to(&format!("{round:03}\r\n")), format!("MSG tick 1 3\r\n{round:03}\r\n"));
    }
    // 26 MB were sent; the sockets hold a few, 4 MiB may wait.
    let received = stopped.until_end();
    assert!(received.ends_with("<closed>") && received.len() < 20 << 20, "{} bytes came", received.len());
}

#[test]
fn a_link_named_nats_server_stands_in_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let link = dir.path().join("nats-server");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_busmark"), &link).unwrap();
    let mut child = std::process::Command::new(&link)
        .args(["-p", "-1", "-a", "127.0.0.1", "-js", "-sd"])
        .arg(dir.path().join("store"))
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line)
        .unwrap();
    let address: SocketAddr = line.trim().strip_prefix("Listening on ").unwrap().parse().unwrap();
    let mut stream = TcpStream::connect(address).unwrap();
    let mut info = [0; 5];
    stream.read_exact(&mut info).unwrap();
    assert_eq!(&info, b"INFO ");
    child.kill().unwrap();
    child.wait().unwrap();
}
