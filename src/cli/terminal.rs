//! The terminal: how wide it is, whether it shows colours, and what is said on it.

use std::io::IsTerminal;

use crate::report::Page;

/// Columns where nobody says how wide the terminal is: a pipe, or a file.
const WIDTH: u16 = 120;

/// The page that stdout is: as wide as the terminal, without colours for `NO_COLOR` and where it is none.
#[must_use]
pub fn page() -> Page {
    let terminal = std::io::stdout().is_terminal();
    let colour = terminal && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let asked = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let width = || console::Term::stdout().size_checked().map(|(_rows, columns)| columns);
    Page { width: asked.or_else(width).unwrap_or(WIDTH), colour }
}

/// Says something on stdout, as it is.
#[expect(clippy::print_stdout, reason = "the command line owns stdout")]
pub(super) fn say(text: &str) {
    print!("{text}");
}
