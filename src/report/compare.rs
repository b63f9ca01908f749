//! Several runs side by side: what changed against the first one, and how sure that is.

use comfy_table::presets::{ASCII_MARKDOWN, UTF8_HORIZONTAL_ONLY};
use comfy_table::{CellAlignment, ContentArrangement, Table};
use serde::Serialize;

use super::columns::columns;
use super::console::Page;
use super::estimate::{Estimate, Ratio};
use super::files;
use super::humanise::{self, NOT_MEASURED};
use super::loaded::Loaded;
use super::manifest::SCHEMA_VERSION;

/// A figure that is compared: its column, how it reads, its unit.
type Figure = (&'static str, &'static str, fn(f64) -> String);

/// What is compared.
const COMPARED: [Figure; 12] = [
    ("publishes_per_s", "published", humanise::rate),
    ("deliveries_per_s", "delivered", humanise::rate),
    ("delivery_time_us_p50", "delivery time p50", humanise::micros),
    ("delivery_time_us_p99", "delivery time p99", humanise::micros),
    ("delivery_time_us_p99_9", "delivery time p99.9", humanise::micros),
    ("transit_time_us_p50", "transit time p50", humanise::micros),
    ("transit_time_us_p99", "transit time p99", humanise::micros),
    ("service_time_us_p50", "service time p50", humanise::micros),
    ("service_time_us_p99", "service time p99", humanise::micros),
    ("loss_ratio", "lost", humanise::percent),
    ("broker_cpu_us_per_message", "broker CPU per message", humanise::micros),
    ("harness_cpu_us_per_message", "harness CPU per message", humanise::micros),
];

/// Several runs against the first of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Comparison {
    /// Layout of the JSON form.
    pub schema_version: u64,
    /// Names of the runs' folders; the first is what the others are compared with.
    pub runs: Vec<String>,
    /// One per target, point and figure that the first run and another have.
    pub differences: Vec<Difference>,
    /// Why ratios may mean less than they seem to.
    pub warnings: Vec<String>,
}

/// One figure of one target in all runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// The target.
    pub target: String,
    /// The point of the sweep; empty without a sweep.
    pub point: String,
    /// Column of `summary.csv`.
    pub column: String,
    /// One per run, in their order.
    pub runs: Vec<Option<Compared>>,
}

/// A figure of one run beside the first run's.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Compared {
    /// Its median over trials.
    pub estimate: Estimate,
    /// How much larger it is than the first run's; empty for the first run, and where a ratio says nothing.
    pub ratio: Option<Ratio>,
}

impl Comparison {
    /// Compares runs with the first of them.
    #[must_use]
    pub fn of(runs: &[Loaded]) -> Self {
        let name = |run: &Loaded| run.dir.file_name().map(|name| name.to_string_lossy().into_owned());
        Self {
            schema_version: SCHEMA_VERSION,
            runs: runs.iter().map(|run| name(run).unwrap_or_else(|| run.dir.display().to_string())).collect(),
            differences: runs.first().map_or_else(Vec::new, |base| differences(base, runs)),
            warnings: warnings(runs),
        }
    }

    /// As tables for a terminal, one per target.
    #[must_use]
    pub fn console(&self, page: Page) -> String {
        let mut style = UTF8_HORIZONTAL_ONLY;
        style.row_separator = comfy_table::LineStyle::none();
        let render = |rows: &[&Difference]| {
            let mut table = self.table(rows);
            table
                .load_style(style)
                .set_content_arrangement(ContentArrangement::Dynamic)
                .set_width(page.width);
            for column in table.column_iter_mut().skip(1) {
                column.set_cell_alignment(CellAlignment::Right);
            }
            table.trim_fmt()
        };
        self.text(render)
    }

    /// As GitHub-flavoured Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let text = self.text(|rows| self.table(rows).load_style(ASCII_MARKDOWN).trim_fmt());
        text.replace("\n|", "\n\n|").replace("|\n\n|", "|\n|")
    }

    fn text(&self, render: impl Fn(&[&Difference]) -> String) -> String {
        let mut text = String::new();
        let mut places: Vec<(&str, &str)> = Vec::new();
        for difference in &self.differences {
            let place = (difference.target.as_str(), difference.point.as_str());
            if !places.contains(&place) {
                places.push(place);
            }
        }
        for (target, point) in places {
            let own: Vec<&Difference> =
                self.differences.iter().filter(|d| d.target == target && d.point == point).collect();
            text.push_str(&format!("{}\n{}\n\n", format!("{target} {point}").trim_end(), render(&own)));
        }
        if self.differences.is_empty() {
            text.push_str("These runs have no target in common.\n");
        }
        text.push_str(&format!("{}\n", self.legend()));
        self.warnings.iter().for_each(|warning| text.push_str(&format!("Mind: {warning}\n")));
        text
    }

    /// What the sign in the cells means.
    pub(super) fn legend(&self) -> String {
        let base = self.runs.first().map_or("", String::as_str);
        format!(
            "×: how much larger than in {base}: median of all ratios of trials, in brackets its 95 % interval \
             (Mann–Whitney; four trials on each side)."
        )
    }

    /// Every difference as people read it: target, point and figure, and a cell for each run.
    pub(super) fn rows(&self) -> impl Iterator<Item = (String, Vec<String>)> + '_ {
        self.differences.iter().map(|difference| {
            let (label, cells) = difference.words();
            let place = format!("{} {}", difference.target, difference.point);
            (format!("{}: {label}", place.trim_end()), cells)
        })
    }

    fn table(&self, differences: &[&Difference]) -> Table {
        let mut table = Table::new();
        table.set_header(std::iter::once("").chain(self.runs.iter().map(String::as_str)));
        for difference in differences {
            let (label, cells) = difference.words();
            table.add_row(std::iter::once(label).chain(cells));
        }
        table
    }

    /// As CSV, one row per figure and run.
    ///
    /// # Errors
    /// Never in memory; the CSV writer says otherwise.
    pub fn csv(&self) -> Result<Vec<u8>, csv::Error> {
        let header = [
            "run",
            "target",
            "point",
            "column",
            "median",
            "low",
            "high",
            "trials",
            "ratio",
            "ratio_low",
            "ratio_high",
        ];
        let rows = self.differences.iter().flat_map(|difference| {
            difference.runs.iter().zip(&self.runs).filter_map(move |(compared, run)| {
                let Compared { estimate, ratio } = (*compared)?;
                let Difference { target, point, column, .. } = difference;
                let interval = ratio.and_then(|ratio| ratio.interval);
                Some([
                    run.clone(),
                    target.clone(),
                    point.clone(),
                    column.clone(),
                    estimate.median.to_string(),
                    estimate.interval.map_or_else(String::new, |interval| interval.low.to_string()),
                    estimate.interval.map_or_else(String::new, |interval| interval.high.to_string()),
                    estimate.trials.to_string(),
                    ratio.map_or_else(String::new, |ratio| ratio.ratio.to_string()),
                    interval.map_or_else(String::new, |interval| interval.low.to_string()),
                    interval.map_or_else(String::new, |interval| interval.high.to_string()),
                ])
            })
        });
        files::csv(&header, rows)
    }
}

impl Difference {
    /// The figure's name, and a cell for each run.
    fn words(&self) -> (String, Vec<String>) {
        let known = COMPARED.iter().find(|(column, _, _)| *column == self.column);
        let (label, unit) = known
            .map_or((self.column.as_str(), humanise::significant as fn(f64) -> String), |known| {
                (known.1, known.2)
            });
        let cells = self.runs.iter().map(|run| run.map_or_else(not_measured, |run| cell(&run, unit)));
        (label.to_owned(), cells.collect())
    }
}

fn not_measured() -> String {
    NOT_MEASURED.to_owned()
}

/// `66.0 µs`, and for all but the first run ` ×1.05 [0.98 – 1.12]`.
fn cell(compared: &Compared, unit: fn(f64) -> String) -> String {
    let value = unit(compared.estimate.median);
    let Some(ratio) = compared.ratio else { return value };
    let times = humanise::significant(ratio.ratio);
    match ratio.interval {
        Some(interval) => {
            let (low, high) = (humanise::significant(interval.low), humanise::significant(interval.high));
            format!("{value} ×{times} [{low} – {high}]")
        }
        None => format!("{value} ×{times}"),
    }
}

fn differences(base: &Loaded, runs: &[Loaded]) -> Vec<Difference> {
    let mut all = Vec::new();
    for headline in &base.headlines {
        let place = (headline.target.as_str(), headline.point.as_str());
        for (column, _, _) in COMPARED {
            let base_values = values(base, place, column);
            let compared: Vec<Option<Compared>> = runs
                .iter()
                .enumerate()
                .map(|(index, run)| {
                    let own = values(run, place, column);
                    let ratio = if index == 0 { None } else { Ratio::of(&own, &base_values) };
                    Estimate::of(&own).map(|estimate| Compared { estimate, ratio })
                })
                .collect();
            if compared.first().is_some_and(Option::is_some) && compared.iter().skip(1).any(Option::is_some) {
                let (target, point) = (place.0.to_owned(), place.1.to_owned());
                all.push(Difference { target, point, column: column.to_owned(), runs: compared });
            }
        }
    }
    all
}

/// The values of a column in all trials of a target at a point; none if a trial lacks it.
pub(super) fn values(run: &Loaded, (target, point): (&str, &str), column: &str) -> Vec<f64> {
    let Some(column) = columns().into_iter().find(|found| found.name == column) else { return Vec::new() };
    let own = run.trials.iter().map(|trial| &trial.record).filter(|r| r.target == target && r.point == point);
    own.map(|record| column.cell(record).number()).collect::<Option<Vec<f64>>>().unwrap_or_default()
}

/// Why ratios may mean less than they seem to.
fn warnings(runs: &[Loaded]) -> Vec<String> {
    let mut warnings = Vec::new();
    let Some((base, others)) = runs.split_first() else { return warnings };
    for run in others {
        let name = run.dir.display();
        if run.manifest.scenario_filled_in != base.manifest.scenario_filled_in {
            warnings.push(format!("{name} ran another scenario, or the same with other settings"));
        }
        let differ = differing(&base.manifest.environment, &run.manifest.environment);
        if !differ.is_empty() {
            let names: Vec<String> = differ.into_iter().map(|(name, ..)| name).collect();
            warnings.push(format!("{name} ran on another machine or setting of it: {}", names.join(", ")));
        }
        for target in &run.manifest.targets {
            let before = base.manifest.targets.iter().find(|found| found.name == target.name);
            if let Some(before) = before.filter(|before| before.guarantee != target.guarantee) {
                let (then, now) = (&before.guarantee, &target.guarantee);
                warnings.push(format!("not alike: {} promised {then}, in {name} {now}", target.name));
            }
        }
    }
    for run in runs {
        warnings.extend(run.warnings.iter().map(|warning| format!("{}: {warning}", run.dir.display())));
        let worst = run.headlines.iter().map(|headline| headline.verdict).max().unwrap_or_default();
        if worst != crate::measure::Grade::Valid {
            warnings.push(format!("{} has trials that are {}", run.dir.display(), worst.name()));
        }
    }
    warnings
}

/// The machine's properties that differ, with both values; what moves by itself, such as load, is no property.
pub(super) fn differing(
    one: &serde_json::Value,
    other: &serde_json::Value,
) -> Vec<(String, serde_json::Value, serde_json::Value)> {
    const MOVING: [&str; 1] = ["load_average"];
    let (Some(one), Some(other)) = (one.as_object(), other.as_object()) else { return Vec::new() };
    one.iter()
        .filter(|(name, value)| !MOVING.contains(&name.as_str()) && other.get(*name) != Some(*value))
        .map(|(name, value)| {
            (name.replace('_', " "), value.clone(), other.get(name).cloned().unwrap_or_default())
        })
        .collect()
}
