//! `--set workload.rate=50k/s`: any key of a scenario, from the command line.

use super::document::{At, Entry, Node, Value, parse_value};
use super::problem::{Problems, ScenarioError, did_you_mean, one_of};

/// One `KEY=VALUE`. The value is TOML, or else plain text: `50k/s` and `"50k/s"` mean the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Override {
    key: String,
    value: String,
}

impl Override {
    /// Parses `workload.rate=50k/s`, `target.NAME.options.x=…`, `target[0].options.x=…`.
    ///
    /// # Errors
    /// If there is no `=`, or nothing in front of it.
    pub fn parse(text: &str) -> Result<Self, ScenarioError> {
        match text.split_once('=') {
            Some((key, value)) if !key.trim().is_empty() => {
                Ok(Self { key: key.trim().to_owned(), value: value.trim().to_owned() })
            }
            _ => Err(ScenarioError::whole(
                &format!("--set {text}"),
                "this is no KEY=VALUE; allowed is any key of a scenario, such as workload.rate=50k/s",
            )),
        }
    }

    /// As it was typed, without blanks.
    pub(super) fn typed(&self) -> String {
        format!("{}={}", self.key, self.value)
    }

    /// The value as plain text.
    pub(super) fn raw(&self) -> &str {
        &self.value
    }

    /// Puts the value into the tree, as number `index` of the overrides.
    pub(super) fn apply(&self, root: &mut Node, index: usize, problems: &Problems<'_>) {
        let at = At::Set(index);
        let node = parse_value(&self.value, at)
            .unwrap_or_else(|| Node { at, value: Value::Text(self.value.clone()) });
        if let Err(message) = put(root, &self.key, node, at) {
            problems.add(at, &self.key, message);
        }
    }
}

/// Walks `path` from `here`, making tables as needed, and sets its end to `node`.
pub(super) fn put(here: &mut Node, path: &str, node: Node, at: At) -> Result<(), String> {
    if let Value::List(items) = &mut here.value {
        let (item, rest) = pick(items, path)?;
        return if rest.is_empty() { replace(item, node) } else { put(item, rest, node, at) };
    }
    let given = here.describe();
    let Value::Table(entries) = &mut here.value else {
        return Err(format!("`{path}` cannot be set inside {given}: give the whole table instead"));
    };
    let (name, rest) = split(path)?;
    let position = entries.iter().position(|entry| entry.name == name).unwrap_or_else(|| {
        entries.push(Entry { name: name.to_owned(), at, node: Node::table(at) });
        entries.len() - 1
    });
    let entry = &mut entries[position];
    if rest.is_empty() { replace(&mut entry.node, node) } else { put(&mut entry.node, rest, node, at) }
}

fn replace(old: &mut Node, new: Node) -> Result<(), String> {
    *old = new;
    Ok(())
}

/// The first name of a path and what follows it: `a.b` and `a[0]` both start with `a`. Quotes keep dots.
fn split(path: &str) -> Result<(&str, &str), String> {
    if let Some(quoted) = path.strip_prefix('"') {
        let (name, rest) = quoted.split_once('"').ok_or("a quote is not closed")?;
        return Ok((name, rest.strip_prefix('.').unwrap_or(rest)));
    }
    let end = path.find(['.', '[']).unwrap_or(path.len());
    let (name, rest) = path.split_at(end);
    if name.is_empty() {
        return Err("a name is missing between the dots".to_owned());
    }
    Ok((name, rest.strip_prefix('.').unwrap_or(rest)))
}

/// The item of a list that a path starts with: `[0]`, or the `name` of one, which may have dots in it.
fn pick<'a, 'p>(items: &'a mut [Node], path: &'p str) -> Result<(&'a mut Node, &'p str), String> {
    let (index, rest) = if let Some(inner) = path.strip_prefix('[') {
        let (number, rest) = inner.split_once(']').ok_or("a bracket is not closed")?;
        let index = number.trim().parse::<usize>().ok().filter(|index| *index < items.len());
        (
            index.ok_or_else(|| {
                format!("there is no [{number}]; allowed is 0 to {}", items.len().saturating_sub(1))
            })?,
            rest,
        )
    } else {
        pick_named(items, path)?
    };
    Ok((&mut items[index], rest.strip_prefix('.').unwrap_or(rest)))
}

fn pick_named<'p>(items: &[Node], path: &'p str) -> Result<(usize, &'p str), String> {
    let names: Vec<&str> = items.iter().map(|item| name_of(item).unwrap_or_default()).collect();
    let after = |name: &str| -> Option<&'p str> {
        let rest = match path.strip_prefix('"') {
            Some(quoted) => quoted.strip_prefix(name)?.strip_prefix('"')?,
            None => path.strip_prefix(name)?,
        };
        (rest.is_empty() || rest.starts_with('.')).then_some(rest)
    };
    let longest = (0..names.len())
        .filter(|&index| !names[index].is_empty())
        .filter_map(|index| Some((index, after(names[index])?)))
        .min_by_key(|(_, rest)| rest.len());
    longest.ok_or_else(|| {
        let given = path.split('.').next().unwrap_or(path);
        let known = names.iter().copied().filter(|name| !name.is_empty());
        format!(
            "nothing here is named `{given}`{}; allowed are {} or [0] to [{}]",
            did_you_mean(given, known.clone()),
            one_of(known),
            items.len().saturating_sub(1)
        )
    })
}

fn name_of(item: &Node) -> Option<&str> {
    match &item.get("name")?.value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::document::parse;
    use super::*;

    fn set(text: &str, argument: &str) -> Result<Node, String> {
        let mut root = parse(text).unwrap();
        let problems = Problems::new("x.toml", text, vec![argument.to_owned()]);
        Override::parse(argument).unwrap().apply(&mut root, 0, &problems);
        problems.finish(root).map_err(|error| error.to_string())
    }

    const TARGETS: &str =
        "[[target]]\nname = \"nats\"\n[[target]]\nname = \"nats-2.11\"\nbroker = \"managed\"\n";

    fn target(root: &Node, index: usize) -> Node {
        match &root.get("target").unwrap().value {
            Value::List(items) => items[index].clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn plain_text_and_toml_both_do() {
        for argument in ["workload.rate=50k/s", "workload.rate = \"50k/s\""] {
            let root = set("[workload]\nrate = \"max\"\n", argument).unwrap();
            assert_eq!(root.get("workload").unwrap().get("rate").unwrap().value, Value::Text("50k/s".into()));
        }
        let root = set("", "workload.publishers=5").unwrap();
        assert_eq!(root.get("workload").unwrap().get("publishers").unwrap().value, Value::Whole(5));
    }

    #[test]
    fn targets_are_found_by_index_and_by_names_with_dots() {
        for argument in ["target.nats-2.11.options.ack=none", "target[1].options.ack=none"] {
            let root = set(TARGETS, argument).unwrap();
            assert!(target(&root, 1).get("options").unwrap().get("ack").is_some(), "{argument}");
            assert!(target(&root, 0).get("options").is_none());
        }
        assert!(target(&set(TARGETS, "target.nats.optional=true").unwrap(), 0).get("optional").is_some());
        assert!(target(&set(TARGETS, "target.\"nats-2.11\".x=1").unwrap(), 1).get("x").is_some());
    }

    #[test]
    fn what_cannot_be_set_says_why() {
        for (argument, why) in [
            ("target.nat.options.ack=none", "did you mean `nats`"),
            ("target[7].optional=true", "allowed is 0 to 1"),
            ("target[1].broker.url=redis://x", "cannot be set inside the text \"managed\""),
            ("workload..rate=1", "a name is missing"),
        ] {
            let said = set(TARGETS, argument).unwrap_err();
            assert!(said.contains(why) && said.starts_with("--set "), "{said}");
        }
        assert!(Override::parse("rate").unwrap_err().to_string().contains("KEY=VALUE"));
    }
}
