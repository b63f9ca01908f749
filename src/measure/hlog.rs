//! Interval histograms as an HdrHistogram log (`.hlog`, format 1.3), which every HdrHistogram implementation
//! opens. Values are nanoseconds; the readable maximum on each line is in milliseconds.

use std::io::{self, Write};
use std::time::Duration;

use hdrhistogram::Histogram;
use hdrhistogram::serialization::interval_log::{IntervalLogWriterBuilder, Tag};
use hdrhistogram::serialization::{Deserializer, Serializer, V2DeflateSerializer, V2Serializer};

use crate::clock::Nanos;

/// Nanoseconds in the unit of the readable maximum.
const MAX_VALUE_DIVISOR: f64 = 1e6;

/// One interval of one latency, compactly encoded.
#[derive(Debug, Clone)]
struct Entry {
    tag: &'static str,
    start: Duration,
    length: Duration,
    encoded: Vec<u8>,
}

/// The intervals of a trial, a few kilobytes a second. They are compressed only when written, when nothing is
/// timed any more.
#[derive(Debug, Clone, Default)]
pub struct IntervalLog {
    entries: Vec<Entry>,
}

impl IntervalLog {
    /// Adds the samples of the interval from `start` to `end` (nanoseconds since trial start); an empty
    /// histogram is left out. `tag` names the latency; it holds no comma, space or line break.
    pub fn add(&mut self, tag: &'static str, start: Nanos, end: Nanos, histogram: &Histogram<u64>) {
        if histogram.is_empty() {
            return;
        }
        let mut encoded = Vec::new();
        // Encoding into memory fails only for counts above 2^63.
        if V2Serializer::new().serialize(histogram, &mut encoded).is_ok() {
            let length = Duration::from_nanos(end.saturating_sub(start));
            self.entries.push(Entry { tag, start: Duration::from_nanos(start), length, encoded });
        }
    }

    /// Whether nothing was added.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Writes the log. `unix_start` is the wall-clock time of trial start, nanoseconds since 1970; `comments`
    /// go on top.
    ///
    /// # Errors
    /// What the writer says.
    pub fn write(&self, out: &mut impl Write, unix_start: u64, comments: &[String]) -> io::Result<()> {
        for line in comments.iter().flat_map(|comment| comment.lines()) {
            writeln!(out, "#{line}")?;
        }
        let seconds = unix_start as f64 / 1e9;
        writeln!(out, "#[Histogram log format version 1.3]")?;
        writeln!(out, "#[StartTime: {seconds:.3} (seconds since epoch)]")?;
        writeln!(out, "#[BaseTime: {seconds:.3} (seconds since epoch)]")?;
        let mut serializer = V2DeflateSerializer::new();
        let mut deserializer = Deserializer::new();
        let mut writer = IntervalLogWriterBuilder::new()
            .with_max_value_divisor(MAX_VALUE_DIVISOR)
            .begin_log_with(out, &mut serializer)?;
        for entry in &self.entries {
            let histogram: Histogram<u64> =
                deserializer.deserialize(&mut entry.encoded.as_slice()).map_err(io::Error::other)?;
            writer
                .write_histogram(&histogram, entry.start, entry.length, Tag::new(entry.tag))
                .map_err(|error| io::Error::other(error.to_string()))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use hdrhistogram::serialization::interval_log::{IntervalLogIterator, LogEntry};

    use super::super::histogram::LatencyHistogram;
    use super::*;

    #[test]
    fn a_written_log_reads_back_with_equal_counts_per_tag() {
        let mut log = IntervalLog::default();
        let mut histogram = LatencyHistogram::new();
        for second in 0..3u64 {
            histogram.clear();
            (0..=second * 1000).for_each(|i| histogram.record(1000 + i * i));
            log.add("delivery_time", second * 1_000_000_000, (second + 1) * 1_000_000_000, histogram.hdr());
            log.add("transit_time", second * 1_000_000_000, (second + 1) * 1_000_000_000, histogram.hdr());
        }
        let mut bytes = Vec::new();
        log.write(&mut bytes, 1_764_000_000_123_000_000, &["busmark\nredis-8, trial 1".into()]).unwrap();
        let text = String::from_utf8(bytes.clone()).unwrap();
        assert!(
            text.starts_with("#busmark\n#redis-8, trial 1\n#[Histogram log format version 1.3]\n"),
            "{text}"
        );
        let mut counts = BTreeMap::new();
        for entry in IntervalLogIterator::new(&bytes) {
            let Ok(LogEntry::Interval(interval)) = entry else { continue };
            let tag = interval.tag().unwrap().as_str().to_owned();
            *counts.entry(tag).or_insert(0u64) += 1;
            assert_eq!(interval.duration(), Duration::from_secs(1));
        }
        assert_eq!(counts, BTreeMap::from([("delivery_time".into(), 3), ("transit_time".into(), 3)]));
    }

    #[test]
    fn empty_intervals_are_left_out() {
        let mut log = IntervalLog::default();
        log.add("delivery_time", 0, 1, LatencyHistogram::new().hdr());
        assert!(log.is_empty());
    }
}
