//! What a gate asks before any latency: does the candidate lose, repeat, reorder or corrupt what the base
//! does not?
//!
//! What a system had promised is exact: one such message is enough. What it had not promised (a message lost at most
//! once, a repetition) happens to equal systems too now and then, and which of the two it happens to first is a coin
//! toss: there the counts of all trials are ranked.

use crate::measure::{Grade, Reason, ReasonCode, TrialRecord};

use super::rank_sum::RankSum;

/// Largest probability that equal sides differ this much in a count, for the candidate to be wrong. Looked at after
/// each block, so far below the level of a single look.
pub const COUNTS_ALPHA: f64 = 0.0005;

/// What the candidate does wrong.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// The count, as in summary.csv.
    pub metric: &'static str,
    /// The candidate's first trial with it.
    pub trial: u32,
    /// How many in that trial.
    pub count: u64,
    /// Trials of the candidate that have any.
    pub in_candidate: usize,
    /// Trials of the base that have any.
    pub in_base: usize,
    /// The system had promised that there are none.
    pub promised: bool,
    /// Probability of as much in the candidate's trials or more, if both sides were equal.
    pub p: f64,
}

impl Fault {
    /// Whether it is beyond doubt: a broken promise that the base keeps, or more than chance explains.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        (self.promised && self.in_base == 0) || self.p <= COUNTS_ALPHA
    }

    /// Whether it stands in the way of a pass though it may be chance: messages that the base never wronged.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.in_base == 0 && self.metric != RATE_NOT_REACHED
    }

    /// In words, with the figures.
    #[must_use]
    pub fn text(&self, (base, candidate): (usize, usize)) -> String {
        let Self { metric, trial, count, in_candidate, in_base, p, promised } = self;
        let level = if *promised { String::new() } else { format!(" (p = {p:.1e})") };
        format!(
            "{metric} is {count} in trial {trial} of the candidate, above 0 in {in_candidate} of its {candidate} trials \
             and in {in_base} of the base's {base}{level}"
        )
    }
}

/// Not a count of messages: 1 for a trial in which less than the offered rate was sent. A candidate that can't carry
/// the load sends too few for a percentile, so that nothing else would speak of it.
const RATE_NOT_REACHED: &str = "rate-not-reached";

/// Reads one count.
type Reading = fn(&TrialRecord) -> Option<u64>;

/// What must not appear, and whether the system had promised that.
const READINGS: [(&str, bool, Reading); 10] = [
    ("acked_lost", true, |record| record.counts.acked_lost),
    ("corrupt", true, |record| Some(record.counts.corrupt)),
    ("lost", false, |record| Some(record.counts.lost)),
    ("duplicate", false, |record| record.counts.duplicate),
    ("reordered", false, |record| record.counts.reordered),
    ("rejected", false, |record| Some(record.counts.rejected)),
    ("unknown", false, |record| Some(record.counts.unknown)),
    ("pending_at_deadline", false, |record| Some(record.counts.pending_at_deadline)),
    ("disconnects", false, |record| Some(record.counts.disconnects)),
    (RATE_NOT_REACHED, false, |record| {
        let falls_short = |reason: &Reason| reason.code == ReasonCode::RateNotReached;
        Some(u64::from(record.verdict.reasons.iter().any(falls_short)))
    }),
];

/// Trials that say something: INVALID ones don't.
fn usable<'a>(records: &[&'a TrialRecord]) -> Vec<&'a TrialRecord> {
    records.iter().copied().filter(|record| record.verdict.grade != Grade::Invalid).collect()
}

/// Each count that is above 0 in a trial of the candidate, set against the base.
#[must_use]
pub fn faults(base: &[&TrialRecord], candidate: &[&TrialRecord]) -> Vec<Fault> {
    let (base, candidate) = (usable(base), usable(candidate));
    let fault = |&(metric, promised, read): &(&'static str, bool, Reading)| {
        let count = |record: &&TrialRecord| read(record).unwrap_or(0);
        let first = candidate.iter().find(|record| count(record) > 0)?;
        let values = |records: &[&TrialRecord]| records.iter().map(|r| count(r) as f64).collect::<Vec<f64>>();
        Some(Fault {
            metric,
            trial: first.trial,
            count: count(first),
            in_candidate: candidate.iter().filter(|record| count(record) > 0).count(),
            in_base: base.iter().filter(|record| count(record) > 0).count(),
            promised,
            p: RankSum::of(&values(&base), &values(&candidate)).p_above(),
        })
    };
    READINGS.iter().filter_map(fault).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Counts, Verdict};

    fn trial(trial: u32, counts: Counts, grade: Grade) -> TrialRecord {
        TrialRecord {
            trial,
            counts,
            verdict: Verdict { grade, reasons: Vec::new() },
            ..TrialRecord::default()
        }
    }

    fn losing(lost: u64) -> TrialRecord {
        trial(2, Counts { lost, ..Counts::default() }, Grade::Valid)
    }

    #[test]
    fn one_message_lost_against_a_promise_is_certain_and_one_that_nobody_promised_is_not() {
        let clean = losing(0);
        let promised = trial(2, Counts { lost: 1, acked_lost: Some(1), ..Counts::default() }, Grade::Valid);
        let found = faults(&[&clean], &[&clean, &promised]);
        assert_eq!(found.iter().map(|fault| fault.metric).collect::<Vec<_>>(), ["acked_lost", "lost"]);
        assert!(found[0].is_certain() && !found[1].is_certain(), "{found:?}");
        let corrupt = trial(2, Counts { corrupt: 1, ..Counts::default() }, Grade::Valid);
        assert!(faults(&[&clean], &[&corrupt])[0].is_certain());
        assert!(!faults(&[&corrupt], &[&corrupt])[0].is_certain(), "the base breaks it too");
        assert_eq!(faults(&[&clean], &[&trial(2, promised.counts, Grade::Invalid)]), []);
    }

    #[test]
    fn a_loss_in_every_trial_of_the_candidate_is_certain_within_a_few_blocks() {
        let (clean, lossy) = (losing(0), losing(1));
        let certain = |base: usize, candidate: usize| {
            faults(&vec![&clean; base], &vec![&lossy; candidate])[0].is_certain()
        };
        assert!(!certain(8, 2) && certain(12, 6));
    }

    #[test]
    fn a_candidate_that_never_reaches_the_rate_is_certain_and_one_that_once_missed_it_may_pass() {
        let mut slow = losing(0);
        slow.verdict.reasons.push(Reason { code: ReasonCode::RateNotReached, text: String::new() });
        let clean = losing(0);
        let found = &faults(&[&clean; 12], &[&slow; 6])[0];
        assert!(found.is_certain() && found.metric == RATE_NOT_REACHED, "{found:?}");
        let once = &faults(&[&clean; 12], &[&slow, &clean, &clean])[0];
        assert!(!once.is_certain() && !once.is_open(), "{once:?}");
    }

    #[test]
    fn losing_a_thousand_times_as_much_is_a_fault_even_where_the_base_loses_too() {
        let (little, much) = (losing(1), losing(1_000));
        assert!(faults(&[&little; 12], &[&much; 8])[0].is_certain());
        assert!(!faults(&[&little; 12], &[&little; 8])[0].is_certain());
        let found = &faults(&[&little; 12], &[&much; 8])[0];
        let text = found.text((12, 8));
        assert!(
            text.contains("lost is 1000 in trial 2 of the candidate, above 0 in 8 of its 8 trials and in 12"),
            "{text}"
        );
    }
}
