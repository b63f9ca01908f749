//! Times as the API writes and reads them: RFC 3339 with nanoseconds.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

const SECOND: u64 = 1_000_000_000;

/// Nanoseconds since 1970; 0 is "never" and shown as the year 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Time(pub(super) u64);

impl Time {
    /// The text, with as many digits of a second as are needed.
    pub(super) fn text(self) -> String {
        if self.0 == 0 {
            return "0001-01-01T00:00:00Z".to_owned();
        }
        let mut text = crate::clock::rfc3339(self.0);
        if !self.0.is_multiple_of(SECOND) {
            let fraction = format!("{:09}", self.0 % SECOND);
            text.pop();
            text.push('.');
            text.push_str(fraction.trim_end_matches('0'));
            text.push('Z');
        }
        text
    }

    /// Reads a text, with any offset.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<u64>().ok();
        let bytes = text.as_bytes();
        let shape = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
        if shape.iter().any(|&(at, byte)| bytes.get(at) != Some(&byte)) {
            return None;
        }
        let (year, month, day) = (number(0..4)?, number(5..7)?, number(8..10)?);
        let (hour, minute, second) = (number(11..13)?, number(14..16)?, number(17..19)?);
        if !(1..=12).contains(&month) || !(1..=31).contains(&day) || hour > 24 || minute > 59 || second > 60 {
            return None;
        }
        let rest = text.get(19..)?;
        let digits =
            rest.strip_prefix('.').map_or(0, |rest| 1 + rest.bytes().take_while(u8::is_ascii_digit).count());
        let fraction: String = rest[..digits].chars().skip(1).chain("000000000".chars()).take(9).collect();
        let offset = offset(&rest[digits..])?;
        if year < 1970 {
            return Some(Self(0));
        }
        // Howard Hinnant's days_from_civil, with years that begin in March.
        let (shifted, from_march) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
        let cycle = shifted / 400;
        let of_cycle = shifted % 400;
        let of_year = (153 * from_march + 2) / 5 + day - 1;
        let days = cycle * 146_097 + of_cycle * 365 + of_cycle / 4 - of_cycle / 100 + of_year - 719_468;
        let seconds = (days * 86_400 + hour * 3_600 + minute * 60 + second).checked_add_signed(-offset)?;
        Some(Self(seconds.checked_mul(SECOND)? + fraction.parse::<u64>().ok()?))
    }
}

/// A duration in nanoseconds, as Go writes it.
pub(super) fn duration_text(nanos: u64) -> String {
    let of = |unit: u64, name: &str| {
        let fraction = format!("{:09}", nanos % unit * (SECOND / unit));
        let fraction = fraction.trim_end_matches('0');
        let dot = if fraction.is_empty() { "" } else { "." };
        format!("{}{dot}{fraction}{name}", nanos / unit)
    };
    match nanos {
        0 => "0s".to_owned(),
        1..1_000 => format!("{nanos}ns"),
        1_000..1_000_000 => of(1_000, "µs"),
        1_000_000..SECOND => of(1_000_000, "ms"),
        _ => {
            let (minutes, rest) = (nanos / (60 * SECOND), nanos % (60 * SECOND));
            let seconds = rest / SECOND;
            let fraction = format!("{:09}", rest % SECOND);
            let fraction = fraction.trim_end_matches('0');
            let dot = if fraction.is_empty() { "" } else { "." };
            let hours = if minutes >= 60 { format!("{}h", minutes / 60) } else { String::new() };
            let minutes = if minutes > 0 { format!("{}m", minutes % 60) } else { String::new() };
            format!("{hours}{minutes}{seconds}{dot}{fraction}s")
        }
    }
}

/// Seconds east of Greenwich.
fn offset(text: &str) -> Option<i64> {
    if matches!(text, "Z" | "z") {
        return Some(0);
    }
    let sign = if text.starts_with('-') { -1 } else { 1 };
    let (hours, minutes) = text.get(1..)?.split_once(':')?;
    Some(sign * (hours.parse::<i64>().ok()? * 3_600 + minutes.parse::<i64>().ok()? * 60))
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom(format!("{text:?} is no time")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn every_time_is_read_back(nanos in 1u64..4_102_444_800_000_000_000) {
            prop_assert_eq!(Time::parse(&Time(nanos).text()), Some(Time(nanos)));
        }

        #[test]
        fn no_text_makes_it_panic(text in "[0-9TZ:.+-]{0,35}") {
            let _read_or_not = Time::parse(&text);
        }
    }

    #[test]
    fn durations_are_written_as_go_writes_them() {
        for (nanos, text) in [
            (0, "0s"),
            (7, "7ns"),
            (1_500, "1.5µs"),
            (20_000_000, "20ms"),
            (SECOND, "1s"),
            (90 * SECOND + 500_000_000, "1m30.5s"),
            (3_600 * SECOND, "1h0m0s"),
        ] {
            assert_eq!(duration_text(nanos), text);
        }
    }

    #[test]
    fn offsets_and_fractions_are_understood() {
        let noon = Time::parse("2026-11-24T12:00:00Z").unwrap();
        assert_eq!(Time::parse("2026-11-24T13:00:00+01:00"), Some(noon));
        assert_eq!(Time::parse("2026-11-24T12:00:00.5Z"), Some(Time(noon.0 + 500_000_000)));
        assert_eq!(Time::parse("0001-01-01T00:00:00Z"), Some(Time(0)));
        assert_eq!(Time(noon.0 + 120_000).text(), "2026-11-24T12:00:00.00012Z");
    }
}
