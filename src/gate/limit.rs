//! What stood in the way of a higher rate: the broker, the generator, the machine they share, or the network.

use serde::{Deserialize, Serialize};

use crate::measure::{ReasonCode, TrialRecord};

/// From this share of its ceiling on, what is measured is the generator.
pub(super) const CEILING_SHARE: f64 = 0.85;
/// Share of a core that a thread uses when it has nothing left.
const ONE_THREAD: f64 = 0.92;
/// Share of all cores that leaves nothing to give.
const MACHINE_SHARE: f64 = 0.9;
/// Share of a link's speed that payloads can fill: frames, headers and acknowledgements take the rest.
const LINK_SHARE: f64 = 0.8;

/// The machine kept everybody waiting, also those that had nothing to do with the traffic.
const DISTURBED: [ReasonCode; 3] = [ReasonCode::Hiccups, ReasonCode::Steal, ReasonCode::RunDelay];
/// The generator alone was late.
const LATE: [ReasonCode; 2] = [ReasonCode::HarnessSaturated, ReasonCode::PacerLag];

/// What stood in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Bottleneck {
    /// The system under test.
    Broker,
    /// The harness: the answer is "at least".
    Generator,
    /// Broker and harness together fill the cores that they share.
    Machine,
    /// The link between them.
    Network,
}

impl Bottleneck {
    /// In words.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Broker => "the broker",
            Self::Generator => "the generator",
            Self::Machine => "the machine",
            Self::Network => "the network",
        }
    }
}

/// What stood in the way, and how that is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// What.
    pub what: Bottleneck,
    /// The figures that say so.
    pub evidence: String,
}

/// What there is to be used up.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Supply {
    /// Cores of this machine.
    pub cpus: Option<u32>,
    /// What the generator manages against a null peer, messages per second.
    pub ceiling_per_s: Option<f64>,
    /// Speed of the link to the broker; empty where both are on one machine.
    pub link_bytes_per_s: Option<f64>,
}

/// Names what stood in the way in a trial that missed the objective, or in the highest one that was offered.
#[must_use]
pub fn limit(record: &TrialRecord, supply: &Supply) -> Limit {
    let found = network(record, supply)
        .or_else(|| at_ceiling(record, supply))
        .or_else(|| one_thread(record))
        .or_else(|| full(record, supply))
        .or_else(|| says(record, &DISTURBED, Bottleneck::Machine))
        .or_else(|| says(record, &LATE, Bottleneck::Generator));
    found.unwrap_or_else(|| {
        let cores = record.resources.broker_cores;
        let evidence = match cores {
            Some(cores) => format!("it used {cores:.2} cores, and nothing else was at its end"),
            None => "nothing on this side was at its end".to_owned(),
        };
        Limit { what: Bottleneck::Broker, evidence }
    })
}

fn network(record: &TrialRecord, supply: &Supply) -> Option<Limit> {
    let published = record.publishes_per_s? * record.payload_bytes as f64;
    let share = published.max(record.bytes_per_s.unwrap_or(0.0)) / supply.link_bytes_per_s?;
    (share >= LINK_SHARE).then(|| Limit {
        what: Bottleneck::Network,
        evidence: format!("payloads alone took {:.0} % of the link", share * 100.0),
    })
}

fn at_ceiling(record: &TrialRecord, supply: &Supply) -> Option<Limit> {
    let share = record.publishes_per_s? / supply.ceiling_per_s?;
    (share >= CEILING_SHARE).then(|| Limit {
        what: Bottleneck::Generator,
        evidence: format!("it was at {:.0} % of what it manages against a null peer", share * 100.0),
    })
}

fn one_thread(record: &TrialRecord) -> Option<Limit> {
    let share = record.resources.broker_busiest_thread_cores.filter(|share| *share >= ONE_THREAD)?;
    Some(Limit {
        what: Bottleneck::Broker,
        evidence: format!("one of its threads used {share:.2} of a core"),
    })
}

fn full(record: &TrialRecord, supply: &Supply) -> Option<Limit> {
    let resources = &record.resources;
    let per_message =
        resources.harness_cpu_us_per_message? + resources.spin_cpu_us_per_message.unwrap_or(0.0);
    let harness = per_message * record.publishes_per_s? / 1e6;
    let (broker, cpus) = (resources.broker_cores.unwrap_or(0.0), f64::from(supply.cpus?));
    ((broker + harness) / cpus >= MACHINE_SHARE).then(|| Limit {
        what: Bottleneck::Machine,
        evidence: format!("broker {broker:.2} and harness {harness:.2} of {cpus} cores"),
    })
}

/// What the trial's own verdict holds against it.
fn says(record: &TrialRecord, codes: &[ReasonCode], what: Bottleneck) -> Option<Limit> {
    let reason = record.verdict.reasons.iter().find(|reason| codes.contains(&reason.code))?;
    Some(Limit { what, evidence: reason.text.clone() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Reason, Resources};

    const SUPPLY: Supply =
        Supply { cpus: Some(8), ceiling_per_s: Some(500_000.0), link_bytes_per_s: Some(1.25e9) };

    fn record() -> TrialRecord {
        TrialRecord {
            publishes_per_s: Some(100_000.0),
            payload_bytes: 1024,
            resources: Resources {
                broker_cores: Some(0.5),
                harness_cpu_us_per_message: Some(10.0),
                ..Resources::default()
            },
            ..TrialRecord::default()
        }
    }

    fn named(touch: impl FnOnce(&mut TrialRecord)) -> Bottleneck {
        let mut record = record();
        touch(&mut record);
        let limit = limit(&record, &SUPPLY);
        assert!(limit.evidence.len() > 20, "{limit:?}");
        limit.what
    }

    #[test]
    fn each_limit_is_named_by_its_own_evidence() {
        assert_eq!(named(|_| {}), Bottleneck::Broker, "nothing else was at its end");
        assert_eq!(named(|r| r.publishes_per_s = Some(430_000.0)), Bottleneck::Generator);
        let full = |r: &mut TrialRecord| {
            (r.resources.broker_cores, r.resources.broker_busiest_thread_cores) = (Some(6.5), Some(0.98));
        };
        assert_eq!(named(full), Bottleneck::Broker, "more cores would not help a full thread");
        assert_eq!(named(|r| r.resources.broker_cores = Some(6.5)), Bottleneck::Machine);
        assert_eq!(named(|r| r.payload_bytes = 10_240), Bottleneck::Network);
        let late = Reason { code: ReasonCode::PacerLag, text: "pacer lag p99 900 µs".into() };
        assert_eq!(named(|r| r.verdict.reasons.push(late.clone())), Bottleneck::Generator);
        let hiccups =
            Reason { code: ReasonCode::Hiccups, text: "an idle sleeper's p99 was 5000 µs late".into() };
        let both = |r: &mut TrialRecord| r.verdict.reasons.extend([late.clone(), hiccups.clone()]);
        assert_eq!(named(both), Bottleneck::Machine, "the generator is late because everybody is");
    }

    #[test]
    fn a_generator_at_its_ceiling_is_never_called_the_broker() {
        let busy = |r: &mut TrialRecord| {
            r.publishes_per_s = Some(480_000.0);
            r.resources.broker_cores = Some(1.0);
        };
        assert_eq!(named(busy), Bottleneck::Generator);
    }

    #[test]
    fn what_is_not_known_stands_for_nothing() {
        let limit = limit(&TrialRecord::default(), &Supply::default());
        assert_eq!(limit.what, Bottleneck::Broker);
    }
}
