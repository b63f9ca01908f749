//! The course of a gate, trial by trial: says which side is measured next, takes the record, and decides when
//! enough has been seen. Pure: whoever runs the trials owns clocks and brokers.

use serde::Serialize;

use crate::measure::{Grade, TrialRecord};
use crate::scenario::{Expect, Metric};

use super::blocks::{BLOCK_TRIALS, Block, Side, order};
use super::correctness::faults;
use super::judge::{Answer, Judgement, judge};
use super::stages::{Design, Finding, First, Second, Series};
use super::value::value;

/// Trials of the base alone, before anything is compared: the A/A check.
pub const CHECK_TRIALS: usize = 6;
/// INVALID trials that are measured again, in the whole gate; one more ends it.
pub const REPEATS_MAX: usize = 4;

/// What a gate came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// No worse, within the tolerance.
    Pass,
    /// Worse, or wrong.
    Fail,
    /// This run can't tell.
    Inconclusive,
}

/// The end of a gate.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Outcome {
    /// What it came to.
    pub decision: Decision,
    /// Why, in one sentence with the figures.
    pub reason: String,
    /// What was found of each metric; empty if it ended before.
    pub findings: Vec<Finding>,
    /// The expectations of the scenario.
    pub judgements: Vec<Judgement>,
    /// Trials measured, those that had to be repeated included.
    pub trials: usize,
}

/// What comes next.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// Measure a trial of this side.
    Measure(Side),
    /// It is decided.
    End(Box<Outcome>),
}

/// Where a gate stands.
#[derive(Debug, Clone, PartialEq)]
enum Stage {
    Check,
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
    design: Design,
    metrics: Vec<Metric>,
    expects: Vec<Expect>,
    seed: u64,
    stage: Stage,
    /// Of the stage under way, in the order measured.
    current: Vec<(Side, TrialRecord)>,
    /// Of the stages before it.
    earlier: Vec<(Side, TrialRecord)>,
    repeated: Vec<TrialRecord>,
}

impl Course {
    /// A gate on these metrics and expectations; equal seeds give equal orders.
    #[must_use]
    pub fn new(design: Design, metrics: Vec<Metric>, expects: Vec<Expect>, seed: u64) -> Self {
        let (current, earlier, repeated) = (Vec::new(), Vec::new(), Vec::new());
        Self { design, metrics, expects, seed, stage: Stage::Check, current, earlier, repeated }
    }

    /// What comes next; the same until a record is given.
    #[must_use]
    pub fn step(&self) -> Step {
        let offset = match &self.stage {
            Stage::Check => return Step::Measure(Side::Base),
            Stage::First => 0,
            Stage::Second { .. } => self.design.first,
            Stage::Done(outcome) => return Step::End(Box::new(outcome.clone())),
        };
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
        self.current.push((side, record));
        let wrong = faults(&self.side(Side::Base), &self.side(Side::Candidate));
        if let Some(fault) = wrong.first() {
            let reason = format!(
                "{} is {} in trial {} of the candidate, and 0 in every trial of the base",
                fault.metric, fault.count, fault.trial
            );
            self.end(Decision::Fail, reason, Vec::new());
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

    /// Trials of the stage under way.
    fn length(&self) -> usize {
        match &self.stage {
            Stage::Check => CHECK_TRIALS,
            Stage::First => self.design.first * BLOCK_TRIALS,
            Stage::Second { .. } => self.design.second * BLOCK_TRIALS,
            Stage::Done(_) => usize::MAX,
        }
    }

    /// All records of a side.
    fn side(&self, side: Side) -> Vec<&TrialRecord> {
        let all = self.earlier.iter().chain(&self.current);
        all.filter(|(one, _)| *one == side).map(|(_, record)| record).collect()
    }

    /// Ends a stage: decides, or goes on to the next.
    fn close(&mut self) {
        match std::mem::replace(&mut self.stage, Stage::First) {
            Stage::Check => self.close_check(),
            Stage::First => self.close_first(),
            Stage::Second { findings, suspects } => self.close_second(&findings, &suspects),
            done @ Stage::Done(_) => self.stage = done,
        }
    }

    fn close_check(&mut self) {
        for metric in &self.metrics {
            let values: Vec<f64> =
                self.current.iter().filter_map(|(_, record)| value(record, metric)).collect();
            if let Some(variation) = self.design.too_noisy(&values) {
                let (variation, most) = (variation * 100.0, self.design.noise_max * 100.0);
                let reason = format!(
                    "too noisy here: {} varies by {variation:.0} % between {CHECK_TRIALS} equal trials of the base, and above {most:.0} % no answer is worth anything",
                    metric.name
                );
                return self.end(Decision::Inconclusive, reason, Vec::new());
            }
        }
        self.next(Stage::First);
    }

    fn close_first(&mut self) {
        let series = match self.series(|_| true) {
            Ok(series) => series,
            Err(reason) => return self.end(Decision::Inconclusive, reason, Vec::new()),
        };
        match self.design.first_look(&series) {
            First::Pass(findings) => self.pass(findings),
            First::Inconclusive(findings) => self.open(findings),
            First::LookAgain { suspects, findings } => self.next(Stage::Second { findings, suspects }),
        }
    }

    fn close_second(&mut self, first: &[Finding], suspects: &[String]) {
        let series = match self.series(|metric| suspects.contains(&metric.name)) {
            Ok(series) => series,
            Err(reason) => return self.end(Decision::Inconclusive, reason, first.to_vec()),
        };
        match self.design.second_look(first, &series) {
            Second::Pass(findings) => self.pass(findings),
            Second::Inconclusive(findings) => self.open(findings),
            Second::Fail(findings) => {
                let worst = findings.iter().filter(|one| suspects.contains(&one.metric));
                let worst = worst.min_by(|a, b| a.p.total_cmp(&b.p));
                let reason = worst.map_or_else(String::new, |one| {
                    format!(
                        "{} is {:.2} times the base's, confirmed on {} fresh blocks (p = {:.2e})",
                        one.metric, one.ratio, one.blocks, one.p
                    )
                });
                self.end(Decision::Fail, reason, findings);
            }
        }
    }

    /// The series of the stage that ends; those of the metrics that `wanted` picks.
    fn series(&self, wanted: impl Fn(&Metric) -> bool) -> Result<Vec<Series>, String> {
        let blocks: Vec<Block<'_>> = self.current.chunks(BLOCK_TRIALS).filter_map(block).collect();
        self.metrics
            .iter()
            .filter(|metric| wanted(metric))
            .map(|metric| Series::of(metric, &blocks))
            .collect()
    }

    fn pass(&mut self, findings: Vec<Finding>) {
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

    fn next(&mut self, stage: Stage) {
        self.earlier.append(&mut self.current);
        self.stage = stage;
    }

    /// Decides; an expectation that fails outweighs whatever the comparison says.
    fn end(&mut self, decision: Decision, reason: String, findings: Vec<Finding>) {
        self.earlier.append(&mut self.current);
        let records: Vec<TrialRecord> = self.earlier.iter().map(|(_, record)| record.clone()).collect();
        let judgements = judge(&self.expects, &records);
        let broken = judgements.iter().find(|one| one.answer == Answer::Fails && decision != Decision::Fail);
        let (decision, reason) = match broken {
            Some(one) => (Decision::Fail, format!("`{}` fails on {}: {}", one.text, one.target, one.reason)),
            None => (decision, reason),
        };
        let trials = records.len() + self.repeated.len();
        self.stage = Stage::Done(Outcome { decision, reason, findings, judgements, trials });
    }
}

/// The two trials of each side among four.
fn block(trials: &[(Side, TrialRecord)]) -> Option<Block<'_>> {
    let two = |side| {
        let mut found = trials.iter().filter(move |(one, _)| *one == side).map(|(_, record)| record);
        Some([found.next()?, found.next()?])
    };
    Some(Block { base: two(Side::Base)?, candidate: two(Side::Candidate)? })
}
