//! The publisher's half of the ledger: what was sent on one lane, and what was answered for it.
//!
//! A *lane* is one publisher on one topic, with sequences of its own from 0. Its book is shared between the
//! one thread that publishes on it and the threads of its receivers. The publisher writes with plain loads
//! and stores (no locked instruction); receivers read a word of 64 messages when it leaves their window, a
//! window's length after it was written.
//!
//! The status planes are rings of twice the window, in blocks of one cache line for 64 messages. A block
//! carries the number of the word it holds, so that a reader who comes too late finds out and counts it.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering, fence};

use super::tally::{Answers, Fates, Tally, WORD, bits_below, bits_from};
use crate::clock::Nanos;

/// Smallest window of a ledger, messages.
pub const MIN_WINDOW: u64 = 128;
/// A block that holds nothing yet.
const EMPTY: u64 = u64::MAX;

/// The state of 64 consecutive messages: one cache line.
#[derive(Debug)]
#[repr(align(64))]
struct Block {
    /// Which word of the lane this block holds (sequence / 64).
    word: AtomicU64,
    /// Answered with success.
    acked: AtomicU64,
    /// Answered with an error.
    rejected: AtomicU64,
    /// Missing at any receiver that has settled this word.
    missing: AtomicU64,
    /// Corrupt at any receiver that has settled this word.
    corrupt: AtomicU64,
    /// Receivers that have settled this word.
    settled: AtomicU32,
    /// Receivers that have seen the word's sampled message.
    sample_seen: AtomicU32,
    /// The latest of their times.
    sample_latest: AtomicU64,
}

const _: () = assert!(size_of::<Block>() == 64, "one cache line holds 64 messages");

impl Block {
    fn new() -> Self {
        Self {
            word: AtomicU64::new(EMPTY),
            acked: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            missing: AtomicU64::new(0),
            corrupt: AtomicU64::new(0),
            settled: AtomicU32::new(0),
            sample_seen: AtomicU32::new(0),
            sample_latest: AtomicU64::new(0),
        }
    }
}

/// What the publisher writes for each message, on a line of its own.
#[derive(Debug)]
#[repr(align(128))]
struct Written {
    /// Messages sent so far: the next sequence.
    sent: AtomicU64,
    /// First sequence of the measured phase.
    measure_from: AtomicU64,
    /// Answers that came later than the window.
    late_answers: AtomicU64,
    /// Answers to messages that had one, or were never sent.
    second_answers: AtomicU64,
}

/// One lane's messages and their answers. One writer thread; see the methods.
#[derive(Debug)]
pub struct LaneBook {
    written: Written,
    blocks: Box<[Block]>,
    window: u64,
    receivers: u32,
    /// Words settled by all receivers: they complete in order.
    complete: AtomicU64,
    /// A receiver ran ahead of another by more than the ring.
    overrun: AtomicBool,
    /// Messages by worst fate, warm-up and measured.
    messages: [[[AtomicU64; 3]; 3]; 2],
}

impl LaneBook {
    /// A book for a lane that `receivers` receivers read, with a window of at least `window` messages
    /// (rounded up to a power of two, [`MIN_WINDOW`] at least). All memory is taken here.
    #[must_use]
    pub fn new(window: u64, receivers: u32) -> Self {
        let window = window.max(MIN_WINDOW).next_power_of_two();
        Self {
            written: Written {
                sent: AtomicU64::new(0),
                measure_from: AtomicU64::new(u64::MAX),
                late_answers: AtomicU64::new(0),
                second_answers: AtomicU64::new(0),
            },
            blocks: (0..ring_words(window)).map(|_| Block::new()).collect(),
            window,
            receivers,
            complete: AtomicU64::new(0),
            overrun: AtomicBool::new(false),
            messages: Default::default(),
        }
    }

    /// Bytes that a book with this window takes.
    #[must_use]
    pub fn bytes(window: u64) -> u64 {
        ring_words(window.max(MIN_WINDOW).next_power_of_two()) * size_of::<Block>() as u64
            + size_of::<Self>() as u64
    }

    /// Notes that message `sequence` goes out; to be called before it is handed to the socket, in order.
    /// Publisher's thread only.
    #[inline]
    pub fn sent(&self, sequence: u64) {
        debug_assert_eq!(sequence, self.sent_count(), "sequences of a lane are consecutive");
        if sequence.is_multiple_of(WORD) {
            self.open(sequence / WORD);
        }
        self.written.sent.store(sequence + 1, Ordering::Release);
    }

    /// Takes back that the last message goes out: nobody took it. Publisher's thread only, before any answer to it.
    #[cold]
    pub fn unsent(&self, sequence: u64) {
        debug_assert_eq!(sequence + 1, self.sent_count(), "only the last message can be taken back");
        self.written.sent.store(sequence, Ordering::Release);
    }

    /// Takes the oldest block for a new word, unless a message that was taken back has done so. Readers check the word's
    /// number before and after reading.
    fn open(&self, word: u64) {
        if self.block(word).word.load(Ordering::Relaxed) == word {
            return;
        }
        if self.receivers == 0 && word >= self.blocks.len() as u64 {
            self.book_unread(word - self.blocks.len() as u64);
        }
        let block = self.block(word);
        block.word.store(EMPTY, Ordering::Relaxed);
        fence(Ordering::Release);
        block.acked.store(0, Ordering::Relaxed);
        block.rejected.store(0, Ordering::Relaxed);
        block.sample_seen.store(0, Ordering::Relaxed);
        block.sample_latest.store(0, Ordering::Relaxed);
        block.word.store(word, Ordering::Release);
    }

    /// Notes a success for one message. Publisher's thread only.
    #[inline]
    pub fn acked(&self, sequence: u64) {
        self.answer(sequence / WORD, 1 << (sequence % WORD), true);
    }

    /// Notes a success for `count` consecutive messages. Publisher's thread only.
    pub fn acked_run(&self, first: u64, count: u64) {
        let end = first + count;
        for word in first / WORD..end.div_ceil(WORD) {
            self.answer(word, bits_from(word, first) & bits_below(word, end), true);
        }
    }

    /// Notes a refusal of one message. Publisher's thread only.
    pub fn rejected(&self, sequence: u64) {
        self.answer(sequence / WORD, 1 << (sequence % WORD), false);
    }

    /// Notes answers for the messages `bits` of a word. The first answer stands; later ones are counted, and
    /// so are those that come when receivers may already have closed the word.
    #[inline]
    fn answer(&self, word: u64, bits: u64, success: bool) {
        let add = |counter: &AtomicU64, bits: u64| {
            let count = counter.load(Ordering::Relaxed) + u64::from(bits.count_ones());
            counter.store(count, Ordering::Relaxed);
        };
        let sent = self.sent_count();
        if sent.saturating_sub(word * WORD) > self.window {
            add(&self.written.late_answers, bits);
            return;
        }
        let block = self.block(word);
        let (acked, rejected) = (block.acked.load(Ordering::Relaxed), block.rejected.load(Ordering::Relaxed));
        let fresh = bits & !(acked | rejected) & bits_below(word, sent);
        if fresh != bits {
            add(&self.written.second_answers, bits & !fresh);
        }
        if success {
            block.acked.store(acked | fresh, Ordering::Relaxed);
        } else {
            block.rejected.store(rejected | fresh, Ordering::Relaxed);
        }
    }

    /// Messages from `next_sequence` on belong to the measured phase. Publisher's thread only, before
    /// `next_sequence` is sent.
    pub fn begin_measure(&self, next_sequence: u64) {
        debug_assert_eq!(next_sequence, self.sent_count());
        self.written.measure_from.store(next_sequence, Ordering::Release);
    }

    /// Messages sent so far. Any thread.
    #[must_use]
    #[inline]
    pub fn sent_count(&self) -> u64 {
        self.written.sent.load(Ordering::Acquire)
    }

    /// First sequence of the measured phase; `u64::MAX` before it begins. Any thread.
    #[must_use]
    #[inline]
    pub fn measure_from(&self) -> u64 {
        self.written.measure_from.load(Ordering::Acquire)
    }

    /// Messages sent in the measured phase.
    #[must_use]
    pub fn sent_measured(&self) -> u64 {
        self.sent_count().saturating_sub(self.measure_from())
    }

    /// How many messages back the ledger reaches.
    #[must_use]
    pub fn window(&self) -> u64 {
        self.window
    }

    /// Receivers that expect every message of this lane.
    #[must_use]
    pub fn receivers(&self) -> u32 {
        self.receivers
    }

    /// Answers that came too late to be booked.
    #[must_use]
    pub fn late_answers(&self) -> u64 {
        self.written.late_answers.load(Ordering::Relaxed)
    }

    /// Answers to messages that had one, or were never sent.
    #[must_use]
    pub fn second_answers(&self) -> u64 {
        self.written.second_answers.load(Ordering::Relaxed)
    }

    /// What was answered for a word, as far as the ring still knows.
    pub(super) fn answers(&self, word: u64) -> Answers {
        let block = self.block(word);
        let before = block.word.load(Ordering::Acquire);
        let (acked, rejected) = (block.acked.load(Ordering::Relaxed), block.rejected.load(Ordering::Relaxed));
        fence(Ordering::Acquire);
        if before == word && block.word.load(Ordering::Relaxed) == word {
            Answers { acked, rejected, known: true }
        } else {
            Answers { acked: 0, rejected: 0, known: false }
        }
    }

    /// A receiver has closed a word. The last of them books its messages by their worst fate.
    pub(super) fn settle(&self, word: u64, fates: Fates) {
        if self.overrun.load(Ordering::Relaxed) {
            return;
        }
        if word >= self.complete.load(Ordering::Acquire) + self.blocks.len() as u64 {
            self.overrun.store(true, Ordering::Relaxed);
            return;
        }
        let block = self.block(word);
        block.missing.fetch_or(fates.missing, Ordering::Relaxed);
        block.corrupt.fetch_or(fates.corrupt, Ordering::Relaxed);
        if block.settled.fetch_add(1, Ordering::AcqRel) + 1 < self.receivers {
            return;
        }
        let missing = block.missing.swap(0, Ordering::Relaxed);
        let corrupt = block.corrupt.swap(0, Ordering::Relaxed) & !missing;
        block.settled.store(0, Ordering::Relaxed);
        self.book(word, Fates { missing, corrupt, delivered: !(missing | corrupt) });
        self.complete.fetch_add(1, Ordering::AcqRel);
    }

    fn book(&self, word: u64, fates: Fates) {
        let answers = self.answers(word);
        let sent = bits_below(word, self.sent_count());
        let measured = bits_from(word, self.measure_from());
        for (cells, phase) in self.messages.iter().zip([!measured, measured]) {
            let mut tally = Tally::default();
            tally.add_word(answers, fates, sent & phase);
            for (cell, count) in cells.iter().flatten().zip(tally.0.iter().flatten()) {
                if *count > 0 {
                    cell.fetch_add(*count, Ordering::Relaxed);
                }
            }
        }
    }

    /// Books a word of a lane that nobody reads.
    fn book_unread(&self, word: u64) {
        self.book(word, Fates { delivered: u64::MAX, ..Fates::default() });
        self.complete.store(word + 1, Ordering::Relaxed);
    }

    /// Messages of the measured phase by worst fate, and how many could not be judged because one receiver
    /// ran ahead of another by more than the ring; these count as missing without an answer. To be called
    /// once publisher and receivers have finished. A lane without receivers delivers to all of them.
    #[must_use]
    pub fn messages(&self) -> (Tally, u64) {
        if self.receivers == 0 {
            for word in self.complete.load(Ordering::Relaxed)..self.sent_count().div_ceil(WORD) {
                self.book_unread(word);
            }
        }
        let mut tally = Tally::default();
        for (count, cell) in tally.0.iter_mut().flatten().zip(self.messages[1].iter().flatten()) {
            *count = cell.load(Ordering::Relaxed);
        }
        let unjudged = self.sent_measured() - tally.total();
        tally.0[2][1] += unjudged;
        (tally, unjudged)
    }

    /// Whether a message is the one of its 64 whose last delivery is timed: a fixed pseudo-random choice,
    /// so that it can't fall in step with batches.
    #[inline]
    pub(super) fn is_sample(sequence: u64) -> bool {
        (sequence / WORD).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58 == sequence % WORD
    }

    /// A receiver saw a sampled message for the first time at `received`; answers the time of the last
    /// delivery to the receiver that completes it.
    pub(super) fn sample(&self, sequence: u64, received: Nanos) -> Option<Nanos> {
        let block = self.block(sequence / WORD);
        block.sample_latest.fetch_max(received, Ordering::Relaxed);
        let seen = block.sample_seen.fetch_add(1, Ordering::AcqRel) + 1;
        (seen == self.receivers).then(|| block.sample_latest.load(Ordering::Relaxed))
    }

    /// Messages of the measured phase whose last delivery is timed.
    #[must_use]
    pub fn sampled_measured(&self) -> u64 {
        let (from, end) = (self.measure_from().min(self.sent_count()), self.sent_count());
        let sampled = |word: u64| word * WORD + (word.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58);
        (from / WORD..end.div_ceil(WORD)).filter(|&word| (from..end).contains(&sampled(word))).count() as u64
    }

    #[inline]
    fn block(&self, word: u64) -> &Block {
        &self.blocks[(word & (self.blocks.len() as u64 - 1)) as usize]
    }
}

/// Words in the ring: twice the window.
fn ring_words(window: u64) -> u64 {
    2 * window / WORD
}

#[cfg(test)]
mod tests {
    use super::*;

    fn send(book: &LaneBook, count: u64) {
        for sequence in book.sent_count()..book.sent_count() + count {
            book.sent(sequence);
        }
    }

    #[test]
    fn answers_are_kept_for_the_window_and_known_to_be_gone_after_the_ring() {
        let book = LaneBook::new(128, 1);
        send(&book, 64);
        book.acked_run(3, 50);
        book.rejected(60);
        let bits = bits_from(0, 3) & bits_below(0, 53);
        assert_eq!(book.answers(0), Answers { acked: bits, rejected: 1 << 60, known: true });
        send(&book, 192);
        assert_eq!(book.answers(0).acked, bits, "the ring is twice the window");
        send(&book, 1);
        assert!(!book.answers(0).known);
    }

    #[test]
    fn the_first_answer_stands_and_late_or_second_ones_are_counted() {
        let book = LaneBook::new(128, 1);
        send(&book, 10);
        book.rejected(4);
        book.acked(4);
        assert_eq!((book.answers(0).acked, book.answers(0).rejected), (0, 1 << 4));
        assert_eq!(book.second_answers(), 1);
        send(&book, 128);
        book.acked(5);
        assert_eq!((book.answers(0).acked, book.late_answers()), (0, 1));
    }

    #[test]
    fn a_lane_that_nobody_reads_delivers_to_all_its_receivers() {
        let book = LaneBook::new(256, 0);
        send(&book, 70);
        book.begin_measure(70);
        for start in (70..1070).step_by(100) {
            send(&book, 100);
            book.acked_run(start, 90);
        }
        let (tally, unjudged) = book.messages();
        assert_eq!((tally.0, unjudged), ([[900, 0, 0], [0, 0, 0], [100, 0, 0]], 0));
        assert_eq!(book.messages().0, tally, "asking again changes nothing");
    }

    #[test]
    fn a_message_that_was_taken_back_was_not_sent_and_costs_no_word() {
        for receivers in [0, 1] {
            let book = LaneBook::new(128, receivers);
            book.begin_measure(0);
            for sequence in 0..640 {
                book.sent(sequence);
                book.unsent(sequence);
                assert_eq!(book.sent_measured(), sequence);
                book.sent(sequence);
                book.acked(sequence);
            }
            book.sent(640);
            book.unsent(640);
            assert_eq!(book.second_answers(), 0);
            assert_eq!(book.answers(9).acked, u64::MAX);
            let delivered =
                if receivers == 0 { [[640, 0, 0], [0; 3], [0; 3]] } else { [[0; 3], [0; 3], [0, 640, 0]] };
            assert_eq!(book.messages().0.0, delivered);
        }
    }

    #[test]
    fn one_message_of_64_is_a_sample() {
        let samples = (0..64_000).filter(|&sequence| LaneBook::is_sample(sequence)).count();
        assert_eq!(samples, 1000);
        let book = LaneBook::new(65_536, 2);
        book.begin_measure(0);
        send(&book, 64_000);
        assert_eq!(book.sampled_measured(), 1000);
    }
}
