//! Axes with chosen ticks: latencies on a logarithm, percentiles on a log tail, counts on a line.

use std::ops::Range;

use plotters::coord::ranged1d::{KeyPointHint, NoDefaultFormatting, Ranged, ValueFormatter};

use crate::report::humanise;

/// Share of an axis kept at its far end for infinite values.
const ROOM_FOR_INFINITY: f64 = 0.08;
/// Ticks of a percentile axis: share of messages at or below, and its label.
const PERCENTILE_TICKS: [(f64, &str); 8] = [
    (0.0, "0 %"),
    (0.5, "50 %"),
    (0.9, "90 %"),
    (0.99, "99 %"),
    (0.999, "99.9 %"),
    (0.9999, "99.99 %"),
    (0.99999, "99.999 %"),
    (0.999999, "99.9999 %"),
];

/// How a value becomes a place.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Scale {
    Linear,
    Log,
    /// 1 / (1 − q), on a logarithm: every further nine takes as much room as the one before.
    Tail,
}

/// One axis: a range, a scale, and the ticks that are written beside it.
#[derive(Debug, Clone)]
pub(super) struct Axis {
    low: f64,
    high: f64,
    scale: Scale,
    infinity: bool,
    ticks: Vec<(f64, String)>,
}

impl Axis {
    /// From 0 to a little above the largest value, with about `wanted` round ticks.
    pub(super) fn linear(largest: f64, wanted: u32, label: fn(f64) -> String) -> Self {
        let largest = if largest.is_finite() && largest > 0.0 { largest } else { 1.0 };
        let step = round_step(largest / f64::from(wanted.max(1)));
        let high = (largest / step - 1e-9).ceil() * step;
        let ticks =
            (0..=(high / step).round() as u32).map(|i| f64::from(i) * step).map(|v| (v, label(v))).collect();
        Self { low: 0.0, high, scale: Scale::Linear, infinity: false, ticks }
    }

    /// From 0 to exactly `high`: time, where room behind the end would look like silence.
    pub(super) fn seconds(high: f64) -> Self {
        let mut axis = Self::linear(high, 10, |v| format!("{} s", (v * 1e6).round() / 1e6));
        axis.high = if high > 0.0 { high } else { 1.0 };
        axis.ticks.retain(|(value, _)| *value <= axis.high * (1.0 + 1e-9));
        axis
    }

    /// Places 0, 1, 2, … for values that are named, with half a place of room at both ends.
    pub(super) fn places(names: &[String]) -> Self {
        let ticks = names.iter().enumerate().map(|(index, name)| (index as f64, name.clone())).collect();
        let high = names.len().max(1) as f64 - 0.5;
        Self { low: -0.5, high, scale: Scale::Linear, infinity: false, ticks }
    }

    /// Latencies in microseconds on a logarithm that holds all finite values given, with room above for
    /// infinite ones if there are any.
    pub(super) fn latency(values: impl Iterator<Item = f64>) -> Self {
        let (mut low, mut high, mut infinity) = (f64::INFINITY, 0.0f64, false);
        for value in values {
            if value.is_infinite() {
                infinity = true;
            } else if value > 0.0 {
                low = low.min(value);
                high = high.max(value);
            }
        }
        if low > high {
            (low, high) = (1.0, 1_000.0);
        }
        let low = step_below(low);
        let high = step_above(high).max(low * 10.0);
        let mut ticks = log_ticks(low, high);
        if infinity {
            ticks.push((f64::INFINITY, "∞".to_owned()));
        }
        Self { low, high, scale: Scale::Log, infinity, ticks }
    }

    /// Percentiles from 0 to `highest` (a share below 1), every nine as wide as the one before.
    pub(super) fn percentiles(highest: f64) -> Self {
        let high = highest.clamp(0.99, 0.999_999_9);
        let ticks =
            PERCENTILE_TICKS.iter().filter(|(q, _)| *q <= high).map(|(q, l)| (*q, (*l).to_owned())).collect();
        Self { low: 0.0, high, scale: Scale::Tail, infinity: false, ticks }
    }

    /// Number of ticks.
    pub(super) fn tick_count(&self) -> usize {
        self.ticks.len()
    }

    /// Where the axis ends.
    pub(super) fn high(&self) -> f64 {
        self.high
    }

    /// The place of a value, 0 to 1; values outside the range stand at its ends.
    fn place(&self, value: f64) -> f64 {
        let room = if self.infinity { 1.0 - ROOM_FOR_INFINITY } else { 1.0 };
        if value == f64::INFINITY {
            return 1.0 - if self.infinity { ROOM_FOR_INFINITY / 4.0 } else { 0.0 };
        }
        let transform = |v: f64| match self.scale {
            Scale::Linear => v,
            Scale::Log => v.max(f64::MIN_POSITIVE).log10(),
            Scale::Tail => -(1.0 - v).max(1e-12).log10(),
        };
        let (low, high) = (transform(self.low), transform(self.high));
        ((transform(value) - low) / (high - low)).clamp(0.0, 1.0) * room
    }
}

impl Ranged for Axis {
    type FormatOption = NoDefaultFormatting;
    type ValueType = f64;

    fn map(&self, value: &f64, limit: (i32, i32)) -> i32 {
        limit.0 + (self.place(*value) * f64::from(limit.1 - limit.0)).round() as i32
    }

    fn key_points<Hint: KeyPointHint>(&self, hint: Hint) -> Vec<f64> {
        if hint.weight().allow_light_points() {
            return Vec::new();
        }
        self.ticks.iter().map(|(value, _)| *value).collect()
    }

    fn range(&self) -> Range<f64> {
        self.low..self.high
    }
}

impl ValueFormatter<f64> for Axis {
    fn format(value: &f64) -> String {
        humanise::significant(*value)
    }

    fn format_ext(&self, value: &f64) -> String {
        self.ticks.iter().find(|(tick, _)| tick == value).map_or_else(String::new, |(_, label)| label.clone())
    }
}

/// The next of 1, 2, 5 × a power of ten at or above a step.
fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .iter()
        .map(|m| m * power)
        .find(|s| *s >= step * (1.0 - 1e-9))
        .unwrap_or(10.0 * power)
}

/// The largest of 1, 2, 5 × a power of ten at or below a value.
fn step_below(value: f64) -> f64 {
    let power = 10f64.powf(value.log10().floor());
    [5.0, 2.0, 1.0].iter().map(|m| m * power).find(|s| *s <= value * (1.0 + 1e-9)).unwrap_or(power)
}

/// The smallest of 1, 2, 5 × a power of ten at or above a value.
fn step_above(value: f64) -> f64 {
    round_step(value)
}

/// Ticks at 1, 2 and 5 of each decade while that stays readable, else at the decades alone.
fn log_ticks(low: f64, high: f64) -> Vec<(f64, String)> {
    let decades = (high / low).log10();
    let multiples: &[f64] = if decades <= 3.2 { &[1.0, 2.0, 5.0] } else { &[1.0] };
    let (first, last) = (low.log10().floor() as i32, high.log10().ceil() as i32);
    (first..=last)
        .flat_map(|exponent| multiples.iter().map(move |m| m * 10f64.powi(exponent)))
        .filter(|value| (low * 0.999..=high * 1.001).contains(value))
        .map(|value| (value, plain_micros(value)))
        .collect()
}

/// A round latency without trailing zeros: `20 µs`, `1 ms`.
pub(super) fn plain_micros(value: f64) -> String {
    let (scaled, unit) = match value {
        v if v < 1e3 => (v, "µs"),
        v if v < 1e6 => (v / 1e3, "ms"),
        v => (v / 1e6, "s"),
    };
    format!("{} {unit}", (scaled * 1e3).round() / 1e3)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_further_nine_takes_the_same_room() {
        let axis = Axis::percentiles(0.9999);
        let step = axis.place(0.99) - axis.place(0.9);
        assert!((axis.place(0.999) - axis.place(0.99) - step).abs() < 1e-9);
        assert!((axis.place(0.9999) - 1.0).abs() < 1e-9);
        assert_eq!(axis.tick_count(), 6);
    }

    #[test]
    fn a_latency_axis_holds_its_values_and_puts_infinity_above_them() {
        let axis = Axis::latency([37.0, 1_900.0, f64::INFINITY].into_iter());
        assert_eq!((axis.low, axis.high), (20.0, 2_000.0));
        assert!(axis.place(f64::INFINITY) > axis.place(2_000.0));
        assert!(axis.place(2_000.0) < 1.0 - ROOM_FOR_INFINITY / 2.0);
        assert_eq!(axis.format_ext(&f64::INFINITY), "∞");
        assert_eq!(axis.format_ext(&1_000.0), "1 ms");
    }

    #[test]
    fn a_linear_axis_ends_on_a_round_number() {
        let axis = Axis::linear(19_870.0, 4, humanise::rate);
        assert_eq!((axis.high, axis.tick_count()), (20_000.0, 5));
        assert_eq!(Axis::linear(0.0, 4, humanise::rate).high, 1.0);
    }
}
