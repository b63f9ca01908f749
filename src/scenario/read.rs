//! From the tree to a scenario, with every default filled in.

use std::path::PathBuf;

use super::document::{Node, Value};
use super::expect::{Expect, Right};
use super::model::{Audience, Extent, Fill, Phases, Scenario, Trials, Workload};
use super::read_happenings;
use super::read_target::target;
use super::read_traffic;
use super::reader::{Context, Reader};
use super::spec;
use super::sweep::sweep;

/// Connections that publishers share, if nothing is said: enough to use several cores, few enough that each
/// write carries several messages.
pub(super) const PUBLISHER_CONNECTIONS: u32 = 8;
/// Connections that subscribers share, if nothing is said: one each as far as that is sensible, since Redis
/// Pub/Sub can't serve two subscribers of a topic on one.
pub(super) const SUBSCRIBER_CONNECTIONS: u32 = 128;

/// Connections that actors share, if nothing is said.
pub(super) fn default_connections(actors: u32, most: u32) -> u32 {
    actors.min(most)
}

/// The whole file.
pub(super) fn scenario(context: Context<'_>, root: &Node) -> Scenario {
    let top = Reader::new(context, root, "", spec::SCENARIO);
    let empty = Node::table(root.at);
    let section = |name, keys| top.table(name, top.given(name).unwrap_or(&empty), keys);
    let trials = section("trials", spec::TRIALS);
    Scenario {
        name: name(&top),
        description: top.text("description").unwrap_or_default(),
        scale: top.word("scale"),
        workload: workload(&section("workload", spec::WORKLOAD), audiences(&top)),
        phases: phases(&section("phases", spec::PHASES)),
        trials: Trials { count: trials.count("count", 1), seed: trials.whole("seed", 0) },
        targets: top
            .items("target")
            .into_iter()
            .map(|(path, node)| target(&top.item(&path, node, spec::TARGET)))
            .collect(),
        expects: top
            .items("expect")
            .into_iter()
            .filter_map(|(path, node)| expect(&top.item(&path, node, spec::EXPECT)))
            .collect(),
        events: top
            .items("event")
            .into_iter()
            .map(|(path, node)| read_happenings::event(&top.item(&path, node, spec::EVENT)))
            .collect(),
        behaviours: top
            .items("behaviour")
            .into_iter()
            .map(|(path, node)| read_happenings::behaviour(&top.item(&path, node, spec::BEHAVIOUR)))
            .collect(),
        sweep: sweep(&section("sweep", spec::SWEEP)),
        points: Vec::new(),
    }
}

fn name(top: &Reader<'_>) -> String {
    let name = top.text("name").unwrap_or_default();
    if name.contains(|c: char| c.is_ascii_uppercase()) {
        top.problem("name", format!("`{name}` has capitals; it names a folder: `{}`", name.to_lowercase()));
    }
    name
}

fn audiences(top: &Reader<'_>) -> Vec<Audience> {
    let audience = |(path, node): (String, _)| {
        let table = top.item(&path, node, spec::AUDIENCE);
        Audience {
            name: table.text("name").unwrap_or_default(),
            subscribers: table.count("subscribers", 1),
            delivery: table.word("delivery"),
        }
    };
    top.items("audience").into_iter().map(audience).collect()
}

fn workload(table: &Reader<'_>, audiences: Vec<Audience>) -> Workload {
    let publishers = table.count("publishers", 1);
    let together = audiences.iter().fold(0u32, |sum, audience| sum.saturating_add(audience.subscribers));
    let subscribers = table.count("subscribers", if audiences.is_empty() { 1 } else { together });
    Workload {
        payload: read_traffic::payload(table),
        fill: fill(table),
        publishers,
        publisher_connections: table
            .count("publisher_connections", default_connections(publishers, PUBLISHER_CONNECTIONS)),
        subscribers,
        subscriber_connections: table
            .count("subscriber_connections", default_connections(subscribers, SUBSCRIBER_CONNECTIONS)),
        topics: table.count("topics", 1),
        topic_choice: read_traffic::topic_choice(table),
        subscribe: table.word("subscribe"),
        subscribe_by: table.word("subscribe_by"),
        delivery: table.word("delivery"),
        audiences,
        rate: table.rate("rate"),
        shape: read_traffic::shape(table),
        arrival: read_traffic::arrival(table),
        in_flight: table.count("in_flight", 1),
        processing_delay: read_happenings::delay(table),
        processing_concurrency: table.count("processing_concurrency", 1),
        reconnect: read_happenings::reconnect(table),
        churn: read_happenings::churn(table),
    }
}

fn fill(table: &Reader<'_>) -> Fill {
    let Some(node) = table.given("fill").filter(|node| matches!(node.value, Value::Table(_))) else {
        let word = table.node("fill").and_then(|node| table.text_of("fill", &node));
        return match word.as_deref() {
            Some("random") | None => Fill::Random,
            Some("zero") => Fill::Zero,
            Some(other) => {
                table.unknown_word(
                    "fill",
                    other,
                    &[
                        "zero",
                        "random",
                        "{ text = SHARE }",
                        "{ file = \"PATH\" }",
                        "{ pool = N, repeat = N }",
                    ],
                );
                Fill::Zero
            }
        };
    };
    let inner = table.table("fill", node, spec::FILL);
    match (inner.has("text"), inner.has("file"), inner.has("pool"), inner.has("repeat")) {
        (true, false, false, false) => Fill::Text { compressibility: inner.number("text").unwrap_or(0.0) },
        (false, true, false, false) => Fill::File(PathBuf::from(inner.text("file").unwrap_or_default())),
        (false, false, true, _) => {
            Fill::Pool { bodies: inner.count("pool", 1), repeat: inner.count("repeat", 1) }
        }
        _ => {
            table.problem("fill", "allowed is exactly one of `text`, `file` and `pool` (this with `repeat`)");
            Fill::Zero
        }
    }
}

fn phases(table: &Reader<'_>) -> Phases {
    let span = |name| table.span(name).unwrap_or_default();
    let measure = match table.given("measure").filter(|node| matches!(node.value, Value::Table(_))) {
        Some(node) => Extent::Messages(table.table("measure", node, spec::MESSAGES).whole("messages", 1)),
        None => Extent::Time(span("measure")),
    };
    Phases { warm_up: span("warm_up"), measure, drain: span("drain") }
}

/// An expectation, by `that`, or by `metric` and `is`.
fn expect(table: &Reader<'_>) -> Option<Expect> {
    let (key, text) = match (table.has("that"), table.has("metric") && table.has("is")) {
        (true, false) if !table.has("metric") && !table.has("is") => ("that", table.text("that")?),
        (false, true) => ("is", format!("{} {}", table.text("metric")?, table.text("is")?)),
        _ => {
            table.problem("that", "allowed is `that` alone, or `metric` with `is`");
            return None;
        }
    };
    let mut expect = Expect::parse(&text).map_err(|error| table.problem(key, error.to_string())).ok()?;
    if table.has("against") && matches!(expect.right, Right::Value(_)) {
        table.problem("against", "allowed only with a metric on the right, which it is the point of");
    }
    let slots =
        [("target", &mut expect.left.target), ("point", &mut expect.point), ("against", &mut expect.against)];
    for (name, slot) in slots {
        let Some(given) = table.text(name) else { continue };
        if slot.as_ref().is_some_and(|there| *there != given) {
            table.problem(name, format!("`{given}` contradicts the {name} in `{text}`"));
        }
        *slot = Some(given);
    }
    expect.claim = table.text("claim");
    expect.source = table.text("source");
    Some(expect)
}
