//! What is kept of one trial: the one type that `trial` fills, `gate` judges and `report` renders.
//!
//! `None` always means "not measured" (an empty cell), never 0.

use serde::{Deserialize, Serialize};

use super::audience::AudienceRecord;
use super::books::Books;
use super::quantile::{Quantile, Quantiles};

/// Everything measured in one trial of one point of one target.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct TrialRecord {
    /// Name of the scenario.
    pub scenario: String,
    /// Name of the target.
    pub target: String,
    /// Name of the driver.
    pub driver: String,
    /// Who built the frames: `wire`, `library` or `memory`.
    pub client: String,
    /// The point of the sweep, as `key=value` pairs; empty without a sweep.
    pub point: String,
    /// Largest payload in bytes.
    pub payload_bytes: u64,
    /// Logical publishers.
    pub publishers: u32,
    /// Logical subscribers.
    pub subscribers: u32,
    /// Number of the trial, from 1.
    pub trial: u32,
    /// Whether these numbers can be believed.
    pub verdict: Verdict,
    /// Label of the system's guarantees.
    pub guarantee: String,
    /// Messages per second that the schedule asked for; empty at rate `max`.
    pub offered_per_s: Option<f64>,
    /// Messages per second that were sent in the measured phase.
    pub publishes_per_s: Option<f64>,
    /// First deliveries per second in the measured phase.
    pub deliveries_per_s: Option<f64>,
    /// Payload bytes delivered per second in the measured phase.
    pub bytes_per_s: Option<f64>,
    /// The ledger's sums.
    pub counts: Counts,
    /// Percentiles.
    pub latencies: Latencies,
    /// CPU and memory.
    pub resources: Resources,
    /// Start of the measured phase, RFC 3339 UTC.
    pub started_at: String,
    /// Length of the measured phase in seconds.
    pub seconds: f64,
    /// The longest time in which a receiver that was there got nothing, in the measured phase.
    #[serde(default)]
    pub outage: Option<Outage>,
    /// The longest time in which a publishing connection got no answer; empty where the system gives none.
    #[serde(default)]
    pub answer_outage: Option<Outage>,
    /// The largest backlog, and how it went away.
    #[serde(default)]
    pub backlog: Option<Backlog>,
    /// What each audience got; empty where all subscribers are one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audiences: Vec<AudienceRecord>,
    /// What was done to the broker.
    #[serde(default)]
    pub events: Vec<EventRecord>,
    /// The harness's own threads in the measured phase.
    #[serde(default)]
    pub threads: Vec<ThreadShare>,
    /// Second by second.
    pub timeline: Vec<TimelineRow>,
    /// The slowest messages, slowest first.
    pub slowest: Vec<SlowMessage>,
    /// The server's own counters that changed.
    pub server_counters: Vec<CounterChange>,
    /// Anything a reader has to know.
    pub notes: Vec<String>,
    /// Messages per second relative to what the generator managed against a null peer, percent.
    pub percent_of_ceiling: Option<f64>,
}

/// Whether a run's numbers can be believed, and why not.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Verdict {
    /// The worst grade among the reasons.
    pub grade: Grade,
    /// All that was found; empty for a clean run.
    pub reasons: Vec<Reason>,
}

/// How far a run can be believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Grade {
    /// Nothing stands against the numbers.
    #[default]
    Valid,
    /// Something may have touched the numbers: read the reasons.
    Suspect,
    /// The numbers describe the harness, not the system.
    Invalid,
}

impl Grade {
    /// `VALID`, `SUSPECT` or `INVALID`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Valid => "VALID",
            Self::Suspect => "SUSPECT",
            Self::Invalid => "INVALID",
        }
    }
}

/// One thing that stands against a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    /// What was found.
    pub code: ReasonCode,
    /// The measured value and the threshold, in words.
    pub text: String,
}

/// What can stand against a run; docs/METHOD.md says how each is judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReasonCode {
    /// The generator's own lateness is not small beside the measured latency.
    PacerLag,
    /// The books don't close: a message is in no cell, or in two.
    BooksOpen,
    /// A harness thread had no time left.
    HarnessSaturated,
    /// A harness thread was kept waiting for a core.
    RunDelay,
    /// The schedule's rate was not reached.
    RateNotReached,
    /// Sampled messages in flight and rate × mean latency disagree.
    LittlesLaw,
    /// Latency or backlog was still moving when the measured phase began.
    WarmUpNotSettled,
    /// Wall clock and monotonic clock moved apart.
    ClockStepped,
    /// The hypervisor took time away.
    Steal,
    /// The machine kept idle sleepers waiting.
    Hiccups,
    /// Messages came later than the ledger's window reaches.
    LedgerWindow,
    /// The broker's process changed.
    BrokerRestarted,
    /// Targets with unlike promises stand side by side.
    UnlikeGuarantees,
    /// The client dropped messages itself.
    ClientDrops,
    /// A refused message was delivered.
    RejectedYetDelivered,
    /// Latencies were negative or above the histogram's range.
    OutOfRange,
    /// Something that the scenario has done to the broker took no effect.
    EventWithoutEffect,
}

impl ReasonCode {
    /// The code as it stands in files: kebab-case.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::PacerLag => "pacer-lag",
            Self::BooksOpen => "books-open",
            Self::HarnessSaturated => "harness-saturated",
            Self::RunDelay => "run-delay",
            Self::RateNotReached => "rate-not-reached",
            Self::LittlesLaw => "littles-law",
            Self::WarmUpNotSettled => "warm-up-not-settled",
            Self::ClockStepped => "clock-stepped",
            Self::Steal => "steal",
            Self::Hiccups => "hiccups",
            Self::LedgerWindow => "ledger-window",
            Self::BrokerRestarted => "broker-restarted",
            Self::UnlikeGuarantees => "unlike-guarantees",
            Self::ClientDrops => "client-drops",
            Self::RejectedYetDelivered => "rejected-yet-delivered",
            Self::OutOfRange => "out-of-range",
            Self::EventWithoutEffect => "event-without-effect",
        }
    }
}

/// Sums over the measured phase, in deliveries where deliveries are meant and in messages where messages are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Messages handed to the system.
    pub sent: u64,
    /// Messages the system answered for; empty where it gives no answers.
    pub acked: Option<u64>,
    /// First, whole deliveries.
    pub delivered: u64,
    /// Deliveries that should have happened: messages × receivers.
    pub expected: u64,
    /// Deliveries of accepted messages that never happened and that nobody holds any more.
    pub lost: u64,
    /// The part of lost that the system had acknowledged with a promise; empty without such a promise.
    pub acked_lost: Option<u64>,
    /// Deliveries the system still owed when the drain ended.
    pub pending_at_deadline: u64,
    /// Deliveries the system threw away by limits of its own.
    pub discarded: u64,
    /// Messages the system refused.
    pub rejected: u64,
    /// Messages without an answer, where the system gives answers.
    pub unknown: u64,
    /// Unflagged second deliveries; empty for payloads without a stamp.
    pub duplicate: Option<u64>,
    /// Deliveries the system flagged as repeated.
    pub redelivered: u64,
    /// First deliveries out of order (RFC 4737); empty for work queues and payloads without a stamp.
    pub reordered: Option<u64>,
    /// Expected deliveries that came with a wrong checksum and never right.
    pub corrupt: u64,
    /// Arrivals that carried no stamp of this trial and topic: stale, misrouted, or foreign.
    pub unidentified: u64,
    /// Arrivals later than the ledger's window reaches, counted apart.
    pub beyond_window: u64,
    /// Connections lost.
    pub disconnects: u64,
    /// The part of lost that was sent while its subscriber was away: not there yet, gone, or cut off.
    #[serde(default)]
    pub lost_away: u64,
    /// Lost before the first delivery of their lane.
    pub lost_prefix: u64,
    /// Lost between two deliveries of their lane.
    pub lost_middle: u64,
    /// Lost after the last delivery of their lane.
    pub lost_tail: u64,
    /// Every message and every delivery in exactly one cell.
    pub books: Books,
}

impl Counts {
    /// Lost deliveries by expected deliveries; empty if none was expected.
    #[must_use]
    pub fn loss_ratio(&self) -> Option<f64> {
        (self.expected > 0).then(|| self.lost as f64 / self.expected as f64)
    }
}

/// Percentiles of every latency; docs/METHOD.md defines them.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Latencies {
    /// Received − intended, ranked over expected deliveries; empty at rate `max`.
    pub delivery_time: Option<Quantiles>,
    /// Received − sent; empty for payloads that carry no send time.
    pub transit_time: Option<Quantiles>,
    /// Acknowledged − sent; empty where the system gives no answers.
    pub service_time: Option<Quantiles>,
    /// Acknowledged − intended; empty at rate `max`.
    pub response_time: Option<Quantiles>,
    /// Sent − intended: pacer lag and stall together; empty at rate `max`.
    pub send_lag: Option<Quantiles>,
    /// Woken − due: the generator's own lateness; empty at rate `max`.
    pub pacer_lag: Option<Quantiles>,
    /// Sent − woken: held up by window, socket or broker.
    pub stall: Option<Quantiles>,
    /// Last delivery of a fan-out message − intended; empty where not measured.
    pub last_delivery: Option<Quantiles>,
    /// The p99 delivery time of the worst single subscriber.
    pub worst_subscriber_delivery_p99_us: Option<Quantile>,
}

/// CPU and memory over the measured phase.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Resources {
    /// CPU time of the broker's processes per published message, µs; empty for external brokers.
    pub broker_cpu_us_per_message: Option<f64>,
    /// CPU time of the harness per published message without the pacer's spinning, µs.
    pub harness_cpu_us_per_message: Option<f64>,
    /// CPU time the pacer spun away per published message, µs.
    pub spin_cpu_us_per_message: Option<f64>,
    /// Largest resident set of the broker's processes together, bytes; empty for external brokers.
    pub broker_rss_bytes_max: Option<u64>,
    /// Largest resident set of the harness, bytes.
    pub harness_rss_bytes_max: Option<u64>,
    /// Cores the broker used on average.
    pub broker_cores: Option<f64>,
    /// Cores that the broker's busiest thread used on average: 1 is all that one thread can have.
    #[serde(default)]
    pub broker_busiest_thread_cores: Option<f64>,
    /// CPU-seconds of the broker's processes per million deliveries.
    #[serde(default)]
    pub broker_cpu_s_per_million_deliveries: Option<f64>,
    /// Bytes that the broker's processes caused to be written to storage; empty for external brokers.
    #[serde(default)]
    pub broker_written_bytes: Option<u64>,
    /// Times that the broker's threads gave a core up, per published message.
    #[serde(default)]
    pub broker_switches_per_message: Option<f64>,
    /// Times that the harness's threads were given a core, per published message.
    #[serde(default)]
    pub harness_switches_per_message: Option<f64>,
    /// Bytes received on all interfaces of this machine, loopback included, whoever sent them.
    #[serde(default)]
    pub network_bytes: Option<u64>,
    /// What a billion deliveries cost at this rate, USD; empty without a price.
    #[serde(default)]
    pub usd_per_billion_delivered: Option<f64>,
    /// What the target costs in a month of 730 hours, USD; empty without a price.
    #[serde(default)]
    pub usd_per_month: Option<f64>,
    /// What each node of a cluster used; empty for a broker of one server.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<NodeResources>,
}

/// What one node of a cluster used.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct NodeResources {
    /// Its number, from 0.
    pub node: u32,
    /// CPU time per message that was published to the whole cluster, µs; empty if it was gone at the end.
    pub cpu_us_per_message: Option<f64>,
    /// Cores it used on average.
    pub cores: Option<f64>,
    /// Largest resident set, bytes.
    pub rss_bytes_max: Option<u64>,
}

/// Which part of a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// Before anything counts.
    #[default]
    WarmUp,
    /// What counts.
    Measure,
    /// Waiting for what is still under way.
    Drain,
}

impl Phase {
    /// `warm-up`, `measure` or `drain`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::WarmUp => "warm-up",
            Self::Measure => "measure",
            Self::Drain => "drain",
        }
    }
}

/// One interval of the timeline.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct TimelineRow {
    /// End of the interval, seconds since trial start.
    pub second: f64,
    /// The phase at the end of the interval.
    pub phase: Phase,
    /// Messages sent in it.
    pub sent: u64,
    /// Messages answered in it; empty where the system gives no answers.
    pub acked: Option<u64>,
    /// First deliveries in it.
    pub delivered: u64,
    /// Median delivery time of what arrived in it, µs.
    pub delivery_time_us_p50: Option<f64>,
    /// 99th percentile of it, µs.
    pub delivery_time_us_p99: Option<f64>,
    /// Largest of it, µs.
    pub delivery_time_us_max: Option<f64>,
    /// Holes with later deliveries seen, open at its end.
    pub gaps: Option<u64>,
    /// Cores the broker used in it.
    pub broker_cores: Option<f64>,
    /// Resident set of the broker at its end, bytes.
    pub broker_rss_bytes: Option<u64>,
    /// Messages per second that the schedule asked for in it; empty at rate `max` and in the drain.
    #[serde(default)]
    pub offered_per_s: Option<f64>,
}

/// What one thread of the harness did in the measured phase, in shares of that time on one core.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ThreadShare {
    /// Its name.
    pub name: String,
    /// Worked.
    pub busy: f64,
    /// Spun before due times.
    pub spun: f64,
    /// Runnable, waiting for a core.
    pub run_delay: f64,
}

/// A stretch of time in which nothing came, in seconds since the start of the trial.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Outage {
    /// When it began.
    pub from_s: f64,
    /// How long it lasted.
    pub seconds: f64,
}

/// Deliveries that were sent for and had not arrived: the most at any time from the start of the measured phase on.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Backlog {
    /// How many.
    pub deliveries: u64,
    /// When, in seconds since the start of the trial.
    pub at_s: f64,
    /// Seconds from then until a hundredth of it was left; empty if it never was.
    pub drain_s: Option<f64>,
    /// Deliveries per second in that time.
    pub drain_per_s: Option<f64>,
}

/// One thing that was done to a broker; times in seconds since the start of the trial.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct EventRecord {
    /// What, and to which node.
    pub what: String,
    /// When the scenario wanted it.
    pub planned_s: f64,
    /// When it was begun.
    pub began_s: f64,
    /// When it had taken effect.
    pub done_s: f64,
    /// Why it had none.
    pub failure: Option<String>,
}

impl EventRecord {
    /// In one line.
    #[must_use]
    pub fn line(&self) -> String {
        match &self.failure {
            None => format!(
                "event at {:.2} s: {} took effect after {:.0} ms",
                self.began_s,
                self.what,
                (self.done_s - self.began_s) * 1e3
            ),
            Some(failure) => {
                format!("event at {:.2} s: {} had no effect: {failure}", self.began_s, self.what)
            }
        }
    }
}

/// A slow message with every stage's time, nanoseconds since trial start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct SlowMessage {
    /// Who published it.
    pub publisher: u32,
    /// On which lane.
    pub lane: u32,
    /// Number on that lane.
    pub sequence: u64,
    /// When it was due; empty at rate `max`.
    pub intended: Option<u64>,
    /// When the pacer woke for it.
    pub woken: Option<u64>,
    /// When it was written; empty for payloads that carry no send time.
    pub sent: Option<u64>,
    /// When the answer came.
    pub acked: Option<u64>,
    /// When it was read from the socket.
    pub received: u64,
    /// When its simulated processing began.
    pub handled: Option<u64>,
}

/// A counter of the server's own, before and after the measured phase.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CounterChange {
    /// The server's name for it.
    pub name: String,
    /// Before.
    pub before: i64,
    /// After.
    pub after: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_reads_back_from_json_as_it_was_written() {
        let record = TrialRecord {
            target: "redis-8".into(),
            verdict: Verdict {
                grade: Grade::Suspect,
                reasons: vec![Reason { code: ReasonCode::LittlesLaw, text: "…".into() }],
            },
            latencies: Latencies {
                delivery_time: Some(Quantiles { p99: Some(Quantile::Beyond), ..Quantiles::default() }),
                ..Latencies::default()
            },
            timeline: vec![TimelineRow { phase: Phase::Measure, ..TimelineRow::default() }],
            ..TrialRecord::default()
        };
        let text = serde_json::to_string(&record).unwrap();
        assert!(text.contains("\"littles-law\"") && text.contains("\"SUSPECT\""), "{text}");
        assert_eq!(serde_json::from_str::<TrialRecord>(&text).unwrap(), record);
    }

    #[test]
    fn names_in_files_are_those_of_the_serialised_form() {
        for code in [ReasonCode::PacerLag, ReasonCode::LittlesLaw, ReasonCode::WarmUpNotSettled] {
            assert_eq!(serde_json::to_string(&code).unwrap(), format!("\"{}\"", code.name()));
        }
        for grade in [Grade::Valid, Grade::Suspect, Grade::Invalid] {
            assert_eq!(serde_json::to_string(&grade).unwrap(), format!("\"{}\"", grade.name()));
        }
        assert!(Grade::Invalid > Grade::Suspect && Grade::Suspect > Grade::Valid);
    }

    #[test]
    fn nothing_expected_has_no_loss_ratio() {
        assert_eq!(Counts::default().loss_ratio(), None);
        assert_eq!(Counts { expected: 4, lost: 1, ..Counts::default() }.loss_ratio(), Some(0.25));
    }
}
