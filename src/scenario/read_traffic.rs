//! From the tree to sizes, topics, shapes and arrivals: values that are one word or a table of their own.

use std::path::PathBuf;
use std::time::Duration;

use super::document::{Node, Value};
use super::model::Arrival;
use super::reader::Reader;
use super::spec::{self, Key};
use super::traffic::{PayloadSize, Shape, TopicChoice, replay_is_right};

/// Smallest payload that a lognormal distribution gives, if nothing is said: it has room for both send times.
const LOGNORMAL_MIN: usize = 32;

/// The table at a key, if it is one.
fn inner<'a>(table: &Reader<'a>, name: &str, keys: &'static [Key]) -> Option<Reader<'a>> {
    let node = table.given(name).filter(|node| matches!(node.value, Value::Table(_)))?;
    Some(table.table(name, node, keys))
}

/// The word at a key that has no table; complains of one that is not among `words`.
fn word(table: &Reader<'_>, name: &str, words: &[&str]) -> String {
    let word = table.node(name).and_then(|node| table.text_of(name, &node)).unwrap_or_default();
    if !word.is_empty() && !words.contains(&word.as_str()) {
        table.unknown_word(name, &word, words);
    }
    word
}

/// `payload`.
pub(super) fn payload(table: &Reader<'_>) -> PayloadSize {
    let Some(inner) = inner(table, "payload", spec::PAYLOAD) else {
        return PayloadSize::Fixed(table.size("payload"));
    };
    let given: Vec<&str> = spec::PAYLOAD.iter().map(|key| key.name).filter(|name| inner.has(name)).collect();
    let without_min: Vec<&str> = given.iter().copied().filter(|name| *name != "min").collect();
    match (given.as_slice(), without_min.as_slice()) {
        (["weighted"], _) => PayloadSize::Weighted(weighted(&inner)),
        (["from", "to"], _) => {
            let (from, to) = (inner.size("from"), inner.size("to"));
            if from > to {
                inner.problem("from", format!("{from} bytes are more than `to`, {to}"));
            }
            PayloadSize::Range(from.min(to), to)
        }
        (_, ["lognormal", "sigma", "max"]) => lognormal(&inner),
        _ => {
            let allowed = "`weighted` alone, `from` with `to`, or `lognormal` with `sigma`, `max` and, if wanted, `min`";
            table.problem("payload", format!("these keys do not go together; allowed is {allowed}"));
            PayloadSize::Fixed(0)
        }
    }
}

fn weighted(inner: &Reader<'_>) -> Vec<(usize, f64)> {
    let sizes: Vec<(usize, f64)> = inner
        .items("weighted")
        .into_iter()
        .map(|(path, node)| {
            let item = inner.item(&path, node, spec::WEIGHTED);
            (item.size("size"), item.number("weight").unwrap_or(0.0))
        })
        .collect();
    if sizes.iter().all(|(_, weight)| *weight == 0.0) {
        inner.problem("weighted", "no size has a weight above 0");
    }
    sizes
}

fn lognormal(inner: &Reader<'_>) -> PayloadSize {
    let (median, max) = (inner.size("lognormal"), inner.size("max"));
    let min = if inner.has("min") { inner.size("min") } else { LOGNORMAL_MIN };
    if !(min..=max).contains(&median) {
        inner.problem(
            "lognormal",
            format!("{median} bytes do not lie between {min} (`min`) and {max} (`max`)"),
        );
    }
    PayloadSize::Lognormal { median, sigma: inner.number("sigma").unwrap_or(0.0), min, max }
}

/// `topic_choice`.
pub(super) fn topic_choice(table: &Reader<'_>) -> TopicChoice {
    let name = "topic_choice";
    match inner(table, name, spec::CHOICE) {
        Some(inner) => TopicChoice::Zipf(inner.number("zipf").unwrap_or(0.0)),
        None if word(table, name, &["round_robin", "uniform", "{ zipf = EXPONENT }"]) == "uniform" => {
            TopicChoice::Uniform
        }
        None => TopicChoice::RoundRobin,
    }
}

/// `arrival`.
pub(super) fn arrival(table: &Reader<'_>) -> Arrival {
    match inner(table, "arrival", spec::BURST) {
        Some(inner) => Arrival::Burst(inner.count("burst", 2)),
        None if word(table, "arrival", &["constant", "poisson", "{ burst = N }"]) == "poisson" => {
            Arrival::Poisson
        }
        None => Arrival::Constant,
    }
}

/// `shape`.
pub(super) fn shape(table: &Reader<'_>) -> Shape {
    let Some(inner) = inner(table, "shape", spec::SHAPE) else {
        let forms = [
            "flat",
            "{ steps = […], every = … }",
            "{ ramp = …, over = … }",
            "{ spike = …, over = … }",
            "{ sine = …, period = … }",
            "{ replay = […] }",
            "{ csv = … }",
        ];
        word(table, "shape", &forms);
        return Shape::Flat;
    };
    let given: Vec<&str> =
        spec::SHAPE.iter().map(|key| key.name).filter(|name| inner.has(name) && *name != "after").collect();
    let after = || if inner.has("after") { span(&inner, "after") } else { Duration::ZERO };
    let factor = |name| inner.number(name).unwrap_or(1.0);
    match given.as_slice() {
        ["steps", "every"] => {
            Shape::Steps { factors: steps(&inner), every: longer_than_zero(&inner, "every") }
        }
        ["ramp", "over"] => Shape::Ramp { to: factor("ramp"), after: after(), over: span(&inner, "over") },
        ["spike", "over"] => {
            Shape::Spike { factor: factor("spike"), after: after(), over: longer_than_zero(&inner, "over") }
        }
        ["sine", "period"] => {
            Shape::Sine { amplitude: factor("sine"), period: longer_than_zero(&inner, "period") }
        }
        ["replay"] => replay(&inner),
        ["csv"] => Shape::Csv(PathBuf::from(inner.text("csv").unwrap_or_default())),
        _ => {
            let allowed = "`steps` with `every`, `ramp` or `spike` with `over` and, if wanted, `after`, \
                           `sine` with `period`, `replay` alone, or `csv` alone";
            table.problem("shape", format!("these keys do not go together; allowed is {allowed}"));
            Shape::Flat
        }
    }
}

fn span(inner: &Reader<'_>, name: &str) -> Duration {
    inner.span(name).unwrap_or_default()
}

fn longer_than_zero(inner: &Reader<'_>, name: &str) -> Duration {
    let span = span(inner, name);
    if span.is_zero() {
        inner.problem(name, "allowed is more than 0s");
    }
    span
}

fn number(node: &Node) -> Option<f64> {
    match node.value {
        Value::Whole(number) => Some(number as f64),
        Value::Float(number) => Some(number),
        _ => None,
    }
}

fn list<'a>(inner: &Reader<'a>, name: &str) -> &'a [Node] {
    match inner.given(name).map(|node| &node.value) {
        Some(Value::List(items)) => items,
        _ => &[],
    }
}

fn steps(inner: &Reader<'_>) -> Vec<f64> {
    let given = list(inner, "steps");
    let factors: Vec<f64> =
        given.iter().filter_map(number).filter(|factor| (0.0..=1e6).contains(factor)).collect();
    if factors.len() != given.len() || factors.iter().all(|factor| *factor == 0.0) {
        inner.problem("steps", "allowed is a list of numbers from 0 to 1000000, not all of them 0");
    }
    factors
}

fn replay(inner: &Reader<'_>) -> Shape {
    let pair = |node: &Node| match &node.value {
        Value::List(items) => match items.iter().map(number).collect::<Vec<_>>()[..] {
            [Some(second), Some(rate)] => Some((second, rate)),
            _ => None,
        },
        _ => None,
    };
    let given = list(inner, "replay");
    let rows: Vec<(f64, f64)> = given.iter().filter_map(pair).collect();
    if rows.len() != given.len() {
        inner.problem("replay", "allowed is a list of [second, messages per second]");
    } else if let Err(why) = replay_is_right(&rows) {
        inner.problem("replay", why);
    }
    Shape::Replay(rows)
}
