//! How much this machine lets equal things differ: the same system measured against itself.

use super::{Ending, Interrupt, Observer};
use crate::gate::{median, variation};
use crate::measure::statistics::{TWO_SIDED, interval, middle, ranked};
use crate::measure::{Live, Quantile, Quantiles, TrialRecord};
use crate::scenario::{Scenario, Target};
use crate::trial::{TrialError, TrialOutcome};

/// What is driven: the bundled engine, twice, enough messages for a p99 in a second and a half.
const SCENARIO: &str = r#"
name = "noise"
[workload]
payload = "256B"
publishers = 2
subscribers = 2
topics = 2
subscribe = "paired"
rate = "8k/s"
[phases]
warm_up = "300ms"
measure = "1500ms"
drain = "1s"
[trials]
count = 6
[[target]]
name = "a"
driver = "redis-pubsub"
broker = "bundled"
[[target]]
name = "b"
driver = "redis-pubsub"
broker = "bundled"
"#;

/// What an A/A shows.
#[derive(Debug, Clone, PartialEq, Default, serde::Serialize)]
pub struct Noise {
    /// Trials of each side.
    pub trials: usize,
    /// Of the median delivery time.
    pub p50: Option<Spread>,
    /// Of its 99th percentile.
    pub p99: Option<Spread>,
    /// What stands against the trials, each thing once.
    pub reasons: Vec<String>,
}

/// How much a figure differs from trial to trial, and from one side to the other.
#[derive(Debug, Clone, Copy, PartialEq, serde::Serialize)]
pub struct Spread {
    /// Median of all trials, µs.
    pub median_us: f64,
    /// Standard deviation of all trials by their mean; empty if one of them had no figure.
    pub variation: Option<f64>,
    /// How many times larger one side is than the other, trial by trial: 1 is the truth.
    pub ratio: f64,
    /// Its interval at 95 %: less than this far from 1 means nothing here. Empty below six trials.
    pub interval: Option<(f64, f64)>,
}

impl Spread {
    /// The smallest difference of two systems that could mean something here, as a share.
    #[must_use]
    pub fn smallest_effect(&self) -> Option<f64> {
        self.interval.map(|(low, high)| (high - 1.0).max(1.0 / low - 1.0).max(0.0))
    }
}

impl Noise {
    /// Of the trials of two sides.
    #[must_use]
    pub fn of(records: &[TrialRecord]) -> Self {
        let side = |name: &str| {
            let mut side: Vec<&TrialRecord> = records.iter().filter(|record| record.target == name).collect();
            side.sort_by_key(|record| record.trial);
            side
        };
        let (a, b) = (side("a"), side("b"));
        let mut reasons: Vec<String> = records
            .iter()
            .flat_map(|record| record.verdict.reasons.iter().map(|reason| reason.code.name().to_owned()))
            .collect();
        reasons.sort();
        reasons.dedup();
        Self {
            trials: a.len().min(b.len()),
            p50: spread(&a, &b, |quantiles| quantiles.p50),
            p99: spread(&a, &b, |quantiles| quantiles.p99),
            reasons,
        }
    }
}

fn spread(
    a: &[&TrialRecord],
    b: &[&TrialRecord],
    which: impl Fn(&Quantiles) -> Option<Quantile>,
) -> Option<Spread> {
    let value = |record: &&TrialRecord| {
        let quantile = record.latencies.delivery_time.as_ref().and_then(&which);
        quantile.map_or(f64::NAN, Quantile::micros)
    };
    let (a, b): (Vec<f64>, Vec<f64>) = (a.iter().map(value).collect(), b.iter().map(value).collect());
    let all = [a.as_slice(), b.as_slice()].concat();
    // The i-th trials of both ran side by side: the machine's drift falls out of their ratio.
    let ratios: Vec<f64> = b.iter().zip(&a).map(|(b, a)| b / a).filter(|ratio| !ratio.is_nan()).collect();
    let ratios = ranked(&ratios)?;
    Some(Spread {
        median_us: median(&all)?,
        variation: variation(&all),
        ratio: middle(&ratios),
        interval: interval(&ratios, TWO_SIDED),
    })
}

/// Measures the bundled engine against itself; fewer trials if the user ends it.
///
/// # Errors
/// When the engine can't be started, or the system gives no runtime.
pub fn noise(interrupt: &Interrupt, heard: impl FnMut(&Live<'_>)) -> std::io::Result<(Noise, Ending)> {
    let scenario = Scenario::parse(SCENARIO, "noise", &[]).map_err(std::io::Error::other)?;
    let mut kept = Kept { heard, records: Vec::new(), failed: None };
    let ending = super::run(&scenario, interrupt, &mut kept)?;
    match kept.failed {
        Some(why) => Err(std::io::Error::other(why)),
        None => Ok((Noise::of(&kept.records), ending)),
    }
}

/// Keeps records in memory.
struct Kept<F> {
    heard: F,
    records: Vec<TrialRecord>,
    failed: Option<String>,
}

impl<F: FnMut(&Live<'_>)> Observer for Kept<F> {
    fn live(&mut self, live: &Live<'_>) {
        (self.heard)(live);
    }

    fn finished(&mut self, outcome: TrialOutcome) -> std::io::Result<()> {
        self.records.push(outcome.record);
        Ok(())
    }

    fn left_out(&mut self, _: &Target, error: &TrialError) {
        self.failed = Some(error.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Latencies, Quantiles};

    fn record(target: &str, trial: u32, p99: f64) -> TrialRecord {
        let delivery = Quantiles {
            p50: Some(Quantile::Micros(100.0)),
            p99: Some(Quantile::Micros(p99)),
            ..Quantiles::default()
        };
        TrialRecord {
            target: target.into(),
            trial,
            latencies: Latencies { delivery_time: Some(delivery), ..Latencies::default() },
            ..TrialRecord::default()
        }
    }

    #[test]
    fn equal_sides_have_a_ratio_of_one_and_noise_widens_its_interval() {
        let sides: Vec<TrialRecord> = (1..=6)
            .flat_map(|trial| {
                let wobble = if trial % 2 == 0 { 1.25 } else { 0.8 };
                [record("b", trial, 400.0 * wobble), record("a", trial, 400.0)]
            })
            .collect();
        let noise = Noise::of(&sides);
        let (p50, p99) = (noise.p50.unwrap(), noise.p99.unwrap());
        assert_eq!(
            (noise.trials, p50.ratio, p50.interval, p50.variation),
            (6, 1.0, Some((1.0, 1.0)), Some(0.0))
        );
        assert_eq!(p50.smallest_effect(), Some(0.0));
        assert_eq!(p99.interval, Some((0.8, 1.25)));
        assert!((p99.smallest_effect().unwrap() - 0.25).abs() < 1e-9);
        assert!(p99.variation.unwrap() > 0.1);
    }

    #[test]
    fn no_trials_show_nothing() {
        assert_eq!(Noise::of(&[]), Noise::default());
    }

    #[test]
    fn the_scenario_is_two_times_the_same() {
        let scenario = Scenario::parse(SCENARIO, "noise", &[]).unwrap();
        let [a, b] = scenario.targets.as_slice() else { panic!("two targets") };
        assert_eq!((&a.driver, &a.broker), (&b.driver, &b.broker));
    }
}
