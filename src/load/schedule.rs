//! When each message of one publishing connection is meant to go.
//!
//! Message i of all publishers together (publisher i mod P) is due when i messages have been asked for since the
//! start of the trial (`i / rate` at a constant rate): arithmetic on the index, never on the clock, so a late
//! generator or a slow broker moves no intended time (Tene, "How NOT to Measure Latency"; wrk2). A connection
//! carries the messages of its own publishers only. Poisson arrivals are drawn per connection at its share of the
//! rate; the superposition of independent Poisson processes is the Poisson process of the whole, and with a rate
//! that changes it is one in the time that counts messages asked for. In bursts of n, message i is due with
//! message ⌊i / n⌋ × n.

use super::curve::Curve;
use crate::clock::Nanos;
use crate::prng::Prng;
use crate::scenario::{Arrival, Extent, Phases, Rate, Topology, Workload};

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
    places: Places,
    times: Times,
    limit: Limit,
    turn: Turn,
    measured: u64,
    /// When the next message is due.
    next: Nanos,
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

/// Messages asked for, as a function of time and back.
#[derive(Debug, Clone)]
pub enum Pace {
    /// So many a second.
    Constant(f64),
    /// A rate that changes.
    Changing(Curve),
}

impl Pace {
    /// The pace of a workload; `None` at rate max.
    #[must_use]
    pub fn of(workload: &Workload, phases: &Phases) -> Option<Self> {
        let Rate::PerSecond(rate) = workload.rate else { return None };
        Some(Curve::of(workload, phases).map_or(Self::Constant(rate), Self::Changing))
    }

    /// Messages per second over a part of the trial, in seconds since its start.
    #[must_use]
    pub fn mean(&self, from: f64, to: f64) -> f64 {
        match self {
            Self::Constant(rate) => *rate,
            Self::Changing(curve) => curve.mean(from, to),
        }
    }
}

/// Place of a message among all publishers' together, as the arrival puts it there.
#[derive(Debug, Clone)]
enum Places {
    /// Its index.
    Even,
    /// The index of the first of its burst.
    Burst(u64),
    /// Drawn: the place of the next message, and the mean step of this connection.
    Poisson { prng: Prng, mean: f64, at: f64 },
}

#[derive(Debug, Clone)]
enum Times {
    /// Fixed-point nanoseconds × 2^32 between messages of all publishers together, and the same for places
    /// that are not whole.
    Constant {
        interval: u128,
        nanos: f64,
    },
    Changing(Curve),
}

/// Fraction bits of the fixed-point interval: rounding it moves message 10^10 by at most 2.4 ns.
const FRACTION: u32 = 32;

impl Schedule {
    /// The schedule of `connection` at a pace of all publishers together.
    #[must_use]
    pub fn new(
        topology: &Topology,
        connection: u32,
        (arrival, pace): (Arrival, &Pace),
        limit: Limit,
        seed: u64,
    ) -> Self {
        let places = match arrival {
            Arrival::Constant => Places::Even,
            Arrival::Burst(messages) => Places::Burst(u64::from(messages.max(1))),
            Arrival::Poisson => {
                let own = topology.publishers_on(connection).count() as f64;
                let mean = f64::from(topology.publishers) / own;
                let mut prng = Prng::split(seed, u64::from(connection));
                let at = prng.exponential() * mean;
                Places::Poisson { prng, mean, at }
            }
        };
        let times = match pace {
            Pace::Constant(per_second) => Times::Constant {
                interval: (1e9 * 2f64.powi(FRACTION as i32) / per_second) as u128,
                nanos: 1e9 / per_second,
            },
            Pace::Changing(curve) => Times::Changing(curve.clone()),
        };
        let turn = Turn::new(topology, connection);
        let mut schedule = Self { places, times, limit, turn, measured: 0, next: 0 };
        schedule.next = schedule.due();
        schedule
    }

    /// When the message whose turn it is is due.
    fn due(&self) -> Nanos {
        let index =
            u128::from(self.turn.round) * u128::from(self.turn.publishers) + u128::from(self.turn.publisher);
        let whole = match &self.places {
            Places::Even => index,
            Places::Burst(messages) => index - index % u128::from(*messages),
            Places::Poisson { at, .. } => {
                return match &self.times {
                    Times::Constant { nanos, .. } => (at * nanos) as Nanos,
                    Times::Changing(curve) => curve.due(*at),
                };
            }
        };
        match &self.times {
            Times::Constant { interval, .. } => ((whole * interval) >> FRACTION) as Nanos,
            Times::Changing(curve) => curve.due(whole as f64),
        }
    }

    /// Intended time of the next message; `None` at the end.
    #[must_use]
    #[inline]
    pub fn peek(&self) -> Option<Nanos> {
        let intended = self.next;
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
        if let Places::Poisson { prng, mean, at } = &mut self.places {
            *at += prng.exponential() * *mean;
        }
        self.next = self.due();
        Some(due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Delivery, Shape, Subscribe};
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
            ..Topology::default()
        }
    }

    fn all(topology: &Topology, arrival: Arrival, rate: f64, phases: &Phases) -> Vec<Due> {
        all_of(topology, (arrival, &Pace::Constant(rate)), phases)
    }

    fn all_of(topology: &Topology, load: (Arrival, &Pace), phases: &Phases) -> Vec<Due> {
        let mut dues: Vec<Due> = (0..topology.publisher_connections)
            .flat_map(|connection| {
                let limit = Limit::of(phases, topology, connection);
                let mut schedule = Schedule::new(topology, connection, load, limit, 7);
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
        let gaps = dues.windows(2).map(|pair| (pair[1].intended - pair[0].intended) as f64 / 1e5);
        assert_exponential(gaps.collect());
    }

    /// Kolmogorov–Smirnov against the exponential distribution with mean 1, at the 1 % level.
    fn assert_exponential(mut gaps: Vec<f64>) {
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

    /// A workload of 5,000 messages a second with a shape, and the pace of its first four seconds.
    fn shaped(shape: Shape) -> (Pace, Phases) {
        let text =
            "name = \"x\"\nworkload.rate = \"5k/s\"\n[[target]]\nname = \"a\"\ndriver = \"loopback\"\n";
        let mut scenario = crate::scenario::Scenario::parse(text, "test", &[]).unwrap();
        scenario.workload.shape = shape;
        let phases = phases(Duration::from_millis(500), Extent::Time(Duration::from_secs(4)));
        (Pace::of(&scenario.workload, &phases).unwrap(), phases)
    }

    fn shapes() -> [Shape; 4] {
        let second = Duration::from_secs(1);
        [
            Shape::Sine { amplitude: 0.9, period: second },
            Shape::Spike { factor: 10.0, after: second, over: second / 2 },
            Shape::Ramp { to: 4.0, after: second, over: second * 2 },
            Shape::Steps { factors: vec![1.0, 3.0, 0.5], every: second },
        ]
    }

    #[test]
    fn poisson_arrivals_of_every_shape_are_exponential_in_messages_asked_for() {
        for shape in shapes() {
            let (pace, phases) = shaped(shape.clone());
            let Pace::Changing(curve) = &pace else { panic!("{shape:?} is constant") };
            let dues = all_of(&topology(20, 4), (Arrival::Poisson, &pace), &phases);
            let asked: Vec<f64> =
                dues.iter().map(|due| curve.messages_by(due.intended as f64 / 1e9)).collect();
            assert!(asked.len() > 15_000, "{shape:?}: {}", asked.len());
            assert_exponential(asked.windows(2).map(|pair| pair[1] - pair[0]).collect());
        }
    }

    #[test]
    fn even_arrivals_of_every_shape_are_one_message_each_time_one_more_is_asked_for() {
        for shape in shapes() {
            let (pace, phases) = shaped(shape.clone());
            let Pace::Changing(curve) = &pace else { panic!("{shape:?} is constant") };
            let dues = all_of(&topology(7, 3), (Arrival::Constant, &pace), &phases);
            assert!((dues.len() as f64 - curve.messages_by(4.5)).abs() <= 1.0, "{shape:?}");
            for (index, due) in dues.iter().enumerate() {
                let asked = curve.messages_by(due.intended as f64 / 1e9);
                assert!((asked - index as f64).abs() < 0.01, "{shape:?}: {asked} at message {index}");
            }
        }
    }

    #[test]
    fn bursts_come_whole_and_keep_the_mean_rate() {
        let second = phases(Duration::ZERO, Extent::Time(Duration::from_secs(1)));
        let dues = all(&topology(7, 3), Arrival::Burst(50), 1000.0, &second);
        assert_eq!(dues.len(), 1000);
        for (index, due) in dues.iter().enumerate() {
            let exact = (index / 50) as f64 * 50e6;
            assert!((due.intended as f64 - exact).abs() <= 1.0, "message {index} at {}", due.intended);
        }
    }

    #[test]
    fn after_ten_billion_messages_the_due_time_is_still_within_three_nanoseconds() {
        let topology = topology(1, 1);
        let limit = Limit { measure_from: 0, until: Nanos::MAX, measured: u64::MAX };
        let mut schedule =
            Schedule::new(&topology, 0, (Arrival::Constant, &Pace::Constant(3_000_000.0)), limit, 0);
        schedule.turn.round = 10_000_000_000;
        schedule.next = schedule.due();
        let exact = 10_000_000_000u128 * 1_000_000_000 / 3_000_000;
        assert!(u128::from(schedule.peek().unwrap()).abs_diff(exact) <= 3);
    }
}
