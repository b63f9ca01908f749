//! A sweep: keys of a scenario that take several values, and the points that follow from them.

use super::document::{Node, Value};
use super::model::Scenario;
use super::overrides::put;
use super::reader::{Context, Reader};
use super::spec;

/// Points of a sweep at most: more would run for days.
pub(super) const POINTS_MAX: usize = 1_000;

/// Tables that a sweep may not reach into: they concern the run as a whole.
const NOT_SWEPT: [&str; 6] = ["name", "description", "scale", "trials", "expect", "sweep"];

/// Which keys take which values.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Sweep {
    /// How the values of several keys go together.
    pub combine: Combine,
    /// The keys; none means no sweep.
    pub axes: Vec<Swept>,
}

/// How the values of several keys go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Combine {
    /// Every value of each with every value of the others.
    #[default]
    Cross,
    /// The first of each, the second of each, and so on.
    Zip,
}

/// A key with its values.
#[derive(Debug, Clone, PartialEq)]
pub struct Swept {
    /// As on `--set`, such as `workload.rate`.
    pub key: String,
    /// The values as TOML, at least one.
    pub values: Vec<String>,
}

/// One combination of swept values, and the scenario that it makes.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// `payload=1KiB, rate=20k/s`; empty for a scenario without a sweep.
    pub name: String,
    /// Each swept key by its short name, with its value as people write it.
    pub settings: Vec<(String, String)>,
    /// The scenario at this point, without a sweep and without expectations.
    pub scenario: Scenario,
}

/// A swept key as it is read: its short name, and each value with its place in the file.
struct AxisNodes {
    key: String,
    short: String,
    values: Vec<Node>,
}

/// Reads `[sweep]`.
pub(super) fn sweep(table: &Reader<'_>) -> Sweep {
    let axes = table.items("axes").into_iter().filter_map(|(path, node)| {
        let axis = table.item(&path, node, spec::SWEPT);
        let key = axis.text("key")?;
        let first = key.split(['.', '[']).next().unwrap_or_default();
        if NOT_SWEPT.contains(&first) {
            axis.problem("key", format!("`{key}` concerns the run as a whole and can't be swept"));
        }
        let values = list(axis.given("values"));
        if values.is_empty() {
            axis.problem("values", "allowed is a list with at least one value");
        }
        Some(Swept { key, values: values.iter().map(Node::toml).collect() })
    });
    let sweep = Sweep { axes: axes.collect(), combine: table.word("combine") };
    let lengths: Vec<usize> = sweep.axes.iter().map(|axis| axis.values.len()).collect();
    if sweep.combine == Combine::Zip && lengths.windows(2).any(|pair| pair[0] != pair[1]) {
        table
            .problem("axes", format!("zipped lists have to be as long as each other; given are {lengths:?}"));
    }
    let points = lengths.iter().fold(1usize, |product, length| product.saturating_mul(*length));
    if sweep.combine == Combine::Cross && points > POINTS_MAX {
        table.problem("axes", format!("{points} points; allowed is up to {POINTS_MAX}"));
    }
    sweep
}

fn list(node: Option<&Node>) -> Vec<Node> {
    match node.map(|node| &node.value) {
        Some(Value::List(items)) => items.clone(),
        _ => Vec::new(),
    }
}

/// The points of the sweep in `root`, each read and checked by itself.
pub(super) fn points(
    sweep: &Sweep,
    root: &Node,
    context: Context<'_>,
    read: impl Fn(Context<'_>, &Node) -> Scenario,
) -> Vec<Point> {
    let axes = axes(sweep, root);
    let mut bare = root.clone();
    if let Value::Table(entries) = &mut bare.value {
        entries.retain(|entry| entry.name != "sweep" && entry.name != "expect");
    }
    let mut points = Vec::new();
    for chosen in combinations(sweep.combine, &axes) {
        let mut tree = bare.clone();
        let settings: Vec<(String, String)> = axes
            .iter()
            .zip(&chosen)
            .map(|(axis, index)| (axis.short.clone(), axis.values[*index].plain()))
            .collect();
        let name =
            settings.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(", ");
        let problems = context.problems.alike();
        for (axis, index) in axes.iter().zip(&chosen) {
            let node = axis.values[*index].clone();
            let at = node.at;
            if let Err(message) = put(&mut tree, &axis.key, node, at) {
                problems.add(at, &axis.key, message);
            }
        }
        let scenario = read(Context { problems: &problems, overrides: context.overrides }, &tree);
        context.problems.absorb(problems, &name);
        points.push(Point { name, settings, scenario });
    }
    points
}

/// The axes with the places of their values, and names as short as they can be told apart by.
fn axes(sweep: &Sweep, root: &Node) -> Vec<AxisNodes> {
    let nodes = list(root.get("sweep").and_then(|sweep| sweep.get("axes")));
    let last = |key: &str| key.rsplit('.').next().unwrap_or(key).to_owned();
    let short = |key: &str| {
        let alike = sweep.axes.iter().filter(|axis| last(&axis.key) == last(key)).count();
        if alike > 1 { key.to_owned() } else { last(key) }
    };
    sweep
        .axes
        .iter()
        .zip(nodes)
        .map(|(axis, node)| AxisNodes {
            key: axis.key.clone(),
            short: short(&axis.key),
            values: list(node.get("values")),
        })
        .collect()
}

/// Which value of each axis every point has; the last axis changes quickest.
fn combinations(combine: Combine, axes: &[AxisNodes]) -> Vec<Vec<usize>> {
    let lengths: Vec<usize> = axes.iter().map(|axis| axis.values.len()).collect();
    if combine == Combine::Zip {
        let shortest = lengths.iter().copied().min().unwrap_or(0);
        return (0..shortest).map(|index| vec![index; lengths.len()]).collect();
    }
    lengths.iter().fold(vec![Vec::new()], |points, length| {
        let longer = |point: &Vec<usize>| {
            let point = point.clone();
            (0..*length).map(move |index| [point.clone(), vec![index]].concat()).collect::<Vec<_>>()
        };
        points.iter().flat_map(longer).collect()
    })
}

impl Scenario {
    /// Name and scenario of every point; a scenario without a sweep is its own only point, with no name.
    #[must_use]
    pub fn at_points(&self) -> Vec<(&str, &Self)> {
        if self.points.is_empty() {
            return vec![("", self)];
        }
        self.points.iter().map(|point| (point.name.as_str(), &point.scenario)).collect()
    }
}
