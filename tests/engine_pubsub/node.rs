//! A parser of RESP for tests, written apart from the one under test.

use std::fmt;

/// One value with its type mark.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Node {
    Leaf(u8, Vec<u8>),
    List(u8, Vec<Node>),
}

impl Node {
    /// Reads the value that `buf` begins with, and its length; `None` if it is not whole.
    pub(crate) fn parse(buf: &[u8]) -> Option<(Self, usize)> {
        let end = buf.windows(2).position(|pair| pair == b"\r\n")?;
        let (kind, text, mut at) = (buf[0], &buf[1..end], end + 2);
        let length = || std::str::from_utf8(text).unwrap().parse::<i64>().unwrap();
        match kind {
            b'$' | b'=' if length() >= 0 => {
                let length = usize::try_from(length()).unwrap();
                let bytes = buf.get(at..at + length + 2)?;
                Some((Self::Leaf(kind, bytes[..length].to_vec()), at + length + 2))
            }
            b'*' | b'~' | b'%' | b'>' if length() >= 0 => {
                let pairs = if kind == b'%' { 2 } else { 1 };
                let mut items = Vec::new();
                for _ in 0..length() * pairs {
                    let (item, length) = Self::parse(&buf[at..])?;
                    items.push(item);
                    at += length;
                }
                Some((Self::List(kind, items), at))
            }
            b'+' | b'-' | b':' | b'_' | b'$' | b'*' => Some((Self::Leaf(kind, text.to_vec()), at)),
            other => panic!("unknown type mark {:?} in {:?}", other as char, String::from_utf8_lossy(buf)),
        }
    }

    /// All values of a stream that ends with a whole one.
    pub(crate) fn parse_all(mut buf: &[u8]) -> Vec<Self> {
        let mut all = Vec::new();
        while !buf.is_empty() {
            let (node, length) = Self::parse(buf).expect("a whole value");
            all.push(node);
            buf = &buf[length..];
        }
        all
    }

    /// The text of a leaf.
    pub(crate) fn text(&self) -> String {
        match self {
            Self::Leaf(_, text) => String::from_utf8_lossy(text).into_owned(),
            Self::List(..) => format!("{self:?}"),
        }
    }

    /// The values of a list.
    pub(crate) fn items(&self) -> &[Node] {
        match self {
            Self::List(_, items) => items,
            Self::Leaf(..) => panic!("{self:?} is no list"),
        }
    }

    /// Whether it is a list that begins with this word, as confirmations and messages do.
    pub(crate) fn begins_with(&self, word: &str) -> bool {
        matches!(self, Self::List(_, items) if items.first().is_some_and(|first| first.text() == word))
    }
}

/// Puts confirmations into the order of their names; the counts stay in theirs. A hash table is walked in
/// any order.
pub(crate) fn sort_confirmations(nodes: &mut [Node]) {
    let mut names: Vec<Node> = nodes.iter().map(|node| node.items()[1].clone()).collect();
    names.sort();
    for (node, name) in nodes.iter_mut().zip(names) {
        if let Node::List(_, items) = node {
            items[1] = name;
        }
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Leaf(kind, text) => write!(f, "{}{}", *kind as char, text.escape_ascii()),
            Self::List(kind, items) => write!(f, "{}{items:?}", *kind as char),
        }
    }
}
