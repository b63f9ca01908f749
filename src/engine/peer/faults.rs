//! What the peer does to messages, decided by a seed, and the account it keeps of it.

use crate::clock::Nanos;
use crate::prng::Prng;

/// One step of a delay distribution: this share of messages is held back this long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Step {
    /// Share of deliveries, 0 to 1; all steps together at most 1, the rest is not held back.
    pub share: f64,
    /// How long.
    pub delay: Nanos,
}

impl std::str::FromStr for Step {
    type Err = String;

    /// `SHARE:DELAY`, such as `0.01:20ms`.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let wrong = || format!("`{text}` is no step; write SHARE:DELAY, such as 0.01:20ms");
        let (share, delay) = text.split_once(':').ok_or_else(wrong)?;
        let share: f64 = share.parse().ok().filter(|share| (0.0..=1.0).contains(share)).ok_or_else(wrong)?;
        let delay = crate::units::parse_duration(delay).map_err(|error| format!("{}: {error}", wrong()))?;
        Ok(Self { share, delay: delay.as_nanos() as Nanos })
    }
}

/// What happens to deliveries; shares are per delivery, 0 to 1, at most 1 together.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Faults {
    /// Delays.
    pub delays: Vec<Step>,
    /// Share that vanishes.
    pub drop: f64,
    /// Share that comes twice.
    pub duplicate: f64,
    /// Share with a bit of the last byte flipped.
    pub corrupt: f64,
    /// Decides which.
    pub seed: u64,
}

impl Faults {
    /// Whether nothing at all happens to messages.
    #[must_use]
    pub fn none(&self) -> bool {
        self.delays.is_empty() && self.drop == 0.0 && self.duplicate == 0.0 && self.corrupt == 0.0
    }
}

/// What happens to one delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    Whole,
    Dropped,
    Twice,
    Corrupt,
}

/// Decides for one delivery after the other.
#[derive(Debug)]
pub(super) struct Fortune {
    faults: Faults,
    prng: Prng,
}

impl Fortune {
    pub(super) fn new(faults: Faults) -> Self {
        let prng = Prng::new(faults.seed);
        Self { faults, prng }
    }

    /// The fate of the next delivery, and how long it is held back.
    pub(super) fn next(&mut self) -> (Fate, Nanos) {
        let lot = self.prng.unit();
        let Faults { drop, duplicate, corrupt, .. } = self.faults;
        let fate = match lot {
            lot if lot < drop => Fate::Dropped,
            lot if lot < drop + duplicate => Fate::Twice,
            lot if lot < drop + duplicate + corrupt => Fate::Corrupt,
            _ => Fate::Whole,
        };
        let mut lot = self.prng.unit();
        let delayed = self.faults.delays.iter().find(|step| {
            lot -= step.share;
            lot < 0.0
        });
        (fate, delayed.map_or(0, |step| step.delay))
    }
}

/// What was done, in deliveries, and how long each delivery really took inside the peer.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Stats {
    /// Messages published.
    pub published: u64,
    /// Deliveries asked for (messages × subscribers).
    pub expected: u64,
    /// Deliveries that vanished.
    pub dropped: u64,
    /// Deliveries made twice.
    pub duplicated: u64,
    /// Deliveries with a flipped bit.
    pub corrupted: u64,
    /// Microseconds from socket read to socket write, of first and whole deliveries, in no order; at most
    /// [`Stats::SAMPLES_MAX`] of them.
    pub held_us: Vec<u32>,
}

impl Stats {
    /// Samples that are kept; 4 bytes each.
    pub const SAMPLES_MAX: usize = 1 << 20;

    pub(super) fn held(&mut self, nanos: Nanos) {
        if self.held_us.len() < Self::SAMPLES_MAX {
            self.held_us.push(u32::try_from(nanos / 1000).unwrap_or(u32::MAX));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fates_and_delays_have_their_shares() {
        let faults = Faults {
            delays: vec![Step { share: 0.1, delay: 5 }, Step { share: 0.2, delay: 9 }],
            drop: 0.1,
            duplicate: 0.2,
            corrupt: 0.3,
            seed: 4,
        };
        let mut fortune = Fortune::new(faults);
        let n = 100_000;
        let all: Vec<(Fate, Nanos)> = (0..n).map(|_| fortune.next()).collect();
        let share = |wanted: &dyn Fn(&(Fate, Nanos)) -> bool| {
            all.iter().filter(|one| wanted(one)).count() as f64 / f64::from(n)
        };
        for (measured, asked) in [
            (share(&|one| one.0 == Fate::Dropped), 0.1),
            (share(&|one| one.0 == Fate::Twice), 0.2),
            (share(&|one| one.0 == Fate::Corrupt), 0.3),
            (share(&|one| one.1 == 5), 0.1),
            (share(&|one| one.1 == 9), 0.2),
        ] {
            assert!((measured - asked).abs() < 0.01, "{measured} instead of {asked}");
        }
    }

    #[test]
    fn a_step_reads_as_written_and_says_what_is_wrong() {
        assert_eq!("0.01:20ms".parse(), Ok(Step { share: 0.01, delay: 20_000_000 }));
        for wrong in ["", "1", "2:1ms", "0.1:", "x:1ms"] {
            assert!(wrong.parse::<Step>().unwrap_err().contains("SHARE:DELAY"), "{wrong}");
        }
    }
}
