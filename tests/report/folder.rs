//! A results folder is whole after every trial, and says what is wrong with it when it is not.

use std::fs;
use std::path::Path;

use busmark::report::{ReportError, ResultsFolder};

use crate::fixture::{self, NOON};

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(dir)
        .expect("a folder")
        .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_finished_run_leaves_every_file_and_latest_points_at_it() {
    let root = tempfile::tempdir().unwrap();
    let folder = fixture::finished(root.path());
    assert_eq!(folder.path().file_name().unwrap(), "redis-vs-jetstream-20261124T120000Z");
    assert_eq!(
        fs::canonicalize(root.path().join("latest")).unwrap(),
        fs::canonicalize(folder.path()).unwrap()
    );
    for name in [
        "manifest.json",
        "summary.csv",
        "summary.json",
        "percentiles.csv",
        "timeline.csv",
        "slowest.csv",
        "report.html",
    ] {
        assert!(names(folder.path()).contains(&name.to_owned()), "{name}");
    }
    assert_eq!(
        names(&folder.path().join("charts")),
        [
            "latency-by-percentile.png",
            "latency-by-percentile.svg",
            "over-time.png",
            "over-time.svg",
            "throughput-and-loss.png",
            "throughput-and-loss.svg"
        ]
    );
    let loaded = ResultsFolder::open(folder.path()).unwrap();
    assert_eq!(loaded.trials, fixture::trials(5));
    assert_eq!(loaded.warnings, Vec::<String>::new());
}

#[test]
fn after_each_trial_everything_measured_so_far_can_be_read() {
    let root = tempfile::tempdir().unwrap();
    let mut folder = ResultsFolder::create(root.path(), NOON, fixture::manifest(2)).unwrap();
    for (done, trial) in fixture::trials(2).into_iter().enumerate() {
        folder.append(trial).unwrap();
        // What a second process sees if this one is killed now.
        let loaded = ResultsFolder::open(folder.path()).unwrap();
        assert_eq!(loaded.trials, fixture::trials(2)[..=done]);
        assert_eq!(
            loaded.warnings,
            [format!("this run did not end by itself: {} of 4 trials are here", done + 1)]
        );
    }
}

#[test]
fn two_runs_in_the_same_second_get_a_folder_each() {
    let root = tempfile::tempdir().unwrap();
    let first = ResultsFolder::create(root.path(), NOON, fixture::manifest(1)).unwrap();
    let second = ResultsFolder::create(root.path(), NOON, fixture::manifest(1)).unwrap();
    assert_ne!(first.path(), second.path());
    let latest = fs::canonicalize(root.path().join("latest")).unwrap();
    assert_eq!(latest, fs::canonicalize(second.path()).unwrap());
}

#[test]
fn an_interrupted_run_says_so() {
    let root = tempfile::tempdir().unwrap();
    let mut folder = ResultsFolder::create(root.path(), NOON, fixture::manifest(5)).unwrap();
    folder.append(fixture::trial(true, 1)).unwrap();
    folder.finish(NOON, true).unwrap();
    let loaded = ResultsFolder::open(folder.path()).unwrap();
    assert_eq!(loaded.warnings, ["this run was interrupted after 1 of 10 trials"]);
}

#[test]
fn a_folder_that_is_no_result_is_named_as_such() {
    let root = tempfile::tempdir().unwrap();
    let error = ResultsFolder::open(&root.path().join("gone")).unwrap_err().to_string();
    assert!(error.contains("gone is no results folder: it is not there"), "{error}");
    let error = ResultsFolder::open(root.path()).unwrap_err().to_string();
    assert!(error.contains("it has no manifest.json"), "{error}");
    let file = root.path().join("file");
    fs::write(&file, "").unwrap();
    assert!(ResultsFolder::open(&file).unwrap_err().to_string().contains("it is a file"));
}

#[test]
fn a_run_killed_in_its_first_trial_has_nothing_to_show() {
    let root = tempfile::tempdir().unwrap();
    let folder = ResultsFolder::create(root.path(), NOON, fixture::manifest(1)).unwrap();
    assert!(matches!(ResultsFolder::open(folder.path()), Err(ReportError::NoTrials { .. })));
}

/// Changes one file of a finished run by replacing the first occurrence of some text.
fn edit(dir: &Path, name: &str, from: &str, to: &str) {
    let text = fs::read_to_string(dir.join(name)).expect("a file");
    assert!(text.contains(from), "{name} does not hold {from}");
    fs::write(dir.join(name), text.replacen(from, to, 1)).expect("written");
}

#[test]
fn a_file_cut_off_is_damaged_and_the_error_says_where() {
    let root = tempfile::tempdir().unwrap();
    let folder = fixture::finished(root.path());
    let path = folder.path().join("summary.json");
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, &text[..text.len() / 2]).unwrap();
    let error = ResultsFolder::open(folder.path()).unwrap_err().to_string();
    assert!(error.contains("summary.json can't be read: EOF") && error.contains("at line "), "{error}");
}

#[test]
fn a_folder_of_a_newer_busmark_is_refused_by_its_version() {
    for name in ["manifest.json", "summary.json"] {
        let root = tempfile::tempdir().unwrap();
        let folder = fixture::finished(root.path());
        edit(folder.path(), name, "\"schema_version\": 1", "\"schema_version\": 2");
        let error = ResultsFolder::open(folder.path()).unwrap_err();
        assert!(matches!(error, ReportError::TooNew { found: 2, known: 1, .. }), "{error}");
        assert!(error.to_string().contains(name), "{error}");
    }
}

#[test]
fn an_edited_table_is_noticed_and_its_figures_are_not_used() {
    let root = tempfile::tempdir().unwrap();
    let folder = fixture::finished(root.path());
    edit(folder.path(), "summary.csv", "0.000195", "0");
    let loaded = ResultsFolder::open(folder.path()).unwrap();
    assert!(
        loaded.warnings[0].starts_with("summary.csv is not what summary.json says"),
        "{:?}",
        loaded.warnings
    );
    assert_eq!(loaded.trials, fixture::trials(5));
}

#[test]
fn edited_headlines_are_taken_from_the_trials_again() {
    let root = tempfile::tempdir().unwrap();
    let folder = fixture::finished(root.path());
    edit(folder.path(), "summary.json", "\"lost\": 205", "\"lost\": 0");
    let loaded = ResultsFolder::open(folder.path()).unwrap();
    assert_eq!(loaded.headlines[0].sum("lost"), Some(39 + 40 + 41 + 42 + 43));
    assert!(loaded.warnings[0].contains("headlines"), "{:?}", loaded.warnings);
}

#[test]
fn nonsense_in_a_record_is_refused_with_its_line() {
    for (from, to) in [
        ("\"grade\": \"VALID\"", "\"grade\": \"PERFECT\""),
        ("\"trial\": 1,", "\"trial\": -1,"),
        ("\"trial\": 2,\n      \"verdict\"", "\"trial\": 1,\n      \"verdict\""),
    ] {
        let root = tempfile::tempdir().unwrap();
        let folder = fixture::finished(root.path());
        edit(folder.path(), "summary.json", from, to);
        let error = ResultsFolder::open(folder.path()).unwrap_err().to_string();
        assert!(error.contains("summary.json can't be read"), "{error}");
        assert!(error.contains(" line ") || error.contains("stands there twice"), "{error}");
    }
}

#[test]
fn an_hdr_log_holds_the_intervals_of_its_trial_and_no_separator_leaves_the_folder() {
    use busmark::measure::{IntervalLog, LatencyHistogram};
    let root = tempfile::tempdir().unwrap();
    let folder = ResultsFolder::create(root.path(), NOON, fixture::manifest(1)).unwrap();
    let mut histogram = LatencyHistogram::new();
    (1..=500).for_each(|i| histogram.record(i * 1_000));
    let mut log = IntervalLog::default();
    log.add("delivery_time", 0, 1_000_000_000, histogram.hdr());
    let mut record = fixture::trial(true, 3).record;
    record.point = "payload=1/../2".to_owned();
    folder.write_log(&record, &log, NOON).unwrap();
    let text = fs::read_to_string(folder.path().join("redis-8-payload=1_.._2-3.hlog")).unwrap();
    assert!(text.starts_with("#busmark, redis-vs-jetstream, redis-8,"), "{text}");
    assert!(text.contains("Tag=delivery_time,0.000,1.000,0.500,"), "{text}");
}
