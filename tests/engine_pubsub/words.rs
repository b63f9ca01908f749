//! Commands one by one, right and wrong, answered word for word as by the real server.

use crate::node::Node;
use crate::support::Served;

/// Asked of both servers on one connection each, in this order.
const LINES: &str = include_str!("../data/redis-commands.txt");

/// What may differ: the modules that a build of Redis has.
fn compared(node: Node) -> Node {
    match node {
        Node::List(kind, mut items) if items.first().is_some_and(|first| first.text() == "server") => {
            let ids = items.iter().position(|item| item.text() == "id");
            if let Some(at) = ids {
                items[at + 1] = Node::Leaf(b':', b"own".to_vec());
            }
            items.pop();
            Node::List(kind, items)
        }
        other => other,
    }
}

#[test]
fn every_command_and_every_mistake_is_answered_in_the_words_of_redis() {
    let Some(redis) = Served::redis("words") else { return };
    let engine = Served::engine(super::THREADS);
    let (mut theirs, mut ours) = (redis.connect(), engine.connect());
    let mut asked = 0;
    for line in LINES.lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (expected, got) = (compared(theirs.ask(line)), compared(ours.ask(line)));
        assert_eq!(got, expected, "{line}");
        asked += 1;
    }
    assert!(asked > 150, "only {asked} lines");
}
