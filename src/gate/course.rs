//! The course of a gate, trial by trial: says which side is measured next, takes the record, and decides when
//! enough has been seen. Pure: whoever runs the trials owns clocks and brokers.

use crate::measure::{Grade, ReasonCode, TrialRecord};
use crate::scenario::{Expect, Metric, MetricKind, Right};

use super::blocks::{BLOCK_TRIALS, Block, Side, order, variation};
use super::correctness::{Fault, faults};
use super::judge::{Answer, Judgement, judge};
use super::outcome::{Decision, Noise, Outcome, Reached};
use super::rank::TRIALS_MIN;
use super::stages::{Apart, Design, Finding, First, Second, Series};
use super::value::value;

/// Trials of the base alone, before anything is compared: the A/A check.
pub const CHECK_TRIALS: usize = 6;
/// Trials of the candidate for its counts alone, where the base is too noisy for any comparison of times: enough for a
/// loss in each of them to be certain.
pub const COUNT_TRIALS: usize = 8;
/// INVALID trials that are measured again, in the whole gate; one more ends it.
pub const REPEATS_MAX: usize = 4;

/// Share of trials that must have reached their rate for the others to be left out of expectations.
const RATE_REACHED_MIN: f64 = 0.75;

/// What comes next.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Measure a trial of this side.
    Measure(Side),
    /// It is decided.
    End(Box<Outcome>),
}

/// What the candidate is held to.
#[derive(Debug, Clone, PartialEq)]
enum Against {
    /// A base that is measured in turn with it.
    Base,
    /// Trials that were recorded before.
    Recorded(Vec<TrialRecord>),
    /// The expectations alone, over so many trials.
    Limits(usize),
}

/// Where a gate stands.
#[derive(Debug, Clone, PartialEq)]
enum Stage {
    Check,
    /// Too noisy for a comparison, and why; what the candidate loses shows all the same.
    Counts(String),
    First,
    /// With what the first one found, and what looked bad.
    Second {
        findings: Vec<Finding>,
        suspects: Vec<String>,
    },
    Done(Outcome),
}

/// A gate under way.
#[derive(Debug, Clone)]
pub struct Course {
    against: Against,
    design: Design,
    metrics: Vec<Metric>,
    expects: Vec<Expect>,
    seed: u64,
    stage: Stage,
    reached: Reached,
    noise: Vec<Noise>,
    /// Of the stage under way, in the order measured.
    current: Vec<(Side, TrialRecord)>,
    /// Of the stages before it.
    earlier: Vec<(Side, TrialRecord)>,
    repeated: Vec<TrialRecord>,
}

impl Course {
    /// A gate on these metrics and expectations, with a base that is measured in turn; equal seeds give equal orders.
    #[must_use]
    pub fn new(design: Design, metrics: Vec<Metric>, expects: Vec<Expect>, seed: u64) -> Self {
        let (current, earlier, repeated, noise) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let (against, stage, reached) = (Against::Base, Stage::Check, Reached::Check);
        Self { against, design, metrics, expects, seed, stage, reached, noise, current, earlier, repeated }
    }

    /// The same against trials that were recorded before; the design should be [`Design::apart`].
    #[must_use]
    pub fn against(self, recorded: Vec<TrialRecord>) -> Self {
        let mut course = Self { stage: Stage::First, reached: Reached::First, ..self };
        if recorded.len() < TRIALS_MIN {
            let reason = format!(
                "too few trials in the baseline: {}, and bounds at 95 % need {TRIALS_MIN}",
                recorded.len()
            );
            course.end(Decision::Inconclusive, reason, Vec::new());
        } else if let Some(reason) = course.too_noisy(&recorded.iter().collect::<Vec<_>>(), "the baseline") {
            course.end(Decision::Inconclusive, reason, Vec::new());
        }
        course.against = Against::Recorded(recorded);
        course
    }

    /// Without any base: so many trials of the candidate, for its expectations alone.
    #[must_use]
    pub fn limits_only(expects: Vec<Expect>, trials: usize) -> Self {
        let course = Self::new(Design::STANDARD, Vec::new(), expects, 0);
        Self { against: Against::Limits(trials), stage: Stage::First, reached: Reached::First, ..course }
    }

    /// What comes next; the same until a record is given.
    #[must_use]
    pub fn step(&self) -> Step {
        let offset = match &self.stage {
            Stage::Check => return Step::Measure(Side::Base),
            Stage::Counts(_) => return Step::Measure(Side::Candidate),
            Stage::First => 0,
            Stage::Second { .. } => self.design.first,
            Stage::Done(outcome) => return Step::End(Box::new(outcome.clone())),
        };
        if self.against != Against::Base {
            return Step::Measure(Side::Candidate);
        }
        let done = self.current.len();
        let block = order(self.seed, (offset + done / BLOCK_TRIALS) as u64);
        Step::Measure(block[done % BLOCK_TRIALS])
    }

    /// Takes the record of the trial that [`Course::step`] asked for.
    pub fn record(&mut self, record: TrialRecord) {
        let Step::Measure(side) = self.step() else { return };
        if record.verdict.grade == Grade::Invalid {
            self.repeated.push(record);
            if self.repeated.len() > REPEATS_MAX {
                self.give_up();
            }
            return;
        }
        let broken = self.breaks(side, &record);
        self.current.push((side, record));
        if let Some(broken) = broken {
            self.end(Decision::Fail, failing(&broken), Vec::new());
        } else if let Some(fault) = self.certain_fault() {
            self.end(Decision::Fail, fault, Vec::new());
        } else if self.current.len() == self.length() {
            self.close();
        }
    }

    /// Ends a gate whose time is up, or that was interrupted.
    pub fn stop(&mut self, why: &str) {
        if !matches!(self.stage, Stage::Done(_)) {
            self.end(Decision::Inconclusive, why.to_owned(), Vec::new());
        }
    }

    /// Whether a stage begins with the next trial whose length may still be chosen.
    #[must_use]
    pub fn is_before_first(&self) -> bool {
        self.stage == Stage::First && self.current.is_empty() && !matches!(self.against, Against::Limits(_))
    }

    /// Cuts both stages so that they take at most this many trials.
    ///
    /// # Errors
    /// The fewest trials that say anything, if that is more.
    pub fn afford(&mut self, trials: usize) -> Result<(), usize> {
        let unit = self.unit();
        self.design = self.design.fitting(trials / unit).ok_or_else(|| self.design.fewest() * unit)?;
        Ok(())
    }

    /// The most trials that may still come, as long as none has to be repeated.
    #[must_use]
    pub fn trials_at_most(&self) -> usize {
        let stages = |blocks: usize| blocks * self.unit();
        match (&self.against, &self.stage) {
            (_, Stage::Done(_)) => 0,
            (Against::Limits(trials), _) => *trials,
            (_, Stage::Counts(_)) => COUNT_TRIALS - self.current.len(),
            (_, Stage::Check) => CHECK_TRIALS + stages(self.design.first + self.design.second),
            (_, Stage::First) => stages(self.design.first + self.design.second) - self.current.len(),
            (_, Stage::Second { .. }) => stages(self.design.second) - self.current.len(),
        }
    }

    /// Trials that belong together.
    fn unit(&self) -> usize {
        if self.against == Against::Base { BLOCK_TRIALS } else { 1 }
    }

    /// Trials of the stage under way.
    fn length(&self) -> usize {
        match (&self.stage, &self.against) {
            (Stage::Check, _) => CHECK_TRIALS,
            (Stage::Counts(_), _) => COUNT_TRIALS,
            (Stage::First, Against::Limits(trials)) => *trials,
            (Stage::First, _) => self.design.first * self.unit(),
            (Stage::Second { .. }, _) => self.design.second * self.unit(),
            (Stage::Done(_), _) => usize::MAX,
        }
    }

    /// All records of a side; of the base, those that were recorded before too.
    fn side(&self, side: Side) -> Vec<&TrialRecord> {
        let recorded: &[TrialRecord] = match &self.against {
            Against::Recorded(recorded) if side == Side::Base => recorded,
            _ => &[],
        };
        let measured = self.earlier.iter().chain(&self.current);
        recorded.iter().chain(measured.filter(|(one, _)| *one == side).map(|(_, record)| record)).collect()
    }

    /// The first expectation of a count that this trial alone breaks. Counts are exact: more trials can't mend it.
    fn breaks(&self, side: Side, record: &TrialRecord) -> Option<Judgement> {
        let exact =
            |one: &&Expect| one.left.metric.kind == MetricKind::Count && matches!(one.right, Right::Value(_));
        let counts: Vec<Expect> = self.expects.iter().filter(exact).cloned().collect();
        let judged = (side == Side::Candidate).then(|| judge(&counts, std::slice::from_ref(record)))?;
        judged.into_iter().find(|one| one.answer == Answer::Fails)
    }

    /// What the candidate does wrong beyond doubt, looked at after each block.
    fn certain_fault(&self) -> Option<String> {
        let whole = self.current.len().is_multiple_of(BLOCK_TRIALS) || self.current.len() == self.length();
        if !whole || matches!(self.against, Against::Limits(_)) {
            return None;
        }
        self.faults().iter().find(|fault| fault.is_certain()).map(|fault| self.in_words(fault))
    }

    fn faults(&self) -> Vec<Fault> {
        faults(&self.side(Side::Base), &self.side(Side::Candidate))
    }

    fn in_words(&self, fault: &Fault) -> String {
        fault.text((self.side(Side::Base).len(), self.side(Side::Candidate).len()))
    }

    /// Ends a stage: decides, or goes on to the next.
    fn close(&mut self) {
        match std::mem::replace(&mut self.stage, Stage::First) {
            Stage::Check => self.close_check(),
            Stage::Counts(noise) => {
                let reason =
                    format!("{noise}; {COUNT_TRIALS} trials of the candidate have no count that must fail");
                self.end(Decision::Inconclusive, reason, Vec::new());
            }
            Stage::First if matches!(self.against, Against::Limits(_)) => {
                let reason = format!("every expectation holds over {} trials", self.current.len());
                self.end(Decision::Pass, reason, Vec::new());
            }
            Stage::First => self.close_first(),
            Stage::Second { findings, suspects } => self.close_second(&findings, &suspects),
            done @ Stage::Done(_) => self.stage = done,
        }
    }

    fn close_check(&mut self) {
        let base: Vec<TrialRecord> = self.current.iter().map(|(_, record)| record.clone()).collect();
        match self.too_noisy(&base.iter().collect::<Vec<_>>(), "the base") {
            Some(reason) => self.next(Stage::Counts(reason), Reached::First),
            None => self.next(Stage::First, Reached::First),
        }
    }

    /// Notes how much each metric varies between equal trials, and says which one varies too much.
    fn too_noisy(&mut self, trials: &[&TrialRecord], of: &str) -> Option<String> {
        let mut reason = None;
        for metric in &self.metrics {
            let values: Vec<f64> = trials.iter().filter_map(|record| value(record, metric)).collect();
            let Some(found) = variation(&values) else { continue };
            self.noise.push(Noise { metric: metric.name.clone(), variation: found });
            if found > self.design.noise_max && reason.is_none() {
                let (varies, most) = (found * 100.0, self.design.noise_max * 100.0);
                reason = Some(format!(
                    "too noisy here: {} varies by {varies:.0} % between {} equal trials of {of}, and above {most:.0} % no answer is worth anything",
                    metric.name,
                    values.len()
                ));
            }
        }
        reason
    }

    fn close_first(&mut self) {
        let look = match &self.against {
            Against::Recorded(_) => self.apart(|_| true).map(|series| self.design.first_look(&series)),
            _ => self.series(|_| true).map(|series| self.design.first_look(&series)),
        };
        match look {
            Err(reason) => self.end(Decision::Inconclusive, reason, Vec::new()),
            Ok(First::Pass(findings)) => self.pass(findings),
            Ok(First::Inconclusive(findings)) => self.open(findings),
            Ok(First::LookAgain { suspects, findings }) => {
                self.next(Stage::Second { findings, suspects }, Reached::Second);
            }
        }
    }

    fn close_second(&mut self, first: &[Finding], suspects: &[String]) {
        let wanted = |metric: &Metric| suspects.contains(&metric.name);
        let look = match &self.against {
            Against::Recorded(_) => self.apart(wanted).map(|series| self.design.second_look(first, &series)),
            _ => self.series(wanted).map(|series| self.design.second_look(first, &series)),
        };
        match look {
            Err(reason) => self.end(Decision::Inconclusive, reason, first.to_vec()),
            Ok(Second::Pass(findings)) => self.pass(findings),
            Ok(Second::Inconclusive(findings)) => self.open(findings),
            Ok(Second::Fail(findings)) => {
                let worst = findings.iter().filter(|one| suspects.contains(&one.metric));
                let worst = worst.min_by(|a, b| a.p.total_cmp(&b.p));
                let reason = worst.map_or_else(String::new, |one| self.confirmed(one));
                self.end(Decision::Fail, reason, findings);
            }
        }
    }

    fn confirmed(&self, worst: &Finding) -> String {
        let (of, fresh) = match self.against {
            Against::Recorded(_) => ("the baseline's", "trials"),
            _ => ("the base's", "blocks"),
        };
        let Finding { metric, ratio, blocks, p, .. } = worst;
        let how_much = if ratio.is_finite() && *ratio < 1e6 {
            format!("{ratio:.2} times {of}")
        } else {
            format!("without bound above {of}")
        };
        format!("{metric} is {how_much}, confirmed on {blocks} fresh {fresh} (p = {p:.2e})")
    }

    /// The series of the stage that ends; those of the metrics that `wanted` picks.
    fn series(&self, wanted: impl Fn(&Metric) -> bool) -> Result<Vec<Series>, String> {
        let blocks: Vec<Block<'_>> = self.current.chunks(BLOCK_TRIALS).filter_map(block).collect();
        let metrics = self.metrics.iter().filter(|metric| wanted(metric));
        metrics.map(|metric| Series::of(metric, &blocks)).collect()
    }

    /// The same against recorded trials.
    fn apart(&self, wanted: impl Fn(&Metric) -> bool) -> Result<Vec<Apart>, String> {
        let (base, fresh) = (self.side(Side::Base), self.current.iter().map(|(_, record)| record));
        let fresh: Vec<&TrialRecord> = fresh.collect();
        let metrics = self.metrics.iter().filter(|metric| wanted(metric));
        metrics.map(|metric| Apart::of(metric, &base, &fresh)).collect()
    }

    fn pass(&mut self, findings: Vec<Finding>) {
        if let Some(fault) = self.faults().iter().find(|fault| fault.is_open()) {
            let reason = format!(
                "no slower, but {}: that may be chance; with --expect \"{} == 0\" one would be enough to fail",
                self.in_words(fault),
                fault.metric
            );
            return self.end(Decision::Inconclusive, reason, findings);
        }
        let percent = (self.design.tolerance - 1.0) * 100.0;
        let reason = format!("every ratio is bounded below the tolerance of {percent:.0} % more");
        self.end(Decision::Pass, reason, findings);
    }

    fn open(&mut self, findings: Vec<Finding>) {
        let effect = |one: &Finding| match one.smallest_effect {
            Some(ratio) => format!("{} from {:.0} % more", one.metric, (ratio - 1.0) * 100.0),
            None => format!("{} not at all", one.metric),
        };
        let effects = findings.iter().map(effect).collect::<Vec<_>>().join(", ");
        let reason =
            format!("neither worse nor bounded below the tolerance; this run could have found: {effects}");
        self.end(Decision::Inconclusive, reason, findings);
    }

    fn give_up(&mut self) {
        let last = self.repeated.last().and_then(|record| record.verdict.reasons.first());
        let why = last.map_or("no reason given", |reason| reason.text.as_str());
        let reason = format!("{} trials were INVALID, the last one because: {why}", self.repeated.len());
        self.end(Decision::Inconclusive, reason, Vec::new());
    }

    fn next(&mut self, stage: Stage, reached: Reached) {
        self.earlier.append(&mut self.current);
        (self.stage, self.reached) = (stage, reached);
    }

    /// Decides; an expectation that fails outweighs whatever the comparison says, and one without an answer a pass.
    fn end(&mut self, decision: Decision, reason: String, findings: Vec<Finding>) {
        self.earlier.append(&mut self.current);
        let records: Vec<TrialRecord> = self.earlier.iter().map(|(_, record)| record.clone()).collect();
        let judgements = judged(&self.expects, &records);
        let first = |answer| judgements.iter().find(|one| one.answer == answer);
        let (decision, reason) = match (decision, first(Answer::Fails), first(Answer::CannotBeJudged)) {
            (Decision::Pass | Decision::Inconclusive, Some(broken), _) => (Decision::Fail, failing(broken)),
            (Decision::Pass, None, Some(open)) => {
                (Decision::Inconclusive, format!("`{}` cannot be judged: {}", open.text, open.reason))
            }
            _ => (decision, reason),
        };
        let (reached, invalid) = (self.reached, self.repeated.len());
        let (trials, noise) = (records.len() + invalid, std::mem::take(&mut self.noise));
        self.stage =
            Stage::Done(Outcome { decision, reason, reached, noise, findings, judgements, trials, invalid });
    }
}

/// The expectations on all trials; where some could not be judged because a few trials fell short of the rate, on the
/// others. A count that is broken in one of those few is broken all the same.
fn judged(expects: &[Expect], records: &[TrialRecord]) -> Vec<Judgement> {
    let short = |record: &TrialRecord| {
        record.verdict.reasons.iter().any(|reason| reason.code == ReasonCode::RateNotReached)
    };
    let whole: Vec<TrialRecord> = records.iter().filter(|record| !short(record)).cloned().collect();
    let all = judge(expects, records);
    if (whole.len() as f64) < RATE_REACHED_MIN * records.len() as f64 || whole.len() == records.len() {
        return all;
    }
    let again = judge(expects, &whole);
    let better = |one: Judgement| {
        let same = |other: &&Judgement| (&other.text, &other.target) == (&one.text, &one.target);
        let other = again.iter().find(same).filter(|_| one.answer == Answer::CannotBeJudged);
        other.cloned().unwrap_or(one)
    };
    all.into_iter().map(better).collect()
}

/// An expectation that fails, in one sentence.
fn failing(one: &Judgement) -> String {
    format!("`{}` fails on {}: {}", one.text, one.target, one.reason)
}

/// The two trials of each side among four.
fn block(trials: &[(Side, TrialRecord)]) -> Option<Block<'_>> {
    let two = |side| {
        let mut found = trials.iter().filter(move |(one, _)| *one == side).map(|(_, record)| record);
        Some([found.next()?, found.next()?])
    };
    Some(Block { base: two(Side::Base)?, candidate: two(Side::Candidate)? })
}
