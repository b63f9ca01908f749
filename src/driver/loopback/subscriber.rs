//! The subscribing side: takes the ring's content whole and hands it over in pieces of a socket read's size.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use super::bus::{Bus, Injected};
use super::ring::{HEAD_BYTES, Head, Mark, Ring};
use crate::driver::{AckToken, Delivery, DriverError, Subscriber};
use crate::scenario::{Subscription, TopicId};

/// Bytes handed over per batch at most, unless a single frame is larger.
const BATCH_BYTES: usize = 64 * 1024;
/// A delivery that was held back and that nothing follows comes after this long; it is no reordering then.
const HOLD_LIMIT: Duration = Duration::from_millis(50);

/// A lane as the bus sees it: publishing connection, topic, subscription.
type Lane = (u32, u32, u32);

/// A subscribing connection to the in-memory bus.
#[derive(Debug)]
pub struct LoopbackSubscriber {
    bus: Arc<Bus>,
    ring: Arc<Ring>,
    taken: Vec<u8>,
    at: usize,
    held: HashMap<Lane, Vec<u8>>,
    /// Buffers for held payloads, used again.
    spare: Vec<Vec<u8>>,
}

impl LoopbackSubscriber {
    pub(super) fn new(bus: Arc<Bus>, subscriptions: &[Subscription]) -> Self {
        let ring = bus.join(subscriptions);
        Self { bus, ring, taken: Vec::new(), at: 0, held: HashMap::new(), spare: Vec::new() }
    }

    /// Takes what waits in the ring; `false` if nothing does.
    fn refill(&mut self) -> Result<bool, DriverError> {
        self.taken.clear();
        self.at = 0;
        self.ring.take(&mut self.taken)
    }

    /// Waits until the ring is filled again, or until what is held back has waited in vain (`true`).
    async fn idle(&self) -> bool {
        if self.held.is_empty() {
            self.ring.filled().await;
            return false;
        }
        tokio::time::timeout(HOLD_LIMIT, self.ring.filled()).await.is_err()
    }

    /// Hands over what is due at `now`, up to a batch.
    fn deliver(&mut self, now: u64, each: &mut impl FnMut(Delivery<'_>)) {
        let begin = self.at;
        let (mut handed, mut reordered) = (0, 0);
        while self.at < self.taken.len() {
            let head = Head::read(&self.taken, self.at);
            let start = self.at + HEAD_BYTES;
            let next = start + head.length as usize;
            if head.due > now || (next - begin > BATCH_BYTES && self.at > begin) {
                break;
            }
            self.at = next;
            let payload = &self.taken[start..next];
            if self.held.is_empty() && head.mark != Mark::Hold {
                each(delivery(head.topic, head.subscription, payload));
                handed += u64::from(head.mark != Mark::Copy);
                continue;
            }
            let lane = (head.origin, head.topic, head.subscription);
            if head.mark == Mark::Hold && !self.held.contains_key(&lane) {
                let mut buffer = self.spare.pop().unwrap_or_default();
                buffer.extend_from_slice(payload);
                self.held.insert(lane, buffer);
                continue;
            }
            each(delivery(head.topic, head.subscription, payload));
            handed += u64::from(head.mark != Mark::Copy);
            // A copy or a corrupt message is no successor that a ledger could see the swap by.
            if matches!(head.mark, Mark::Plain | Mark::Hold)
                && let Some(buffer) = self.held.remove(&lane)
            {
                each(delivery(head.topic, head.subscription, &buffer));
                handed += 1;
                reordered += 1;
                self.keep(buffer);
            }
        }
        self.ring.handed_over(handed);
        if reordered > 0 {
            self.bus.count(Injected { reordered, ..Injected::default() });
        }
    }

    /// Hands over what was held back in vain.
    fn release(&mut self, each: &mut impl FnMut(Delivery<'_>)) {
        let mut held: Vec<(Lane, Vec<u8>)> = self.held.drain().collect();
        held.sort_unstable();
        for ((_, topic, subscription), buffer) in held {
            each(delivery(topic, subscription, &buffer));
            self.ring.handed_over(1);
            self.keep(buffer);
        }
    }

    fn keep(&mut self, mut buffer: Vec<u8>) {
        buffer.clear();
        self.spare.push(buffer);
    }
}

fn delivery(topic: u32, subscription: u32, payload: &[u8]) -> Delivery<'_> {
    Delivery { subscription, topic: TopicId(topic), payload, redelivered: false, token: None }
}

impl Subscriber for LoopbackSubscriber {
    async fn next_batch(&mut self, each: &mut impl FnMut(Delivery<'_>)) -> Result<(), DriverError> {
        loop {
            let now = self.bus.now();
            if let Some(end) = self.bus.stalled_until(now) {
                tokio::time::sleep(Duration::from_nanos(end - now)).await;
                continue;
            }
            if self.at == self.taken.len() && !self.refill()? {
                if self.idle().await {
                    self.release(each);
                    return Ok(());
                }
                continue;
            }
            let due = Head::read(&self.taken, self.at).due;
            if due > now {
                tokio::time::sleep(Duration::from_nanos(due - now)).await;
                continue;
            }
            self.deliver(now, each);
            return Ok(());
        }
    }

    async fn ack(&mut self, _tokens: &[AckToken]) -> Result<(), DriverError> {
        Ok(())
    }
}

impl Drop for LoopbackSubscriber {
    fn drop(&mut self) {
        self.bus.leave(&self.ring);
    }
}
