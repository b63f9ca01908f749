//! No message costs an allocation: stamping, accounting and recording work in memory taken beforehand.

#![expect(unsafe_code, reason = "a global allocator that counts can't be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;

use busmark::measure::{
    Arrival, Judging, LaneBook, ReceiverLedger, Sealer, SlowMessage, Stamp, Tail, Timeline, Times, body_sum,
};

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

/// The system's allocator, counting what the calling thread asks of it.
struct Counting;

fn count() {
    // A thread that is going away has no counter any more, and is none of ours.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: every call goes to the system's allocator unchanged; counting touches a plain thread-local cell.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as the caller promised.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as the caller promised.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as the caller promised.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn the_allocator_counts() {
    let before = ALLOCATIONS.get();
    drop(std::hint::black_box(vec![1u8; 100]));
    assert_eq!(ALLOCATIONS.get() - before, 1);
}

#[test]
fn a_million_messages_are_sealed_opened_booked_and_recorded_without_one_allocation() {
    const LANES: u64 = 4;
    let books: Vec<Arc<LaneBook>> = (0..LANES).map(|_| Arc::new(LaneBook::new(1024, 2))).collect();
    books.iter().for_each(|book| book.begin_measure(0));
    let judging = Judging { ordered: true, answers: true };
    let mut ledgers = [(); 2].map(|()| ReceiverLedger::new(books.clone(), judging));
    let mut timeline = Timeline::new(1_000_000_000, true);
    let (mut deliveries, mut publishes) = (timeline.delivery_recorder(2), timeline.publish_recorder());
    let sealer = Sealer::new(3);
    let mut payload = [5u8; 128];
    let sum = body_sum(&payload);
    let before = ALLOCATIONS.get();
    for message in 0..1_000_000u64 {
        let (lane, sequence, intended) = (message % LANES, message / LANES, message * 2000);
        let times = Times { measured: true, intended: Some(intended), sent: Some(intended + 900) };
        let stamp = Stamp { publisher: lane as u16, sequence, intended };
        books[lane as usize].sent(sequence);
        sealer.seal(&mut payload, lane as u32, stamp, Tail { sent: intended + 900, body_sum: sum });
        publishes.sent(times, intended + 400, intended + 900);
        for (receiver, ledger) in ledgers.iter_mut().enumerate().filter(|_| message % 1000 != 7) {
            let opened = sealer.open(&payload, lane as u32, true).expect("a whole message");
            let arrival = ledger.note(lane as usize, opened.stamp.sequence, false);
            assert_eq!(arrival, Arrival::First { reordered: false, measured: true });
            let received = intended + 5000 + message;
            if deliveries.delivered(receiver, times, received) {
                deliveries.keep_slow(SlowMessage { received, ..SlowMessage::default() });
            }
            if let Some(last) = ledger.last_delivery(lane as usize, sequence, received) {
                deliveries.last_delivery(intended, last);
            }
        }
        books[lane as usize].acked(sequence);
        publishes.acked(times, intended + 9000);
        if deliveries.due(intended) {
            deliveries.roll(intended, 0);
            publishes.roll(intended);
            ledgers.iter_mut().for_each(ReceiverLedger::advance);
        }
    }
    assert_eq!(ALLOCATIONS.get() - before, 0, "allocations in a million messages");
    timeline.collect(0);
    assert!(timeline.totals().delivery.count() > 0);
}
