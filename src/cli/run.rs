//! `busmark run`: load, validate, plan, run trials, judge, report.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

use super::args::{MeasureArgs, RunArgs};
use super::ci::{self, Suite};
use super::estimate::estimate;
use super::exit::{Exit, complain, say};
use super::metrics::Metrics;
use super::observe::{self, Keeper};
use super::terminal;
use crate::campaign::{self, Calibration, Ending, Interrupt};
use crate::clock::unix_nanos;
use crate::gate::{self, Answer, Judgement};
use crate::measure::{Grade, TrialRecord};
use crate::report::{self, Inconclusive, ResultsFolder};
use crate::scenario::{Override, Scenario, ScenarioError, shipped};
use crate::units;

/// Measures one scenario after another; all of them are read before the first trial.
///
/// # Errors
/// When results can't be written or the machine refuses something.
pub(super) fn run(args: &RunArgs) -> anyhow::Result<ExitCode> {
    let names: Vec<String> = args.scenarios.iter().flat_map(|given| shipped::named(given)).collect();
    let planned: Result<Vec<Scenario>, ScenarioError> =
        names.iter().map(|name| planned(name, args)).collect();
    let scenarios = match planned {
        Ok(scenarios) => scenarios,
        Err(error) => {
            complain(&error.to_string());
            return Ok(Exit::Usage.code());
        }
    };
    if args.dry_run {
        scenarios.iter().for_each(|scenario| say(&plan(scenario)));
        return Ok(Exit::Good.code());
    }
    if scenarios.len() > 1 && args.measure.ci.junit.is_some() {
        complain(
            "--junit takes the answers of one scenario; run them one by one, each with a file of its own",
        );
        return Ok(Exit::Usage.code());
    }
    let mut measured: Vec<Measured> = Vec::new();
    for (name, scenario) in names.iter().zip(&scenarios) {
        if scenarios.len() > 1 && !args.measure.quiet {
            complain(&format!("\n{name}: {} of {}", measured.len() + 1, scenarios.len()));
        }
        measured.push(measure(scenario, &shipped::text(name).unwrap_or_default(), &args.measure)?);
        if measured.last().is_some_and(|last| last.exit == Exit::Interrupted) {
            break;
        }
    }
    if scenarios.len() > 1 && !args.measure.json {
        let runs: Vec<report::Loaded> =
            measured.iter().filter_map(|one| ResultsFolder::open(&one.folder).ok()).collect();
        say(report::claims(&runs).trim_end());
    }
    Ok(Exit::worst(measured.iter().map(|one| one.exit)).code())
}

/// What came of a scenario.
pub(super) struct Measured {
    /// How the command would end if this were all.
    pub(super) exit: Exit,
    /// Its results.
    pub(super) folder: PathBuf,
}

/// Runs all trials of a scenario, whose text is `text`, and says what came out.
///
/// # Errors
/// When results can't be written or the machine refuses something.
pub(super) fn measure(scenario: &Scenario, text: &str, args: &MeasureArgs) -> anyhow::Result<Measured> {
    let metrics = args.metrics.map(Metrics::serve).transpose().context("could not serve --metrics")?;
    metrics.iter().for_each(|metrics| complain(&format!("metrics at {}", metrics.url())));
    let interrupt = Interrupt::listen().context("could not listen for Ctrl-C")?;
    let started = unix_nanos();
    let calibrations = if args.no_calibration { Vec::new() } else { calibrations(scenario, args.quiet)? };
    let manifest = observe::manifest(text, scenario, &calibrations);
    let folder = ResultsFolder::create(&args.out, started, manifest)
        .with_context(|| format!("could not make a results folder in {}", args.out.display()))?;
    let mut keeper = Keeper::new(folder, calibrations, args.quiet).serving(metrics);
    let ending = campaign::run(scenario, &interrupt, &mut keeper)?;
    let folder = keeper.finish(ending.interrupted)?;
    let records: Vec<TrialRecord> = folder.trials().iter().map(|trial| trial.record.clone()).collect();
    let judgements = gate::judge(&scenario.expects, &records);
    // Without a single trial there is no result to print; why was said when each target was left out.
    if !records.is_empty() {
        print(args, &folder, &judgements)?;
    }
    publish(args, &folder, &judgements)?;
    let exit = exit(args, &ending, &records, &judgements);
    Ok(Measured { exit, folder: folder.path().to_owned() })
}

/// What the generator manages on this machine, once for each driver and client.
pub(super) fn calibrations(scenario: &Scenario, quiet: bool) -> anyhow::Result<Vec<Calibration>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let mut calibrations: Vec<Calibration> = Vec::new();
    for (points, at_point) in campaign::alike(scenario) {
        let points = if scenario.points.is_empty() { Vec::new() } else { points };
        for target in &at_point.targets {
            if calibrations.iter().any(|known| known.is_of(&target.driver) && known.points == points) {
                continue;
            }
            match campaign::calibrate(&runtime, at_point, target) {
                Ok(calibration) => {
                    calibrations.extend(calibration.map(|calibration| calibration.at(points.clone())));
                }
                Err(error) => {
                    complain(&format!("the generator could not be calibrated for {}: {error}", target.name))
                }
            }
        }
    }
    if !quiet {
        calibrations.iter().for_each(|calibration| complain(&calibration.to_string()));
    }
    Ok(calibrations)
}

/// The scenario with everything that the command line changes.
fn planned(name: &str, args: &RunArgs) -> Result<Scenario, ScenarioError> {
    let mut overrides = args.set.iter().map(|text| Override::parse(text)).collect::<Result<Vec<_>, _>>()?;
    if let Some(trials) = args.trials {
        overrides.push(Override::parse(&format!("trials.count={trials}"))?);
    }
    let mut scenario = shipped::open(name, &overrides)?;
    if !args.only.is_empty() {
        for dropped in scenario.keep_only(&args.only)? {
            complain(&format!("left out with its target: expectation `{}`", dropped.text));
        }
    }
    scenario.expect_also(&args.expect)?;
    Ok(scenario)
}

/// What would be done, for `--dry-run`.
fn plan(scenario: &Scenario) -> String {
    let estimate = estimate(scenario);
    let points = scenario.at_points();
    let order: Vec<String> = campaign::order(scenario)
        .into_iter()
        .map(|step| {
            let at = points[step.point].0;
            let at = if at.is_empty() { String::new() } else { format!("[{at}]") };
            format!("{}{at}#{}", scenario.targets[step.target].name, step.trial)
        })
        .collect();
    let open_ended = if estimate.open_ended { ", and as long as its messages take" } else { "" };
    format!(
        "{}\n# {} trials: {}\n# takes about {} (at most {}){open_ended}, {} of memory beside the brokers",
        scenario.to_toml().trim_end(),
        order.len(),
        order.join(" "),
        units::duration(estimate.duration),
        units::duration(estimate.at_most),
        units::size(estimate.memory),
    )
}

/// Prints the result, for people or for machines.
fn print(args: &MeasureArgs, folder: &ResultsFolder, judgements: &[Judgement]) -> anyhow::Result<()> {
    if folder.trials().is_empty() {
        complain(&format!("no trial gave a result; {} says why", folder.path().display()));
        return Ok(());
    }
    let loaded = ResultsFolder::open(folder.path())?;
    if args.json {
        say(&report::json(&loaded, judgements)?);
    } else {
        say(report::console(&loaded, judgements, terminal::page()).trim_end());
    }
    Ok(())
}

/// Tells the CI job that it runs in, if it does.
fn publish(args: &MeasureArgs, folder: &ResultsFolder, judgements: &[Judgement]) -> anyhow::Result<()> {
    let manifest = folder.manifest();
    let suite = Suite {
        name: manifest.scenario.clone(),
        started_at: manifest.started_at.clone(),
        seconds: folder.trials().iter().map(|trial| trial.record.seconds).sum(),
        cases: report::cases_of(judgements, Inconclusive::Error),
    };
    // A run without a single trial has nothing to open.
    let markdown = ResultsFolder::open(folder.path()).map(|run| report::markdown(&run, judgements));
    ci::publish(&args.ci, &suite, &markdown.unwrap_or_default())
}

/// What the exit code says.
fn exit(args: &MeasureArgs, ending: &Ending, records: &[TrialRecord], judgements: &[Judgement]) -> Exit {
    let worst_grade = records.iter().map(|record| record.verdict.grade).max();
    let believed = match worst_grade {
        Some(Grade::Invalid) => Exit::Inconclusive,
        Some(Grade::Suspect) if args.strict => Exit::Inconclusive,
        None => Exit::Inconclusive,
        Some(Grade::Valid | Grade::Suspect) => Exit::Good,
    };
    let judged = judgements.iter().map(|judgement| match judgement.answer {
        Answer::Holds => Exit::Good,
        Answer::Fails => Exit::Fails,
        Answer::CannotBeJudged => Exit::Inconclusive,
    });
    let missing = if ending.missing.is_empty() { Exit::Good } else { Exit::Missing };
    let interrupted = if ending.interrupted { Exit::Interrupted } else { Exit::Good };
    Exit::worst([believed, missing, interrupted].into_iter().chain(judged))
}
