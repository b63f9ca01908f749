//! The JetStream-style engine killed under load: what it acknowledged is there when it is back.

#![expect(clippy::unwrap_used, reason = "a test that can't go on panics")]

use busmark::prng::Prng;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Rounds of the short form, which every run of the tests does; BUSMARK_CRASH_ROUNDS asks for more.
const ROUNDS: u64 = 8;
/// Messages in flight.
const WINDOW: u64 = 64;

struct Engine {
    process: Child,
    address: SocketAddr,
}

impl Engine {
    fn start(dir: &Path, sync: &str) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_busmark"))
            .args(["serve", "jetstream", "--listen", "127.0.0.1:0", "--sync", sync, "-sd"])
            .arg(dir)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address =
            line.trim().strip_prefix("Listening on ").unwrap_or_else(|| panic!("{line:?}")).parse().unwrap();
        Self { process, address }
    }

    /// SIGKILL, as `Child::kill` sends it.
    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let _gone_already = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A connection that reads messages whole; `None` at its end.
struct Peer {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Peer {
    fn connect(engine: &Engine) -> Self {
        let stream = TcpStream::connect(engine.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut peer = Self { stream, read: Vec::new() };
        peer.send("CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\nSUB in.* 1\r\n");
        peer
    }

    fn send(&mut self, text: &str) -> bool {
        self.stream.write_all(text.as_bytes()).is_ok()
    }

    fn fill(&mut self) -> bool {
        let mut buffer = [0; 65536];
        let count = self.stream.read(&mut buffer).unwrap_or(0);
        self.read.extend_from_slice(&buffer[..count]);
        count > 0
    }

    /// The next message: head and body.
    fn message(&mut self) -> Option<(String, String)> {
        loop {
            if let Some(end) = self.read.iter().position(|&byte| byte == b'\n') {
                let line = String::from_utf8_lossy(&self.read[..end]).trim_end().to_owned();
                if !line.contains("MSG ") {
                    self.read.drain(..=end);
                    continue;
                }
                let size: usize = line.rsplit(' ').next()?.parse().ok()?;
                if self.read.len() >= end + 1 + size + 2 {
                    let body = String::from_utf8_lossy(&self.read[end + 1..end + 1 + size]).into_owned();
                    self.read.drain(..end + 1 + size + 2);
                    return Some((line, body));
                }
            }
            if !self.fill() {
                return None;
            }
        }
    }

    fn ask(&mut self, subject: &str, body: &str) -> String {
        assert!(self.send(&format!("PUB {subject} in.x {}\r\n{body}\r\n", body.len())));
        loop {
            let (head, body) = self.message().expect("an answer");
            if head.contains(" in.x ") {
                return body;
            }
        }
    }
}

/// What the load has been promised.
#[derive(Default)]
struct Promised {
    /// Sequences by number.
    stored: BTreeMap<u64, u64>,
    /// Numbers published without an answer.
    open: BTreeSet<u64>,
    /// Double acks that were confirmed.
    acknowledged: BTreeSet<u64>,
    /// Deletions that were confirmed.
    deleted: BTreeSet<u64>,
    /// Deletions that were asked for.
    asked_to_delete: BTreeSet<u64>,
    next: u64,
}

fn sequence_of(ack: &str) -> Option<u64> {
    serde_json::from_str::<serde_json::Value>(ack).ok()?.get("seq")?.as_u64().filter(|&sequence| sequence > 0)
}

fn publish(peer: &mut Peer, number: u64, size: usize) -> bool {
    let headers = format!("NATS/1.0\r\nNats-Msg-Id: {number}\r\n\r\n");
    let body = format!("{number:010}{}", "x".repeat(size));
    let total = headers.len() + body.len();
    peer.send(&format!(
        "HPUB load.{} in.p{number} {} {total}\r\n{headers}{body}\r\n",
        number % 3,
        headers.len()
    ))
}

/// Publishes, consumes and deletes until the engine is killed after `kill_after` answers.
fn load(engine: &mut Engine, promised: &mut Promised, kill_after: u64, prng: &mut Prng) {
    let mut peer = Peer::connect(engine);
    // What had no answer when the engine was killed is published again under its id.
    let again: Vec<u64> = promised.open.iter().copied().collect();
    for number in again {
        publish(&mut peer, number, 0);
    }
    peer.send("PUB $JS.API.CONSUMER.MSG.NEXT.L.C in.m 6\r\n100000\r\n");
    let mut answers = 0;
    loop {
        while (promised.open.len() as u64) < WINDOW {
            let number = promised.next;
            promised.next += 1;
            promised.open.insert(number);
            let size = prng.below(3_000) as usize;
            publish(&mut peer, number, size);
        }
        if answers >= kill_after {
            engine.kill();
        }
        let Some((head, body)) = peer.message() else { return };
        answers += 1;
        let words: Vec<&str> = head.split(' ').collect();
        if let Some(number) = words[1].strip_prefix("in.p").and_then(|number| number.parse::<u64>().ok()) {
            let sequence =
                sequence_of(&body).unwrap_or_else(|| panic!("number {number} was refused: {body}"));
            promised.open.remove(&number);
            promised.stored.insert(number, sequence);
            if prng.below(50) == 0 {
                let wish = format!("{{\"seq\":{sequence}}}");
                promised.asked_to_delete.insert(number);
                peer.send(&format!(
                    "PUB $JS.API.STREAM.MSG.DELETE.L in.d{number} {}\r\n{wish}\r\n",
                    wish.len()
                ));
            }
        } else if let Some(number) =
            words[1].strip_prefix("in.d").and_then(|number| number.parse::<u64>().ok())
        {
            if body.contains("\"success\":true") {
                promised.deleted.insert(number);
            }
        } else if let Some(sequence) =
            words[1].strip_prefix("in.a").and_then(|number| number.parse::<u64>().ok())
        {
            promised.acknowledged.insert(sequence);
        } else if let Some(ack) = words.iter().find(|word| word.starts_with("$JS.ACK")) {
            let sequence: u64 = ack.split('.').nth(5).unwrap().parse().unwrap();
            assert!(
                !promised.acknowledged.contains(&sequence),
                "sequence {sequence} came again after its double ack"
            );
            peer.send(&format!("PUB {ack} in.a{sequence} 4\r\n+ACK\r\n"));
        }
    }
}

/// Holds what is there against what was promised.
fn check(engine: &Engine, promised: &Promised, round: u64) {
    let mut peer = Peer::connect(engine);
    let made = peer.ask(
        "$JS.API.CONSUMER.CREATE.L",
        "{\"stream_name\":\"L\",\"config\":{\"ack_policy\":\"none\",\"inactive_threshold\":60000000000}}",
    );
    let made: serde_json::Value = serde_json::from_str(&made).unwrap();
    let name = made["name"].as_str().unwrap_or_else(|| panic!("{made}"));
    let wish = "{\"batch\":10000000,\"no_wait\":true}";
    assert!(peer.send(&format!("PUB $JS.API.CONSUMER.MSG.NEXT.L.{name} in.c {}\r\n{wish}\r\n", wish.len())));
    let mut found: BTreeMap<u64, u64> = BTreeMap::new();
    loop {
        let (head, body) = peer.message().expect("messages, then a status");
        let Some(ack) = head.split(' ').find(|word| word.starts_with("$JS.ACK")) else { break };
        let sequence: u64 = ack.split('.').nth(5).unwrap().parse().unwrap();
        let number: u64 = body.split("\r\n\r\n").nth(1).unwrap()[..10].parse().unwrap();
        assert_eq!(found.insert(number, sequence), None, "round {round}: number {number} is there twice");
    }
    for (number, sequence) in &promised.stored {
        if promised.deleted.contains(number) {
            assert!(!found.contains_key(number), "round {round}: the deleted number {number} is back");
        } else if let Some(other) = found.get(number) {
            assert_eq!(other, sequence, "round {round}: number {number} has moved");
        } else {
            // A deletion that was asked for and not confirmed may have happened; nothing else may be missing.
            assert!(
                promised.asked_to_delete.contains(number),
                "round {round}: acknowledged number {number} (sequence {sequence}) is lost"
            );
        }
    }
}

fn rounds(sync: &str) {
    let asked = std::env::var("BUSMARK_CRASH_ROUNDS").ok().and_then(|rounds| rounds.parse().ok());
    let rounds: u64 = asked.unwrap_or(ROUNDS);
    let seed = 7;
    let dir = tempfile::tempdir().unwrap();
    let mut prng = Prng::new(seed);
    let mut promised = Promised::default();
    let mut engine = Engine::start(dir.path(), sync);
    let mut peer = Peer::connect(&engine);
    let made = peer
        .ask("$JS.API.STREAM.CREATE.L", "{\"name\":\"L\",\"subjects\":[\"load.*\"],\"storage\":\"file\"}");
    assert!(made.contains("did_create"), "{made}");
    let made = peer.ask(
        "$JS.API.CONSUMER.DURABLE.CREATE.L.C",
        "{\"stream_name\":\"L\",\"config\":{\"durable_name\":\"C\",\"ack_policy\":\"explicit\",\"ack_wait\":300000000}}",
    );
    assert!(made.contains("\"name\":\"C\""), "{made}");
    drop(peer);
    for round in 0..rounds {
        load(&mut engine, &mut promised, 200 + prng.below(6_000), &mut prng);
        engine = Engine::start(dir.path(), sync);
        check(&engine, &promised, round);
    }
    assert!(promised.stored.len() as u64 > rounds * 50, "seed {seed}: hardly any load");
    assert!(promised.acknowledged.len() as u64 > rounds * 20, "seed {seed}: hardly any acks");
}

#[test]
fn what_was_acknowledged_survives_sigkill() {
    rounds("2m");
}

#[test]
fn what_was_acknowledged_survives_sigkill_with_sync_always() {
    rounds("always");
}
