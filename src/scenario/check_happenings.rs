//! Rules on what happens while a trial runs.

use super::broker::Broker;
use super::check::{Rules, STAMPED_MIN};
use super::happenings::EventNode;
use super::model::{Delivery, DriverConfig, Extent, Rate, Scenario, Subscribe, Workload};
use super::spec::ACTORS_MAX;

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
            let new = target.dual_write.as_ref().map_or(0, |dual_write| nodes(&dual_write.broker));
            let nodes = nodes(&target.broker) + new;
            rules.refuse(nodes == 0, &[&key("target"), "target"], || {
                format!("`{}` has no process of ours; name another target", target.name)
            });
            match event.node {
                EventNode::Number(number) => {
                    rules.refuse(nodes > 0 && number >= nodes, &[&key("node"), "target"], || {
                        let (name, last) = (&target.name, nodes.saturating_sub(1));
                        format!("`{name}` has no node {number}; allowed is 0 to {last}")
                    });
                }
                EventNode::Leader => {
                    let led =
                        matches!(&target.driver, DriverConfig::Jetstream(options) if options.replicas > 1);
                    rules.refuse(!led, &[&key("node"), "target"], || {
                        let name = &target.name;
                        format!(
                            "`{name}` has no leader; allowed are numbers, or jetstream with replicas above 1"
                        )
                    });
                }
            }
        }
    }
}

/// Servers of a broker that busmark starts.
fn nodes(broker: &Broker) -> u32 {
    match broker {
        Broker::Managed(managed) => managed.nodes,
        Broker::Bundled | Broker::Command { .. } => 1,
        Broker::External { .. } | Broker::None => 0,
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

/// Subscribers that read the same traffic each in their own way.
pub(super) fn audiences(rules: &Rules<'_>, workload: &Workload) {
    let audiences = &workload.audiences;
    if audiences.is_empty() {
        return;
    }
    for (index, audience) in audiences.iter().enumerate() {
        let key = format!("audience[{index}].name");
        let taken = audiences[..index].iter().any(|other| other.name == audience.name);
        rules.refuse(taken, &[&key], || {
            format!("`{}` names another audience already; names have to differ", audience.name)
        });
    }
    let together: u64 = audiences.iter().map(|audience| u64::from(audience.subscribers)).sum();
    rules.refuse(together > ACTORS_MAX, &["audience"], || {
        format!("{together} subscribers in all audiences; allowed is up to {ACTORS_MAX}")
    });
    let subscribers = workload.subscribers;
    rules.refuse(u64::from(subscribers) != together, &["workload.subscribers", "audience"], || {
        format!("{subscribers} are not the {together} subscribers of all audiences; allowed is {together}, or nothing")
    });
    rules.refuse(workload.subscribe != Subscribe::All, &["workload.subscribe", "audience"], || {
        "an audience reads all topics; allowed with audiences: `all`".to_owned()
    });
    rules.refuse(workload.delivery != Delivery::FanOut, &["workload.delivery", "audience"], || {
        "each audience says its own delivery; allowed with audiences: `fan_out`, or nothing".to_owned()
    });
    let smallest = workload.payload.min();
    rules.refuse(smallest < STAMPED_MIN, &["workload.payload", "audience"], || {
        format!("{smallest} bytes are too few to tell whose delivery one is; allowed with audiences is {STAMPED_MIN}B or more")
    });
}
