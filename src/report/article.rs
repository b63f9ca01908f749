//! A run in the shape in which articles compare systems: one row per system, with what such tables leave out.

use std::fmt::Write;

use super::humanise::{self, NOT_MEASURED};
use super::loaded::Loaded;
use super::markdown::{head, row};
use super::rows::LATENCIES;
use super::summary::Headline;
use crate::measure::Grade;

/// Heads of the columns.
const COLUMNS: [&str; 11] = [
    "system",
    "throughput",
    "p50",
    "p99",
    "p99.9",
    "loss",
    "guarantee",
    "CPU",
    "memory",
    "monthly cost",
    "verdict",
];

/// One Markdown table; systems that don't promise the same are marked.
#[must_use]
pub fn article(run: &Loaded) -> String {
    let headlines = &run.headlines;
    let measured = |name: &str| headlines.iter().any(|h| h.median(&format!("{name}_us_p50")).is_some());
    let (latency, words) = LATENCIES.into_iter().find(|(name, _)| measured(name)).unwrap_or(LATENCIES[0]);
    let promises = kinds(headlines);
    let mut text = format!("# {}\n\n", run.manifest.scenario);
    text += &head(&COLUMNS);
    for headline in headlines {
        text += &row(&cells(headline, latency, &promises));
    }
    let _ = writeln!(
        text,
        "\nThroughput is deliveries per second; p50, p99 and p99.9 are of the {words}, ranked over expected messages"
    );
    let _ = writeln!(
        text,
        "(∞: that rank was never delivered), medians over trials; CPU is cores of the broker's processes."
    );
    if promises.len() > 1 {
        let _ = writeln!(
            text,
            "\n**Not alike:** these systems don't promise the same, and their figures are no ranking."
        );
        for (number, promise) in promises.iter().enumerate() {
            let _ = writeln!(text, "- {}: {promise}", letter(number));
        }
    }
    text
}

/// The different guarantees, in the order of their first systems.
fn kinds(headlines: &[Headline]) -> Vec<&str> {
    let mut kinds: Vec<&str> = Vec::new();
    for headline in headlines {
        if !kinds.contains(&headline.guarantee.as_str()) {
            kinds.push(&headline.guarantee);
        }
    }
    kinds
}

/// What stands for a guarantee in the table.
fn letter(number: usize) -> char {
    (b'A'..=b'Z').nth(number).map_or('…', char::from)
}

fn cells(headline: &Headline, latency: &str, promises: &[&str]) -> Vec<String> {
    let figure = |column: &str, unit: fn(f64) -> String| {
        headline.median(column).map_or_else(|| NOT_MEASURED.to_owned(), |found| unit(found.median))
    };
    let percentile = |end: &str| figure(&format!("{latency}_us_{end}"), humanise::micros);
    let kind = promises.iter().position(|promise| *promise == headline.guarantee).unwrap_or(0);
    let guarantee =
        if promises.len() > 1 { format!("{} (not alike)", letter(kind)) } else { headline.guarantee.clone() };
    let cost = headline.median("usd_per_month");
    vec![
        headline.name(),
        figure("deliveries_per_s", humanise::rate),
        percentile("p50"),
        percentile("p99"),
        percentile("p99_9"),
        headline.loss_ratio().map_or_else(|| NOT_MEASURED.to_owned(), humanise::percent),
        guarantee,
        figure("broker_cores", |cores| format!("{} cores", humanise::significant(cores))),
        figure("broker_rss_bytes_max", |bytes| humanise::bytes(bytes as u64)),
        cost.map_or_else(
            || "no price given".to_owned(),
            |cost| format!("{} USD", humanise::significant(cost.median)),
        ),
        if headline.verdict == Grade::Valid {
            "VALID".to_owned()
        } else {
            format!("**{}**", headline.verdict.name())
        },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Counts, Latencies, Quantile, Quantiles, Resources, TrialRecord};
    use crate::report::manifest::Manifest;
    use crate::report::summary::headlines;

    fn record(target: &str, guarantee: &str, lost: u64) -> TrialRecord {
        let quantiles = Quantiles {
            count: 1000,
            p50: Some(Quantile::Micros(800.0)),
            p99: Some(Quantile::Beyond),
            ..Quantiles::default()
        };
        TrialRecord {
            target: target.into(),
            guarantee: guarantee.into(),
            deliveries_per_s: Some(20_000.0),
            counts: Counts { expected: 1000, lost, ..Counts::default() },
            latencies: Latencies { delivery_time: Some(quantiles), ..Latencies::default() },
            resources: Resources {
                broker_cores: Some(0.25),
                broker_rss_bytes_max: Some(8 << 20),
                usd_per_month: (target == "redis").then_some(211.7),
                ..Resources::default()
            },
            ..TrialRecord::default()
        }
    }

    fn run(records: &[TrialRecord]) -> Loaded {
        Loaded {
            dir: "x".into(),
            manifest: Manifest { scenario: "everything".into(), ..Manifest::default() },
            headlines: headlines(&records.iter().collect::<Vec<_>>()),
            ..Loaded::default()
        }
    }

    #[test]
    fn each_system_has_a_row_with_its_cost_and_unlike_guarantees_are_marked() {
        let text = article(&run(&[record("redis", "at-most-once", 30), record("nats", "at-least-once", 0)]));
        let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| ")).collect();
        assert_eq!(
            rows[2],
            "| redis | 20.0 k/s | 800 µs | ∞ | – | 3.00 % | A (not alike) | 0.250 cores | 8 MiB | 212 USD | VALID |"
        );
        assert!(
            rows[3].contains("| B (not alike) |") && rows[3].contains("| no price given |"),
            "{}",
            rows[3]
        );
        assert!(text.contains("**Not alike:**") && text.contains("- B: at-least-once"), "{text}");
        let columns = rows[0].matches('|').count();
        assert!(rows.iter().all(|row| row.matches('|').count() == columns), "{text}");
    }

    #[test]
    fn systems_that_promise_the_same_are_just_compared() {
        let text = article(&run(&[record("a", "at-most-once", 0), record("b", "at-most-once", 0)]));
        assert!(!text.contains("Not alike") && text.contains("| at-most-once |"), "{text}");
    }
}
