//! Numbers as people read them: three significant digits and a unit.

/// What stands where a figure was not measured.
pub const NOT_MEASURED: &str = "–";

/// Microseconds as `87 µs`, `1.25 ms` or `2.3 s`; infinity, which an undelivered message has, as `∞`.
#[must_use]
pub fn micros(value: f64) -> String {
    if value.is_infinite() {
        return "∞".to_owned();
    }
    match value.abs() {
        v if rounds_below(v, 1_000.0) => format!("{} µs", significant(value)),
        v if rounds_below(v / 1e3, 1_000.0) => format!("{} ms", significant(value / 1e3)),
        _ => format!("{} s", significant(value / 1e6)),
    }
}

/// A rate per second as `950/s`, `20.0 k/s` or `1.25 M/s`.
#[must_use]
pub fn rate(per_second: f64) -> String {
    let (scaled, prefix) = thousands(per_second);
    if prefix.is_empty() {
        format!("{}/s", significant(scaled))
    } else {
        format!("{} {prefix}/s", significant(scaled))
    }
}

/// A round rate for the ticks of an axis, without trailing zeros: `0`, `500/s`, `20 k/s`.
#[must_use]
pub fn plain_rate(per_second: f64) -> String {
    let (scaled, prefix) = thousands(per_second);
    let rounded = (scaled * 1e3).round() / 1e3;
    if prefix.is_empty() { format!("{rounded}/s") } else { format!("{rounded} {prefix}/s") }
}

/// A count with its digits in groups: `1,234,567`.
#[must_use]
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Bytes in binary units: `512 B`, `12.3 MiB`.
#[must_use]
pub fn bytes(value: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut scaled = value as f64;
    let mut unit = 0;
    while !rounds_below(scaled, 1_024.0) && unit + 1 < UNITS.len() {
        scaled /= 1_024.0;
        unit += 1;
    }
    if scaled.fract() == 0.0 {
        format!("{scaled} {}", UNITS[unit])
    } else {
        format!("{} {}", significant(scaled), UNITS[unit])
    }
}

/// A share (0 to 1) in percent: `0 %`, `0.0012 %`, `37.5 %`.
#[must_use]
pub fn percent(share: f64) -> String {
    format!("{} %", significant(share * 100.0))
}

/// Three significant digits, never in exponent form: `0`, `0.0123`, `1.23`, `12.3`, `123`, `1234`.
#[must_use]
pub fn significant(value: f64) -> String {
    if value == 0.0 {
        return "0".to_owned();
    }
    if !value.is_finite() {
        return if value.is_nan() { NOT_MEASURED.to_owned() } else { "∞".to_owned() };
    }
    // Rounding may add a digit (9.996 is 10.0), so the magnitude is taken from what was rounded.
    let magnitude = value.abs().log10().floor();
    let rounded = (value.abs() * 10f64.powf(2.0 - magnitude)).round() / 10f64.powf(2.0 - magnitude);
    let decimals = (2.0 - rounded.log10().floor()).clamp(0.0, 12.0) as usize;
    format!("{value:.decimals$}")
}

/// Splits a figure into a number below 1,000 and its decimal prefix.
fn thousands(value: f64) -> (f64, &'static str) {
    match value.abs() {
        v if rounds_below(v, 1_000.0) => (value, ""),
        v if rounds_below(v / 1e3, 1_000.0) => (value / 1e3, "k"),
        v if rounds_below(v / 1e6, 1_000.0) => (value / 1e6, "M"),
        _ => (value / 1e9, "G"),
    }
}

/// Whether three digits of `value` still read as less than `limit`: 999.7 would be printed as 1000.
fn rounds_below(value: f64, limit: f64) -> bool {
    value < limit - 0.5
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_take_the_unit_that_leaves_three_digits() {
        for (value, text) in [
            (0.0, "0 µs"),
            (0.25, "0.250 µs"),
            (87.0, "87.0 µs"),
            (999.7, "1.00 ms"),
            (1_250.0, "1.25 ms"),
            (999_999.0, "1.00 s"),
            (2_300_000.0, "2.30 s"),
            (3.6e9, "3600 s"),
            (f64::INFINITY, "∞"),
        ] {
            assert_eq!(micros(value), text, "{value}");
        }
    }

    #[test]
    fn rates_bytes_counts_and_shares_read_well() {
        assert_eq!(rate(950.0), "950/s");
        assert_eq!(rate(19_999.9), "20.0 k/s");
        assert_eq!(rate(2_560_000.0), "2.56 M/s");
        assert_eq!(bytes(512), "512 B");
        assert_eq!(bytes(1_024), "1 KiB");
        assert_eq!(bytes(12_900_000), "12.3 MiB");
        assert_eq!(bytes(1_048_575), "1.00 MiB");
        assert_eq!(count(0), "0");
        assert_eq!(count(1_234_567), "1,234,567");
        assert_eq!(count(123_456), "123,456");
        assert_eq!(percent(0.375), "37.5 %");
        assert_eq!(percent(0.000_012), "0.00120 %");
        assert_eq!(significant(9.996), "10.0");
    }
}
