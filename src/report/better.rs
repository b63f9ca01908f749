//! Two runs held against each other: which is better at what, by how much, and how sure that is.

use serde::Serialize;

use super::compare::{Comparison, values};
use super::estimate::{Estimate, Ratio};
use super::humanise;
use super::loaded::Loaded;
use super::manifest::SCHEMA_VERSION;

/// A figure by its column: how it reads, its unit, and whether more of it is better.
type Figure = (&'static str, &'static str, fn(f64) -> String, bool);

/// What is held against each other. Rates that both were asked for and reached show no difference.
const FIGURES: [Figure; 9] = [
    ("deliveries_per_s", "delivered", humanise::rate, true),
    ("delivery_time_us_p50", "delivery time p50", humanise::micros, false),
    ("delivery_time_us_p99", "delivery time p99", humanise::micros, false),
    ("delivery_time_us_p99_9", "delivery time p99.9", humanise::micros, false),
    ("service_time_us_p50", "service time p50", humanise::micros, false),
    ("service_time_us_p99", "service time p99", humanise::micros, false),
    ("loss_ratio", "lost", humanise::percent, false),
    ("broker_cpu_us_per_message", "broker CPU per message", humanise::micros, false),
    ("broker_rss_bytes_max", "broker memory", |bytes| humanise::bytes(bytes as u64), false),
];

/// Two runs against each other.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Versus {
    /// Layout of the JSON form.
    pub schema_version: u64,
    /// Names of the two runs' folders, and of their targets where these are not the same.
    pub names: [String; 2],
    /// One for each figure that both have, target by target and point by point.
    pub findings: Vec<Better>,
    /// What is not alike, and what stands against either.
    pub unlike: Vec<String>,
}

/// Who is better at one figure.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Better {
    /// The target, as the first run names it.
    pub target: String,
    /// The point of the sweep; empty without a sweep.
    pub point: String,
    /// Column of `summary.csv`.
    pub column: String,
    /// Medians over trials, first run and second.
    pub medians: [Estimate; 2],
    /// Which of the two is better, 0 or 1; empty where the interval allows for either, or for none.
    pub better: Option<usize>,
    /// By how many times the better one is better; the second than the first where neither is. Empty where a ratio
    /// says nothing.
    pub times: Option<Ratio>,
}

impl Versus {
    /// Holds the second run against the first. Where each has one target, the two are compared whatever their
    /// names.
    #[must_use]
    pub fn of(first: &Loaded, second: &Loaded) -> Self {
        let renamed = renamed(first, second);
        let second_as = renamed.as_ref().map_or(second, |(run, _)| run);
        let mut comparison = Comparison::of(&[first.clone(), second_as.clone()]);
        let mut names = [comparison.runs[0].clone(), comparison.runs[1].clone()];
        if let Some((_, own)) = &renamed {
            names = [first.headlines[0].target.clone(), own.clone()];
        }
        let places =
            first.headlines.iter().map(|headline| (headline.target.as_str(), headline.point.as_str()));
        let findings = places.flat_map(|place| {
            FIGURES.iter().filter_map(move |figure| {
                better(place, figure, &values(first, place, figure.0), &values(second_as, place, figure.0))
            })
        });
        let findings: Vec<Better> = findings.collect();
        if findings.is_empty() {
            comparison.warnings.insert(0, "they have no target and point in common".to_owned());
        }
        Self { schema_version: SCHEMA_VERSION, names, findings, unlike: comparison.warnings }
    }

    /// As text for a terminal.
    #[must_use]
    pub fn console(&self) -> String {
        let mut text = String::new();
        let mut last = None;
        for finding in &self.findings {
            let place = format!("{} {}", finding.target, finding.point);
            if last.as_ref() != Some(&place) {
                text += &format!("{}: {} against {}\n", place.trim_end(), self.names[1], self.names[0]);
                last = Some(place);
            }
            text += &format!("  {}\n", self.sentence(finding));
        }
        text += "×: median of all ratios of trials, ± half its 95 % interval (Mann–Whitney; four trials on each side)\n";
        if !self.unlike.is_empty() {
            text += "Not alike, or against it:\n";
            self.unlike.iter().for_each(|line| text += &format!("  {line}\n"));
        }
        text
    }

    fn sentence(&self, finding: &Better) -> String {
        let figure = FIGURES.iter().find(|figure| figure.0 == finding.column);
        let (label, unit) =
            figure.map_or((finding.column.as_str(), humanise::rate as fn(f64) -> String), |f| (f.1, f.2));
        let [first, second] = finding.medians.map(|estimate| unit(estimate.median));
        let both = format!("{first} → {second}");
        match (finding.better, finding.times) {
            (Some(who), Some(ratio)) if ratio.ratio.is_finite() => {
                format!("{label}: {} is better, {}  ({both})", self.names[who], times(&ratio))
            }
            (None, Some(Ratio { interval: None, ratio })) => {
                format!("{label}: ×{}, too few trials to say more  ({both})", humanise::significant(ratio))
            }
            (None, Some(ratio)) => format!("{label}: no difference shown, {}  ({both})", times(&ratio)),
            (Some(who), _) => format!("{label}: {} is better  ({both})", self.names[who]),
            (None, None) => format!("{label}: no difference  ({both})"),
        }
    }
}

/// `1.8× ± 0.1`.
fn times(ratio: &Ratio) -> String {
    let half = ratio.interval.map(|interval| (interval.high - interval.low) / 2.0);
    match half.filter(|half| half.is_finite()) {
        Some(half) => format!("{}× ± {}", humanise::significant(ratio.ratio), humanise::significant(half)),
        None => format!("{}×", humanise::significant(ratio.ratio)),
    }
}

/// The second run with its only target named as the first's, and what it was named; `None` where names agree or
/// there are several.
fn renamed(first: &Loaded, second: &Loaded) -> Option<(Loaded, String)> {
    let only = |run: &Loaded| {
        let mut names: Vec<String> = run.headlines.iter().map(|headline| headline.target.clone()).collect();
        names.dedup();
        if names.len() == 1 { names.pop() } else { None }
    };
    let (wanted, own) = (only(first)?, only(second)?);
    if wanted == own {
        return None;
    }
    let mut run = second.clone();
    run.trials.iter_mut().for_each(|trial| trial.record.target.clone_from(&wanted));
    run.headlines.iter_mut().for_each(|headline| headline.target.clone_from(&wanted));
    run.manifest
        .targets
        .iter_mut()
        .filter(|target| target.name == own)
        .for_each(|target| target.name.clone_from(&wanted));
    Some((run, own))
}

fn better((target, point): (&str, &str), figure: &Figure, first: &[f64], second: &[f64]) -> Option<Better> {
    let (column, _, _, more) = figure;
    let medians = [Estimate::of(first)?, Estimate::of(second)?];
    // More than 1 means that the second is better.
    let forward = if *more { Ratio::of(second, first) } else { Ratio::of(first, second) };
    let backward = if *more { Ratio::of(first, second) } else { Ratio::of(second, first) };
    let above = |ratio: &Option<Ratio>| {
        ratio.and_then(|ratio| ratio.interval).is_some_and(|interval| interval.low > 1.0)
    };
    let all_equal = first.iter().chain(second).all(|value| Some(value) == first.first());
    let apart = Estimate::of(first).zip(Estimate::of(second)).map(|(a, b)| a.median - b.median);
    let better = match () {
        () if above(&forward) => Some(1),
        () if above(&backward) => Some(0),
        // Nothing lost against something lost has no ratio.
        () if forward.is_none() && backward.is_none() && !all_equal => {
            let second_is_less = apart.is_some_and(|apart| apart > 0.0);
            apart.filter(|apart| *apart != 0.0).map(|_| usize::from(second_is_less != *more))
        }
        () => None,
    };
    let times = if better == Some(0) { backward } else { forward };
    let (target, point, column) = (target.to_owned(), point.to_owned(), (*column).to_owned());
    Some(Better { target, point, column, medians, better, times })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Counts, Latencies, Quantile, Quantiles, TrialRecord};
    use crate::report::manifest::Manifest;
    use crate::report::summary::headlines;
    use crate::report::tables::Trial;

    /// Six trials around a p99, with so many lost in each.
    fn run(dir: &str, target: &str, p99: f64, lost: u64) -> Loaded {
        let record = |trial: u32| TrialRecord {
            target: target.into(),
            trial,
            counts: Counts { expected: 1_000, lost, ..Counts::default() },
            deliveries_per_s: Some(1_000.0),
            latencies: Latencies {
                delivery_time: Some(Quantiles {
                    p99: Some(Quantile::Micros(p99 * (1.0 + f64::from(trial) / 100.0))),
                    ..Quantiles::default()
                }),
                ..Latencies::default()
            },
            ..TrialRecord::default()
        };
        let records: Vec<TrialRecord> = (1..=6).map(record).collect();
        Loaded {
            dir: dir.into(),
            manifest: Manifest::default(),
            headlines: headlines(&records.iter().collect::<Vec<_>>()),
            trials: records.into_iter().map(|record| Trial { record, curves: Vec::new() }).collect(),
            ..Loaded::default()
        }
    }

    fn at(versus: &Versus, column: &str) -> Better {
        versus.findings.iter().find(|finding| finding.column == column).unwrap().clone()
    }

    #[test]
    fn the_better_one_is_named_with_how_many_times_and_an_interval_whichever_comes_first() {
        let (slow, quick) = (run("slow", "r", 1_800.0, 0), run("quick", "r", 1_000.0, 0));
        let versus = Versus::of(&slow, &quick);
        let p99 = at(&versus, "delivery_time_us_p99");
        assert_eq!(p99.better, Some(1));
        assert!((p99.times.unwrap().ratio - 1.8).abs() < 0.05, "{p99:?}");
        assert!(
            versus.console().contains("delivery time p99: quick is better, 1.80× ± 0.0"),
            "{}",
            versus.console()
        );
        let back = at(&Versus::of(&quick, &slow), "delivery_time_us_p99");
        assert_eq!((back.better, back.times.map(|t| t.ratio)), (Some(0), p99.times.map(|t| t.ratio)));
    }

    #[test]
    fn equal_runs_show_no_difference_at_anything() {
        let one = run("a", "r", 1_000.0, 0);
        let versus = Versus::of(&one, &one);
        assert!(versus.findings.iter().all(|finding| finding.better.is_none()), "{versus:?}");
        assert!(versus.console().contains("delivered: no difference shown"), "{}", versus.console());
        assert!(versus.console().contains("lost: no difference"), "{}", versus.console());
    }

    #[test]
    fn losing_nothing_is_better_than_losing_something() {
        let versus = Versus::of(&run("a", "r", 1.0, 0), &run("b", "r", 1.0, 7));
        assert_eq!(at(&versus, "loss_ratio").better, Some(0));
        assert!(versus.console().contains("lost: a is better"), "{}", versus.console());
    }

    #[test]
    fn two_systems_with_one_target_each_are_compared_by_their_own_names() {
        let versus = Versus::of(&run("a", "redis", 2_000.0, 0), &run("b", "nats", 1_000.0, 0));
        assert!(versus.console().starts_with("redis: nats against redis\n"), "{}", versus.console());
        assert!(versus.console().contains("nats is better"), "{}", versus.console());
    }
}
