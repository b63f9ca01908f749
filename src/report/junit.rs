//! Expectations and gates as JUnit XML (the form that Jenkins, GitHub and GitLab read) and as GitHub
//! annotations.

use std::fmt::Write;

use crate::gate::{Answer, Decision, Judgement, Outcome};

/// One line of a CI report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Case {
    /// What it belongs to: the target, with its point.
    pub group: String,
    /// What was asked.
    pub name: String,
    /// What came of it.
    pub end: End,
    /// Why, in one sentence.
    pub reason: String,
}

/// How a case ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// It holds.
    Passed,
    /// It fails.
    Failed,
    /// No answer, and that is no success.
    Errored,
    /// No answer, and that is to be taken as none.
    Skipped,
}

/// What a missing answer is to count as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Inconclusive {
    /// As what it is: exit 3.
    Error,
    /// As nothing, with a warning: exit 0.
    Skip,
    /// As a failure: exit 1.
    Fail,
}

impl Inconclusive {
    fn end(self) -> End {
        match self {
            Self::Error => End::Errored,
            Self::Skip => End::Skipped,
            Self::Fail => End::Failed,
        }
    }
}

/// The cases of expectations.
#[must_use]
pub fn cases_of(judgements: &[Judgement], inconclusive: Inconclusive) -> Vec<Case> {
    let case = |one: &Judgement| Case {
        group: if one.point.is_empty() {
            one.target.clone()
        } else {
            format!("{} {}", one.target, one.point)
        },
        name: one.text.clone(),
        end: match one.answer {
            Answer::Holds => End::Passed,
            Answer::Fails => End::Failed,
            Answer::CannotBeJudged => inconclusive.end(),
        },
        reason: one.reason.clone(),
    };
    judgements.iter().map(case).collect()
}

/// The cases of a gate: the comparison itself, and its expectations.
#[must_use]
pub fn cases_of_gate(outcome: &Outcome, candidate: &str, inconclusive: Inconclusive) -> Vec<Case> {
    let comparison = Case {
        group: candidate.to_owned(),
        name: "no worse than the base".to_owned(),
        end: match outcome.decision {
            Decision::Pass => End::Passed,
            Decision::Fail => End::Failed,
            Decision::Inconclusive => inconclusive.end(),
        },
        reason: outcome.reason.clone(),
    };
    std::iter::once(comparison).chain(cases_of(&outcome.judgements, inconclusive)).collect()
}

/// A JUnit file with one suite, valid by the schemas of Ant (JUnit.xsd) and Jenkins (junit-10.xsd) alike.
/// `started_at` is RFC 3339.
#[must_use]
pub fn junit(suite: &str, started_at: &str, seconds: f64, cases: &[Case]) -> String {
    let count = |end| cases.iter().filter(|case| case.end == end).count();
    // JUnit's timestamp is a dateTime without zone.
    let timestamp = started_at.get(..19).unwrap_or(started_at);
    let counts = format!(
        "tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\"",
        cases.len(),
        count(End::Failed),
        count(End::Errored),
        count(End::Skipped)
    );
    let name = escaped(suite);
    let mut xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n  <testsuite name=\"{name}\" package=\"{name}\" id=\"0\" {counts} time=\"{seconds:.3}\" timestamp=\"{}\" hostname=\"localhost\">\n    <properties/>\n",
        escaped(timestamp)
    );
    for case in cases {
        let class = format!("{suite}.{}", case.group);
        let _ = write!(
            xml,
            "    <testcase classname=\"{}\" name=\"{}\" time=\"0\"",
            escaped(&class),
            escaped(&case.name)
        );
        xml.push_str(&inside(case));
    }
    // Ant's schema gives a case no output of its own: why one passed stands behind them all.
    let passed = cases.iter().filter(|case| case.end == End::Passed);
    let why: String =
        passed.map(|case| format!("{}: {}: {}\n", case.group, case.name, case.reason)).collect();
    let why = why.lines().map(escaped).collect::<Vec<_>>().join("\n");
    let _ =
        write!(xml, "    <system-out>{why}</system-out>\n    <system-err/>\n  </testsuite>\n</testsuites>\n");
    xml
}

/// The rest of a testcase, from behind its attributes.
fn inside(case: &Case) -> String {
    let reason = escaped(&case.reason);
    match case.end {
        End::Passed => "/>\n".to_owned(),
        End::Failed => format!(
            ">\n      <failure message=\"{reason}\" type=\"expectation\">{reason}</failure>\n    </testcase>\n"
        ),
        End::Errored => format!(
            ">\n      <error message=\"{reason}\" type=\"inconclusive\">{reason}</error>\n    </testcase>\n"
        ),
        End::Skipped => format!(">\n      <skipped message=\"{reason}\"/>\n    </testcase>\n"),
    }
}

/// GitHub's workflow commands: an error for what failed, a warning for what has no answer.
#[must_use]
pub fn annotations(suite: &str, cases: &[Case]) -> String {
    let line = |case: &Case| {
        let level = match case.end {
            End::Passed => return None,
            End::Failed => "error",
            End::Errored | End::Skipped => "warning",
        };
        let title = property(&format!("{suite}: {}", case.group));
        Some(format!("::{level} title={title}::{}\n", data(&format!("{}: {}", case.name, case.reason))))
    };
    cases.iter().filter_map(line).collect()
}

/// As an attribute or text of XML 1.0, in which most control characters can't stand at all.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push_str("&#10;"),
            '\t' => out.push_str("&#9;"),
            '\u{fffe}' | '\u{ffff}' => out.push('\u{fffd}'),
            other if other.is_control() => out.push('\u{fffd}'),
            other => out.push(other),
        }
    }
    out
}

/// As the message of a workflow command.
fn data(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// As a property of a workflow command.
fn property(text: &str) -> String {
    data(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judgement(text: &str, answer: Answer, reason: &str) -> Judgement {
        Judgement {
            text: text.to_owned(),
            claim: None,
            source: None,
            target: "nats-2.11".to_owned(),
            point: String::new(),
            answer,
            reason: reason.to_owned(),
            measured: None,
        }
    }

    fn three() -> Vec<Judgement> {
        vec![
            judgement("lost == 0", Answer::Holds, "in each of 5 trials"),
            judgement("p99 <= 5", Answer::Fails, "p99 is 7 & \"more\" than <5>\u{1}"),
            judgement("p50 <= 1", Answer::CannotBeJudged, "too few trials: 3"),
        ]
    }

    #[test]
    fn counts_agree_with_the_cases_and_nothing_breaks_the_xml() {
        let xml = junit("quick", "2026-01-02T03:04:05Z", 1.5, &cases_of(&three(), Inconclusive::Error));
        assert!(
            xml.contains("tests=\"3\" failures=\"1\" errors=\"1\" skipped=\"0\" time=\"1.500\""),
            "{xml}"
        );
        assert!(xml.contains("timestamp=\"2026-01-02T03:04:05\""), "{xml}");
        assert!(xml.contains("classname=\"quick.nats-2.11\" name=\"p99 &lt;= 5\""), "{xml}");
        assert!(xml.contains("p99 is 7 &amp; &quot;more&quot; than &lt;5&gt;\u{fffd}"), "{xml}");
        assert_eq!(xml.matches("<testcase").count(), 3, "{xml}");
        assert!(xml.contains("<system-out>nats-2.11: lost == 0: in each of 5 trials</system-out>"), "{xml}");
    }

    #[test]
    fn a_missing_answer_counts_as_it_was_asked_for() {
        let ends = |inconclusive| cases_of(&three(), inconclusive).last().map(|case| case.end);
        assert_eq!(ends(Inconclusive::Skip), Some(End::Skipped));
        assert_eq!(ends(Inconclusive::Fail), Some(End::Failed));
        let xml = junit("quick", "", 0.0, &cases_of(&three(), Inconclusive::Skip));
        assert!(xml.contains("errors=\"0\" skipped=\"1\"") && xml.contains("<skipped message="), "{xml}");
    }

    #[test]
    fn a_gate_leads_its_expectations() {
        let outcome = Outcome {
            decision: Decision::Fail,
            reason: "worse".to_owned(),
            reached: crate::gate::Reached::First,
            noise: Vec::new(),
            findings: Vec::new(),
            judgements: three(),
            trials: 9,
            invalid: 0,
        };
        let cases = cases_of_gate(&outcome, "new", Inconclusive::Error);
        assert_eq!((cases.len(), cases[0].end, cases[0].group.as_str()), (4, End::Failed, "new"));
    }

    #[test]
    fn annotations_name_failures_as_errors_and_open_ones_as_warnings() {
        let mut judgements = three();
        judgements[1].reason = "100 %\nworse".to_owned();
        let text = annotations("quick", &cases_of(&judgements, Inconclusive::Error));
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(
            lines,
            [
                "::error title=quick%3A nats-2.11::p99 <= 5: 100 %25%0Aworse",
                "::warning title=quick%3A nats-2.11::p50 <= 1: too few trials: 3",
            ]
        );
    }
}
