//! `busmark gate`: plan, measure in turn, decide, tell the CI job.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, ValueEnum};

use super::baseline;
use super::ci::{self, CiArgs, Suite};
use super::exit::{Exit, complain};
use super::gate_plan::{Planned, tolerance};
use super::observe::{self, Keeper};
use super::run::calibrations;
use super::terminal::{page, say};
use crate::campaign::{self, GateEnding, GatePlan, Interrupt, Observer};
use crate::clock::{Clock, unix_nanos};
use crate::gate::{Course, Decision, Outcome};
use crate::measure::{Live, TrialRecord};
use crate::report::{
    self, GateReport, Headline, Inconclusive, Loaded, Manifest, ResultsFolder, TargetManifest, unlike_before,
    unlike_broker, unsound,
};
use crate::scenario::{Target, shipped};
use crate::trial::{TrialError, TrialOutcome};
use crate::units;

/// Flags of `busmark gate`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  busmark gate my.toml --base main --candidate branch --expect \"lost == 0\" --budget 10m\n  \
    busmark gate ci/gate --against nightly --on-inconclusive skip --junit gate.xml\n\n\
    Exit codes: 0 pass, 1 fail, 2 usage, 3 inconclusive, 4 a target could not be had, 130 interrupted. docs/CI.md says how to\n\
    read an inconclusive one."
)]
pub(super) struct GateArgs {
    /// A shipped scenario's name (see `busmark scenario list`) or a file.
    pub(super) scenario: String,
    /// The target that is known to be good, measured in turn with the candidate.
    #[arg(long, value_name = "TARGET", conflicts_with = "against")]
    pub(super) base: Option<String>,
    /// The target that is judged; the scenario's only one needs no name.
    #[arg(long, value_name = "TARGET")]
    pub(super) candidate: Option<String>,
    /// Compare with a baseline (see `busmark baseline`) or with the folder of a run, instead of a base.
    #[arg(long, value_name = "NAME")]
    pub(super) against: Option<String>,
    /// The broker is what changed since the baseline: compare nevertheless.
    #[arg(long, requires = "against")]
    pub(super) broker_changed: bool,
    /// Folder that holds the baselines.
    #[arg(long, value_name = "DIR", default_value = baseline::ROOT)]
    pub(super) baselines: PathBuf,
    /// The point of a sweep that is measured, as it is named in results.
    #[arg(long, value_name = "POINT")]
    pub(super) point: Option<String>,
    /// Compare this column of summary.csv, instead of delivery_time_us_p99; repeatable.
    #[arg(long, value_name = "METRIC")]
    pub(super) metric: Vec<String>,
    /// Also expect this of the candidate, such as "lost == 0"; repeatable.
    #[arg(long, value_name = "EXPRESSION")]
    pub(super) expect: Vec<String>,
    /// How much more is no reason to worry: a pass needs its upper bound below.
    #[arg(long, value_name = "PERCENT", default_value = "20%", value_parser = tolerance)]
    pub(super) tolerance: f64,
    /// How long it may take, such as 10m; the number of trials is cut to fit.
    #[arg(long, value_name = "TIME", value_parser = |text: &str| units::parse_duration(text).map_err(|e| e.to_string()))]
    pub(super) budget: Option<Duration>,
    /// What an inconclusive end is: exit 3, exit 0 with a warning, or exit 1.
    #[arg(long, value_enum, default_value_t = OnInconclusive::Error)]
    pub(super) on_inconclusive: OnInconclusive,
    /// Decides the order of trials and the traffic, instead of the scenario's seed.
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u64>,
    /// Override a key, such as workload.rate=50k/s; repeatable.
    #[arg(long, value_name = "KEY=VALUE")]
    pub(super) set: Vec<String>,
    /// Folder in which a folder for this gate is made.
    #[arg(long, value_name = "DIR", default_value = "results")]
    pub(super) out: PathBuf,
    /// Print one JSON document on stdout instead of text.
    #[arg(long)]
    pub(super) json: bool,
    /// No progress on stderr.
    #[arg(short, long)]
    pub(super) quiet: bool,
    /// What a CI job gets to read.
    #[command(flatten)]
    pub(super) ci: CiArgs,
}

/// What a gate without an answer means to the job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum OnInconclusive {
    /// Exit 3.
    Error,
    /// Exit 0, with a warning.
    Skip,
    /// Exit 1.
    Fail,
}

impl OnInconclusive {
    fn means(self) -> (Inconclusive, Exit) {
        match self {
            Self::Error => (Inconclusive::Error, Exit::Inconclusive),
            Self::Skip => (Inconclusive::Skip, Exit::Good),
            Self::Fail => (Inconclusive::Fail, Exit::Fails),
        }
    }
}

/// Judges a candidate.
///
/// # Errors
/// When results can't be written, a baseline can't be read, or the machine refuses something.
pub(super) fn run(args: &GateArgs) -> anyhow::Result<ExitCode> {
    let plan = match Planned::of(args) {
        Ok(plan) => plan,
        Err(error) => {
            complain(&error.to_string());
            return Ok(Exit::Usage.code());
        }
    };
    let recorded = args.against.as_ref().map(|name| baseline::open(name, &args.baselines)).transpose()?;
    let interrupt = Interrupt::listen().context("could not listen for Ctrl-C")?;
    let (clock, started) = (Clock::real(), unix_nanos());
    let calibrations =
        if recorded.is_some() { calibrations(&plan.scenario, args.quiet)? } else { Vec::new() };
    let text = shipped::text(&args.scenario).unwrap_or_default();
    let manifest = observe::manifest(&text, &plan.scenario, &calibrations);
    let folder = ResultsFolder::create(&args.out, started, manifest)
        .with_context(|| format!("could not make a results folder in {}", args.out.display()))?;
    let mut course = plan.course(recorded.is_some());
    if let Some(recorded) = &recorded {
        course = against(args, &plan, course, (recorded, folder.manifest()));
    }
    announce(args, &plan, &course);
    let base = recorded.as_ref().and_then(|run| target_of(&run.manifest, &plan.candidate().name));
    let mut watch = Watch {
        keeper: Keeper::new(folder, calibrations, args.quiet),
        base: base.filter(|_| !args.broker_changed).cloned(),
        objection: None,
    };
    let (base, candidate) = (plan.base(), plan.candidate());
    let gate =
        GatePlan { scenario: &plan.scenario, point: &plan.point, base, candidate, budget: args.budget };
    let ending = campaign::gate(&gate, course, &interrupt, &mut watch)?;
    let folder = watch.keeper.finish(ending.interrupted)?;
    let report = reported(args, &plan, (&ending.outcome, clock.now()), (recorded.as_ref(), &folder));
    report.keep(folder.path())?;
    tell(args, &report, &folder.manifest().started_at)?;
    Ok(exit(args, &ending).code())
}

/// The course against a baseline; one that is over before it begins where the two are not alike.
fn against(args: &GateArgs, plan: &Planned, course: Course, (then, now): (&Loaded, &Manifest)) -> Course {
    let name = &plan.candidate().name;
    let of = |record: &&TrialRecord| record.target == *name && record.point == plan.point;
    let records: Vec<TrialRecord> =
        then.trials.iter().map(|trial| &trial.record).filter(of).cloned().collect();
    let why = unsound(then).map(|why| format!("{} {why}", then.dir.display())).or_else(|| {
        let unlike = unlike_before(then, name, now, &plan.scenario);
        (!unlike.is_empty()).then(|| not_alike(args, &unlike))
    });
    match why {
        Some(why) => {
            let mut course = course;
            course.stop(&why);
            course
        }
        None => course.against(records),
    }
}

fn not_alike(args: &GateArgs, differences: &[String]) -> String {
    let name = args.against.as_deref().unwrap_or_default();
    format!("not alike, so nothing can be said against {name}: {}", differences.join("; "))
}

fn target_of<'a>(manifest: &'a Manifest, name: &str) -> Option<&'a TargetManifest> {
    manifest.targets.iter().find(|target| target.name == name)
}

/// Says what is coming, on stderr.
fn announce(args: &GateArgs, plan: &Planned, course: &Course) {
    let most = course.trials_at_most();
    if args.quiet || most == 0 {
        return;
    }
    let seed = plan.seed;
    let budget =
        args.budget.map(|budget| format!(", {} at most", units::duration(budget))).unwrap_or_default();
    complain(&format!("gate: {}, up to {most} trials, seed {seed}{budget}", sides(args, plan)));
}

/// Who against whom.
fn sides(args: &GateArgs, plan: &Planned) -> String {
    format!("{} against {}", plan.candidate().name, opponent(args, plan))
}

fn opponent(args: &GateArgs, plan: &Planned) -> String {
    match (plan.base(), &args.against) {
        (Some(base), _) => base.name.clone(),
        (None, Some(name)) => format!("baseline {name}"),
        (None, None) => "its limits alone".to_owned(),
    }
}

/// Keeps what is measured, and objects where the broker is not the baseline's.
struct Watch {
    keeper: Keeper,
    base: Option<TargetManifest>,
    objection: Option<String>,
}

impl Observer for Watch {
    fn live(&mut self, live: &Live<'_>) {
        self.keeper.live(live);
    }

    fn finished(&mut self, outcome: TrialOutcome) -> std::io::Result<()> {
        let name = outcome.record.target.clone();
        self.keeper.finished(outcome)?;
        // Once is enough: a broker's settings don't change from trial to trial.
        if let (Some(then), Some(now)) = (self.base.take(), target_of(self.keeper.manifest(), &name)) {
            let unlike = unlike_broker(&then, now);
            self.objection = (!unlike.is_empty()).then(|| {
                format!(
                    "not alike: {}; if the broker is what changed, say so with --broker-changed",
                    unlike.join("; ")
                )
            });
        }
        Ok(())
    }

    fn left_out(&mut self, target: &Target, error: &TrialError) {
        self.keeper.left_out(target, error);
    }

    fn objection(&self) -> Option<String> {
        self.objection.clone()
    }
}

/// What is said of it in the end.
fn reported(
    args: &GateArgs,
    plan: &Planned,
    (outcome, took): (&Outcome, u64),
    (recorded, folder): (Option<&Loaded>, &ResultsFolder),
) -> GateReport {
    let records: Vec<&TrialRecord> = folder.trials().iter().map(|trial| &trial.record).collect();
    let medians = report::headlines(&records);
    let of = |headlines: &[Headline], name: &str| headlines.iter().find(|one| one.target == name).cloned();
    let name = &plan.candidate().name;
    let mut notes = plan.notes.clone();
    let promises = |target: Option<&Target>| Some(of(&medians, &target?.name)?.guarantee);
    if let (Some(base), Some(candidate)) = (promises(plan.base()), promises(Some(plan.candidate())))
        && base != candidate
    {
        notes.push(format!("not alike: the base promises {base}, the candidate {candidate}"));
    }
    GateReport {
        schema_version: GateReport::SCHEMA_VERSION,
        scenario: format!("{} {}", plan.scenario.name, plan.point).trim_end().to_owned(),
        candidate: name.clone(),
        against: opponent(args, plan),
        seed: plan.seed,
        tolerance: args.tolerance,
        seconds: took as f64 / 1e9,
        outcome: outcome.clone(),
        notes,
        base_medians: match (plan.base(), recorded) {
            (Some(base), _) => of(&medians, &base.name),
            (None, Some(recorded)) => of(&recorded.headlines, name),
            (None, None) => None,
        },
        candidate_medians: of(&medians, name),
        folder: shown(folder.path()),
        command: folder.manifest().command(),
    }
}

/// A path as a user would type it.
fn shown(dir: &Path) -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    dir.strip_prefix(&here).unwrap_or(dir).to_owned()
}

/// Prints the end, and tells the CI job.
fn tell(args: &GateArgs, report: &GateReport, started_at: &str) -> anyhow::Result<()> {
    say(&if args.json { report.json()? } else { report.console(page()) });
    let (inconclusive, _) = args.on_inconclusive.means();
    if report.outcome.decision == Decision::Inconclusive && inconclusive == Inconclusive::Skip {
        complain(&format!("warning: the gate is inconclusive and was skipped: {}", report.outcome.reason));
    }
    let suite = Suite {
        name: report.scenario.clone(),
        started_at: started_at.to_owned(),
        seconds: report.seconds,
        cases: report::cases_of_gate(&report.outcome, &report.candidate, inconclusive),
    };
    ci::publish(&args.ci, &suite, &report.markdown())
}

/// What the exit code says.
fn exit(args: &GateArgs, ending: &GateEnding) -> Exit {
    let (_, inconclusive) = args.on_inconclusive.means();
    let decided = match ending.outcome.decision {
        Decision::Pass => Exit::Good,
        Decision::Fail => Exit::Fails,
        Decision::Inconclusive => inconclusive,
    };
    let missing = if ending.missing.is_empty() { Exit::Good } else { Exit::Missing };
    let interrupted = if ending.interrupted { Exit::Interrupted } else { Exit::Good };
    Exit::worst([decided, missing, interrupted])
}
