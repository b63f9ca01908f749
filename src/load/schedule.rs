//! When each message of one publishing connection is meant to go.
//!
//! Message i of all publishers together (publisher i mod P) is due at `i / rate` after the start of the
//! trial: arithmetic on the index, never on the clock, so a late generator or a slow broker moves no
//! intended time (Tene, "How NOT to Measure Latency"; wrk2). A connection carries the messages of its own
//! publishers only. Poisson arrivals are drawn per connection at its share of the rate; the superposition of
//! independent Poisson processes is the Poisson process of the whole.

use crate::clock::Nanos;
use crate::prng::Prng;
use crate::scenario::{Arrival, Extent, Phases, Topology};

/// A message that is meant to go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The logical publisher.
    pub publisher: u32,
    /// How many messages this publisher sent before.
    pub round: u64,
    /// Intended send time, nanoseconds since the start of the trial.
    pub intended: Nanos,
}

/// Where a schedule ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limit {
    /// Messages intended before this are warm-up.
    pub measure_from: Nanos,
    /// No message is intended at or after this.
    pub until: Nanos,
    /// No more measured messages than this on this connection.
    pub measured: u64,
}

impl Limit {
    /// The limit of one connection under these phases. A measured phase that is given in messages is
    /// divided evenly over publishers, the first ones taking the remainder.
    #[must_use]
    pub fn of(phases: &Phases, topology: &Topology, connection: u32) -> Self {
        let measure_from = nanos(phases.warm_up);
        match phases.measure {
            Extent::Time(time) => {
                Self { measure_from, until: measure_from + nanos(time), measured: u64::MAX }
            }
            Extent::Messages(total) => {
                let each = total / u64::from(topology.publishers);
                let rest = total % u64::from(topology.publishers);
                let measured = topology
                    .publishers_on(connection)
                    .map(|publisher| each + u64::from(u64::from(publisher) < rest))
                    .sum();
                Self { measure_from, until: Nanos::MAX, measured }
            }
        }
    }
}

/// A duration in nanoseconds, saturating.
fn nanos(duration: std::time::Duration) -> Nanos {
    Nanos::try_from(duration.as_nanos()).unwrap_or(Nanos::MAX)
}

/// The intended send times of one connection, in order. Clones run on independently and agree.
#[derive(Debug, Clone)]
pub struct Schedule {
    times: Times,
    limit: Limit,
    turn: Turn,
    measured: u64,
}

/// Whose turn it is: the publishers of one connection, round after round.
#[derive(Debug, Clone)]
pub struct Turn {
    first: u32,
    stride: u32,
    publishers: u32,
    /// The publisher whose turn it is.
    pub publisher: u32,
    /// How often it had its turn before.
    pub round: u64,
}

impl Turn {
    /// The first turn of the publishers on `connection`.
    #[must_use]
    pub fn new(topology: &Topology, connection: u32) -> Self {
        Self {
            first: connection,
            stride: topology.publisher_connections.max(1),
            publishers: topology.publishers,
            publisher: connection,
            round: 0,
        }
    }

    /// Passes the turn on.
    #[inline]
    pub fn pass(&mut self) {
        self.publisher += self.stride;
        if self.publisher >= self.publishers {
            self.publisher = self.first;
            self.round += 1;
        }
    }
}

#[derive(Debug, Clone)]
enum Times {
    /// Fixed-point nanoseconds × 2^32 between messages of all publishers together.
    Constant { interval: u128 },
    /// Time of the next message, and the mean interval of this connection.
    Poisson { prng: Prng, mean: f64, at: f64 },
}

/// Fraction bits of the fixed-point interval: rounding it moves message 10^10 by at most 2.4 ns.
const FRACTION: u32 = 32;

impl Schedule {
    /// The schedule of `connection` at `per_second` messages per second of all publishers together.
    #[must_use]
    pub fn new(
        topology: &Topology,
        connection: u32,
        (arrival, per_second): (Arrival, f64),
        limit: Limit,
        seed: u64,
    ) -> Self {
        let times = match arrival {
            Arrival::Constant => {
                Times::Constant { interval: (1e9 * 2f64.powi(FRACTION as i32) / per_second) as u128 }
            }
            Arrival::Poisson => {
                let own = topology.publishers_on(connection).count() as f64;
                let mean = 1e9 / (per_second * own / f64::from(topology.publishers));
                let mut prng = Prng::split(seed, u64::from(connection));
                let at = prng.exponential() * mean;
                Times::Poisson { prng, mean, at }
            }
        };
        Self { times, limit, turn: Turn::new(topology, connection), measured: 0 }
    }

    /// Intended time of the next message; `None` at the end.
    #[must_use]
    #[inline]
    pub fn peek(&self) -> Option<Nanos> {
        let intended = match &self.times {
            Times::Constant { interval } => {
                let index = u128::from(self.turn.round) * u128::from(self.turn.publishers)
                    + u128::from(self.turn.publisher);
                ((index * interval) >> FRACTION) as Nanos
            }
            Times::Poisson { at, .. } => *at as Nanos,
        };
        let over = intended >= self.limit.until
            || (intended >= self.limit.measure_from && self.measured >= self.limit.measured);
        (!over).then_some(intended)
    }

    /// Takes the next message.
    #[inline]
    pub fn take(&mut self) -> Option<Due> {
        let intended = self.peek()?;
        let due = Due { publisher: self.turn.publisher, round: self.turn.round, intended };
        self.measured += u64::from(intended >= self.limit.measure_from);
        self.turn.pass();
        if let Times::Poisson { prng, mean, at } = &mut self.times {
            *at += prng.exponential() * *mean;
        }
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Delivery, Subscribe};
    use proptest::prelude::*;
    use std::time::Duration;

    fn topology(publishers: u32, connections: u32) -> Topology {
        Topology {
            publishers,
            publisher_connections: connections,
            subscribers: 0,
            subscriber_connections: 0,
            topics: 1,
            subscribe: Subscribe::All,
            delivery: Delivery::FanOut,
            payload_max: 16,
            prefix: "t".into(),
        }
    }

    fn all(topology: &Topology, arrival: Arrival, rate: f64, phases: &Phases) -> Vec<Due> {
        let mut dues: Vec<Due> = (0..topology.publisher_connections)
            .flat_map(|connection| {
                let limit = Limit::of(phases, topology, connection);
                let mut schedule = Schedule::new(topology, connection, (arrival, rate), limit, 7);
                std::iter::from_fn(move || schedule.take()).collect::<Vec<_>>()
            })
            .collect();
        dues.sort_by_key(|due| (due.intended, due.round, due.publisher));
        dues
    }

    fn phases(warm_up: Duration, measure: Extent) -> Phases {
        Phases { warm_up, measure, drain: Duration::ZERO }
    }

    proptest! {
        #[test]
        fn however_many_connections_share_it_the_whole_is_one_message_each_interval(
            publishers in 1u32..40, connections in 1u32..8, rate in 10u32..5000
        ) {
            let topology = topology(publishers, connections.min(publishers));
            let second = phases(Duration::ZERO, Extent::Time(Duration::from_secs(1)));
            let dues = all(&topology, Arrival::Constant, f64::from(rate), &second);
            prop_assert!(dues.len() as u32 - rate <= 1, "{} messages at {rate}/s", dues.len());
            for (index, due) in dues.iter().enumerate() {
                let exact = index as f64 * 1e9 / f64::from(rate);
                prop_assert!((due.intended as f64 - exact).abs() <= 1.0);
                prop_assert_eq!(u64::from(due.publisher) + due.round * u64::from(publishers), index as u64);
            }
        }

        #[test]
        fn a_phase_in_messages_has_exactly_that_many_measured_messages(
            publishers in 1u32..40, connections in 1u32..8, total in 1u64..5000, poisson in any::<bool>()
        ) {
            let topology = topology(publishers, connections.min(publishers));
            let arrival = if poisson { Arrival::Poisson } else { Arrival::Constant };
            let warm_up = Duration::from_millis(100);
            let dues = all(&topology, arrival, 1000.0, &phases(warm_up, Extent::Messages(total)));
            let measured = dues.iter().filter(|due| due.intended >= 100_000_000).count();
            prop_assert_eq!(measured as u64, total);
        }
    }

    #[test]
    fn poisson_intervals_are_exponential_by_kolmogorov_smirnov() {
        let topology = topology(20, 4);
        let two_seconds = phases(Duration::ZERO, Extent::Time(Duration::from_secs(2)));
        let dues = all(&topology, Arrival::Poisson, 10_000.0, &two_seconds);
        let mut gaps: Vec<f64> =
            dues.windows(2).map(|pair| (pair[1].intended - pair[0].intended) as f64 / 1e5).collect();
        gaps.sort_by(f64::total_cmp);
        let n = gaps.len() as f64;
        let distance = gaps
            .iter()
            .enumerate()
            .map(|(i, gap)| {
                let cdf = 1.0 - (-gap).exp();
                (cdf - i as f64 / n).abs().max((cdf - (i + 1) as f64 / n).abs())
            })
            .fold(0.0, f64::max);
        assert!(distance < 1.63 / n.sqrt(), "KS distance {distance} over {n} gaps is above the 1 % level");
    }

    #[test]
    fn after_ten_billion_messages_the_due_time_is_still_within_three_nanoseconds() {
        let topology = topology(1, 1);
        let limit = Limit { measure_from: 0, until: Nanos::MAX, measured: u64::MAX };
        let mut schedule = Schedule::new(&topology, 0, (Arrival::Constant, 3_000_000.0), limit, 0);
        schedule.turn.round = 10_000_000_000;
        let exact = 10_000_000_000u128 * 1_000_000_000 / 3_000_000;
        assert!(u128::from(schedule.peek().unwrap()).abs_diff(exact) <= 3);
    }
}
