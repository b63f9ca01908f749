//! What INFO counts.

use std::collections::BTreeMap;

/// Rates are means over this many samples.
const SAMPLES: usize = 16;

/// Counters since the start or CONFIG RESETSTAT.
#[derive(Debug, Clone, Default)]
pub(super) struct Stats {
    pub(super) connections: u64,
    pub(super) rejected: u64,
    pub(super) commands: u64,
    pub(super) bytes_in: u64,
    pub(super) bytes_out: u64,
    pub(super) reads: u64,
    pub(super) writes: u64,
    pub(super) cut_by_limit: u64,
    pub(super) cut_by_query: u64,
    pub(super) auth_failures: u64,
    pub(super) loops: u64,
    /// Error replies by their first word.
    pub(super) errors: BTreeMap<String, u64>,
}

impl Stats {
    /// Adds what another event loop counted.
    pub(super) fn add(&mut self, other: &Self) {
        let pairs = [
            (&mut self.connections, other.connections),
            (&mut self.rejected, other.rejected),
            (&mut self.commands, other.commands),
            (&mut self.bytes_in, other.bytes_in),
            (&mut self.bytes_out, other.bytes_out),
            (&mut self.reads, other.reads),
            (&mut self.writes, other.writes),
            (&mut self.cut_by_limit, other.cut_by_limit),
            (&mut self.cut_by_query, other.cut_by_query),
            (&mut self.auth_failures, other.auth_failures),
            (&mut self.loops, other.loops),
        ];
        pairs.into_iter().for_each(|(sum, more)| *sum += more);
        for (word, count) in &other.errors {
            *self.errors.entry(word.clone()).or_default() += count;
        }
    }
}

/// A rate over the last samples, as Redis's `instantaneous_` figures.
#[derive(Debug, Default)]
pub(super) struct Rate {
    samples: [f64; SAMPLES],
    next: usize,
    last: u64,
}

impl Rate {
    /// Notes where a counter stands after `seconds` more.
    pub(super) fn sample(&mut self, counter: u64, seconds: f64) {
        let grown = counter.saturating_sub(self.last);
        self.last = counter;
        if seconds > 0.0 {
            self.samples[self.next] = grown as f64 / seconds;
            self.next = (self.next + 1) % SAMPLES;
        }
    }

    /// Events per second.
    pub(super) fn per_second(&self) -> f64 {
        self.samples.iter().sum::<f64>() / SAMPLES as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_steady_rate_is_shown_once_all_samples_have_it() {
        let mut rate = Rate::default();
        for tick in 1..=16 {
            rate.sample(tick * 10, 0.1);
        }
        assert!((rate.per_second() - 100.0).abs() < 1e-6);
    }
}
