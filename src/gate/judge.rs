//! Expectations against what was recorded. Holding needs the whole interval on the right side, failing the
//! whole interval on the wrong side; all else cannot be judged, and the reason says why.

use std::cmp::Ordering;

use serde::{Serialize, Serializer};

use crate::measure::{Grade, ReasonCode, TrialRecord};
use crate::scenario::{Compare, Expect, Metric, MetricKind, MetricOf, Right};

use super::limit::CEILING_SHARE;
use super::rank::{MedianInterval, TRIALS_MIN, median_interval};
use super::value::value;

/// What came of an expectation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// The whole interval is on the right side.
    Holds,
    /// The whole interval is on the wrong side.
    Fails,
    /// Neither, or the trials can't be used.
    CannotBeJudged,
}

impl Answer {
    /// In words, as reports print it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Fails => "fails",
            Self::CannotBeJudged => "cannot be judged here",
        }
    }
}

/// One expectation on one target at one point.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judgement {
    /// The expectation as written.
    pub text: String,
    /// The sentence it puts to the test.
    pub claim: Option<String>,
    /// Where that sentence stands.
    pub source: Option<String>,
    /// The target judged.
    pub target: String,
    /// The point judged; empty without a sweep.
    pub point: String,
    /// What came of it.
    pub answer: Answer,
    /// Why, in one sentence with the figures.
    pub reason: String,
    /// The left side over trials; empty if nothing was measured.
    pub measured: Option<Measured>,
}

/// A metric over the trials of a target, in the metric's own unit.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Measured {
    /// Median over trials.
    #[serde(serialize_with = "or_inf")]
    pub median: f64,
    /// Lower bound: of the median at 95 % for levels, the smallest trial for counts and for few trials.
    #[serde(serialize_with = "or_inf")]
    pub low: f64,
    /// Upper bound: of the median at 95 % for levels, the largest trial for counts and for few trials.
    #[serde(serialize_with = "or_inf")]
    pub high: f64,
    /// Trials.
    pub trials: usize,
}

/// JSON has no infinity: written as `"inf"`, like percentiles.
pub(super) fn or_inf<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    if number.is_finite() { serializer.serialize_f64(*number) } else { serializer.serialize_str("inf") }
}

/// Rates that the generator may be the limit of.
const RATES: [&str; 3] = ["publishes_per_s", "deliveries_per_s", "bytes_per_s"];

/// What is decided, before it is put beside the expectation.
type Ruling = (Answer, String);

fn cannot(reason: impl Into<String>) -> Ruling {
    (Answer::CannotBeJudged, reason.into())
}

/// Judges each expectation on each target and point it speaks of, in the order of the expectations and of
/// the records. One that speaks of something that was never run cannot be judged.
#[must_use]
pub fn judge(expects: &[Expect], records: &[TrialRecord]) -> Vec<Judgement> {
    expects.iter().flat_map(|expect| judge_one(expect, records)).collect()
}

fn judge_one(expect: &Expect, records: &[TrialRecord]) -> Vec<Judgement> {
    let mut places: Vec<(&str, &str)> = Vec::new();
    for record in records {
        let place = (record.target.as_str(), record.point.as_str());
        let meant = expect.left.target.as_ref().is_none_or(|target| *target == record.target)
            && expect.point.as_ref().is_none_or(|point| is_at(&record.point, point));
        if meant && !places.contains(&place) {
            places.push(place);
        }
    }
    if places.is_empty() {
        let target = expect.left.target.as_deref().unwrap_or_default();
        let point = expect.point.as_deref().unwrap_or_default();
        let ruling = cannot("no trial of it was recorded");
        return vec![judgement(expect, (target, point), ruling, None)];
    }
    places
        .into_iter()
        .map(|place| {
            let trials = trials_of(records, place);
            let measured = measured(&trials, &expect.left.metric);
            judgement(expect, place, rule(expect, &trials, records, place), measured)
        })
        .collect()
}

/// Whether the point of a record is meant by an expectation's `point`: the same, or one of its pairs.
fn is_at(point: &str, wanted: &str) -> bool {
    point == wanted || point.split([',', ' ', ';']).any(|pair| pair.trim() == wanted)
}

fn judgement(
    expect: &Expect,
    (target, point): (&str, &str),
    (answer, reason): Ruling,
    measured: Option<Measured>,
) -> Judgement {
    Judgement {
        text: expect.text.clone(),
        claim: expect.claim.clone(),
        source: expect.source.clone(),
        target: target.to_owned(),
        point: point.to_owned(),
        answer,
        reason,
        measured,
    }
}

/// The trials of a target at a point, by number.
fn trials_of<'a>(records: &'a [TrialRecord], (target, point): (&str, &str)) -> Vec<&'a TrialRecord> {
    let mut trials: Vec<&TrialRecord> =
        records.iter().filter(|record| record.target == target && record.point == point).collect();
    trials.sort_by_key(|record| record.trial);
    trials
}

fn measured(trials: &[&TrialRecord], metric: &Metric) -> Option<Measured> {
    let values: Vec<f64> = trials.iter().filter_map(|record| value(record, metric)).collect();
    let MedianInterval { median, mut low, mut high, count } = median_interval(&values)?;
    if metric.kind == MetricKind::Count {
        low = values.iter().copied().fold(f64::INFINITY, f64::min);
        high = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    }
    Some(Measured { median, low, high, trials: count })
}

/// The two sides of one trial.
struct Pair<'a> {
    record: &'a TrialRecord,
    left: f64,
    right: f64,
}

fn rule(expect: &Expect, trials: &[&TrialRecord], records: &[TrialRecord], place: (&str, &str)) -> Ruling {
    if let Some(phase) = expect.phase.as_deref().filter(|phase| *phase != "measure") {
        return cannot(format!("figures are kept of the measured phase, not of `{phase}`"));
    }
    let others = match &expect.right {
        Right::Value(_) => trials.to_vec(),
        Right::Times(_, of) => match point_of_right(expect, records, place.1) {
            Some(point) => trials_of(records, (of.target.as_deref().unwrap_or(place.0), point)),
            None => {
                let wanted = expect.against.as_deref().unwrap_or_default();
                return cannot(format!("no trial at {wanted} was recorded"));
            }
        },
    };
    let unusable = unusable(expect, trials).or_else(|| unusable(expect, &others));
    let pairs = match pairs(expect, trials, &others) {
        Ok(pairs) => pairs,
        Err(reason) => return unusable.unwrap_or_else(|| cannot(reason)),
    };
    match expect.left.metric.kind {
        MetricKind::Count => rule_counts(expect, &pairs, unusable),
        MetricKind::Level => {
            unusable.unwrap_or_else(|| unless_more(expect, rule_levels(expect, &pairs), trials, &others))
        }
    }
}

/// Where the generator had no more to give, a rate is "at least": what hangs on its not being higher cannot be judged.
fn unless_more(expect: &Expect, ruling: Ruling, left: &[&TrialRecord], right: &[&TrialRecord]) -> Ruling {
    if !RATES.contains(&expect.left.metric.name.as_str()) {
        return ruling;
    }
    let wants_more = matches!(expect.compare, Compare::AtLeast | Compare::Above);
    // Which side would change the answer if it were higher.
    let doubtful = match (ruling.0, wants_more, &expect.right) {
        (Answer::CannotBeJudged, ..) => return ruling,
        (Answer::Fails, true, _) | (Answer::Holds, false, _) => left,
        (Answer::Holds, true, Right::Times(..)) | (Answer::Fails, false, Right::Times(..)) => right,
        (Answer::Holds, true, Right::Value(_)) | (Answer::Fails, false, Right::Value(_)) => return ruling,
    };
    let share = |record: &&&TrialRecord| record.percent_of_ceiling.unwrap_or(0.0) / 100.0;
    match doubtful.iter().find(|record| share(record) >= CEILING_SHARE) {
        None => ruling,
        Some(record) => cannot(format!(
            "trial {} of {} was at {:.0} % of what the generator manages here, so that more may be possible; it showed {}",
            record.trial,
            record.target,
            share(&record) * 100.0,
            ruling.1
        )),
    }
}

/// The point that the right side is taken at, where the left one is judged at `point`; `None` if that was never run.
fn point_of_right<'a>(expect: &Expect, records: &'a [TrialRecord], point: &'a str) -> Option<&'a str> {
    let Some(wanted) = &expect.against else { return Some(point) };
    records.iter().map(|record| record.point.as_str()).find(|point| is_at(point, wanted))
}

/// Why trials can't be used, if one of them can't.
fn unusable(expect: &Expect, trials: &[&TrialRecord]) -> Option<Ruling> {
    for record in trials {
        let texts = |code: Option<ReasonCode>| {
            let reasons =
                record.verdict.reasons.iter().filter(|reason| code.is_none_or(|code| reason.code == code));
            reasons.map(|reason| reason.text.as_str()).collect::<Vec<_>>().join("; ")
        };
        let trial = record.trial;
        if record.verdict.grade == Grade::Invalid {
            return Some(cannot(format!("trial {trial} of {} is INVALID: {}", record.target, texts(None))));
        }
        // What is asked of a rate is answered by a rate that wasn't reached.
        let asks_of_rate = expect.left.metric.name.ends_with("_per_s");
        let reason = texts(Some(ReasonCode::RateNotReached));
        if !asks_of_rate && !reason.is_empty() {
            return Some(cannot(format!("trial {trial} of {}: rate not reached: {reason}", record.target)));
        }
    }
    None
}

/// Both sides, trial by trial; or which cell is empty.
fn pairs<'a>(
    expect: &Expect,
    trials: &[&'a TrialRecord],
    others: &[&TrialRecord],
) -> Result<Vec<Pair<'a>>, String> {
    let cell = |record: &TrialRecord, metric: &Metric| {
        value(record, metric).ok_or_else(|| {
            format!("`{}` is empty in trial {} of {}", metric.name, record.trial, record.target)
        })
    };
    let pair = |record: &&'a TrialRecord| {
        let left = cell(record, &expect.left.metric)?;
        let right = match &expect.right {
            Right::Value(value) => *value,
            Right::Times(factor, MetricOf { metric, .. }) => {
                let other = others.iter().find(|other| other.trial == record.trial);
                let other = other.ok_or_else(|| format!("trial {} has no counterpart", record.trial))?;
                factor * cell(other, metric)?
            }
        };
        Ok(Pair { record, left, right })
    };
    trials.iter().map(pair).collect()
}

/// Counts are exact: each trial is judged by itself, and one that fails is enough.
fn rule_counts(expect: &Expect, pairs: &[Pair<'_>], unusable: Option<Ruling>) -> Ruling {
    let name = &expect.left.metric.name;
    let usable = pairs.iter().filter(|pair| pair.record.verdict.grade != Grade::Invalid);
    let mut broken = usable.filter(|pair| !expect.compare.holds(pair.left, pair.right));
    if let Some(Pair { record, left, right }) = broken.next() {
        let more = broken.count();
        let others = if more > 0 { format!(", and {more} other trials fail too") } else { String::new() };
        let sign = expect.compare.sign();
        return (
            Answer::Fails,
            format!("{name} is {left} in trial {}, not {sign} {right}{others}", record.trial),
        );
    }
    if let Some(ruling) = unusable {
        return ruling;
    }
    for pair in pairs {
        let open = in_doubt(pair.record, name);
        if open > 0.0 && !expect.compare.holds(pair.left + open, pair.right) {
            let (unknown, trial) = (pair.record.counts.unknown, pair.record.trial);
            return cannot(format!(
                "{unknown} messages of trial {trial} got no answer: they may be stored or not"
            ));
        }
    }
    let trials = match pairs.len() {
        1 => "in the one trial".to_owned(),
        several => format!("in each of {several} trials"),
    };
    (Answer::Holds, trials)
}

/// By how much a count of losses could be larger, or its share, if every unanswered message were lost. What was
/// acknowledged is known: a message without an answer is no part of it, whatever became of it.
fn in_doubt(record: &TrialRecord, name: &str) -> f64 {
    let counts = &record.counts;
    let copies = counts.expected.checked_div(counts.sent).unwrap_or(0).max(1);
    let unknown = (counts.unknown * copies) as f64;
    match name {
        "lost" => unknown,
        "loss_ratio" if counts.expected > 0 => unknown / counts.expected as f64,
        _ => 0.0,
    }
}

/// Levels vary from trial to trial: the interval of the median difference decides.
fn rule_levels(expect: &Expect, pairs: &[Pair<'_>]) -> Ruling {
    if pairs.len() < TRIALS_MIN {
        return cannot(format!("too few trials: {}, and bounds at 95 % need {TRIALS_MIN}", pairs.len()));
    }
    let differences: Vec<f64> = pairs.iter().map(|pair| pair.left - pair.right).collect();
    let Some(interval) = median_interval(&differences) else {
        return cannot("both sides are infinite in one trial: undelivered messages reach the rank");
    };
    let (low, high) = (interval.low.total_cmp(&0.0), interval.high.total_cmp(&0.0));
    let answer = side(expect.compare, low, high);
    let sign = expect.compare.sign();
    let (left, right) =
        (range(pairs.iter().map(|pair| pair.left)), range(pairs.iter().map(|pair| pair.right)));
    let name = &expect.left.metric.name;
    let reason = match answer {
        Answer::Holds => {
            format!("{name} {left} is {sign} {right}, bounds at 95 % over {} trials", pairs.len())
        }
        Answer::Fails => {
            format!("{name} {left} is not {sign} {right}, bounds at 95 % over {} trials", pairs.len())
        }
        Answer::CannotBeJudged => {
            format!("{name} {left} lies on both sides of {right} over {} trials", pairs.len())
        }
    };
    (answer, reason)
}

/// Where an interval of differences lies, given how its ends stand to zero.
fn side(compare: Compare, low: Ordering, high: Ordering) -> Answer {
    let (holds, fails) = match compare {
        Compare::AtMost => (high.is_le(), low.is_gt()),
        Compare::Below => (high.is_lt(), low.is_ge()),
        Compare::AtLeast => (low.is_ge(), high.is_lt()),
        Compare::Above => (low.is_gt(), high.is_le()),
        Compare::Equal => (low.is_eq() && high.is_eq(), low.is_gt() || high.is_lt()),
        Compare::Unequal => (low.is_gt() || high.is_lt(), low.is_eq() && high.is_eq()),
    };
    match (holds, fails) {
        (true, _) => Answer::Holds,
        (false, true) => Answer::Fails,
        (false, false) => Answer::CannotBeJudged,
    }
}

/// `median [low, high]`, or one figure if they are the same.
fn range(values: impl Iterator<Item = f64>) -> String {
    let values: Vec<f64> = values.collect();
    match median_interval(&values) {
        Some(interval) if interval.low == interval.high => Short(interval.median).to_string(),
        Some(MedianInterval { median, low, high, .. }) => {
            format!("{} [{}, {}]", Short(median), Short(low), Short(high))
        }
        None => "nothing".to_owned(),
    }
}

/// A figure with as many decimals as it deserves: none from 1000 on, else four digits.
struct Short(f64);

impl std::fmt::Display for Short {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let size = self.0.abs();
        let decimals = match size {
            _ if size.fract() == 0.0 || size >= 1000.0 => 0,
            _ if size >= 100.0 => 1,
            _ if size >= 10.0 => 2,
            _ if size >= 1.0 => 3,
            _ => 6,
        };
        write!(f, "{:.decimals$}", self.0)
    }
}
