//! Ten thousand seeded operations over several connections, on the engine and on the real server in
//! lockstep: after each of them, all connections have got the same.

use crate::node::{Node, sort_confirmations};
use crate::support::{Conn, Served, command};
use busmark::prng::Prng;

const OPERATIONS: usize = 10_000;
const CONNECTIONS: usize = 6;
const CHANNELS: &[&str] = &["a", "b", "ab", "abc", "news.uk", "", "x[1]", "\u{e9}t\u{e9}"];
const PATTERNS: &[&str] = &["*", "a*", "?", "[ab]*", "news.*", "a[^b]*", "x\\[1]", "*b*", "[a-c]b?"];

/// The same connection to both servers.
struct Pair {
    redis: Conn,
    engine: Conn,
    ids: [String; 2],
    in_multi: bool,
}

impl Pair {
    fn new(redis: &Served, engine: &Served) -> Self {
        let (mut redis, mut engine) = (redis.connect(), engine.connect());
        let ids = [redis.ask("CLIENT ID").text(), engine.ask("CLIENT ID").text()];
        Self { redis, engine, ids, in_multi: false }
    }

    fn raw(&mut self, bytes: [&[u8]; 2]) {
        self.redis.raw(bytes[0]);
        self.engine.raw(bytes[1]);
    }
}

/// One operation: its bytes for each server, and what it does to the reading of answers.
struct Operation {
    bytes: [Vec<u8>; 2],
    shown: String,
    /// Answers to PINGs that are swallowed before the next one is answered.
    mute: bool,
    kills: Option<usize>,
}

fn pick<'a>(prng: &mut Prng, of: &[&'a str]) -> &'a str {
    of[prng.below(of.len() as u64) as usize]
}

fn some<'a>(prng: &mut Prng, verb: &'a str, of: &[&'a str], least: u64) -> Vec<&'a str> {
    let count = least + prng.below(3);
    std::iter::once(verb).chain((0..count).map(|_| pick(prng, of))).collect()
}

fn operation(prng: &mut Prng, number: usize, pairs: &[Pair], own: usize) -> Operation {
    let payload = format!("m{number}-{}", "p".repeat(prng.below(40) as usize));
    let channel = pick(prng, CHANNELS);
    let same = |args: &[&str]| Operation {
        bytes: [command(args), command(args)],
        shown: format!("{args:?}"),
        mute: false,
        kills: None,
    };
    // In a transaction the order of many confirmations would show: a hash table's, any order.
    let least = u64::from(pairs[own].in_multi);
    match prng.below(44) {
        0..=9 => same(&["PUBLISH", channel, &payload]),
        10 => same(&["publish", channel, &"L".repeat(5_000 + prng.below(9_000) as usize)]),
        11 if !pairs[own].in_multi => {
            let count = 2 + prng.below(12);
            let runs = (0..count).flat_map(|at| command(&["PUBLISH", channel, &format!("{payload}.{at}")]));
            let bytes: Vec<u8> = runs.collect();
            Operation {
                bytes: [bytes.clone(), bytes],
                shown: format!("{count} × PUBLISH {channel}"),
                mute: false,
                kills: None,
            }
        }
        12 | 13 => same(&["SPUBLISH", channel, &payload]),
        14..=16 => same(&some(prng, "SUBSCRIBE", CHANNELS, 1)),
        17 | 18 => same(&some(prng, "UNSUBSCRIBE", CHANNELS, least)),
        19..=21 => same(&some(prng, "PSUBSCRIBE", PATTERNS, 1)),
        22 => same(&some(prng, "PUNSUBSCRIBE", PATTERNS, least)),
        23 => same(&some(prng, "SSUBSCRIBE", CHANNELS, 1)),
        24 => same(&some(prng, "SUNSUBSCRIBE", CHANNELS, least)),
        25 if !pairs[own].in_multi => same(&some(prng, "UNSUBSCRIBE", &["a"], 0)[..1]),
        26 => same(&["PUBSUB", pick(prng, &["CHANNELS", "SHARDCHANNELS", "NUMPAT", "NOPE"])]),
        27 => same(&["pubsub", "numsub", channel, "a", "none"]),
        28 => same(&["PUBSUB", "SHARDNUMSUB", channel]),
        29 => same(&["PUBSUB", "CHANNELS", pick(prng, PATTERNS)]),
        30 | 31 => same(&["HELLO", pick(prng, &["2", "3", "3", "4", "x"])]),
        32 => same(&["RESET"]),
        33 | 34 => same(&["MULTI"]),
        35..=37 => same(&[pick(prng, &["EXEC", "EXEC", "EXEC", "DISCARD"])]),
        38 => small_talk(prng, &same),
        39 => mistake(prng, &same),
        40 if !pairs[own].in_multi => {
            same(&["CLIENT", pick(prng, &["GETNAME", "ID", "HELP", "NOPE", "INFO"])])
        }
        41 if !pairs[own].in_multi => {
            // Somebody else: by default nobody kills itself.
            let other = (own + 1 + prng.below(pairs.len() as u64 - 1) as usize) % pairs.len();
            let ids = &pairs[other].ids;
            let kill = |id: &str| command(&["CLIENT", "KILL", "ID", id]);
            let shown = format!("CLIENT KILL connection {other} of {own}");
            Operation { bytes: [kill(&ids[0]), kill(&ids[1])], shown, mute: false, kills: Some(other) }
        }
        42 if !pairs[own].in_multi => Operation { mute: true, ..same(&["CLIENT", "REPLY", "SKIP"]) },
        _ => {
            let line = format!("PUBLISH {} \"quoted \\x41 {number}\"\r\n", pick(prng, &["a", "b", "ab"]))
                .into_bytes();
            Operation {
                bytes: [line.clone(), line],
                shown: "inline PUBLISH".into(),
                mute: false,
                kills: None,
            }
        }
    }
}

fn small_talk(prng: &mut Prng, same: &dyn Fn(&[&str]) -> Operation) -> Operation {
    match prng.below(8) {
        0 => same(&["PING"]),
        1 => same(&["PING", "text"]),
        2 => same(&["ECHO", "text"]),
        3 => same(&["SELECT", "3"]),
        4 => same(&["CLIENT", "SETNAME", "name"]),
        5 => same(&["CONFIG", "GET", "maxclients"]),
        6 => same(&["COMMAND", "INFO", "subscribe", "publish", "none", "spublish", "ssubscribe"]),
        _ => same(&["WAIT", "0", "0"]),
    }
}

fn mistake(prng: &mut Prng, same: &dyn Fn(&[&str]) -> Operation) -> Operation {
    match prng.below(8) {
        0 => same(&["NOPE", "a", "b"]),
        1 => same(&["PUBLISH", "a"]),
        2 => same(&["SUBSCRIBE"]),
        3 => same(&["SELECT", "99"]),
        4 => same(&["CLIENT", "SETNAME", "two words"]),
        5 => same(&["CONFIG", "SET", "nope", "x"]),
        6 => same(&["PING", "a", "b"]),
        _ => same(&["CLUSTER", "INFO"]),
    }
}

/// Takes out what may differ: numbers of connections, the order in which a hash table is walked.
fn normalised(nodes: Vec<Node>) -> Vec<Node> {
    let mut nodes: Vec<Node> = nodes.into_iter().map(masked).collect();
    let mut start = 0;
    while start < nodes.len() {
        let alike = |a: &Node, b: &Node| match (a, b) {
            (Node::List(_, a), Node::List(_, b)) if a.len() > 2 && b.len() > 2 => {
                let unsubscribed = a[0].text().ends_with("unsubscribe") && a[0] == b[0];
                // By how many patterns one message comes is what counts, not by which first.
                unsubscribed || (a[0].text() == "pmessage" && a[0] == b[0] && a[2..] == b[2..])
            }
            _ => false,
        };
        let length = 1 + nodes[start..].windows(2).take_while(|two| alike(&two[0], &two[1])).count();
        if length > 1 && nodes[start].items()[0].text().ends_with("unsubscribe") {
            sort_confirmations(&mut nodes[start..start + length]);
        } else {
            nodes[start..start + length].sort();
        }
        start += length;
    }
    nodes
}

fn masked(node: Node) -> Node {
    match node {
        Node::List(kind, items) => {
            let words: Vec<String> = items.iter().map(Node::text).collect();
            if words.first().is_some_and(|word| word == "server") {
                let keys = words.iter().step_by(2).map(|key| Node::Leaf(b'$', key.clone().into_bytes()));
                return Node::List(kind, keys.collect());
            }
            if words.first().is_some_and(|word| word.starts_with("CLIENT <sub")) {
                return Node::Leaf(b'+', b"help".to_vec());
            }
            if items.iter().any(|item| matches!(item, Node::List(..))) {
                return Node::List(kind, normalised(items));
            }
            let mut items = items;
            // Channels are listed in no order; nothing else is an array of bare strings of no known first word.
            let pushed = ["message", "pmessage", "smessage", "pong"]
                .contains(&words.first().map_or("", String::as_str));
            if kind == b'*' && !pushed && items.iter().all(|item| matches!(item, Node::Leaf(b'$', _))) {
                items.sort();
            }
            Node::List(kind, items)
        }
        Node::Leaf(kind, text) if text.starts_with(b"txt:id=") || text.starts_with(b"id=") => {
            Node::Leaf(kind, fields(&text).into_bytes())
        }
        leaf => leaf,
    }
}

/// The names of a CLIENT LIST line's fields, and the values that must be alike.
fn fields(line: &[u8]) -> String {
    let alike = ["name", "flags", "db", "sub", "psub", "ssub", "multi", "cmd", "user", "resp", "lib-name"];
    let text = String::from_utf8_lossy(line).into_owned();
    let fields = text.trim().split(' ').map(|field| {
        let (name, _) = field.split_once('=').unwrap();
        if alike.contains(&name) { field.to_owned() } else { name.to_owned() }
    });
    fields.collect::<Vec<_>>().join(" ")
}

/// A number of a connection is the same number on both servers only by chance.
fn id_masked(nodes: Vec<Node>, id: &str) -> Vec<Node> {
    let mask = |node: Node| match node {
        Node::Leaf(b':', text) if text == id.as_bytes() && id.len() > 2 => {
            Node::Leaf(b':', b"own id".to_vec())
        }
        Node::List(kind, items) => Node::List(kind, id_masked(items, id)),
        other => other,
    };
    nodes.into_iter().map(mask).collect()
}

/// All that both servers sent on a connection so far, normalised.
fn received(pair: &mut Pair) -> [Vec<Node>; 2] {
    let (redis, engine) = (pair.redis.drain(), pair.engine.drain());
    [id_masked(normalised(redis), &pair.ids[0]), id_masked(normalised(engine), &pair.ids[1])]
}

/// Says where it was when a wait panics.
struct Context<'a>(&'a str);

impl Drop for Context<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("at {}", self.0);
        }
    }
}

#[test]
fn ten_thousand_mixed_operations_are_answered_as_by_redis() {
    let Some(redis) = Served::redis("differential") else { return };
    let engine = Served::engine(super::THREADS);
    let seed = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_124);
    eprintln!("seed {seed} (set SEED to repeat another)");
    let mut prng = Prng::new(seed);
    // Two-digit numbers of connections could be taken for counts: start high.
    for _ in 0..120 {
        drop((redis.connect().ask("PING"), engine.connect().ask("PING")));
    }
    let mut pairs: Vec<Pair> = (0..CONNECTIONS).map(|_| Pair::new(&redis, &engine)).collect();
    let mut delivered = 0;
    for number in 0..OPERATIONS {
        let own = prng.below(CONNECTIONS as u64) as usize;
        let operation = operation(&mut prng, number, &pairs, own);
        let at = format!("seed {seed}, operation {number} on connection {own}: {}", operation.shown);
        let _context = Context(&at);
        if std::env::var_os("TRACE").is_some() {
            eprintln!("{at}, in a transaction: {}", pairs[own].in_multi);
        }
        let was_in_multi = pairs[own].in_multi;
        pairs[own].raw([&operation.bytes[0], &operation.bytes[1]]);
        if operation.mute {
            pairs[own].raw([b"PING\r\n", b"PING\r\n"]);
        }
        if !was_in_multi && operation.shown.contains("\"MULTI\"") {
            pairs[own].in_multi = entered_multi(&mut pairs[own], &at);
            continue;
        }
        if was_in_multi {
            if !left_multi(&mut pairs[own], &at) {
                continue;
            }
        } else {
            let [theirs, ours] = received(&mut pairs[own]);
            assert_eq!(ours, theirs, "{at}");
        }
        if let Some(other) = operation.kills {
            pairs[other] = Pair::new(&redis, &engine);
        }
        for (index, pair) in pairs.iter_mut().enumerate().filter(|(_, pair)| !pair.in_multi) {
            let [theirs, ours] = received(pair);
            delivered += theirs.len();
            assert_eq!(ours, theirs, "{at}: on connection {index}");
        }
    }
    assert!(delivered > OPERATIONS / 4, "only {delivered} deliveries were compared");
}

/// A RESP2 subscriber may not begin one.
fn entered_multi(pair: &mut Pair, at: &str) -> bool {
    let (theirs, ours) = (pair.redis.next(), pair.engine.next());
    assert_eq!(ours, theirs, "{at}");
    theirs.text() == "OK"
}

/// In a transaction a PING would be queued: one answer is waited for. Says whether the transaction ended.
fn left_multi(pair: &mut Pair, at: &str) -> bool {
    let (theirs, ours) = (up_to_answer(&mut pair.redis), up_to_answer(&mut pair.engine));
    let answer = theirs.last().cloned();
    let [theirs, ours] =
        [(theirs, &pair.ids[0]), (ours, &pair.ids[1])].map(|(nodes, id)| id_masked(normalised(nodes), id));
    assert_eq!(ours, theirs, "{at}");
    let Some(answer) = answer else { return false };
    let refused = matches!(answer, Node::Leaf(b'-', _)) && !answer.text().starts_with("EXECABORT");
    if answer.text() == "QUEUED" || refused {
        return false;
    }
    pair.in_multi = false;
    let [theirs, ours] = received(pair);
    assert_eq!(ours, theirs, "{at}: after the transaction");
    true
}

/// Messages that came meanwhile, and then one answer.
fn up_to_answer(conn: &mut Conn) -> Vec<Node> {
    let mut nodes = Vec::new();
    while let Some(node) = conn.try_next() {
        let is_push = ["message", "pmessage", "smessage"].iter().any(|word| node.begins_with(word));
        nodes.push(node);
        if !is_push {
            break;
        }
    }
    nodes
}
