//! Load on what streams can do beside storing: compression, lifetimes, a key-value bucket, a mirror and sources.

use crate::load::{self, Load, Numbers, Plan, publish_with, read, read_all, sequence_of};
use crate::mount::Mount;
use crate::node::{Node, Peer};
use busmark::clock::Clock;
use busmark::prng::Prng;
use std::collections::{BTreeMap, BTreeSet};

/// Keys of the bucket.
const KEYS: u64 = 20;
/// Copies have caught up, and lifetimes have ended, within this, ns.
const WITHIN: u64 = 60_000_000_000;

/// Origins, those that copy them, a stream of lifetimes, and a bucket, as clients make them.
const STREAMS: [&str; 8] = [
    r#"{"name":"A","subjects":["a.*"],"storage":"file"}"#,
    r#"{"name":"Z","subjects":["z.*"],"storage":"file","compression":"s2"}"#,
    r#"{"name":"T","subjects":["t.*"],"storage":"file","allow_msg_ttl":true}"#,
    r#"{"name":"KV_B","subjects":["$KV.B.>"],"storage":"file","max_msgs_per_subject":1,"allow_rollup_hdrs":true,"deny_delete":true,"allow_direct":true,"discard":"new"}"#,
    r#"{"name":"M","storage":"file","compression":"s2","mirror":{"name":"A"}}"#,
    r#"{"name":"S","storage":"file","sources":[{"name":"A"},{"name":"Z","subject_transforms":[{"src":"z.*","dest":"s.{{wildcard(1)}}"}]}]}"#,
    r#"{"name":"Q","subjects":["q.*"],"storage":"file","retention":"workqueue"}"#,
    r#"{"name":"V","storage":"file","sources":[{"name":"Q"}]}"#,
];

/// Where a message goes, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Plain,
    Compressed,
    /// To a queue, whence it moves to another stream.
    Queue,
    /// With a lifetime of an hour.
    Long,
    /// With one of a second.
    Short,
    /// To this key of the bucket.
    Key(u64),
}

impl Place {
    fn of(number: u64) -> Self {
        match number % 6 {
            0 => Self::Plain,
            1 => Self::Compressed,
            2 => Self::Long,
            3 => Self::Short,
            4 => Self::Queue,
            _ => Self::Key(number / 6 % KEYS),
        }
    }

    fn publish(self, peer: &mut Peer, number: u64, size: usize) {
        let (subject, headers) = match self {
            Self::Plain => (format!("a.{}", number % 3), ""),
            Self::Compressed => (format!("z.{}", number % 3), ""),
            Self::Queue => (format!("q.{}", number % 3), ""),
            Self::Long => (format!("t.{}", number % 3), "Nats-TTL: 1h\r\n"),
            Self::Short => (format!("t.{}", number % 3), "Nats-TTL: 1s\r\n"),
            Self::Key(key) => {
                let what = match number % 7 {
                    0 => "KV-Operation: DEL\r\n",
                    1 => "KV-Operation: PURGE\r\nNats-Rollup: sub\r\n",
                    _ => "",
                };
                (format!("$KV.B.k{key}"), what)
            }
        };
        publish_with(
            peer,
            &subject,
            number,
            headers,
            &format!("{number:010}{}", "compressible ".repeat(size)),
        );
    }
}

/// What was acknowledged, and what has been seen to be gone.
#[derive(Default)]
struct Features {
    numbers: Numbers,
    /// Numbers by place, with their sequences.
    stored: BTreeMap<Place, BTreeMap<u64, u64>>,
    expired: BTreeSet<u64>,
}

impl Features {
    fn stored(&self, place: Place) -> impl Iterator<Item = (&u64, &u64)> {
        self.stored.get(&place).into_iter().flatten()
    }

    /// Holds that all of a place is there, at its sequence.
    fn hold(&self, place: Place, found: &BTreeMap<u64, u64>, at: &str) {
        for (number, sequence) in self.stored(place) {
            assert_eq!(found.get(number), Some(sequence), "{at}: acknowledged number {number} ({place:?})");
        }
    }

    fn check_lifetimes(&mut self, found: &BTreeMap<u64, u64>, at: &str) {
        self.hold(Place::Long, found, at);
        let short: Vec<u64> = self.stored(Place::Short).map(|(number, _)| *number).collect();
        for number in short {
            let there = found.contains_key(&number);
            assert!(
                !(there && self.expired.contains(&number)),
                "{at}: number {number}, which expired, is back"
            );
            if !there {
                self.expired.insert(number);
            }
        }
    }

    /// Each key has one value, and none older than the last that was acknowledged.
    fn check_bucket(&self, found: &BTreeMap<u64, u64>, at: &str) {
        for key in 0..KEYS {
            let place = Place::Key(key);
            let values: Vec<u64> =
                found.keys().copied().filter(|number| Place::of(*number) == place).collect();
            let Some((last, _)) = self.stored(place).last() else { continue };
            assert_eq!(values.len(), 1, "{at}: values of key {key}: {values:?}");
            assert!(values[0] >= *last, "{at}: key {key} has {values:?}, and {last} was acknowledged");
        }
    }
}

/// Waits until a stream has so many messages.
fn wait_for(node: &Node, stream: &str, count: usize, at: &str) {
    let (mut peer, clock) = (Peer::connect(node), Clock::real());
    loop {
        let info = peer.ask_json(&format!("$JS.API.STREAM.INFO.{stream}"), "");
        if info["state"]["messages"] == count {
            return;
        }
        let late = clock.now() > WITHIN;
        assert!(
            !late,
            "{at}: {stream} does not come to have {count} messages: {info}\n{}",
            node.complaints()
        );
    }
}

impl Load for Features {
    const PADDING: u64 = 200;

    fn set_up(node: &Node) {
        let mut peer = Peer::connect(node);
        for config in STREAMS {
            let name: serde_json::Value = serde_json::from_str(config).unwrap();
            peer.ask_json(&format!("$JS.API.STREAM.CREATE.{}", name["name"].as_str().unwrap()), config);
        }
    }

    fn numbers(&mut self) -> &mut Numbers {
        &mut self.numbers
    }

    fn publish(peer: &mut Peer, number: u64, padding: usize) {
        Place::of(number).publish(peer, number, padding);
    }

    fn take(&mut self, _peer: &mut Peer, (head, body): (&str, &str), _prng: &mut Prng) {
        let number = head.split(' ').nth(1).and_then(|subject| subject.strip_prefix("in.p")?.parse().ok());
        let number: u64 = number.unwrap_or_else(|| panic!("{head}"));
        let sequence = sequence_of(body).unwrap_or_else(|| panic!("number {number} was refused: {body}"));
        self.numbers.open.remove(&number);
        self.stored.entry(Place::of(number)).or_default().insert(number, sequence);
    }

    fn check(&mut self, node: &Node, at: &str) {
        let plain = read_all(node, "A", at);
        let compressed = read_all(node, "Z", at);
        self.hold(Place::Plain, &plain, at);
        self.hold(Place::Compressed, &compressed, at);
        self.check_lifetimes(&read_all(node, "T", at), at);
        self.check_bucket(&read_all(node, "KV_B", at), at);
        wait_for(node, "M", plain.len(), at);
        assert_eq!(read_all(node, "M", at), plain, "{at}: the mirror");
        wait_for(node, "S", plain.len() + compressed.len(), at);
        let both: BTreeSet<u64> = plain.into_keys().chain(compressed.into_keys()).collect();
        let sourced: BTreeSet<u64> = read_all(node, "S", at).into_keys().collect();
        assert_eq!(sourced, both, "{at}: the sources");
        // An id is remembered as long as its message is in the queue, so one sent again may be there twice.
        wait_for(node, "Q", 0, at);
        let moved: BTreeSet<u64> = read(node, "V").into_iter().map(|(number, _)| number).collect();
        let missing = self.stored(Place::Queue).filter(|(number, _)| !moved.contains(number));
        let missing: Vec<_> = missing.collect();
        assert!(missing.is_empty(), "{at}: acknowledged by the queue and nowhere: {missing:?}");
    }

    fn sum_up(&mut self, node: &Node, rounds: u64) -> String {
        let stored: usize = self.stored.values().map(BTreeMap::len).sum();
        assert!(stored as u64 > rounds * 50, "hardly any load");
        let clock = Clock::real();
        while self.expired.len() < self.stored(Place::Short).count() {
            assert!(clock.now() < WITHIN, "lifetimes of a second do not end");
            self.check_lifetimes(&read_all(node, "T", "at the end"), "at the end");
        }
        format!("{stored} stored in streams of all kinds, {} expired", self.expired.len())
    }
}

fn kills(sync: &str, rounds: u64) {
    let dir = tempfile::tempdir().unwrap();
    let plan =
        Plan { what: &format!("streams of all kinds, sync {sync}"), sync, rounds, seed: 23, messages: 3_000 };
    load::survive::<Features>(&plan, &dir.path().join("store"), || {});
}

fn power_cuts(test: &str, rounds: u64) {
    let Some(mut mount) = Mount::make(test, 1_024) else { return };
    let store = mount.path.join("store");
    let plan = Plan { what: test, sync: "always", rounds, seed: 29, messages: 2_000 };
    load::survive::<Features>(&plan, &store, || mount.cut_power());
}

#[test]
fn streams_of_all_kinds_survive_sigkill() {
    kills("2m", 6);
}

#[test]
fn streams_of_all_kinds_survive_power_cuts_with_sync_always() {
    power_cuts("power cuts of streams of all kinds", 6);
}

#[test]
#[ignore = "long: 100 rounds take a minute or two"]
fn streams_of_all_kinds_survive_100_times_sigkill() {
    kills("2m", 50);
    kills("always", 50);
}

#[test]
#[ignore = "long: 25 rounds take a minute"]
fn streams_of_all_kinds_survive_25_power_cuts_with_sync_always() {
    power_cuts("25 power cuts of streams of all kinds", 25);
}
