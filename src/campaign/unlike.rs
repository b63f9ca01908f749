//! Whether a scenario compares systems that promise different things.

use crate::driver::{self, Driver, Visitor};
use crate::scenario::{DriverConfig, Scenario, Target};

/// Asks a driver what it promises; connects to nothing.
struct Label;

impl Visitor for Label {
    type Output = String;

    fn visit<D: Driver>(self, driver: D) -> String {
        driver.guarantees().label()
    }
}

/// The label of a target's guarantees; `None` if its driver can't be made without its broker.
fn label(target: &Target) -> Option<String> {
    let place = |driver: &DriverConfig| {
        let scheme = match driver.name() {
            "redis-pubsub" | "redis-streams" => "redis",
            "loopback" => "loopback",
            _ => "nats",
        };
        format!("{scheme}://127.0.0.1:1")
    };
    let new = target.dual_write.iter().map(|dual_write| place(&dual_write.driver));
    let places: Vec<String> = [place(&target.driver)].into_iter().chain(new).collect();
    driver::open_target(target, &places.join(" "), Label).ok()
}

/// Targets with unlike guarantees of which one expectation compares the figures: their labels, in words.
pub(super) fn compared(scenario: &Scenario) -> Option<String> {
    scenario.expects.iter().find_map(|expect| {
        let named: Vec<(&str, String)> = expect
            .targets()
            .filter_map(|name| {
                let target = scenario.targets.iter().find(|target| target.name == name)?;
                Some((name, label(target)?))
            })
            .collect();
        let unlike = named.iter().any(|(_, label)| *label != named[0].1);
        unlike.then(|| {
            let each: Vec<String> = named.iter().map(|(name, label)| format!("{name} ({label})")).collect();
            format!("{} in `{}`", each.join(", "), expect.text)
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scenario(expect: &str) -> Scenario {
        let text = format!(
            "name = \"x\"\n[[target]]\nname = \"r\"\ndriver = \"redis-pubsub\"\n[[target]]\nname = \"n\"\n\
             driver = \"nats-core\"\n[[target]]\nname = \"m\"\ndriver = \"nats-core\"\n[[expect]]\nthat = \"{expect}\"\n"
        );
        Scenario::parse(&text, "test", &[]).unwrap()
    }

    #[test]
    fn only_an_expectation_that_sets_unlike_targets_against_each_other_is_an_unlike_comparison() {
        let unlike = compared(&scenario("r.delivery_time_us_p99 <= 2 * n.delivery_time_us_p99")).unwrap();
        assert!(unlike.contains("r (") && unlike.contains("n ("), "{unlike}");
        assert_eq!(compared(&scenario("m.delivery_time_us_p99 <= 2 * n.delivery_time_us_p99")), None);
        assert_eq!(compared(&scenario("lost == 0")), None);
    }
}
