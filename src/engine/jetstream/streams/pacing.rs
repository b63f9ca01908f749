//! Consumers that don't deliver as fast as they can: at the pace at which messages came, or at a rate.

use super::consumer::Consumer;
use super::consumer_config::{ConsumerConfig, ReplayPolicy};
use super::stream_config::StreamConfig;
use crate::clock::Nanos;

/// Gaps shorter than this are not waited for, in nanoseconds.
const SHORTEST: u64 = 1_000_000;

/// Bytes that may go at once, and how many follow in a second; what was taken in advance is waited for.
#[derive(Debug, Clone, Copy)]
struct Rate {
    per_second: f64,
    burst: f64,
    left: f64,
    at: Nanos,
}

impl Rate {
    /// Takes `size` bytes; gives how long that has to be waited for.
    fn take(&mut self, size: u64, now: Nanos) -> Nanos {
        let passed = now.saturating_sub(self.at) as f64 / 1e9;
        self.left = (self.left + passed * self.per_second).min(self.burst) - size as f64;
        self.at = now;
        if self.left >= 0.0 { 0 } else { (-self.left / self.per_second * 1e9) as Nanos }
    }
}

/// How fast messages may go.
#[derive(Debug, Default)]
pub(super) struct Pacing {
    /// Whether there is nothing to be looked at.
    free: bool,
    /// The last message whose distance to the one before is kept.
    replay_until: u64,
    /// When the message was stored that was delivered last, in nanoseconds since 1970.
    last: Option<u64>,
    rate: Option<Rate>,
    /// The message that waits for its time.
    held: Option<(u64, Nanos)>,
}

/// A message that is to be delivered.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub(super) sequence: u64,
    /// When it was stored, in nanoseconds since 1970.
    pub(super) time: u64,
    pub(super) size: u64,
}

impl Pacing {
    /// The pace that a consumer is set up for, on a stream that goes up to `last`.
    fn new(config: &ConsumerConfig, stream: &StreamConfig, (last, now): (u64, Nanos)) -> Self {
        let largest = u64::try_from(stream.max_msg_size).unwrap_or(0);
        let burst = if largest > 0 { largest as f64 } else { crate::wire::nats::MAX_PAYLOAD as f64 };
        let rate = (config.rate_limit_bps > 0).then(|| {
            let per_second = (config.rate_limit_bps / 8).max(1) as f64;
            Rate { per_second, burst, left: burst, at: now }
        });
        let replay_until = if config.replay_policy == ReplayPolicy::Original { last } else { 0 };
        Self { free: rate.is_none() && replay_until == 0, replay_until, last: None, rate, held: None }
    }

    /// Whether all may go as it comes.
    #[inline]
    pub(super) fn is_free(&self) -> bool {
        self.free
    }

    /// Whether a message may go now; else it is noted when.
    pub(super) fn admits(&mut self, message: Candidate, now: Nanos) -> bool {
        let due = match self.held {
            Some((sequence, due)) if sequence == message.sequence => due,
            _ => now + self.wait_for(message, now),
        };
        self.held = (due > now).then_some((message.sequence, due));
        if self.held.is_none() {
            self.last = Some(message.time);
        }
        self.held.is_none()
    }

    fn wait_for(&mut self, message: Candidate, now: Nanos) -> Nanos {
        let gap = match self.last {
            Some(last) if message.sequence <= self.replay_until => message.time.saturating_sub(last),
            _ => 0,
        };
        let gap = if gap > SHORTEST { gap } else { 0 };
        let wait = self.rate.as_mut().map_or(0, |rate| rate.take(message.size, now));
        if message.sequence >= self.replay_until {
            // With the last one that was there at the start it has caught up.
            self.replay_until = 0;
            self.free = self.rate.is_none() && gap == 0;
        }
        gap.max(wait)
    }

    /// When the message that waits may go.
    pub(super) fn next_due(&self) -> Option<Nanos> {
        self.held.map(|(_, due)| due)
    }
}

impl Consumer {
    /// Begins to deliver at the pace that is asked for.
    pub(super) fn begin_pacing(&mut self, stream: &StreamConfig, at: (u64, Nanos)) {
        self.pacing = Pacing::new(&self.config, stream, at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    fn pacing(config: &ConsumerConfig, burst: i64) -> Pacing {
        let stream = StreamConfig { max_msg_size: burst, ..StreamConfig::default() };
        Pacing::new(config, &stream, (3, 0))
    }

    fn message(sequence: u64, at: u64, size: u64) -> Candidate {
        Candidate { sequence, time: at * MS, size }
    }

    #[test]
    fn the_gaps_between_messages_are_kept_until_it_has_caught_up() {
        let config = ConsumerConfig { replay_policy: ReplayPolicy::Original, ..ConsumerConfig::default() };
        let mut pacing = pacing(&config, -1);
        assert!(pacing.admits(message(1, 100, 1), 0), "the first one at once");
        assert!(!pacing.admits(message(2, 150, 1), 2 * MS));
        assert_eq!(pacing.next_due(), Some(52 * MS));
        assert!(!pacing.admits(message(2, 150, 1), 51 * MS), "looked at again, it is due at the same time");
        assert!(pacing.admits(message(2, 150, 1), 52 * MS));
        assert!(!pacing.admits(message(3, 200, 1), 53 * MS) && pacing.admits(message(3, 200, 1), 103 * MS));
        assert!(pacing.admits(message(4, 900, 1), 104 * MS), "what came later is not held");
        assert!(pacing.is_free() || pacing.next_due().is_none());
    }

    #[test]
    fn a_rate_lets_a_burst_go_and_then_takes_its_time() {
        // 8,000 bits are 1,000 bytes a second.
        let config = ConsumerConfig { rate_limit_bps: 8_000, ..ConsumerConfig::default() };
        let mut pacing = pacing(&config, 200);
        assert!(!pacing.is_free());
        assert!(pacing.admits(message(1, 0, 100), 0) && pacing.admits(message(2, 0, 100), 0));
        assert!(!pacing.admits(message(3, 0, 100), 0));
        assert_eq!(pacing.next_due(), Some(100 * MS));
        assert!(pacing.admits(message(3, 0, 100), 100 * MS));
        assert!(!pacing.admits(message(4, 0, 100), 100 * MS));
        assert!(pacing.admits(message(4, 0, 100), 200 * MS), "the time is not counted twice");
        assert!(pacing.admits(message(5, 0, 100), 1_000 * MS), "what was not used gathers, up to the burst");
        assert!(
            pacing.admits(message(6, 0, 100), 1_000 * MS) && !pacing.admits(message(7, 0, 50), 1_000 * MS)
        );
    }

    #[test]
    fn without_either_there_is_nothing_to_be_looked_at() {
        assert!(pacing(&ConsumerConfig::default(), -1).is_free());
    }
}
