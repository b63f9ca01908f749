//! Rules on what happens while a trial runs.

use super::broker::Broker;
use super::check::Rules;
use super::model::{Extent, Rate, Scenario};

/// Applies them.
pub(super) fn check(rules: &Rules<'_>, scenario: &Scenario) {
    events(rules, scenario);
    comings_and_goings(rules, scenario);
}

fn events(rules: &Rules<'_>, scenario: &Scenario) {
    for (index, event) in scenario.events.iter().enumerate() {
        let key = |name: &str| format!("event[{index}].{name}");
        if let Extent::Time(time) = scenario.phases.measure {
            rules.refuse(event.at >= time, &[&key("at"), "phases.measure"], || {
                "it would come after the measured phase".to_owned()
            });
        }
        let concerned: Vec<_> = scenario
            .targets
            .iter()
            .filter(|target| event.target.as_ref().is_none_or(|name| *name == target.name))
            .collect();
        rules.refuse(concerned.is_empty(), &[&key("target")], || {
            format!("there is no target `{}`", event.target.as_deref().unwrap_or_default())
        });
        for target in concerned {
            let nodes = match &target.broker {
                Broker::Managed(managed) => managed.nodes,
                Broker::Bundled | Broker::Command { .. } => 1,
                Broker::External { .. } | Broker::None => 0,
            };
            rules.refuse(nodes == 0, &[&key("target"), "target"], || {
                format!("`{}` has no process of ours; name another target", target.name)
            });
            rules.refuse(nodes > 0 && event.node >= nodes, &[&key("node"), "target"], || {
                format!(
                    "`{}` has no node {}; allowed is 0 to {}",
                    target.name,
                    event.node,
                    nodes.saturating_sub(1)
                )
            });
        }
    }
}

fn comings_and_goings(rules: &Rules<'_>, scenario: &Scenario) {
    let workload = &scenario.workload;
    let churning = workload.churn.subscribers > 0.0;
    let own = workload.subscriber_connections == workload.subscribers;
    let (connections, subscribers) = ("workload.subscriber_connections", "workload.subscribers");
    rules.refuse(
        (churning || !scenario.behaviours.is_empty()) && !own,
        &[connections, subscribers, "behaviour"],
        || {
            let wanted = workload.subscribers;
            format!(
                "subscribers that come and go need connections of their own; allowed is {wanted}, one each"
            )
        },
    );
    let comes_and_goes = churning || workload.churn.publishers > 0.0 || !scenario.behaviours.is_empty();
    rules.refuse(comes_and_goes && workload.rate == Rate::Max, &["workload.rate"], || {
        "at `max` everybody waits for the slowest, who may be away; allowed with churn or [[behaviour]] is a rate".to_owned()
    });
    let by_count = matches!(scenario.phases.measure, Extent::Messages(_));
    rules.refuse(comes_and_goes && by_count, &["phases.measure"], || {
        "churn and [[behaviour]] need a measured phase by time, such as \"10s\"".to_owned()
    });
    for (index, behaviour) in scenario.behaviours.iter().enumerate() {
        let key = format!("behaviour[{index}].first");
        let end = u64::from(behaviour.first) + u64::from(behaviour.count);
        rules.refuse(end > u64::from(workload.subscribers), &[&key, subscribers], || {
            format!("it concerns subscribers {} to {}, of {}", behaviour.first, end - 1, workload.subscribers)
        });
        let overlaps = scenario.behaviours[..index].iter().any(|other| {
            u64::from(other.first) < end && behaviour.first < other.first.saturating_add(other.count)
        });
        rules.refuse(overlaps, &[&key], || "another [[behaviour]] concerns the same subscribers".to_owned());
    }
}
