//! The closed books of a trial: what the publisher learnt, crossed with what the receiver saw.

use std::ops::{Add, AddAssign, Index, IndexMut};

use serde::{Deserialize, Serialize};

/// What the publisher learnt of a message: the row of a [`Table`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// The system took responsibility (or replied, where a reply promises nothing).
    Acked,
    /// The system refused it.
    Rejected,
    /// The system answers, but gave no answer in time: it may be stored all the same.
    Unknown,
    /// The system gives no answers.
    Unacknowledged,
}

/// What became of an expected delivery: the column of a [`Table`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fate {
    /// Came, whole, at least once.
    Delivered,
    /// Did not come, and nobody holds it any more.
    Lost,
    /// Did not come before the deadline, but the system still holds it, or threw it away by a limit of its own.
    Pending,
    /// Came identified, but never with the right checksum.
    Corrupt,
}

/// All answers, in row order.
pub const ANSWERS: [Answer; 4] = [Answer::Acked, Answer::Rejected, Answer::Unknown, Answer::Unacknowledged];
/// All fates, in column order.
pub const FATES: [Fate; 4] = [Fate::Delivered, Fate::Lost, Fate::Pending, Fate::Corrupt];

/// Counts by answer (rows) and fate (columns).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Table(pub [[u64; 4]; 4]);

impl Table {
    /// Everything in the table.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().flatten().sum()
    }

    /// Everything with this answer.
    #[must_use]
    pub fn row(&self, answer: Answer) -> u64 {
        self.0[answer as usize].iter().sum()
    }

    /// Everything with this fate.
    #[must_use]
    pub fn column(&self, fate: Fate) -> u64 {
        self.0.iter().map(|row| row[fate as usize]).sum()
    }

    /// Moves up to `count` lost ones to pending, those first whose absence is likeliest to be explained by
    /// the system's holding them: acked, then unacknowledged, then unknown. Rejected ones are never held.
    /// Returns how many could not be placed because fewer were missing.
    pub fn hold(&mut self, mut count: u64) -> u64 {
        for answer in [Answer::Acked, Answer::Unacknowledged, Answer::Unknown] {
            let moved = count.min(self[(answer, Fate::Lost)]);
            self[(answer, Fate::Lost)] -= moved;
            self[(answer, Fate::Pending)] += moved;
            count -= moved;
        }
        count
    }
}

impl Index<(Answer, Fate)> for Table {
    type Output = u64;

    fn index(&self, (answer, fate): (Answer, Fate)) -> &u64 {
        &self.0[answer as usize][fate as usize]
    }
}

impl IndexMut<(Answer, Fate)> for Table {
    fn index_mut(&mut self, (answer, fate): (Answer, Fate)) -> &mut u64 {
        &mut self.0[answer as usize][fate as usize]
    }
}

impl Add for Table {
    type Output = Self;

    fn add(mut self, other: Self) -> Self {
        self += other;
        self
    }
}

impl AddAssign for Table {
    fn add_assign(&mut self, other: Self) {
        for (own, theirs) in self.0.iter_mut().flatten().zip(other.0.iter().flatten()) {
            *own += theirs;
        }
    }
}

/// The books in both units. They close when `messages.total()` is what was sent and `deliveries.total()`
/// what was expected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Books {
    /// Each message once, by the worst fate among its receivers (lost, then corrupt, then delivered).
    pub messages: Table,
    /// Each expected delivery once.
    pub deliveries: Table,
}

impl Books {
    /// Whether every message sent and every delivery expected is in exactly one cell.
    #[must_use]
    pub fn close(&self, sent: u64, expected: u64) -> bool {
        self.messages.total() == sent && self.deliveries.total() == expected
    }

    /// Deliveries of messages that the system had refused: a broken promise.
    #[must_use]
    pub fn rejected_yet_delivered(&self) -> u64 {
        self.deliveries[(Answer::Rejected, Fate::Delivered)]
            + self.deliveries[(Answer::Rejected, Fate::Corrupt)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_and_columns_add_up_to_the_total() {
        let table = Table([[1, 2, 3, 4], [5, 6, 7, 8], [9, 10, 11, 12], [13, 14, 15, 16]]);
        assert_eq!(table.total(), 136);
        assert_eq!(ANSWERS.iter().map(|&answer| table.row(answer)).sum::<u64>(), 136);
        assert_eq!(FATES.iter().map(|&fate| table.column(fate)).sum::<u64>(), 136);
    }

    #[test]
    fn what_the_system_holds_leaves_lost_and_nothing_is_made_up() {
        let mut table = Table::default();
        table[(Answer::Acked, Fate::Lost)] = 3;
        table[(Answer::Rejected, Fate::Lost)] = 2;
        assert_eq!(table.hold(5), 2, "two of the five held were never missing");
        assert_eq!(table[(Answer::Acked, Fate::Pending)], 3);
        assert_eq!(table[(Answer::Rejected, Fate::Lost)], 2, "a refused message is held by nobody");
        assert_eq!(table.total(), 5);
    }
}
