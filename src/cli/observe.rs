//! Keeps what a campaign measures as it comes, and shows how it is going.

use std::io::{self, IsTerminal};

use super::exit::complain;
use super::metrics::Metrics;
use crate::campaign::{Calibration, Observer};
use crate::clock::{Clock, unix_nanos};
use crate::measure::{Host, Live};
use crate::report::{Build, Manifest, PointManifest, Progress, ResultsFolder, TargetManifest, Trial};
use crate::scenario::{Broker, Scenario, Target, url};
use crate::trial::{TrialError, TrialOutcome};

/// Puts every finished trial into the results folder at once, and shows how the run is going.
#[derive(Debug)]
pub(super) struct Keeper {
    folder: ResultsFolder,
    calibrations: Vec<Calibration>,
    progress: Progress,
    metrics: Option<Metrics>,
}

impl Keeper {
    pub(super) fn new(folder: ResultsFolder, calibrations: Vec<Calibration>, quiet: bool) -> Self {
        let progress = match (quiet, io::stderr().is_terminal()) {
            (true, _) => Progress::quiet(),
            (false, true) => Progress::bar(),
            (false, false) => Progress::lines(Clock::real()),
        };
        Self { folder, calibrations, progress, metrics: None }
    }

    /// The same, that also tells a page how it is going.
    pub(super) fn serving(self, metrics: Option<Metrics>) -> Self {
        Self { metrics, ..self }
    }

    /// What is known so far of how the run came about.
    pub(super) fn manifest(&self) -> &Manifest {
        self.folder.manifest()
    }

    /// The folder, whole and closed.
    ///
    /// # Errors
    /// When it can't be written.
    pub(super) fn finish(mut self, interrupted: bool) -> anyhow::Result<ResultsFolder> {
        self.progress.clear();
        self.folder.finish(unix_nanos(), interrupted)?;
        Ok(self.folder)
    }
}

impl Observer for Keeper {
    fn live(&mut self, live: &Live<'_>) {
        if let Some(metrics) = &mut self.metrics {
            metrics.live(live);
        }
        if let Some(line) = self.progress.update(live) {
            complain(&line);
        }
    }

    fn finished(&mut self, mut outcome: TrialOutcome) -> io::Result<()> {
        let record = &mut outcome.record;
        let of = |known: &&Calibration| {
            known.driver == record.driver
                && known.client == record.client
                && (known.points.is_empty() || known.points.contains(&record.point))
        };
        let ceiling = self.calibrations.iter().find(of).map(|known| known.ceiling_per_s);
        record.percent_of_ceiling =
            record.publishes_per_s.zip(ceiling).map(|(rate, ceiling)| 100.0 * rate / ceiling);
        if let Some(metrics) = &mut self.metrics {
            metrics.finished(record);
        }
        let trial = Trial::of(outcome.record, &outcome.collected.totals);
        let (log, start) = (&outcome.collected.log, outcome.started_unix_nanos);
        self.folder.write_log(&trial.record, log, start).map_err(io::Error::other)?;
        let name = trial.record.target.clone();
        self.folder
            .amend(|manifest| {
                if let Some(target) = manifest.targets.iter_mut().find(|target| target.name == name) {
                    target.broker_version = Some(outcome.broker_version);
                    target.effective_config = outcome.broker_config;
                    target.guarantee = outcome.guarantees.label();
                    target.deviations = outcome.guarantees.deviations;
                }
            })
            .map_err(io::Error::other)?;
        self.folder.append(trial).map_err(io::Error::other)
    }

    fn left_out(&mut self, target: &Target, error: &TrialError) {
        let how = if target.optional { "left out" } else { "could not be measured" };
        if let Some(line) = self.progress.say(&format!("target {} {how}: {error}", target.name)) {
            complain(&line);
        }
        let amended = self.folder.amend(|manifest| {
            if let Some(entry) = manifest.targets.iter_mut().find(|entry| entry.name == target.name) {
                entry.left_out = Some(error.to_string());
            }
        });
        if let Err(error) = amended {
            complain(&format!("the manifest could not be written: {error}"));
        }
    }
}

/// Everything about a run that is known before it starts; `text` is the scenario as it was given.
pub(super) fn manifest(text: &str, scenario: &Scenario, calibrations: &[Calibration]) -> Manifest {
    Manifest {
        scenario: scenario.name.clone(),
        scenario_text: text.to_owned(),
        scenario_filled_in: scenario.to_toml(),
        seed: scenario.trials.seed,
        command_line: std::env::args().collect(),
        trials_planned: scenario.trials.count
            * scenario.targets.len() as u32
            * scenario.at_points().len() as u32,
        points: scenario
            .points
            .iter()
            .map(|point| PointManifest { name: point.name.clone(), settings: point.settings.clone() })
            .collect(),
        busmark: Build {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            commit: option_env!("BUSMARK_COMMIT").filter(|commit| !commit.is_empty()).map(str::to_owned),
            profile: if cfg!(debug_assertions) { "debug" } else { "release" }.to_owned(),
        },
        environment: serde_json::to_value(Host::default().environment()).unwrap_or_default(),
        targets: scenario.targets.iter().map(target).collect(),
        calibration: serde_json::to_value(calibrations).unwrap_or_default(),
        ..Manifest::default()
    }
}

fn target(target: &Target) -> TargetManifest {
    let place = |broker: &Broker| match broker {
        Broker::Managed(managed) if managed.nodes > 1 => format!("managed, {} nodes", managed.nodes),
        Broker::Managed(_) => "managed".to_owned(),
        Broker::External { url } => url::public(url),
        Broker::Command { .. } => "command".to_owned(),
        Broker::Bundled => "bundled".to_owned(),
        Broker::None => "none".to_owned(),
    };
    let new = target.dual_write.iter().map(|dual_write| place(&dual_write.broker));
    let broker = [place(&target.broker)].into_iter().chain(new);
    TargetManifest {
        name: target.name.clone(),
        driver: target.driver_name(),
        client: target.client_name(),
        broker: broker.collect::<Vec<_>>().join(" + "),
        ..TargetManifest::default()
    }
}
