//! What real traffic looks like: a rate that changes, sizes that differ, topics that are not equally popular.
//! Plain data with the few sums that validation needs; `load` turns it into times, sizes and topics.

use std::path::PathBuf;
use std::time::Duration;

/// How the rate changes over the measured phase. Before it, the rate is that of its first moment; where a shape
/// has ended, its last rate holds.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Shape {
    /// It doesn't.
    #[default]
    Flat,
    /// One factor after the other.
    Steps {
        /// Factors of the rate; 0 is silence.
        factors: Vec<f64>,
        /// How long each holds.
        every: Duration,
    },
    /// A straight line from factor 1 to another.
    Ramp {
        /// The factor at its end.
        to: f64,
        /// When it begins, since the start of the measured phase.
        after: Duration,
        /// How long it takes.
        over: Duration,
    },
    /// Another factor for a while.
    Spike {
        /// The factor.
        factor: f64,
        /// When it begins, since the start of the measured phase.
        after: Duration,
        /// How long it lasts.
        over: Duration,
    },
    /// Up and down around factor 1.
    Sine {
        /// Largest distance from 1, at most 1.
        amplitude: f64,
        /// Time from one peak to the next.
        period: Duration,
    },
    /// Rates of their own, which take the place of the scenario's: second since the start of the measured phase,
    /// messages per second from then on.
    Replay(Vec<(f64, f64)>),
    /// The same from a CSV file of `second,rate`; a scenario that was loaded from a file has none.
    Csv(PathBuf),
}

impl Shape {
    /// The highest rate it asks for, given the scenario's.
    #[must_use]
    pub fn peak(&self, rate: f64) -> f64 {
        match self {
            Self::Flat | Self::Csv(_) => rate,
            Self::Steps { factors, .. } => rate * factors.iter().copied().fold(0.0, f64::max),
            Self::Ramp { to: factor, .. } | Self::Spike { factor, .. } => rate * factor.max(1.0),
            Self::Sine { amplitude, .. } => rate * (1.0 + amplitude),
            Self::Replay(rows) => rows.iter().map(|(_, rate)| *rate).fold(0.0, f64::max),
        }
    }

    /// Rows of a CSV text: `second,rate`, with or without a heading, seconds ascending from 0.
    ///
    /// # Errors
    /// Which line is wrong, and what is allowed.
    pub fn rows(text: &str) -> Result<Vec<(f64, f64)>, String> {
        let mut rows = Vec::new();
        for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            let numbers: Vec<f64> = line.split(',').filter_map(|cell| cell.trim().parse().ok()).collect();
            match numbers[..] {
                [second, rate] => rows.push((second, rate)),
                _ if index == 0 => {}
                _ => return Err(format!("line {} is `{line}`; allowed is second,rate", index + 1)),
            }
        }
        replay_is_right(&rows).map_err(str::to_owned)?;
        Ok(rows)
    }
}

/// Whether rows are a replay: from second 0 on, ascending, no negative rate, not silent throughout.
pub(super) fn replay_is_right(rows: &[(f64, f64)]) -> Result<(), &'static str> {
    let ascending = rows.windows(2).all(|pair| pair[0].0 < pair[1].0);
    if rows.first().is_none_or(|(second, _)| *second != 0.0) || !ascending {
        return Err("seconds have to begin with 0 and to ascend");
    }
    let finite = rows.iter().all(|(second, rate)| second.is_finite() && (0.0..=1e9).contains(rate));
    if !finite || rows.iter().all(|(_, rate)| *rate == 0.0) {
        return Err("rates have to be 0 to 1e9 messages per second, and not all of them 0");
    }
    Ok(())
}

/// Bytes per message.
#[derive(Debug, Clone, PartialEq)]
pub enum PayloadSize {
    /// Every message has this many bytes.
    Fixed(usize),
    /// Sizes with their weights.
    Weighted(Vec<(usize, f64)>),
    /// Any size from the first to the second, all equally likely.
    Range(usize, usize),
    /// Lognormally distributed between two limits: what falls outside is drawn again.
    Lognormal {
        /// Median before the limits, bytes.
        median: usize,
        /// Standard deviation of the logarithm.
        sigma: f64,
        /// Smallest.
        min: usize,
        /// Largest.
        max: usize,
    },
}

impl PayloadSize {
    /// The largest message, in bytes.
    #[must_use]
    pub fn max(&self) -> usize {
        match self {
            Self::Fixed(bytes) => *bytes,
            Self::Weighted(sizes) => sizes.iter().map(|(bytes, _)| *bytes).max().unwrap_or(0),
            Self::Range(_, to) => *to,
            Self::Lognormal { max, .. } => *max,
        }
    }

    /// The smallest message, in bytes.
    #[must_use]
    pub fn min(&self) -> usize {
        match self {
            Self::Fixed(bytes) => *bytes,
            Self::Weighted(sizes) => sizes.iter().map(|(bytes, _)| *bytes).min().unwrap_or(0),
            Self::Range(from, _) => *from,
            Self::Lognormal { min, .. } => *min,
        }
    }
}

/// To which topic each message of a publisher goes.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub enum TopicChoice {
    /// Each in turn; with more publishers than topics, each publisher has one.
    #[default]
    RoundRobin,
    /// Any, all equally likely.
    Uniform,
    /// Any, topic k (from 1) with a share in proportion to 1 / k^exponent.
    Zipf(f64),
}
