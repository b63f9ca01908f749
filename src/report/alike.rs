//! Whether a baseline and what is measured now may be set against each other at all: the same machine, the same
//! workload, the same broker. Each difference is named, with both values.

use serde_json::Value;

use super::compare::differing;
use super::loaded::Loaded;
use super::manifest::{Manifest, TargetManifest};
use crate::scenario::Scenario;

/// Calibrations further apart than this are those of another machine, or of one with other work to do.
const CALIBRATION_MAX: f64 = 1.25;

/// Settings that are new for every broker that is started.
const OF_ONE_START: [&str; 6] = ["port", "http_port", "dir", "store_dir", "server_id", "server_name"];

/// What is not alike about machine and workload, before anything is measured. `now` has one target: the candidate.
#[must_use]
pub fn unlike_before(baseline: &Loaded, base: &str, now: &Manifest, scenario: &Scenario) -> Vec<String> {
    let then = &baseline.manifest;
    let mut found: Vec<String> = differing(&then.environment, &now.environment)
        .into_iter()
        .map(|(name, then, now)| format!("machine: {name} was {then}, is {now}"))
        .collect();
    found.extend(calibration(&then.calibration, &now.calibration));
    match Scenario::parse(&then.scenario_filled_in, "baseline", &[]) {
        Ok(recorded) => found.extend(workload(&recorded, scenario)),
        Err(error) => {
            found.push(format!("scenario: that of the baseline is not understood any more: {error}"))
        }
    }
    if !baseline.trials.iter().any(|trial| trial.record.target == base) {
        let known: Vec<&str> = baseline.headlines.iter().map(|headline| headline.target.as_str()).collect();
        found.push(format!("scenario: the baseline has no target {base}; it has {}", known.join(", ")));
    }
    found
}

/// What is not alike about the broker, once it has answered.
#[must_use]
pub fn unlike_broker(then: &TargetManifest, now: &TargetManifest) -> Vec<String> {
    let mut found = Vec::new();
    let mut differs = |what: &str, then: &str, now: &str| {
        if then != now {
            found.push(format!("broker: {what} was {then}, is {now}"));
        }
    };
    differs("driver", &then.driver, &now.driver);
    differs("client", &then.client, &now.client);
    differs("where it comes from", kind(&then.broker), kind(&now.broker));
    let version =
        |target: &TargetManifest| target.broker_version.clone().unwrap_or_else(|| "unknown".to_owned());
    differs("version", &version(then), &version(now));
    differs("guarantee", &then.guarantee, &now.guarantee);
    let setting = |target: &TargetManifest, name: &str| {
        let found = target.effective_config.iter().find(|(known, _)| known == name);
        found.map_or_else(|| "not set".to_owned(), |(_, value)| value.clone())
    };
    let names = then.effective_config.iter().chain(&now.effective_config).map(|(name, _)| name.as_str());
    let mut seen: Vec<&str> = Vec::new();
    for name in names.filter(|name| !OF_ONE_START.contains(name)) {
        if !seen.contains(&name) {
            seen.push(name);
            differs(name, &setting(then, name), &setting(now, name));
        }
    }
    found
}

/// An external broker's URL may change with its port; that it is external may not.
fn kind(broker: &str) -> &str {
    if broker.contains("://") { "a URL" } else { broker }
}

/// Lines of `[workload]` and `[phases]` that differ.
fn workload(then: &Scenario, now: &Scenario) -> Vec<String> {
    let lines = |scenario: &Scenario| {
        let text = scenario.to_toml();
        let of_interest =
            text.split("\n[").filter(|part| part.starts_with("workload]") || part.starts_with("phases]"));
        let pairs = of_interest.flat_map(str::lines).filter_map(|line| line.split_once(" = "));
        pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect::<Vec<(String, String)>>()
    };
    let (then, now) = (lines(then), lines(now));
    let value = |lines: &[(String, String)], key: &str| {
        lines
            .iter()
            .find(|(known, _)| known == key)
            .map_or_else(|| "not set".to_owned(), |(_, value)| value.clone())
    };
    let mut keys: Vec<&str> = then.iter().chain(&now).map(|(key, _)| key.as_str()).collect();
    keys.sort_unstable();
    keys.dedup();
    keys.into_iter()
        .filter(|key| value(&then, key) != value(&now, key))
        .map(|key| format!("scenario: {key} was {}, is {}", value(&then, key), value(&now, key)))
        .collect()
}

/// What the generator manages must be what it managed then, or the machine is not the same, whatever it says of itself.
fn calibration(then: &Value, now: &Value) -> Vec<String> {
    let (Some(then), Some(now)) = (then.as_array(), now.as_array()) else { return Vec::new() };
    let same =
        |one: &&Value, other: &Value| one["driver"] == other["driver"] && one["client"] == other["client"];
    let pairs = now.iter().filter_map(|now| Some((then.iter().find(|then| same(then, now))?, now)));
    let figures = [("ceiling_per_s", "ceiling, messages/s"), ("floor_us_p50", "floor of latency, µs")];
    pairs
        .flat_map(|(then, now)| {
            figures.iter().filter_map(move |(key, name)| {
                let (then, now) = (then[key].as_f64()?, now[key].as_f64()?);
                let apart = (now / then).max(then / now);
                (apart > CALIBRATION_MAX)
                    .then(|| format!("machine: the generator's {name} was {then:.0}, is {now:.0}"))
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn target(version: &str, maxmemory: &str, port: &str) -> TargetManifest {
        let config = [("maxmemory", maxmemory), ("port", port)];
        TargetManifest {
            driver: "redis-pubsub".to_owned(),
            broker: format!("redis://127.0.0.1:{port}"),
            broker_version: Some(version.to_owned()),
            effective_config: config.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec(),
            ..TargetManifest::default()
        }
    }

    #[test]
    fn another_version_or_setting_is_named_and_another_port_is_not() {
        assert_eq!(
            unlike_broker(&target("8.2.3", "0", "1"), &target("8.2.3", "0", "2")),
            Vec::<String>::new()
        );
        assert_eq!(
            unlike_broker(&target("8.2.3", "0", "1"), &target("8.4.0", "1mb", "1")),
            ["broker: version was 8.2.3, is 8.4.0", "broker: maxmemory was 0, is 1mb"]
        );
    }

    #[test]
    fn a_key_of_the_workload_that_differs_is_named_with_both_values() {
        let scenario = |rate: &str, name: &str| {
            let text = format!(
                "name = \"{name}\"\n[workload]\nrate = \"{rate}\"\n[[target]]\nname = \"{name}\"\ndriver = \"loopback\"\n"
            );
            Scenario::parse(&text, "test", &[]).unwrap()
        };
        assert_eq!(workload(&scenario("2k/s", "a"), &scenario("2k/s", "b")), Vec::<String>::new());
        assert_eq!(
            workload(&scenario("2k/s", "a"), &scenario("3k/s", "a")),
            ["scenario: rate was \"2k/s\", is \"3k/s\""]
        );
    }

    #[test]
    fn a_generator_that_manages_much_less_than_then_is_on_another_machine() {
        let of = |ceiling: f64| serde_json::json!([{"driver": "d", "client": "wire", "ceiling_per_s": ceiling, "floor_us_p50": 50.0}]);
        assert_eq!(calibration(&of(1e6), &of(0.9e6)), Vec::<String>::new());
        assert_eq!(
            calibration(&of(1e6), &of(0.5e6)),
            ["machine: the generator's ceiling, messages/s was 1000000, is 500000"]
        );
        assert_eq!(calibration(&Value::Null, &of(1.0)), Vec::<String>::new());
    }
}
