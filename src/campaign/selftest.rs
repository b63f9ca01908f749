//! The instrument against a known truth: a trial through a peer that delays, drops, repeats and damages
//! messages in known shares and keeps an account of it.

use std::io;

use serde::Deserialize;

use super::calibrate::{peer_target, run_once};
use crate::measure::{Quantile, TrialRecord};
use crate::scenario::Scenario;
use crate::trial::TrialError;

/// What is driven. Two subscribers, so that a message's copies have fates of their own.
const SCENARIO: &str = r#"
name = "selftest"
[workload]
payload = "64B"
publishers = 2
subscribers = 2
rate = "5k/s"
[phases]
warm_up = "0s"
measure = "5s"
drain = "3s"
[trials]
count = 1
[[target]]
name = "peer"
driver = "redis-pubsub"
"#;

/// What the peer is told to do: 5 % late by 5 ms, 2 % by 20 ms, and some of each fault.
const LIES: [&str; 10] = [
    "--delay",
    "0.05:5ms",
    "--delay",
    "0.02:20ms",
    "--drop",
    "0.002",
    "--duplicate",
    "0.003",
    "--corrupt",
    "0.001",
];

/// Measured latency may exceed what the peer did by this much, µs: two socket hops and two wakes.
const ERROR_MAX_US: f64 = 2000.0;

/// The peer's own account, as it writes it.
#[derive(Debug, Deserialize)]
struct Account {
    expected: u64,
    dropped: u64,
    duplicated: u64,
    corrupted: u64,
    held_us: Vec<u32>,
}

/// One figure of the self-test.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Finding {
    /// What was compared.
    pub what: &'static str,
    /// What the peer did.
    pub done: f64,
    /// What was measured.
    pub measured: f64,
    /// Whether that is within what the instrument promises: counts equal, latencies never below and at most
    /// 2 ms above.
    pub holds: bool,
}

/// Drives the peer and compares.
///
/// # Errors
/// When the peer can't be started or driven, or its account can't be read.
pub fn selftest(runtime: &tokio::runtime::Runtime) -> Result<Vec<Finding>, TrialError> {
    let scenario = Scenario::parse(SCENARIO, "selftest", &[]).map_err(io::Error::other)?;
    let file = std::env::temp_dir().join(format!("busmark-selftest-{}.json", std::process::id()));
    let mut flags: Vec<String> = LIES.iter().map(|word| (*word).to_owned()).collect();
    flags.extend(["--account".to_owned(), file.display().to_string()]);
    let peer = peer_target(&scenario.targets[0].driver, &flags)?
        .ok_or_else(|| io::Error::other("the peer doesn't speak this protocol"))?;
    let outcome = run_once(runtime, &scenario, &peer)?;
    let account = std::fs::read(&file)?;
    std::fs::remove_file(&file)?;
    let account: Account = serde_json::from_slice(&account).map_err(io::Error::other)?;
    Ok(compare(account, &outcome.record))
}

fn compare(mut account: Account, record: &TrialRecord) -> Vec<Finding> {
    let counts = &record.counts;
    let count = |what, done: u64, measured: u64| Finding {
        what,
        done: done as f64,
        measured: measured as f64,
        holds: done == measured,
    };
    let mut findings = vec![
        count("deliveries expected", account.expected, counts.expected),
        count("lost", account.dropped, counts.lost),
        count("duplicate", account.duplicated, counts.duplicate.unwrap_or(0)),
        count("corrupt", account.corrupted, counts.corrupt),
    ];
    account.held_us.sort_unstable();
    let transit = record.latencies.transit_time.unwrap_or_default();
    for (what, share, measured) in [
        ("transit time p50, µs", 0.5, transit.p50),
        ("transit time p90, µs", 0.9, transit.p90),
        ("transit time p99, µs", 0.99, transit.p99),
        ("transit time p99.9, µs", 0.999, transit.p99_9),
    ] {
        let rank = ((account.held_us.len() as f64 * share).ceil() as usize).max(1) - 1;
        let done = account.held_us.get(rank).copied().map_or(0.0, f64::from);
        let measured = measured.map_or(f64::NAN, Quantile::micros);
        // The peer's clock stands between the socket calls, so what is measured can't be less, but for the
        // histogram's three digits and the peer's whole microseconds.
        let holds = measured >= done * 0.999 - 1.0 && measured <= done * 1.001 + ERROR_MAX_US;
        findings.push(Finding { what, done, measured, holds });
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Counts, Latencies, Quantiles};

    fn account() -> Account {
        Account { expected: 100, dropped: 1, duplicated: 2, corrupted: 3, held_us: (0..100).collect() }
    }

    fn record(lost: u64, p50: f64) -> TrialRecord {
        let transit = Quantiles { p50: Some(Quantile::Micros(p50)), ..Quantiles::default() };
        TrialRecord {
            counts: Counts { expected: 100, lost, duplicate: Some(2), corrupt: 3, ..Counts::default() },
            latencies: Latencies { transit_time: Some(transit), ..Latencies::default() },
            ..TrialRecord::default()
        }
    }

    #[test]
    fn an_equal_count_holds_and_one_that_is_off_by_one_does_not() {
        let holds = |lost| compare(account(), &record(lost, 60.0))[1].holds;
        assert!(holds(1) && !holds(0) && !holds(2));
    }

    #[test]
    fn a_latency_holds_from_what_was_done_to_two_milliseconds_above_it() {
        let holds = |p50| compare(account(), &record(1, p50))[4].holds;
        assert!(holds(49.0) && holds(1900.0));
        assert!(!holds(40.0) && !holds(2100.0) && !holds(f64::NAN));
    }
}
