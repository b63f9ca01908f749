//! What a search for the highest rate came to, for people and for machines; and the search itself, to be taken up
//! again.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::charts::{self, OverSwept, SweptSeries};
use super::error::ReportError;
use super::folder::{CHARTS, file_name};
use super::humanise::{self, NOT_MEASURED};
use super::{files, manifest::SCHEMA_VERSION};
use crate::gate::{Attempt, Capacity, Found, Rung};
use crate::measure::Quantile;

/// The file in a results folder.
const CAPACITY_JSON: &str = "capacity.json";

/// All searches of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CapacityReport {
    /// Layout of the JSON form.
    pub schema_version: u64,
    /// Name of the scenario.
    pub scenario: String,
    /// The scenario with all defaults filled in: a search can be taken up again with the same one only.
    pub scenario_filled_in: String,
    /// The objective, as it was written.
    pub expects: Vec<String>,
    /// One for each target, as far as its turn came.
    pub targets: Vec<Searched>,
}

/// The search on one target.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Searched {
    /// What it came to.
    #[serde(flatten)]
    pub capacity: Capacity,
    /// What the generator manages against a null peer, messages per second.
    pub ceiling_per_s: Option<f64>,
    /// Every trial, in order.
    pub attempts: Vec<Attempt>,
}

impl CapacityReport {
    /// The layout that `schema_version` should say.
    pub const SCHEMA_VERSION: u64 = SCHEMA_VERSION;

    /// Writes it into a results folder.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn keep(&self, dir: &Path) -> Result<(), ReportError> {
        files::replace_json(&dir.join(CAPACITY_JSON), self)
    }

    /// Reads it from a results folder.
    ///
    /// # Errors
    /// If it isn't there, can't be read, or is of a later version.
    pub fn open(dir: &Path) -> Result<Self, ReportError> {
        files::read_json(&dir.join(CAPACITY_JSON), SCHEMA_VERSION)
    }

    /// Draws the latency over load of each target into a results folder, and says where.
    ///
    /// # Errors
    /// If a chart can't be drawn or a file not be written.
    pub fn draw(&self, dir: &Path) -> Result<Vec<PathBuf>, ReportError> {
        let folder = dir.join(CHARTS);
        std::fs::create_dir_all(&folder).map_err(ReportError::io(&folder))?;
        let charted = self.targets.iter().filter(|one| !one.capacity.rungs.is_empty());
        charted
            .map(|one| {
                let path = folder.join(format!("capacity-{}.svg", file_name(&one.capacity.target)));
                files::replace(&path, charts::svg(&one.chart(self))?.as_bytes())?;
                charts::png(&one.chart(self), &path.with_extension("png"))?;
                Ok(path)
            })
            .collect()
    }

    /// As text for a terminal.
    #[must_use]
    pub fn console(&self) -> String {
        let objective = self.expects.join(" and ");
        let targets = self.targets.iter().map(|one| one.text(&objective));
        targets.collect::<Vec<_>>().join("\n")
    }
}

impl Searched {
    fn text(&self, objective: &str) -> String {
        let mut text = format!("{}: {}\n", self.capacity.target, self.answer(objective));
        let Capacity { low_per_s, high_per_s, limit, rungs, .. } = &self.capacity;
        match (low_per_s, high_per_s) {
            (Some(low), Some(high)) => {
                let (low, high) = (humanise::rate(*low), humanise::rate(*high));
                text += &format!("  between {low}, which every trial met, and {high}, which none met\n");
            }
            (Some(low), None) => text += &format!("  {} was met by every trial\n", humanise::rate(*low)),
            _ => {}
        }
        if let Some(limit) = limit.as_ref().filter(|_| self.capacity.rate_per_s.is_some()) {
            text += &format!("  in the way of more: {}: {}\n", limit.what.name(), limit.evidence);
        }
        if let Some(rung) = self.capacity.answer() {
            text += &format!("  there: {}\n", self.costs(rung));
        }
        if !rungs.is_empty() {
            text += &table(rungs);
        }
        text
    }

    /// Latency and throughput over the rates that were offered in short trials, with the answer marked.
    fn chart(&self, report: &CapacityReport) -> OverSwept {
        let Capacity { target, rungs, rate_per_s, .. } = &self.capacity;
        let short: Vec<&Rung> = rungs.iter().filter(|rung| !rung.long).collect();
        let of = |value: fn(&Rung) -> Option<f64>| -> Vec<f64> {
            short.iter().map(|rung| value(rung).unwrap_or(f64::NAN)).collect()
        };
        let name = |rung: &&Rung| {
            let mark = if Some(rung.rate_per_s) == *rate_per_s { " ◀" } else { "" };
            format!("{}{mark}", humanise::rate(rung.rate_per_s))
        };
        OverSwept {
            title: format!("Latency over load: {target}, {}", report.scenario),
            subtitle: format!("◀ the highest rate that meets {}", report.expects.join(" and ")),
            key: "offered".to_owned(),
            values: short.iter().map(name).collect(),
            latency: "delivery time".to_owned(),
            series: vec![SweptSeries {
                name: target.clone(),
                p50_us: of(|rung| rung.delivery_time_us_p50.map(Quantile::micros)),
                p99_us: of(|rung| rung.delivery_time_us_p99.map(Quantile::micros)),
                delivered_per_s: of(|rung| rung.deliveries_per_s),
            }],
        }
    }

    fn answer(&self, objective: &str) -> String {
        let rate = self.capacity.rate_per_s.map(humanise::rate);
        let least = if self.capacity.is_at_least() { "at least " } else { "" };
        let (found, why) = (self.capacity.found, self.capacity.unfinished.as_deref());
        match (rate, found) {
            (Some(rate), Some(Found::Knee | Found::AtLeast)) => {
                let confirmed = self.capacity.answer().map_or(0, |rung| rung.met);
                let by = if least.is_empty() { "" } else { ", generator-limited" };
                format!("{least}{rate} meets {objective}, confirmed by {confirmed} longer trials{by}")
            }
            (Some(rate), _) => format!(
                "so far {rate} meets {objective}; the search is not finished: {}",
                why.unwrap_or("it was ended")
            ),
            (None, Some(_)) => format!("no rate that was tried meets {objective}"),
            (None, None) => format!("no answer: {}", why.unwrap_or("the search was ended")),
        }
    }

    /// Latency and CPU at a rate, and how close the generator was to its own ceiling.
    fn costs(&self, rung: &Rung) -> String {
        let mut parts = vec![format!(
            "p50 {}, p99 {}",
            micros(rung.delivery_time_us_p50),
            micros(rung.delivery_time_us_p99)
        )];
        if let Some(cpu) = rung.broker_cpu_us_per_message {
            parts.push(format!("broker {} of CPU per message", humanise::micros(cpu)));
        }
        if let Some(cpu) = rung.harness_cpu_us_per_message {
            parts.push(format!("harness {}", humanise::micros(cpu)));
        }
        if let Some(ceiling) = self.ceiling_per_s {
            parts.push(format!("{:.0} % of the generator's ceiling", 100.0 * rung.rate_per_s / ceiling));
        }
        parts.join("; ")
    }
}

fn micros(quantile: Option<Quantile>) -> String {
    quantile.map_or_else(|| NOT_MEASURED.to_owned(), |quantile| humanise::micros(quantile.micros()))
}

/// The latency over load, one line for each rate.
fn table(rungs: &[Rung]) -> String {
    let mut text = format!(
        "  {:>12} {:>12} {:>7} {:>10} {:>10} {:>8}\n",
        "offered", "delivered", "met", "p50", "p99", "broker"
    );
    for rung in rungs {
        let met = format!("{}/{}", rung.met, rung.met + rung.missed);
        let cores = rung.broker_cores.map_or_else(|| NOT_MEASURED.to_owned(), |cores| format!("{cores:.2}"));
        let note = if rung.long { "longer trials" } else { rung.why.as_str() };
        let line = format!(
            "  {:>12} {:>12} {met:>7} {:>10} {:>10} {cores:>8}  {note}",
            humanise::rate(rung.rate_per_s),
            rung.deliveries_per_s.map_or_else(|| NOT_MEASURED.to_owned(), humanise::rate),
            micros(rung.delivery_time_us_p50),
            micros(rung.delivery_time_us_p99),
        );
        text += &format!("{}\n", line.trim_end());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::{Bottleneck, Limit};

    fn rung(rate_per_s: f64, long: bool, met: usize, missed: usize) -> Rung {
        Rung {
            rate_per_s,
            long,
            met,
            missed,
            why: if missed > 0 { "p99 is 12000, not <= 10000".into() } else { String::new() },
            deliveries_per_s: Some(rate_per_s),
            delivery_time_us_p50: Some(Quantile::Micros(180.0)),
            delivery_time_us_p99: Some(Quantile::Micros(2_400.0)),
            broker_cpu_us_per_message: Some(22.0),
            harness_cpu_us_per_message: Some(11.0),
            broker_cores: Some(0.97),
        }
    }

    fn report(what: Bottleneck) -> CapacityReport {
        let capacity = Capacity {
            target: "redis".into(),
            found: Some(Found::Knee),
            unfinished: None,
            rate_per_s: Some(41_200.0),
            low_per_s: Some(40_100.0),
            high_per_s: Some(42_400.0),
            limit: Some(Limit { what, evidence: "it used 0.98 cores: one thread is full".into() }),
            rungs: vec![rung(41_200.0, false, 3, 1), rung(41_200.0, true, 2, 0), rung(42_400.0, false, 0, 3)],
        };
        CapacityReport {
            schema_version: SCHEMA_VERSION,
            scenario: "quick".into(),
            scenario_filled_in: String::new(),
            expects: vec!["delivery_time_us_p99 <= 10ms".into(), "lost == 0".into()],
            targets: vec![Searched { capacity, ceiling_per_s: Some(100_000.0), attempts: Vec::new() }],
        }
    }

    #[test]
    fn the_answer_comes_first_with_its_interval_its_limit_and_its_costs() {
        let text = report(Bottleneck::Broker).console();
        assert!(
            text.starts_with("redis: 41.2 k/s meets delivery_time_us_p99 <= 10ms and lost == 0, confirmed by 2 longer trials\n"),
            "{text}"
        );
        assert!(
            text.contains("between 40.1 k/s, which every trial met, and 42.4 k/s, which none met"),
            "{text}"
        );
        assert!(text.contains("in the way of more: the broker: it used 0.98 cores"), "{text}");
        assert!(text.contains("41 % of the generator's ceiling"), "{text}");
        assert!(text.contains("p99 is 12000, not <= 10000"), "{text}");
    }

    #[test]
    fn what_the_generator_limits_is_never_called_the_brokers() {
        let text = report(Bottleneck::Generator).console();
        assert!(text.starts_with("redis: at least 41.2 k/s") && text.contains("generator-limited"), "{text}");
    }

    #[test]
    fn a_search_that_ended_before_its_end_says_so() {
        let mut report = report(Bottleneck::Broker);
        let capacity = &mut report.targets[0].capacity;
        capacity.found = None;
        capacity.unfinished = Some("the budget of 1m is spent after 9 trials".into());
        let text = report.console();
        assert!(text.contains("so far 41.2 k/s") && text.contains("the budget of 1m"), "{text}");
        report.targets[0].capacity.rate_per_s = None;
        assert!(report.console().starts_with("redis: no answer: the budget"), "{}", report.console());
    }

    #[test]
    fn it_reads_back_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        let report = report(Bottleneck::Machine);
        report.keep(dir.path()).unwrap();
        let charts = report.draw(dir.path()).unwrap();
        let chart = std::fs::read_to_string(&charts[0]).unwrap();
        assert!(chart.contains("41.2 k/s ◀") && charts[0].with_extension("png").is_file());
        assert_eq!(CapacityReport::open(dir.path()).unwrap(), report);
    }
}
