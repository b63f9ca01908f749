//! The changes of a consumer's state, as bytes that are appended to a file and read back.

use super::consumer::{Consumer, Position};

const MOVED: u8 = 1;
const DELIVERED: u8 = 2;
const SETTLED: u8 = 3;
const FLOOR: u8 = 4;

/// Changes that are not written yet.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    bytes: Vec<u8>,
    /// The last position moved to; only it matters.
    moved: Option<(u64, u64)>,
}

fn put(out: &mut Vec<u8>, tag: u8, numbers: &[u64]) {
    out.push(tag);
    numbers.iter().for_each(|number| out.extend_from_slice(&number.to_le_bytes()));
}

impl Ledger {
    pub(super) fn moved(&mut self, to: &Position) {
        self.moved = Some((to.stream, to.delivery));
    }

    pub(super) fn delivered(&mut self, sequence: u64, delivery: u64, times: u64) {
        put(&mut self.bytes, DELIVERED, &[sequence, delivery, times]);
    }

    pub(super) fn settled(&mut self, sequence: u64) {
        put(&mut self.bytes, SETTLED, &[sequence]);
    }

    pub(super) fn floor(&mut self, at: &Position) {
        put(&mut self.bytes, FLOOR, &[at.stream, at.delivery]);
    }

    /// Forgets what is not written.
    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.moved = None;
    }

    /// Whether there is nothing to be written.
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.moved.is_none()
    }

    /// Brings what is to be written to its final form.
    pub(super) fn close(&mut self) {
        if let Some((stream, delivery)) = self.moved.take() {
            put(&mut self.bytes, MOVED, &[stream, delivery]);
        }
    }

    /// What is to be written, once it is closed.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The whole state of a consumer, as changes to an empty one.
    pub(super) fn whole(consumer: &Consumer) -> Vec<u8> {
        let mut out = Vec::new();
        for (&sequence, pending) in &consumer.pending {
            let times = consumer.times_of(sequence);
            put(&mut out, DELIVERED, &[sequence, pending.delivery, times]);
        }
        put(&mut out, MOVED, &[consumer.delivered.stream, consumer.delivered.delivery]);
        put(&mut out, FLOOR, &[consumer.floor.stream, consumer.floor.delivery]);
        out
    }

    /// Applies changes that were read; `None` if they make no sense.
    pub(super) fn replay(mut bytes: &[u8], consumer: &mut Consumer) -> Option<()> {
        while let Some((&tag, rest)) = bytes.split_first() {
            let count = match tag {
                DELIVERED => 3,
                MOVED | FLOOR => 2,
                SETTLED => 1,
                _ => return None,
            };
            let (numbers, rest) = rest.split_at_checked(8 * count)?;
            let number = |index: usize| {
                numbers[8 * index..8 * index + 8]
                    .iter()
                    .rev()
                    .fold(0, |all, &byte| all << 8 | u64::from(byte))
            };
            match tag {
                DELIVERED => consumer.restore_pending(number(0), (number(1), number(2))),
                MOVED => {
                    consumer.delivered.stream = number(0);
                    consumer.delivered.delivery = number(1);
                }
                FLOOR => {
                    consumer.floor.stream = number(0);
                    consumer.floor.delivery = number(1);
                }
                _ => consumer.settle(number(0)),
            }
            bytes = rest;
        }
        Some(())
    }
}
