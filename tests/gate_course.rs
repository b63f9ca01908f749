//! Whole gates on made-up trials: what is measured when, and how each ends.

use busmark::gate::{
    CHECK_TRIALS, COUNT_TRIALS, Course, Decision, Design, Outcome, REPEATS_MAX, Reached, Side, Step,
};
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
fn noise_ends_it_with_its_reason_after_a_look_at_the_candidates_counts() {
    let outcome = gate((1.0, 0.8), &[], as_it_is);
    assert_eq!(outcome.decision, Decision::Inconclusive, "{outcome:?}");
    assert_eq!(outcome.trials, CHECK_TRIALS + COUNT_TRIALS);
    assert!(outcome.reason.contains("too noisy here: delivery_time_us_p99 varies by"), "{}", outcome.reason);
    let lossy = gate((1.0, 0.8), &["candidate.lost == 0"], losing(3));
    assert_eq!((lossy.decision, lossy.trials), (Decision::Fail, CHECK_TRIALS + 3), "{lossy:?}");
    assert_eq!(gate((1.0, 0.8), &[], losing(1)).decision, Decision::Fail, "lost in each of them");
}

/// Loses one message in every `every`-th trial of the candidate.
fn losing(every: u32) -> impl FnMut(u32, Side, TrialRecord) -> TrialRecord {
    let mut of_candidate = 0;
    move |_, side, mut record| {
        of_candidate += u32::from(side == Side::Candidate);
        record.counts.lost = u64::from(side == Side::Candidate && of_candidate % every == 0);
        record
    }
}

#[test]
fn one_message_in_a_million_fails_at_once_where_none_may_be_lost() {
    let outcome = gate((1.0, 0.1), &["candidate.lost == 0"], losing(1));
    assert_eq!((outcome.decision, outcome.reached), (Decision::Fail, Reached::First), "{outcome:?}");
    assert!(outcome.trials <= CHECK_TRIALS + 3, "{outcome:?}");
    assert!(
        outcome.reason.starts_with("`candidate.lost == 0` fails on candidate: lost is 1"),
        "{}",
        outcome.reason
    );
}

#[test]
fn a_message_lost_in_each_trial_fails_within_a_few_blocks_without_being_asked_about() {
    let outcome = gate((1.0, 0.1), &[], losing(1));
    assert_eq!((outcome.decision, outcome.reached), (Decision::Fail, Reached::First), "{outcome:?}");
    assert!(outcome.trials <= CHECK_TRIALS + 16, "{outcome:?}");
    assert!(
        outcome.reason.contains("lost is 1 in trial") && outcome.reason.contains("in 0 of the base's"),
        "{}",
        outcome.reason
    );
}

#[test]
fn a_single_loss_that_nobody_promised_to_avoid_is_neither_a_pass_nor_a_failure() {
    let outcome = gate((1.0, 0.1), &[], losing(20));
    assert_eq!(outcome.decision, Decision::Inconclusive, "{outcome:?}");
    assert!(outcome.reason.contains("that may be chance; with --expect \"lost == 0\""), "{}", outcome.reason);
}

#[test]
fn a_loss_that_strikes_both_sides_now_and_then_hardly_ever_fails() {
    let rounds = 300;
    let mut failed = 0;
    for round in 0..rounds {
        let mut prng = Prng::split(SEED, round);
        let outcome = gate((1.0, 0.1), &[], |_, _, mut record| {
            record.counts.lost = u64::from(prng.below(10) == 0);
            record
        });
        failed += u64::from(outcome.decision == Decision::Fail);
    }
    assert!(failed * 200 <= rounds, "seed {SEED}: {failed} of {rounds}");
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

#[test]
fn against_recorded_trials_only_the_candidate_is_measured() {
    let run = |ratio: f64, recorded: usize| {
        let mut prng = Prng::new(SEED);
        let baseline =
            (0..recorded).map(|number| trial(Side::Base, number as u32, &mut prng, (1.0, 0.1))).collect();
        let metrics = vec![Metric::find("delivery_time_us_p99").expect("a metric")];
        let mut course = Course::new(Design::STANDARD.apart(), metrics, Vec::new(), SEED).against(baseline);
        for number in 1.. {
            match course.step() {
                Step::End(outcome) => return *outcome,
                Step::Measure(side) => {
                    assert_eq!(side, Side::Candidate);
                    course.record(trial(side, number, &mut prng, (ratio, 0.1)));
                }
            }
        }
        unreachable!("a gate ends")
    };
    let (equal, worse) = (run(1.0, 10), run(1.4, 10));
    assert_eq!((equal.decision, equal.trials), (Decision::Pass, 15), "{equal:?}");
    assert_eq!((worse.decision, worse.trials), (Decision::Fail, 15 + 26), "{worse:?}");
    assert!(worse.reason.contains("the baseline's, confirmed on 26 fresh trials"), "{}", worse.reason);
    let few = run(1.0, 3);
    assert_eq!((few.decision, few.trials), (Decision::Inconclusive, 0));
    assert!(few.reason.contains("too few trials in the baseline: 3"), "{}", few.reason);
}

#[test]
fn a_few_trials_that_missed_their_rate_do_not_leave_an_expectation_unjudged_and_many_do() {
    let missing = |every: u32| {
        gate((1.0, 0.1), &["candidate.lost == 0"], move |number, _, mut record| {
            if number % every == 0 {
                let text = "sent 98 %".to_owned();
                record.verdict.reasons.push(Reason { code: ReasonCode::RateNotReached, text });
            }
            record
        })
    };
    assert_eq!(missing(20).decision, Decision::Pass);
    let many = missing(3);
    assert_eq!(many.decision, Decision::Inconclusive, "{many:?}");
    assert!(many.reason.contains("rate not reached"), "{}", many.reason);
}

#[test]
fn limits_alone_need_no_base() {
    let run = |expect: &str| {
        let expects = vec![Expect::parse(expect).expect("an expectation")];
        let mut course = Course::limits_only(expects, 6);
        let mut prng = Prng::new(SEED);
        for number in 1.. {
            match course.step() {
                Step::End(outcome) => return *outcome,
                Step::Measure(side) => course.record(trial(side, number, &mut prng, (1.0, 0.1))),
            }
        }
        unreachable!("a gate ends")
    };
    assert_eq!(run("delivery_time_us_p99 <= 2ms").decision, Decision::Pass);
    assert_eq!(run("delivery_time_us_p99 <= 500us").decision, Decision::Fail);
    let open = run("service_time_us_p99 <= 2ms");
    assert_eq!(open.decision, Decision::Inconclusive, "{open:?}");
    assert!(open.reason.contains("cannot be judged"), "{}", open.reason);
}

#[test]
fn a_budget_shortens_both_stages_or_says_what_it_would_take() {
    let mut course = Course::new(Design::STANDARD, Vec::new(), Vec::new(), SEED);
    assert_eq!(course.trials_at_most(), CHECK_TRIALS + 41 * 4);
    assert_eq!(course.afford(24 * 4), Ok(()));
    assert_eq!(course.trials_at_most(), CHECK_TRIALS + 24 * 4);
    assert_eq!(Course::new(Design::STANDARD, Vec::new(), Vec::new(), SEED).afford(40), Err(17 * 4));
}
