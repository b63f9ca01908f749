//! The monitoring port: what it shows is true, and has the names that nats-server gives it.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

use serde_json::Value;

use super::Peer;
use super::process::{Process, alike, connect};

const PAGES: [&str; 7] = [
    "/varz",
    "/connz?subs=1&auth=1",
    "/connz?subs=detail&sort=msgs_to",
    "/subsz?subs=1",
    "/jsz?consumers=1&config=1",
    "/jsz",
    "/accountz",
];

/// Status and body of a page.
fn get(at: SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(at).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
    write!(stream, "GET {path} HTTP/1.0\r\nHost: here\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn page(at: SocketAddr, path: &str) -> Value {
    let (status, body) = get(at, path);
    assert_eq!(status, 200, "{path}: {body}");
    serde_json::from_str(&body).unwrap()
}

/// All names in a page, with the names around them.
fn names(value: &Value, prefix: &str, into: &mut BTreeSet<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                let name = format!("{prefix}/{key}");
                names(value, &name, into);
                into.insert(name);
            }
        }
        Value::Array(list) => list.iter().for_each(|value| names(value, prefix, into)),
        _ => {}
    }
}

/// A free port, most likely still so when the server takes it.
fn free() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Connects, publishes, subscribes, and makes a stream with a consumer and two messages.
fn use_it(peer: &mut Peer) {
    peer.send(&connect("\"name\":\"me\",\"lang\":\"rust\",\"version\":\"9\""));
    peer.send("SUB a.* q 1\r\nSUB a.> 2\r\nSUB _INBOX.* 3\r\nUNSUB 2 5\r\n");
    let consumer = r#"{"stream_name":"S","config":{"durable_name":"c","ack_policy":"explicit"}}"#;
    for (subject, body) in [
        ("$JS.API.STREAM.CREATE.S", r#"{"name":"S","subjects":["s.>"]}"#),
        ("$JS.API.CONSUMER.DURABLE.CREATE.S.c", consumer),
        ("s.x", "one"),
        ("s.y", "two"),
    ] {
        peer.send(&format!("PUB {subject} _INBOX.1 {}\r\n{body}\r\n", body.len()));
        peer.line();
        peer.line();
    }
    peer.send("PUB a.b 3\r\nabc\r\nPUB a.b 2\r\nde\r\n");
    peer.settle();
}

/// What the pages say that does not depend on clocks, names made up or the program.
fn facts(pages: &[Value; 7]) -> Vec<String> {
    let [varz, connz, detail, subsz, jsz, total, accountz] = pages;
    assert!(varz["mem"].as_u64().unwrap() > 1 << 20 && varz["http_req_stats"]["/varz"] == 1, "{varz}");
    assert!(accountz["accounts"].as_array().unwrap().contains(&"$G".into()));
    let me = &connz["connections"][0];
    let account = &jsz["account_details"][0];
    let stream = &account["stream_detail"][0];
    let details = detail["connections"][0]["subscriptions_list_detail"].as_array().unwrap();
    let wide = details.iter().find(|one| one["sid"] == "2").unwrap();
    let counted = [
        (varz, "/connections"),
        (varz, "/total_connections"),
        (varz, "/max_payload"),
        (varz, "/jetstream/stats/storage"),
        (varz, "/slow_consumers"),
        (connz, "/total"),
        (me, "/name"),
        (me, "/lang"),
        (me, "/in_msgs"),
        (me, "/in_bytes"),
        (me, "/subscriptions"),
        (wide, "/msgs"),
        (wide, "/max"),
        (stream, "/state/messages"),
        (stream, "/config/subjects"),
        (stream, "/consumer_detail/0/num_pending"),
        (account, "/name"),
        (total, "/streams"),
        (total, "/consumers"),
        (total, "/messages"),
        (total, "/bytes"),
    ];
    let mut facts: Vec<String> =
        counted.iter().map(|(page, at)| format!("{at} {}", page.pointer(at).unwrap())).collect();
    let mut list: Vec<String> =
        me["subscriptions_list"].as_array().unwrap().iter().map(Value::to_string).collect();
    list.sort();
    let own = subsz["subscriptions_list"].as_array().unwrap().iter();
    let own: BTreeSet<String> = own
        .filter(|one| one["subject"].as_str().unwrap().starts_with("a."))
        .map(|one| format!("{} {} {} {}", one["subject"], one["qgroup"], one["sid"], one["account"]))
        .collect();
    facts.push(format!("{list:?} {own:?}"));
    facts
}

#[test]
fn pages_show_what_happened_under_the_names_that_nats_server_gives_it() {
    let monitor = Cell::new(free());
    let shown = RefCell::new(Vec::new());
    let config = || {
        monitor.set(free());
        format!("jetstream {{ store_dir: \"STORE\" }}\nhttp: \"{}\"", monitor.get())
    };
    let said = alike(&config, |server: &Process| {
        let at = monitor.get();
        let (mut peer, info) = server.greet();
        use_it(&mut peer);
        let pages = PAGES.map(|path| page(at, path));
        assert_eq!(pages[0]["server_id"], info["server_id"]);
        let mut said = facts(&pages);
        for path in [
            "/healthz",
            "/healthz?account=$G&stream=S",
            "/healthz?account=$G&stream=none",
            "/healthz?account=$G&stream=S&consumer=none",
            "/nothing",
            "/connz?limit=x",
            "/connz?sort=nonsense",
            "/connz?cid=999",
            "/jsz?acc=nobody",
        ] {
            let (status, body) = get(at, path);
            said.push(format!("{path} {status} {}", if path.contains("limit") { &body } else { "" }));
        }
        let mut all = BTreeSet::new();
        for (path, page) in PAGES.iter().zip(&pages) {
            names(page, path.split('?').next().unwrap(), &mut all);
        }
        shown.borrow_mut().push(all);
        said
    });
    assert_eq!(&said[6..9], ["/name \"me\"", "/lang \"rust\"", "/in_msgs 6"]);
    if let [own, real] = &shown.into_inner()[..] {
        // What is counted by path depends on who asked for what before.
        let added: Vec<&String> =
            own.difference(real).filter(|name| !name.contains("http_req_stats")).collect();
        assert!(added.is_empty(), "names that nats-server does not know: {added:?}");
    }
}
