//! Expectations against made-up trials: what holds, what fails, and what cannot be judged.

use busmark::gate::{Answer, Judgement, judge};
use busmark::measure::{
    Counts, Grade, Latencies, Quantile, Quantiles, Reason, ReasonCode, TrialRecord, Verdict,
};
use busmark::scenario::Expect;

fn trial(target: &str, trial: u32, p99: Quantile) -> TrialRecord {
    TrialRecord {
        target: target.to_owned(),
        trial,
        publishes_per_s: Some(20_000.0),
        counts: Counts { sent: 1000, expected: 1000, delivered: 1000, ..Counts::default() },
        latencies: Latencies {
            delivery_time: Some(Quantiles { p99: Some(p99), ..Quantiles::default() }),
            ..Latencies::default()
        },
        ..TrialRecord::default()
    }
}

/// Trials 1, 2, … of a target with these p99.
fn trials(target: &str, p99: &[f64]) -> Vec<TrialRecord> {
    let numbered = p99.iter().zip(1..);
    numbered.map(|(&micros, number)| trial(target, number, Quantile::from_micros(micros))).collect()
}

fn grade(record: &mut TrialRecord, grade: Grade, code: ReasonCode, text: &str) {
    record.verdict = Verdict { grade, reasons: vec![Reason { code, text: text.to_owned() }] };
}

fn all(expectation: &str, records: &[TrialRecord]) -> Vec<Judgement> {
    judge(&[Expect::parse(expectation).expect("an expectation")], records)
}

fn one(expectation: &str, records: &[TrialRecord]) -> (Answer, String) {
    let judgements = all(expectation, records);
    assert_eq!(judgements.len(), 1, "{judgements:#?}");
    (judgements[0].answer, judgements[0].reason.clone())
}

const FIVE: [f64; 5] = [900.0, 1000.0, 950.0, 1100.0, 980.0];

#[test]
fn a_level_holds_or_fails_only_with_its_whole_interval_on_one_side() {
    let records = trials("a", &FIVE);
    for (limit, answer) in [(1200, Answer::Holds), (800, Answer::Fails), (1000, Answer::CannotBeJudged)] {
        let (given, reason) = one(&format!("delivery_time_us_p99 <= {limit}"), &records);
        assert_eq!(given, answer, "{limit}: {reason}");
        assert!(reason.contains("980 [900, 1100]"), "{reason}");
    }
    assert_eq!(one("delivery_time_us_p99 <= 1100", &records).0, Answer::Holds);
    assert_eq!(one("delivery_time_us_p99 < 1100", &records).0, Answer::CannotBeJudged);
    assert_eq!(one("delivery_time_us_p99 >= 1.2ms", &records).0, Answer::Fails);
    assert_eq!(one("delivery_time_us_p99 > 100us", &records).0, Answer::Holds);
}

#[test]
fn four_trials_are_too_few_for_a_level_and_one_is_enough_for_a_count() {
    let (answer, reason) = one("delivery_time_us_p99 <= 5000", &trials("a", &FIVE[..4]));
    assert_eq!((answer, reason.contains("too few trials: 4")), (Answer::CannotBeJudged, true), "{reason}");
    assert_eq!(one("lost == 0", &trials("a", &FIVE[..1])).0, Answer::Holds);
}

#[test]
fn one_lost_message_in_one_trial_fails() {
    let mut records = trials("a", &FIVE);
    records[3].counts.lost = 1;
    let (answer, reason) = one("lost == 0", &records);
    assert_eq!(answer, Answer::Fails);
    assert!(reason.contains("lost is 1 in trial 4"), "{reason}");
    assert_eq!(one("lost <= 1", &records).0, Answer::Holds);
}

#[test]
fn no_loss_cannot_be_judged_while_answers_are_missing() {
    let mut records = trials("a", &FIVE);
    records[2].counts.unknown = 3;
    let (answer, reason) = one("lost == 0", &records);
    assert_eq!(answer, Answer::CannotBeJudged);
    assert!(reason.contains("3 messages of trial 3 got no answer"), "{reason}");
    assert_eq!(one("lost <= 10", &records).0, Answer::Holds, "even if all three were lost");
    records[4].counts.lost = 1;
    assert_eq!(one("lost == 0", &records).0, Answer::Fails, "a certain loss fails all the same");
}

#[test]
fn what_was_acknowledged_and_lost_is_known_whatever_became_of_the_unanswered() {
    let mut records = trials("a", &FIVE);
    for record in &mut records {
        record.counts.acked_lost = Some(0);
        record.counts.unknown = 3;
    }
    assert_eq!(one("acked_lost == 0", &records).0, Answer::Holds);
    records[1].counts.acked_lost = Some(1);
    assert_eq!(one("acked_lost == 0", &records).0, Answer::Fails);
}

#[test]
fn an_invalid_trial_or_a_rate_that_was_not_reached_cannot_be_judged() {
    let mut records = trials("a", &FIVE);
    grade(&mut records[1], Grade::Invalid, ReasonCode::PacerLag, "pacer lag 9 ms");
    for expectation in ["delivery_time_us_p99 <= 5000", "lost == 0"] {
        let (answer, reason) = one(expectation, &records);
        assert_eq!(answer, Answer::CannotBeJudged, "{expectation}");
        assert!(reason.contains("trial 2 of a is INVALID: pacer lag 9 ms"), "{reason}");
    }
    grade(&mut records[1], Grade::Suspect, ReasonCode::RateNotReached, "18k/s of 20k/s");
    let (answer, reason) = one("delivery_time_us_p99 <= 5000", &records);
    assert_eq!(
        (answer, reason.contains("rate not reached: 18k/s")),
        (Answer::CannotBeJudged, true),
        "{reason}"
    );
    assert_eq!(one("publishes_per_s >= 30k/s", &records).0, Answer::Fails, "it asks for the rate itself");
}

#[test]
fn a_loss_in_a_sound_trial_fails_beside_an_invalid_one_and_a_loss_in_an_invalid_one_does_not() {
    let mut records = trials("a", &FIVE);
    grade(&mut records[0], Grade::Invalid, ReasonCode::BooksOpen, "books open");
    records[0].counts.lost = 5;
    assert_eq!(one("lost == 0", &records).0, Answer::CannotBeJudged);
    records[1].counts.lost = 1;
    assert_eq!(one("lost == 0", &records).0, Answer::Fails);
}

#[test]
fn an_empty_metric_cannot_be_judged() {
    let (answer, reason) = one("service_time_us_p99 <= 1", &trials("a", &FIVE));
    assert_eq!(answer, Answer::CannotBeJudged);
    assert!(reason.contains("`service_time_us_p99` is empty in trial 1 of a"), "{reason}");
    assert_eq!(one("acked_lost == 0", &trials("a", &FIVE)).0, Answer::CannotBeJudged);
}

#[test]
fn two_targets_are_compared_trial_by_trial() {
    // Both swing by a factor of ten from trial to trial, but b is 1.5 times a in each of them.
    let swings = [100.0, 1000.0, 300.0, 500.0, 200.0];
    let mut records = trials("a", &swings);
    records.extend(trials("b", &swings.map(|micros| micros * 1.5)));
    assert_eq!(one("b.delivery_time_us_p99 <= 2 * a.delivery_time_us_p99", &records).0, Answer::Holds);
    assert_eq!(one("b.delivery_time_us_p99 <= 1.2 * a.delivery_time_us_p99", &records).0, Answer::Fails);
    records.retain(|record| record.target == "b" || record.trial != 3);
    let (answer, reason) = one("b.delivery_time_us_p99 <= 2 * a.delivery_time_us_p99", &records);
    assert_eq!((answer, reason.contains("trial 3 has no counterpart")), (Answer::CannotBeJudged, true));
}

#[test]
fn an_undelivered_rank_is_larger_than_any_limit() {
    let records = trials("a", &[f64::INFINITY; 5]);
    assert_eq!(one("delivery_time_us_p99 <= 1h", &records).0, Answer::Fails);
    let judgement = &all("delivery_time_us_p99 <= 1h", &records)[0];
    assert!(serde_json::to_string(judgement).expect("JSON").contains("\"median\":\"inf\""));
    let both = [records.clone(), trials("b", &[f64::INFINITY; 5])].concat();
    let (answer, reason) = one("a.delivery_time_us_p99 <= b.delivery_time_us_p99", &both);
    assert_eq!((answer, reason.contains("both sides are infinite")), (Answer::CannotBeJudged, true));
}

#[test]
fn an_expectation_without_a_target_speaks_of_each_and_one_of_the_unknown_of_none() {
    let mut records = [trials("a", &FIVE), trials("b", &FIVE)].concat();
    records[7].counts.lost = 1;
    let answers: Vec<(String, Answer)> =
        all("lost == 0", &records).into_iter().map(|one| (one.target, one.answer)).collect();
    assert_eq!(answers, [("a".to_owned(), Answer::Holds), ("b".to_owned(), Answer::Fails)]);
    let (answer, reason) = one("c.lost == 0", &records);
    assert_eq!((answer, reason.as_str()), (Answer::CannotBeJudged, "no trial of it was recorded"));
}

#[test]
fn points_and_phases_narrow_what_is_judged() {
    let mut records = trials("a", &FIVE);
    for (record, point) in
        records.iter_mut().zip(["payload=1KiB", "payload=1KiB", "payload=64B", "payload=64B", ""])
    {
        record.point = point.to_owned();
    }
    assert_eq!(all("lost == 0", &records).len(), 3);
    assert_eq!(all("lost == 0 @ point=payload=64B", &records)[0].point, "payload=64B");
    assert_eq!(one("lost == 0 @ phase=warm-up", &trials("a", &FIVE)).0, Answer::CannotBeJudged);
    assert_eq!(one("lost == 0 @ phase=measure", &trials("a", &FIVE)).0, Answer::Holds);
}

#[test]
fn a_point_is_compared_with_another_trial_by_trial() {
    let mut records = trials("a", &FIVE);
    records.extend(trials("a", &FIVE.map(|p99| 2.1 * p99)));
    for (record, point) in
        records.iter_mut().zip([["payload=1B, rate=max"; 5], ["payload=1KiB, rate=max"; 5]].concat())
    {
        record.point = point.to_owned();
    }
    let at = "@ point=payload=1KiB, against=payload=1B";
    let (answer, reason) = one(&format!("delivery_time_us_p99 >= 2 * delivery_time_us_p99 {at}"), &records);
    assert_eq!(answer, Answer::Holds, "{reason}");
    assert_eq!(
        one(&format!("delivery_time_us_p99 <= 2 * delivery_time_us_p99 {at}"), &records).0,
        Answer::Fails
    );
    let at = "@ point=payload=1KiB, against=payload=2B";
    let (answer, reason) = one(&format!("delivery_time_us_p99 >= 2 * delivery_time_us_p99 {at}"), &records);
    assert_eq!((answer, reason.as_str()), (Answer::CannotBeJudged, "no trial at payload=2B was recorded"));
}

#[test]
fn every_metric_is_a_column_of_the_summary_with_the_same_value() {
    let mut record = trial("a", 1, Quantile::Micros(7.0));
    record.counts.lost = 3;
    let columns = busmark::report::columns();
    for metric in busmark::scenario::Metric::all() {
        let column = columns.iter().find(|column| column.name == metric.name);
        let cell = column.unwrap_or_else(|| panic!("no column {}", metric.name)).cell(&record).text();
        let value = busmark::gate::value(&record, &metric).map(|value| value.to_string()).unwrap_or_default();
        assert_eq!(cell, value, "{}", metric.name);
    }
}

#[test]
fn a_rate_that_the_generator_could_not_exceed_decides_nothing_that_hangs_on_its_being_no_higher() {
    let at = |target: &str, percent: f64| -> Vec<TrialRecord> {
        let mut records = trials(target, &FIVE);
        records.iter_mut().for_each(|record| record.percent_of_ceiling = Some(percent));
        records
    };
    let both = |a: f64, b: f64| [at("a", a), at("b", b)].concat();
    // 20,000 on both sides.
    for (expectation, a, b, answer) in [
        ("a.publishes_per_s >= 30000", 40.0, 40.0, Answer::Fails),
        ("a.publishes_per_s >= 30000", 90.0, 40.0, Answer::CannotBeJudged),
        ("a.publishes_per_s >= 10000", 90.0, 40.0, Answer::Holds),
        ("a.publishes_per_s <= 30000", 90.0, 40.0, Answer::CannotBeJudged),
        ("a.publishes_per_s <= 10000", 90.0, 40.0, Answer::Fails),
        ("a.publishes_per_s >= 0.5 * b.publishes_per_s", 90.0, 40.0, Answer::Holds),
        ("a.publishes_per_s >= 0.5 * b.publishes_per_s", 40.0, 90.0, Answer::CannotBeJudged),
        ("a.publishes_per_s >= 2 * b.publishes_per_s", 40.0, 90.0, Answer::Fails),
        ("a.publishes_per_s >= 2 * b.publishes_per_s", 90.0, 40.0, Answer::CannotBeJudged),
        ("a.publishes_per_s <= 0.5 * b.publishes_per_s", 40.0, 90.0, Answer::CannotBeJudged),
        ("a.delivery_time_us_p99 <= 800", 90.0, 90.0, Answer::Fails),
    ] {
        let (given, reason) = one(expectation, &both(a, b));
        assert_eq!(given, answer, "{expectation} at {a} % and {b} %: {reason}");
        if answer == Answer::CannotBeJudged {
            assert!(reason.contains("90 % of what the generator manages"), "{reason}");
        }
    }
}
