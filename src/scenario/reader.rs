//! Reads one table by its vocabulary: right kinds, within limits, defaults filled in, unknown keys named.

use std::time::Duration;

use crate::units;

use super::document::{At, Entry, Node, Value, parse_value};
use super::model::Rate;
use super::overrides::Override;
use super::problem::{Problems, did_you_mean, one_of};
use super::spec::{Default, Key, Kind};
use super::words::{Word, words};

/// What every reader of one scenario shares.
#[derive(Clone, Copy)]
pub(super) struct Context<'a> {
    pub(super) problems: &'a Problems<'a>,
    pub(super) overrides: &'a [Override],
}

/// A table being read. Every method answers with a value in any case, and notes a problem if it isn't the
/// one that was meant.
pub(super) struct Reader<'a> {
    context: Context<'a>,
    node: &'a Node,
    keys: &'static [Key],
    path: String,
}

impl<'a> Reader<'a> {
    /// Reads `node`, named `path`, by `keys`; complains at once of unknown and of missing keys.
    pub(super) fn new(context: Context<'a>, node: &'a Node, path: &str, keys: &'static [Key]) -> Self {
        let reader = Self { context, node, keys, path: path.to_owned() };
        if matches!(node.value, Value::Table(_)) {
            node.entries().iter().for_each(|entry| reader.must_be_known(entry));
            keys.iter().for_each(|key| reader.must_be_there(key));
        } else {
            let names = keys.iter().map(|key| key.name);
            let message =
                format!("{} is no table; allowed is a table with {}", node.describe(), one_of(names));
            context.problems.add(node.at, path, message);
        }
        reader
    }

    fn must_be_known(&self, entry: &Entry) {
        let names = self.keys.iter().map(|key| key.name);
        if names.clone().any(|name| name == entry.name) {
            return;
        }
        let allowed = if self.keys.is_empty() { "nothing".to_owned() } else { one_of(names.clone()) };
        let message = format!(
            "unknown key `{}`{}; allowed here: {allowed}",
            entry.name,
            did_you_mean(&entry.name, names)
        );
        self.context.problems.add(entry.at, &self.path, message);
    }

    fn must_be_there(&self, key: &Key) {
        if matches!(key.default, Default::Required) && self.node.get(key.name).is_none() {
            let message = format!("is missing; {}", key.doc);
            self.context.problems.add(self.node.at, &self.path_of(key.name), message);
        }
    }

    /// What the whole scenario shares.
    pub(super) fn context(&self) -> Context<'a> {
        self.context
    }

    /// The full name of a key.
    pub(super) fn path_of(&self, name: &str) -> String {
        if self.path.is_empty() { name.to_owned() } else { format!("{}.{name}", self.path) }
    }

    /// Where a key stands, or else its table.
    pub(super) fn place(&self, name: &str) -> At {
        self.node.get(name).map_or(self.node.at, |node| node.at)
    }

    /// Whether the file or an override says it.
    pub(super) fn has(&self, name: &str) -> bool {
        self.node.get(name).is_some()
    }

    /// Notes a problem with a key.
    pub(super) fn problem(&self, name: &str, message: impl Into<String>) {
        self.context.problems.add(self.place(name), &self.path_of(name), message);
    }

    fn key(&self, name: &str) -> Option<&'static Key> {
        let key = self.keys.iter().find(|key| key.name == name);
        debug_assert!(key.is_some(), "{name} is not in the vocabulary of {}", self.path);
        key
    }

    /// What is given, or else the default.
    pub(super) fn node(&self, name: &str) -> Option<Node> {
        self.node.get(name).cloned().or_else(|| match self.key(name)?.default {
            Default::Is(text) => parse_value(text, At::Default),
            _ => None,
        })
    }

    /// A table inside this one.
    pub(super) fn table(&self, name: &str, node: &'a Node, keys: &'static [Key]) -> Reader<'a> {
        Reader::new(self.context, node, &self.path_of(name), keys)
    }

    /// What is given at a key, as it stands in the tree.
    pub(super) fn given(&self, name: &str) -> Option<&'a Node> {
        self.node.get(name)
    }

    /// Each item of a list of tables, with its path.
    pub(super) fn items(&self, name: &str) -> Vec<(String, &'a Node)> {
        let Some(node) = self.node.get(name) else { return Vec::new() };
        let Value::List(items) = &node.value else {
            self.problem(name, format!("{} is no list; write [[{name}]] for each", node.describe()));
            return Vec::new();
        };
        if let Some(Kind::List { min, .. }) = self.key(name).map(|key| &key.kind)
            && items.len() < *min
        {
            self.problem(name, format!("has {} of them; allowed is {min} or more", items.len()));
        }
        items.iter().enumerate().map(|(index, item)| (format!("{name}[{index}]"), item)).collect()
    }

    /// A reader for an item of [`Reader::items`].
    pub(super) fn item(&self, path: &str, node: &'a Node, keys: &'static [Key]) -> Reader<'a> {
        Reader::new(self.context, node, &self.path_of(path), keys)
    }

    /// Any text, or one of the characters that its kind allows.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        let node = self.node(name)?;
        let text = self.text_of(name, &node)?;
        if let Some(Kind::Name { punctuation }) = self.key(name).map(|key| &key.kind)
            && (text.is_empty()
                || text.chars().any(|c| !c.is_ascii_alphanumeric() && !punctuation.contains(c)))
        {
            let spelled = punctuation.chars().map(String::from).collect::<Vec<_>>().join(" ");
            self.problem(name, format!("`{text}` is no name; allowed are A-Z a-z 0-9 {spelled}"));
            return None;
        }
        Some(text)
    }

    /// The text of a node. An override's `5` is a text where one is wanted.
    pub(super) fn text_of(&self, name: &str, node: &Node) -> Option<String> {
        match (&node.value, node.at) {
            (Value::Text(text), _) => Some(text.clone()),
            (Value::Whole(_) | Value::Float(_) | Value::Flag(_), At::Set(index)) => {
                self.context.overrides.get(index).map(|set| set.raw().to_owned())
            }
            _ => {
                self.problem(name, format!("{} is no text; put it in quotes", node.describe()));
                None
            }
        }
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, name: &str) -> bool {
        match self.node(name).map(|node| (node.describe(), node.value)) {
            Some((_, Value::Flag(flag))) => flag,
            Some((given, _)) => {
                self.problem(name, format!("{given} is no flag; allowed is true or false"));
                false
            }
            None => false,
        }
    }

    /// A whole number within the limits of its key, or else `absent`.
    pub(super) fn whole(&self, name: &str, absent: u64) -> u64 {
        let Some(node) = self.node(name) else { return absent };
        let limits = |kind: &'static Kind| match kind {
            Kind::Whole { min, max } => Some((min, max)),
            _ => None,
        };
        let limits = match self.key(name).map(|key| &key.kind) {
            Some(Kind::AnyOf(forms)) => forms.iter().find_map(limits),
            kind => kind.and_then(limits),
        };
        let Some((min, max)) = limits else { return absent };
        match node.value {
            Value::Whole(number) if u64::try_from(number).is_ok_and(|n| (*min..=*max).contains(&n)) => {
                number.unsigned_abs()
            }
            _ => {
                let given = node.describe();
                self.problem(
                    name,
                    format!("{given} is not allowed; allowed is a whole number from {min} to {max}"),
                );
                absent.max(*min)
            }
        }
    }

    /// [`Reader::whole`] for limits that fit.
    pub(super) fn count(&self, name: &str, absent: u32) -> u32 {
        u32::try_from(self.whole(name, u64::from(absent))).unwrap_or(u32::MAX)
    }

    /// A number from 0 to the limit of its key; `None` if it isn't there or isn't that.
    pub(super) fn number(&self, name: &str) -> Option<f64> {
        let node = self.node(name)?;
        let Some(Kind::Number { max }) = self.key(name).map(|key| &key.kind) else { return None };
        let number = match node.value {
            Value::Whole(number) => Some(number as f64),
            Value::Float(number) => Some(number),
            _ => None,
        };
        let fits = number.filter(|number| (0.0..=*max).contains(number));
        if fits.is_none() {
            let given = node.describe();
            self.problem(name, format!("{given} is not allowed; allowed is a number from 0 to {max}"));
        }
        fits
    }

    /// One of the words of `W`.
    pub(super) fn word<W: Word>(&self, name: &str) -> W {
        let fallback = W::WORDS[0].1;
        let Some(text) = self.node(name).and_then(|node| self.text_of(name, &node)) else { return fallback };
        W::WORDS.iter().find(|(word, _)| *word == text).map_or_else(
            || {
                self.unknown_word(name, &text, &words::<W>());
                fallback
            },
            |(_, value)| *value,
        )
    }

    /// Says that `text` is none of the words allowed at a key.
    pub(super) fn unknown_word(&self, name: &str, text: &str, words: &[&str]) {
        let hint = did_you_mean(text, words.iter().copied());
        let allowed = one_of(words.iter().copied());
        self.problem(name, format!("`{text}` is not known{hint}; allowed: {allowed}"));
    }

    /// Bytes, within the limit of its key.
    pub(super) fn size(&self, name: &str) -> usize {
        let largest = |kind: &Kind| if let Kind::Size { max } = kind { Some(*max) } else { None };
        let max = match self.key(name).map(|key| &key.kind) {
            Some(Kind::AnyOf(forms)) => forms.iter().find_map(largest),
            kind => kind.and_then(largest),
        };
        let max = max.unwrap_or(u64::MAX);
        let Some(bytes) = self.quantity(name, units::parse_size, "1KiB") else { return 0 };
        if bytes > max {
            self.problem(
                name,
                format!("{} is too much; allowed is up to {}", units::size(bytes), units::size(max)),
            );
        }
        usize::try_from(bytes.min(max)).unwrap_or(usize::MAX)
    }

    /// A time span; `None` if it isn't there or isn't that.
    pub(super) fn span(&self, name: &str) -> Option<Duration> {
        self.quantity(name, units::parse_duration, "250us")
    }

    /// `max`, or a rate above zero.
    pub(super) fn rate(&self, name: &str) -> Rate {
        let Some(node) = self.node(name) else { return Rate::Max };
        if matches!(&node.value, Value::Text(text) if text == "max") {
            return Rate::Max;
        }
        match self.quantity(name, units::parse_rate, "50k/s\" or \"max") {
            Some(per_second) if per_second > 0.0 => Rate::PerSecond(per_second),
            Some(_) => {
                self.problem(name, "a rate of zero sends nothing; allowed is more, or `max`");
                Rate::Max
            }
            None => Rate::Max,
        }
    }

    /// A text with a unit.
    fn quantity<T>(
        &self,
        name: &str,
        parse: fn(&str) -> Result<T, units::UnitError>,
        example: &str,
    ) -> Option<T> {
        let node = self.node(name)?;
        if let (Value::Whole(_) | Value::Float(_), At::Byte(_)) = (&node.value, node.at) {
            self.problem(name, format!("{} has no unit; write it like \"{example}\"", node.describe()));
            return None;
        }
        let text = self.text_of(name, &node)?;
        parse(&text).map_err(|error| self.problem(name, error.to_string())).ok()
    }
}
