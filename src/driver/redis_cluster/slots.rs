//! Which node serves which topic: hash slots, and the map of them that a cluster gives.

use crate::wire::resp::{Items, Reply};

/// Slots of every cluster.
pub(super) const SLOTS: u16 = 16_384;

/// The slot of a key or shard channel: CRC16 of it, or of what stands between its first `{` and the next `}`
/// (<https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/>).
#[must_use]
pub(super) fn slot_of(name: &[u8]) -> u16 {
    let tagged = name.iter().position(|&byte| byte == b'{').and_then(|open| {
        let inside = &name[open + 1..];
        let close = inside.iter().position(|&byte| byte == b'}')?;
        (close > 0).then(|| &inside[..close])
    });
    crc16(tagged.unwrap_or(name)) % SLOTS
}

/// CRC16 with the polynomial 0x1021 from 0 (XMODEM).
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, &byte| {
        let mixed = crc ^ (u16::from(byte) << 8);
        (0..8).fold(mixed, |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 })
    })
}

/// A node, as clients reach it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct Node {
    pub(super) host: String,
    pub(super) port: u16,
}

impl std::fmt::Display for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.host, self.port)
    }
}

/// The masters of a cluster and the slots that each serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SlotMap {
    /// In the order of their slots.
    pub(super) nodes: Vec<Node>,
    /// First slot, last slot, and index of the node.
    ranges: Vec<(u16, u16, usize)>,
}

impl SlotMap {
    /// Reads the answer to CLUSTER SLOTS. `asked` is the host it was asked of: a node that doesn't know its own
    /// name leaves it empty.
    pub(super) fn read(answer: Items<'_>, asked: &str) -> Option<Self> {
        let mut map = Self { nodes: Vec::new(), ranges: Vec::new() };
        for range in answer {
            let Reply::Array(mut parts) = range else { return None };
            let (from, to) = (slot(parts.next()?)?, slot(parts.next()?)?);
            let Reply::Array(mut master) = parts.next()? else { return None };
            let host = match master.next()? {
                Reply::Bulk(b"" | b"?") | Reply::Null => asked.to_owned(),
                Reply::Bulk(host) => String::from_utf8_lossy(host).into_owned(),
                _ => return None,
            };
            let node = Node { host, port: slot(master.next()?)? };
            let index = map.index_of(node);
            map.ranges.push((from, to, index));
        }
        Some(map)
    }

    /// The index of a node, which is added if it isn't there.
    fn index_of(&mut self, node: Node) -> usize {
        self.nodes.iter().position(|known| *known == node).unwrap_or_else(|| {
            self.nodes.push(node);
            self.nodes.len() - 1
        })
    }

    /// Index of the node that serves a slot; `None` if none does.
    pub(super) fn owner(&self, slot: u16) -> Option<usize> {
        let found = self.ranges.iter().find(|(from, to, _)| (*from..=*to).contains(&slot));
        found.map(|(_, _, node)| *node)
    }

    /// Whether every slot is served by somebody.
    pub(super) fn is_whole(&self) -> bool {
        let served: u32 = self.ranges.iter().map(|(from, to, _)| u32::from(to - from) + 1).sum();
        served == u32::from(SLOTS)
    }
}

fn slot(reply: Reply<'_>) -> Option<u16> {
    match reply {
        Reply::Integer(number) => u16::try_from(number).ok(),
        _ => None,
    }
}

/// Where a node sends a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Redirection {
    pub(super) slot: u16,
    pub(super) node: Node,
    /// For this one command (ASK), and not from now on (MOVED). Redis 8 keeps serving the shard channels of a slot
    /// that is being moved and says MOVED in the end; others that speak its protocol need not.
    pub(super) once: bool,
}

/// What `MOVED 3999 127.0.0.1:6381` and `ASK 3999 127.0.0.1:6381` say; an empty host is that of the node which said
/// so.
pub(super) fn redirection(text: &[u8], asked: &str) -> Option<Redirection> {
    let text = std::str::from_utf8(text).ok()?;
    let (once, rest) = match text.strip_prefix("MOVED ") {
        Some(rest) => (false, rest),
        None => (true, text.strip_prefix("ASK ")?),
    };
    let (slot, place) = rest.split_once(' ')?;
    let (host, port) = place.rsplit_once(':')?;
    let host = if host.is_empty() { asked } else { host };
    let node = Node { host: host.to_owned(), port: port.parse().ok()? };
    Some(Redirection { slot: slot.parse().ok()?, node, once })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::resp::scan;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(slot_of(b"foo"), 12_182);
        assert_eq!(slot_of(b"{user1000}.following"), slot_of(b"user1000"));
        assert_eq!(slot_of(b"foo{}{bar}"), crc16(b"foo{}{bar}") % SLOTS, "an empty tag is none");
        // Homes on three even masters.
        assert!(slot_of(b"bench:{3}") <= 5460);
        assert!((5461..=10_922).contains(&slot_of(b"bench:{1}")));
        assert!(slot_of(b"bench:{0}") >= 10_923);
    }

    #[test]
    fn the_clusters_own_map_is_read_and_a_hole_in_it_is_seen() {
        let node = |port: &str| format!("*2\r\n$9\r\n127.0.0.1\r\n:{port}\r\n");
        let range = |from: u16, to: u16, node: &str| format!("*3\r\n:{from}\r\n:{to}\r\n{node}");
        let read = |text: String| match scan(text.as_bytes()).unwrap().unwrap().0 {
            Reply::Array(items) => SlotMap::read(items, "here").unwrap(),
            other => panic!("{other:?}"),
        };
        let nameless = "*2\r\n$0\r\n\r\n:7002\r\n";
        let map = read(format!("*2\r\n{}{}", range(0, 5460, &node("7001")), range(5461, 16_383, nameless)));
        assert!(map.is_whole());
        assert_eq!(map.nodes[map.owner(5460).unwrap()].to_string(), "127.0.0.1:7001");
        assert_eq!(map.nodes[map.owner(5461).unwrap()].to_string(), "here:7002");
        let hole = read(format!("*1\r\n{}", range(0, 5460, &node("7001"))));
        assert!(!hole.is_whole() && hole.owner(5461).is_none());
    }

    #[test]
    fn a_redirection_says_slot_and_node_and_for_how_long() {
        let node = Node { host: "127.0.0.1".to_owned(), port: 6381 };
        let moved = Redirection { slot: 3999, node: node.clone(), once: false };
        assert_eq!(redirection(b"MOVED 3999 127.0.0.1:6381", "x"), Some(moved));
        let ask = Redirection { slot: 3999, node, once: true };
        assert_eq!(redirection(b"ASK 3999 127.0.0.1:6381", "x"), Some(ask));
        assert_eq!(redirection(b"MOVED 3999 :6381", "x").unwrap().node.host, "x");
        assert_eq!(redirection(b"CLUSTERDOWN The cluster is down", "x"), None);
    }
}
