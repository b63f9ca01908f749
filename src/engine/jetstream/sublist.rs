//! Who wants which subject: a tree of tokens with the wildcards `*` and `>`, and a cache of what it said.

use crate::wire::nats::subject::{has_wildcard, tokens};
use slab::Slab;
use std::collections::HashMap;
use std::rc::Rc;

/// What the subjects of acknowledgements begin with. Each has one of its own, and nearly always all have one route.
const ACKS: &[u8] = b"$JS.ACK";

/// Literal subjects remembered with their routes; when full, all are forgotten.
const CACHED: usize = 16 * 1024;

/// Names a client.
pub(super) type ClientKey = u32;

/// Who receives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Member {
    /// Subscription `slot` of a client.
    Client { client: ClientKey, slot: u32 },
    /// A stream that stores what comes.
    Stream(u32),
    /// The JetStream API and acknowledgements.
    Api,
}

/// Everybody who receives a subject.
#[derive(Debug, Default, Clone)]
pub(super) struct Route {
    /// Each of these receives.
    pub(super) plain: Vec<Member>,
    /// One of each of these receives.
    pub(super) queues: Vec<(Rc<[u8]>, Vec<Member>)>,
    /// Streams and services.
    pub(super) inner: Vec<Member>,
}

impl Route {
    fn clear(&mut self) {
        self.plain.clear();
        self.queues.clear();
        self.inner.clear();
    }

    fn add(&mut self, node: &Node) {
        for &member in &node.plain {
            match member {
                Member::Client { .. } => self.plain.push(member),
                Member::Stream(_) | Member::Api => self.inner.push(member),
            }
        }
        for (queue, members) in &node.queues {
            // Groups of one name are one group, whatever their patterns.
            match self.queues.iter_mut().find(|(name, _)| name == queue) {
                Some((_, all)) => all.extend_from_slice(members),
                None => self.queues.push((queue.clone(), members.clone())),
            }
        }
    }
}

/// By token or subject. Its hashes are quick, and seeded anew in each process.
type Map<V> = HashMap<Box<[u8]>, V, foldhash::fast::RandomState>;

#[derive(Debug, Default)]
struct Node {
    children: Map<usize>,
    plain: Vec<Member>,
    queues: Vec<(Rc<[u8]>, Vec<Member>)>,
}

impl Node {
    fn is_empty(&self) -> bool {
        self.children.is_empty() && self.plain.is_empty() && self.queues.is_empty()
    }
}

/// The tree.
#[derive(Debug)]
pub(super) struct Sublist {
    nodes: Slab<Node>,
    root: usize,
    cache: Map<Rc<Route>>,
    /// The route of all acknowledgements, if they have one in common, and the generation in which it was looked up.
    acks: (u64, Option<Rc<Route>>),
    generation: u64,
    count: usize,
    pub(super) stats: Lookups,
}

/// What has been asked of the tree.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Lookups {
    pub(super) inserts: u64,
    pub(super) removes: u64,
    pub(super) lookups: u64,
    /// Lookups whose answer was remembered.
    pub(super) hits: u64,
}

impl Default for Sublist {
    fn default() -> Self {
        let mut nodes = Slab::new();
        let root = nodes.insert(Node::default());
        Self {
            nodes,
            root,
            cache: Map::default(),
            acks: (u64::MAX, None),
            generation: 0,
            count: 0,
            stats: Lookups::default(),
        }
    }
}

impl Sublist {
    /// Changes whenever a route may have changed.
    #[inline]
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    /// Subscriptions in all.
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Adds a member; an empty queue is a plain subscription.
    pub(super) fn insert(&mut self, pattern: &[u8], queue: &[u8], member: Member) {
        let mut at = self.root;
        for token in tokens(pattern) {
            at = match self.nodes[at].children.get(token) {
                Some(&child) => child,
                None => {
                    let child = self.nodes.insert(Node::default());
                    self.nodes[at].children.insert(token.into(), child);
                    child
                }
            };
        }
        let node = &mut self.nodes[at];
        if queue.is_empty() {
            node.plain.push(member);
        } else {
            match node.queues.iter_mut().find(|(name, _)| &**name == queue) {
                Some((_, members)) => members.push(member),
                None => node.queues.push((queue.into(), vec![member])),
            }
        }
        self.count += 1;
        self.stats.inserts += 1;
        self.forget(pattern);
    }

    /// Takes a member out again.
    pub(super) fn remove(&mut self, pattern: &[u8], queue: &[u8], member: Member) {
        let mut path = vec![(self.root, &b""[..])];
        for token in tokens(pattern) {
            let at = path[path.len() - 1].0;
            let Some(&child) = self.nodes[at].children.get(token) else { return };
            path.push((child, token));
        }
        let node = &mut self.nodes[path[path.len() - 1].0];
        if queue.is_empty() {
            // The last one in is often the first one out.
            let Some(place) = node.plain.iter().rposition(|&other| other == member) else { return };
            node.plain.swap_remove(place);
        } else {
            let Some(group) = node.queues.iter().position(|(name, _)| &**name == queue) else { return };
            let members = &mut node.queues[group].1;
            let Some(place) = members.iter().rposition(|&other| other == member) else { return };
            members.swap_remove(place);
            if members.is_empty() {
                node.queues.swap_remove(group);
            }
        }
        self.count -= 1;
        self.stats.removes += 1;
        for step in (1..path.len()).rev() {
            let (at, token) = path[step];
            if !self.nodes[at].is_empty() {
                break;
            }
            self.nodes.remove(at);
            self.nodes[path[step - 1].0].children.remove(token);
        }
        self.forget(pattern);
    }

    /// How many receive each of the subjects that are remembered.
    pub(super) fn fan_outs(&self) -> impl Iterator<Item = usize> + '_ {
        self.cache.values().map(|route| {
            route.plain.len()
                + route.inner.len()
                + route.queues.iter().map(|(_, all)| all.len()).sum::<usize>()
        })
    }

    fn forget(&mut self, pattern: &[u8]) {
        self.generation += 1;
        if has_wildcard(pattern) {
            self.cache.clear();
        } else {
            self.cache.remove(pattern);
        }
    }

    /// Who receives this literal subject; remembered.
    pub(super) fn route(&mut self, subject: &[u8]) -> Rc<Route> {
        self.stats.lookups += 1;
        let alike = subject.strip_prefix(ACKS).is_some_and(|rest| rest.first() == Some(&b'.'));
        let known = if alike { self.route_of_acks() } else { None };
        if let Some(route) = known.or_else(|| self.cache.get(subject).cloned()) {
            self.stats.hits += 1;
            return route;
        }
        let mut route = Route::default();
        self.collect(subject, &mut route);
        let route = Rc::new(route);
        if self.cache.len() >= CACHED {
            self.cache.clear();
        }
        self.cache.insert(subject.into(), route.clone());
        route
    }

    fn route_of_acks(&mut self) -> Option<Rc<Route>> {
        if self.acks.0 != self.generation {
            self.acks = (self.generation, self.route_below(ACKS).map(Rc::new));
        }
        self.acks.1.clone()
    }

    /// Who receives each subject that begins with these tokens and has more; `None` if they may differ.
    fn route_below(&self, begin: &[u8]) -> Option<Route> {
        let mut route = Route::default();
        let reached = self.reach(begin, |node| self.add_rest(node, &mut route));
        for node in reached {
            if node.children.keys().any(|token| **token != *b">") {
                return None;
            }
            self.add_rest(node, &mut route);
        }
        Some(route)
    }

    /// The nodes that these tokens lead to, through wildcards for one token too; `pass` is shown each on the way.
    fn reach(&self, begin: &[u8], mut pass: impl FnMut(&Node)) -> Vec<&Node> {
        let mut reached = vec![&self.nodes[self.root]];
        for token in tokens(begin) {
            for node in std::mem::take(&mut reached) {
                pass(node);
                let next = [&b"*"[..], token].map(|token| node.children.get(token));
                reached.extend(next.into_iter().flatten().map(|&child| &self.nodes[child]));
            }
        }
        reached
    }

    /// Adds who receives whatever else a subject has that led to this node.
    fn add_rest(&self, node: &Node, route: &mut Route) {
        if let Some(&child) = node.children.get(&b">"[..]) {
            route.add(&self.nodes[child]);
        }
    }

    /// Who receives a subject that will not come again, such as an inbox.
    pub(super) fn collect(&self, subject: &[u8], route: &mut Route) {
        route.clear();
        self.walk(self.root, Some(subject), route);
    }

    /// Whether anybody listens to something below a subject.
    pub(super) fn hears_below(&self, subject: &[u8]) -> bool {
        let mut rest = false;
        let reached = self.reach(subject, |node| rest |= node.children.contains_key(&b">"[..]));
        rest || reached.into_iter().any(|node| !node.children.is_empty())
    }

    fn walk(&self, at: usize, rest: Option<&[u8]>, route: &mut Route) {
        let node = &self.nodes[at];
        let Some(rest) = rest else { return route.add(node) };
        let (token, rest) = match memchr::memchr(b'.', rest) {
            Some(dot) => (&rest[..dot], Some(&rest[dot + 1..])),
            None => (rest, None),
        };
        self.add_rest(node, route);
        if let Some(&child) = node.children.get(&b"*"[..]) {
            self.walk(child, rest, route);
        }
        if matches!(token, b"*" | b">") {
            return;
        }
        if let Some(&child) = node.children.get(token) {
            self.walk(child, rest, route);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prng::Prng;
    use crate::wire::nats::subject::matches;

    fn pattern(prng: &mut Prng) -> String {
        let mut tokens: Vec<&str> =
            (0..=prng.below(3)).map(|_| ["a", "b", "*"][prng.below(3) as usize]).collect();
        if prng.below(4) == 0 {
            tokens.push(">");
        }
        tokens.join(".")
    }

    #[test]
    fn routes_are_those_of_a_plain_list_through_thousands_of_changes() {
        let mut prng = Prng::new(11);
        let mut tree = Sublist::default();
        let mut list: Vec<(String, Member)> = Vec::new();
        for slot in 0..4_000u32 {
            if prng.below(5) < 3 || list.is_empty() {
                let member = Member::Client { client: 1, slot };
                list.push((pattern(&mut prng), member));
                tree.insert(list[list.len() - 1].0.as_bytes(), b"", member);
            } else {
                let (pattern, member) = list.swap_remove(prng.below(list.len() as u64) as usize);
                tree.remove(pattern.as_bytes(), b"", member);
            }
            let subject =
                (0..=prng.below(3)).map(|_| ["a", "b"][prng.below(2) as usize]).collect::<Vec<_>>().join(".");
            let mut expected: Vec<Member> = list
                .iter()
                .filter(|(pattern, _)| matches(pattern.as_bytes(), subject.as_bytes()))
                .map(|&(_, member)| member)
                .collect();
            let mut found = tree.route(subject.as_bytes()).plain.clone();
            let key = |member: &Member| format!("{member:?}");
            expected.sort_by_key(key);
            found.sort_by_key(key);
            assert_eq!(found, expected, "{subject} after {slot}");
            assert_eq!(tree.len(), list.len());
        }
        for (pattern, member) in list {
            tree.remove(pattern.as_bytes(), b"", member);
        }
        assert_eq!(tree.nodes.len(), 1, "the root alone is left");
    }

    #[test]
    fn acknowledgements_go_where_a_walk_for_each_would_send_them() {
        let mut prng = Prng::new(12);
        let words = ["$JS", "ACK", "s", "*"];
        for _ in 0..300 {
            let mut tree = Sublist::default();
            tree.insert(b"$JS.ACK.>", b"", Member::Api);
            for slot in 0..prng.below(4) as u32 {
                let tokens: Vec<&str> = (0..=prng.below(3)).map(|_| words[prng.below(4) as usize]).collect();
                let rest = ["", ".>"][prng.below(2) as usize];
                let queue: &[u8] = [&b""[..], b"q"][prng.below(2) as usize];
                let pattern = format!("{}{rest}", tokens.join("."));
                tree.insert(pattern.as_bytes(), queue, Member::Client { client: 1, slot });
            }
            for subject in ["$JS.ACK.s", "$JS.ACK.s.c.1", "$JS.ACK.other.c.1", "$JS.ACKS.s"] {
                let mut walked = Route::default();
                tree.collect(subject.as_bytes(), &mut walked);
                let found = tree.route(subject.as_bytes());
                let shown = |route: &Route| {
                    let mut all = [route.plain.clone(), route.inner.clone()].concat();
                    all.extend(route.queues.iter().flat_map(|(_, members)| members));
                    let mut all: Vec<String> = all.iter().map(|member| format!("{member:?}")).collect();
                    all.sort();
                    (all, route.queues.len())
                };
                assert_eq!(shown(&found), shown(&walked), "{subject}");
            }
        }
        let mut tree = Sublist::default();
        tree.insert(b"$JS.ACK.>", b"", Member::Api);
        tree.route(b"$JS.ACK.s.c.1");
        assert_eq!(tree.cache.len(), 0, "what never comes again is not remembered");
    }

    #[test]
    fn who_listens_below_a_subject_is_found_through_wildcards() {
        for (pattern, hears) in
            [(">", true), ("a.>", true), ("a.b.c", true), ("*.*.x", true), ("a.b", false), ("a.c.d", false)]
        {
            let mut tree = Sublist::default();
            tree.insert(pattern.as_bytes(), b"", Member::Client { client: 1, slot: 1 });
            assert_eq!(tree.hears_below(b"a.b"), hears, "{pattern}");
        }
    }

    #[test]
    fn queue_groups_of_one_name_are_one_group_across_patterns() {
        let mut tree = Sublist::default();
        let [one, two] = [1, 2].map(|slot| Member::Client { client: 1, slot });
        tree.insert(b"a.*", b"q", one);
        tree.insert(b"a.b", b"q", two);
        tree.insert(b"a.b", b"other", one);
        tree.insert(b"a.b", b"", Member::Stream(3));
        let route = tree.route(b"a.b");
        assert_eq!(route.queues.len(), 2);
        assert_eq!(route.queues.iter().map(|(_, members)| members.len()).max(), Some(2));
        assert_eq!(route.inner, [Member::Stream(3)]);
    }
}
