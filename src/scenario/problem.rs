//! Mistakes in a scenario, collected and reported together.

use std::cell::RefCell;
use std::fmt;

use super::document::At;

/// One mistake: where, in which key, what was given and what is allowed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, or the `--set` argument, that it stands in.
    pub origin: String,
    /// Line and column in the file, from 1.
    pub position: Option<(usize, usize)>,
    /// The key, such as `workload.rate`; empty for the file as a whole.
    pub key: String,
    /// What was given, what is allowed, and the nearest known name.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.origin)?;
        if let Some((line, column)) = self.position {
            write!(f, ":{line}:{column}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.message)
    }
}

/// Everything that is wrong with a scenario; at least one problem, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ScenarioError {
    /// The mistakes.
    pub problems: Vec<Problem>,
}

impl ScenarioError {
    /// One mistake that concerns a file or argument as a whole.
    #[must_use]
    pub fn whole(origin: &str, message: impl Into<String>) -> Self {
        let problem = Problem {
            origin: origin.to_owned(),
            position: None,
            key: String::new(),
            message: message.into(),
        };
        Self { problems: vec![problem] }
    }
}

/// Collects problems while a scenario is read; knows how to turn places into lines.
pub(super) struct Problems<'a> {
    origin: &'a str,
    text: &'a str,
    sets: Vec<String>,
    found: RefCell<Vec<(At, Problem)>>,
}

impl<'a> Problems<'a> {
    /// For a text from `origin`; `sets` are the overrides as typed.
    pub(super) fn new(origin: &'a str, text: &'a str, sets: Vec<String>) -> Self {
        Self { origin, text, sets, found: RefCell::default() }
    }

    /// Notes a mistake.
    pub(super) fn add(&self, at: At, key: &str, message: impl Into<String>) {
        self.found.borrow_mut().push((at, self.problem(at, key, message.into())));
    }

    /// An empty collection for the same text.
    pub(super) fn alike(&self) -> Self {
        Self { origin: self.origin, text: self.text, sets: self.sets.clone(), found: RefCell::default() }
    }

    /// Takes over what was found at a point of a sweep.
    pub(super) fn absorb(&self, other: Self, point: &str) {
        let found = other.found.into_inner().into_iter().map(|(at, mut problem)| {
            problem.message = format!("at {point}: {}", problem.message);
            (at, problem)
        });
        self.found.borrow_mut().extend(found);
    }

    /// Whether nothing is wrong so far.
    pub(super) fn none(&self) -> bool {
        self.found.borrow().is_empty()
    }

    /// The one mistake that leaves nothing to look at behind it.
    pub(super) fn only(&self, at: At, message: String) -> ScenarioError {
        ScenarioError { problems: vec![self.problem(at, "", message)] }
    }

    fn problem(&self, at: At, key: &str, message: String) -> Problem {
        let (origin, position) = match at {
            At::Set(index) => {
                let typed = self.sets.get(index).map_or("", String::as_str);
                (format!("--set {typed}"), None)
            }
            At::Byte(offset) => (self.origin.to_owned(), Some(position(self.text, offset))),
            At::Default => (self.origin.to_owned(), None),
        };
        Problem { origin, position, key: key.to_owned(), message }
    }

    /// Whether `key`, or something in it, is known to be wrong.
    pub(super) fn touch(&self, key: &str) -> bool {
        self.found.borrow().iter().any(|(_, problem)| {
            problem.key.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
        })
    }

    /// `value` if nothing was wrong.
    pub(super) fn finish<T>(self, value: T) -> Result<T, ScenarioError> {
        let mut found = self.found.into_inner();
        if found.is_empty() {
            return Ok(value);
        }
        found.sort_by_key(|(at, _)| *at);
        Err(ScenarioError { problems: found.into_iter().map(|(_, problem)| problem).collect() })
    }
}

/// Line and column, in characters from 1, of a byte offset.
fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset.min(text.len())).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (before.matches('\n').count() + 1, before[line_start..].chars().count() + 1)
}

/// The known name that is nearest to a typo, if one is near enough.
pub(crate) fn nearest<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(given, name), name))
        .filter(|(distance, name)| *distance <= name.len().max(given.len()).div_ceil(3))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// ` (did you mean …?)` for a typo, or nothing.
pub(crate) fn did_you_mean<'a>(given: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(given, known).map(|name| format!(" (did you mean `{name}`?)")).unwrap_or_default()
}

/// Quotes and joins what is allowed.
pub(super) fn one_of<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    names.into_iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_characters_from_one() {
        let text = "a = 1\nü = 2\n";
        assert_eq!(position(text, 0), (1, 1));
        assert_eq!(position(text, 6), (2, 1));
        assert_eq!(position(text, 9), (2, 3));
        assert_eq!(position(text, 999), (3, 1));
    }

    #[test]
    fn a_typo_finds_its_neighbour_and_nonsense_finds_none() {
        assert_eq!(nearest("pubishers", ["payload", "publishers"]), Some("publishers"));
        assert_eq!(nearest("zzzzzzzzz", ["payload", "publishers"]), None);
    }
}
