//! One order for all event loops: a linked list that any of them may append to and each of them walks.
//!
//! A loop appends only where its own walk has come to, so what it appends is decided on a state that holds
//! everything before it, and it knows at once how many get a message. Two that append at the same place are
//! told apart by which link is set first; the other walks on and tries again. Nothing is locked. A node goes
//! when the last loop has passed it.

use super::registry::Kind;
use super::together::Question;
use crate::clock::Nanos;
use std::sync::{Arc, OnceLock};

/// What a node costs beside the messages in it, in bytes.
const NODE: u64 = 128;

/// Something that the other event loops have to know.
#[derive(Debug)]
pub(super) enum Event {
    /// RESP2 message frames, all to one channel.
    Published {
        /// PUBLISH or SPUBLISH.
        kind: Kind,
        /// Where.
        channel: Box<[u8]>,
        /// What.
        frames: Arc<Vec<u8>>,
    },
    /// Somebody subscribed to these, or left them.
    Subscribed {
        /// To what kind of names.
        kind: Kind,
        /// Which.
        names: Vec<Box<[u8]>>,
        /// Whether there is one subscriber more, or less.
        more: bool,
    },
    /// Every loop is to answer.
    Asked(Arc<Question>),
    /// CONFIG SET: names and values, known to be good.
    Configured(Vec<(String, String)>),
    /// CONFIG RESETSTAT.
    StatsReset,
    /// DEBUG SLEEP.
    Slept(Nanos),
}

impl Event {
    fn weight(&self) -> u64 {
        match self {
            Self::Published { channel, frames, .. } => (channel.len() + frames.len()) as u64,
            Self::Subscribed { names, .. } => names.iter().map(|name| name.len() as u64 + 16).sum(),
            _ => 0,
        }
    }
}

/// What happened at one place of the order.
#[derive(Debug)]
pub(super) struct Node {
    /// The loop that knows already.
    from: usize,
    /// Empty until a transaction that holds this place ends.
    events: OnceLock<Vec<Event>>,
    /// Bytes appended before and with this one.
    end: u64,
    next: OnceLock<Arc<Node>>,
}

impl Node {
    /// What happened; waits for a transaction that holds this place, which takes no longer than its commands.
    pub(super) fn events(&self) -> &[Event] {
        loop {
            match self.events.get() {
                Some(events) => return events,
                None => std::thread::yield_now(),
            }
        }
    }

    /// Which loop it comes from.
    pub(super) fn from(&self) -> usize {
        self.from
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // One after the other: a long list must not take as many stack frames.
        let mut next = self.next.take();
        while let Some(node) = next.and_then(Arc::into_inner) {
            let mut node = node;
            next = node.next.take();
        }
    }
}

/// A node that is not appended yet.
#[derive(Debug)]
pub(super) struct Draft(Arc<Node>);

impl Draft {
    /// With its event.
    pub(super) fn new(from: usize, event: Event) -> Self {
        let weight = event.weight();
        Self::with(from, OnceLock::from(vec![event]), weight)
    }

    /// To be filled by a transaction, which brings about this many bytes.
    pub(super) fn blank(from: usize, weight: u64) -> Self {
        Self::with(from, OnceLock::new(), weight)
    }

    fn with(from: usize, events: OnceLock<Vec<Event>>, weight: u64) -> Self {
        Self(Arc::new(Node { from, events, end: NODE + weight, next: OnceLock::new() }))
    }
}

/// How far one loop has walked.
#[derive(Debug, Clone)]
pub(super) struct Cursor(Arc<Node>);

impl Cursor {
    /// The beginning of a new order.
    pub(super) fn start() -> Self {
        let (events, next) = (OnceLock::from(Vec::new()), OnceLock::new());
        Self(Arc::new(Node { from: 0, events, end: 0, next }))
    }

    /// Whether there is more.
    #[inline]
    pub(super) fn has_more(&self) -> bool {
        self.0.next.get().is_some()
    }

    /// One step, to what comes next.
    #[inline]
    pub(super) fn step(&mut self) -> Option<Arc<Node>> {
        let next = self.0.next.get()?.clone();
        self.0 = next.clone();
        Some(next)
    }

    /// Bytes of all that was walked past.
    pub(super) fn walked(&self) -> u64 {
        self.0.end
    }

    /// Appends and steps on to it, or gives it back if there is more to be walked first.
    pub(super) fn append(&mut self, draft: Draft) -> Result<Arc<Node>, Draft> {
        let Draft(mut node) = draft;
        let weight = node.end;
        if let Some(own) = Arc::get_mut(&mut node) {
            own.end += self.0.end;
        }
        match self.0.next.set(node.clone()) {
            Ok(()) => {
                self.0 = node.clone();
                Ok(node)
            }
            Err(same) => {
                drop(same);
                if let Some(own) = Arc::get_mut(&mut node) {
                    own.end = weight;
                }
                Err(Draft(node))
            }
        }
    }
}

/// A place that a transaction holds until it is over.
#[derive(Debug)]
pub(super) struct Held {
    node: Arc<Node>,
    /// What the transaction did so far.
    pub(super) events: Vec<Event>,
}

impl Held {
    /// Holds a node that was appended without events.
    pub(super) fn new(node: Arc<Node>) -> Self {
        Self { node, events: Vec::new() }
    }

    /// Lets the others go on.
    pub(super) fn let_go(self) {
        // Only its holder fills it.
        let _ = self.node.events.set(self.events);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(number: u64) -> Event {
        let frames = Arc::new(number.to_le_bytes().to_vec());
        Event::Published { kind: Kind::Channel, channel: Box::from(&b"c"[..]), frames }
    }

    fn numbers(node: &Node) -> Vec<u64> {
        let number = |event: &Event| match event {
            Event::Published { frames, .. } => u64::from_le_bytes(frames[..8].try_into().unwrap()),
            other => panic!("{other:?}"),
        };
        node.events().iter().map(number).collect()
    }

    /// What is left to be walked.
    fn rest(cursor: &mut Cursor) -> Vec<u64> {
        let nodes = std::iter::from_fn(|| cursor.step());
        nodes.flat_map(|node| numbers(&node)).collect()
    }

    #[test]
    fn all_walkers_see_one_order_with_each_writer_in_its_own() {
        const WRITERS: usize = 4;
        const EACH: u64 = 5_000;
        let start = Cursor::start();
        let walk = |me: usize, mut cursor: Cursor| {
            let mut seen = Vec::new();
            for number in 0..EACH {
                let mut draft = Draft::new(me, message(me as u64 * EACH + number));
                while let Err(back) = cursor.append(draft) {
                    draft = back;
                    seen.extend(rest(&mut cursor));
                }
                seen.push(me as u64 * EACH + number);
            }
            while seen.len() < WRITERS * EACH as usize {
                seen.extend(rest(&mut cursor));
                std::thread::yield_now();
            }
            (seen, cursor.walked())
        };
        let all: Vec<(Vec<u64>, u64)> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..WRITERS)
                .map(|me| {
                    let cursor = start.clone();
                    scope.spawn(move || walk(me, cursor))
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(all.windows(2).all(|two| two[0] == two[1]), "they saw different orders");
        for me in 0..WRITERS as u64 {
            let own = all[0].0.iter().filter(|&&number| number / EACH == me);
            assert!(own.copied().eq(me * EACH..(me + 1) * EACH), "writer {me} out of order");
        }
    }

    #[test]
    fn a_held_place_is_waited_for_and_then_holds_all_the_transaction_did() {
        let mut cursor = Cursor::start();
        let mut other = cursor.clone();
        let mut held = Held::new(cursor.append(Draft::blank(0, 0)).unwrap());
        let node = other.step().unwrap();
        std::thread::scope(|scope| {
            let reader = scope.spawn(|| numbers(&node));
            held.events.extend([message(1), message(2)]);
            held.let_go();
            assert_eq!(reader.join().unwrap(), [1, 2]);
        });
    }

    #[test]
    fn a_very_long_order_is_let_go_without_a_deep_stack() {
        let mut cursor = Cursor::start();
        let behind = cursor.clone();
        for _ in 0..300_000 {
            assert!(cursor.append(Draft::new(0, Event::StatsReset)).is_ok());
        }
        drop(cursor);
        drop(behind);
    }
}
