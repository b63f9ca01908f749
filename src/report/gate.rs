//! A gate's end, for a terminal, for a pull request, and for machines.

use std::path::{Path, PathBuf};

use comfy_table::presets::{ASCII_MARKDOWN, UTF8_HORIZONTAL_ONLY};
use comfy_table::{ContentArrangement, Table};
use serde::Serialize;

use super::console::{self, Page};
use super::error::ReportError;
use super::files;
use super::folder::GATE_JSON;
use super::humanise::{self, NOT_MEASURED};
use super::manifest::SCHEMA_VERSION;
use super::rows;
use super::summary::Headline;
use crate::gate::{Answer, Decision, Finding, Outcome};

/// Everything that is said about a gate.
#[derive(Debug, Clone, Serialize)]
pub struct GateReport {
    /// Layout of the JSON form.
    pub schema_version: u64,
    /// Name of the scenario.
    pub scenario: String,
    /// What is judged.
    pub candidate: String,
    /// What it is held against, in words: a target, a baseline, or its limits alone.
    pub against: String,
    /// Seed of the order of trials, and of the traffic.
    pub seed: u64,
    /// The ratio below which every bound must lie for a pass.
    pub tolerance: f64,
    /// How long it took.
    pub seconds: f64,
    /// What it came to.
    #[serde(flatten)]
    pub outcome: Outcome,
    /// What a reader has to know besides.
    pub notes: Vec<String>,
    /// Medians of the base, where there were trials.
    #[serde(skip)]
    pub base_medians: Option<Headline>,
    /// Medians of the candidate.
    #[serde(skip)]
    pub candidate_medians: Option<Headline>,
    /// Where the trials are.
    pub folder: PathBuf,
    /// The command that repeats it.
    pub command: String,
}

/// A table: its header and its rows.
type Sheet = (Vec<&'static str>, Vec<Vec<String>>);

impl GateReport {
    /// The layout that [`GateReport::schema_version`] should say.
    pub const SCHEMA_VERSION: u64 = SCHEMA_VERSION;

    /// As text for a terminal.
    #[must_use]
    pub fn console(&self, page: Page) -> String {
        let mut style = UTF8_HORIZONTAL_ONLY;
        style.row_separator = comfy_table::LineStyle::none();
        let mut text = format!("{}\n{}\n", self.heading(), self.outcome.reason);
        for sheet in self.sheets() {
            let mut table = filled(sheet);
            table
                .load_style(style)
                .set_content_arrangement(ContentArrangement::Dynamic)
                .set_width(page.width);
            text.push_str(&format!("{}\n", table.trim_fmt()));
        }
        text.extend(self.facts().into_iter().map(|fact| format!("{fact}\n")));
        console::fitted(&text, page)
    }

    /// As GitHub-flavoured Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = format!("### {}\n\n**{}**\n", self.heading(), escaped(&self.outcome.reason));
        for (header, rows) in self.sheets() {
            let rows = rows.into_iter().map(|row| row.iter().map(|cell| escaped(cell)).collect()).collect();
            let mut table = filled((header, rows));
            text.push_str(&format!("\n{}\n", table.load_style(ASCII_MARKDOWN).trim_fmt()));
        }
        text.push('\n');
        text.extend(self.facts().into_iter().map(|fact| format!("- {}\n", escaped(&fact))));
        text.push_str(&format!(
            "\n<details><summary>Repeat it</summary>\n\n```\n{}\n```\n\n</details>\n",
            self.command
        ));
        text
    }

    /// As one JSON document, pretty, with a newline at its end.
    ///
    /// # Errors
    /// Never for what was measured; serde_json says otherwise.
    pub fn json(&self) -> Result<String, ReportError> {
        let text = serde_json::to_string_pretty(self);
        text.map(|text| text + "\n").map_err(|error| ReportError::damaged(&self.folder, error))
    }

    /// Keeps the JSON form beside the trials.
    ///
    /// # Errors
    /// If it can't be written.
    pub fn keep(&self, dir: &Path) -> Result<(), ReportError> {
        files::replace_json(&dir.join(GATE_JSON), self)
    }

    fn heading(&self) -> String {
        let word = match self.outcome.decision {
            Decision::Pass => "PASS",
            Decision::Fail => "FAIL",
            Decision::Inconclusive => "INCONCLUSIVE",
        };
        format!("Gate {word}: {}, {} against {}", self.scenario, self.candidate, self.against)
    }

    fn sheets(&self) -> Vec<Sheet> {
        let findings: Vec<Vec<String>> =
            self.outcome.findings.iter().map(|finding| self.finding(finding)).collect();
        let judgements: Vec<Vec<String>> = self
            .outcome
            .judgements
            .iter()
            .map(|one| {
                let mark = match one.answer {
                    Answer::Holds => "✓",
                    Answer::Fails => "✗",
                    Answer::CannotBeJudged => "?",
                };
                let answer = format!("{mark} {}", one.answer.name());
                vec![one.text.clone(), one.target.clone(), answer, one.reason.clone()]
            })
            .collect();
        let compared = vec![
            "metric",
            "base",
            "candidate",
            "times the base",
            "at most (95 %)",
            "p",
            "over",
            "could have found",
        ];
        let sheets = [(compared, findings), (vec!["expectation", "target", "answer", "because"], judgements)];
        sheets.into_iter().filter(|(_, rows)| !rows.is_empty()).collect()
    }

    fn finding(&self, finding: &Finding) -> Vec<String> {
        let unit = unit(&finding.metric);
        let median = |side: &Option<Headline>| {
            let found = side.as_ref().and_then(|headline| headline.median(&finding.metric));
            found.map_or_else(|| NOT_MEASURED.to_owned(), |found| rows::with_interval(found, unit))
        };
        let ratio = |ratio: Option<f64>| ratio.map_or_else(|| "∞".to_owned(), |ratio| format!("{ratio:.3}"));
        vec![
            finding.metric.clone(),
            median(&self.base_medians),
            median(&self.candidate_medians),
            ratio(Some(finding.ratio).filter(|ratio| *ratio < 1e6)),
            ratio(finding.ratio_at_most),
            format!("{:.2e}", finding.p),
            finding.blocks.to_string(),
            finding.smallest_effect.map_or_else(
                || "nothing".to_owned(),
                |effect| format!("+{}", humanise::percent(effect - 1.0)),
            ),
        ]
    }

    /// Lines below the tables.
    fn facts(&self) -> Vec<String> {
        let Outcome { trials, invalid, reached, noise, .. } = &self.outcome;
        let repeated = if *invalid > 0 { format!(", {invalid} of them INVALID") } else { String::new() };
        let ended = match trials {
            0 => "ended before the first trial".to_owned(),
            _ => format!("ended in {}", reached.name()),
        };
        let mut facts = vec![format!(
            "{trials} trials{repeated} in {:.0} s, {ended}; seed {}, tolerance {:.0} %",
            self.seconds,
            self.seed,
            (self.tolerance - 1.0) * 100.0
        )];
        if !noise.is_empty() {
            let varies =
                noise.iter().map(|one| format!("{} by {}", one.metric, humanise::percent(one.variation)));
            facts.push(format!("between equal trials these vary: {}", varies.collect::<Vec<_>>().join(", ")));
        }
        facts.extend(self.notes.iter().cloned());
        facts.push(format!("trials and charts: {}", self.folder.display()));
        facts
    }
}

fn filled((header, rows): Sheet) -> Table {
    let mut table = Table::new();
    table.set_header(header);
    rows.into_iter().for_each(|row| {
        table.add_row(row);
    });
    table
}

/// How the values of a metric read.
fn unit(metric: &str) -> fn(f64) -> String {
    if metric.contains("_us_") {
        humanise::micros
    } else if metric.ends_with("_per_s") {
        humanise::rate
    } else {
        humanise::significant
    }
}

/// As text of Markdown: nothing of it is a table's border, HTML or a link.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '|' | '*' | '`' | '[' | ']' | '\\' => out.extend(['\\', character]),
            '<' => out.push_str("&lt;"),
            '\n' => out.push(' '),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::{Judgement, Noise, Reached};

    fn report(reason: &str) -> GateReport {
        let finding = Finding {
            metric: "delivery_time_us_p99".to_owned(),
            ratio: 1.31,
            ratio_at_most: None,
            p: 0.0001,
            smallest_effect: Some(1.12),
            blocks: 26,
        };
        let judgement = Judgement {
            text: "lost == 0".to_owned(),
            claim: None,
            source: None,
            target: "new|er".to_owned(),
            point: String::new(),
            answer: Answer::Holds,
            reason: "in each of 5 trials".to_owned(),
            measured: None,
        };
        GateReport {
            schema_version: GateReport::SCHEMA_VERSION,
            scenario: "quick".to_owned(),
            candidate: "new|er".to_owned(),
            against: "base old".to_owned(),
            seed: 42,
            tolerance: 1.2,
            seconds: 104.4,
            outcome: Outcome {
                decision: Decision::Fail,
                reason: reason.to_owned(),
                reached: Reached::Second,
                noise: vec![Noise { metric: "delivery_time_us_p99".to_owned(), variation: 0.07 }],
                findings: vec![finding],
                judgements: vec![judgement],
                trials: 170,
                invalid: 1,
            },
            notes: vec!["mind the gap".to_owned()],
            base_medians: None,
            candidate_medians: None,
            folder: PathBuf::from("results/quick-x"),
            command: "busmark gate quick".to_owned(),
        }
    }

    #[test]
    fn markdown_has_a_heading_two_tables_and_nothing_that_breaks_them() {
        let text = report("worse\nand <b>`a|b`").markdown();
        assert!(
            text.starts_with(
                "### Gate FAIL: quick, new|er against base old\n\n**worse and &lt;b>\\`a\\|b\\`**\n"
            ),
            "{text}"
        );
        let rows: Vec<&str> = text.lines().filter(|line| line.starts_with('|')).collect();
        assert_eq!(rows.len(), 6, "two tables of a header, a rule and a row: {text}");
        assert!(
            rows[2].contains("| 1.310 ") && rows[2].contains("| ∞ ") && rows[2].contains("+12.0 %"),
            "{text}"
        );
        assert!(rows[5].contains("new\\|er") && rows[5].contains("✓ holds"), "{text}");
        assert!(
            text.contains(
                "- 170 trials, 1 of them INVALID in 104 s, ended in the second stage; seed 42, tolerance 20 %"
            ),
            "{text}"
        );
        assert!(text.contains("- mind the gap\n"), "{text}");
    }

    #[test]
    fn json_says_everything_and_infinity_as_text() {
        let mut infinite = report("worse");
        infinite.outcome.findings[0].ratio = f64::INFINITY;
        let value: serde_json::Value = serde_json::from_str(&infinite.json().unwrap()).unwrap();
        assert_eq!(value["decision"], "fail");
        assert_eq!(value["reached"], "second");
        assert_eq!(value["findings"][0]["ratio"], "inf");
        assert_eq!(value["seed"], 42);
    }

    #[test]
    fn the_terminal_gets_no_line_wider_than_it_is() {
        let text =
            report("a reason that goes on and on, so that it has to be broken somewhere or other to fit")
                .console(Page { width: 60, colour: false });
        assert!(text.lines().all(|line| line.chars().count() <= 60), "{text}");
        assert!(text.starts_with("Gate FAIL: quick"), "{text}");
    }
}
