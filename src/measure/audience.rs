//! Who got what: the same traffic read by several audiences, each accounted for by itself.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::books::{Answer, Fate};
use super::histogram::CoarseHistogram;
use super::lane_book::LaneBook;
use super::ledger::LedgerSums;
use super::quantile::Quantile;

/// What one audience got of the measured messages.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct AudienceRecord {
    /// Its name.
    pub name: String,
    /// Logical subscribers.
    pub subscribers: u32,
    /// Its subscribers share the messages among them.
    pub work_queue: bool,
    /// Deliveries that should have happened: messages × its receivers.
    pub expected: u64,
    /// First, whole deliveries.
    pub delivered: u64,
    /// Deliveries of accepted messages that did not happen. What the system still holds or has discarded is
    /// among them: it does not say for whom.
    pub missing: u64,
    /// The part of `missing` that was sent while its subscriber was away.
    pub missing_away: u64,
    /// Unflagged second deliveries.
    pub duplicate: u64,
    /// Deliveries the system flagged as repeated.
    pub redelivered: u64,
    /// First deliveries out of order; empty for a work queue.
    pub reordered: Option<u64>,
    /// Expected deliveries that came with a wrong checksum and never right.
    pub corrupt: u64,
    /// The 99th percentile of the delivery time over expected deliveries, with buckets 3 % apart; empty at rate
    /// `max` and with too few samples.
    pub delivery_time_us_p99: Option<Quantile>,
}

/// What an audience's receivers have noted.
#[derive(Debug, Clone, Default)]
pub struct Heard {
    sums: LedgerSums,
    times: CoarseHistogram,
}

impl Heard {
    /// Adds a closed ledger, and the delivery times that belong to it.
    pub fn add(&mut self, sums: &LedgerSums, times: Option<&CoarseHistogram>) {
        self.sums += *sums;
        if let Some(times) = times {
            self.times.merge(times);
        }
    }

    /// Adds what other receivers of the same audience have noted.
    pub fn merge(&mut self, other: &Self) {
        self.add(&other.sums, Some(&other.times));
    }
}

/// Sums up what an audience of so many receivers got, all of which read all `lanes`.
#[must_use]
pub fn close_audience(
    lanes: &[Arc<LaneBook>],
    heard: &Heard,
    receivers: u64,
    answers: bool,
) -> AudienceRecord {
    let measured = &heard.sums.measured;
    let deliveries = measured.tally.table(answers);
    let expected = receivers * lanes.iter().map(|lane| lane.sent_measured()).sum::<u64>();
    let delivered = deliveries.column(Fate::Delivered);
    let missing = deliveries[(Answer::Acked, Fate::Lost)] + deliveries[(Answer::Unacknowledged, Fate::Lost)];
    let late = expected - delivered.min(expected);
    AudienceRecord {
        expected,
        delivered,
        missing,
        missing_away: measured.away.min(missing),
        duplicate: measured.duplicate,
        redelivered: measured.redelivered,
        reordered: Some(measured.reordered),
        corrupt: deliveries.column(Fate::Corrupt),
        delivery_time_us_p99: heard.times.p99(late).filter(|_| heard.times.count() > 0),
        ..AudienceRecord::default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::ledger::{Judging, ReceiverLedger};
    use super::*;

    #[test]
    fn what_one_audience_misses_is_no_business_of_the_other() {
        let book = Arc::new(LaneBook::new(1024, 3));
        book.begin_measure(0);
        (0..100).for_each(|sequence| book.sent(sequence));
        let judging = Judging { ordered: true, answers: false };
        let heard = |seen: &[u64]| {
            let mut heard = Heard::default();
            let mut ledger = ReceiverLedger::new(vec![book.clone()], judging);
            for &sequence in seen {
                ledger.note(0, sequence, false);
            }
            heard.add(&ledger.close(), None);
            heard
        };
        let all: Vec<u64> = (0..100).collect();
        let twice = [&all[..], &all[..5]].concat();
        let mut both = heard(&twice);
        both.merge(&heard(&all));
        let lanes = [book.clone()];
        let good = close_audience(&lanes, &both, 2, false);
        assert_eq!((good.expected, good.delivered, good.missing, good.duplicate), (200, 200, 0, 5));
        let poor = close_audience(&lanes, &heard(&all[..90]), 1, false);
        assert_eq!((poor.expected, poor.delivered, poor.missing, poor.duplicate), (100, 90, 10, 0));
    }
}
