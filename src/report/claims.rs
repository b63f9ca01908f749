//! Published claims over several runs: one row for each claim, with what was measured, the answer, and why.

use std::fmt::Write;

use super::loaded::Loaded;
use super::markdown::{head, row};
use crate::gate::{Answer, Judgement};

/// Heads of the columns.
const COLUMNS: [&str; 6] = ["scenario", "claim", "put to the test as", "of", "answer", "measured"];

/// One Markdown table over all runs, and how many claims came to which answer. Expectations that are nobody's claim
/// are left out.
#[must_use]
pub fn claims(runs: &[Loaded]) -> String {
    let mut text = String::from("# Published claims, put to the test\n\n");
    text += &head(&COLUMNS);
    let mut answers = Vec::new();
    for run in runs {
        for judgement in run.judgements().iter().filter(|judgement| judgement.claim.is_some()) {
            text += &row(&cells(&run.manifest.scenario, judgement));
            answers.push(judgement.answer);
        }
    }
    if answers.is_empty() {
        return "None of these runs puts a published claim to the test.\n".to_owned();
    }
    let count = |wanted: Answer| answers.iter().filter(|answer| **answer == wanted).count();
    let _ = writeln!(
        text,
        "\n{} hold, {} fail, {} cannot be judged here.",
        count(Answer::Holds),
        count(Answer::Fails),
        count(Answer::CannotBeJudged)
    );
    text
}

fn cells(scenario: &str, judgement: &Judgement) -> [String; 6] {
    let plain = |text: &str| text.replace('|', "\\|").replace('\n', " ");
    let source = judgement.source.as_deref().map_or_else(String::new, |source| format!(" ({source})"));
    [
        plain(scenario),
        plain(&format!("{}{source}", judgement.claim.as_deref().unwrap_or_default())),
        format!("`{}`", plain(&judgement.text)),
        plain(format!("{} {}", judgement.target, judgement.point).trim_end()),
        format!("**{}**", judgement.answer.name()),
        plain(&judgement.reason),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::measure::{Counts, TrialRecord};
    use crate::report::Trial;
    use crate::report::manifest::Manifest;
    use crate::report::summary::headlines;

    fn run(lost: u64) -> Loaded {
        let scenario = "name = 'mine'\n[workload]\npayload = '16B'\nrate = '1k/s'\n[phases]\nmeasure = '1s'\n\
            [[target]]\nname = 'redis'\ndriver = 'loopback'\n\
            [[expect]]\nthat = 'lost == 0'\nclaim = 'loses nothing'\nsource = 'an article'\n\
            [[expect]]\nthat = 'corrupt == 0'\n";
        let counts = Counts { sent: 9, expected: 9, lost, ..Counts::default() };
        let record = TrialRecord { target: "redis".into(), trial: 1, counts, ..TrialRecord::default() };
        Loaded {
            dir: "x".into(),
            manifest: Manifest {
                scenario: "mine".into(),
                scenario_filled_in: scenario.into(),
                ..Manifest::default()
            },
            headlines: headlines(&[&record]),
            trials: vec![Trial { record, curves: Vec::new() }],
            warnings: Vec::new(),
        }
    }

    #[test]
    fn each_claim_has_a_row_with_its_answer_and_the_answers_are_counted() {
        let text = claims(&[run(0), run(2)]);
        let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| mine")).collect();
        assert_eq!(rows.len(), 2, "{text}");
        assert_eq!(
            rows[0],
            "| mine | loses nothing (an article) | `lost == 0` | redis | **holds** | in the one trial |"
        );
        assert!(rows[1].contains("| **fails** | lost is 2 in trial 1, not == 0 |"), "{}", rows[1]);
        assert!(text.ends_with("1 hold, 1 fail, 0 cannot be judged here.\n"), "{text}");
    }

    #[test]
    fn runs_without_a_claim_say_so() {
        assert_eq!(claims(&[]), "None of these runs puts a published claim to the test.\n");
    }
}
