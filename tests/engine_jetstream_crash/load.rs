//! Load with a memory: what the server promised, and whether it kept it.

use crate::node::{Node, Peer};
use busmark::prng::Prng;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Messages in flight.
const WINDOW: usize = 64;

/// A stream that comes and goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Passing {
    /// Asked for, not confirmed.
    Wanted,
    /// Confirmed.
    There,
    /// Its deletion was asked for, not confirmed.
    Going,
    /// Its deletion was confirmed.
    Gone,
}

/// The numbers of published messages.
#[derive(Default)]
pub(crate) struct Numbers {
    next: u64,
    /// Those without an answer.
    pub(crate) open: BTreeSet<u64>,
}

/// A kind of load, and what it has been promised.
pub(crate) trait Load: Default {
    /// Bytes that a body is padded with, below this.
    const PADDING: u64;

    /// Makes the streams and the consumers that it uses.
    fn set_up(node: &Node);

    fn numbers(&mut self) -> &mut Numbers;

    /// Publishes under the number, with so many bytes of padding.
    fn publish(peer: &mut Peer, number: u64, padding: usize);

    /// Asks for more than answers, at the beginning of a round.
    fn begin(_peer: &mut Peer) {}

    /// Notes an answer, and asks for more if it likes.
    fn take(&mut self, peer: &mut Peer, answer: (&str, &str), prng: &mut Prng);

    /// Runs until the server is killed after so many answers; what it had sent by then is read, too.
    fn run(&mut self, node: &mut Node, kill_after: u64, prng: &mut Prng) {
        let mut peer = Peer::connect(node);
        // What had no answer when the server was killed is published again under its id.
        for &number in &self.numbers().open {
            Self::publish(&mut peer, number, 0);
        }
        Self::begin(&mut peer);
        let mut answers = 0;
        loop {
            let numbers = self.numbers();
            while numbers.open.len() < WINDOW {
                numbers.open.insert(numbers.next);
                Self::publish(&mut peer, numbers.next, prng.below(Self::PADDING) as usize);
                numbers.next += 1;
            }
            if answers == kill_after {
                node.kill();
            }
            let Some((head, body)) = peer.message() else { return };
            answers += 1;
            self.take(&mut peer, (&head, &body), prng);
        }
    }

    /// Holds what is there against what was promised.
    fn check(&mut self, node: &Node, at: &str);

    /// What it was promised in so many rounds, which must be enough to mean anything, in words. The server still runs.
    fn sum_up(&mut self, node: &Node, rounds: u64) -> String;
}

/// Publishes, consumes, deletes, purges, and makes and deletes streams.
#[derive(Default)]
pub(crate) struct Promised {
    /// Sequences by number.
    pub(crate) stored: BTreeMap<u64, u64>,
    numbers: Numbers,
    /// Sequences whose double ack was confirmed.
    pub(crate) acknowledged: BTreeSet<u64>,
    /// Numbers whose deletion was confirmed.
    pub(crate) deleted: BTreeSet<u64>,
    asked_to_delete: BTreeSet<u64>,
    /// Everything below this sequence was purged, and that was confirmed.
    pub(crate) purged: u64,
    asked_to_purge: u64,
    passing: BTreeMap<u64, Passing>,
}

/// What a server has to go through.
pub(crate) struct Plan<'a> {
    pub(crate) what: &'a str,
    pub(crate) sync: &'a str,
    pub(crate) rounds: u64,
    pub(crate) seed: u64,
    /// Messages of a round, at most, beyond the first 200.
    pub(crate) messages: u64,
}

/// Round by round: load until the server is killed, `then` whatever else befalls its files, a start, and nothing that
/// was acknowledged may be missing.
pub(crate) fn survive<L: Load>(plan: &Plan<'_>, store: &Path, mut then: impl FnMut()) {
    let Plan { what, sync, rounds, seed, messages } = *plan;
    let options = ["--sync", sync, "--segment_size", "256KB"];
    let mut prng = Prng::new(seed);
    let mut promised = L::default();
    let mut node = Node::engine(store, &options);
    L::set_up(&node);
    for round in 0..rounds {
        promised.run(&mut node, 200 + prng.below(messages), &mut prng);
        then();
        node = Node::engine(store, &options);
        promised.check(&node, &format!("seed {seed}, round {round}"));
    }
    eprintln!("{what}: {rounds} rounds, seed {seed}, {}, 0 lost", promised.sum_up(&node, rounds));
}

/// The sequence that a publish acknowledgement tells.
pub(crate) fn sequence_of(ack: &str) -> Option<u64> {
    serde_json::from_str::<serde_json::Value>(ack).ok()?.get("seq")?.as_u64().filter(|&sequence| sequence > 0)
}

/// Publishes under a message id, with further headers, each ended by CR LF; the answer comes to `in.pNUMBER`.
pub(crate) fn publish_with(peer: &mut Peer, subject: &str, number: u64, headers: &str, body: &str) {
    let head = format!("NATS/1.0\r\nNats-Msg-Id: {number}\r\n{headers}\r\n");
    let total = head.len() + body.len();
    // A server that is gone is noticed by its answers' end.
    let _ = peer.send(&format!("HPUB {subject} in.p{number} {} {total}\r\n{head}{body}\r\n", head.len()));
}

impl Load for Promised {
    const PADDING: u64 = 3_000;

    fn set_up(node: &Node) {
        let mut peer = Peer::connect(node);
        peer.ask_json(
            "$JS.API.STREAM.CREATE.L",
            "{\"name\":\"L\",\"subjects\":[\"load.*\"],\"storage\":\"file\"}",
        );
        peer.ask_json(
            "$JS.API.CONSUMER.DURABLE.CREATE.L.C",
            "{\"stream_name\":\"L\",\"config\":{\"durable_name\":\"C\",\"ack_policy\":\"explicit\",\"ack_wait\":300000000}}",
        );
    }

    fn numbers(&mut self) -> &mut Numbers {
        &mut self.numbers
    }

    fn publish(peer: &mut Peer, number: u64, padding: usize) {
        let body = format!("{number:010}{}", "x".repeat(padding));
        publish_with(peer, &format!("load.{}", number % 3), number, "", &body);
    }

    fn begin(peer: &mut Peer) {
        peer.publish("$JS.API.CONSUMER.MSG.NEXT.L.C", "in.m", "100000");
    }

    fn take(&mut self, peer: &mut Peer, (head, body): (&str, &str), prng: &mut Prng) {
        let words: Vec<&str> = head.split(' ').collect();
        let number_after =
            |prefix: &str| words[1].strip_prefix(prefix).and_then(|rest| rest.parse::<u64>().ok());
        let done = body.contains("\"success\":true");
        if let Some(ack) = words.iter().find(|word| word.starts_with("$JS.ACK")) {
            let sequence: u64 = ack.split('.').nth(5).unwrap().parse().unwrap();
            let again = self.acknowledged.contains(&sequence);
            assert!(!again, "sequence {sequence} came again after its double ack");
            peer.publish(ack, &format!("in.a{sequence}"), "+ACK");
        } else if let Some(number) = number_after("in.p") {
            let sequence = sequence_of(body).unwrap_or_else(|| panic!("number {number} was refused: {body}"));
            self.numbers.open.remove(&number);
            self.stored.insert(number, sequence);
            self.ask_for_more(peer, (number, sequence), prng);
        } else if let Some(number) = number_after("in.d") {
            if done {
                self.deleted.insert(number);
            }
        } else if let Some(sequence) = number_after("in.a") {
            self.acknowledged.insert(sequence);
        } else if let Some(sequence) = number_after("in.u") {
            if done {
                self.purged = self.purged.max(sequence);
            }
        } else if let Some(stream) = number_after("in.n") {
            assert!(body.contains("did_create"), "{body}");
            self.passing.insert(stream, Passing::There);
            if stream.is_multiple_of(2) {
                self.passing.insert(stream, Passing::Going);
                peer.publish(&format!("$JS.API.STREAM.DELETE.P{stream}"), &format!("in.g{stream}"), "");
            }
        } else if let Some(stream) = number_after("in.g") {
            assert!(done, "{body}");
            self.passing.insert(stream, Passing::Gone);
        }
    }

    fn check(&mut self, node: &Node, at: &str) {
        self.check_messages(node, at);
        self.check_streams(node, at);
    }

    fn sum_up(&mut self, _node: &Node, rounds: u64) -> String {
        let passed = self.passing.values().filter(|&&state| state == Passing::Gone).count();
        assert!(self.stored.len() as u64 > rounds * 50, "hardly any load");
        assert!(self.acknowledged.len() as u64 > rounds * 20, "hardly any acks");
        assert!(self.purged > 1 && passed > 0, "hardly any purges");
        format!(
            "{} stored, {} double acks, {} deleted, purged below {}, {passed} streams gone",
            self.stored.len(),
            self.acknowledged.len(),
            self.deleted.len(),
            self.purged,
        )
    }
}

impl Promised {
    fn ask_for_more(&mut self, peer: &mut Peer, (number, sequence): (u64, u64), prng: &mut Prng) {
        match prng.below(1_500) {
            0..30 => {
                self.asked_to_delete.insert(number);
                let wish = format!("{{\"seq\":{sequence}}}");
                peer.publish("$JS.API.STREAM.MSG.DELETE.L", &format!("in.d{number}"), &wish);
            }
            30..33 => {
                let below = sequence.saturating_sub(500).max(1);
                self.asked_to_purge = self.asked_to_purge.max(below);
                peer.publish(
                    "$JS.API.STREAM.PURGE.L",
                    &format!("in.u{below}"),
                    &format!("{{\"seq\":{below}}}"),
                );
            }
            33..37 => {
                self.passing.insert(number, Passing::Wanted);
                let config = format!(
                    "{{\"name\":\"P{number}\",\"subjects\":[\"passing.{number}\"],\"storage\":\"file\"}}"
                );
                peer.publish(&format!("$JS.API.STREAM.CREATE.P{number}"), &format!("in.n{number}"), &config);
            }
            _ => {}
        }
    }

    fn check_messages(&self, node: &Node, at: &str) {
        let found = read_all(node, "L", at);
        for (number, sequence) in &self.stored {
            if self.deleted.contains(number) || *sequence < self.purged {
                assert!(!found.contains_key(number), "{at}: number {number}, which was deleted, is back");
            } else if let Some(other) = found.get(number) {
                assert_eq!(other, sequence, "{at}: number {number} has moved");
            } else {
                // A deletion that was asked for and not confirmed may have happened; nothing else may be missing.
                assert!(
                    self.asked_to_delete.contains(number) || *sequence < self.asked_to_purge,
                    "{at}: acknowledged number {number} (sequence {sequence}) is lost"
                );
            }
        }
    }

    fn check_streams(&self, node: &Node, at: &str) {
        let mut peer = Peer::connect(node);
        for (stream, state) in &self.passing {
            let answer = peer.ask(&format!("$JS.API.STREAM.INFO.P{stream}"), "");
            let there = !answer.contains("\"err_code\":10059");
            match state {
                Passing::There => assert!(there, "{at}: stream P{stream}, which was confirmed, is lost"),
                Passing::Gone => assert!(!there, "{at}: stream P{stream}, which was deleted, is back"),
                Passing::Wanted | Passing::Going => {}
            }
        }
    }
}

/// Numbers in a stream, none of them twice, with their sequences.
pub(crate) fn read_all(node: &Node, stream: &str, at: &str) -> BTreeMap<u64, u64> {
    let mut found = BTreeMap::new();
    for (number, sequence) in read(node, stream) {
        assert_eq!(found.insert(number, sequence), None, "{at}: number {number} is in {stream} twice");
    }
    found
}

/// The same in order, each as often as it is there.
pub(crate) fn read(node: &Node, stream: &str) -> Vec<(u64, u64)> {
    let mut peer = Peer::connect(node);
    let made = peer.ask_json(
        &format!("$JS.API.CONSUMER.CREATE.{stream}"),
        &format!("{{\"stream_name\":\"{stream}\",\"config\":{{\"ack_policy\":\"none\",\"inactive_threshold\":60000000000}}}}"),
    );
    let name = made["name"].as_str().unwrap().to_owned();
    let next = format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}");
    assert!(peer.publish(&next, "in.c", "{\"batch\":10000000,\"no_wait\":true}"));
    let mut found = Vec::new();
    loop {
        let (head, body) = peer.message().expect("messages, then a status");
        let Some(ack) = head.split(' ').find(|word| word.starts_with("$JS.ACK")) else { break };
        let sequence: u64 = ack.split('.').nth(5).unwrap().parse().unwrap();
        let number: u64 = body.split("\r\n\r\n").nth(1).unwrap()[..10].parse().unwrap();
        found.push((number, sequence));
    }
    peer.ask_json(&format!("$JS.API.CONSUMER.DELETE.{stream}.{name}"), "");
    found
}
