//! Published claims over several runs: one row for each claim, with what was measured, the answer, and why.

use std::collections::BTreeSet;

use super::loaded::Loaded;
use super::markdown::{head, row};
use crate::gate::{Answer, Judgement};

/// Heads of the columns.
const COLUMNS: [&str; 6] = ["scenario", "claim", "put to the test as", "of", "answer", "measured"];

/// One Markdown table over all runs in the order of the claims, where and on what it was measured, and how many claims
/// came to which answer. Expectations that are nobody's claim are left out.
#[must_use]
pub fn claims(runs: &[Loaded]) -> String {
    let mut found: Vec<(&str, Judgement)> = Vec::new();
    for run in runs {
        let claimed = run.judgements().into_iter().filter(|judgement| judgement.claim.is_some());
        found.extend(claimed.map(|judgement| (run.manifest.scenario.as_str(), judgement)));
    }
    if found.is_empty() {
        return "None of these runs puts a published claim to the test.\n".to_owned();
    }
    found.sort_by_key(|(_, judgement)| place(judgement));
    let mut text = String::from("# Published claims, put to the test\n\n");
    measured_on(runs).iter().for_each(|line| text += &format!("{line}\n\n"));
    text += &head(&COLUMNS);
    found.iter().for_each(|(scenario, judgement)| text += &row(&cells(scenario, judgement)));
    text + "\n" + &totals(&found)
}

/// Which published sentence it is about: what its source says before any note on tolerance.
fn origin(judgement: &Judgement) -> &str {
    judgement.source.as_deref().unwrap_or_default().split(';').next().unwrap_or_default()
}

/// What claims are put in order by: their origin, its numbers as numbers.
fn place(judgement: &Judgement) -> (String, Vec<u64>) {
    let origin = origin(judgement);
    let numbers = origin.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok());
    (origin.chars().filter(|c| !c.is_ascii_digit()).collect(), numbers.collect())
}

/// When, by what, on which machine and against which systems the runs were made; different ones one under the other.
fn measured_on(runs: &[Loaded]) -> Vec<String> {
    let mut places: Vec<String> = Vec::new();
    let mut systems = BTreeSet::new();
    for Loaded { manifest, .. } in runs {
        let fact = |name: &str| manifest.environment[name].as_str().unwrap_or("unknown");
        let place = format!(
            "Measured on {}, {} cores, {}, by busmark {} ({}), {}.",
            fact("cpu_model"),
            manifest.environment["cpus"],
            fact("system"),
            manifest.busmark.version,
            manifest.busmark.commit.as_deref().unwrap_or("of no known commit"),
            manifest.started_at.split('T').next().unwrap_or_default(),
        );
        if !places.contains(&place) {
            places.push(place);
        }
        let known = manifest.targets.iter().filter_map(|target| {
            target.broker_version.as_ref().map(|version| format!("{} {version}", target.driver))
        });
        systems.extend(known);
    }
    if !systems.is_empty() {
        places.push(format!("Systems: {}.", systems.into_iter().collect::<Vec<_>>().join(", ")));
    }
    places
}

/// How many sentences came to which answer, and how many claims to any.
fn totals(found: &[(&str, Judgement)]) -> String {
    let count = |wanted: Answer| found.iter().filter(|(_, judgement)| judgement.answer == wanted).count();
    let origins: BTreeSet<&str> = found.iter().map(|(_, judgement)| origin(judgement)).collect();
    let answered = found.iter().filter(|(_, judgement)| judgement.answer != Answer::CannotBeJudged);
    let decided: BTreeSet<&str> = answered.map(|(_, judgement)| origin(judgement)).collect();
    format!(
        "{} hold, {} fail, {} cannot be judged here; of {} sources {} came to an answer.\n",
        count(Answer::Holds),
        count(Answer::Fails),
        count(Answer::CannotBeJudged),
        origins.len(),
        decided.len()
    )
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

    fn run(lost: u64, number: u32) -> Loaded {
        let scenario = format!(
            "name = 'mine'\n[workload]\npayload = '16B'\nrate = '1k/s'\n[phases]\nmeasure = '1s'\n\
            [[target]]\nname = 'redis'\ndriver = 'loopback'\n\
            [[expect]]\nthat = 'lost == 0'\nclaim = 'loses nothing'\nsource = 'an article, claim {number}; to the message'\n\
            [[expect]]\nthat = 'corrupt == 0'\n"
        );
        let counts = Counts { sent: 9, expected: 9, lost, ..Counts::default() };
        let record = TrialRecord { target: "redis".into(), trial: 1, counts, ..TrialRecord::default() };
        Loaded {
            dir: "x".into(),
            manifest: Manifest {
                scenario: "mine".into(),
                scenario_filled_in: scenario,
                started_at: "2026-11-30T12:00:00Z".into(),
                environment: serde_json::json!({ "cpu_model": "A", "cpus": 2, "system": "S" }),
                ..Manifest::default()
            },
            headlines: headlines(&[&record]),
            trials: vec![Trial { record, curves: Vec::new() }],
            ..Loaded::default()
        }
    }

    #[test]
    fn each_claim_has_a_row_with_its_answer_in_the_order_of_their_numbers_and_the_answers_are_counted() {
        let text = claims(&[run(2, 10), run(0, 9)]);
        let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| mine")).collect();
        assert_eq!(rows.len(), 2, "{text}");
        assert_eq!(
            rows[0],
            "| mine | loses nothing (an article, claim 9; to the message) | `lost == 0` | redis | **holds** | in the one trial |"
        );
        assert!(rows[1].contains("| **fails** | lost is 2 in trial 1, not == 0 |"), "{}", rows[1]);
        assert!(text.contains("on A, 2 cores, S, by busmark"), "{text}");
        let totals = "1 hold, 1 fail, 0 cannot be judged here; of 2 sources 2 came to an answer.\n";
        assert!(text.ends_with(totals), "{text}");
    }

    #[test]
    fn runs_without_a_claim_say_so() {
        assert_eq!(claims(&[]), "None of these runs puts a published claim to the test.\n");
    }
}
