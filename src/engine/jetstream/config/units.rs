//! Numbers, sizes and durations as nats-server writes them.

use super::ConfigError;
use std::time::Duration;

fn wrong(key: &str, given: &str, wanted: &'static str) -> ConfigError {
    ConfigError::Value { key: key.to_owned(), given: given.to_owned(), wanted }
}

/// A size: `1024`, `64K` (a power of ten), `64KB` and `64KiB` (powers of two).
pub(super) fn size(key: &str, text: &str) -> Result<u64, ConfigError> {
    let wanted = "a size such as 1024, 64KB or 1MB";
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at(digits);
    let factor: u64 = match unit.to_ascii_uppercase().as_str() {
        "" => 1,
        "K" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "T" => 1_000_000_000_000,
        "KB" | "KI" | "KIB" => 1 << 10,
        "MB" | "MI" | "MIB" => 1 << 20,
        "GB" | "GI" | "GIB" => 1 << 30,
        "TB" | "TI" | "TIB" => 1 << 40,
        _ => return Err(wrong(key, text, wanted)),
    };
    let number: u64 = number.parse().map_err(|_| wrong(key, text, wanted))?;
    number.checked_mul(factor).ok_or_else(|| wrong(key, text, wanted))
}

/// A count.
pub(super) fn count(key: &str, text: &str) -> Result<usize, ConfigError> {
    size(key, text).map(|count| usize::try_from(count).unwrap_or(usize::MAX))
}

/// A port, -1 and 0 for any.
pub(super) fn port(key: &str, text: &str) -> Result<u16, ConfigError> {
    if text == "-1" { Ok(0) } else { text.parse().map_err(|_| wrong(key, text, "a port, or -1 for any")) }
}

/// A switch.
pub(super) fn switch(key: &str, text: &str) -> Result<bool, ConfigError> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "yes" | "on" | "enabled" | "enable" => Ok(true),
        "false" | "no" | "off" | "disabled" | "disable" => Ok(false),
        _ => Err(wrong(key, text, "true or false")),
    }
}

/// A duration: `2s`, `1m30s`, `250ms`; a bare number is seconds.
pub(in super::super) fn duration(key: &str, text: &str) -> Result<Duration, ConfigError> {
    let wanted = "a duration such as 250ms, 2s or 1m30s";
    if let Ok(seconds) = text.parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).map_err(|_| wrong(key, text, wanted));
    }
    let mut rest = text;
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, tail) = rest.split_at(digits);
        let letters = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (unit, tail) = tail.split_at(letters);
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return Err(wrong(key, text, wanted)),
        };
        let number: f64 = number.parse().map_err(|_| wrong(key, text, wanted))?;
        total += Duration::try_from_secs_f64(number * seconds).map_err(|_| wrong(key, text, wanted))?;
        rest = tail;
    }
    if total.is_zero() { Err(wrong(key, text, wanted)) } else { Ok(total) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_those_of_nats() {
        assert_eq!(size("k", "64KB").unwrap(), 65_536);
        assert_eq!(size("k", "1M").unwrap(), 1_000_000);
        assert_eq!(size("k", "1MiB").unwrap(), 1 << 20);
        assert!(size("k", "x").is_err() && size("k", "-1").is_err() && size("k", "99999999999T").is_err());
        assert_eq!(duration("k", "1m30s").unwrap(), Duration::from_secs(90));
        assert_eq!(duration("k", "250ms").unwrap(), Duration::from_millis(250));
        assert_eq!(duration("k", "2").unwrap(), Duration::from_secs(2));
        assert!(duration("k", "2 weeks").is_err() && duration("k", "").is_err());
        assert_eq!(port("p", "-1").unwrap(), 0);
        assert!(port("p", "70000").is_err());
    }
}
