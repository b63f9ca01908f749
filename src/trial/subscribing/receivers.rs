//! The receivers of one thread: the ledgers that say of each delivery whether it is the first.

use std::collections::HashMap;
use std::sync::Arc;

use super::super::setup::Setup;
use super::super::signal::Totals;
use super::turns::Turns;
use crate::clock::Nanos;
use crate::driver::Delivery;
use crate::measure::{
    Arrival, CountingLedger, DeliveryRecorder, DeliveryRest, Heard, Judging, LedgerSums, MessageId, Opened,
    ReceiverLedger, Silence, SlowMessage, StampError,
};
use crate::scenario::{self, LaneId, TopicId, Topology};

/// Which subscribing connections go to which of `threads` threads. All members of a work queue's group stay
/// on one thread, since they share a ledger.
pub(in crate::trial) fn place(topology: &Topology, threads: usize) -> Vec<Vec<u32>> {
    let connections = topology.subscriber_connections as usize;
    let mut home: Vec<usize> = (0..connections).collect();
    let mut of_receiver: HashMap<u32, usize> = HashMap::new();
    for connection in 0..connections {
        for subscription in topology.subscriptions_on(connection as u32) {
            let first = *of_receiver.entry(subscription.receiver).or_insert(connection);
            let (a, b) = (root(&home, first), root(&home, connection));
            home[b] = a;
        }
    }
    let mut thread_of_root: HashMap<usize, usize> = HashMap::new();
    let mut placed = vec![Vec::new(); threads.max(1)];
    for connection in 0..connections {
        let root = root(&home, connection);
        let next = thread_of_root.len() % placed.len();
        let thread = *thread_of_root.entry(root).or_insert(next);
        placed[thread].push(connection as u32);
    }
    placed.retain(|connections| !connections.is_empty());
    placed
}

/// The representative of a connection's set.
fn root(home: &[usize], mut connection: usize) -> usize {
    while home[connection] != connection {
        connection = home[connection];
    }
    connection
}

/// Ledger of one receiver, exact where messages carry a stamp and counting where they don't.
#[derive(Debug)]
enum Ledger {
    /// Knows each message.
    Exact(Box<ReceiverLedger>),
    /// Knows only how many came.
    Counting(CountingLedger),
}

impl Ledger {
    /// Closes what is about to fall out of the publishers' ring.
    fn advance(&mut self) {
        if let Self::Exact(ledger) = self {
            ledger.advance();
        }
    }
}

/// What was counted since the last [`Receivers::publish`].
#[derive(Debug, Default)]
struct Batch {
    /// Deliveries of any kind.
    seen: u64,
    /// First deliveries and corrupt ones.
    arrived: u64,
    /// Payload bytes of first deliveries.
    bytes: u64,
    /// Change of the open gaps, wrapping.
    gaps: u64,
    /// Receivers (positions on this thread) and publishing connections whose messages were accounted for.
    moved: Vec<(usize, u32)>,
}

/// The receivers of one thread with everything that notes what came.
#[derive(Debug)]
pub(in crate::trial) struct Receivers {
    setup: Arc<Setup>,
    /// The receivers of this thread, and their ledgers.
    ids: Vec<u32>,
    ledgers: Vec<Ledger>,
    silences: Vec<Silence>,
    recorder: DeliveryRecorder,
    /// Whether publishers wait for the slowest receiver.
    closed_loop: bool,
    /// Messages newly accounted for, by receiver × publishing connection.
    advanced: Vec<u64>,
    batch: Batch,
    gaps: u64,
    /// Where publishers wait for the slowest receiver and messages carry no stamp.
    turns: Option<Turns>,
    unidentified: u64,
}

/// What the receivers of a thread leave behind.
#[derive(Debug)]
pub(in crate::trial) struct Noted {
    /// What the ledgers say.
    pub(in crate::trial) sums: LedgerSums,
    /// The same for each audience, where the scenario names some.
    pub(in crate::trial) audiences: Vec<Heard>,
    /// Arrivals where messages carry no stamp.
    pub(in crate::trial) counted: CountingLedger,
    /// The slowest messages, and the delivery times of each receiver.
    pub(in crate::trial) rest: DeliveryRest,
    /// The longest times without a delivery, receiver by receiver.
    pub(in crate::trial) silences: Vec<Silence>,
    /// Arrivals without a stamp of this trial and topic.
    pub(in crate::trial) unidentified: u64,
}

impl Receivers {
    /// Empty ledgers for the receivers that these connections serve.
    pub(in crate::trial) fn new(setup: &Arc<Setup>, connections: &[u32], recorder: DeliveryRecorder) -> Self {
        let ids = receivers_on(setup, connections);
        let closed_loop = setup.per_second.is_none() && !setup.acks_close_window;
        Self {
            ledgers: ids.iter().map(|&receiver| ledger(setup, receiver)).collect(),
            silences: vec![Silence::since(setup.measure_from); ids.len()],
            recorder,
            closed_loop,
            advanced: vec![0; ids.len() * setup.topology.publisher_connections as usize],
            ids,
            setup: Arc::clone(setup),
            batch: Batch::default(),
            gaps: 0,
            turns: (closed_loop && !setup.stamped).then(|| Turns::new(&setup.topology)),
            unidentified: 0,
        }
    }

    /// Position of a receiver on this thread.
    pub(in crate::trial) fn index_of(&self, receiver: u32) -> usize {
        self.ids.binary_search(&receiver).unwrap_or(0)
    }

    /// Notes one delivery to the receiver at `index`, read and taken in hand at these times.
    #[inline]
    pub(in crate::trial) fn note(
        &mut self,
        index: usize,
        delivery: &Delivery<'_>,
        (received, handled): (Nanos, Nanos),
    ) {
        self.batch.seen += 1;
        self.silences[index].heard(received);
        let ledger = match &mut self.ledgers[index] {
            Ledger::Exact(ledger) => ledger,
            Ledger::Counting(counting) => {
                counting.note(delivery.redelivered);
                self.batch.arrived += 1;
                self.batch.bytes += delivery.payload.len() as u64;
                self.recorder.delivered(index, self.setup.times(received, None), received);
                self.credit_uncounted(index, delivery.topic);
                return;
            }
        };
        let (opened, whole) = match self.setup.sealer.open(delivery.payload, delivery.topic.0, true) {
            Ok(opened) => (opened, true),
            Err(StampError::Corrupt(opened)) => (opened, false),
            Err(StampError::Unidentified | StampError::TooShort) => {
                self.unidentified += 1;
                return;
            }
        };
        let publisher = u32::from(opened.stamp.publisher);
        let Some(lane) = self.setup.topology.lane(publisher, delivery.topic) else {
            self.unidentified += 1;
            return;
        };
        let slot = self.setup.slot_of_lane[lane.0 as usize] as usize;
        let (head, gaps) = (ledger.head(slot), ledger.gap_total());
        if whole {
            let arrival = ledger.note(slot, opened.stamp.sequence, delivery.redelivered);
            if let Arrival::First { measured, .. } = arrival {
                self.batch.arrived += 1;
                self.batch.bytes += delivery.payload.len() as u64;
                let last =
                    if measured { ledger.last_delivery(slot, opened.stamp.sequence, received) } else { None };
                self.record(index, (lane, opened), (received, handled), last);
            }
        } else {
            ledger.corrupt(slot, opened.stamp.sequence);
            self.batch.arrived += 1;
        }
        self.account(index, (slot, head, gaps), publisher);
    }

    /// Records the latencies of a first delivery.
    #[inline]
    fn record(
        &mut self,
        index: usize,
        (lane, opened): (LaneId, Opened),
        (received, handled): (Nanos, Nanos),
        last: Option<Nanos>,
    ) {
        let intended = opened.stamp.intended;
        let times = self.setup.times(intended, opened.sent);
        if let (Some(last), Some(intended)) = (last, times.intended) {
            self.recorder.last_delivery(intended, last);
        }
        if self.recorder.delivered(index, times, received) {
            let connection = u32::from(opened.stamp.publisher) % self.setup.topology.publisher_connections;
            self.setup.inquiries.ask(connection, MessageId { lane: lane.0, sequence: opened.stamp.sequence });
            self.recorder.keep_slow(SlowMessage {
                publisher: u32::from(opened.stamp.publisher),
                lane: lane.0,
                sequence: opened.stamp.sequence,
                intended: times.intended,
                woken: None,
                sent: opened.sent,
                acked: None,
                received,
                handled: Some(handled),
            });
        }
    }

    /// Notes how far the receiver has come with a lane, and with its publisher where that one waits for it.
    #[inline]
    fn account(&mut self, index: usize, (slot, head, gaps): (usize, u64, u64), publisher: u32) {
        let Ledger::Exact(ledger) = &self.ledgers[index] else { return };
        let change = ledger.gap_total().wrapping_sub(gaps);
        self.batch.gaps = self.batch.gaps.wrapping_add(change);
        let moved = ledger.head(slot) - head;
        if self.closed_loop && moved > 0 {
            self.credit(index, publisher % self.setup.topology.publisher_connections, moved);
        }
    }

    /// Without a stamp nobody knows whose message it was: the topic's connections take turns.
    fn credit_uncounted(&mut self, index: usize, topic: TopicId) {
        if let Some(connection) = self.turns.as_mut().and_then(|turns| turns.next(index, topic)) {
            self.credit(index, connection, 1);
        }
    }

    fn credit(&mut self, index: usize, connection: u32, messages: u64) {
        let connections = self.setup.topology.publisher_connections as usize;
        let cell = &mut self.advanced[index * connections + connection as usize];
        if *cell == 0 {
            self.batch.moved.push((index, connection));
        }
        *cell += messages;
    }

    /// Tells the other threads what one socket read has brought.
    pub(in crate::trial) fn publish(&mut self) {
        let totals = &self.setup.totals;
        Totals::add(&totals.seen, std::mem::take(&mut self.batch.seen));
        Totals::add(&totals.arrived, std::mem::take(&mut self.batch.arrived));
        Totals::add(&totals.bytes, std::mem::take(&mut self.batch.bytes));
        // Open gaps go up and down: the difference wraps, the sum over threads doesn't.
        let gaps = std::mem::take(&mut self.batch.gaps);
        Totals::add(&totals.gaps, gaps);
        self.gaps = self.gaps.wrapping_add(gaps);
        let connections = self.setup.topology.publisher_connections as usize;
        while let Some((index, connection)) = self.batch.moved.pop() {
            let messages = std::mem::take(&mut self.advanced[index * connections + connection as usize]);
            self.setup.progress.advance(self.ids[index], connection, messages);
        }
    }

    /// Closes what is about to fall out of the publishers' rings, and hands a finished interval over.
    pub(in crate::trial) fn advance(&mut self, now: Nanos) {
        self.ledgers.iter_mut().for_each(Ledger::advance);
        if self.recorder.due(now) {
            self.recorder.roll(now, self.gaps);
        }
    }

    /// The receivers at these positions get nothing any more. A work queue's group may have other members.
    pub(in crate::trial) fn leave(&self, indices: &[usize]) {
        let alone = indices.iter().filter(|&&index| self.is_alone(index));
        alone.for_each(|&index| self.setup.progress.leave(self.ids[index]));
    }

    /// What is sent from now on is sent while the receivers at these positions are away. Those that the scenario sent
    /// away are not silent, those that were cut off are. A work queue's group may have other members.
    pub(in crate::trial) fn go(&mut self, indices: &[usize], cut_off: bool, now: Nanos) {
        self.away(indices, true, (!cut_off).then_some((true, now)));
    }

    /// The receivers at these positions are there again.
    pub(in crate::trial) fn come(&mut self, indices: &[usize], now: Nanos) {
        self.away(indices, false, Some((false, now)));
    }

    /// Whether the receiver at this position is one subscriber and no group.
    fn is_alone(&self, index: usize) -> bool {
        self.setup.topology.delivery_of(self.ids[index]) == scenario::Delivery::FanOut
    }

    fn away(&mut self, indices: &[usize], away: bool, excuse: Option<(bool, Nanos)>) {
        for &index in indices {
            if !self.is_alone(index) {
                continue;
            }
            if let Some((excused, now)) = excuse {
                self.silences[index].excuse(excused, now);
            }
            if let Ledger::Exact(ledger) = &mut self.ledgers[index] {
                ledger.away(away);
            }
        }
    }

    /// Closes the ledgers; all publishers have finished.
    pub(in crate::trial) fn close(self, now: Nanos) -> Noted {
        let rest = self.recorder.finish(now, self.gaps);
        let topology = &self.setup.topology;
        let mut audiences = vec![Heard::default(); topology.audiences.len()];
        let mut noted = Noted {
            sums: LedgerSums::default(),
            audiences: Vec::new(),
            counted: CountingLedger::default(),
            rest,
            silences: self.silences,
            unidentified: self.unidentified,
        };
        for (index, ledger) in self.ledgers.into_iter().enumerate() {
            match ledger {
                Ledger::Exact(ledger) => {
                    let sums = ledger.close();
                    noted.sums += sums;
                    if let Some(audience) = audiences.get_mut(topology.audience_of(self.ids[index])) {
                        audience.add(&sums, noted.rest.subscribers.get(index));
                    }
                }
                Ledger::Counting(counting) => {
                    noted.counted.arrived += counting.arrived;
                    noted.counted.redelivered += counting.redelivered;
                }
            }
        }
        noted.audiences = audiences;
        noted
    }
}

/// The receivers that subscribing connections serve, ascending.
pub(in crate::trial) fn receivers_on(setup: &Setup, connections: &[u32]) -> Vec<u32> {
    let mut receivers: Vec<u32> = connections
        .iter()
        .flat_map(|&connection| setup.topology.subscriptions_on(connection))
        .map(|subscription| subscription.receiver)
        .collect();
    receivers.sort_unstable();
    receivers.dedup();
    receivers
}

/// The empty ledger of a receiver.
fn ledger(setup: &Setup, receiver: u32) -> Ledger {
    if !setup.stamped {
        return Ledger::Counting(CountingLedger::default());
    }
    let lanes = setup.topology.lanes_of_receiver(receiver);
    let books = lanes.iter().map(|lane| Arc::clone(&setup.books[lane.0 as usize])).collect();
    let ordered = setup.topology.delivery_of(receiver) == scenario::Delivery::FanOut;
    let judging = Judging { ordered, answers: setup.answers };
    Ledger::Exact(Box::new(ReceiverLedger::new(books, judging)))
}
