//! A rate over time, and back: how many messages are asked for by a time, and when the n-th is due.
//!
//! The rate is a chain of straight pieces, so that messages asked for are a chain of parabolas and the time of
//! the n-th is a square root: pure arithmetic on the index, as with a constant rate. A sine is drawn by
//! [`PIECES_PER_PERIOD`] straight pieces, which lie within 0.0012 × amplitude of it and ask for as many messages
//! over a period.

use std::sync::Arc;
use std::time::Duration;

use crate::clock::Nanos;
use crate::scenario::{Extent, Phases, Rate, Shape, Workload};

/// Straight pieces that a period of a sine is drawn by.
pub const PIECES_PER_PERIOD: u32 = 64;

/// From `from` on (seconds since the start of the trial), until the next piece begins.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Piece {
    from: f64,
    /// Messages per second at its beginning.
    rate: f64,
    /// Change of the rate, messages per second².
    slope: f64,
    /// Messages asked for before it.
    before: f64,
}

/// A rate that changes over time. Cheap to clone.
#[derive(Debug, Clone, PartialEq)]
pub struct Curve(Arc<[Piece]>);

impl Curve {
    /// The rate of a workload with a shape; `None` for a constant one, and at rate max.
    #[must_use]
    pub fn of(workload: &Workload, phases: &Phases) -> Option<Self> {
        let Rate::PerSecond(rate) = workload.rate else { return None };
        let length = match phases.measure {
            Extent::Time(time) => time.as_secs_f64(),
            Extent::Messages(_) => 0.0,
        };
        let corners = corners(&workload.shape, rate, length)?;
        Some(Self::through(&corners, phases.warm_up.as_secs_f64()))
    }

    /// A rate through corners (second since the start of the measured phase, rate there, rate from there on);
    /// straight between them, the first rate before them and the last one after them.
    fn through(corners: &[(f64, f64, f64)], warm_up: f64) -> Self {
        let first = corners.first().map_or(0.0, |(_, _, rate)| *rate);
        let mut pieces = vec![Piece { from: 0.0, rate: first, slope: 0.0, before: 0.0 }];
        for (index, (second, _, rate)) in corners.iter().enumerate() {
            let from = warm_up + second;
            let slope = match corners.get(index + 1) {
                Some((next, arrives, _)) if next > second => (arrives - rate) / (next - second),
                _ => 0.0,
            };
            let last = pieces[pieces.len() - 1];
            let before = last.before + last.messages(from - last.from);
            pieces.push(Piece { from, rate: *rate, slope, before });
        }
        Self(pieces.into())
    }

    /// Messages asked for in the first `seconds` of the trial, all publishers together.
    #[must_use]
    pub fn messages_by(&self, seconds: f64) -> f64 {
        let index = self.0.partition_point(|piece| piece.from <= seconds).max(1) - 1;
        let piece = self.0[index];
        piece.before + piece.messages((seconds - piece.from).max(0.0))
    }

    /// When message `index` (which need not be whole) is due, in nanoseconds since the start of the trial;
    /// [`Nanos::MAX`] if never.
    #[must_use]
    pub fn due(&self, index: f64) -> Nanos {
        let place = self.0.partition_point(|piece| piece.before <= index).max(1) - 1;
        let piece = self.0[place];
        let left = index - piece.before;
        if left <= 0.0 && piece.rate + piece.slope > 0.0 {
            return (piece.from * 1e9) as Nanos;
        }
        // rate × t + slope × t² / 2 = left, in the form that loses no digits where the slope is small.
        let root = (piece.rate * piece.rate + 2.0 * piece.slope * left).max(0.0).sqrt();
        let seconds = 2.0 * left / (piece.rate + root);
        if seconds.is_finite() { ((piece.from + seconds) * 1e9) as Nanos } else { Nanos::MAX }
    }

    /// Messages per second over a part of the trial, in seconds since its start.
    #[must_use]
    pub fn mean(&self, from: f64, to: f64) -> f64 {
        if to > from { (self.messages_by(to) - self.messages_by(from)) / (to - from) } else { 0.0 }
    }
}

impl Piece {
    /// Messages in its first `seconds`.
    fn messages(&self, seconds: f64) -> f64 {
        seconds * (self.rate + self.slope * seconds / 2.0)
    }
}

/// The corners of a shape: second since the start of the measured phase, the rate that the line before arrives
/// at, and the one that the line behind starts from.
fn corners(shape: &Shape, rate: f64, length: f64) -> Option<Vec<(f64, f64, f64)>> {
    let jump = |second: f64, before: f64, after: f64| (second, rate * before, rate * after);
    let at = |span: &Duration| span.as_secs_f64();
    Some(match shape {
        Shape::Flat | Shape::Csv(_) => return None,
        Shape::Steps { factors, every } => {
            let step = |(index, factor): (usize, &f64)| {
                jump(index as f64 * at(every), factors[index.saturating_sub(1)], *factor)
            };
            factors.iter().enumerate().map(step).collect()
        }
        Shape::Ramp { to, after, over } => {
            vec![jump(0.0, 1.0, 1.0), jump(at(after), 1.0, 1.0), jump(at(after) + at(over), *to, *to)]
        }
        Shape::Spike { factor, after, over } => {
            vec![jump(0.0, 1.0, 1.0), jump(at(after), 1.0, *factor), jump(at(after) + at(over), *factor, 1.0)]
        }
        Shape::Sine { amplitude, period } => {
            let step = at(period) / f64::from(PIECES_PER_PERIOD);
            let corners = (length / step).ceil() as u64 + 1;
            let factor = |index: u64| {
                let turn = index as f64 / f64::from(PIECES_PER_PERIOD);
                1.0 + amplitude * (std::f64::consts::TAU * turn).sin()
            };
            (0..=corners).map(|index| jump(index as f64 * step, factor(index), factor(index))).collect()
        }
        Shape::Replay(rows) => {
            let before = |index: usize| rows[index.saturating_sub(1)].1;
            rows.iter().enumerate().map(|(index, (second, rate))| (*second, before(index), *rate)).collect()
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RATE: f64 = 1000.0;

    fn curve(shape: &Shape, warm_up: f64, length: f64) -> Curve {
        Curve::through(&corners(shape, RATE, length).unwrap(), warm_up)
    }

    fn seconds(s: f64) -> Duration {
        Duration::from_secs_f64(s)
    }

    #[test]
    fn steps_hold_each_factor_for_its_time_and_the_last_one_for_good() {
        let steps = curve(&Shape::Steps { factors: vec![1.0, 0.0, 3.0], every: seconds(2.0) }, 1.0, 10.0);
        // Warm-up at the first factor, then 2 s at 1, 2 s of silence, then 3 for ever.
        for (at, messages) in [(1.0, 1000.0), (3.0, 3000.0), (5.0, 3000.0), (6.0, 6000.0), (10.0, 18_000.0)] {
            assert!((steps.messages_by(at) - messages).abs() < 1e-6, "{at} s: {}", steps.messages_by(at));
        }
        assert_eq!(steps.due(3000.0), 5_000_000_000, "the message behind the silence comes with its end");
        assert_eq!(steps.due(1500.0), 1_500_000_000);
        assert_eq!(steps.mean(5.0, 6.0).round(), 3000.0);
    }

    #[test]
    fn a_ramp_asks_for_the_area_below_it() {
        let ramp = curve(&Shape::Ramp { to: 3.0, after: seconds(1.0), over: seconds(4.0) }, 0.0, 10.0);
        assert!((ramp.messages_by(1.0) - 1000.0).abs() < 1e-6);
        assert!((ramp.messages_by(5.0) - 9000.0).abs() < 1e-6, "{}", ramp.messages_by(5.0));
        assert!((ramp.messages_by(6.0) - 12_000.0).abs() < 1e-6);
        assert_eq!(ramp.due(9000.0), 5_000_000_000);
    }

    #[test]
    fn a_spike_multiplies_the_rate_for_its_time_only() {
        let spike = curve(&Shape::Spike { factor: 10.0, after: seconds(2.0), over: seconds(0.5) }, 0.0, 10.0);
        for (from, to, rate) in [(0.0, 2.0, 1.0), (2.0, 2.5, 10.0), (2.5, 9.0, 1.0)] {
            assert!(
                (spike.mean(from, to) / RATE - rate).abs() < 1e-9,
                "{from}–{to}: {}",
                spike.mean(from, to)
            );
        }
    }

    #[test]
    fn a_sine_is_within_an_eighth_of_a_percent_of_the_true_one_everywhere() {
        let sine = curve(&Shape::Sine { amplitude: 0.8, period: seconds(2.0) }, 0.0, 10.0);
        let truth = |t: f64| {
            RATE * (t + 0.8 * 2.0 / std::f64::consts::TAU * (1.0 - (std::f64::consts::PI * t).cos()))
        };
        for i in 0..1000 {
            let (from, to) = (f64::from(i) * 0.01, f64::from(i) * 0.01 + 0.01);
            let rate = (truth(to) - truth(from)) / 0.01;
            assert!((sine.mean(from, to) - rate).abs() < 0.00125 * 0.8 * RATE, "at {from} s");
        }
        assert!((sine.messages_by(10.0) - 10.0 * RATE).abs() < 1e-6, "whole periods ask for the plain rate");
    }

    #[test]
    fn a_replay_has_rates_of_its_own_and_silence_at_the_end_is_for_ever() {
        let replay = curve(&Shape::Replay(vec![(0.0, 10.0), (2.0, 100.0), (3.0, 0.0)]), 1.0, 10.0);
        assert!((replay.messages_by(4.0) - 130.0).abs() < 1e-9);
        assert_eq!(replay.due(129.0), 3_990_000_000);
        assert_eq!(replay.due(131.0), Nanos::MAX);
    }

    proptest! {
        #[test]
        fn the_time_of_a_message_is_when_so_many_were_asked_for(
            factors in proptest::collection::vec(0.0..5.0f64, 1..6), every in 0.1..3.0f64,
            to in 0.0..4.0f64, index in 0.0..20_000.0f64
        ) {
            for shape in [
                Shape::Steps { factors: factors.clone(), every: seconds(every) },
                Shape::Ramp { to, after: seconds(every), over: seconds(every) },
                Shape::Sine { amplitude: to / 4.0, period: seconds(every) },
            ] {
                let curve = curve(&shape, 0.5, 20.0);
                let due = curve.due(index);
                if due < 60_000_000_000 {
                    let asked = curve.messages_by(due as f64 / 1e9);
                    prop_assert!((asked - index).abs() < 0.01, "{shape:?}: {asked} by the time of {index}");
                    prop_assert!(curve.due(index + 1.0) >= due);
                }
            }
        }
    }
}
