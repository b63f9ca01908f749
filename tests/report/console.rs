//! The table a person reads: complete, honest about what was not measured, and as wide as the terminal.

use busmark::gate::{Answer, Judgement};
use busmark::report::{Loaded, Page, ResultsFolder, console, json, markdown};

use crate::fixture;

fn run() -> (tempfile::TempDir, Loaded) {
    let root = tempfile::tempdir().expect("a temporary folder");
    let path = fixture::finished(root.path()).path().to_owned();
    let loaded = ResultsFolder::open(&path).expect("a run");
    (root, loaded)
}

fn plain(width: u16) -> Page {
    Page { width, colour: false }
}

fn failed() -> Judgement {
    Judgement {
        text: "lost == 0".to_owned(),
        claim: None,
        source: None,
        target: "redis-8".to_owned(),
        point: String::new(),
        answer: Answer::Fails,
        reason: "39 to 43 in each of 5 trials".to_owned(),
        measured: None,
    }
}

/// The cells of the row with this label, as the table at 100 columns shows them.
fn cells(text: &str, label: &str) -> Vec<String> {
    let row = text.lines().find(|line| line.trim_start().starts_with(label)).unwrap_or_default();
    let rest = row.trim_start().trim_start_matches(label);
    rest.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).map(str::to_owned).collect()
}

#[test]
fn each_figure_has_its_unit_and_losses_are_sums_over_trials() {
    let (_root, run) = run();
    let text = console(&run, &[], plain(100));
    for (label, expected) in [
        ("verdict", ["SUSPECT", "VALID"]),
        ("offered", ["20.0 k/s", "20.0 k/s"]),
        ("delivery time p50", ["66.0 µs", "116 µs"]),
        ("delivery time p99.9 ", ["627 µs", "1.10 ms"]),
        ("delivery time max", ["∞", "4.64 ms"]),
        ("lost", ["205 (0.0205 %)", "0"]),
        ("acknowledged, then lost", ["–", "0"]),
        ("disconnects", ["5", "0"]),
        ("broker CPU per message", ["3.30 µs", "5.80 µs"]),
        ("broker memory, largest", ["12.3 MiB", "12.3 MiB"]),
        ("of the generator's ceiling", ["3.80 %", "3.80 %"]),
    ] {
        assert_eq!(cells(&text, label), expected, "{label}\n{text}");
    }
    for sign in ["∞: latencies are ranked over all expected messages", "–: not measured"] {
        assert!(text.contains(sign), "{sign}");
    }
}

#[test]
fn verdicts_unlike_guarantees_expectations_and_files_are_told_below() {
    let (_root, run) = run();
    let text = console(&run, &[failed()], plain(120));
    for line in [
        "  SUSPECT redis-8, trial 2: hiccups: a sleeper woke 12.0 ms late, threshold 5 ms\n",
        "Not alike: these targets promise different things",
        "  nats-2.11: at-least-once, leader-ack, fsync-interval, r1\n",
        "  ✗ redis-8: lost == 0: fails: 39 to 43 in each of 5 trials\n",
        &format!("Files: {}\n", run.dir.display()),
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}

#[test]
fn equal_guarantees_are_not_called_unlike() {
    let (_root, mut run) = run();
    run.headlines.iter_mut().for_each(|headline| headline.guarantee = fixture::NATS_PROMISE.to_owned());
    assert!(!console(&run, &[], plain(100)).contains("Not alike"));
}

#[test]
fn no_line_is_wider_than_the_terminal_and_no_target_is_left_out() {
    let (_root, run) = run();
    for width in [50, 60, 80, 100, 200] {
        let text = console(&run, &[failed()], plain(width));
        let widest = text.lines().filter(|line| !line.contains("/")).map(|line| line.chars().count()).max();
        assert!(widest.unwrap() <= usize::from(width), "{width}: {widest:?}\n{text}");
        assert_eq!(cells(&text, "verdict").len(), if width < 80 { 1 } else { 2 }, "{width}\n{text}");
        assert!(text.contains("redis-8") && text.contains("nats-2.11"));
    }
}

#[test]
fn colours_only_where_they_are_wanted() {
    let (_root, run) = run();
    assert!(!console(&run, &[failed()], plain(80)).contains('\u{1b}'));
    let text = console(&run, &[failed()], Page { width: 80, colour: true });
    assert!(text.contains("\u{1b}[33mSUSPECT\u{1b}[0m") && text.contains("\u{1b}[32mVALID\u{1b}[0m"));
}

#[test]
fn six_trials_show_the_interval_of_their_median() {
    let root = tempfile::tempdir().unwrap();
    let mut folder = ResultsFolder::create(root.path(), fixture::NOON, fixture::manifest(6)).unwrap();
    fixture::trials(6).into_iter().for_each(|trial| folder.append(trial).unwrap());
    folder.finish(fixture::NOON, false).unwrap();
    let text = console(&ResultsFolder::open(folder.path()).unwrap(), &[], plain(100));
    assert_eq!(cells(&text, "delivery time p50")[0], "67.0 µs [62.0 µs – 72.0 µs]", "{text}");
    assert!(text.contains("95 % rank intervals"));
}

#[test]
fn markdown_has_a_row_for_each_figure_and_lists_below() {
    let (_root, run) = run();
    let text = markdown(&run, &[failed()]);
    let row = text.lines().find(|line| line.starts_with("| lost")).unwrap();
    assert_eq!(row.split('|').map(str::trim).collect::<Vec<_>>(), ["", "lost", "205 (0.0205 %)", "0", ""]);
    assert!(text.contains("\n\n- ✗ redis-8: lost == 0"), "{text}");
}

#[test]
fn json_is_one_document_with_everything_in_it() {
    let (_root, run) = run();
    let value: serde_json::Value = serde_json::from_str(&json(&run, &[failed()]).unwrap()).unwrap();
    assert_eq!(value["trials"].as_array().unwrap().len(), 10);
    assert_eq!(value["headlines"][0]["sums"]["lost"], 205);
    assert_eq!(value["headlines"][0]["medians"]["delivery_time_us_max"]["median"], "inf");
    assert_eq!(value["headlines"][0]["reasons"][0]["code"], "hiccups");
    assert_eq!(value["judgements"][0]["answer"], "fails");
    assert_eq!(value["manifest"]["command_line"][0], "busmark");
}
