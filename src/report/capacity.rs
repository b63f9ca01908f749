//! What a search for the highest rate came to, for people and for machines; and the search itself, to be taken up
//! again.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::charts::{OverSwept, SweptSeries};
use super::error::ReportError;
use super::humanise::{self, NOT_MEASURED};
use super::{files, manifest::SCHEMA_VERSION};
use crate::gate::{Attempt, Capacity, Found, Rung};
use crate::measure::Quantile;

/// The file in a results folder.
const CAPACITY_JSON: &str = "capacity.json";

/// Heads of the columns of a table of rates.
pub(super) const COLUMNS: [&str; 7] = ["offered", "delivered", "met", "p50", "p99", "broker cores", "note"];

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
    /// One for each target.
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

    /// The same of a folder in which nothing may have been searched for.
    ///
    /// # Errors
    /// If it can't be read, or is of a later version.
    pub(super) fn of_folder(dir: &Path) -> Result<Option<Self>, ReportError> {
        dir.join(CAPACITY_JSON).exists().then(|| Self::open(dir)).transpose()
    }

    /// Latency and throughput over load, one chart for each target that was tried, with the target's name.
    pub(super) fn charts(&self) -> impl Iterator<Item = (&str, OverSwept)> {
        let tried = self.targets.iter().filter(|one| !one.capacity.rungs.is_empty());
        tried.map(|one| (one.capacity.target.as_str(), one.chart(self)))
    }

    /// Whether an answer was found at this rate of a target, in short trials or in longer ones.
    pub(super) fn is_answer(&self, target: &str, offered_per_s: Option<f64>) -> bool {
        let own = |one: &&Searched| one.capacity.target == target;
        offered_per_s.is_some()
            && self.targets.iter().find(own).is_some_and(|one| one.capacity.rate_per_s == offered_per_s)
    }

    /// As text for a terminal.
    #[must_use]
    pub fn console(&self) -> String {
        let objective = self.objective();
        let targets = self.targets.iter().map(|one| one.text(&objective));
        targets.collect::<Vec<_>>().join("\n")
    }

    /// The objective in one line.
    pub(super) fn objective(&self) -> String {
        self.expects.join(" and ")
    }
}

impl Searched {
    fn text(&self, objective: &str) -> String {
        let mut text = format!("{}: {}\n", self.capacity.target, self.answer(objective));
        self.facts().iter().for_each(|fact| text += &format!("  {fact}\n"));
        if !self.capacity.rungs.is_empty() {
            text += &table(&self.capacity.rungs);
        }
        text
    }

    /// What there is to be said besides the answer: its interval, what was in the way of more, what it costs.
    pub(super) fn facts(&self) -> Vec<String> {
        let Capacity { low_per_s, high_per_s, limit, .. } = &self.capacity;
        let interval = match (low_per_s.map(humanise::rate), high_per_s.map(humanise::rate)) {
            (Some(low), Some(high)) => {
                Some(format!("between {low}, which every trial met, and {high}, which none met"))
            }
            (Some(low), None) => Some(format!("{low} was met by every trial")),
            _ => None,
        };
        let limit = limit.as_ref().filter(|_| self.capacity.rate_per_s.is_some());
        let limit =
            limit.map(|limit| format!("in the way of more: {}: {}", limit.what.name(), limit.evidence));
        let there = self.capacity.answer().map(|rung| format!("there: {}", self.costs(rung)));
        [interval, limit, there].into_iter().flatten().collect()
    }

    /// Latency and throughput over the rates that were offered, with the answer marked; of the longer trials where there
    /// are some.
    fn chart(&self, report: &CapacityReport) -> OverSwept {
        let Capacity { target, rungs, rate_per_s, .. } = &self.capacity;
        let is_long = |rate: f64| rungs.iter().any(|rung| rung.long && rung.rate_per_s == rate);
        let best: Vec<&Rung> = rungs.iter().filter(|rung| rung.long || !is_long(rung.rate_per_s)).collect();
        let of = |value: fn(&Rung) -> Option<f64>| -> Vec<f64> {
            best.iter().map(|rung| value(rung).unwrap_or(f64::NAN)).collect()
        };
        let name = |rung: &&Rung| {
            let mark = if Some(rung.rate_per_s) == *rate_per_s { " ◀" } else { "" };
            format!("{}{mark}", humanise::rate(rung.rate_per_s))
        };
        OverSwept {
            title: format!("Latency over load: {target}, {}", report.scenario),
            subtitle: format!("◀ the highest rate that meets {}", report.objective()),
            key: "offered".to_owned(),
            values: best.iter().map(name).collect(),
            latency: "delivery time".to_owned(),
            series: vec![SweptSeries {
                name: target.clone(),
                p50_us: of(|rung| rung.delivery_time_us_p50.map(Quantile::micros)),
                p99_us: of(|rung| rung.delivery_time_us_p99.map(Quantile::micros)),
                delivered_per_s: of(|rung| rung.deliveries_per_s),
            }],
        }
    }

    /// The answer in one sentence.
    pub(super) fn answer(&self, objective: &str) -> String {
        let rate = self.capacity.rate_per_s.map(humanise::rate);
        let least = if self.capacity.is_at_least() { "at least " } else { "" };
        let (found, why) = (self.capacity.found, self.capacity.unfinished.as_deref());
        match (rate, found) {
            (Some(rate), Some(Found::Knee | Found::AtLeast)) => {
                let (met, missed) = self.capacity.answer().map_or((0, 0), |rung| (rung.met, rung.missed));
                // The answer is where half of the longer trials meet it, so some of those at it may not.
                let of = if missed == 0 { String::new() } else { format!(" of {}", met + missed) };
                let by = if least.is_empty() { "" } else { ", generator-limited" };
                format!("{least}{rate} meets {objective}, confirmed by {met}{of} longer trials{by}")
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

/// What was measured at a rate, column by column.
pub(super) fn cells(rung: &Rung) -> [String; 7] {
    let or_none = |text: Option<String>| text.unwrap_or_else(|| NOT_MEASURED.to_owned());
    [
        humanise::rate(rung.rate_per_s),
        or_none(rung.deliveries_per_s.map(humanise::rate)),
        format!("{}/{}", rung.met, rung.met + rung.missed),
        micros(rung.delivery_time_us_p50),
        micros(rung.delivery_time_us_p99),
        or_none(rung.broker_cores.map(|cores| format!("{cores:.2}"))),
        if rung.long { "longer trials".to_owned() } else { rung.why.clone() },
    ]
}

/// The latency over load, one line for each rate.
fn table(rungs: &[Rung]) -> String {
    let line = |[offered, delivered, met, p50, p99, cores, note]: [String; 7]| {
        let line =
            format!("  {offered:>12} {delivered:>12} {met:>7} {p50:>10} {p99:>10} {cores:>12}  {note}");
        format!("{}\n", line.trim_end())
    };
    let head = line(COLUMNS.map(str::to_owned));
    head + &rungs.iter().map(|rung| line(cells(rung))).collect::<String>()
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
        assert_eq!(CapacityReport::of_folder(dir.path()).unwrap(), Some(report.clone()));
        let elsewhere = tempfile::tempdir().unwrap();
        assert_eq!(CapacityReport::of_folder(elsewhere.path()).unwrap(), None);
        let (target, chart) = report.charts().next().unwrap();
        assert_eq!(
            (target, chart.values.clone()),
            ("redis", vec!["41.2 k/s ◀".to_owned(), "42.4 k/s".to_owned()])
        );
        assert!(report.is_answer("redis", Some(41_200.0)) && !report.is_answer("redis", Some(42_400.0)));
        assert!(!report.is_answer("redis", None) && !report.is_answer("nats", Some(41_200.0)));
    }
}
