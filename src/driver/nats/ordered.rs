//! Ordered consumers: one subscriber's own, never acknowledged. The subscriber watches the numbers of the deliveries,
//! and where one is missing, or the consumer is gone, it makes another that begins behind the last message it had.
//! None of this is silent: it is counted, and told with the result.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

/// The ordered consumers of a trial, known to all its connections.
#[derive(Debug, Default)]
pub(super) struct OrderedConsumers {
    /// By receiver: the name of its latest consumer, and the last message it had.
    known: Mutex<BTreeMap<u32, Known>>,
    made: AtomicU64,
    again: AtomicU64,
}

#[derive(Debug, Clone, Default)]
struct Known {
    name: String,
    last: Option<u64>,
    /// Deliveries that counted: of earlier consumers, and of the latest.
    before: u64,
    now: u64,
}

impl OrderedConsumers {
    /// Forgets an earlier trial.
    pub(super) fn clear(&self) {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.again.store(0, Ordering::Relaxed);
    }

    /// A name that no consumer had yet, which is the receiver's from now on, and the message behind which it begins.
    pub(super) fn next(&self, receiver: u32) -> (String, Option<u64>) {
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let name = format!("ordered-{receiver}-{number}");
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.entry(receiver).or_default();
        known.name.clone_from(&name);
        known.before += std::mem::take(&mut known.now);
        (name, known.last)
    }

    /// The name of a receiver's consumer, and how many deliveries those before it made.
    pub(super) fn name(&self, receiver: u32) -> Option<(String, u64)> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&receiver).map(|known| (known.name.clone(), known.before))
    }

    /// A receiver reads no more from its consumer, whatever comes next.
    pub(super) fn left(&self, watching: &mut Watching) {
        let taken = std::mem::take(&mut watching.taken);
        if taken == 0 {
            return;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.entry(watching.receiver).or_default();
        known.last = watching.last;
        known.now += taken;
    }

    /// A consumer is made again because something was missing.
    pub(super) fn made_again(&self) {
        self.again.fetch_add(1, Ordering::Relaxed);
    }

    /// What a reader of the result has to know.
    pub(super) fn remarks(&self) -> Vec<String> {
        match self.again.load(Ordering::Relaxed) {
            0 => Vec::new(),
            count => vec![format!(
                "{count} times an ordered consumer was made again behind the last message it had, since a delivery \
                 was missing or the consumer was gone"
            )],
        }
    }
}

/// What is watched of one ordered consumer's deliveries.
#[derive(Debug)]
pub(super) struct Watching {
    pub(super) receiver: u32,
    /// Number of the next delivery.
    next: u64,
    /// The last message of the stream that came.
    last: Option<u64>,
    /// Deliveries that counted and that nobody was told of.
    taken: u64,
    /// How often it was found silent, one time after the other.
    silent: u8,
    /// Something is missing: nothing counts until there is another consumer.
    pub(super) broken: bool,
}

impl Watching {
    /// A consumer that has delivered nothing yet and begins behind the message `last`.
    pub(super) fn new(receiver: u32, last: Option<u64>) -> Self {
        Self { receiver, next: 1, last, taken: 0, silent: 0, broken: false }
    }

    /// Whether the delivery with these numbers is the one whose turn it is; where not, the consumer is to be made
    /// again.
    pub(super) fn takes(&mut self, sequences: Option<(u64, u64)>) -> bool {
        match sequences {
            Some((stream, delivery)) if !self.broken && delivery == self.next => {
                self.next += 1;
                self.taken += 1;
                self.silent = 0;
                self.last = Some(stream);
                true
            }
            _ => {
                self.broken = true;
                false
            }
        }
    }

    /// The server says that the consumer is there.
    pub(super) fn lives(&mut self) {
        self.silent = 0;
    }

    /// Time for several heartbeats has passed. A consumer that let two such times pass without a word is gone; after
    /// one, its words may still wait for whoever has not read for a while.
    pub(super) fn passed(&mut self) {
        self.silent += 1;
        self.broken |= self.silent >= 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_delivery_out_of_turn_breaks_a_consumer_and_nothing_counts_until_there_is_another() {
        let mut watching = Watching::new(3, None);
        assert!(watching.takes(Some((10, 1))) && watching.takes(Some((12, 2))));
        assert!(!watching.takes(Some((14, 4))), "delivery 3 is missing");
        assert!(watching.broken && !watching.takes(Some((13, 3))), "it comes too late");
        let mut next = Watching::new(3, watching.last);
        assert_eq!(next.last, Some(12));
        assert!(next.takes(Some((13, 1))));
    }

    #[test]
    fn a_consumer_is_gone_once_it_was_silent_twice() {
        let mut watching = Watching::new(0, None);
        watching.passed();
        watching.lives();
        watching.passed();
        assert!(watching.takes(Some((1, 1))));
        watching.passed();
        assert!(!watching.broken);
        watching.passed();
        assert!(watching.broken);
    }

    #[test]
    fn a_receiver_begins_where_it_was_under_a_name_that_is_new() {
        let consumers = OrderedConsumers::default();
        let (first, from) = consumers.next(0);
        assert_eq!((from, consumers.name(0)), (None, Some((first.clone(), 0))));
        let mut watching = Watching::new(0, None);
        assert!(watching.takes(Some((40, 1))) && watching.takes(Some((41, 2))));
        consumers.left(&mut watching);
        consumers.left(&mut watching);
        let (second, from) = consumers.next(0);
        assert_ne!(first, second);
        assert_eq!((from, consumers.name(0)), (Some(41), Some((second, 2))), "counted once");
        assert_eq!(consumers.name(1), None);
        assert!(consumers.remarks().is_empty());
        consumers.made_again();
        assert!(consumers.remarks()[0].starts_with("1 times"));
        consumers.clear();
        assert_eq!((consumers.name(0), consumers.remarks().len()), (None, 0));
    }
}
