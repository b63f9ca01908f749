//! Closes the books of a trial: publishers' and receivers' sums become [`Counts`].

use std::sync::Arc;

use super::books::{Answer, Books, Fate, Table};
use super::lane_book::LaneBook;
use super::ledger::{CountingLedger, LedgerSums};
use super::record::Counts;

/// What only the end of a trial tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Closing {
    /// The system answers publishers.
    pub answers: bool,
    /// An answer is a promise: what is acked and lost breaks it.
    pub promises: bool,
    /// Order is judged (fan-out).
    pub ordered: bool,
    /// Deliveries the system still owes. It must not count what was delivered and only not acknowledged yet
    /// where it can tell the two apart, or real loss hides behind it.
    pub pending: u64,
    /// Deliveries the system threw away by limits of its own.
    pub discarded: u64,
    /// Arrivals without a stamp of this trial and topic.
    pub unidentified: u64,
    /// Connections lost.
    pub disconnects: u64,
}

/// Sums up the measured phase of all lanes and receivers, which have all finished.
#[must_use]
pub fn close_books(lanes: &[Arc<LaneBook>], sums: &LedgerSums, closing: &Closing) -> Counts {
    let measured = &sums.measured;
    let mut messages = Table::default();
    let mut beyond_window = measured.beyond_window + measured.unjudged;
    for lane in lanes {
        let (tally, unjudged) = lane.messages();
        messages += tally.table(closing.answers);
        beyond_window += unjudged + lane.late_answers();
    }
    let mut deliveries = measured.tally.table(closing.answers);
    let missing_before = Missing::of(&deliveries);
    let surplus = deliveries.hold(closing.pending + closing.discarded);
    let held = closing.pending + closing.discarded - surplus;
    // What is missing is explained by limits first: the system has counted those one by one.
    let discarded = closing.discarded.min(held);
    hold_messages(&mut messages, held, missing_before, lanes);
    let place = Place { prefix: measured.prefix, middle: measured.middle, tail: measured.tail };
    let accepted_lost =
        deliveries[(Answer::Acked, Fate::Lost)] + deliveries[(Answer::Unacknowledged, Fate::Lost)];
    let place = place.without(held - discarded, discarded, accepted_lost);
    Counts {
        sent: lanes.iter().map(|lane| lane.sent_measured()).sum(),
        acked: closing.answers.then(|| messages.row(Answer::Acked)),
        delivered: deliveries.column(Fate::Delivered),
        expected: expected(lanes),
        lost: accepted_lost,
        acked_lost: closing.promises.then(|| deliveries[(Answer::Acked, Fate::Lost)]),
        pending_at_deadline: held - discarded,
        discarded,
        rejected: messages.row(Answer::Rejected),
        unknown: messages.row(Answer::Unknown),
        duplicate: Some(measured.duplicate),
        redelivered: measured.redelivered,
        reordered: closing.ordered.then_some(measured.reordered),
        corrupt: deliveries.column(Fate::Corrupt),
        unidentified: closing.unidentified + sums.never_sent,
        beyond_window,
        disconnects: closing.disconnects,
        lost_away: measured.away.min(accepted_lost),
        lost_prefix: place.prefix,
        lost_middle: place.middle,
        lost_tail: place.tail,
        books: Books { messages, deliveries },
    }
}

/// Sums up a trial whose payloads are too short for a stamp. The lanes' books hold the sent messages and
/// their answers and must have no receivers; `receivers` is how many expect each of their messages. Second
/// copies can't be told from first ones, so that `delivered` is arrivals, at most what was expected, and a
/// loss can hide behind a duplicate: whatever needs a message's name stays empty.
#[must_use]
pub fn close_counting(
    lanes: &[Arc<LaneBook>],
    arrived: CountingLedger,
    receivers: u64,
    closing: &Closing,
) -> Counts {
    let mut messages = Table::default();
    for lane in lanes {
        messages += lane.messages().0.table(closing.answers);
    }
    let sent: u64 = lanes.iter().map(|lane| lane.sent_measured()).sum();
    let expected = sent * receivers;
    let mut deliveries = Table::default();
    let mut left = arrived.arrived.min(expected);
    for answer in [Answer::Acked, Answer::Unacknowledged, Answer::Unknown, Answer::Rejected] {
        let row = messages.row(answer) * receivers;
        let came = row.min(left);
        left -= came;
        deliveries[(answer, Fate::Delivered)] = came;
        deliveries[(answer, Fate::Lost)] = row - came;
    }
    let surplus = deliveries.hold(closing.pending + closing.discarded);
    let held = closing.pending + closing.discarded - surplus;
    let discarded = closing.discarded.min(held);
    Counts {
        sent,
        acked: closing.answers.then(|| messages.row(Answer::Acked)),
        delivered: deliveries.column(Fate::Delivered),
        expected,
        lost: deliveries[(Answer::Acked, Fate::Lost)] + deliveries[(Answer::Unacknowledged, Fate::Lost)],
        acked_lost: None,
        pending_at_deadline: held - discarded,
        discarded,
        rejected: messages.row(Answer::Rejected),
        unknown: messages.row(Answer::Unknown),
        redelivered: arrived.redelivered,
        disconnects: closing.disconnects,
        books: Books { messages, deliveries },
        ..Counts::default()
    }
}

/// Deliveries that the measured messages should have led to.
fn expected(lanes: &[Arc<LaneBook>]) -> u64 {
    lanes.iter().map(|lane| lane.sent_measured() * u64::from(lane.receivers())).sum()
}

/// What was missing before anything was put down to the system's holding it.
#[derive(Clone, Copy)]
struct Missing(u64);

impl Missing {
    fn of(table: &Table) -> Self {
        Self(table.column(Fate::Lost) - table[(Answer::Rejected, Fate::Lost)])
    }
}

/// Moves messages from lost to pending. With one receiver that is the number of deliveries. With more, a
/// message is lost if any of its deliveries is: all are held if all missing deliveries are, else as few as the
/// held deliveries can make up.
fn hold_messages(messages: &mut Table, held: u64, missing: Missing, lanes: &[Arc<LaneBook>]) {
    let copies = lanes.iter().map(|lane| u64::from(lane.receivers())).max().unwrap_or(1).max(1);
    let count = if held == missing.0 { u64::MAX } else { held.div_ceil(copies) };
    messages.hold(count);
}

/// Where on their lanes lost deliveries lie.
#[derive(Clone, Copy)]
struct Place {
    prefix: u64,
    middle: u64,
    tail: u64,
}

impl Place {
    /// Takes out what the system holds (the latest first) and what its limits threw away (the oldest first),
    /// down to what is still `lost`.
    fn without(mut self, pending: u64, discarded: u64, lost: u64) -> Self {
        let mut excess = (self.prefix + self.middle + self.tail).saturating_sub(lost);
        let mut take = |place: &mut u64, most: u64| {
            let taken = (*place).min(most).min(excess);
            *place -= taken;
            excess -= taken;
            most - taken
        };
        let mut pending = pending;
        for place in [&mut self.tail, &mut self.middle, &mut self.prefix] {
            pending = take(place, pending);
        }
        let mut discarded = discarded;
        for place in [&mut self.prefix, &mut self.middle, &mut self.tail] {
            discarded = take(place, discarded);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::super::ledger::{Judging, ReceiverLedger};
    use super::*;

    fn lane_of(count: u64, receivers: u32) -> Arc<LaneBook> {
        let book = Arc::new(LaneBook::new(1024, receivers));
        book.begin_measure(0);
        (0..count).for_each(|sequence| book.sent(sequence));
        book
    }

    #[test]
    fn the_books_close_with_every_fate_in_its_cell_and_held_messages_apart_from_lost() {
        let book = lane_of(100, 1);
        book.acked_run(0, 60);
        book.rejected(60);
        let judging = Judging { ordered: true, answers: true };
        let mut ledger = ReceiverLedger::new(vec![book.clone()], judging);
        for sequence in (10..50).chain([60, 99]) {
            ledger.note(0, sequence, false);
        }
        ledger.corrupt(0, 50);
        let closing = Closing {
            answers: true,
            promises: true,
            ordered: true,
            pending: 4,
            discarded: 3,
            ..Closing::default()
        };
        let counts = close_books(&[book], &ledger.close(), &closing);
        assert!(counts.books.close(100, 100), "{counts:?}");
        assert_eq!((counts.acked, counts.rejected, counts.unknown), (Some(60), 1, 39));
        assert_eq!((counts.delivered, counts.corrupt), (42, 1));
        assert_eq!((counts.lost, counts.acked_lost), (12, Some(12)), "60 acked − 40 − 1 corrupt − 7 held");
        assert_eq!((counts.pending_at_deadline, counts.discarded), (4, 3));
        assert_eq!((counts.lost_prefix, counts.lost_middle, counts.lost_tail), (7, 5, 0));
        assert_eq!(counts.books.rejected_yet_delivered(), 1);
    }

    #[test]
    fn without_answers_what_is_missing_is_lost_though_nothing_was_acknowledged() {
        let book = lane_of(10, 1);
        let judging = Judging { ordered: true, answers: false };
        let ledger = ReceiverLedger::new(vec![book.clone()], judging);
        let counts = close_books(&[book], &ledger.close(), &Closing::default());
        assert_eq!((counts.lost, counts.acked, counts.acked_lost, counts.unknown), (10, None, None, 0));
        assert_eq!((counts.lost_prefix, counts.lost_tail), (10, 0), "nothing ever came");
    }

    #[test]
    fn a_fan_out_message_is_lost_if_any_receiver_misses_it() {
        let book = lane_of(3, 2);
        let judging = Judging { ordered: true, answers: false };
        let mut sums = LedgerSums::default();
        for seen in [vec![0, 1, 2], vec![0, 2]] {
            let mut ledger = ReceiverLedger::new(vec![book.clone()], judging);
            seen.into_iter().for_each(|sequence| {
                ledger.note(0, sequence, false);
            });
            sums += ledger.close();
        }
        let counts = close_books(&[book], &sums, &Closing::default());
        assert_eq!(counts.books.messages[(Answer::Unacknowledged, Fate::Lost)], 1);
        assert_eq!(counts.books.messages[(Answer::Unacknowledged, Fate::Delivered)], 2);
        assert_eq!((counts.expected, counts.delivered, counts.lost_middle), (6, 5, 1));
    }

    #[test]
    fn payloads_without_a_stamp_are_counted_and_what_needs_a_name_stays_empty() {
        let book = lane_of(10, 0);
        let arrived = CountingLedger { arrived: 17, redelivered: 0 };
        let counts = close_counting(&[book], arrived, 2, &Closing::default());
        assert_eq!((counts.expected, counts.delivered, counts.lost), (20, 17, 3));
        assert_eq!((counts.duplicate, counts.reordered), (None, None));
        assert!(counts.books.close(10, 20));
    }
}
