//! What a publishing thread remembers of its latest messages, for whoever asks about a slow one.

use crate::clock::Nanos;

/// Messages remembered by a thread, all its lanes together.
const SLOTS: usize = 1 << 16;

/// Key of a slot that was never used; no lane has so high a number.
const EMPTY: u64 = u64::MAX;

/// Names a message: its lane and its number there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct MessageId {
    /// The lane.
    pub lane: u32,
    /// The number on the lane, from 0; below 2^40.
    pub sequence: u64,
}

impl MessageId {
    fn key(self) -> u64 {
        u64::from(self.lane) << 40 | self.sequence
    }
}

/// What happened to a message on the publishing side, nanoseconds since trial start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Trace {
    /// When the pacer came for it; the time of its batch where no pacer does.
    pub woken: Nanos,
    /// When its answer was read; empty while there is none.
    pub acked: Option<Nanos>,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    key: u64,
    trace: Trace,
}

/// The latest messages of some lanes, 65,536 in all: each lane has a ring of its own as far as there is
/// room, else lanes share slots and an older message gives way.
#[derive(Debug, Clone)]
pub struct Trail {
    slots: Vec<Slot>,
    ring: u64,
}

impl Trail {
    /// For messages on `lanes` lanes (at least 1), numbered from 0.
    #[must_use]
    pub fn new(lanes: u32) -> Self {
        let ring = (SLOTS as u64 / u64::from(lanes.max(1))).max(1);
        // A power of two, so that the place of a message takes no division.
        let ring = 1 << ring.ilog2();
        let empty = Slot { key: EMPTY, trace: Trace { woken: 0, acked: None } };
        Self { slots: vec![empty; SLOTS], ring }
    }

    #[inline]
    fn place(&self, id: MessageId) -> usize {
        let place = u64::from(id.lane) * self.ring + (id.sequence & (self.ring - 1));
        place as usize % SLOTS
    }

    /// Remembers a message that was just handed over.
    #[inline]
    pub fn sent(&mut self, id: MessageId, woken: Nanos) {
        let place = self.place(id);
        self.slots[place] = Slot { key: id.key(), trace: Trace { woken, acked: None } };
    }

    /// Remembers when its answer came, if it is still remembered itself.
    #[inline]
    pub fn acked(&mut self, id: MessageId, at: Nanos) {
        let place = self.place(id);
        let slot = &mut self.slots[place];
        if slot.key == id.key() {
            slot.trace.acked = Some(at);
        }
    }

    /// What is remembered of a message; nothing once newer ones have taken its place.
    #[must_use]
    pub fn of(&self, id: MessageId) -> Option<Trace> {
        let slot = &self.slots[self.place(id)];
        (slot.key == id.key()).then_some(slot.trace)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_latest_messages_of_a_lane_are_remembered_and_older_ones_are_not_mistaken_for_them() {
        let mut trail = Trail::new(3);
        for sequence in 0..100_000 {
            let id = MessageId { lane: 2, sequence };
            trail.sent(id, sequence * 10);
            trail.acked(id, sequence * 10 + 5);
        }
        let seen = |sequence| trail.of(MessageId { lane: 2, sequence });
        assert_eq!(seen(99_999), Some(Trace { woken: 999_990, acked: Some(999_995) }));
        assert_eq!(seen(99_999 - 16_383), Some(Trace { woken: 836_160, acked: Some(836_165) }));
        assert_eq!(seen(99_999 - 16_384), None);
        assert_eq!(trail.of(MessageId { lane: 1, sequence: 99_999 }), None);
    }

    proptest! {
        #[test]
        fn whatever_is_told_was_true(lanes in 1u32..200_000, ids in prop::collection::vec((any::<u32>(), 0u64..1000), 1..200)) {
            let mut trail = Trail::new(lanes);
            let mut truth = std::collections::HashMap::new();
            for (at, (lane, sequence)) in ids.into_iter().enumerate() {
                let id = MessageId { lane: lane % lanes, sequence };
                trail.sent(id, at as u64);
                truth.insert(id, at as u64);
            }
            for (id, woken) in truth {
                if let Some(trace) = trail.of(id) {
                    prop_assert_eq!(trace, Trace { woken, acked: None });
                }
            }
        }
    }
}
