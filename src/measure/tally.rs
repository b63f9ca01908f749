//! Counting by words of 64 messages: what was answered, crossed with what came.

use std::ops::AddAssign;

use super::books::{Answer, Fate, Table};

/// Messages per word of a status plane.
pub(super) const WORD: u64 = 64;

/// The bits of word `word` whose sequences are at least `from`.
#[inline]
pub(super) fn bits_from(word: u64, from: u64) -> u64 {
    let first = word * WORD;
    match from.saturating_sub(first) {
        skip @ 0..WORD => u64::MAX << skip,
        _ => 0,
    }
}

/// The bits of word `word` whose sequences are below `end`.
#[inline]
pub(super) fn bits_below(word: u64, end: u64) -> u64 {
    !bits_from(word, end)
}

/// What the publisher learnt of the 64 messages of a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Answers {
    /// The system took responsibility.
    pub(super) acked: u64,
    /// The system refused.
    pub(super) rejected: u64,
    /// False if the window has moved on and nobody knows any more.
    pub(super) known: bool,
}

/// What one receiver (or all of them) saw of the 64 messages of a word; no bit is in two of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Fates {
    /// Came whole.
    pub(super) delivered: u64,
    /// Did not come.
    pub(super) missing: u64,
    /// Came damaged only.
    pub(super) corrupt: u64,
}

/// Counts by answer (acked, rejected, neither) and fate (delivered, missing, corrupt).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally(pub(super) [[u64; 3]; 3]);

impl Tally {
    /// Adds the messages of one word that are in `mask`.
    pub(super) fn add_word(&mut self, answers: Answers, fates: Fates, mask: u64) {
        let acked = answers.acked & mask;
        let rejected = answers.rejected & !answers.acked & mask;
        let neither = mask & !(acked | rejected);
        for (row, answer) in self.0.iter_mut().zip([acked, rejected, neither]) {
            for (cell, fate) in row.iter_mut().zip([fates.delivered, fates.missing, fates.corrupt]) {
                *cell += u64::from((answer & fate).count_ones());
            }
        }
    }

    /// Everything counted.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.0.iter().flatten().sum()
    }

    /// What came whole.
    #[must_use]
    pub fn delivered(&self) -> u64 {
        self.0.iter().map(|row| row[0]).sum()
    }

    /// As a table: what got no answer is unknown where the system answers, else unacknowledged.
    #[must_use]
    pub fn table(&self, answers: bool) -> Table {
        let neither = if answers { Answer::Unknown } else { Answer::Unacknowledged };
        let mut table = Table::default();
        for (row, answer) in self.0.iter().zip([Answer::Acked, Answer::Rejected, neither]) {
            for (cell, fate) in row.iter().zip([Fate::Delivered, Fate::Lost, Fate::Corrupt]) {
                table[(answer, fate)] = *cell;
            }
        }
        table
    }
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Self) {
        for (own, theirs) in self.0.iter_mut().flatten().zip(other.0.iter().flatten()) {
            *own += theirs;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_from_and_below_split_a_word_at_any_sequence() {
        for end in 0..260u64 {
            let ones: u32 = (0..4).map(|word| bits_below(word, end).count_ones()).sum();
            assert_eq!(u64::from(ones), end.min(256));
            for word in 0..4 {
                assert_eq!(bits_from(word, end), !bits_below(word, end));
            }
        }
    }

    #[test]
    fn every_message_of_the_mask_is_in_exactly_one_cell() {
        let mut tally = Tally::default();
        let fates = Fates { delivered: 0x00ff, missing: 0xff00, corrupt: 0xff_0000 };
        tally.add_word(Answers { acked: 0x0f_0f0f, rejected: 0x10_1010, known: true }, fates, 0xff_ffff);
        assert_eq!(tally.0, [[4, 4, 4], [1, 1, 1], [3, 3, 3]]);
        assert_eq!(tally.total(), 24);
        assert_eq!(tally.table(false).row(Answer::Unacknowledged), 9);
        assert_eq!(tally.table(true).row(Answer::Unknown), 9);
    }
}
