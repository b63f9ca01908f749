//! Which delivery suffers what: decided by arithmetic on the seed, never by a generator with state, so that
//! threads can't change it.

use crate::prng::mix;
use crate::scenario::LoopbackOptions;

use super::STAMP_BYTES;

/// What happens to one delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    /// Nothing.
    None,
    /// It vanishes.
    Drop,
    /// It is made twice.
    Duplicate,
    /// It waits until the next one of its lane has gone by.
    Hold,
    /// This bit of the payload is flipped.
    Corrupt(u32),
}

/// The faults of one publishing connection.
#[derive(Debug, Clone)]
pub(super) struct Faults {
    key: u64,
    /// Upper bounds of drop, duplicate, corrupt and hold on one scale from 0 to 1.
    until: [f64; 4],
    any: bool,
}

impl Faults {
    /// `ordered`: whether order means anything here; if not, nothing is held back.
    pub(super) fn new(options: &LoopbackOptions, seed: u64, connection: u32, ordered: bool) -> Self {
        let drop = options.drop;
        let duplicate = drop + options.duplicate;
        let corrupt = duplicate + options.corrupt;
        let hold = corrupt + if ordered { options.reorder } else { 0.0 };
        Self {
            key: mix(seed ^ mix(u64::from(connection) + 1)),
            until: [drop, duplicate, corrupt, hold],
            any: hold > 0.0,
        }
    }

    /// What happens to message `message` of this connection on its way to `receiver`.
    #[inline]
    pub(super) fn decide(&self, message: u64, receiver: u32, payload: usize) -> Fault {
        if !self.any {
            return Fault::None;
        }
        let bits = mix(self.key ^ mix((message << 20) ^ u64::from(receiver)));
        let share = (bits >> 11) as f64 * (1.0 / (1u64 << 53) as f64);
        let [drop, duplicate, corrupt, hold] = self.until;
        if share >= hold {
            Fault::None
        } else if share < drop {
            Fault::Drop
        } else if share < duplicate {
            Fault::Duplicate
        } else if share >= corrupt {
            Fault::Hold
        } else if payload > STAMP_BYTES {
            let flippable = (payload - STAMP_BYTES) as u64 * 8;
            Fault::Corrupt((STAMP_BYTES as u64 * 8 + mix(bits) % flippable) as u32)
        } else {
            Fault::None
        }
    }
}
