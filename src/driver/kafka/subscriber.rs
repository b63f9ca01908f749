//! The subscribing side: takes what the reading thread has brought, and remembers how far it was worked on.

use std::sync::Arc;

use rdkafka::consumer::{BaseConsumer, Consumer};

use super::reader::{Batch, Inbox, Watch};
use super::sources::{Accounts, Sources};
use crate::driver::{AckToken, Delivery, DriverError, Subscriber};

/// Bits of a token that hold the offset; those above hold the slot. A partition of a trial holds no 2^40 messages.
const OFFSET_BITS: u32 = 40;

/// A subscribing connection.
pub struct KafkaSubscriber {
    /// Taken at the end, so that the thread is the last to let go of it.
    consumer: Option<Arc<BaseConsumer<Watch>>>,
    inbox: Arc<Inbox>,
    sources: Arc<Sources>,
    accounts: Arc<Accounts>,
    /// Deliveries are acknowledged.
    group: bool,
    batch: Batch,
    /// By slot: the offset behind the last one done with; 0 before the first.
    done: Vec<i64>,
}

impl KafkaSubscriber {
    pub(super) fn new(
        consumer: Arc<BaseConsumer<Watch>>,
        inbox: Arc<Inbox>,
        sources: Arc<Sources>,
        (accounts, group): (Arc<Accounts>, bool),
    ) -> Self {
        let done = vec![0; sources.slots()];
        Self { consumer: Some(consumer), inbox, sources, accounts, group, batch: Batch::default(), done }
    }
}

fn token(slot: u32, offset: i64) -> AckToken {
    AckToken(u64::from(slot) << OFFSET_BITS | offset as u64)
}

fn of_token(token: AckToken) -> (u32, i64) {
    ((token.0 >> OFFSET_BITS) as u32, (token.0 & ((1 << OFFSET_BITS) - 1)) as i64)
}

impl Subscriber for KafkaSubscriber {
    async fn next_batch(&mut self, each: &mut impl FnMut(Delivery<'_>)) -> Result<(), DriverError> {
        self.inbox.take(&mut self.batch).await?;
        let mut start = 0;
        for entry in &self.batch.entries {
            let (source, _) = self.sources.of(entry.slot);
            each(Delivery {
                subscription: source.subscription,
                topic: source.topic,
                payload: &self.batch.bytes[start..entry.end],
                // Kafka does not tell what came before.
                redelivered: false,
                token: self.group.then(|| token(entry.slot, entry.offset)),
            });
            start = entry.end;
            if !self.group {
                self.done[entry.slot as usize] = entry.offset + 1;
            }
        }
        Ok(())
    }

    /// Notes how far each partition was worked on; the library commits that now and then.
    async fn ack(&mut self, tokens: &[AckToken]) -> Result<(), DriverError> {
        let mut touched = Vec::new();
        for (slot, offset) in tokens.iter().copied().map(of_token) {
            let done = &mut self.done[slot as usize];
            if offset >= *done {
                *done = offset + 1;
                touched.push(slot);
            }
        }
        touched.sort_unstable();
        touched.dedup();
        let Some(consumer) = &self.consumer else { return Ok(()) };
        for slot in touched {
            let (_, partition) = self.sources.of(slot);
            let last = self.done[slot as usize] - 1;
            // Refused for a partition that has gone to another member meanwhile: it gets the message again.
            let _gone_to_another = consumer.store_offset(self.sources.name(slot), partition as i32, last);
        }
        Ok(())
    }
}

/// Leaves its accounts behind, and lets the thread end, which commits and leaves the group.
impl Drop for KafkaSubscriber {
    fn drop(&mut self) {
        for (slot, &offset) in (0u32..).zip(&self.done) {
            let (source, partition) = self.sources.of(slot);
            self.accounts.done(source, partition, offset);
        }
        self.consumer = None;
        self.inbox.end();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_token_is_a_slot_and_an_offset_and_keeps_their_order(slot in 0u32..1 << 24, offset in 0i64..(1 << 40) - 1) {
            prop_assert_eq!(of_token(token(slot, offset)), (slot, offset));
            prop_assert!(token(slot, offset) < token(slot, offset + 1));
        }
    }
}
