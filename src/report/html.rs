//! A run as one page that needs nothing else: no network, light and dark, narrow and wide, on screen and paper.

use std::fmt::Write;

use super::error::ReportError;
use super::gallery;
use super::loaded::Loaded;
use super::rows;
use super::summary::Headline;
use super::{console, manifest::TargetManifest};
use crate::gate::{Answer, Judgement};

/// The look of the page.
const STYLE: &str = include_str!("../../assets/report.css");

/// The page of a run: the table first, then what stands against it, charts, the machine, and how to repeat it.
///
/// # Errors
/// [`ReportError::Chart`] if a chart can't be drawn.
pub fn html(run: &Loaded, judgements: &[Judgement]) -> Result<String, ReportError> {
    let mut page = Page(String::new());
    let title = escaped(&run.manifest.scenario);
    page.raw("<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n");
    page.raw("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n");
    page.raw(&format!("<title>{title}: busmark</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n"));
    page.raw(&format!("<h1>{title}</h1>\n"));
    page.line("quiet", &format!("{}; {}", run.manifest.started_at, console::workload(run)));
    table(&mut page, &run.headlines);
    rows::legend(&run.headlines, &rows::rows(&run.headlines))
        .iter()
        .for_each(|line| page.line("quiet", line));
    against(&mut page, run);
    expectations(&mut page, judgements);
    page.heading("Charts");
    for picture in gallery::pictures(run) {
        // The drawing itself holds its title as text.
        page.raw(&format!("<figure>{}</figure>\n", picture.svg()?));
    }
    page.heading("Repeat it");
    page.raw(&format!("<pre>{}</pre>\n", escaped(&run.manifest.command())));
    page.details("The scenario as given", &run.manifest.scenario_text);
    page.details("The scenario with all defaults", &run.manifest.scenario_filled_in);
    systems(&mut page, &run.manifest.targets);
    machine(&mut page, run);
    page.raw("</body>\n</html>\n");
    Ok(page.0)
}

/// HTML in the making.
struct Page(String);

impl Page {
    fn raw(&mut self, html: &str) {
        self.0.push_str(html);
    }

    fn heading(&mut self, text: &str) {
        self.raw(&format!("<h2>{}</h2>\n", escaped(text)));
    }

    fn line(&mut self, class: &str, text: &str) {
        self.raw(&format!("<p class=\"{class}\">{}</p>\n", escaped(text)));
    }

    fn details(&mut self, summary: &str, text: &str) {
        if !text.is_empty() {
            let (summary, text) = (escaped(summary), escaped(text));
            self.raw(&format!("<details><summary>{summary}</summary><pre>{text}</pre></details>\n"));
        }
    }

    /// A table of names and values.
    fn facts(&mut self, facts: &[(String, String)]) {
        self.raw("<div class=\"wide\"><table class=\"facts\">\n");
        for (name, value) in facts {
            self.raw(&format!("<tr><td>{}</td><td>{}</td></tr>\n", escaped(name), escaped(value)));
        }
        self.raw("</table></div>\n");
    }
}

fn table(page: &mut Page, headlines: &[Headline]) {
    page.raw("<div class=\"wide\"><table>\n<thead><tr><th></th>");
    for headline in headlines {
        page.raw(&format!("<th scope=\"col\">{}</th>", escaped(&headline.name())));
    }
    page.raw("</tr></thead>\n<tbody>\n");
    for row in rows::rows(headlines) {
        let class = if row.begins { " class=\"begins\"" } else { "" };
        page.raw(&format!("<tr{class}><th scope=\"row\">{}</th>", escaped(&row.label)));
        for cell in &row.cells {
            let class = if row.label == "verdict" { format!(" class=\"{cell}\"") } else { String::new() };
            page.raw(&format!("<td{class}>{}</td>", escaped(cell).replace('\n', "<br>")));
        }
        page.raw("</tr>\n");
    }
    page.raw("</tbody></table></div>\n");
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

fn expectations(page: &mut Page, judgements: &[Judgement]) {
    if judgements.is_empty() {
        return;
    }
    page.heading("Expectations");
    for judgement in judgements {
        let class = match judgement.answer {
            Answer::Holds => "holds",
            Answer::Fails => "fails",
            Answer::CannotBeJudged => "cannot",
        };
        let (answer, text) = (judgement.answer.name(), escaped(&judgement.text));
        let place = escaped(format!("{} {}", judgement.target, judgement.point).trim_end());
        let reason = escaped(&judgement.reason);
        page.raw(&format!("<p>{place}: {text}: <span class=\"{class}\">{answer}</span>: {reason}</p>\n"));
        if let Some(claim) = &judgement.claim {
            let source = judgement.source.as_deref().map(|source| format!(" ({source})")).unwrap_or_default();
            page.line("quiet", &format!("Claim: {claim}{source}"));
        }
    }
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
    page.heading("Machine");
    let mut facts = vec![
        ("busmark".to_owned(), format!("{} {}", manifest.busmark.version, manifest.busmark.profile)),
        ("commit".to_owned(), manifest.busmark.commit.clone().unwrap_or_else(|| "unknown".to_owned())),
        ("seed".to_owned(), manifest.seed.to_string()),
    ];
    flatten("", &manifest.environment, &mut facts);
    flatten("calibration", &manifest.calibration, &mut facts);
    page.facts(&facts);
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

/// Text as HTML shows it.
fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            c => html.push(c),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_users_are_text_and_never_markup() {
        assert_eq!(escaped("<b a=\"1\">&"), "&lt;b a=&quot;1&quot;&gt;&amp;");
    }

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
