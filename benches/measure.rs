//! What measuring itself costs: CPU time for each delivery (stamp, ledger, all histograms) and each publish.
//!
//! `cold` walks 64 MiB of other memory before each batch, so that ledger, histograms and payloads come from
//! memory as they do when a broker and a kernel share the caches. The ledger has the size of a real run:
//! 16 lanes × 16 receivers with a window of 65,536 messages.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use busmark::clock::{Clock, Nanos};
use busmark::measure::{
    Arrival, DeliveryRecorder, Judging, LaneBook, Opened, PublishRecorder, ReceiverLedger, Sealer, Stamp,
    Tail, Timeline, Times, body_sum,
};
use busmark::prng::Prng;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};

const LANES: u64 = 16;
const RECEIVERS: usize = 16;
const WINDOW: u64 = 65_536;
/// Messages of one batch of the bench, and of one socket read of a receiver.
const BATCH: u64 = 512;
const READ: usize = 64;

/// One side of a run: what a core's thread owns.
struct Rig {
    sealer: Sealer,
    books: Vec<Arc<LaneBook>>,
    ledgers: Vec<ReceiverLedger>,
    timeline: Timeline,
    deliveries: DeliveryRecorder,
    publishes: PublishRecorder,
    prng: Prng,
    payload_bytes: usize,
    payloads: Vec<u8>,
    latencies: Vec<Nanos>,
    next: u64,
    now: Nanos,
    other: Vec<u8>,
}

impl Rig {
    fn new(payload_bytes: usize) -> Self {
        let books: Vec<Arc<LaneBook>> =
            (0..LANES).map(|_| Arc::new(LaneBook::new(WINDOW, RECEIVERS as u32))).collect();
        books.iter().for_each(|book| book.begin_measure(0));
        let judging = Judging { ordered: true, answers: true };
        let mut timeline = Timeline::new(1_000_000_000, true);
        Self {
            sealer: Sealer::new(7),
            ledgers: (0..RECEIVERS).map(|_| ReceiverLedger::new(books.clone(), judging)).collect(),
            books,
            deliveries: timeline.delivery_recorder(RECEIVERS),
            publishes: timeline.publish_recorder(),
            timeline,
            prng: Prng::new(1),
            payload_bytes,
            payloads: vec![0; payload_bytes * BATCH as usize],
            latencies: vec![0; BATCH as usize],
            next: 0,
            now: 1_000_000_000,
            other: vec![1; 64 << 20],
        }
    }

    /// Seals the next batch, with latencies around 100 µs and a tail; untimed.
    fn prepare(&mut self) {
        for (index, payload) in self.payloads.chunks_exact_mut(self.payload_bytes).enumerate() {
            let message = self.next + index as u64;
            let (lane, sequence) = (message % LANES, message / LANES);
            let latency = (100_000.0 * self.prng.normal().exp()) as u64;
            self.latencies[index] = latency;
            let intended = self.now + index as u64 * 1000;
            let stamp = Stamp { publisher: lane as u16, sequence, intended };
            let tail = Tail { sent: intended + 3000, body_sum: body_sum(payload) };
            self.sealer.seal(payload, lane as u32, stamp, tail);
        }
        self.next += BATCH;
        self.now += BATCH * 1000;
    }

    /// Fills the caches with something else.
    fn evict(&mut self) {
        for byte in self.other.iter_mut().step_by(64) {
            *byte = byte.wrapping_add(1);
        }
        black_box(&self.other);
    }

    /// The publishing half of a batch.
    fn publish(&mut self) {
        let first = self.next - BATCH;
        for index in 0..BATCH {
            let message = first + index;
            let intended = self.now - (BATCH - index) * 1000;
            self.books[(message % LANES) as usize].sent(message / LANES);
            let times = Times { measured: true, intended: Some(intended), sent: Some(intended + 3000) };
            self.publishes.sent(times, intended + 2000, intended + 3000);
        }
        for index in 0..BATCH {
            let message = first + index;
            let intended = self.now - (BATCH - index) * 1000;
            self.books[(message % LANES) as usize].acked(message / LANES);
            let times = Times { measured: true, intended: Some(intended), sent: Some(intended + 3000) };
            self.publishes.acked(times, intended + 3000 + self.latencies[index as usize]);
        }
    }

    /// The receiving half: each receiver takes the batch in reads of 64 messages.
    fn receive(&mut self) -> u64 {
        let mut firsts = 0;
        for read in 0..BATCH as usize / READ {
            for receiver in 0..RECEIVERS {
                for position in read * READ..(read + 1) * READ {
                    firsts += u64::from(self.deliver(receiver, position));
                }
            }
        }
        firsts
    }

    /// All that is done for one delivery.
    #[inline]
    fn deliver(&mut self, receiver: usize, position: usize) -> bool {
        let payload = &self.payloads[position * self.payload_bytes..][..self.payload_bytes];
        let topic = position as u32 % LANES as u32;
        let Ok(Opened { stamp, sent }) = self.sealer.open(payload, topic, false) else { return false };
        let (ledger, slot) = (&mut self.ledgers[receiver], usize::from(stamp.publisher));
        let Arrival::First { measured, .. } = ledger.note(slot, stamp.sequence, false) else { return false };
        let received = stamp.intended + self.latencies[position];
        let times = Times { measured, intended: Some(stamp.intended), sent };
        black_box(self.deliveries.delivered(receiver, times, received));
        black_box(ledger.last_delivery(slot, stamp.sequence, received));
        true
    }

    /// What goes on outside the timed part.
    fn roll(&mut self) {
        self.deliveries.roll(self.now, 0);
        self.publishes.roll(self.now);
        self.timeline.collect(self.now);
    }

    /// Runs batches and returns the time that the part looked at took.
    fn run(&mut self, clock: &Clock, batches: u64, cold: bool, receiving: bool) -> Duration {
        let mut spent = 0;
        for _ in 0..batches {
            self.prepare();
            if cold {
                self.evict();
            }
            let before = clock.now();
            self.publish();
            let between = clock.now();
            if cold && receiving {
                self.evict();
            }
            let resumed = clock.now();
            let firsts = self.receive();
            let after = clock.now();
            assert_eq!(firsts, BATCH * RECEIVERS as u64, "every delivery is a first one");
            spent += if receiving { after - resumed } else { between - before };
            self.roll();
        }
        Duration::from_nanos(spent)
    }
}

fn measure(criterion: &mut Criterion) {
    let clock = Clock::real();
    for (name, receiving) in [("delivery", true), ("publish", false)] {
        let mut group = criterion.benchmark_group(name);
        group.sample_size(20).warm_up_time(Duration::from_secs(1)).measurement_time(Duration::from_secs(3));
        group.throughput(Throughput::Elements(if receiving { BATCH * RECEIVERS as u64 } else { BATCH }));
        for payload_bytes in [16, 64] {
            for (state, cold) in [("cold", true), ("warm", false)] {
                let mut rig = Rig::new(payload_bytes);
                group.bench_function(format!("{payload_bytes} B, {state}"), |bencher| {
                    bencher.iter_custom(|batches| rig.run(&clock, batches, cold, receiving));
                });
            }
        }
        group.finish();
    }
}

criterion_group!(benches, measure);
criterion_main!(benches);
