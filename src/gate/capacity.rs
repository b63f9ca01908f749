//! What a search for the highest rate came to.

use serde::{Deserialize, Serialize};

use crate::measure::{Quantile, Quantiles, TrialRecord};

use super::limit::{Bottleneck, Limit, Supply, limit};
use super::rank::median;
use super::search::{Found, Search, Tried};

/// One trial of a search, with everything that was measured in it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Attempt {
    /// At which rate, and whether it met the objective.
    #[serde(flatten)]
    pub tried: Tried,
    /// Why it did not; empty if it did.
    pub why: String,
    /// What was measured.
    pub record: TrialRecord,
}

/// The highest rate at which a target meets an objective.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Capacity {
    /// The target.
    pub target: String,
    /// Where the search ended; empty if it did not come to its end.
    pub found: Option<Found>,
    /// Why it did not come to its end.
    pub unfinished: Option<String>,
    /// The highest rate that meets the objective, messages per second; as far as known, if unfinished.
    pub rate_per_s: Option<f64>,
    /// The highest rate that met it in every trial.
    pub low_per_s: Option<f64>,
    /// The lowest rate that missed it in every trial; empty where none did.
    pub high_per_s: Option<f64>,
    /// What stood in the way of more.
    pub limit: Option<Limit>,
    /// What was measured at each rate, ascending; the longer trials that confirm the answer apart.
    pub rungs: Vec<Rung>,
}

/// What was measured at one rate: medians over its trials.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Rung {
    /// Messages per second that were offered.
    pub rate_per_s: f64,
    /// Whether these are the longer trials.
    pub long: bool,
    /// Trials that met the objective.
    pub met: usize,
    /// Trials that did not.
    pub missed: usize,
    /// Why the last of these did not; empty if all did.
    pub why: String,
    /// Deliveries per second.
    pub deliveries_per_s: Option<f64>,
    /// Median delivery time.
    pub delivery_time_us_p50: Option<Quantile>,
    /// Its 99th percentile.
    pub delivery_time_us_p99: Option<Quantile>,
    /// CPU time of the broker per message, µs.
    pub broker_cpu_us_per_message: Option<f64>,
    /// CPU time of the harness per message, µs.
    pub harness_cpu_us_per_message: Option<f64>,
    /// Cores that the broker used.
    pub broker_cores: Option<f64>,
}

impl Capacity {
    /// Sums a search up.
    #[must_use]
    pub fn of(target: &str, search: &Search, attempts: &[Attempt], supply: &Supply) -> Self {
        let (low_per_s, high_per_s) = search.interval();
        let found = match search.next() {
            super::search::Next::End(found) => Some(found),
            super::search::Next::Try { .. } => None,
        };
        Self {
            target: target.to_owned(),
            found,
            unfinished: None,
            rate_per_s: search.answer(),
            low_per_s,
            high_per_s,
            limit: in_the_way(search, attempts, supply),
            rungs: rungs(search, attempts),
        }
    }

    /// Whether more may be possible than is known: the generator was the limit, or nothing missed.
    #[must_use]
    pub fn is_at_least(&self) -> bool {
        let by_generator = self.limit.as_ref().is_some_and(|limit| limit.what == Bottleneck::Generator);
        self.found == Some(Found::AtLeast) || by_generator
    }

    /// The trials at the answer: the longer ones where there are some.
    #[must_use]
    pub fn answer(&self) -> Option<&Rung> {
        let own = |rung: &&Rung| Some(rung.rate_per_s) == self.rate_per_s;
        self.rungs.iter().filter(own).max_by_key(|rung| rung.long)
    }
}

/// From the trial that missed just above the answer; from the highest one, if none missed.
fn in_the_way(search: &Search, attempts: &[Attempt], supply: &Supply) -> Option<Limit> {
    let answer = search.answer().unwrap_or(0.0);
    let missed = attempts.iter().filter(|one| !one.tried.met && one.tried.rate_per_s >= answer);
    let by_rate = |a: &&Attempt, b: &&Attempt| a.tried.rate_per_s.total_cmp(&b.tried.rate_per_s);
    // Just above the answer, but not the answer's own noise, if there is any.
    let above = missed.clone().filter(|one| one.tried.rate_per_s > answer).min_by(by_rate);
    let seen = above.or_else(|| missed.min_by(by_rate)).or_else(|| attempts.iter().max_by(by_rate))?;
    Some(limit(&seen.record, supply))
}

fn rungs(search: &Search, attempts: &[Attempt]) -> Vec<Rung> {
    let at = |rate: f64, long: bool| -> Vec<&Attempt> {
        attempts.iter().filter(|one| one.tried.rate_per_s == rate && one.tried.long == long).collect()
    };
    let places = search.rates().into_iter().flat_map(|rate| [(rate, false), (rate, true)]);
    places.filter_map(|(rate, long)| rung(rate, long, &at(rate, long))).collect()
}

fn rung(rate_per_s: f64, long: bool, trials: &[&Attempt]) -> Option<Rung> {
    let met = trials.iter().filter(|one| one.tried.met).count();
    let over = |value: fn(&TrialRecord) -> Option<f64>| {
        let values: Vec<f64> = trials.iter().filter_map(|one| value(&one.record)).collect();
        median(&values)
    };
    let latency = |which: fn(&Quantiles) -> Option<Quantile>| {
        let of = |one: &&Attempt| one.record.latencies.delivery_time.as_ref().and_then(which);
        let values: Vec<f64> = trials.iter().filter_map(of).map(Quantile::micros).collect();
        median(&values).map(Quantile::from_micros)
    };
    (!trials.is_empty()).then(|| Rung {
        rate_per_s,
        long,
        met,
        missed: trials.len() - met,
        why: trials.iter().rev().find(|one| !one.tried.met).map(|one| one.why.clone()).unwrap_or_default(),
        deliveries_per_s: over(|record| record.deliveries_per_s),
        delivery_time_us_p50: latency(|quantiles| quantiles.p50),
        delivery_time_us_p99: latency(|quantiles| quantiles.p99),
        broker_cpu_us_per_message: over(|record| record.resources.broker_cpu_us_per_message),
        harness_cpu_us_per_message: over(|record| record.resources.harness_cpu_us_per_message),
        broker_cores: over(|record| record.resources.broker_cores),
    })
}

#[cfg(test)]
mod tests {
    use super::super::search::{Next, Reach};
    use super::*;
    use crate::measure::Resources;

    fn attempt(rate_per_s: f64, long: bool, met: bool, cores: f64) -> Attempt {
        let record = TrialRecord {
            publishes_per_s: Some(rate_per_s),
            resources: Resources { broker_cores: Some(cores), ..Resources::default() },
            ..TrialRecord::default()
        };
        let why = if met { String::new() } else { "late".into() };
        Attempt { tried: Tried { rate_per_s, long, met }, why, record }
    }

    const REACH: Reach = Reach { first: 100.0, lowest: 10.0, highest: 1_000.0, ratio: 1.03 };

    fn of(attempts: &[Attempt], ceiling: f64) -> Capacity {
        let search = Search::new(REACH, attempts.iter().map(|one| one.tried).collect());
        let supply = Supply { ceiling_per_s: Some(ceiling), ..Supply::default() };
        Capacity::of("a", &search, attempts, &supply)
    }

    /// A search on a broker that carries 100 messages a second, and is full at 105.
    fn whole() -> Vec<Attempt> {
        let mut search = Search::new(REACH, Vec::new());
        let mut attempts = Vec::new();
        while let Next::Try { rate_per_s, long } = search.next() {
            let one = attempt(rate_per_s, long, rate_per_s <= 100.0, rate_per_s / 105.0);
            search.record(one.tried);
            attempts.push(one);
        }
        attempts
    }

    #[test]
    fn a_search_is_summed_up_by_rate_with_what_stood_in_the_way_above_the_answer() {
        let capacity = of(&whole(), 1e6);
        assert_eq!((capacity.found, capacity.rate_per_s), (Some(Found::Knee), Some(99.8)));
        assert_eq!((capacity.low_per_s, capacity.high_per_s), (Some(99.8), Some(101.0)));
        let counts: Vec<_> = capacity.rungs.iter().map(|r| (r.rate_per_s, r.long, r.met, r.missed)).collect();
        assert!(counts.is_sorted_by(|a, b| a.0 < b.0), "{counts:?}");
        assert!(
            counts.contains(&(100.0, false, 2, 0)) && counts.contains(&(200.0, false, 0, 4)),
            "{counts:?}"
        );
        let limit = capacity.limit.clone().unwrap();
        assert_eq!(limit.what, Bottleneck::Broker);
        assert!(limit.evidence.contains("0.96"), "{limit:?}");
        assert!(capacity.answer().unwrap().long && !capacity.is_at_least());
    }

    #[test]
    fn what_the_generator_limits_is_at_least() {
        assert!(of(&whole(), 110.0).is_at_least());
    }

    #[test]
    fn an_unfinished_search_says_what_it_knows() {
        let capacity = of(&whole()[..4], 1e6);
        assert_eq!((capacity.found, capacity.rate_per_s), (None, Some(100.0)));
        let nothing = of(&[], 1e6);
        assert_eq!((nothing.found, nothing.rate_per_s, nothing.limit), (None, None, None));
    }

    #[test]
    fn an_attempt_reads_back_as_it_was_written() {
        let one = attempt(100.5, true, false, 0.5);
        let text = serde_json::to_string(&one).unwrap();
        assert_eq!(serde_json::from_str::<Attempt>(&text).unwrap(), one);
    }
}
