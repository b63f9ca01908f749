//! The table a person reads when a run is over, and what has to be said below it.

use comfy_table::presets::{ASCII_MARKDOWN, UTF8_HORIZONTAL_ONLY};
use comfy_table::{CellAlignment, ContentArrangement, Table};

use super::humanise;
use super::loaded::Loaded;
use super::rows::{self, Row};
use super::summary::Headline;
use crate::gate::{Answer, Judgement};
use crate::measure::{AudienceRecord, Grade, TrialRecord};

/// Where a text will be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Page {
    /// Columns of the terminal.
    pub width: u16,
    /// Whether colours may be used; words say the same without them.
    pub colour: bool,
}

/// Room for the label column and one target at least, however narrow the terminal says it is.
const NARROWEST: u16 = 40;

/// The whole report on a run: what was run, the table, what stands against it, where the files are.
#[must_use]
pub fn console(run: &Loaded, judgements: &[Judgement], page: Page) -> String {
    let mut text = format!("{}\n{}\n", heading(run), workload(run));
    for block in blocks(&run.headlines, page.width.max(NARROWEST)) {
        text.push_str(&table(&block, page.width.max(NARROWEST)));
    }
    text.push_str(&below(run, judgements));
    fitted(&text, page)
}

/// A text broken to the width of the page, in its colours.
pub(super) fn fitted(text: &str, page: Page) -> String {
    let width = usize::from(page.width.max(NARROWEST));
    let text: String = text.lines().map(|line| wrapped(line, width)).collect();
    if page.colour { coloured(&text) } else { text }
}

/// The same as GitHub-flavoured Markdown.
#[must_use]
pub fn markdown(run: &Loaded, judgements: &[Judgement]) -> String {
    let mut table = Table::new();
    table.load_style(ASCII_MARKDOWN).set_header(header(&run.headlines));
    for row in rows::rows(&run.headlines) {
        table.add_row(std::iter::once(row.label).chain(row.cells).map(|cell| cell.replace('\n', " ")));
    }
    // Every line its own paragraph, but those of a list.
    let paragraph = |line: &str| match line.strip_prefix("  ") {
        Some(item) => format!("- {item}\n"),
        None => format!("\n{line}\n"),
    };
    let below: String = below(run, judgements).lines().map(paragraph).collect();
    let below = below.replace(":\n- ", ":\n\n- ");
    format!("### {}\n\n{}\n\n{}\n{below}", heading(run), workload(run), table.trim_fmt())
}

fn heading(run: &Loaded) -> String {
    format!("{}, {}", run.manifest.scenario, run.manifest.started_at)
}

/// The workload in one line, as the trials say it.
pub(super) fn workload(run: &Loaded) -> String {
    let Some(record) = run.trials.first().map(|trial| &trial.record) else { return String::new() };
    let versions: Vec<String> = run
        .manifest
        .targets
        .iter()
        .map(|target| {
            let version = target.broker_version.as_deref().unwrap_or("version unknown");
            format!("{} ({} {version}, {})", target.name, target.driver, target.client)
        })
        .collect();
    format!(
        "{} per message, {} publishers, {} subscribers; {}",
        humanise::bytes(record.payload_bytes),
        humanise::count(record.publishers.into()),
        humanise::count(record.subscribers.into()),
        versions.join(", "),
    )
}

fn header(headlines: &[Headline]) -> impl Iterator<Item = String> {
    std::iter::once(String::new()).chain(headlines.iter().map(Headline::name))
}

/// Some of the targets, with their rows.
struct Block<'a> {
    headlines: &'a [Headline],
    rows: Vec<Row>,
}

/// As many targets side by side as the width holds, the others below.
fn blocks(headlines: &[Headline], width: u16) -> Vec<Block<'_>> {
    let rows = rows::rows(headlines);
    let label = rows.iter().map(|row| columns(&row.label)).max().unwrap_or(0) + 2;
    let widths: Vec<usize> = headlines
        .iter()
        .enumerate()
        .map(|(index, headline)| {
            let cells = rows.iter().map(|row| columns(&row.cells[index]));
            cells.chain([columns(&headline.name())]).max().unwrap_or(0) + 2
        })
        .collect();
    let mut blocks = Vec::new();
    let mut from = 0;
    while from < headlines.len() {
        let mut to = from + 1;
        while to < headlines.len() && label + widths[from..=to].iter().sum::<usize>() <= usize::from(width) {
            to += 1;
        }
        let part = |row: &Row| Row {
            cells: row.cells[from..to].to_vec(),
            keys: row.keys[from..to].to_vec(),
            ..row.clone()
        };
        blocks.push(Block { headlines: &headlines[from..to], rows: rows.iter().map(part).collect() });
        from = to;
    }
    blocks
}

/// Terminal columns of the widest line of a text of Latin letters, digits and signs: one each.
fn columns(text: &str) -> usize {
    text.lines().map(|line| line.chars().count()).max().unwrap_or(0)
}

fn table(block: &Block<'_>, width: u16) -> String {
    let mut style = UTF8_HORIZONTAL_ONLY;
    style.row_separator = comfy_table::LineStyle::none();
    let mut table = Table::new();
    table.load_style(style).set_content_arrangement(ContentArrangement::Dynamic).set_width(width);
    table.set_header(header(block.headlines));
    for row in &block.rows {
        if row.begins {
            table.add_row(vec![String::new(); block.headlines.len() + 1]);
        }
        table.add_row(std::iter::once(&row.label).chain(&row.cells));
    }
    for column in table.column_iter_mut().skip(1) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    format!("{}\n", table.trim_fmt())
}

/// What stands below the table: verdicts' reasons, unlike guarantees, expectations, notes, files.
fn below(run: &Loaded, judgements: &[Judgement]) -> String {
    let mut text = rows::legend(&run.headlines, &rows::rows(&run.headlines)).join("\n") + "\n";
    let reasons = rows::reasons(&run.headlines);
    section(
        &mut text,
        "What stands against it:",
        reasons.iter().map(|(grade, line)| format!("{} {line}", grade.name())),
    );
    let unlike = rows::unlike(&run.headlines);
    let groups = unlike
        .iter()
        .map(|(guarantee, names)| format!("{}: {}", names.join(", "), guarantee.replace(',', ", ")));
    section(
        &mut text,
        "Not alike: these targets promise different things, so their figures answer different questions:",
        groups,
    );
    section(&mut text, "Audiences:", audiences(run).into_iter());
    section(&mut text, "Expectations:", judgements.iter().map(judged));
    section(&mut text, "Notes:", notes(run).into_iter());
    section(&mut text, "About this folder:", run.warnings.iter().cloned());
    text.push_str(&format!("Files: {}\n", run.dir.display()));
    text
}

fn section(text: &mut String, title: &str, lines: impl Iterator<Item = String>) {
    let lines: Vec<String> = lines.map(|line| format!("  {line}\n")).collect();
    if !lines.is_empty() {
        text.push_str(&format!("{title}\n{}", lines.concat()));
    }
}

fn judged(judgement: &Judgement) -> String {
    let mark = match judgement.answer {
        Answer::Holds => "✓",
        Answer::Fails => "✗",
        Answer::CannotBeJudged => "?",
    };
    let point = if judgement.point.is_empty() { String::new() } else { format!(" at {}", judgement.point) };
    let Judgement { text, target, answer, reason, .. } = judgement;
    format!("{mark} {target}{point}: {text}: {}: {reason}", answer.name())
}

/// What each audience of each trial got, a line each.
pub(super) fn audiences(run: &Loaded) -> Vec<String> {
    let records = run.trials.iter().map(|trial| &trial.record);
    let line = |record: &TrialRecord, audience: &AudienceRecord| {
        let kind = if audience.work_queue { "work queue" } else { "fan-out" };
        let p99 = audience.delivery_time_us_p99.map_or_else(String::new, |p99| format!(", p99 {p99} µs"));
        let reordered =
            audience.reordered.map_or_else(String::new, |reordered| format!(", {reordered} reordered"));
        format!(
            "{} trial {}: {} ({kind} of {}): {} of {} delivered, {} missing, {} duplicate, {} redelivered{reordered}{p99}",
            record.target,
            record.trial,
            audience.name,
            audience.subscribers,
            audience.delivered,
            audience.expected,
            audience.missing,
            audience.duplicate,
            audience.redelivered,
        )
    };
    records.flat_map(|record| record.audiences.iter().map(move |audience| line(record, audience))).collect()
}

/// Notes of the trials, deviations of the clients and targets left out, each once.
pub(super) fn notes(run: &Loaded) -> Vec<String> {
    let mut notes = Vec::new();
    for target in &run.manifest.targets {
        notes.extend(target.left_out.iter().map(|why| format!("{}: left out: {why}", target.name)));
        notes.extend(target.deviations.iter().map(|deviation| format!("{}: {deviation}", target.name)));
    }
    let records: Vec<&TrialRecord> = run.trials.iter().map(|trial| &trial.record).collect();
    notes.extend(records.iter().flat_map(|r| r.notes.iter().map(|note| format!("{}: {note}", r.target))));
    let mut once: Vec<String> = Vec::new();
    for note in notes {
        if !once.contains(&note) {
            once.push(note);
        }
    }
    once
}

/// A line broken at blanks to the width, further lines indented like the first and two more. Table lines fit.
fn wrapped(line: &str, width: usize) -> String {
    if columns(line) <= width {
        return format!("{line}\n");
    }
    let indent = line.len() - line.trim_start().len();
    let further = format!("\n{}", " ".repeat(indent + 2));
    let (mut text, mut used) = (" ".repeat(indent), indent);
    for word in line.split_whitespace() {
        if used > indent && used + 1 + columns(word) > width {
            text.push_str(&further);
            used = indent + 2;
        } else if used > indent {
            text.push(' ');
            used += 1;
        }
        text.push_str(word);
        used += columns(word);
    }
    text.push('\n');
    text
}

/// Verdicts and answers in colour, wherever they stand as words of their own.
fn coloured(text: &str) -> String {
    const GREEN: &str = "32";
    const YELLOW: &str = "33";
    const RED: &str = "1;31";
    let colour = |word: &str| match word {
        word if word == Grade::Valid.name() || word == "✓" => Some(GREEN),
        word if word == Grade::Suspect.name() || word == "?" => Some(YELLOW),
        word if word == Grade::Invalid.name() || word == "✗" => Some(RED),
        "PASS:" => Some(GREEN),
        "INCONCLUSIVE:" => Some(YELLOW),
        "FAIL:" => Some(RED),
        _ => None,
    };
    text.split_inclusive([' ', '\n'])
        .map(|piece| {
            let word = piece.trim_end();
            match colour(word) {
                Some(code) => format!("\u{1b}[{code}m{word}\u{1b}[0m{}", &piece[word.len()..]),
                None => piece.to_owned(),
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_break_at_blanks_and_keep_their_indent() {
        assert_eq!(wrapped("  a bb ccc dddd", 8), "  a bb\n    ccc\n    dddd\n");
        assert_eq!(wrapped("short", 8), "short\n");
    }

    #[test]
    fn colours_touch_whole_words_only() {
        assert_eq!(coloured("INVALID VALIDITY\n"), "\u{1b}[1;31mINVALID\u{1b}[0m VALIDITY\n");
    }
}
