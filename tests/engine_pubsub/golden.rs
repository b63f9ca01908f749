//! The dialogues recorded from redis-server 8.2.3 (tests/golden/redis-8.2.3.txt), replayed on the engine.
//! Numbers and free text differ; shapes, codes and words must not.

use crate::node::{Node, sort_confirmations};
use crate::support::{Conn, Served};
use std::fmt::Write;

const GOLDEN: &str = include_str!("../golden/redis-8.2.3.txt");

/// What was sent and what came back, as recorded.
struct Exchange {
    sent: &'static str,
    got: &'static str,
}

fn section(name: &str) -> Vec<Exchange> {
    let head = format!("######## {name}\n");
    let start = GOLDEN.find(&head).unwrap() + head.len();
    let body = GOLDEN[start..].split("########").next().unwrap();
    let mut exchanges = Vec::new();
    let mut sent = "";
    for line in body.lines() {
        if let Some(line) = line.strip_prefix("C: ") {
            sent = line;
        } else if let Some(got) = line.strip_prefix("S:") {
            exchanges.push(Exchange { sent, got: got.trim_start() });
        }
    }
    exchanges
}

fn unescaped(text: &str) -> Vec<u8> {
    text.replace("\\r", "\r").replace("\\n", "\n").into_bytes()
}

/// The values of a recorded answer, with numbers and free text taken out.
fn recorded(got: &str) -> Vec<String> {
    shapes(Node::parse_all(&unescaped(got.trim_end_matches("<closed>"))))
}

fn shapes(mut nodes: Vec<Node>) -> Vec<String> {
    if nodes.iter().all(|node| matches!(node, Node::List(_, items) if items.len() == 3)) {
        sort_confirmations(&mut nodes);
    }
    nodes.iter().map(shape).collect()
}

/// A value as it must be, whatever connection, version of the map of modules, or order of channels.
fn shape(node: &Node) -> String {
    let Node::List(kind, items) = node else { return format!("{node:?}") };
    let mut text = format!("{}{}", *kind as char, items.len());
    if items.first().is_some_and(|first| first.text() == "server") {
        for pair in items.chunks(2) {
            let free = matches!(pair[0].text().as_str(), "id" | "modules");
            let value = if free { "…".to_owned() } else { format!("{:?}", pair[1]) };
            write!(text, " {:?}={value}", pair[0]).unwrap();
        }
        return text;
    }
    let mut shapes: Vec<String> = items.iter().map(shape).collect();
    if *kind == b'*' && items.iter().all(|item| matches!(item, Node::Leaf(b'$', _))) {
        shapes.sort();
    }
    write!(text, "{shapes:?}").unwrap();
    text
}

/// Exchanges of which only the kind of answer can be compared, and why.
fn only_kind(sent: &str) -> bool {
    // The number of commands; texts of our own; lines with numbers, compared by the differential test.
    ["COMMAND COUNT", "COMMAND DOCS", "PUBSUB HELP", "CLIENT LIST", "CLIENT INFO", "CLIENT ID"]
        .iter()
        .any(|free| sent.starts_with(free))
}

/// Replays one section on two connections: the second publishes and looks while the first is subscribed.
fn replay(name: &str) {
    let server = Served::engine(super::THREADS);
    let (mut main, mut other) = (server.connect(), server.connect());
    other.ask(if name == "RESP3" { "HELLO 3" } else { "HELLO 2" });
    let (mut subscribed, mut compared) = (false, 0);
    for Exchange { sent, got } in section(name) {
        if sent == "GET x" && got == "_\\r\\n" {
            assert!(main.ask(sent).text().contains("without a keyspace"));
            continue;
        }
        if sent.starts_with('(') {
            let expected = recorded(got);
            let came = shapes(expected.iter().map(|_| main.next()).collect());
            assert_eq!(came, expected, "{name}: {sent}");
            continue;
        }
        if sent == "PING" && got == "+PONG\\r\\n" && subscribed && name == "RESP2" {
            subscribed = false;
        }
        let asks_about = ["PUBLISH", "SPUBLISH", "PUBSUB"].contains(&sent.split(' ').next().unwrap());
        let second =
            subscribed && asks_about && !got.contains("message\\r\\n") && !got.contains("Can't execute");
        let conn = if second { &mut other } else { &mut main };
        conn.raw(format!("{sent}\r\n").as_bytes());
        if only_kind(sent) {
            let came = conn.next();
            assert_eq!(format!("{came:?}").as_bytes()[0], got.as_bytes()[0], "{name}: {sent}");
        } else {
            let expected = recorded(got);
            let came = shapes(expected.iter().map(|_| conn.next()).collect());
            assert_eq!(came, expected, "{name}: {sent}");
        }
        compared += 1;
        match sent.split(' ').next().unwrap() {
            "SUBSCRIBE" | "PSUBSCRIBE" | "SSUBSCRIBE" => subscribed = true,
            "RESET" => subscribed = false,
            "QUIT" => {
                assert!(main.closes());
                main = server.connect();
                if name == "RESP3" {
                    main.ask("HELLO 3");
                }
            }
            _ => {}
        }
    }
    assert!(compared > 60, "{name}: only {compared} exchanges were found");
}

#[test]
fn the_recorded_resp2_dialogue_is_repeated() {
    replay("RESP2");
}

#[test]
fn the_recorded_resp3_dialogue_is_repeated() {
    replay("RESP3");
}

#[test]
fn the_recorded_errors_are_repeated() {
    let server = Served::engine(super::THREADS);
    let exchanges = section("errors");
    assert!(exchanges.len() > 15);
    for Exchange { sent, got } in exchanges {
        let mut conn = server.connect();
        let mut bytes = unescaped(sent);
        if !bytes.ends_with(b"\n") {
            bytes.extend_from_slice(b"\r\n");
        }
        conn.raw(&bytes);
        let expected = recorded(got);
        let came = shapes(expected.iter().map(|_| conn.next()).collect());
        assert_eq!(came, expected, "{sent}");
        if got.ends_with("<closed>") {
            assert!(conn.closes(), "{sent}");
        } else {
            assert!(conn.drain().is_empty(), "{sent}");
        }
    }
}

/// Names of INFO that only this engine has.
const OWN: &[&str] = &["server_name", "busmark_version", "event_loops", "mem_shared_buffers_in_use"];

fn names(info: &str) -> Vec<&str> {
    info.lines().filter_map(|line| line.split_once(':')).map(|(name, _)| name).collect()
}

#[test]
fn info_has_the_names_of_redis_and_true_values() {
    let server = Served::engine(super::THREADS);
    let mut conn: Conn = server.connect();
    let recorded = String::from_utf8(unescaped(section("INFO")[0].got)).unwrap();
    let known = names(&recorded);
    let info = conn.ask("INFO").text();
    let ours = names(&info);
    for name in &ours {
        assert!(known.contains(name) || OWN.contains(name), "{name} is not a name of Redis");
    }
    assert!(ours.len() > 50);
    let value = |name: &str| {
        let info = server.connect().ask("INFO everything").text();
        let line = info.lines().find_map(|line| line.strip_prefix(&format!("{name}:")));
        line.unwrap_or_else(|| panic!("no {name}")).to_owned()
    };
    assert_eq!(value("process_id"), server.child.id().to_string());
    assert_eq!(value("tcp_port"), server.address.port().to_string());
    for (name, expected) in
        [("arch_bits", "64"), ("loading", "0"), ("cluster_enabled", "0"), ("redis_version", "8.2.3")]
    {
        assert_eq!(value(name), expected, "{name}");
    }
    let resident = value("used_memory_rss").parse::<u64>().unwrap();
    assert!(resident.abs_diff(server.resident()) < 2 << 20);
    let before = value("total_commands_processed").parse::<u64>().unwrap();
    conn.raw(&crate::support::command(&["PUBLISH", "a", "b"]).repeat(100));
    (0..100).for_each(|_| assert_eq!(conn.next().text(), "0"));
    // Each look counts as well.
    assert_eq!(value("total_commands_processed").parse::<u64>().unwrap(), before + 101);
}
