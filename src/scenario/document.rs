//! TOML as a tree of our own in which each value knows where it stands, so that overrides and defaults are
//! read by the same code as the file.

use toml_edit::{Document, Item, TableLike};

/// Where a value stands. Ordered as problems are reported: file first, then overrides.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum At {
    /// Byte offset in the file.
    Byte(usize),
    /// Index of the override that put it there.
    Set(usize),
    /// Nowhere: a default.
    Default,
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) at: At,
    pub(super) value: Value,
}

/// A key with its value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) at: At,
    pub(super) node: Node,
}

/// What TOML can say.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Text(String),
    Whole(i64),
    Float(f64),
    Flag(bool),
    Date(String),
    List(Vec<Node>),
    Table(Vec<Entry>),
}

impl Node {
    /// An empty table.
    pub(super) fn table(at: At) -> Self {
        Self { at, value: Value::Table(Vec::new()) }
    }

    /// The entries of a table; none for anything else.
    pub(super) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Table(entries) => entries,
            _ => &[],
        }
    }

    /// The value of a key of a table.
    pub(super) fn get(&self, name: &str) -> Option<&Node> {
        self.entries().iter().find(|entry| entry.name == name).map(|entry| &entry.node)
    }

    /// As TOML, in one line.
    pub(super) fn toml(&self) -> String {
        let value: toml_edit::Value = match &self.value {
            Value::Text(text) => text.as_str().into(),
            Value::Whole(number) => (*number).into(),
            Value::Float(number) => (*number).into(),
            Value::Flag(flag) => (*flag).into(),
            Value::Date(date) => date.as_str().into(),
            Value::List(items) => {
                return format!("[{}]", items.iter().map(Self::toml).collect::<Vec<_>>().join(", "));
            }
            Value::Table(entries) => {
                let pair =
                    |entry: &Entry| format!("{} = {}", toml_edit::Key::new(&entry.name), entry.node.toml());
                return format!("{{ {} }}", entries.iter().map(pair).collect::<Vec<_>>().join(", "));
            }
        };
        value.to_string()
    }

    /// As people say it: a text without its quotes, anything else as TOML.
    pub(super) fn plain(&self) -> String {
        match &self.value {
            Value::Text(text) => text.clone(),
            _ => self.toml(),
        }
    }

    /// What was given, for an error message.
    pub(super) fn describe(&self) -> String {
        match &self.value {
            Value::Text(text) => format!("the text \"{text}\""),
            Value::Whole(number) => format!("the number {number}"),
            Value::Float(number) => format!("the number {number}"),
            Value::Flag(flag) => format!("{flag}"),
            Value::Date(date) => format!("the date {date}"),
            Value::List(items) => format!("a list of {}", items.len()),
            Value::Table(_) => "a table".to_owned(),
        }
    }
}

/// Parses a whole file.
pub(super) fn parse(text: &str) -> Result<Node, (At, String)> {
    let document = Document::parse(text).map_err(|error| {
        let at = error.span().map_or(At::Byte(0), |span| At::Byte(span.start));
        (at, format!("this is not TOML: {}", error.message().replace('\n', ", ")))
    })?;
    Ok(table(document.as_table(), At::Byte(0), &span_at))
}

/// Parses one value, as in an override or a default, that stands at `at`.
pub(super) fn parse_value(text: &str, at: At) -> Option<Node> {
    let parsed: toml_edit::Value = text.trim().parse().ok()?;
    Some(value(&parsed, at, &|_, _| at))
}

/// Where something parsed stands, given its span and the place around it.
type Place<'a> = &'a dyn Fn(Option<std::ops::Range<usize>>, At) -> At;

fn span_at(span: Option<std::ops::Range<usize>>, around: At) -> At {
    span.map_or(around, |span| At::Byte(span.start))
}

fn table(source: &dyn TableLike, at: At, place: Place<'_>) -> Node {
    let entries = source
        .iter()
        .filter_map(|(name, item)| {
            let at = place(source.key(name).and_then(toml_edit::Key::span), at);
            Some(Entry { name: name.to_owned(), at, node: item_node(item, at, place)? })
        })
        .collect();
    Node { at, value: Value::Table(entries) }
}

fn item_node(item: &Item, around: At, place: Place<'_>) -> Option<Node> {
    let at = place(item.span(), around);
    Some(match item {
        Item::None => return None,
        Item::Value(inner) => value(inner, at, place),
        Item::Table(inner) => table(inner, at, place),
        Item::ArrayOfTables(tables) => {
            let items = tables.iter().map(|inner| table(inner, place(inner.span(), at), place)).collect();
            Node { at, value: Value::List(items) }
        }
    })
}

fn value(source: &toml_edit::Value, around: At, place: Place<'_>) -> Node {
    let at = place(source.span(), around);
    let value = match source {
        toml_edit::Value::String(text) => Value::Text(text.value().clone()),
        toml_edit::Value::Integer(number) => Value::Whole(*number.value()),
        toml_edit::Value::Float(number) => Value::Float(*number.value()),
        toml_edit::Value::Boolean(flag) => Value::Flag(*flag.value()),
        toml_edit::Value::Datetime(date) => Value::Date(date.value().to_string()),
        toml_edit::Value::Array(items) => {
            Value::List(items.iter().map(|inner| self::value(inner, at, place)).collect())
        }
        toml_edit::Value::InlineTable(inner) => return table(inner, at, place),
    };
    Node { at, value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_value_knows_where_it_stands() {
        let text = "a = 1\n[t]\nb = { c = \"x\" }\n[[l]]\nd = 2\n";
        let root = parse(text).unwrap();
        let at = |node: &Node| match node.at {
            At::Byte(offset) => &text[offset..=offset],
            other => panic!("{other:?}"),
        };
        assert_eq!(at(root.get("a").unwrap()), "1");
        assert_eq!(at(root.get("t").unwrap().get("b").unwrap().get("c").unwrap()), "\"");
        let Value::List(items) = &root.get("l").unwrap().value else { panic!("no list") };
        assert_eq!(at(items[0].get("d").unwrap()), "2");
    }

    #[test]
    fn a_syntax_error_has_a_place() {
        let (at, message) = parse("a = 1\nb = = 2\n").unwrap_err();
        assert_eq!((at, message.contains("TOML")), (At::Byte(10), true));
    }
}
