//! The receiver's half of the ledger: exact accounting of every delivery in fixed memory.
//!
//! One [`ReceiverLedger`] belongs to one receiver (a subscriber, or the group of a work queue) and to one
//! thread. For each lane that the receiver reads it keeps one bit per message in a ring of one window. When
//! a word of 64 messages falls out of the window it is closed together with the publisher's book: popcounts
//! of what was answered crossed with what came. Nothing is decided by a message's absence before that.
//!
//! A message that comes later than the window is counted as [`Arrival::BeyondWindow`]; its books already say
//! lost, and the run becomes SUSPECT.

use std::ops::AddAssign;
use std::sync::Arc;

use super::lane_book::LaneBook;
use super::tally::{Fates, Tally, WORD, bits_below, bits_from};
use crate::clock::Nanos;

/// What kind of receiver this is, and what the system answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Judging {
    /// Order is judged: fan-out. The members of a work queue overtake each other by design.
    pub ordered: bool,
    /// The system answers publishers: what got no answer is *unknown*, not *unacknowledged*.
    pub answers: bool,
}

/// What one arrival is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// The first whole copy of this message.
    First {
        /// A later one had come before (RFC 4737); always false where order is not judged.
        reordered: bool,
        /// It belongs to the measured phase.
        measured: bool,
    },
    /// Another copy, and the system didn't say so.
    Duplicate,
    /// Another copy, flagged by the system.
    Redelivered,
    /// Too late for the ledger to tell first copies from others.
    BeyondWindow,
    /// No such message was sent: a stamp that is right by accident.
    NeverSent,
}

/// Arrivals of one phase.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Arrivals {
    /// Deliveries by answer and fate.
    pub tally: Tally,
    /// Unflagged second copies.
    pub duplicate: u64,
    /// Arrivals the system flagged as repeated, first copies or not.
    pub redelivered: u64,
    /// First copies out of order.
    pub reordered: u64,
    /// Arrivals later than the window.
    pub beyond_window: u64,
    /// Deliveries whose answer the publisher's book no longer knew.
    pub unjudged: u64,
    /// Accepted, missing, and sent while the receiver was away.
    pub away: u64,
    /// Accepted and missing before the first delivery of their lane.
    pub prefix: u64,
    /// Accepted and missing between two deliveries of their lane.
    pub middle: u64,
    /// Accepted and missing after the last delivery of their lane.
    pub tail: u64,
}

impl AddAssign for Arrivals {
    fn add_assign(&mut self, other: Self) {
        self.tally += other.tally;
        self.duplicate += other.duplicate;
        self.redelivered += other.redelivered;
        self.reordered += other.reordered;
        self.beyond_window += other.beyond_window;
        self.unjudged += other.unjudged;
        self.away += other.away;
        self.prefix += other.prefix;
        self.middle += other.middle;
        self.tail += other.tail;
    }
}

/// What a closed ledger says; sums of several receivers add up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LedgerSums {
    /// The measured phase.
    pub measured: Arrivals,
    /// What went before it.
    pub warm_up: Arrivals,
    /// Arrivals of messages that were never sent.
    pub never_sent: u64,
}

impl LedgerSums {
    #[inline]
    fn phase(&mut self, measured: bool) -> &mut Arrivals {
        if measured { &mut self.measured } else { &mut self.warm_up }
    }
}

impl AddAssign for LedgerSums {
    fn add_assign(&mut self, other: Self) {
        self.measured += other.measured;
        self.warm_up += other.warm_up;
        self.never_sent += other.never_sent;
    }
}

/// One lane as one receiver sees it. What a message touches comes first.
#[derive(Debug)]
struct Lane {
    /// First sequence of the window, a multiple of 64; all before it are closed.
    low: u64,
    /// One past the highest sequence that has come.
    head: u64,
    /// Copies of the publisher's counts, read again only when a sequence exceeds the first.
    sent_seen: u64,
    measure_from: u64,
    delivered: Box<[u64]>,
    /// Taken when the first damaged message comes, for most lanes never.
    corrupt: Option<Box<[u64]>>,
    book: Arc<LaneBook>,
    /// Accepted and missing since the last delivery.
    run: u64,
    /// Something of the measured phase has come.
    begun: bool,
    /// Sequences sent while the receiver was away: from, and to (not included), in order.
    away: Vec<(u64, u64)>,
}

/// One receiver's ledger. See the module.
#[derive(Debug)]
pub struct ReceiverLedger {
    lanes: Vec<Lane>,
    judging: Judging,
    sums: LedgerSums,
    gaps: u64,
}

impl ReceiverLedger {
    /// A ledger for a receiver that reads these lanes; slot i is `books[i]`. All memory is taken here, but
    /// for a second plane on lanes on which damaged messages come.
    #[must_use]
    pub fn new(books: Vec<Arc<LaneBook>>, judging: Judging) -> Self {
        let lanes = books.into_iter().map(Lane::new).collect();
        Self { lanes, judging, sums: LedgerSums::default(), gaps: 0 }
    }

    /// Bytes that one lane of a receiver takes at most with this window.
    #[must_use]
    pub fn bytes_per_lane(window: u64) -> u64 {
        2 * window.div_ceil(8) + size_of::<Lane>() as u64
    }

    /// Notes a whole message. `redelivered` is the system's own flag.
    #[inline]
    pub fn note(&mut self, slot: usize, sequence: u64, redelivered: bool) -> Arrival {
        let lane = &mut self.lanes[slot];
        if let Err(arrival) = lane.reach(sequence, &mut self.sums, self.judging.answers) {
            return arrival;
        }
        let measured = sequence >= lane.measure_from;
        let (index, bit) = lane.locate(sequence);
        let word = &mut lane.delivered[index];
        if *word & bit != 0 {
            let arrivals = self.sums.phase(measured);
            if redelivered {
                arrivals.redelivered += 1;
                return Arrival::Redelivered;
            }
            arrivals.duplicate += 1;
            return Arrival::Duplicate;
        }
        *word |= bit;
        let mut reordered = false;
        if sequence >= lane.head {
            self.gaps += sequence - lane.head;
            lane.head = sequence + 1;
        } else {
            let came_damaged = lane.corrupt.as_ref().is_some_and(|plane| plane[index] & bit != 0);
            self.gaps -= u64::from(!came_damaged);
            reordered = self.judging.ordered && !(came_damaged && sequence + 1 == lane.head);
            self.sums.phase(measured).reordered += u64::from(reordered);
        }
        if redelivered {
            self.sums.phase(measured).redelivered += 1;
        }
        Arrival::First { reordered, measured }
    }

    /// Notes a message that came identified but damaged. It is corrupt unless a whole copy comes as well.
    /// False if it came too late for the ledger, or was never sent.
    pub fn corrupt(&mut self, slot: usize, sequence: u64) -> bool {
        let lane = &mut self.lanes[slot];
        if lane.reach(sequence, &mut self.sums, self.judging.answers).is_err() {
            return false;
        }
        let (index, bit) = lane.locate(sequence);
        let words = lane.delivered.len();
        let plane = lane.corrupt.get_or_insert_with(|| vec![0; words].into_boxed_slice());
        let came = (lane.delivered[index] | plane[index]) & bit != 0;
        plane[index] |= bit;
        if sequence >= lane.head {
            self.gaps += sequence - lane.head;
            lane.head = sequence + 1;
        } else if !came {
            self.gaps -= 1;
        }
        true
    }

    /// Times the last delivery of a fan-out message: call it with first deliveries of the measured phase.
    /// One message of 64 is looked at, chosen without regard to batches; the receiver that completes it gets
    /// the time of its last delivery. Always `None` for lanes with one receiver.
    #[inline]
    pub fn last_delivery(&self, slot: usize, sequence: u64, received: Nanos) -> Option<Nanos> {
        if !LaneBook::is_sample(sequence) {
            return None;
        }
        let book = &self.lanes[slot].book;
        if book.receivers() < 2 { None } else { book.sample(sequence, received) }
    }

    /// From now on the receiver is away, or back: what is sent until then is sent while it is away.
    pub fn away(&mut self, away: bool) {
        for lane in &mut self.lanes {
            let next = lane.book.sent_count();
            match lane.away.last_mut() {
                Some((_, to)) if *to == u64::MAX => *to = if away { u64::MAX } else { next },
                _ if away => lane.away.push((next, u64::MAX)),
                _ => {}
            }
        }
    }

    /// Closes what is about to fall out of the publisher's ring, on lanes where nothing comes any more. Call
    /// it at least once while half a window is sent; once per interval does.
    pub fn advance(&mut self) {
        for lane in &mut self.lanes {
            lane.refresh();
            let reach = lane.book.window() + lane.book.window() / 2;
            while lane.low + reach < lane.sent_seen {
                lane.retire(u64::MAX, &mut self.sums, self.judging.answers);
            }
        }
    }

    /// One past the highest sequence that has come on a lane: what window credit is counted by.
    #[must_use]
    #[inline]
    pub fn head(&self, slot: usize) -> u64 {
        self.lanes[slot].head
    }

    /// Holes open now: messages that have not come though later ones of their lane have.
    #[must_use]
    pub fn gap_total(&self) -> u64 {
        self.gaps
    }

    /// Sums so far, of closed words only (but for the counters of arrivals).
    #[must_use]
    pub fn sums(&self) -> &LedgerSums {
        &self.sums
    }

    /// Closes everything. To be called after the drain, when the publishers have finished.
    #[must_use]
    pub fn close(mut self) -> LedgerSums {
        for lane in &mut self.lanes {
            lane.refresh();
            let end = lane.sent_seen;
            while lane.low < end {
                lane.retire(end, &mut self.sums, self.judging.answers);
            }
            if lane.begun {
                self.sums.measured.tail += lane.run;
            } else {
                self.sums.measured.prefix += lane.run;
            }
        }
        self.sums
    }
}

impl Lane {
    fn new(book: Arc<LaneBook>) -> Self {
        let words = (book.window() / WORD) as usize;
        // Written once, so that no page is faulted in while messages are timed.
        let mut delivered = vec![u64::MAX; words].into_boxed_slice();
        std::hint::black_box(&mut delivered).fill(0);
        Self {
            low: 0,
            head: 0,
            sent_seen: 0,
            measure_from: u64::MAX,
            delivered,
            corrupt: None,
            book,
            run: 0,
            begun: false,
            away: Vec::new(),
        }
    }

    /// Makes sure that `sequence` is inside the window, moving it on if need be.
    #[inline]
    fn reach(&mut self, sequence: u64, sums: &mut LedgerSums, answers: bool) -> Result<(), Arrival> {
        if sequence >= self.sent_seen {
            self.refresh();
            if sequence >= self.sent_seen {
                sums.never_sent += 1;
                return Err(Arrival::NeverSent);
            }
        }
        if sequence < self.low {
            sums.phase(sequence >= self.measure_from).beyond_window += 1;
            return Err(Arrival::BeyondWindow);
        }
        while sequence >= self.low + self.delivered.len() as u64 * WORD {
            self.retire(u64::MAX, sums, answers);
        }
        Ok(())
    }

    #[inline]
    fn locate(&self, sequence: u64) -> (usize, u64) {
        let words = self.delivered.len() as u64;
        (((sequence / WORD) & (words - 1)) as usize, 1 << (sequence % WORD))
    }

    /// Reads what the publisher has sent, and only then where its measured phase begins: it says so before
    /// it sends the first message of it.
    #[cold]
    fn refresh(&mut self) {
        self.sent_seen = self.book.sent_count();
        self.measure_from = self.book.measure_from();
    }

    /// Closes the oldest word of the window, of which only sequences below `end` were sent.
    #[cold]
    fn retire(&mut self, end: u64, sums: &mut LedgerSums, answering: bool) {
        let word = self.low / WORD;
        let (index, _) = self.locate(self.low);
        let delivered = std::mem::take(&mut self.delivered[index]);
        let damaged = self.corrupt.as_mut().map_or(0, |plane| std::mem::take(&mut plane[index]));
        let sent = bits_below(word, end);
        let corrupt = damaged & !delivered;
        let fates = Fates { delivered, corrupt, missing: sent & !(delivered | corrupt) };
        let answers = self.book.answers(word);
        let measured = bits_from(word, self.measure_from);
        for (phase, mask) in [(true, sent & measured), (false, sent & !measured)] {
            let arrivals = sums.phase(phase);
            arrivals.tally.add_word(answers, fates, mask);
            if !answers.known {
                arrivals.unjudged += u64::from(mask.count_ones());
            }
        }
        let accepted = if answering { answers.acked } else { !answers.rejected };
        let away = self
            .away
            .iter()
            .fold(0, |bits, (from, to)| bits | (bits_from(word, *from) & bits_below(word, *to)));
        sums.measured.away += u64::from((fates.missing & accepted & measured & away).count_ones());
        self.place(fates.missing & accepted & measured, delivered & measured, &mut sums.measured);
        self.book.settle(word, fates);
        self.low += WORD;
    }

    /// Sorts the `lost` messages of a word by where they lie among the `delivered` ones of the lane.
    fn place(&mut self, lost: u64, delivered: u64, arrivals: &mut Arrivals) {
        let count = |bits: u64| u64::from(bits.count_ones());
        if delivered == 0 {
            self.run += count(lost);
            return;
        }
        let before_first = bits_below(0, u64::from(delivered.trailing_zeros()));
        let after_last = !bits_below(0, 64 - u64::from(delivered.leading_zeros()));
        let early = self.run + count(lost & before_first);
        if self.begun {
            arrivals.middle += early;
        } else {
            arrivals.prefix += early;
        }
        arrivals.middle += count(lost & !before_first & !after_last);
        self.run = count(lost & after_last);
        self.begun = true;
    }
}

/// The ledger of payloads too short for a stamp: it can only count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CountingLedger {
    /// Arrivals, first copies or not.
    pub arrived: u64,
    /// Those the system flagged as repeated.
    pub redelivered: u64,
}

impl CountingLedger {
    /// Notes an arrival.
    #[inline]
    pub fn note(&mut self, redelivered: bool) {
        self.arrived += 1;
        self.redelivered += u64::from(redelivered);
    }
}
