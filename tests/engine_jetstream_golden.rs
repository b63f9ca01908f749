//! The dialogue recorded with nats-server 2.11.11, held with the JetStream-style engine: ids, times and free text may
//! differ, shapes and codes may not.

#![expect(clippy::unwrap_used, reason = "a test that can't go on panics")]

#[path = "shared/jetstream_engine.rs"]
mod jetstream_engine;

use busmark::engine::jetstream::{JetStreamSettings, Settings, SyncPolicy};
use serde_json::Value;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use crate::jetstream_engine::Server;

const DIALOGUE: &str = include_str!("golden/nats-2.11.11.txt");
/// Sections about what the engine refuses so far, loudly; each must get an answer, but another one.
const REFUSED: &[&str] = &["CONSUMER.PAUSE"];
/// Members of JSON objects that differ from run to run. Requests expire on the clock, which ran slower when it was
/// recorded.
const VOLATILE: &[&str] = &["created", "ts", "time", "first_ts", "last_ts", "last_active", "num_waiting"];
/// How long silence is waited for.
const SILENCE: Duration = Duration::from_millis(300);

/// One line of the recording that is a request, with the answers that followed.
#[derive(Debug)]
struct Exchange {
    section: String,
    request: String,
    answers: Vec<String>,
}

fn unescaped(text: &str) -> String {
    text.replace("\\r\\n", "\r\n")
}

fn exchanges() -> Vec<Exchange> {
    let mut all: Vec<Exchange> = Vec::new();
    let mut section = String::new();
    for line in DIALOGUE.lines() {
        if let Some(title) = line.strip_prefix("### ") {
            section = title.to_owned();
        } else if let Some(request) = line.strip_prefix("C: ") {
            all.push(Exchange { section: section.clone(), request: unescaped(request), answers: Vec::new() });
        } else if let (Some(answer), Some(last)) = (line.strip_prefix("S: "), all.last_mut()) {
            last.answers.push(answer.to_owned());
        } else if let (Some(body), Some(last)) = (line.strip_prefix("    "), all.last_mut())
            && let Some(answer) = last.answers.last_mut()
        {
            answer.push_str("\r\n");
            answer.push_str(&unescaped(body));
        }
    }
    all
}

struct Peer {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Peer {
    fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(SILENCE * 5)).unwrap();
        let mut peer = Self { stream, read: Vec::new() };
        assert!(peer.line().is_some_and(|line| line.starts_with("INFO {")));
        peer
    }

    fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).unwrap();
    }

    fn fill(&mut self) -> bool {
        let mut buffer = [0; 65536];
        match self.stream.read(&mut buffer) {
            Ok(count) => {
                self.read.extend_from_slice(&buffer[..count]);
                count > 0
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => false,
            Err(error) => panic!("{error}"),
        }
    }

    fn line(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.read.iter().position(|&byte| byte == b'\n') {
                let line: Vec<u8> = self.read.drain(..=end).collect();
                return Some(String::from_utf8(line).unwrap().trim_end().to_owned());
            }
            if !self.fill() {
                return None;
            }
        }
    }

    /// The next operation, with its body after a line end.
    fn operation(&mut self) -> Option<String> {
        let line = self.line()?;
        if !line.starts_with("MSG ") && !line.starts_with("HMSG ") {
            return Some(line);
        }
        let size: usize = line.rsplit(' ').next().unwrap().parse().unwrap();
        while self.read.len() < size + 2 {
            assert!(self.fill(), "a message was cut: {line}");
        }
        let body: Vec<u8> = self.read.drain(..size + 2).collect();
        Some(format!("{line}\r\n{}", String::from_utf8(body[..size].to_vec()).unwrap()))
    }
}

impl Peer {
    /// The next operation that is not a late answer to another request.
    fn answer(&mut self, sid: Option<&str>) -> Option<String> {
        loop {
            let operation = self.operation()?;
            let own = operation.split(' ').nth(2);
            if !operation.contains("MSG ") || sid.is_none() || own == sid {
                return Some(operation);
            }
        }
    }
}

fn steady(value: &mut Value) {
    match value {
        Value::Object(map) => {
            for (key, value) in map.iter_mut() {
                let never = value.as_str().is_some_and(|text| text.starts_with("0001-"));
                if VOLATILE.contains(&key.as_str()) && !never {
                    *value = Value::from("some time");
                } else {
                    steady(value);
                }
            }
            // A consumer without a name of its own gets one at random.
            let made_up = |name: &Value| name.as_str().is_some_and(|name| name.len() == 8 && name != "S");
            if map.get("name").is_some_and(made_up) {
                map.insert("name".to_owned(), Value::from("made up"));
            }
            if let Some(Value::Array(names)) = map.get_mut("consumers") {
                let mut plain: Vec<Value> = names
                    .iter()
                    .map(|name| if made_up(name) { Value::from("made up") } else { name.clone() })
                    .collect();
                plain.sort_by_key(ToString::to_string);
                *names = plain;
            }
            if let Some(Value::String(text)) = map.get_mut("description")
                && let Some(head) = text.strip_prefix("invalid JSON")
            {
                *text = format!("invalid JSON{}", &head[..0]);
            }
        }
        Value::Array(list) => list.iter_mut().for_each(steady),
        _ => {}
    }
}

/// What must be the same: verb, subject, sid, the steady part of an ack's subject, and the body.
fn normal(answer: &str) -> String {
    let (head, body) = answer.split_once("\r\n").unwrap_or((answer, ""));
    let mut words: Vec<String> = head.split_whitespace().map(str::to_owned).collect();
    if matches!(words.first().map(String::as_str), Some("MSG" | "HMSG")) {
        words.truncate(if words.len() > 3 && words[3].starts_with("$JS.ACK") { 4 } else { 3 });
        if let Some(ack) = words.get_mut(3) {
            *ack = steady_ack(ack);
        }
    }
    let body = match serde_json::from_str::<Value>(body) {
        Ok(mut json) => {
            steady(&mut json);
            json.to_string()
        }
        Err(_) => {
            let lines = body
                .split("\r\n")
                .map(|line| if line.starts_with("Nats-Time-Stamp") { "Nats-Time-Stamp" } else { line });
            lines.collect::<Vec<_>>().join("\r\n")
        }
    };
    format!("{}\n{body}", words.join(" "))
}

fn steady_ack(ack: &str) -> String {
    let mut parts: Vec<&str> = ack.split('.').collect();
    parts[7] = "TIME";
    parts.join(".")
}

fn start(dir: &Path) -> Server {
    let streams = JetStreamSettings {
        store_dir: dir.to_owned(),
        sync: SyncPolicy::Interval(Duration::from_secs(120)),
        max_memory: None,
        max_file: None,
        ..JetStreamSettings::default()
    };
    let name = Some("golden".to_owned());
    Server::start(Settings { name, jetstream: Some(streams), ..Settings::default() })
}

/// The subject that acknowledges a delivered message.
fn ack_subject(answer: &str) -> Option<String> {
    answer.split(' ').find(|word| word.starts_with("$JS.ACK")).map(str::to_owned)
}

/// Whether the engine refuses this so far.
fn is_refused(exchange: &Exchange) -> bool {
    REFUSED.contains(&exchange.section.as_str())
}

#[test]
fn the_recorded_dialogue_goes_the_same_way() {
    let dir = tempfile::tempdir().unwrap();
    let server = start(dir.path());
    let mut peer = Peer::connect(server.address);
    let mut wrong = Vec::new();
    let mut held = 0;
    // Times of acknowledgements are those the engine gave, not the recorded ones.
    let mut acks: Vec<(String, String)> = Vec::new();
    for exchange in exchanges() {
        let mut request = exchange.request.clone();
        if exchange.section == "verbose +OK" || exchange.section == "connect" && request.starts_with("PING") {
            continue;
        }
        for (recorded, own) in &acks {
            request = request.replace(recorded, own);
        }
        if exchange.section == "connect" {
            peer.send(&format!("{request}\r\nPING\r\n"));
            assert_eq!(peer.operation().as_deref(), Some("PONG"));
            continue;
        }
        let inbox =
            request.split(' ').find_map(|word| word.strip_prefix("_INBOX.golden.")).map(str::to_owned);
        if let Some(number) = &inbox {
            peer.send(&format!("SUB _INBOX.golden.{number} {number}\r\n"));
        }
        peer.send(&format!("{request}\r\n"));
        if exchange.answers.is_empty() {
            continue;
        }
        for expected in &exchange.answers {
            if expected.starts_with('<') {
                assert_eq!(peer.answer(inbox.as_deref()), None, "an answer to {request:?}");
                if expected.starts_with("<closed>") {
                    peer = Peer::connect(server.address);
                    peer.send("CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\n");
                }
                continue;
            }
            let Some(answer) = peer.answer(inbox.as_deref()) else {
                wrong.push(format!(
                    "{}\n  to {request:?}\n  nothing, instead of {expected}",
                    exchange.section
                ));
                break;
            };
            if let (Some(recorded), Some(given)) = (ack_subject(expected), ack_subject(&answer)) {
                acks.push((recorded, given));
            }
            if is_refused(&exchange) {
                break;
            }
            held += 1;
            let (recorded, given) = (normal(expected), normal(&answer));
            if recorded != given {
                wrong.push(format!(
                    "{}\n  to {request:?}\n  recorded {recorded}\n  given    {given}",
                    exchange.section
                ));
            }
        }
    }
    drop(server);
    assert!(wrong.is_empty(), "{} of {held} answers differ:\n{}", wrong.len(), wrong.join("\n"));
    assert!(held > 60, "only {held} answers were looked at");
}
