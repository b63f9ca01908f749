//! Rules on targets that are two systems.

use super::check::Rules;
use super::dual_write::DualWrite;
use super::model::{Delivery, DriverConfig, Extent, Rate, Scenario, Target};
use super::options_kafka::KafkaAcks;

/// Applies them to the target at `path`.
pub(super) fn check(rules: &Rules<'_>, path: &str, target: &Target, scenario: &Scenario) {
    let Some(dual_write) = &target.dual_write else { return };
    let key = format!("{path}.dual_write");
    drivers(rules, path, target, dual_write);
    times(rules, &key, dual_write, scenario);
    let workload = &scenario.workload;
    let everybody: u64 = dual_write.moves.iter().map(|one| u64::from(one.subscribers)).sum();
    let moves = format!("{key}.move");
    rules.refuse(everybody != u64::from(workload.subscribers), &[&moves, "workload.subscribers"], || {
        format!(
            "{everybody} subscribers move, of {}; a migration is over when all have moved",
            workload.subscribers
        )
    });
    let queue = workload.delivery != Delivery::FanOut || !workload.audiences.is_empty();
    rules.refuse(queue, &[&key, "workload.delivery", "audience"], || {
        "members of a work queue in both systems would share nothing; allowed: `fan_out`, without audiences".to_owned()
    });
    let own = workload.subscriber_connections == workload.subscribers;
    rules.refuse(!own, &[&key, "workload.subscriber_connections", "workload.subscribers"], || {
        format!("subscribers that move need connections of their own; allowed is {}", workload.subscribers)
    });
    rules.refuse(workload.rate == Rate::Max, &[&key, "workload.rate"], || {
        "at `max` everybody waits for the slowest, who may be on the way; allowed is a rate".to_owned()
    });
    let churn = workload.churn.subscribers > 0.0;
    rules.refuse(
        churn || !scenario.behaviours.is_empty(),
        &[&key, "behaviour", "workload.subscriber_churn"],
        || "subscribers do one thing at a time; allowed without [[behaviour]] and churn".to_owned(),
    );
    let smallest = workload.payload.min();
    rules.refuse(smallest < super::check::STAMPED_MIN, &[&key, "workload.payload"], || {
        format!(
            "{smallest} bytes are too few to tell which message came twice; allowed is {}B or more",
            super::check::STAMPED_MIN
        )
    });
}

fn drivers(rules: &Rules<'_>, path: &str, target: &Target, dual_write: &DualWrite) {
    let key = format!("{path}.dual_write");
    for (driver, at) in
        [(&target.driver, format!("{path}.driver")), (&dual_write.driver, format!("{key}.driver"))]
    {
        let silent = match driver {
            DriverConfig::NatsCore(_) => true,
            DriverConfig::Kafka(options) => options.acks == KafkaAcks::None,
            _ => false,
        };
        rules.refuse(silent, &[&at], || {
            format!("{} never says what it took, so nobody knows whether both did", driver.name())
        });
    }
    let created = matches!(dual_write.driver, DriverConfig::Kafka(_) | DriverConfig::Loopback(_));
    rules.refuse(
        dual_write.from.is_some() && created,
        &[&format!("{key}.from"), &format!("{key}.driver")],
        || {
            format!(
                "{} can't be made ready while publishers are there; allowed without `from`",
                dual_write.driver.name()
            )
        },
    );
}

fn times(rules: &Rules<'_>, key: &str, dual_write: &DualWrite, scenario: &Scenario) {
    let Extent::Time(measure) = scenario.phases.measure else {
        rules.refuse(true, &[key, "phases.measure"], || {
            "a migration needs a measured phase by time, such as \"10s\"".to_owned()
        });
        return;
    };
    let late = || "it would come after the measured phase".to_owned();
    let begins = dual_write.from.is_some_and(|from| from >= measure);
    rules.refuse(begins, &[&format!("{key}.from"), "phases.measure"], late);
    let moves = format!("{key}.move");
    rules.refuse(dual_write.moves.iter().any(|one| one.at >= measure), &[&moves, "phases.measure"], late);
    rules.refuse(!dual_write.moves.is_sorted_by_key(|one| one.at), &[&moves], || {
        "allowed are moves in the order of their times".to_owned()
    });
}
