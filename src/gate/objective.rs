//! Whether one trial at a rate meets an objective.

use crate::measure::{Grade, ReasonCode, TrialRecord};
use crate::scenario::{Expect, Right};

use super::value::value;

/// What one trial says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Met {
    /// It meets every expectation, and the rate that was offered.
    Yes,
    /// It doesn't, and why.
    No(String),
    /// It says nothing, and why.
    Unjudged(String),
}

/// Holds a trial against the expectations that speak of its target. A rate that was not reached, or a backlog
/// that was left, is a miss whatever they say: nothing that is offered may stay behind.
///
/// A generator that is late makes latencies longer, never shorter, so that meeting the objective counts in spite
/// of it; what a miss is worth then is for [`super::limit`] to say.
#[must_use]
pub fn met(expects: &[Expect], record: &TrialRecord) -> Met {
    let reason = |code: ReasonCode| record.verdict.reasons.iter().find(|reason| reason.code == code);
    if let Some(open) = reason(ReasonCode::BooksOpen).filter(|_| record.verdict.grade == Grade::Invalid) {
        return Met::Unjudged(open.text.clone());
    }
    if let Some(behind) = reason(ReasonCode::RateNotReached) {
        return Met::No(behind.text.clone());
    }
    let pending = record.counts.pending_at_deadline;
    if pending > 0 {
        return Met::No(format!("{pending} deliveries were still to come when the drain ended"));
    }
    let own = |expect: &&Expect| expect.left.target.as_ref().is_none_or(|target| *target == record.target);
    let answers: Vec<Met> = expects.iter().filter(own).map(|expect| one(expect, record)).collect();
    let first = |wanted: fn(&Met) -> bool| answers.iter().find(|met| wanted(met)).cloned();
    first(|met| matches!(met, Met::No(_))).or_else(|| first(|met| *met != Met::Yes)).unwrap_or(Met::Yes)
}

fn one(expect: &Expect, record: &TrialRecord) -> Met {
    let name = &expect.left.metric.name;
    let Right::Value(limit) = expect.right else {
        return Met::Unjudged(format!("`{}` compares with another target", expect.text));
    };
    let Some(value) = value(record, &expect.left.metric) else {
        return Met::Unjudged(format!("`{name}` is empty: not measured here, or too few messages"));
    };
    let unknown = record.counts.unknown;
    if name.ends_with("lost") && unknown > 0 {
        return Met::No(format!("{unknown} messages got no answer: they may be lost"));
    }
    if expect.compare.holds(value, limit) {
        return Met::Yes;
    }
    Met::No(format!("{name} is {value:.0}, not {} {limit}", expect.compare.sign()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Latencies, Quantile, Quantiles, Reason, Verdict};

    fn record(p99: Quantile) -> TrialRecord {
        let delivery = Quantiles { p99: Some(p99), ..Quantiles::default() };
        TrialRecord {
            target: "a".into(),
            latencies: Latencies { delivery_time: Some(delivery), ..Latencies::default() },
            ..TrialRecord::default()
        }
    }

    fn expects() -> Vec<Expect> {
        ["delivery_time_us_p99 <= 10ms", "lost == 0", "b.duplicate == 7"]
            .iter()
            .map(|text| Expect::parse(text).unwrap())
            .collect()
    }

    #[test]
    fn all_expectations_of_the_target_must_hold() {
        assert_eq!(met(&expects(), &record(Quantile::Micros(9_000.0))), Met::Yes);
        let Met::No(why) = met(&expects(), &record(Quantile::Beyond)) else { panic!() };
        assert!(why.contains("inf, not <= 10000"), "{why}");
        let mut lossy = record(Quantile::Micros(9_000.0));
        lossy.counts.lost = 1;
        assert!(matches!(met(&expects(), &lossy), Met::No(_)));
        lossy.counts.lost = 0;
        lossy.counts.unknown = 1;
        assert!(matches!(met(&expects(), &lossy), Met::No(_)), "without an answer it may be lost");
    }

    #[test]
    fn what_was_offered_must_be_sent_and_must_not_stay_behind() {
        let mut late = record(Quantile::Micros(1.0));
        late.counts.pending_at_deadline = 3;
        assert!(matches!(met(&[], &late), Met::No(_)));
        let mut slow = record(Quantile::Micros(1.0));
        slow.verdict = Verdict {
            grade: Grade::Suspect,
            reasons: vec![Reason { code: ReasonCode::RateNotReached, text: "sent half".into() }],
        };
        assert_eq!(met(&expects(), &slow), Met::No("sent half".into()));
    }

    #[test]
    fn an_empty_cell_and_open_books_say_nothing() {
        assert!(matches!(met(&expects(), &TrialRecord::default()), Met::Unjudged(_)));
        let mut open = record(Quantile::Micros(1.0));
        open.verdict = Verdict {
            grade: Grade::Invalid,
            reasons: vec![Reason { code: ReasonCode::BooksOpen, text: "x".into() }],
        };
        assert!(matches!(met(&expects(), &open), Met::Unjudged(_)));
    }
}
