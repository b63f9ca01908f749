//! `busmark capacity`: the highest rate at which each target of a scenario still meets an objective, searched for in
//! turn, trial by trial.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;

use super::exit::{Exit, complain};
use super::observe::{self, Keeper};
use super::run::calibrations;
use super::terminal::say;
use crate::campaign::{self, Calibration, CapacityEnding, CapacityPlan, CapacitySearch, Interrupt};
use crate::clock::unix_nanos;
use crate::gate::{Attempt, Capacity, Reach, Search, Supply};
use crate::measure::Host;
use crate::report::{CapacityReport, ResultsFolder, Searched};
use crate::scenario::{
    Broker, Expect, Extent, Override, Rate, Right, Scenario, ScenarioError, Shape, Target, shipped,
};
use crate::units;

/// No lower rate is tried, messages per second: a percentile would take minutes.
const LOWEST: f64 = 100.0;
/// The highest rate that is tried, by the generator's ceiling: above, nothing that is measured is the broker's.
const OF_CEILING: f64 = 0.95;
/// The highest rate that is tried where the ceiling is not known, messages per second.
const HIGHEST: f64 = 10_000_000.0;
/// How finely the answer is told: `Reach::ratio`.
const RATIO: f64 = 1.03;
/// Trials close to the answer measure so many times longer than others …
const CONFIRM: u32 = 3;
/// … and at least so long.
const CONFIRM_MIN: Duration = Duration::from_secs(10);

/// Flags of `busmark capacity`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  busmark capacity quick --expect \"delivery_time_us_p99 <= 10000\" --expect \"lost == 0\"\n  \
    busmark capacity my.toml --only redis-8 --budget 10m --json\n  busmark capacity my.toml --resume results/latest\n\n\
    Exit codes: 0 found, 2 usage, 3 not finished or nothing meets the objective, 4 a target could not be had,\n130 interrupted."
)]
pub(super) struct CapacityArgs {
    /// A shipped scenario's name (see `busmark scenario list`) or a file; its rate is where the search begins.
    scenario: String,
    /// The objective, besides the scenario's own expectations; repeatable, all must hold.
    #[arg(long, value_name = "EXPRESSION")]
    expect: Vec<String>,
    /// Search on this target only; repeatable.
    #[arg(long, value_name = "TARGET")]
    only: Vec<String>,
    /// Override a key, such as phases.measure=5s; repeatable.
    #[arg(long, value_name = "KEY=VALUE")]
    set: Vec<String>,
    /// How long the search may take, all targets together, such as 10m.
    #[arg(long, value_name = "TIME", value_parser = units::parse_duration)]
    budget: Option<Duration>,
    /// Go on with the search in this results folder.
    #[arg(long, value_name = "DIR")]
    resume: Option<PathBuf>,
    /// How long the longer trials measure, which decide close to the answer [default: 3 times the others, 10s at least].
    #[arg(long, value_name = "TIME", value_parser = units::parse_duration)]
    confirm_for: Option<Duration>,
    /// Folder in which a folder for this search is made.
    #[arg(long, value_name = "DIR", default_value = "results")]
    out: PathBuf,
    /// Print one JSON document on stdout instead of text.
    #[arg(long)]
    json: bool,
    /// No progress on stderr.
    #[arg(short, long)]
    quiet: bool,
}

/// Searches, and says what came out.
///
/// # Errors
/// When results can't be written or read, or the machine refuses something.
pub(super) fn run(args: &CapacityArgs) -> anyhow::Result<ExitCode> {
    let scenario = match planned(args) {
        Ok(scenario) => scenario,
        Err(error) => {
            complain(&error.to_string());
            return Ok(Exit::Usage.code());
        }
    };
    let before = match &args.resume {
        Some(dir) => Some(resumed(dir, &scenario)?),
        None => None,
    };
    let interrupt = Interrupt::listen().context("could not listen for Ctrl-C")?;
    let started = unix_nanos();
    let calibrations = calibrations(&scenario, args.quiet)?;
    // What is searched for is no expectation of each single rate.
    let unjudged = Scenario { expects: Vec::new(), ..scenario.clone() };
    let text = shipped::text(&args.scenario).unwrap_or_default();
    let manifest = observe::manifest(&text, &unjudged, &calibrations);
    let folder = ResultsFolder::create(&args.out, started, manifest)
        .with_context(|| format!("could not make a results folder in {}", args.out.display()))?;
    let dir = folder.path().to_owned();
    let mut keeper = Keeper::new(folder, calibrations.clone(), args.quiet);
    let mut report = report(&scenario);
    let mut searches = Vec::new();
    for (index, target) in scenario.targets.iter().enumerate() {
        let known = before.as_ref().and_then(|report| report.targets.get(index));
        let attempts = known.map(|searched| searched.attempts.clone()).unwrap_or_default();
        let ceiling = calibrations.iter().find(|one: &&Calibration| one.is_of(&target.driver));
        let ceiling_per_s = known.and_then(|one| one.ceiling_per_s).or(ceiling.map(|one| one.ceiling_per_s));
        let tried = attempts.iter().map(|attempt| attempt.tried).collect();
        let search = Search::new(reach(&scenario, ceiling_per_s), tried);
        let capacity = Capacity::of(&target.name, &search, &attempts, &supply(target, ceiling_per_s));
        report.targets.push(Searched { capacity, ceiling_per_s, attempts });
        let confirm = args.confirm_for.unwrap_or_else(|| confirm(&scenario));
        let plan = CapacityPlan { scenario: &scenario, target, expects: &scenario.expects, confirm };
        searches.push(CapacitySearch::new(plan, search));
    }
    let mut keep = |index: usize, attempt: Attempt| -> std::io::Result<()> {
        if !args.quiet {
            complain(&line(&scenario.targets[index].name, &attempt));
        }
        report.targets[index].attempts.push(attempt);
        report.keep(&dir).map_err(std::io::Error::other)
    };
    let endings = campaign::capacity(&mut searches, args.budget, &interrupt, &mut keeper, &mut keep)?;
    let mut exits = Vec::new();
    for (index, (target, ending)) in scenario.targets.iter().zip(endings).enumerate() {
        let searched = &mut report.targets[index];
        let supply = supply(target, searched.ceiling_per_s);
        searched.capacity = Capacity::of(&target.name, searches[index].search(), &searched.attempts, &supply);
        exits.push(exit(&searched.capacity, &ending));
        searched.capacity.unfinished = ending.unfinished;
    }
    report.keep(&dir)?;
    keeper.finish(interrupt.requested())?;
    tell(args, &report, &dir)?;
    Ok(Exit::worst(exits).code())
}

/// What a trial came to, on stderr.
fn line(target: &str, attempt: &Attempt) -> String {
    let rate = campaign::rate_name(attempt.tried.rate_per_s, attempt.tried.long);
    if attempt.tried.met {
        format!("{target} at {rate}: met")
    } else {
        format!("{target} at {rate}: {}", attempt.why)
    }
}

fn exit(capacity: &Capacity, ending: &CapacityEnding) -> Exit {
    match capacity.rate_per_s {
        _ if ending.interrupted => Exit::Interrupted,
        _ if ending.missing => Exit::Missing,
        Some(_) if capacity.found.is_some() => Exit::Good,
        _ => Exit::Inconclusive,
    }
}

/// Says what is known, and where the page is.
fn tell(args: &CapacityArgs, report: &CapacityReport, dir: &std::path::Path) -> anyhow::Result<()> {
    if args.json {
        say(&(serde_json::to_string_pretty(report)? + "\n"));
        return Ok(());
    }
    say(&report.console());
    let page = dir.join("report.html");
    if page.is_file() {
        say(&format!("{}\n", page.display()));
    }
    let unfinished = report.targets.iter().any(|one| one.capacity.found.is_none());
    if unfinished {
        say(&format!("To go on: busmark capacity … --resume {}\n", dir.display()));
    }
    Ok(())
}

fn report(scenario: &Scenario) -> CapacityReport {
    CapacityReport {
        schema_version: CapacityReport::SCHEMA_VERSION,
        scenario: scenario.name.clone(),
        scenario_filled_in: scenario.to_toml(),
        expects: scenario.expects.iter().map(|expect| expect.text.clone()).collect(),
        targets: Vec::new(),
    }
}

/// The search that is to go on.
fn resumed(dir: &std::path::Path, scenario: &Scenario) -> anyhow::Result<CapacityReport> {
    let report = CapacityReport::open(dir)
        .with_context(|| format!("there is no search to go on with in {}", dir.display()))?;
    anyhow::ensure!(
        report.scenario_filled_in == scenario.to_toml(),
        "the search in {} is another scenario's, or has another objective or other settings; what was measured \
         there says nothing here",
        dir.display()
    );
    Ok(report)
}

/// The scenario with its objective.
fn planned(args: &CapacityArgs) -> Result<Scenario, ScenarioError> {
    let overrides = args.set.iter().map(|text| Override::parse(text)).collect::<Result<Vec<_>, _>>()?;
    let mut scenario = shipped::open(&args.scenario, &overrides)?;
    if !args.only.is_empty() {
        scenario.keep_only(&args.only)?;
    }
    if scenario.workload.rate == Rate::Max {
        scenario.workload.rate = Rate::PerSecond(LOWEST);
    }
    scenario.expect_also(&args.expect)?;
    let whole = |message: &str| Err(ScenarioError::whole(&args.scenario, message));
    if scenario.expects.is_empty() {
        return whole("no objective; add --expect \"delivery_time_us_p99 <= 10000\" --expect \"lost == 0\"");
    }
    if let Some(Expect { text, .. }) =
        scenario.expects.iter().find(|one| matches!(one.right, Right::Times(..)))
    {
        let message =
            format!("`{text}` compares with another target; allowed is a value, such as \"lost == 0\"");
        return whole(&message);
    }
    if !scenario.points.is_empty() {
        return whole(
            "a search sets the rate itself, and this is a sweep; allowed is a scenario without one",
        );
    }
    if scenario.workload.shape != Shape::Flat {
        return whole("a search offers one rate at a time; allowed is a workload without a shape");
    }
    Ok(scenario)
}

/// Begins at the scenario's rate, within what the generator can offer.
fn reach(scenario: &Scenario, ceiling_per_s: Option<f64>) -> Reach {
    let first = match scenario.workload.rate {
        Rate::PerSecond(rate) => rate,
        Rate::Max => LOWEST,
    };
    let highest = ceiling_per_s.map_or(HIGHEST, |ceiling| (ceiling * OF_CEILING).max(LOWEST).round());
    Reach { first, lowest: LOWEST, highest, ratio: RATIO }
}

fn confirm(scenario: &Scenario) -> Duration {
    match scenario.phases.measure {
        Extent::Time(span) => span.saturating_mul(CONFIRM).max(CONFIRM_MIN),
        Extent::Messages(_) => CONFIRM_MIN,
    }
}

fn supply(target: &Target, ceiling_per_s: Option<f64>) -> Supply {
    let host = Host::default();
    let elsewhere = match &target.broker {
        Broker::External { url } => !is_here(url),
        _ => false,
    };
    Supply {
        cpus: host.environment().cpus,
        ceiling_per_s,
        link_bytes_per_s: if elsewhere { host.link_bytes_per_s() } else { None },
    }
}

/// Whether a URL leads to this machine.
fn is_here(url: &str) -> bool {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let host = rest.rsplit_once('@').map_or(rest, |(_, host)| host);
    url.starts_with("unix:") || ["127.", "localhost", "[::1]"].iter().any(|here| host.starts_with(here))
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::super::args::{Command, Typed};
    use super::*;

    fn of(arguments: &[&str]) -> Result<Scenario, String> {
        let typed = Typed::try_parse_from([&["busmark", "capacity"], arguments].concat());
        let Command::Capacity(args) = typed.map_err(|error| error.to_string())?.command else {
            return Err("another command".to_owned());
        };
        planned(&args).map_err(|error| error.to_string())
    }

    #[test]
    fn an_objective_is_needed_and_has_to_be_a_value() {
        let scenario = of(&["redis-vs-jetstream", "--expect", "lost == 0", "--only", "redis-8"]).unwrap();
        assert_eq!(scenario.targets.len(), 1);
        assert!(scenario.expects.iter().any(|expect| expect.text == "lost == 0"));
        let error = of(&["drivers/loopback", "--expect", "lost <= 2 * lost"]).unwrap_err();
        assert!(error.contains("compares with another target"), "{error}");
        let error = of(&["patterns/sweep", "--expect", "lost == 0"]).unwrap_err();
        assert!(error.contains("sweep"), "{error}");
    }

    #[test]
    fn the_generators_ceiling_bounds_what_is_tried() {
        let scenario = of(&["quick", "--expect", "lost == 0"]).unwrap();
        assert_eq!(reach(&scenario, Some(200_000.0)).highest, 190_000.0);
        assert_eq!(reach(&scenario, None).highest, HIGHEST);
        assert_eq!(reach(&scenario, None).first, 20_000.0);
    }

    #[test]
    fn a_broker_on_this_machine_has_no_link() {
        for here in ["redis://127.0.0.1:1", "nats://u:p@localhost:4", "unix:///x", "redis://[::1]:6"] {
            assert!(is_here(here), "{here}");
        }
        assert!(!is_here("redis://10.0.0.2:6379") && !is_here("nats://u:127.0@h:1"));
    }
}
