//! What a gate's arguments mean: one scenario with at most two targets, metrics, expectations, a design.

use super::exit::complain;
use super::gate::GateArgs;
use crate::gate::{CHECK_TRIALS, Course, Design};
use crate::scenario::{
    Expect, Metric, MetricOf, Override, Rate, Right, Scenario, ScenarioError, Target, shipped,
};

/// Trials of a gate that has nothing but its limits, at least: what bounds at 95 % need, and one more.
const LIMITS_TRIALS: u32 = 6;

/// What is to be done.
#[derive(Debug)]
pub(super) struct Planned {
    /// With the base, if it is measured, and the candidate behind it.
    pub(super) scenario: Scenario,
    /// Name of the point of a sweep that it is; empty without one.
    pub(super) point: String,
    /// The metrics that are compared.
    pub(super) metrics: Vec<Metric>,
    /// The numbers of the gate.
    pub(super) design: Design,
    /// Whether a base is measured.
    pub(super) has_base: bool,
    /// Seed of the order and of the traffic.
    pub(super) seed: u64,
    /// What a reader has to know of the plan.
    pub(super) notes: Vec<String>,
}

impl Planned {
    /// Of the arguments.
    ///
    /// # Errors
    /// What is wrong with the scenario or a flag, and what is allowed.
    pub(super) fn of(args: &GateArgs) -> Result<Self, ScenarioError> {
        let overrides = args.set.iter().map(|text| Override::parse(text)).collect::<Result<Vec<_>, _>>()?;
        let (point, mut scenario) = at_point(args, &shipped::open(&args.scenario, &overrides)?)?;
        let candidate = candidate(args, &scenario)?;
        let names: Vec<String> = args.base.iter().cloned().chain([candidate.clone()]).collect();
        let mut notes = Vec::new();
        for dropped in scenario.keep_only(&names)? {
            notes.push(format!("left out with its target: expectation `{}`", dropped.text));
        }
        scenario.expect_also(&args.expect)?;
        let candidate = in_order(&mut scenario, args.base.as_deref(), &candidate);
        scope(&mut scenario.expects, args.base.as_deref(), &candidate);
        let metrics = metrics(args, &scenario)?;
        let design = Design::tolerating(args.tolerance);
        let design = if args.against.is_some() { design.apart() } else { design };
        let seed = args.seed.unwrap_or(scenario.trials.seed);
        scenario.trials.seed = seed;
        let has_base = args.base.is_some();
        if !has_base && args.against.is_none() && scenario.expects.is_empty() {
            let message = "there is nothing to hold the candidate to; give --base TARGET, --against BASELINE, or --expect \"lost == 0\"";
            return Err(ScenarioError::whole("gate", message));
        }
        notes.iter().for_each(|note| complain(note));
        let mut planned = Self { scenario, point, metrics, design, has_base, seed, notes };
        planned.scenario.trials.count = planned.trials_of_a_side();
        Ok(planned)
    }

    /// The base, if it is measured.
    pub(super) fn base(&self) -> Option<&Target> {
        self.scenario.targets.first().filter(|_| self.has_base)
    }

    /// What is judged.
    pub(super) fn candidate(&self) -> &Target {
        &self.scenario.targets[self.scenario.targets.len() - 1]
    }

    /// The course of the gate, for all but a baseline.
    pub(super) fn course(&self, against: bool) -> Course {
        let expects = self.scenario.expects.clone();
        if self.has_base || against {
            Course::new(self.design, self.metrics.clone(), expects, self.seed)
        } else {
            Course::limits_only(expects, self.scenario.trials.count as usize)
        }
    }

    /// The most trials of one side, for the manifest and for whoever looks on.
    fn trials_of_a_side(&self) -> u32 {
        let blocks = (self.design.first + self.design.second) as u32;
        match (self.has_base, self.metrics.is_empty()) {
            (true, _) => CHECK_TRIALS as u32 + 2 * blocks,
            (false, false) => blocks,
            (false, true) => self.scenario.trials.count.max(LIMITS_TRIALS),
        }
    }
}

/// The scenario at the one point that is measured.
fn at_point(args: &GateArgs, scenario: &Scenario) -> Result<(String, Scenario), ScenarioError> {
    let points = scenario.at_points();
    let wanted = args.point.as_deref().unwrap_or_default();
    let found = points.iter().find(|(name, _)| *name == wanted);
    // A point has no expectations of its own: those that speak of it, or of all, are the sweep's.
    let speaks_of = |expect: &&Expect| expect.point.as_ref().is_none_or(|point| wanted.contains(point));
    let with_expects = |(name, at): &(&str, &Scenario)| {
        let expects = scenario.expects.iter().filter(speaks_of).cloned().collect();
        ((*name).to_owned(), Scenario { expects, ..(*at).clone() })
    };
    found.map(with_expects).ok_or_else(|| {
        let names: Vec<&str> = points.iter().map(|(name, _)| *name).collect();
        let message = format!("a gate measures one point; allowed here: {}", names.join(" | "));
        ScenarioError::whole(&format!("--point {wanted}"), message)
    })
}

/// The candidate's name: the only target needs none.
fn candidate(args: &GateArgs, scenario: &Scenario) -> Result<String, ScenarioError> {
    match (&args.candidate, scenario.targets.as_slice()) {
        (Some(name), _) => Ok(name.clone()),
        (None, [only]) => Ok(only.name.clone()),
        (None, several) => {
            let names: Vec<&str> = several.iter().map(|target| target.name.as_str()).collect();
            let message = format!("which target is to be judged? Allowed: {}", names.join(", "));
            Err(ScenarioError::whole("--candidate", message))
        }
    }
}

/// Puts the base first and the candidate last, under a name of its own if both are the same target. Neither is optional
/// in a gate. Gives the candidate's name.
fn in_order(scenario: &mut Scenario, base: Option<&str>, candidate: &str) -> String {
    scenario.targets.iter_mut().for_each(|target| target.optional = false);
    if base == Some(candidate) {
        let mut again = scenario.targets[0].clone();
        again.name = format!("{candidate}.again");
        scenario.targets.push(again);
    } else {
        scenario.targets.sort_by_key(|target| target.name == candidate);
    }
    scenario.targets[scenario.targets.len() - 1].name.clone()
}

/// An expectation that names no target speaks of the candidate; so does one of a target that stands on both sides.
fn scope(expects: &mut [Expect], base: Option<&str>, candidate: &str) {
    let both = base.filter(|base| candidate.strip_suffix(".again") == Some(base));
    let meant = |of: &mut MetricOf| {
        if of.target.is_none() || (both.is_some() && of.target.as_deref() == both) {
            of.target = Some(candidate.to_owned());
        }
    };
    for expect in expects {
        meant(&mut expect.left);
        if let Right::Times(_, of) = &mut expect.right {
            of.target.get_or_insert_with(|| candidate.to_owned());
        }
    }
}

/// The metrics that are compared: those that were asked for, else the tail, and at rate max the rate too.
fn metrics(args: &GateArgs, scenario: &Scenario) -> Result<Vec<Metric>, ScenarioError> {
    if args.base.is_none() && args.against.is_none() {
        return Ok(Vec::new());
    }
    let closed = scenario.workload.rate == Rate::Max;
    let standard: &[&str] =
        if closed { &["transit_time_us_p99", "deliveries_per_s"] } else { &["delivery_time_us_p99"] };
    let asked: Vec<&str> = if args.metric.is_empty() {
        standard.to_vec()
    } else {
        args.metric.iter().map(String::as_str).collect()
    };
    let find = |name: &str| {
        let wrong = |message: String| ScenarioError::whole(&format!("--metric {name}"), message);
        let metric = Metric::find(name).ok_or_else(|| {
            wrong(format!(
                "this is no metric; known, nearest first: {}",
                Metric::nearest_first(name).join(", ")
            ))
        })?;
        if closed && metric.needs_schedule() {
            return Err(wrong(
                "it stays empty at rate max; allowed are transit_time, service_time and rates".to_owned(),
            ));
        }
        Ok(metric)
    };
    asked.into_iter().map(find).collect()
}

/// A tolerance in percent, as the ratio it allows: `20%` or `20` is 1.2.
pub(super) fn tolerance(text: &str) -> Result<f64, String> {
    let percent = text.trim().trim_end_matches('%').trim_end().parse::<f64>().ok();
    let percent = percent.filter(|percent| (1.0..=1_000.0).contains(percent));
    percent
        .map(|percent| 1.0 + percent / 100.0)
        .ok_or_else(|| "give a percentage from 1% to 1000%, such as 20%".to_owned())
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: GateArgs,
    }

    fn planned(words: &str) -> Result<Planned, String> {
        let line = Line::try_parse_from(std::iter::once("gate").chain(words.split(' ')))
            .map_err(|e| e.to_string())?;
        Planned::of(&line.args).map_err(|error| error.to_string())
    }

    #[test]
    fn the_base_comes_first_the_candidate_last_and_expectations_speak_of_the_candidate() {
        let plan =
            planned("redis-vs-jetstream --base nats-2.11 --candidate redis-8 --expect lost==0").unwrap();
        let names: Vec<&str> = plan.scenario.targets.iter().map(|target| target.name.as_str()).collect();
        assert_eq!(names, ["nats-2.11", "redis-8"]);
        assert_eq!(plan.candidate().name, "redis-8");
        let ours = plan.scenario.expects.last().unwrap();
        assert_eq!((ours.text.as_str(), ours.left.target.as_deref()), ("lost==0", Some("redis-8")));
        assert_eq!(plan.metrics.len(), 1);
        assert_eq!(plan.scenario.trials.count, 88);
    }

    #[test]
    fn a_target_against_itself_is_measured_under_two_names() {
        let plan = planned("quick --base bundled --candidate bundled --seed 9").unwrap();
        let names: Vec<&str> = plan.scenario.targets.iter().map(|target| target.name.as_str()).collect();
        assert_eq!(names, ["bundled", "bundled.again"]);
        assert!(plan.scenario.expects.iter().all(|one| one.left.target.as_deref() == Some("bundled.again")));
        assert_eq!((plan.seed, plan.scenario.trials.seed), (9, 9));
    }

    #[test]
    fn limits_alone_need_neither_base_nor_baseline_but_something_to_hold() {
        let plan = planned("ci/redis-loss").unwrap();
        assert!(plan.base().is_none() && plan.metrics.is_empty());
        assert_eq!(plan.scenario.trials.count, LIMITS_TRIALS);
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("bare.toml");
        std::fs::write(&file, "name = \"bare\"\n[[target]]\nname = \"bus\"\ndriver = \"loopback\"\n")
            .unwrap();
        assert!(planned(file.to_str().unwrap()).unwrap_err().contains("--against BASELINE"));
    }

    #[test]
    fn what_is_wrong_is_said_with_what_is_allowed() {
        for (words, said) in [
            ("quick --base bundled", "--candidate: which target is to be judged? Allowed: bundled, redis"),
            ("quick --base bundled --candidate rediss", "did you mean `redis`"),
            ("quick --base bundled --candidate redis --metric p99", "--metric p99: this is no metric"),
            (
                "quick --base bundled --candidate redis --set workload.rate=max --metric delivery_time_us_p99",
                "stays empty at rate max",
            ),
            ("quick --base bundled --candidate redis --tolerance no", "such as 20%"),
            ("quick --base bundled --against main --candidate redis", "cannot be used with"),
            ("quick --base bundled --candidate redis --expect lst==0", "`lst` is no metric"),
        ] {
            let error = planned(words).unwrap_err();
            assert!(error.contains(said), "{words}: {error}");
        }
    }

    #[test]
    fn tolerances_are_percentages() {
        assert_eq!(tolerance("20%"), Ok(1.2));
        assert_eq!(tolerance(" 5 "), Ok(1.05));
        assert!(tolerance("0.2").is_err() && tolerance("x").is_err());
    }
}
