//! Expectations: one grammar for `[[expect]]` and `--expect`.
//!
//! ```text
//! expectation = metric comparison right [ "@" scope { "," scope } ]
//! metric      = [ target "." ] column of summary.csv
//! comparison  = "==" | "!=" | "<=" | "<" | ">=" | ">"
//! right       = value | value "*" metric | metric [ "*" value ]
//! value       = a number, for times also "5ms", for rates "20k/s", for bytes "1MiB", for ratios "0.1%"
//! scope       = ( "target" | "point" | "against" | "phase" ) "=" name
//! ```

use std::fmt;

use crate::units;

use super::metric::Metric;
use super::problem::{did_you_mean, one_of};

/// One statement about the result that holds, fails, or cannot be judged.
#[derive(Debug, Clone, PartialEq)]
pub struct Expect {
    /// As it was written, blanks trimmed.
    pub text: String,
    /// What is judged.
    pub left: MetricOf,
    /// How it must stand to the right side.
    pub compare: Compare,
    /// What it is compared with.
    pub right: Right,
    /// The point of a sweep it speaks of; each of them if empty.
    pub point: Option<String>,
    /// The point that the metric on the right is taken at; the same as on the left if empty.
    pub against: Option<String>,
    /// The phase it speaks of; the measured one if empty.
    pub phase: Option<String>,
    /// The sentence it puts to the test, if it is somebody's.
    pub claim: Option<String>,
    /// Where that sentence stands.
    pub source: Option<String>,
}

/// A metric of a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetricOf {
    /// The target; on the left, each of them if empty; on the right, the same as on the left.
    pub target: Option<String>,
    /// The column.
    pub metric: Metric,
}

/// The right side.
#[derive(Debug, Clone, PartialEq)]
pub enum Right {
    /// A value in the unit of the left metric.
    Value(f64),
    /// Another metric times a factor.
    Times(f64, MetricOf),
}

/// A comparison.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compare {
    /// `==`
    Equal,
    /// `!=`
    Unequal,
    /// `<=`
    AtMost,
    /// `<`
    Below,
    /// `>=`
    AtLeast,
    /// `>`
    Above,
}

impl Compare {
    /// Longest first, as the parser tries them.
    const ALL: [(&'static str, Self); 6] = [
        ("==", Self::Equal),
        ("!=", Self::Unequal),
        ("<=", Self::AtMost),
        (">=", Self::AtLeast),
        ("<", Self::Below),
        (">", Self::Above),
    ];

    /// Whether `left` stands to `right` as it must.
    #[must_use]
    pub fn holds(self, left: f64, right: f64) -> bool {
        match self {
            Self::Equal => left == right,
            Self::Unequal => left != right,
            Self::AtMost => left <= right,
            Self::Below => left < right,
            Self::AtLeast => left >= right,
            Self::Above => left > right,
        }
    }

    /// As it is written.
    #[must_use]
    pub fn sign(self) -> &'static str {
        Self::ALL.iter().find(|(_, compare)| *compare == self).map_or("", |(sign, _)| sign)
    }
}

/// A text that is no expectation: where it went wrong, and what was wanted there.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ExpectError {
    /// The text.
    pub text: String,
    /// The character that it went wrong at, from 0.
    pub at: usize,
    /// What is wrong, and what is allowed.
    pub message: String,
}

impl fmt::Display for ExpectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n    {}\n    {:at$}^", self.message, self.text, "", at = self.at)
    }
}

impl Expect {
    /// Parses an expectation.
    ///
    /// # Errors
    /// Points at the character that does not fit; for a metric that isn't known, names those that are,
    /// the nearest first.
    pub fn parse(text: &str) -> Result<Self, ExpectError> {
        let text = text.trim();
        let mut cursor = Cursor { text, rest: text };
        let left = cursor.metric()?;
        let compare = cursor.compare()?;
        let right = cursor.right(&left)?;
        let mut expect = Self {
            text: text.to_owned(),
            left,
            compare,
            right,
            point: None,
            against: None,
            phase: None,
            claim: None,
            source: None,
        };
        cursor.scopes(&mut expect)?;
        Ok(expect)
    }

    /// The targets it names.
    pub fn targets(&self) -> impl Iterator<Item = &str> {
        let right = match &self.right {
            Right::Times(_, of) => of.target.as_deref(),
            Right::Value(_) => None,
        };
        self.left.target.as_deref().into_iter().chain(right)
    }

    /// The metrics it names.
    pub fn metrics(&self) -> impl Iterator<Item = &Metric> {
        let right = match &self.right {
            Right::Times(_, of) => Some(&of.metric),
            Right::Value(_) => None,
        };
        std::iter::once(&self.left.metric).chain(right)
    }

    /// What is wrong with it in a scenario with these targets, with or without a schedule.
    #[must_use]
    pub fn misfits<'a>(&self, targets: impl IntoIterator<Item = &'a str> + Clone, max: bool) -> Vec<String> {
        let unknown = self.targets().filter(|name| !targets.clone().into_iter().any(|known| known == *name));
        let mut wrong: Vec<String> = unknown
            .map(|name| {
                let hint = did_you_mean(name, targets.clone());
                format!("there is no target `{name}`{hint}; allowed: {}", one_of(targets.clone()))
            })
            .collect();
        let unscheduled = self.metrics().filter(|metric| max && metric.needs_schedule());
        wrong.extend(unscheduled.map(|metric| {
            format!(
                "`{}` stays empty at rate max, which has no intended send times; allowed are service_time, transit_time, rates and counts",
                metric.name
            )
        }));
        wrong
    }
}

/// Characters of a name or number.
fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_-./%".contains(c)
}

/// The text and what is left of it.
struct Cursor<'a> {
    text: &'a str,
    rest: &'a str,
}

impl<'a> Cursor<'a> {
    /// An error at `rest`, which is a tail of the text.
    fn fail(&self, rest: &str, message: impl Into<String>) -> ExpectError {
        let at = self.text[..self.text.len() - rest.len()].chars().count();
        ExpectError { text: self.text.to_owned(), at, message: message.into() }
    }

    fn blank(&mut self) {
        self.rest = self.rest.trim_start();
    }

    /// The next word, empty if there is none.
    fn word(&mut self) -> &'a str {
        self.blank();
        let end = self.rest.find(|c| !is_word(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    /// Takes `sign` if it is next.
    fn take(&mut self, sign: &str) -> bool {
        self.blank();
        let rest = self.rest.strip_prefix(sign);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn metric(&mut self) -> Result<MetricOf, ExpectError> {
        self.blank();
        let start = self.rest;
        let word = self.word();
        self.metric_in(word, start)
    }

    /// The metric that `word`, which starts at `start`, names.
    fn metric_in(&self, word: &str, start: &str) -> Result<MetricOf, ExpectError> {
        let (target, name) =
            word.rsplit_once('.').map_or((None, word), |(target, name)| (Some(target), name));
        let Some(metric) = Metric::find(name) else {
            let known = Metric::nearest_first(name);
            let known = one_of(known.iter().map(String::as_str));
            let what = if name.is_empty() {
                "a metric is missing here".to_owned()
            } else {
                format!("`{name}` is no metric")
            };
            let at = &start[word.len() - name.len()..];
            return Err(self.fail(at, format!("{what}; known, nearest first: {known}")));
        };
        Ok(MetricOf { target: target.map(str::to_owned), metric })
    }

    fn compare(&mut self) -> Result<Compare, ExpectError> {
        let found = Compare::ALL.iter().find(|(sign, _)| self.take(sign));
        found.map(|(_, compare)| *compare).ok_or_else(|| {
            let allowed = one_of(Compare::ALL.iter().map(|(sign, _)| *sign));
            self.fail(self.rest, format!("a comparison is missing here; allowed: {allowed}"))
        })
    }

    fn right(&mut self, left: &MetricOf) -> Result<Right, ExpectError> {
        self.blank();
        let start = self.rest;
        let word = self.word();
        if word.is_empty() {
            return Err(self.fail(start, "a value or a metric is missing here"));
        }
        let Some(value) = value(word, &left.metric) else {
            if word.starts_with(|c: char| c.is_ascii_digit()) && !word.contains(|c: char| c.is_alphabetic()) {
                return Err(self.fail(start, format!("`{word}` is no number")));
            }
            let of = self.metric_in(word, start)?;
            let factor = if self.take("*") { self.factor()? } else { 1.0 };
            return Ok(Right::Times(factor, of));
        };
        if self.take("*") {
            let factor =
                word.parse().map_err(|_| self.fail(start, format!("`{word}` is no plain factor")))?;
            return Ok(Right::Times(factor, self.metric()?));
        }
        Ok(Right::Value(value))
    }

    fn factor(&mut self) -> Result<f64, ExpectError> {
        self.blank();
        let start = self.rest;
        let word = self.word();
        number(word).ok_or_else(|| self.fail(start, format!("`{word}` is no factor; allowed is a number")))
    }

    fn scopes(&mut self, expect: &mut Expect) -> Result<(), ExpectError> {
        self.blank();
        if self.rest.is_empty() {
            return Ok(());
        }
        if !self.take("@") {
            return Err(
                self.fail(self.rest, "nothing is allowed here but `@ target=…, point=…, against=…, phase=…`")
            );
        }
        loop {
            self.scope(expect)?;
            if !self.take(",") {
                break;
            }
        }
        self.blank();
        if expect.against.is_some() && matches!(expect.right, Right::Value(_)) {
            let message = "`against` is the point of the metric on the right, and there is a value";
            return Err(self.fail(self.rest, message));
        }
        if self.rest.is_empty() {
            Ok(())
        } else {
            Err(self.fail(self.rest, "nothing is allowed after the scope"))
        }
    }

    fn scope(&mut self, expect: &mut Expect) -> Result<(), ExpectError> {
        self.blank();
        let start = self.rest;
        let kind = self.word();
        let slot = match kind {
            "target" => &mut expect.left.target,
            "point" => &mut expect.point,
            "against" => &mut expect.against,
            "phase" => &mut expect.phase,
            _ => {
                let allowed = "`target=NAME`, `point=NAME`, `against=POINT`, `phase=NAME`";
                return Err(self.fail(start, format!("allowed here: {allowed}")));
            }
        };
        if slot.is_some() {
            return Err(self.fail(start, format!("the {kind} is given twice")));
        }
        if !self.take("=") {
            return Err(self.fail(self.rest, format!("`=` is missing after `{kind}`")));
        }
        self.blank();
        let end = self.rest.find(',').unwrap_or(self.rest.len());
        let (name, rest) = self.rest.split_at(end);
        if name.trim().is_empty() {
            return Err(self.fail(self.rest, format!("the {kind} is missing here")));
        }
        self.rest = rest;
        *slot = Some(name.trim().to_owned());
        Ok(())
    }
}

/// A finite number that is not negative.
fn number(word: &str) -> Option<f64> {
    if !word.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    word.parse::<f64>().ok().filter(|number| number.is_finite())
}

/// A value in the unit of `metric`, with or without that unit.
fn value(word: &str, metric: &Metric) -> Option<f64> {
    let name = metric.name.as_str();
    number(word).or_else(|| {
        if name.contains("_us_") {
            units::parse_duration(word).ok().map(|span| span.as_nanos() as f64 / 1_000.0)
        } else if name.ends_with("_per_s") && !name.starts_with("bytes") {
            units::parse_rate(word).ok()
        } else if name.contains("_bytes") {
            units::parse_size(word).ok().map(|bytes| bytes as f64)
        } else if name.ends_with("_ratio") {
            number(word.strip_suffix('%')?).map(|percent| percent / 100.0)
        } else {
            None
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn right(text: &str) -> Right {
        Expect::parse(text).unwrap().right
    }

    #[test]
    fn a_metric_is_compared_with_a_value_in_its_own_unit() {
        let expect = Expect::parse(" nats-2.11.delivery_time_us_p99 <= 5ms ").unwrap();
        assert_eq!(expect.left.target.as_deref(), Some("nats-2.11"));
        assert_eq!(expect.left.metric.name, "delivery_time_us_p99");
        assert_eq!((expect.compare, &expect.right), (Compare::AtMost, &Right::Value(5_000.0)));
        assert_eq!(right("lost == 0"), Right::Value(0.0));
        assert_eq!(right("loss_ratio<0.1%"), Right::Value(0.001));
        assert_eq!(right("publishes_per_s >= 20k/s"), Right::Value(20_000.0));
        assert_eq!(right("broker_rss_bytes_max < 1GiB"), Right::Value(1_073_741_824.0));
    }

    #[test]
    fn a_metric_is_compared_with_a_multiple_of_another_targets() {
        for text in [
            "nats.delivery_time_us_p99 <= 2 * redis.delivery_time_us_p99",
            "nats.delivery_time_us_p99 <= redis.delivery_time_us_p99 * 2",
        ] {
            let expect = Expect::parse(text).unwrap();
            assert_eq!(expect.targets().collect::<Vec<_>>(), ["nats", "redis"]);
            assert!(matches!(expect.right, Right::Times(factor, _) if factor == 2.0));
        }
    }

    #[test]
    fn scopes_follow_an_at_sign() {
        let expect = Expect::parse("lost == 0 @ target=nats, point=payload 1KiB, phase=measure").unwrap();
        assert_eq!(expect.left.target.as_deref(), Some("nats"));
        assert_eq!(
            (expect.point.as_deref(), expect.phase.as_deref()),
            (Some("payload 1KiB"), Some("measure"))
        );
        let text =
            "redis.publishes_per_s <= 0.7 * redis.publishes_per_s @ point=payload=1KiB, against=payload=1B";
        let expect = Expect::parse(text).unwrap();
        assert_eq!(
            (expect.point.as_deref(), expect.against.as_deref()),
            (Some("payload=1KiB"), Some("payload=1B"))
        );
    }

    #[test]
    fn an_error_points_at_the_character() {
        for (text, at, message) in [
            ("lst == 0", 0, "`lst` is no metric; known, nearest first: `lost`"),
            ("nats.delivery_time_p99 <= 1", 5, "`delivery_time_us_p99`"),
            ("lost = 0", 5, "a comparison is missing here"),
            ("lost == ", 7, "a value or a metric is missing"),
            ("lost == 0 0", 10, "nothing is allowed here"),
            ("lost == 2 * ", 11, "a metric is missing"),
            ("lost == 1.2.3", 8, "no number"),
            ("lost == 0 @ topic=1", 12, "allowed here"),
            ("a.lost == 0 @ target=b", 14, "given twice"),
            ("lost == 0 @ against=payload=1B", 30, "there is a value"),
            ("", 0, "a metric is missing"),
        ] {
            let error = Expect::parse(text).unwrap_err();
            assert_eq!(error.at, at, "{text}: {error}");
            assert!(error.message.contains(message), "{text}: {error}");
        }
    }

    #[test]
    fn what_does_not_fit_the_scenario_is_named() {
        let expect = Expect::parse("nat.delivery_time_us_p50 <= 1").unwrap();
        let wrong = expect.misfits(["redis", "nats"], true);
        assert!(wrong[0].contains("did you mean `nats`"), "{wrong:?}");
        assert!(wrong[1].contains("rate max"), "{wrong:?}");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_parser_panic(text in "\\PC{0,40}") {
            let _ = Expect::parse(&text).map_err(|error| error.to_string());
        }

        #[test]
        fn no_nearly_right_text_makes_the_parser_panic(
            text in "(a\\.)?(lost|lst|ü)? ?(==|<=|=)? ?[0-9.%kms/]{0,5} ?[*@]? ?(a\\.lost|target=)?[é,]?"
        ) {
            let _ = Expect::parse(&text).map_err(|error| error.to_string());
        }
    }
}
