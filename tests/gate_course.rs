//! Whole gates on made-up trials: what is measured when, and how each ends.

use busmark::gate::{CHECK_TRIALS, Course, Decision, Design, Outcome, REPEATS_MAX, Side, Step};
use busmark::measure::{
    Counts, Grade, Latencies, Quantile, Quantiles, Reason, ReasonCode, TrialRecord, Verdict,
};
use busmark::prng::Prng;
use busmark::scenario::{Expect, Metric};

const SEED: u64 = 7;

/// A trial whose p99 scatters by `variation` around 1 ms times `ratio`.
fn trial(side: Side, number: u32, prng: &mut Prng, (ratio, variation): (f64, f64)) -> TrialRecord {
    let (target, ratio) = if side == Side::Base { ("base", 1.0) } else { ("candidate", ratio) };
    let p99 = Some(Quantile::Micros(1000.0 * ratio * (variation * prng.normal()).exp()));
    TrialRecord {
        target: target.to_owned(),
        trial: number,
        counts: Counts { sent: 1_000_000, expected: 1_000_000, ..Counts::default() },
        latencies: Latencies {
            delivery_time: Some(Quantiles { p99, ..Quantiles::default() }),
            ..Latencies::default()
        },
        ..TrialRecord::default()
    }
}

fn invalid(mut record: TrialRecord) -> TrialRecord {
    let reason = Reason { code: ReasonCode::PacerLag, text: "pacer lag 9 ms".to_owned() };
    record.verdict = Verdict { grade: Grade::Invalid, reasons: vec![reason] };
    record
}

/// Runs a gate to its end; `spoil` may change each trial.
fn gate(
    noise: (f64, f64),
    expects: &[&str],
    mut spoil: impl FnMut(u32, Side, TrialRecord) -> TrialRecord,
) -> Outcome {
    let metrics = vec![Metric::find("delivery_time_us_p99").expect("a metric")];
    let expects = expects.iter().map(|text| Expect::parse(text).expect("an expectation")).collect();
    let mut course = Course::new(Design::STANDARD, metrics, expects, SEED);
    let mut prng = Prng::new(SEED);
    for number in 1.. {
        match course.step() {
            Step::End(outcome) => return *outcome,
            Step::Measure(side) => {
                let record = trial(side, number, &mut prng, noise);
                course.record(spoil(number, side, record));
            }
        }
    }
    unreachable!("a gate ends")
}

fn as_it_is(_: u32, _: Side, record: TrialRecord) -> TrialRecord {
    record
}

#[test]
fn equal_sides_pass_after_the_first_stage() {
    let outcome = gate((1.0, 0.1), &[], as_it_is);
    assert_eq!(outcome.decision, Decision::Pass, "{outcome:?}");
    assert_eq!(outcome.trials, CHECK_TRIALS + 15 * 4);
}

#[test]
fn a_regression_fails_on_fresh_blocks() {
    let outcome = gate((1.3, 0.1), &[], as_it_is);
    assert_eq!(outcome.decision, Decision::Fail, "{outcome:?}");
    assert_eq!(outcome.trials, CHECK_TRIALS + (15 + 26) * 4);
    assert!(outcome.reason.contains("confirmed on 26 fresh blocks"), "{}", outcome.reason);
    assert!((outcome.findings[0].ratio - 1.3).abs() < 0.1);
}

#[test]
fn noise_ends_it_after_the_check_and_says_so() {
    let outcome = gate((1.0, 0.8), &[], as_it_is);
    assert_eq!((outcome.decision, outcome.trials), (Decision::Inconclusive, CHECK_TRIALS), "{outcome:?}");
    assert!(outcome.reason.contains("too noisy here: delivery_time_us_p99 varies by"), "{}", outcome.reason);
}

#[test]
fn one_message_in_a_million_lost_by_the_candidate_fails_at_once() {
    let outcome = gate((1.0, 0.1), &[], |_, side, mut record| {
        record.counts.lost = u64::from(side == Side::Candidate);
        record
    });
    assert_eq!(outcome.decision, Decision::Fail);
    assert!(outcome.trials <= CHECK_TRIALS + 2, "{outcome:?}");
    assert!(outcome.reason.contains("lost is 1 in trial"), "{}", outcome.reason);
}

#[test]
fn what_both_sides_lose_is_no_regression_but_breaks_an_expectation() {
    let both = |_: u32, _: Side, mut record: TrialRecord| {
        record.counts.lost = 1;
        record
    };
    assert_eq!(gate((1.0, 0.1), &[], both).decision, Decision::Pass);
    let outcome = gate((1.0, 0.1), &["candidate.lost == 0"], both);
    assert_eq!(outcome.decision, Decision::Fail);
    assert!(
        outcome.reason.contains("`candidate.lost == 0` fails on candidate: lost is 1"),
        "{}",
        outcome.reason
    );
}

#[test]
fn a_few_invalid_trials_are_measured_again_and_many_end_it() {
    let few = gate(
        (1.0, 0.1),
        &[],
        |number, _, record| {
            if number % 20 == 0 && number <= 60 { invalid(record) } else { record }
        },
    );
    assert_eq!((few.decision, few.trials), (Decision::Pass, CHECK_TRIALS + 15 * 4 + 3), "{few:?}");
    let many = gate((1.0, 0.1), &[], |_, _, record| invalid(record));
    assert_eq!((many.decision, many.trials), (Decision::Inconclusive, REPEATS_MAX + 1));
    assert!(many.reason.contains("INVALID, the last one because: pacer lag 9 ms"), "{}", many.reason);
}

#[test]
fn an_empty_metric_is_inconclusive_and_named() {
    let outcome = gate((1.0, 0.1), &[], |_, side, mut record| {
        if side == Side::Candidate {
            record.latencies = Latencies::default();
        }
        record
    });
    assert_eq!(outcome.decision, Decision::Inconclusive);
    assert!(outcome.reason.contains("`delivery_time_us_p99` is empty in block 1"), "{}", outcome.reason);
}

#[test]
fn a_gate_that_is_stopped_is_inconclusive() {
    let mut course = Course::new(Design::STANDARD, Vec::new(), Vec::new(), SEED);
    course.stop("the budget of 10m is spent");
    let Step::End(outcome) = course.step() else { panic!("it goes on") };
    assert_eq!(outcome.decision, Decision::Inconclusive);
    assert_eq!(outcome.reason, "the budget of 10m is spent");
}
