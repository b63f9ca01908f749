//! The publishing side: routes and faults are decided when a message is enqueued, rings are filled on flush.

use std::sync::Arc;

use super::NAME;
use super::bus::{Bus, Injected, Routes};
use super::faults::{Fault, Faults};
use super::ring::{HEAD_BYTES, Head, Mark, Ring};
use crate::driver::{AckRun, DriverError, Enqueued, ErrorKind, Outcome, Publisher};
use crate::scenario::{Delivery, TopicId, Topology};

/// Bytes queued at most, heads included, unless a single message is larger.
const OUTPUT_BYTES: usize = 256 * 1024;

/// A delivery on its way to a ring.
#[derive(Debug, Clone, Copy)]
struct Staged {
    /// Where the payload is in the output buffer.
    start: u32,
    length: u32,
    topic: u32,
    subscription: u32,
    mark: Mark,
    /// For [`Mark::Corrupt`]: the bit to flip.
    bit: u32,
}

/// What one ring still has to get, in order.
#[derive(Debug, Default)]
struct Staging {
    deliveries: Vec<Staged>,
    done: usize,
}

/// A publishing connection to the in-memory bus.
#[derive(Debug)]
pub struct LoopbackPublisher {
    bus: Arc<Bus>,
    generation: u64,
    connection: u32,
    faults: Faults,
    routes: Arc<Routes>,
    output: Vec<u8>,
    /// By index of the ring.
    staging: Vec<Staging>,
    /// Rings that still have to get something.
    touched: Vec<u32>,
    enqueued: u64,
    acked: u64,
    injected: Injected,
}

impl LoopbackPublisher {
    pub(super) fn new(bus: Arc<Bus>, topology: &Topology, connection: u32) -> Self {
        Self {
            generation: bus.generation(),
            connection,
            faults: bus.faults(connection, topology.delivery == Delivery::FanOut),
            routes: Arc::default(),
            output: Vec::new(),
            staging: Vec::new(),
            touched: Vec::new(),
            enqueued: 0,
            acked: 0,
            injected: Injected::default(),
            bus,
        }
    }

    fn alive(&self) -> Result<(), DriverError> {
        if self.generation == self.bus.generation() {
            return Ok(());
        }
        Err(DriverError::new(ErrorKind::Disconnected, NAME, "the bus was taken away"))
    }

    /// Decides where message `message` goes, and in what state it arrives.
    #[inline]
    fn route(&mut self, message: u64, topic: u32, start: usize, length: usize) {
        let routes = &self.routes.topics[topic as usize];
        for route in routes {
            let member =
                if route.members.len() == 1 { 0 } else { (message % route.members.len() as u64) as usize };
            let (ring, subscription) = route.members[member];
            let (mark, bit, copies) = match self.faults.decide(message, route.receiver, length) {
                Fault::None => (Mark::Plain, 0, 1),
                Fault::Drop => {
                    self.injected.dropped += 1;
                    continue;
                }
                Fault::Duplicate => {
                    self.injected.duplicated += 1;
                    (Mark::Plain, 0, 2)
                }
                Fault::Hold => (Mark::Hold, 0, 1),
                Fault::Corrupt(bit) => {
                    self.injected.corrupted += 1;
                    (Mark::Corrupt, bit, 1)
                }
            };
            let staging = &mut self.staging[ring as usize];
            if staging.deliveries.is_empty() {
                self.touched.push(ring);
            }
            let staged =
                Staged { start: start as u32, length: length as u32, topic, subscription, mark, bit };
            staging.deliveries.push(staged);
            if copies == 2 {
                staging.deliveries.push(Staged { mark: Mark::Copy, ..staged });
            }
        }
    }

    /// Fills rings as far as they have room; the first one that is full, if any.
    fn push(&mut self) -> Option<Arc<Ring>> {
        if self.touched.is_empty() {
            return None;
        }
        let due = self.bus.due();
        let mut full = None;
        let Self { touched, staging, routes, output, connection, .. } = self;
        touched.retain(|&index| {
            let (ring, staging) = (&routes.rings[index as usize], &mut staging[index as usize]);
            staging.fill(ring, output, due, *connection);
            if staging.deliveries.is_empty() {
                return false;
            }
            full.get_or_insert_with(|| ring.clone());
            true
        });
        full
    }
}

impl Staging {
    fn fill(&mut self, ring: &Ring, output: &[u8], due: u64, origin: u32) {
        let mut pushing = ring.push();
        for staged in &self.deliveries[self.done..] {
            let Staged { start, length, topic, subscription, mark, bit } = *staged;
            let payload = &output[start as usize..(start + length) as usize];
            let head = Head { due, topic, subscription, length, origin, mark };
            if !pushing.frame(&head, payload) {
                break;
            }
            if mark == Mark::Corrupt {
                pushing.flip(payload.len(), bit);
            }
            self.done += 1;
        }
        pushing.done();
        if self.done == self.deliveries.len() {
            self.deliveries.clear();
            self.done = 0;
        }
    }
}

impl Publisher for LoopbackPublisher {
    fn enqueue(&mut self, topic: TopicId, payload: &[u8]) -> Result<Enqueued, DriverError> {
        // Heads count too, or messages without bytes would have no bound.
        let waiting = (self.enqueued - self.acked) as usize;
        if waiting > 0 && self.output.len() + waiting * HEAD_BYTES + payload.len() > OUTPUT_BYTES {
            return Ok(Enqueued::Full);
        }
        if self.routes.version != self.bus.version() {
            self.alive()?;
            self.routes = self.bus.routes();
            self.staging.resize_with(self.routes.rings.len(), Staging::default);
        }
        if topic.0 as usize >= self.routes.topics.len() || u32::try_from(payload.len()).is_err() {
            let what = format!("no topic {} for a message of {} bytes", topic.0, payload.len());
            return Err(DriverError::new(ErrorKind::Rejected, NAME, what));
        }
        let start = self.output.len();
        self.output.extend_from_slice(payload);
        self.route(self.enqueued, topic.0, start, payload.len());
        self.enqueued += 1;
        Ok(Enqueued::Yes)
    }

    async fn flush(&mut self, each: &mut impl FnMut(AckRun)) -> Result<(), DriverError> {
        self.alive()?;
        while let Some(full) = self.push() {
            full.room().await;
            self.alive()?;
        }
        self.output.clear();
        self.bus.count(std::mem::take(&mut self.injected));
        while self.acked < self.enqueued {
            let count = u32::try_from(self.enqueued - self.acked).unwrap_or(u32::MAX);
            each(AckRun { first: self.acked, count, outcome: Outcome::Accepted });
            self.acked += u64::from(count);
        }
        Ok(())
    }

    /// Every ack is handed over by the flush that earns it, so there is never one to wait for.
    async fn acks(&mut self, _each: &mut impl FnMut(AckRun)) -> Result<(), DriverError> {
        self.bus.gone(self.generation).await;
        self.alive()
    }
}
