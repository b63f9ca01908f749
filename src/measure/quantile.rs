//! Percentiles as they are written down: a value, or "beyond everything measured".

use std::cmp::Ordering;
use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One percentile of a latency in microseconds. Ranked over expected messages, it may fall on one that never
/// came: that is [`Quantile::Beyond`], written as `inf` in CSV and JSON.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Quantile {
    /// Microseconds, 0 or more.
    Micros(f64),
    /// The ranked message was expected and never delivered: +∞.
    Beyond,
}

impl Quantile {
    /// Microseconds, +∞ for [`Quantile::Beyond`]: for comparisons and arithmetic.
    #[must_use]
    pub fn micros(self) -> f64 {
        match self {
            Self::Micros(micros) => micros,
            Self::Beyond => f64::INFINITY,
        }
    }

    /// The inverse of [`Quantile::micros`].
    #[must_use]
    pub fn from_micros(micros: f64) -> Self {
        if micros.is_finite() { Self::Micros(micros) } else { Self::Beyond }
    }
}

impl PartialOrd for Quantile {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        self.micros().partial_cmp(&other.micros())
    }
}

impl fmt::Display for Quantile {
    /// Plain microseconds with at most three decimals, honouring a given precision; `inf` beyond.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Micros(micros) => match f.precision() {
                Some(digits) => write!(f, "{micros:.digits$}"),
                None => write!(f, "{}", (micros * 1e3).round() / 1e3),
            },
            Self::Beyond => f.write_str("inf"),
        }
    }
}

impl Serialize for Quantile {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Micros(micros) => serializer.serialize_f64(*micros),
            Self::Beyond => serializer.serialize_str("inf"),
        }
    }
}

impl<'de> Deserialize<'de> for Quantile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Micros;
        impl Visitor<'_> for Micros {
            type Value = Quantile;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("microseconds or \"inf\"")
            }

            fn visit_f64<E: de::Error>(self, value: f64) -> Result<Quantile, E> {
                Ok(Quantile::from_micros(value))
            }

            fn visit_u64<E: de::Error>(self, value: u64) -> Result<Quantile, E> {
                Ok(Quantile::Micros(value as f64))
            }

            fn visit_i64<E: de::Error>(self, value: i64) -> Result<Quantile, E> {
                Ok(Quantile::Micros(value as f64))
            }

            fn visit_str<E: de::Error>(self, value: &str) -> Result<Quantile, E> {
                match value {
                    "inf" => Ok(Quantile::Beyond),
                    other => Err(E::invalid_value(de::Unexpected::Str(other), &self)),
                }
            }
        }
        deserializer.deserialize_any(Micros)
    }
}

/// The percentiles of one latency over one trial, in microseconds. A percentile without enough samples is
/// `None`: an empty cell, never 0. `mean` is over what arrived; the percentiles are over what was expected.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Quantiles {
    /// Samples ranked, the missing ones included.
    pub count: u64,
    /// Those of them that never came and rank as +∞.
    pub missing: u64,
    /// Arithmetic mean of the samples that came, µs.
    pub mean: Option<f64>,
    /// Median.
    pub p50: Option<Quantile>,
    /// 90th percentile.
    pub p90: Option<Quantile>,
    /// 99th percentile; needs 100 samples beyond it.
    pub p99: Option<Quantile>,
    /// 99.9th percentile; needs 10 samples beyond it.
    pub p99_9: Option<Quantile>,
    /// 99.99th percentile; needs 10 samples beyond it.
    pub p99_99: Option<Quantile>,
    /// Largest sample; beyond if any is missing.
    pub max: Option<Quantile>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_reads_back_as_it_was_written_and_beyond_is_inf() {
        for quantile in [Quantile::Micros(12.5), Quantile::Micros(3.0), Quantile::Beyond] {
            let text = serde_json::to_string(&quantile).unwrap();
            assert_eq!(serde_json::from_str::<Quantile>(&text).unwrap(), quantile, "{text}");
        }
        assert_eq!(serde_json::to_string(&Quantile::Beyond).unwrap(), "\"inf\"");
        assert!(serde_json::from_str::<Quantile>("\"soon\"").is_err());
    }

    #[test]
    fn beyond_is_larger_than_any_value_and_prints_as_inf() {
        assert!(Quantile::Beyond > Quantile::Micros(f64::MAX));
        assert_eq!(Quantile::Beyond.to_string(), "inf");
        assert_eq!(Quantile::Micros(1234.56789).to_string(), "1234.568");
        assert_eq!(format!("{:.1}", Quantile::Micros(1234.56)), "1234.6");
    }
}
