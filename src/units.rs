//! Sizes, rates and durations as people write them: `"1KiB"`, `"50k/s"`, `"250us"`. Exact both ways: what is
//! printed parses back to the same value.

use std::time::Duration;

/// A text that is no size, rate or duration, with what would be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` {why}; allowed is {allowed}")]
pub struct UnitError {
    /// What was written.
    pub given: String,
    /// What is wrong with it.
    pub why: String,
    /// What may stand there instead.
    pub allowed: &'static str,
}

/// One kind of quantity: its units in ascending order, and how to explain it.
struct Quantity {
    units: &'static [(&'static str, u128)],
    allowed: &'static str,
}

/// In bytes. `KB` is 1000, `KiB` 1024.
const SIZE: Quantity = Quantity {
    units: &[
        ("B", 1),
        ("KB", 1000),
        ("KiB", 1 << 10),
        ("MB", 1_000_000),
        ("MiB", 1 << 20),
        ("GB", 1_000_000_000),
        ("GiB", 1 << 30),
    ],
    allowed: "a number with B, KB (1000), KiB (1024), MB, MiB, GB or GiB, such as \"1KiB\"",
};

/// In nanoseconds.
const DURATION: Quantity = Quantity {
    units: &[
        ("ns", 1),
        ("us", 1_000),
        ("ms", 1_000_000),
        ("s", 1_000_000_000),
        ("m", 60_000_000_000),
        ("h", 3_600_000_000_000),
    ],
    allowed: "a number with ns, us, ms, s, m or h, such as \"250us\"",
};

/// In messages per 1,000 seconds, so that a thousandth of a message per second is still a whole number.
const RATE: Quantity = Quantity {
    units: &[("/s", 1_000), ("k/s", 1_000_000), ("M/s", 1_000_000_000)],
    allowed: "a number with /s, k/s or M/s, such as \"50k/s\"",
};

/// Units of [`RATE`] in one message per second.
const MILLI: f64 = 1_000.0;

/// Bytes.
///
/// # Errors
/// If it is no number with a unit, no whole number of bytes, or above 2^64 − 1.
pub fn parse_size(text: &str) -> Result<u64, UnitError> {
    parse(text, &SIZE)
}

/// The shortest exact way to write a number of bytes, such as `1KiB`.
#[must_use]
pub fn size(bytes: u64) -> String {
    print(bytes, &SIZE)
}

/// A time span, to the nanosecond.
///
/// # Errors
/// If it is no number with a unit, no whole number of nanoseconds, or longer than 584 years.
pub fn parse_duration(text: &str) -> Result<Duration, UnitError> {
    parse(text, &DURATION).map(Duration::from_nanos)
}

/// The shortest exact way to write a time span, such as `250us` (up to 584 years).
#[must_use]
pub fn duration(span: Duration) -> String {
    if span.is_zero() {
        return "0s".to_owned();
    }
    print(u64::try_from(span.as_nanos()).unwrap_or(u64::MAX), &DURATION)
}

/// Events per second, to a thousandth.
///
/// # Errors
/// If it is no number with a unit, or finer than a thousandth.
pub fn parse_rate(text: &str) -> Result<f64, UnitError> {
    parse(text, &RATE).map(|milli| milli as f64 / MILLI)
}

/// The shortest exact way to write a rate, such as `50k/s` (rounded to a thousandth; exact up to 4 G/s).
#[must_use]
pub fn rate(per_second: f64) -> String {
    print((per_second * MILLI).round() as u64, &RATE)
}

fn parse(text: &str, quantity: &Quantity) -> Result<u64, UnitError> {
    let fail =
        |why: &str| UnitError { given: text.to_owned(), why: why.to_owned(), allowed: quantity.allowed };
    let trimmed = text.trim();
    let digits = trimmed.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').unwrap_or(trimmed.len());
    let (number, unit) = trimmed.split_at(digits);
    if number.is_empty() {
        return Err(fail(if trimmed.starts_with('-') { "is negative" } else { "has no number" }));
    }
    let unit = unit.trim();
    let Some(&(_, factor)) = quantity.units.iter().find(|(name, _)| *name == unit) else {
        return Err(fail(&if unit.is_empty() {
            "has no unit".to_owned()
        } else {
            format!("has the unknown unit `{unit}`")
        }));
    };
    let (mantissa, scale) = decimal(number).ok_or_else(|| fail("is no number"))?;
    let scaled = mantissa.checked_mul(factor).ok_or_else(|| fail("is too large"))?;
    if scaled % scale != 0 {
        return Err(fail("is finer than the smallest unit"));
    }
    u64::try_from(scaled / scale).map_err(|_| fail("is too large"))
}

/// `12.5` as (125, 10); `None` if it is no plain decimal number or has more than 18 digits behind the point.
fn decimal(number: &str) -> Option<(u128, u128)> {
    let plain = number.replace('_', "");
    let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
    if whole.is_empty() || fraction.len() > 18 || (plain.contains('.') && fraction.is_empty()) {
        return None;
    }
    let scale = 10u128.pow(u32::try_from(fraction.len()).ok()?);
    let fraction = if fraction.is_empty() { 0 } else { fraction.parse::<u128>().ok()? };
    let mantissa = whole.parse::<u128>().ok()?.checked_mul(scale)?.checked_add(fraction)?;
    Some((mantissa, scale))
}

/// In the largest unit that leaves a whole number; else with the decimal places it needs.
fn print(value: u64, quantity: &Quantity) -> String {
    let value = u128::from(value);
    let (smallest, base) = quantity.units[0];
    let (name, factor) = quantity
        .units
        .iter()
        .copied()
        .filter(|(_, factor)| value > 0 && value % factor == 0)
        .max_by_key(|(_, factor)| *factor)
        .unwrap_or((smallest, base));
    let (whole, rest) = (value / factor, value % factor);
    if rest == 0 {
        return format!("{whole}{name}");
    }
    let places = base.ilog10() as usize;
    let fraction = format!("{rest:0places$}");
    format!("{whole}.{}{name}", fraction.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn sizes_know_both_kilos() {
        let given = ["0B", "16 B", "1KB", "1KiB", "1.5KiB", "512MiB", "1_000B", " 2GiB "];
        let bytes: Vec<u64> = given.iter().map(|text| parse_size(text).unwrap()).collect();
        assert_eq!(bytes, [0, 16, 1000, 1024, 1536, 512 << 20, 1000, 2 << 30]);
    }

    #[test]
    fn durations_and_rates_are_exact() {
        assert_eq!(parse_duration("250us").unwrap(), Duration::from_micros(250));
        assert_eq!(parse_duration("0.1s").unwrap(), Duration::from_millis(100));
        assert_eq!(parse_duration("5m").unwrap(), Duration::from_secs(300));
        assert_eq!(parse_rate("50k/s"), Ok(50_000.0));
        assert_eq!(parse_rate("1.2M/s"), Ok(1_200_000.0));
        assert_eq!(parse_rate("0.5/s"), Ok(0.5));
    }

    #[test]
    fn errors_say_what_was_given_and_what_is_allowed() {
        for (text, why) in [
            ("1024", "has no unit"),
            ("1kib", "unknown unit `kib`"),
            ("-1B", "is negative"),
            ("", "has no number"),
            ("1.2.3B", "is no number"),
            ("0.1B", "finer than the smallest unit"),
            ("99999999999999999999GiB", "is too large"),
        ] {
            let said = parse_size(text).unwrap_err().to_string();
            assert!(said.contains(why) && said.contains(text) && said.contains("1KiB"), "{said}");
        }
    }

    #[test]
    fn printing_takes_the_largest_unit_that_stays_whole() {
        assert_eq!(
            [
                size(1024),
                size(1000),
                size(1536),
                size(0),
                duration(Duration::from_millis(90_000)),
                rate(20e3)
            ],
            ["1KiB", "1KB", "1536B", "0B", "90s", "20k/s"]
        );
        assert_eq!([rate(0.5), rate(1234.567)], ["0.5/s", "1234.567/s"]);
    }

    proptest! {
        #[test]
        fn what_is_printed_parses_back(value: u64, milli in 0u64..1 << 42) {
            prop_assert_eq!(parse_size(&size(value)), Ok(value));
            let span = Duration::from_nanos(value);
            prop_assert_eq!(parse_duration(&duration(span)), Ok(span));
            let per_second = milli as f64 / MILLI;
            prop_assert_eq!(parse_rate(&rate(per_second)), Ok(per_second));
        }

        #[test]
        fn no_text_makes_the_parsers_panic(text in "\\PC{0,20}") {
            let _ = (parse_size(&text), parse_duration(&text), parse_rate(&text));
        }
    }
}
