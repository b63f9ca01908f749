//! Runs the trials that searches for the highest rate ask for, in turn, each on a broker of its own.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::runtime::Runtime;

use super::gate::Purse;
use super::{Interrupt, Observer, one_trial, trial_seed};
use crate::gate::{Attempt, Met, Next, Search, Tried, met};
use crate::measure::{Live, Phase, TrialRecord};
use crate::scenario::{Expect, Extent, Rate, Right, Scenario, Target};
use crate::trial::{TrialError, TrialOutcome, TrialPlan};
use crate::units;

/// Messages that a 99th percentile needs, with some to spare: a hundred beyond it.
const SAMPLES: f64 = 12_000.0;
/// No trial is made longer than this for the sake of its percentiles.
const MEASURE_MAX: Duration = Duration::from_secs(60);
/// Below this share of what is offered, a rate is out of reach.
const BEHIND: f64 = 0.8;
/// At so many times its limit a latency is out of reach.
const OVER: f64 = 10.0;
/// For so long it has to be so until a trial is ended early, seconds: no hiccup takes as long.
const OVER_FOR: f64 = 1.0;
/// So many trials of a search may say nothing.
const UNJUDGED_MAX: u32 = 3;

/// What a search measures.
#[derive(Debug, Clone, Copy)]
pub struct CapacityPlan<'a> {
    /// Workload and phases; its rate and trials don't count.
    pub scenario: &'a Scenario,
    /// What is measured.
    pub target: &'a Target,
    /// The objective.
    pub expects: &'a [Expect],
    /// How long the longer trials measure.
    pub confirm: Duration,
}

/// How a search ended, besides its answer.
#[derive(Debug, Default)]
pub struct CapacityEnding {
    /// Why it did not come to its end.
    pub unfinished: Option<String>,
    /// The target could not be had.
    pub missing: bool,
    /// The user wanted it to end.
    pub interrupted: bool,
}

impl CapacityEnding {
    fn early(why: impl Into<String>) -> Self {
        Self { unfinished: Some(why.into()), ..Self::default() }
    }

    fn interrupted() -> Self {
        Self { interrupted: true, ..Self::early("it was interrupted") }
    }
}

/// The search on one target, under way.
#[derive(Debug)]
pub struct CapacitySearch<'a> {
    plan: CapacityPlan<'a>,
    search: Search,
    /// Trials that said nothing.
    unjudged: u32,
}

/// What came of a turn.
enum Turn {
    /// There was a trial, and if it says something, what.
    Tried(Option<Box<Attempt>>),
    Ended(CapacityEnding),
}

/// Goes on with searches until they end or may not go on, a trial of each in turn, so that what the machine does
/// meanwhile happens to all of them; `keep` gets every trial as soon as it is judged, and which search it is of.
/// `budget` is for all of them together.
///
/// # Errors
/// When a result can't be kept or the system gives no runtime.
pub fn capacity(
    searches: &mut [CapacitySearch<'_>],
    budget: Option<Duration>,
    interrupt: &Interrupt,
    observer: &mut impl Observer,
    keep: &mut impl FnMut(usize, Attempt) -> std::io::Result<()>,
) -> std::io::Result<Vec<CapacityEnding>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut purse = Purse::new(budget);
    let mut endings: Vec<_> = searches.iter().map(|_| CapacityEnding::default()).collect();
    let mut turns: VecDeque<usize> = (0..searches.len()).collect();
    while let Some(index) = turns.pop_front() {
        match searches[index].turn(&runtime, &mut purse, interrupt, observer)? {
            Turn::Tried(attempt) => {
                attempt.map_or(Ok(()), |attempt| keep(index, *attempt))?;
                turns.push_back(index);
            }
            Turn::Ended(ending) => endings[index] = ending,
        }
    }
    Ok(endings)
}

impl<'a> CapacitySearch<'a> {
    /// Begins, or goes on behind what was tried before.
    #[must_use]
    pub fn new(plan: CapacityPlan<'a>, search: Search) -> Self {
        Self { plan, search, unjudged: 0 }
    }

    /// What is known.
    #[must_use]
    pub fn search(&self) -> &Search {
        &self.search
    }

    /// Runs the next trial, if there is one.
    fn turn(
        &mut self,
        runtime: &Runtime,
        purse: &mut Purse,
        interrupt: &Interrupt,
        observer: &mut impl Observer,
    ) -> std::io::Result<Turn> {
        let Next::Try { rate_per_s, long } = self.search.next() else {
            return Ok(Turn::Ended(CapacityEnding::default()));
        };
        if interrupt.requested() {
            return Ok(Turn::Ended(CapacityEnding::interrupted()));
        }
        if let Some(why) = purse.is_spent() {
            return Ok(Turn::Ended(CapacityEnding::early(why)));
        }
        let (plan, search) = (&self.plan, &self.search);
        let (mut scenario, point) = (at(plan, rate_per_s, long), point_name(rate_per_s, long));
        let same = |one: &&Tried| one.rate_per_s == rate_per_s && one.long == long;
        let trial = search.tried().iter().filter(same).count() as u32 + self.unjudged + 1;
        // As many as there are by now: how many it takes is not known before.
        scenario.trials.count = trial;
        let seed = trial_seed(plan.scenario, search.tried().len() as u32 + self.unjudged + 1);
        let target = plan.target;
        let one = TrialPlan { scenario: &scenario, point: &point, target, trial, seed, unlike: None };
        let mut watch = Watch::new(observer, interrupt, may_end_early(search, rate_per_s), limit_us(plan));
        let early = watch.early.clone();
        purse.trials += 1;
        let outcome = one_trial(runtime, &one, &early, &mut watch);
        let gave_up = watch.gave_up.take();
        if interrupt.requested() {
            return Ok(Turn::Ended(CapacityEnding::interrupted()));
        }
        let (met, record) = match outcome {
            Ok(outcome) => judged(plan, observer, outcome, gave_up)?,
            Err(TrialError::Interrupted) => {
                // Ended early before anything was measured.
                let why = gave_up.unwrap_or_default();
                (Met::No(why), TrialRecord { target: target.name.clone(), point, ..TrialRecord::default() })
            }
            Err(error) => {
                observer.left_out(target, &error);
                let missing = CapacityEnding { missing: true, ..CapacityEnding::early(error.to_string()) };
                return Ok(Turn::Ended(missing));
            }
        };
        Ok(self.note((rate_per_s, long), met, record))
    }

    /// Takes what came of a trial.
    fn note(&mut self, (rate_per_s, long): (f64, bool), met: Met, record: TrialRecord) -> Turn {
        let (met, why) = match met {
            Met::Yes => (true, String::new()),
            Met::No(why) => (false, why),
            Met::Unjudged(why) => {
                self.unjudged += 1;
                if self.unjudged < UNJUDGED_MAX {
                    return Turn::Tried(None);
                }
                return Turn::Ended(CapacityEnding::early(format!(
                    "{UNJUDGED_MAX} trials said nothing: {why}"
                )));
            }
        };
        let tried = Tried { rate_per_s, long, met };
        self.search.record(tried);
        Turn::Tried(Some(Box::new(Attempt { tried, why, record })))
    }
}

/// Hands a finished trial on, and holds it against the objective.
fn judged(
    plan: &CapacityPlan<'_>,
    observer: &mut impl Observer,
    outcome: TrialOutcome,
    gave_up: Option<String>,
) -> std::io::Result<(Met, TrialRecord)> {
    let mut record = outcome.record.clone();
    let died = outcome.broker_died;
    observer.finished(outcome)?;
    let met = match gave_up {
        Some(why) => Met::No(why),
        None if died => Met::No("the broker ended by itself".to_owned()),
        None => met(plan.expects, &record),
    };
    // The results folder has them.
    record.timeline.clear();
    record.slowest.clear();
    Ok((met, record))
}

/// The scenario at a rate, measured long enough for a 99th percentile.
fn at(plan: &CapacityPlan<'_>, rate_per_s: f64, long: bool) -> Scenario {
    let mut scenario = plan.scenario.clone();
    scenario.workload.rate = Rate::PerSecond(rate_per_s);
    let enough = Duration::try_from_secs_f64(SAMPLES / rate_per_s).unwrap_or(MEASURE_MAX).min(MEASURE_MAX);
    let own = match scenario.phases.measure {
        Extent::Time(span) => span,
        Extent::Messages(messages) => {
            Duration::try_from_secs_f64(messages as f64 / rate_per_s).unwrap_or(MEASURE_MAX)
        }
    };
    let span = if long { own.max(plan.confirm) } else { own };
    scenario.phases.measure = Extent::Time(span.max(enough));
    scenario
}

/// The name of a rate's point in results; that of the longer trials says so.
#[must_use]
pub fn point_name(rate_per_s: f64, long: bool) -> String {
    format!("rate={}", rate_name(rate_per_s, long))
}

/// A rate as charts and tables name it.
#[must_use]
pub fn rate_name(rate_per_s: f64, long: bool) -> String {
    format!("{}{}", units::rate(rate_per_s), if long { " long" } else { "" })
}

/// Far above what is known to be met, a trial may be ended before it is whole. Close to it, what it measures says
/// what stands in the way.
fn may_end_early(search: &Search, rate_per_s: f64) -> bool {
    search.answer().is_none_or(|known| rate_per_s > 1.3 * known)
}

/// The tightest limit on the 99th percentile of the delivery time or one below it, µs.
fn limit_us(plan: &CapacityPlan<'_>) -> Option<f64> {
    let limits = plan.expects.iter().filter_map(|expect| match expect.right {
        Right::Value(limit) => {
            let name = expect.left.metric.name.as_str();
            ["delivery_time_us_p50", "delivery_time_us_p90", "delivery_time_us_p99"]
                .contains(&name)
                .then_some(limit)
        }
        Right::Times(..) => None,
    });
    limits.min_by(f64::total_cmp)
}

/// Watches a trial, and ends it once it is clearly over.
struct Watch<'a, O> {
    observer: &'a mut O,
    user: &'a Interrupt,
    early: Interrupt,
    may: bool,
    limit_us: Option<f64>,
    over_since: Option<f64>,
    gave_up: Option<String>,
}

impl<'a, O: Observer> Watch<'a, O> {
    fn new(observer: &'a mut O, user: &'a Interrupt, may: bool, limit_us: Option<f64>) -> Self {
        Self { observer, user, early: Interrupt::default(), may, limit_us, over_since: None, gave_up: None }
    }

    /// What is out of reach right now.
    fn over(&self, live: &Live<'_>) -> Option<String> {
        if live.phase != Phase::Measure || !self.may {
            return None;
        }
        let behind = live.offered_per_s.filter(|offered| live.published_per_s < BEHIND * offered);
        if let Some(offered) = behind {
            return Some(format!("sent {:.0}/s of {offered:.0}/s offered", live.published_per_s));
        }
        let (limit, p99) = (self.limit_us?, live.p99_us?);
        (p99 > OVER * limit).then(|| format!("the delivery time's p99 was at {p99:.0} µs"))
    }
}

impl<O: Observer> Observer for Watch<'_, O> {
    fn live(&mut self, live: &Live<'_>) {
        self.observer.live(live);
        match self.over(live) {
            None => self.over_since = None,
            Some(what) => {
                let since = *self.over_since.get_or_insert(live.seconds);
                if live.seconds - since >= OVER_FOR {
                    self.gave_up = Some(format!("{what}: ended early"));
                }
            }
        }
        if self.gave_up.is_some() || self.user.requested() {
            self.early.request();
        }
    }

    fn finished(&mut self, outcome: TrialOutcome) -> std::io::Result<()> {
        self.observer.finished(outcome)
    }

    fn left_out(&mut self, target: &Target, error: &TrialError) {
        self.observer.left_out(target, error);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Deaf;

    impl Observer for Deaf {
        fn live(&mut self, _: &Live<'_>) {}
        fn finished(&mut self, _: TrialOutcome) -> std::io::Result<()> {
            Ok(())
        }
        fn left_out(&mut self, _: &Target, _: &TrialError) {}
    }

    fn live(seconds: f64, published_per_s: f64, p99_us: f64) -> Live<'static> {
        Live {
            target: "a",
            trial: 1,
            trials: 1,
            phase: Phase::Measure,
            seconds,
            of_seconds: None,
            offered_per_s: Some(1_000.0),
            published_per_s,
            delivered_per_s: published_per_s,
            lost_so_far: 0,
            p99_us: Some(p99_us),
        }
    }

    #[test]
    fn a_trial_is_ended_only_when_it_was_out_of_reach_for_a_whole_second() {
        let user = Interrupt::default();
        let ended = |may: bool, seen: &[(f64, f64, f64)]| {
            let mut deaf = Deaf;
            let mut watch = Watch::new(&mut deaf, &user, may, Some(1_000.0));
            seen.iter().for_each(|(seconds, published, p99)| watch.live(&live(*seconds, *published, *p99)));
            assert_eq!(watch.early.requested(), watch.gave_up.is_some());
            watch.gave_up.is_some()
        };
        let behind = [(1.0, 500.0, 100.0), (1.5, 500.0, 100.0), (2.1, 500.0, 100.0)];
        let slow = [(1.0, 1_000.0, 20_000.0), (2.0, 1_000.0, 20_000.0)];
        let hiccup = [(1.0, 500.0, 100.0), (1.5, 1_000.0, 100.0), (2.1, 500.0, 100.0), (2.9, 500.0, 100.0)];
        assert!(ended(true, &behind) && ended(true, &slow));
        assert!(!ended(true, &hiccup), "it caught up in between");
        assert!(!ended(false, &behind), "close to the answer every trial is whole");
    }

    #[test]
    fn slow_rates_are_measured_for_longer_and_the_answer_too() {
        let text =
            "name = \"x\"\n[phases]\nmeasure = \"3s\"\n[[target]]\nname = \"a\"\ndriver = \"loopback\"\n";
        let scenario = Scenario::parse(text, "x", &[]).unwrap();
        let confirm = Duration::from_secs(10);
        let plan = CapacityPlan { scenario: &scenario, target: &scenario.targets[0], expects: &[], confirm };
        let span = |rate: f64, long: bool| match at(&plan, rate, long).phases.measure {
            Extent::Time(span) => span.as_secs_f64(),
            Extent::Messages(_) => panic!("by time"),
        };
        assert_eq!((span(50_000.0, false), span(50_000.0, true)), (3.0, 10.0));
        assert_eq!((span(1_000.0, false), span(10.0, false)), (12.0, 60.0));
        assert_eq!(at(&plan, 1_000.0, false).workload.rate, Rate::PerSecond(1_000.0));
    }
}
