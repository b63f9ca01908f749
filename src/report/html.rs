//! A run as one page, and several runs beside each other as one.

use std::fmt::Write;

use super::capacity::{self, CapacityReport};
use super::compare::Comparison;
use super::error::ReportError;
use super::gallery::{self, Picture};
use super::live;
use super::loaded::Loaded;
use super::page::{Page, escaped};
use super::rows::{self, Row};
use super::summary::{self, Headline};
use super::tables::Trial;
use super::{console, manifest::TargetManifest};
use crate::gate::{Answer, Judgement};
use crate::measure::TrialRecord;

/// The page of a run: the table first, then what stands against it, charts, the machine, and how to repeat it.
///
/// # Errors
/// [`ReportError::Chart`] if a chart can't be drawn.
pub fn html(run: &Loaded, judgements: &[Judgement]) -> Result<String, ReportError> {
    Page::document(&run.manifest.scenario, |page| {
        page.line("quiet", &format!("{}; {}", run.manifest.started_at, console::workload(run)));
        run.capacity.iter().for_each(|search| searched(page, search));
        figures(page, &run.headlines);
        against(page, run);
        expectations(page, judgements, "");
        charts(page, run)?;
        page.heading("Repeat it");
        repeat(page, run);
        systems(page, &run.manifest.targets);
        page.heading("Machine");
        machine(page, run);
        Ok(())
    })
}

/// Several runs on one page: what changed against the first of them and how sure that is, all figures in one table,
/// and every chart with all runs in it.
///
/// # Errors
/// [`ReportError::Chart`] if a chart can't be drawn.
pub fn html_of_several(runs: &[Loaded]) -> Result<String, ReportError> {
    let comparison = Comparison::of(runs);
    let merged = merged(runs, &comparison.runs);
    Page::document(&comparison.runs.join(" against "), |page| {
        differences(page, &comparison);
        page.heading("All figures");
        figures(page, &merged.headlines);
        against(page, &merged);
        for (run, name) in runs.iter().zip(&comparison.runs) {
            expectations(page, &run.judgements(), &format!(" of {name}"));
        }
        charts(page, &merged)?;
        for (run, name) in runs.iter().zip(&comparison.runs) {
            page.heading(&format!("Repeat {name}"));
            repeat(page, run);
            systems(page, &run.manifest.targets);
            page.heading(&format!("Machine of {name}"));
            machine(page, run);
        }
        Ok(())
    })
}

/// All runs as if they were one, each target named after its run.
fn merged(runs: &[Loaded], names: &[String]) -> Loaded {
    let own = runs.iter().zip(names).flat_map(|(run, name)| {
        run.trials.iter().cloned().map(move |mut trial| {
            trial.record.target = format!("{} ({name})", trial.record.target);
            trial
        })
    });
    let trials: Vec<Trial> = own.collect();
    let records: Vec<&TrialRecord> = trials.iter().map(|trial| &trial.record).collect();
    Loaded {
        manifest: runs.first().map(|run| run.manifest.clone()).unwrap_or_default(),
        headlines: summary::headlines(&records),
        trials,
        ..Loaded::default()
    }
}

/// What changed against the first run, and what is not alike.
fn differences(page: &mut Page, comparison: &Comparison) {
    page.heading("What changed");
    page.line("", &comparison.legend());
    let heads: Vec<&str> =
        std::iter::once("figure").chain(comparison.runs.iter().map(String::as_str)).collect();
    words_table(page, "What changed", &heads, |page| {
        comparison.rows().for_each(|(label, cells)| words_row(page, &label, &cells));
    });
    if !comparison.warnings.is_empty() {
        page.heading("Mind");
        comparison.warnings.iter().for_each(|warning| page.line("", warning));
    }
}

/// The table of figures, and what its signs mean.
fn figures(page: &mut Page, headlines: &[Headline]) {
    table(page, headlines);
    rows::legend(headlines, &rows::rows(headlines)).iter().for_each(|line| page.line("quiet", line));
}

/// What a search for the highest rate came to, and what was measured at each rate that was tried.
fn searched(page: &mut Page, search: &CapacityReport) {
    for one in &search.targets {
        let heading = format!("Capacity of {}", one.capacity.target);
        page.heading(&heading);
        page.line("", &one.answer(&search.objective()));
        one.facts().iter().for_each(|fact| page.line("quiet", fact));
        words_table(page, &heading, &capacity::COLUMNS, |page| {
            for rung in &one.capacity.rungs {
                let [offered, rest @ ..] = capacity::cells(rung);
                words_row(page, &offered, &rest);
            }
        });
    }
}

/// A table of words that can be sorted: its heads, and rows by `rows`.
fn words_table(page: &mut Page, label: &str, heads: &[&str], rows: impl FnOnce(&mut Page)) {
    page.begin_table(label, "words sortable");
    page.raw("<thead><tr>");
    heads.iter().for_each(|head| page.raw(&format!("<th scope=\"col\">{}</th>", escaped(head))));
    page.raw("</tr></thead>\n<tbody>\n");
    rows(page);
    page.raw("</tbody></table></div>\n");
}

/// A row of such a table.
fn words_row(page: &mut Page, head: &str, cells: &[String]) {
    page.raw(&format!("<tr><th scope=\"row\">{}</th>", escaped(head)));
    cells.iter().for_each(|cell| page.raw(&format!("<td>{}</td>", escaped(cell))));
    page.raw("</tr>\n");
}

fn charts(page: &mut Page, run: &Loaded) -> Result<(), ReportError> {
    page.heading("Charts");
    gallery::pictures(run).iter().try_for_each(|picture| figure(page, picture))
}

/// The command, and the scenario as given and filled in.
fn repeat(page: &mut Page, run: &Loaded) {
    page.verbatim(&run.manifest.command());
    page.details("The scenario as given", &run.manifest.scenario_text);
    page.details("The scenario with all defaults", &run.manifest.scenario_filled_in);
}

/// A chart as SVG, for paper and without scripts, with its numbers for the script that draws it alive.
fn figure(page: &mut Page, picture: &Picture) -> Result<(), ReportError> {
    let svg = picture.svg()?;
    let (title, conditions) = picture.caption();
    let svg = svg.replacen("<svg ", &format!("<svg role=\"img\" aria-label=\"{}\" ", escaped(title)), 1);
    let plots = picture.plots();
    if plots.is_empty() {
        page.raw(&format!("<figure>{svg}</figure>\n"));
        return Ok(());
    }
    let (id, title, conditions) = (escaped(&picture.stem), escaped(title), escaped(conditions));
    page.raw(&format!("<figure data-plots=\"data-{id}\">\n"));
    page.raw(&format!("<figcaption><strong>{title}</strong><br>{conditions}</figcaption>\n"));
    page.raw(&format!("<div class=\"live\"></div>\n<div class=\"still\">{svg}</div>\n"));
    let data = live::json(&plots);
    page.raw(&format!("<script type=\"application/json\" id=\"data-{id}\">{data}</script>\n</figure>\n"));
    Ok(())
}

/// One row per target and point, one column per figure; each cell carries what it is put in order by.
fn table(page: &mut Page, headlines: &[Headline]) {
    let columns = rows::rows(headlines);
    page.begin_table("Results", "sortable");
    page.raw("<thead><tr><th scope=\"col\">target</th>");
    columns.iter().for_each(|c| page.raw(&format!("<th scope=\"col\">{}</th>", escaped(&c.label))));
    page.raw("</tr></thead>\n<tbody>\n");
    for (index, headline) in headlines.iter().enumerate() {
        page.raw(&format!("<tr><th scope=\"row\">{}</th>", escaped(&headline.name())));
        columns.iter().for_each(|column| cell(page, column, index));
        page.raw("</tr>\n");
    }
    page.raw("</tbody></table></div>\n");
}

fn cell(page: &mut Page, column: &Row, index: usize) {
    let text = column.cells.get(index).map_or("", String::as_str);
    let class = if column.label == "verdict" { format!(" class=\"{text}\"") } else { String::new() };
    let key = column.keys.get(index).copied().flatten();
    let key = key.map(|key| format!(" data-key=\"{}\"", number(key))).unwrap_or_default();
    page.raw(&format!("<td{class}{key}>{}</td>", escaped(text).replace('\n', "<br>")));
}

/// A number as a script reads it.
fn number(value: f64) -> String {
    if value == f64::INFINITY { "Infinity".to_owned() } else { value.to_string() }
}

/// Reasons of verdicts, unlike guarantees, notes, and the state of the folder.
fn against(page: &mut Page, run: &Loaded) {
    let reasons = rows::reasons(&run.headlines);
    if !reasons.is_empty() {
        page.heading("What stands against it");
        for (grade, line) in reasons {
            let (grade, line) = (grade.name(), escaped(&line));
            page.raw(&format!("<p><span class=\"{grade}\">{grade}</span> {line}</p>\n"));
        }
    }
    let unlike = rows::unlike(&run.headlines);
    if !unlike.is_empty() {
        page.heading("Not alike");
        page.line("", "These targets promise different things, so their figures answer different questions.");
        for (guarantee, names) in unlike {
            page.line("", &format!("{}: {}", names.join(", "), guarantee.replace(',', ", ")));
        }
    }
    let notes: Vec<String> = console::notes(run).into_iter().chain(run.warnings.iter().cloned()).collect();
    if !notes.is_empty() {
        page.heading("Notes");
        notes.iter().for_each(|note| page.line("", note));
    }
}

fn expectations(page: &mut Page, judgements: &[Judgement], of: &str) {
    let (claims, own): (Vec<&Judgement>, Vec<&Judgement>) =
        judgements.iter().partition(|j| j.claim.is_some());
    if !claims.is_empty() {
        judged(page, &format!("Published claims{of}"), &claims);
    }
    if !own.is_empty() {
        judged(page, &format!("Expectations{of}"), &own);
    }
}

/// One row per judgement: what was said, by whom, the answer, and why.
fn judged(page: &mut Page, heading: &str, judgements: &[&Judgement]) {
    page.heading(heading);
    words_table(page, heading, &["expected", "of", "answer", "measured"], |page| {
        judgements.iter().for_each(|judgement| judgement_row(page, judgement));
    });
}

fn judgement_row(page: &mut Page, judgement: &Judgement) {
    let class = match judgement.answer {
        Answer::Holds => "holds",
        Answer::Fails => "fails",
        Answer::CannotBeJudged => "cannot",
    };
    let (answer, text) = (judgement.answer.name(), escaped(&judgement.text));
    let place = escaped(format!("{} {}", judgement.target, judgement.point).trim_end());
    let claim = judgement.claim.as_deref().map(|claim| match judgement.source.as_deref() {
        Some(source) => format!("{} ({})<br>", escaped(claim), escaped(source)),
        None => format!("{}<br>", escaped(claim)),
    });
    let claim = claim.unwrap_or_default();
    page.raw(&format!("<tr><th scope=\"row\">{claim}<code>{text}</code></th><td>{place}</td>"));
    page.raw(&format!("<td class=\"{class}\">{answer}</td><td>{}</td></tr>\n", escaped(&judgement.reason)));
}

/// The brokers, with the settings that were in force.
fn systems(page: &mut Page, targets: &[TargetManifest]) {
    page.heading("Systems");
    for target in targets {
        let version = target.broker_version.as_deref().unwrap_or("version unknown");
        let TargetManifest { name, driver, client, broker, .. } = target;
        page.line("", &format!("{name}: {driver} {version}, {broker} broker, {client} client"));
        let config: String = target.effective_config.iter().fold(String::new(), |mut text, (name, value)| {
            let _written = writeln!(text, "{name} {value}");
            text
        });
        page.details(&format!("Settings of {name}"), &config);
    }
}

/// The machine, the busmark, and what the generator manages here.
fn machine(page: &mut Page, run: &Loaded) {
    let manifest = &run.manifest;
    let mut facts = vec![
        ("busmark".to_owned(), format!("{} {}", manifest.busmark.version, manifest.busmark.profile)),
        ("commit".to_owned(), manifest.busmark.commit.clone().unwrap_or_else(|| "unknown".to_owned())),
        ("seed".to_owned(), manifest.seed.to_string()),
    ];
    flatten("", &manifest.environment, &mut facts);
    flatten("calibration", &manifest.calibration, &mut facts);
    page.facts("Where it ran", &facts);
}

/// The leaves of a JSON value, with their names in words.
fn flatten(name: &str, value: &serde_json::Value, into: &mut Vec<(String, String)>) {
    match value {
        serde_json::Value::Null => {}
        serde_json::Value::Object(fields) => {
            for (key, value) in fields {
                flatten(format!("{name} {}", key.replace('_', " ")).trim_start(), value, into);
            }
        }
        serde_json::Value::String(text) => into.push((name.to_owned(), text.clone())),
        other => into.push((name.to_owned(), other.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nested_facts_have_their_path_as_name_and_unknown_ones_are_left_out() {
        let mut facts = Vec::new();
        flatten(
            "",
            &serde_json::json!({ "cpu_model": "A", "clock": { "source": "tsc" }, "governor": null }),
            &mut facts,
        );
        facts.sort();
        assert_eq!(facts, [("clock source".into(), "tsc".into()), ("cpu model".into(), "A".into())]);
    }
}
