//! Which topic a message goes to and how large it is: functions of the seed, its publisher and its number, so
//! that a message that had to wait is the same one later, and a seed repeats the traffic.

use crate::prng::{Prng, mix};
use crate::scenario::{LaneId, PayloadSize, TopicChoice, TopicId, Topology};

/// A lognormal size that falls outside its limits is drawn again, this often at most; then it is the median.
const REDRAWS: u32 = 64;

/// Randomness of one message; `what` keeps different questions about it apart.
fn of_message(seed: u64, what: u64, publisher: u32, round: u64) -> Prng {
    Prng::new(mix(seed ^ mix(what << 56 | u64::from(publisher) << 40 ^ round)))
}

/// Shares in one running sum, to be picked from.
#[derive(Debug, Clone)]
struct Weights(Vec<f64>);

impl Weights {
    fn of(weights: impl Iterator<Item = f64>) -> Self {
        let mut sum = 0.0;
        Self(
            weights
                .map(|weight| {
                    sum += weight;
                    sum
                })
                .collect(),
        )
    }

    fn pick(&self, prng: &mut Prng) -> usize {
        let total = self.0.last().copied().unwrap_or(0.0);
        let point = prng.unit() * total;
        self.0.partition_point(|sum| *sum <= point).min(self.0.len().saturating_sub(1))
    }
}

/// The lane of every message.
#[derive(Debug, Clone)]
pub struct Lanes {
    seed: u64,
    weights: Option<Weights>,
}

impl Lanes {
    /// By a choice among `topics`.
    #[must_use]
    pub fn new(choice: TopicChoice, topics: u32, seed: u64) -> Self {
        let exponent = match choice {
            TopicChoice::RoundRobin => return Self { seed, weights: None },
            TopicChoice::Uniform => 0.0,
            TopicChoice::Zipf(exponent) => exponent,
        };
        let weights = Weights::of((1..=topics).map(|rank| f64::from(rank).powf(-exponent)));
        Self { seed, weights: Some(weights) }
    }

    /// The lane of message `round` of a publisher.
    #[inline]
    #[must_use]
    pub fn lane(&self, topology: &Topology, publisher: u32, round: u64) -> LaneId {
        let Some(weights) = &self.weights else { return topology.lane_of_round(publisher, round) };
        let topic = weights.pick(&mut of_message(self.seed, 1, publisher, round)) as u32;
        topology.lane(publisher, TopicId(topic)).unwrap_or(LaneId(publisher))
    }

    /// The share of all messages that the busiest lane carries.
    #[must_use]
    pub fn busiest(choice: TopicChoice, topology: &Topology) -> f64 {
        let exponent = match choice {
            TopicChoice::RoundRobin => return 1.0 / f64::from(topology.lanes()),
            TopicChoice::Uniform => 0.0,
            TopicChoice::Zipf(exponent) => exponent,
        };
        let sum: f64 = (1..=topology.topics).map(|rank| f64::from(rank).powf(-exponent)).sum();
        1.0 / sum / f64::from(topology.publishers)
    }
}

/// The size of every message.
#[derive(Debug, Clone)]
pub struct Sizes {
    seed: u64,
    payload: PayloadSize,
    weights: Weights,
}

impl Sizes {
    /// By a distribution.
    #[must_use]
    pub fn new(payload: &PayloadSize, seed: u64) -> Self {
        let weights = match payload {
            PayloadSize::Weighted(sizes) => Weights::of(sizes.iter().map(|(_, weight)| *weight)),
            PayloadSize::Fixed(_) | PayloadSize::Range(..) | PayloadSize::Lognormal { .. } => {
                Weights(Vec::new())
            }
        };
        Self { seed, payload: payload.clone(), weights }
    }

    /// The size of message `round` of a publisher, in bytes.
    #[inline]
    #[must_use]
    pub fn size(&self, publisher: u32, round: u64) -> usize {
        let mut prng = match self.payload {
            PayloadSize::Fixed(bytes) => return bytes,
            _ => of_message(self.seed, 2, publisher, round),
        };
        match &self.payload {
            PayloadSize::Fixed(bytes) => *bytes,
            PayloadSize::Weighted(sizes) => sizes[self.weights.pick(&mut prng)].0,
            PayloadSize::Range(from, to) => from + prng.below((to - from) as u64 + 1) as usize,
            PayloadSize::Lognormal { median, sigma, min, max } => {
                let draw = |_| (*median as f64 * (sigma * prng.normal()).exp()).round() as usize;
                (0..REDRAWS).map(draw).find(|size| (min..=max).contains(&size)).unwrap_or(*median)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Delivery, Subscribe};

    const N: u64 = 100_000;

    fn topology(publishers: u32, topics: u32) -> Topology {
        Topology {
            publishers,
            publisher_connections: 1,
            subscribers: 0,
            subscriber_connections: 0,
            topics,
            subscribe: Subscribe::All,
            every_lane: true,
            delivery: Delivery::FanOut,
            payload_max: 16,
            prefix: "t".into(),
            ..Topology::default()
        }
    }

    /// Pearson's χ² of counts against expected shares.
    fn chi_square(counts: &[u64], shares: &[f64]) -> f64 {
        let total = counts.iter().sum::<u64>() as f64;
        counts
            .iter()
            .zip(shares)
            .map(|(count, share)| (*count as f64 - share * total).powi(2) / (share * total))
            .sum()
    }

    /// The 99.9 % quantile of χ² by Wilson and Hilferty's cube ("The distribution of chi-square", 1931).
    fn limit(freedom: usize) -> f64 {
        let k = freedom as f64;
        k * (1.0 - 2.0 / (9.0 * k) + 3.09 * (2.0 / (9.0 * k)).sqrt()).powi(3)
    }

    fn topics_drawn(choice: TopicChoice, topics: u32) -> Vec<u64> {
        let topology = topology(3, topics);
        let lanes = Lanes::new(choice, topics, 11);
        let mut counts = vec![0; topics as usize];
        for round in 0..N {
            let publisher = (round % 3) as u32;
            let lane = lanes.lane(&topology, publisher, round / 3);
            assert_eq!(topology.publisher_of(lane), publisher);
            counts[topology.topic_of(lane).0 as usize] += 1;
        }
        counts
    }

    #[test]
    fn zipf_and_uniform_topics_follow_their_distribution_by_chi_square() {
        for (choice, exponent) in
            [(TopicChoice::Uniform, 0.0), (TopicChoice::Zipf(1.0), 1.0), (TopicChoice::Zipf(1.4), 1.4)]
        {
            let weights: Vec<f64> = (1..=40).map(|rank| f64::from(rank).powf(-exponent)).collect();
            let sum: f64 = weights.iter().sum();
            let shares: Vec<f64> = weights.iter().map(|weight| weight / sum).collect();
            let statistic = chi_square(&topics_drawn(choice, 40), &shares);
            assert!(statistic < limit(39), "{choice:?}: {statistic} is above {}", limit(39));
            let other: Vec<f64> = (0..40).map(|k| if k == 0 { shares[0] * 0.9 } else { shares[k] }).collect();
            let wrong = chi_square(&topics_drawn(choice, 40), &other);
            assert!(exponent == 0.0 || wrong > limit(39), "the test can fail: {wrong}");
            assert!((Lanes::busiest(choice, &topology(3, 40)) * 3.0 - shares[0]).abs() < 1e-12);
        }
    }

    fn sizes(payload: &PayloadSize) -> Vec<usize> {
        let sizes = Sizes::new(payload, 5);
        (0..N).map(|round| sizes.size((round % 7) as u32, round / 7)).collect()
    }

    /// The largest distance between the sizes drawn and a distribution function (Kolmogorov–Smirnov).
    fn distance(mut sizes: Vec<usize>, cdf: impl Fn(f64) -> f64) -> f64 {
        sizes.sort_unstable();
        let n = sizes.len() as f64;
        let mut worst: f64 = 0.0;
        let mut from = 0;
        while from < sizes.len() {
            let to = from + sizes[from..].partition_point(|size| *size == sizes[from]);
            // Sizes are whole: all between half a byte below and half a byte above round to this one.
            let size = sizes[from] as f64;
            worst = worst.max((cdf(size - 0.5) - from as f64 / n).abs());
            worst = worst.max((cdf(size + 0.5) - to as f64 / n).abs());
            from = to;
        }
        worst
    }

    /// The 1 % level of the Kolmogorov–Smirnov distance.
    fn ks_limit() -> f64 {
        1.63 / (N as f64).sqrt()
    }

    /// Distribution function of the standard normal (Abramowitz and Stegun 7.1.26, error below 1.5e-7).
    fn normal_cdf(x: f64) -> f64 {
        let t = 1.0 / (1.0 + 0.327_591_1 * (x.abs() / std::f64::consts::SQRT_2));
        let poly = ((((1.061_405_429 * t - 1.453_152_027) * t + 1.421_413_741) * t - 0.284_496_736) * t
            + 0.254_829_592)
            * t;
        let erf = 1.0 - poly * (-x * x / 2.0).exp();
        if x >= 0.0 { f64::midpoint(1.0, erf) } else { (1.0 - erf) / 2.0 }
    }

    #[test]
    fn lognormal_sizes_between_their_limits_follow_their_distribution_by_kolmogorov_smirnov() {
        let (median, sigma, min, max) = (1000, 0.8, 200, 8000);
        let drawn = sizes(&PayloadSize::Lognormal { median, sigma, min, max });
        assert!(drawn.iter().all(|size| (min..=max).contains(size)), "a limit was passed");
        let plain = |size: f64| normal_cdf((size.max(1e-9) / median as f64).ln() / sigma);
        let (low, high) = (plain(min as f64 - 0.5), plain(max as f64 + 0.5));
        let truncated = |size: f64| ((plain(size) - low) / (high - low)).clamp(0.0, 1.0);
        let found = distance(drawn.clone(), truncated);
        assert!(found < ks_limit(), "distance {found} is above {}", ks_limit());
        assert!(distance(drawn, |size| plain(size * 0.95)) > ks_limit(), "the test can fail");
    }

    #[test]
    fn a_range_has_every_size_and_all_alike() {
        let drawn = sizes(&PayloadSize::Range(100, 199));
        let mut counts = vec![0; 100];
        drawn.iter().for_each(|size| counts[size - 100] += 1);
        let statistic = chi_square(&counts, &[0.01; 100]);
        assert!(statistic < limit(99), "{statistic} is above {}", limit(99));
    }

    #[test]
    fn weighted_sizes_come_as_often_as_they_weigh_and_a_message_keeps_its_size() {
        let payload = PayloadSize::Weighted(vec![(64, 7.0), (1024, 2.0), (65_536, 1.0)]);
        let drawn = sizes(&payload);
        let counts: Vec<u64> = [64, 1024, 65_536]
            .iter()
            .map(|size| drawn.iter().filter(|one| *one == size).count() as u64)
            .collect();
        assert_eq!(counts.iter().sum::<u64>(), N);
        let statistic = chi_square(&counts, &[0.7, 0.2, 0.1]);
        assert!(statistic < limit(2), "{counts:?}: {statistic}");
        assert_eq!(sizes(&payload), drawn, "a seed repeats the sizes");
    }
}
