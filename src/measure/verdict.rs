//! Judges whether a run's numbers can be believed: evidence in, verdict out, no I/O.
//!
//! Only the generator's own lateness and open books make a run INVALID: then the numbers describe the
//! harness. Everything else makes it SUSPECT and is said with the value and the threshold. Thresholds are
//! constants with their reasons here; docs/METHOD.md tells the same to readers.

use super::quantile::{Quantile, Quantiles};
use super::record::{Counts, Grade, Reason, ReasonCode, Verdict};

/// Median pacer lag above this share of the median latency: SUSPECT. A fifth is what a reader would still
/// call a detail.
pub const PACER_P50_SUSPECT: f64 = 0.2;
/// Above this share the typical figure is more generator than system: INVALID.
pub const PACER_P50_INVALID: f64 = 0.5;
/// The same at p99, where lateness and latency need not belong to the same messages.
pub const PACER_P99_SUSPECT: f64 = 0.5;
/// Above this share the tail is the generator's: INVALID.
pub const PACER_P99_INVALID: f64 = 0.9;
/// Pacer lag below this is not looked at, µs: a few reads of the clock and one system call.
pub const PACER_FLOOR_US: f64 = 5.0;
/// CPU time (without spinning) of one harness thread above this share of the wall time: it had no time left.
pub const THREAD_BUSY_MAX: f64 = 0.9;
/// Time that one harness thread was runnable and not running, above this share of the wall time.
pub const RUN_DELAY_MAX: f64 = 0.1;
/// Share of the offered rate that must have been sent.
pub const RATE_MIN: f64 = 0.99;
/// Relative difference between sampled messages in flight and rate × mean latency.
pub const LITTLE_MAX: f64 = 0.2;
/// Samples of messages in flight without which Little's law is not judged.
pub const LITTLE_SAMPLES_MIN: u64 = 30;
/// A difference below this many messages in flight is not looked at: samples are whole messages.
pub const LITTLE_FLOOR: f64 = 1.0;
/// Relative change of the median latency between the last two parts of the warm-up.
pub const TREND_MAX: f64 = 0.25;
/// A change below this is not looked at, µs.
pub const TREND_FLOOR_US: f64 = 50.0;
/// Backlog at the end of the warm-up, in seconds of the offered rate.
pub const BACKLOG_MAX_SECONDS: f64 = 0.1;
/// Wall clock against monotonic clock: 500 ppm is the most that NTP slews, 10 ms more is a step.
pub const CLOCK_SLEW_MAX: f64 = 500e-6;
/// See [`CLOCK_SLEW_MAX`], seconds.
pub const CLOCK_STEP_SECONDS: f64 = 0.01;
/// Share of the machine's CPU time that the hypervisor gave to others.
pub const STEAL_MAX: f64 = 0.01;
/// The p99 lateness of an idle sleeper above this share of the measured p99 …
pub const HICCUP_SHARE_MAX: f64 = 0.5;
/// … is looked at if it is above this, µs: the kernel's timer slack alone is 50.
pub const HICCUP_FLOOR_US: f64 = 1000.0;

/// One harness thread over the measured phase.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct ThreadEvidence {
    /// Its name.
    pub name: String,
    /// Share of the wall time on a core, spinning left out.
    pub busy: f64,
    /// Share of the wall time runnable but waiting for a core (schedstat run delay).
    pub run_delay: f64,
}

/// Messages in flight, found in two ways.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct LittleEvidence {
    /// Mean of independent samples of sent − come.
    pub sampled_in_flight: f64,
    /// How many samples.
    pub samples: u64,
    /// Deliveries (or answers) per second.
    pub rate_per_s: f64,
    /// Their mean latency from being sent, seconds.
    pub mean_latency_s: f64,
}

/// The end of the warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct WarmUpEvidence {
    /// Median latency in the part before the last, µs.
    pub earlier_p50_us: f64,
    /// Median latency in the last part, µs.
    pub later_p50_us: f64,
    /// Messages sent and not yet come, in seconds of the offered rate.
    pub backlog_seconds: f64,
}

/// All that a verdict rests on. `None` is "not measured" and is not held against the run.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Evidence {
    /// The generator's own lateness; empty at rate `max`.
    pub pacer_lag: Option<Quantiles>,
    /// The headline latency: delivery time, or response time without subscribers.
    pub latency: Option<Quantiles>,
    /// The harness's threads.
    pub threads: Vec<ThreadEvidence>,
    /// What was asked for, per second.
    pub offered_per_s: Option<f64>,
    /// What was sent, per second.
    pub sent_per_s: f64,
    /// Little's law.
    pub little: Option<LittleEvidence>,
    /// The end of the warm-up.
    pub warm_up: Option<WarmUpEvidence>,
    /// How far wall clock and monotonic clock moved apart, seconds, either way.
    pub clock_apart_s: f64,
    /// Length of the trial, seconds.
    pub trial_s: f64,
    /// Share of CPU time stolen.
    pub steal: Option<f64>,
    /// Lateness of idle sleepers, worst core.
    pub hiccups: Option<Quantiles>,
    /// The ledger.
    pub counts: Counts,
    /// The broker's process is not the one that it was.
    pub broker_restarted: bool,
    /// Labels of unlike guarantees that stand side by side.
    pub unlike: Option<String>,
    /// Messages dropped inside the client.
    pub client_drops: u64,
    /// Latency samples that were negative.
    pub negative: u64,
    /// Latency samples above the histogram's range.
    pub above_range: u64,
    /// What was to be done to the broker and had no effect, in words.
    pub failed_events: Vec<String>,
}

/// The verdict on a run, all reasons together, the gravest first.
#[must_use]
pub fn judge(evidence: &Evidence) -> Verdict {
    let mut reasons: Vec<(Grade, Reason)> = [
        pacer(evidence),
        books(&evidence.counts),
        rate(evidence),
        evidence.little.and_then(|little| littles_law(&little)),
        evidence.warm_up.and_then(|warm_up| not_settled(&warm_up)),
        clock(evidence),
        steal(evidence),
        hiccups(evidence),
        window(&evidence.counts),
        restarted(evidence),
        unlike(evidence),
        client_drops(evidence),
        rejected_yet_delivered(&evidence.counts),
        out_of_range(evidence),
        without_effect(evidence),
    ]
    .into_iter()
    .flatten()
    .chain(evidence.threads.iter().flat_map(|thread| [saturated(thread), waiting(thread)]).flatten())
    .collect();
    reasons.sort_by_key(|(grade, _)| std::cmp::Reverse(*grade));
    Verdict {
        grade: reasons.first().map_or(Grade::Valid, |(grade, _)| *grade),
        reasons: reasons.into_iter().map(|(_, reason)| reason).collect(),
    }
}

type Finding = Option<(Grade, Reason)>;

fn suspect(code: ReasonCode, text: String) -> Finding {
    Some((Grade::Suspect, Reason { code, text }))
}

fn percent(share: f64) -> String {
    format!("{:.1} %", share * 100.0)
}

/// The generator's lateness beside the latency, at p50 and p99: the graver of the two.
fn pacer(evidence: &Evidence) -> Finding {
    let (lag, latency) = (evidence.pacer_lag?, evidence.latency?);
    let at = |name: &str, pair: (Option<Quantile>, Option<Quantile>), limits: (f64, f64)| {
        let (lag, latency) = (pair.0?.micros(), pair.1?.micros());
        let share = if lag.is_infinite() { f64::INFINITY } else { lag / latency };
        let (grade, limit) =
            if share > limits.1 { (Grade::Invalid, limits.1) } else { (Grade::Suspect, limits.0) };
        (lag > PACER_FLOOR_US && share > limits.0).then(|| {
            let text = format!(
                "pacer lag {name} {lag:.0} µs is {} of the latency's {name} {latency:.0} µs (limit {})",
                percent(share),
                percent(limit)
            );
            (grade, Reason { code: ReasonCode::PacerLag, text })
        })
    };
    let median = at("p50", (lag.p50, latency.p50), (PACER_P50_SUSPECT, PACER_P50_INVALID));
    let tail = at("p99", (lag.p99, latency.p99), (PACER_P99_SUSPECT, PACER_P99_INVALID));
    match (median, tail) {
        (Some(median), Some(tail)) => Some(if tail.0 > median.0 { tail } else { median }),
        (median, tail) => median.or(tail),
    }
}

fn books(counts: &Counts) -> Finding {
    let (messages, deliveries) = (counts.books.messages.total(), counts.books.deliveries.total());
    (!counts.books.close(counts.sent, counts.expected)).then(|| {
        let text = format!(
            "the books hold {messages} messages of {} sent and {deliveries} deliveries of {} expected \
             (all must be there)",
            counts.sent, counts.expected
        );
        (Grade::Invalid, Reason { code: ReasonCode::BooksOpen, text })
    })
}

fn saturated(thread: &ThreadEvidence) -> Finding {
    if thread.busy <= THREAD_BUSY_MAX {
        return None;
    }
    let (busy, limit) = (percent(thread.busy), percent(THREAD_BUSY_MAX));
    suspect(ReasonCode::HarnessSaturated, format!("thread {} was busy {busy} (limit {limit})", thread.name))
}

fn waiting(thread: &ThreadEvidence) -> Finding {
    if thread.run_delay <= RUN_DELAY_MAX {
        return None;
    }
    let (delay, limit) = (percent(thread.run_delay), percent(RUN_DELAY_MAX));
    suspect(
        ReasonCode::RunDelay,
        format!("thread {} waited for a core {delay} of the time (limit {limit})", thread.name),
    )
}

fn rate(evidence: &Evidence) -> Finding {
    let offered = evidence.offered_per_s?;
    let share = evidence.sent_per_s / offered;
    if share >= RATE_MIN || offered <= 0.0 {
        return None;
    }
    let text = format!(
        "sent {:.0}/s of {offered:.0}/s offered: {} (limit {})",
        evidence.sent_per_s,
        percent(share),
        percent(RATE_MIN)
    );
    suspect(ReasonCode::RateNotReached, text)
}

fn littles_law(little: &LittleEvidence) -> Finding {
    let expected = little.rate_per_s * little.mean_latency_s;
    let apart = (little.sampled_in_flight - expected).abs();
    let share = apart / little.sampled_in_flight.max(expected).max(f64::MIN_POSITIVE);
    if little.samples < LITTLE_SAMPLES_MIN || apart <= LITTLE_FLOOR || share <= LITTLE_MAX {
        return None;
    }
    let text = format!(
        "{:.1} messages in flight were sampled, rate × mean latency gives {expected:.1}: {} apart (limit {})",
        little.sampled_in_flight,
        percent(share),
        percent(LITTLE_MAX)
    );
    suspect(ReasonCode::LittlesLaw, text)
}

fn not_settled(warm_up: &WarmUpEvidence) -> Finding {
    let change = (warm_up.later_p50_us - warm_up.earlier_p50_us).abs();
    let share = change / warm_up.earlier_p50_us.max(f64::MIN_POSITIVE);
    if change > TREND_FLOOR_US && share > TREND_MAX {
        let text = format!(
            "the median latency still went from {:.0} to {:.0} µs at the end of the warm-up: {} (limit {})",
            warm_up.earlier_p50_us,
            warm_up.later_p50_us,
            percent(share),
            percent(TREND_MAX)
        );
        return suspect(ReasonCode::WarmUpNotSettled, text);
    }
    if warm_up.backlog_seconds > BACKLOG_MAX_SECONDS {
        let text = format!(
            "the warm-up left a backlog of {:.2} s of traffic (limit {BACKLOG_MAX_SECONDS} s)",
            warm_up.backlog_seconds
        );
        return suspect(ReasonCode::WarmUpNotSettled, text);
    }
    None
}

fn clock(evidence: &Evidence) -> Finding {
    let limit = CLOCK_STEP_SECONDS + CLOCK_SLEW_MAX * evidence.trial_s;
    if evidence.clock_apart_s.abs() <= limit {
        return None;
    }
    let text = format!(
        "wall clock and monotonic clock moved {:.1} ms apart (limit {:.1} ms)",
        evidence.clock_apart_s.abs() * 1e3,
        limit * 1e3
    );
    suspect(ReasonCode::ClockStepped, text)
}

fn steal(evidence: &Evidence) -> Finding {
    let steal = evidence.steal.filter(|&steal| steal > STEAL_MAX)?;
    let text = format!("{} of CPU time was stolen (limit {})", percent(steal), percent(STEAL_MAX));
    suspect(ReasonCode::Steal, text)
}

fn hiccups(evidence: &Evidence) -> Finding {
    let hiccup = evidence.hiccups?.p99?.micros();
    let latency = evidence.latency.and_then(|latency| latency.p99).map_or(0.0, Quantile::micros);
    let limit = HICCUP_FLOOR_US.max(HICCUP_SHARE_MAX * latency);
    if hiccup <= limit {
        return None;
    }
    let text = format!("an idle sleeper's p99 was {hiccup:.0} µs late (limit {limit:.0} µs)");
    suspect(ReasonCode::Hiccups, text)
}

fn window(counts: &Counts) -> Finding {
    if counts.beyond_window == 0 {
        return None;
    }
    let text =
        format!("{} messages or answers came later than the ledger reaches (limit 0)", counts.beyond_window);
    suspect(ReasonCode::LedgerWindow, text)
}

fn restarted(evidence: &Evidence) -> Finding {
    if !evidence.broker_restarted {
        return None;
    }
    suspect(ReasonCode::BrokerRestarted, "the broker's process changed during the trial".into())
}

fn unlike(evidence: &Evidence) -> Finding {
    let labels = evidence.unlike.as_ref()?;
    suspect(ReasonCode::UnlikeGuarantees, format!("unlike guarantees stand side by side: {labels}"))
}

fn client_drops(evidence: &Evidence) -> Finding {
    if evidence.client_drops == 0 {
        return None;
    }
    let text = format!("the client dropped {} messages itself (limit 0)", evidence.client_drops);
    suspect(ReasonCode::ClientDrops, text)
}

fn rejected_yet_delivered(counts: &Counts) -> Finding {
    let count = counts.books.rejected_yet_delivered();
    if count == 0 {
        return None;
    }
    suspect(
        ReasonCode::RejectedYetDelivered,
        format!("{count} deliveries of messages that the system had refused (limit 0)"),
    )
}

fn out_of_range(evidence: &Evidence) -> Finding {
    if evidence.negative + evidence.above_range == 0 {
        return None;
    }
    let text = format!(
        "{} latencies were negative and {} above 1 h (limit 0)",
        evidence.negative, evidence.above_range
    );
    suspect(ReasonCode::OutOfRange, text)
}

fn without_effect(evidence: &Evidence) -> Finding {
    let failed = evidence.failed_events.first()?;
    let reason = Reason { code: ReasonCode::EventWithoutEffect, text: failed.clone() };
    Some((Grade::Invalid, reason))
}

#[cfg(test)]
mod tests {
    use super::super::books::{Answer, Fate};
    use super::*;

    fn quantiles(p50: f64, p99: f64) -> Option<Quantiles> {
        Some(Quantiles {
            count: 100_000,
            p50: Some(Quantile::Micros(p50)),
            p99: Some(Quantile::Micros(p99)),
            ..Quantiles::default()
        })
    }

    /// A run that nothing stands against, with every field filled in.
    fn clean() -> Evidence {
        let mut counts = Counts { sent: 10, expected: 10, delivered: 10, ..Counts::default() };
        counts.books.messages[(Answer::Acked, Fate::Delivered)] = 10;
        counts.books.deliveries[(Answer::Acked, Fate::Delivered)] = 10;
        Evidence {
            pacer_lag: quantiles(8.0, 100.0),
            latency: quantiles(200.0, 900.0),
            threads: vec![ThreadEvidence { name: "core-0".into(), busy: 0.6, run_delay: 0.02 }],
            offered_per_s: Some(20_000.0),
            sent_per_s: 19_990.0,
            little: Some(LittleEvidence {
                sampled_in_flight: 4.4,
                samples: 100,
                rate_per_s: 20_000.0,
                mean_latency_s: 210e-6,
            }),
            warm_up: Some(WarmUpEvidence {
                earlier_p50_us: 210.0,
                later_p50_us: 200.0,
                backlog_seconds: 0.001,
            }),
            clock_apart_s: 0.002,
            trial_s: 17.0,
            steal: Some(0.001),
            hiccups: quantiles(60.0, 300.0),
            counts,
            ..Evidence::default()
        }
    }

    #[test]
    fn a_clean_run_is_valid_without_any_reason() {
        assert_eq!(judge(&clean()), Verdict::default());
    }

    #[test]
    fn nothing_measured_is_not_held_against_a_run() {
        assert_eq!(judge(&Evidence::default()).grade, Grade::Valid);
    }

    /// Each reason is forced by touching one thing of a clean run, and is then the only one.
    fn forced(touch: impl FnOnce(&mut Evidence)) -> (Grade, ReasonCode) {
        let mut evidence = clean();
        touch(&mut evidence);
        let verdict = judge(&evidence);
        assert_eq!(verdict.reasons.len(), 1, "{verdict:?}");
        assert!(verdict.reasons[0].text.len() > 10, "{verdict:?}");
        (verdict.grade, verdict.reasons[0].code)
    }

    #[test]
    fn only_the_pacer_open_books_and_events_without_effect_make_a_run_invalid() {
        let (invalid, suspect) = (Grade::Invalid, Grade::Suspect);
        let pacer = ReasonCode::PacerLag;
        assert_eq!(forced(|e| e.pacer_lag = quantiles(50.0, 100.0)), (suspect, pacer));
        assert_eq!(forced(|e| e.pacer_lag = quantiles(101.0, 110.0)), (invalid, pacer));
        assert_eq!(forced(|e| e.pacer_lag = quantiles(8.0, 460.0)), (suspect, pacer));
        assert_eq!(forced(|e| e.pacer_lag = quantiles(50.0, 820.0)), (invalid, pacer), "the graver counts");
        assert_eq!(forced(|e| e.counts.sent = 11), (invalid, ReasonCode::BooksOpen));
        assert_eq!(forced(|e| e.counts.expected = 9), (invalid, ReasonCode::BooksOpen));
        let failed = |e: &mut Evidence| e.failed_events.push("kill node 0 had no effect".into());
        assert_eq!(forced(failed), (invalid, ReasonCode::EventWithoutEffect));
    }

    #[test]
    fn a_lag_of_a_few_clock_reads_is_not_looked_at() {
        let mut evidence = clean();
        (evidence.pacer_lag, evidence.latency) = (quantiles(4.0, 5.0), quantiles(5.0, 6.0));
        evidence.hiccups = None;
        assert_eq!(judge(&evidence).grade, Grade::Valid);
    }

    #[test]
    fn each_doubt_makes_a_run_suspect_and_says_which() {
        let reasons = [
            forced(|e| e.threads[0].busy = 0.91),
            forced(|e| e.threads[0].run_delay = 0.11),
            forced(|e| e.sent_per_s = 19_700.0),
            forced(|e| e.little.as_mut().unwrap().sampled_in_flight = 6.0),
            forced(|e| e.warm_up.as_mut().unwrap().earlier_p50_us = 400.0),
            forced(|e| e.warm_up.as_mut().unwrap().backlog_seconds = 0.2),
            forced(|e| e.clock_apart_s = -0.02),
            forced(|e| e.steal = Some(0.02)),
            forced(|e| e.hiccups = quantiles(60.0, 1001.0)),
            forced(|e| e.counts.beyond_window = 1),
            forced(|e| e.broker_restarted = true),
            forced(|e| e.unlike = Some("at-most-once | at-least-once".into())),
            forced(|e| e.client_drops = 1),
            forced(|e| {
                e.counts.books.deliveries[(Answer::Acked, Fate::Delivered)] -= 1;
                e.counts.books.deliveries[(Answer::Rejected, Fate::Delivered)] += 1;
            }),
            forced(|e| e.negative = 1),
            forced(|e| e.above_range = 1),
        ];
        let codes = [
            ReasonCode::HarnessSaturated,
            ReasonCode::RunDelay,
            ReasonCode::RateNotReached,
            ReasonCode::LittlesLaw,
            ReasonCode::WarmUpNotSettled,
            ReasonCode::WarmUpNotSettled,
            ReasonCode::ClockStepped,
            ReasonCode::Steal,
            ReasonCode::Hiccups,
            ReasonCode::LedgerWindow,
            ReasonCode::BrokerRestarted,
            ReasonCode::UnlikeGuarantees,
            ReasonCode::ClientDrops,
            ReasonCode::RejectedYetDelivered,
            ReasonCode::OutOfRange,
            ReasonCode::OutOfRange,
        ];
        assert_eq!(reasons.to_vec(), codes.map(|code| (Grade::Suspect, code)).to_vec());
    }

    #[test]
    fn all_reasons_stand_together_and_the_gravest_comes_first() {
        let mut evidence = clean();
        evidence.steal = Some(0.5);
        evidence.counts.sent = 11;
        let verdict = judge(&evidence);
        let codes: Vec<ReasonCode> = verdict.reasons.iter().map(|reason| reason.code).collect();
        assert_eq!(codes, [ReasonCode::BooksOpen, ReasonCode::Steal]);
        assert_eq!(verdict.grade, Grade::Invalid);
    }

    #[test]
    fn few_samples_of_messages_in_flight_prove_nothing() {
        let mut evidence = clean();
        evidence.little =
            Some(LittleEvidence { samples: 29, sampled_in_flight: 50.0, ..evidence.little.unwrap() });
        assert_eq!(judge(&evidence).grade, Grade::Valid);
    }
}
