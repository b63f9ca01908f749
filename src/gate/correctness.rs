//! What a gate asks before any latency: does the candidate lose, repeat, reorder or corrupt what the base
//! does not? Counts are exact, so one such message is enough.

use crate::measure::{Counts, Grade, TrialRecord};

/// What the candidate does wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The count, as in summary.csv.
    pub metric: &'static str,
    /// The candidate's trial.
    pub trial: u32,
    /// How many in that trial.
    pub count: u64,
}

/// Reads one count.
type Reading = fn(&Counts) -> Option<u64>;

/// What must not appear on the candidate's side alone.
const READINGS: [(&str, Reading); 5] = [
    ("lost", |counts| Some(counts.lost)),
    ("corrupt", |counts| Some(counts.corrupt)),
    ("duplicate", |counts| counts.duplicate),
    ("reordered", |counts| counts.reordered),
    ("rejected", |counts| Some(counts.rejected)),
];

/// The first trial of the candidate for each count that is 0 in every usable trial of the base. Trials that
/// are INVALID say nothing on either side.
#[must_use]
pub fn faults(base: &[&TrialRecord], candidate: &[&TrialRecord]) -> Vec<Fault> {
    let usable = |record: &&&TrialRecord| record.verdict.grade != Grade::Invalid;
    let fault = |(metric, read): &(&'static str, Reading)| {
        let count = |record: &TrialRecord| read(&record.counts).unwrap_or(0);
        if base.iter().filter(usable).any(|record| count(record) > 0) {
            return None;
        }
        let wrong = candidate.iter().filter(usable).find(|record| count(record) > 0)?;
        Some(Fault { metric, trial: wrong.trial, count: count(wrong) })
    };
    READINGS.iter().filter_map(fault).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::Verdict;

    fn trial(trial: u32, lost: u64, grade: Grade) -> TrialRecord {
        TrialRecord {
            trial,
            counts: Counts { lost, ..Counts::default() },
            verdict: Verdict { grade, reasons: Vec::new() },
            ..TrialRecord::default()
        }
    }

    #[test]
    fn one_lost_message_of_the_candidate_alone_is_a_fault() {
        let (clean, lossy) = (trial(1, 0, Grade::Valid), trial(2, 1, Grade::Valid));
        assert_eq!(faults(&[&clean], &[&clean, &lossy]), [Fault { metric: "lost", trial: 2, count: 1 }]);
        assert_eq!(faults(&[&lossy], &[&lossy]), [], "what the base does too is no regression");
        assert_eq!(faults(&[&clean], &[&trial(2, 1, Grade::Invalid)]), []);
    }
}
