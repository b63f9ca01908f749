//! From the tree to events, behaviours and churn.

use std::time::Duration;

use super::document::Value;
use super::happenings::{Action, Behaviour, Churn, Event, EventNode};
use super::model::Delay;
use super::reader::Reader;
use super::spec;

/// One `[[event]]`.
pub(super) fn event(table: &Reader<'_>) -> Event {
    let action = table.word("do");
    if action == Action::Pause && !table.has("for") {
        table.problem("for", "is missing; a pause has to end");
    }
    if action == Action::Kill && table.has("for") {
        table.problem("for", "a killed server stays away; allowed with `pause` and `restart`");
    }
    Event {
        at: table.span("at").unwrap_or_default(),
        action,
        node: event_node(table),
        lasting: if table.has("for") { table.span("for").unwrap_or_default() } else { Duration::ZERO },
        target: if table.has("target") { table.text("target") } else { None },
    }
}

fn event_node(table: &Reader<'_>) -> EventNode {
    match table.node("node").map(|node| node.value) {
        Some(Value::Text(text)) if text == "leader" => EventNode::Leader,
        Some(Value::Text(text)) => {
            table.unknown_word("node", &text, &["leader", "a number"]);
            EventNode::Number(0)
        }
        _ => EventNode::Number(table.count("node", 0)),
    }
}

/// One `[[behaviour]]`.
pub(super) fn behaviour(table: &Reader<'_>) -> Behaviour {
    let when = |name| if table.has(name) { table.span(name) } else { None };
    let behaviour = Behaviour {
        first: table.count("first", 0),
        count: table.count("count", 1),
        join: when("join"),
        leave: when("leave"),
        rejoin: when("rejoin"),
        stop_reading: when("stop_reading"),
        read_again: when("read_again"),
        processing_delay: table.has("processing_delay").then(|| delay(table)),
    };
    for (later, earlier, words) in [
        ("leave", "join", (behaviour.leave, behaviour.join)),
        ("rejoin", "leave", (behaviour.rejoin, behaviour.leave)),
        ("read_again", "stop_reading", (behaviour.read_again, behaviour.stop_reading)),
    ] {
        let wrong = match words {
            (Some(later), Some(earlier)) => later <= earlier,
            (Some(_), None) => later != "leave",
            (None, _) => false,
        };
        if wrong {
            table.problem(later, format!("allowed is a time after `{earlier}`"));
        }
    }
    behaviour
}

/// `reconnect`.
pub(super) fn reconnect(table: &Reader<'_>) -> Option<Duration> {
    let node = table.node("reconnect")?;
    if matches!(&node.value, Value::Text(text) if text == "never") { None } else { table.span("reconnect") }
}

/// The three keys of churn.
pub(super) fn churn(table: &Reader<'_>) -> Churn {
    Churn {
        subscribers: table.number("subscriber_churn").unwrap_or(0.0),
        publishers: table.number("publisher_churn").unwrap_or(0.0),
        away: table.span("churn_away").unwrap_or_default(),
    }
}

/// `processing_delay`, of the workload or of a behaviour.
pub(super) fn delay(table: &Reader<'_>) -> Delay {
    let name = "processing_delay";
    let Some(node) = table.given(name).filter(|node| matches!(node.value, Value::Table(_))) else {
        return Delay::Fixed(table.span(name).unwrap_or(Duration::ZERO));
    };
    let inner = table.table(name, node, spec::DELAY);
    let given: Vec<&str> = spec::DELAY.iter().map(|key| key.name).filter(|name| inner.has(name)).collect();
    match given.as_slice() {
        ["exponential"] => Delay::Exponential(inner.span("exponential").unwrap_or_default()),
        ["lognormal", "sigma"] => Delay::Lognormal {
            median: inner.span("lognormal").unwrap_or_default(),
            sigma: inner.number("sigma").unwrap_or(0.0),
        },
        ["share", "of"] => Delay::Share {
            share: inner.number("share").unwrap_or(0.0),
            of: inner.span("of").unwrap_or_default(),
        },
        _ => {
            table.problem(
                name,
                "allowed is `exponential` alone, `lognormal` with `sigma`, or `share` with `of`",
            );
            Delay::Fixed(Duration::ZERO)
        }
    }
}
