//! Baselines: kept, listed, shown, compared with, and refused with the reason.

use std::fs;
use std::path::{Path, PathBuf};

use crate::stage::{busmark, document, folder, stderr, stdout};

/// A folder with a finished run of the good target in it, kept as `main`.
fn with_baseline() -> tempfile::TempDir {
    let dir = folder();
    let words = ["run", "short.toml", "--only", "good", "--trials", "6", "--no-calibration", "-q"];
    let run = busmark(dir.path(), &words);
    assert!(run.status.success(), "{}", stderr(&run));
    let saved = busmark(dir.path(), &["baseline", "save", "main"]);
    assert!(saved.status.success(), "{}", stderr(&saved));
    assert_eq!(stdout(&saved), "kept baselines/main: short, good (6 trials)\n");
    dir
}

/// What a gate of the good target against a baseline says, and its exit code.
fn gate(dir: &Path, against: &str, more: &[&str]) -> (Option<i32>, String) {
    let words = ["gate", "short.toml", "--candidate", "good", "--against", against, "-q", "--json"];
    let metric = ["--metric", "delivery_time_us_p50"];
    let output = busmark(dir, &[&words, &metric[..], more].concat());
    let said =
        if output.stdout.is_empty() { stderr(&output) } else { document(&output)["reason"].to_string() };
    (output.status.code(), said)
}

#[test]
fn a_kept_run_is_listed_shown_compared_with_and_not_overwritten_by_accident() {
    let dir = with_baseline();
    let listed = stdout(&busmark(dir.path(), &["baseline", "list"]));
    assert!(listed.starts_with("baselines/main  finished") && listed.contains("6/6 trials"), "{listed}");
    let shown = stdout(&busmark(dir.path(), &["baseline", "show", "main"]));
    assert!(shown.contains("delivery time p50") && shown.contains("\ncpus: "), "{shown}");
    let again = busmark(dir.path(), &["baseline", "save", "main"]);
    assert_eq!(again.status.code(), Some(2));
    assert!(stderr(&again).contains("--force replaces it"), "{}", stderr(&again));
    assert!(busmark(dir.path(), &["baseline", "save", "main", "--force"]).status.success());
    let escaping = busmark(dir.path(), &["baseline", "save", "../main"]);
    assert!(stderr(&escaping).contains("is no name for it"), "{}", stderr(&escaping));
    let (code, said) = gate(dir.path(), "main", &[]);
    assert_ne!(code, Some(1), "equal sides must not fail: {said}");
    assert!(!said.contains("not alike"), "{said}");
    let (code, said) = gate(dir.path(), "main", &["--set", "target.good.options.delay=80ms"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("times the baseline's, confirmed on 26 fresh trials"), "{said}");
}

#[test]
fn another_machine_or_workload_is_inconclusive_and_named() {
    let dir = with_baseline();
    let (code, said) = gate(dir.path(), "main", &["--set", "workload.rate=2k/s"]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("not alike") && said.contains("scenario: rate was"), "{said}");
    edit(&dir.path().join("baselines/main/manifest.json"), "\"cpus\": ", "\"cpus\": 4");
    let (code, said) = gate(dir.path(), "main", &[]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("machine: cpus was 4"), "{said}");
}

/// Changes a file by replacing the first occurrence of some text.
fn edit(file: &Path, from: &str, to: &str) {
    let text = fs::read_to_string(file).expect("a file");
    assert!(text.contains(from), "{} does not hold {from}", file.display());
    fs::write(file, text.replacen(from, to, 1)).expect("written");
}

/// Does something to a baseline and says what `gate`, `report` and `baseline save` make of it.
fn after(damage: impl Fn(&Path)) -> [(Option<i32>, String); 3] {
    let dir = with_baseline();
    let kept: PathBuf = dir.path().join("baselines/main");
    damage(&kept);
    let said = |words: &[&str]| {
        let output = busmark(dir.path(), words);
        (output.status.code(), stdout(&output).replace("\n  ", " ") + &stderr(&output))
    };
    [
        gate(dir.path(), "main", &[]),
        said(&["report", "baselines/main"]),
        said(&["baseline", "save", "other", "--from", "baselines/main"]),
    ]
}

#[test]
fn a_half_written_folder_is_exit_code_2_and_the_file_is_named() {
    let cut = |dir: &Path| {
        let path = dir.join("summary.json");
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, &text[..text.len() / 2]).unwrap();
    };
    for (code, said) in after(cut) {
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("summary.json can't be read: EOF") && said.contains("it is cut off"), "{said}");
    }
    for (code, said) in after(|dir| fs::remove_file(dir.join("summary.json")).unwrap()) {
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("holds no finished trial"), "{said}");
    }
}

#[test]
fn a_folder_of_a_future_version_is_exit_code_2_and_both_versions_are_named() {
    for (code, said) in
        after(|dir| edit(&dir.join("manifest.json"), "\"schema_version\": 1", "\"schema_version\": 7"))
    {
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains("has schema version 7, this busmark knows versions up to 1"), "{said}");
    }
}

#[test]
fn an_unfinished_run_is_shown_with_a_warning_and_is_no_baseline() {
    let unfinished = |dir: &Path| {
        let text = fs::read_to_string(dir.join("manifest.json")).unwrap();
        let mut manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
        manifest["finished_at"] = serde_json::Value::Null;
        fs::write(dir.join("manifest.json"), manifest.to_string()).unwrap();
    };
    expect_warning(after(unfinished), "this run did not end by itself");
}

#[test]
fn a_folder_edited_by_hand_is_shown_with_a_warning_and_is_no_baseline() {
    let better = |dir: &Path| edit(&dir.join("summary.csv"), ",VALID,", ",PERFECT,");
    let graded = |dir: &Path| {
        let text = fs::read_to_string(dir.join("summary.csv")).unwrap();
        if text.contains(",VALID,") {
            better(dir)
        } else {
            edit(&dir.join("summary.csv"), ",SUSPECT,", ",VALID,")
        }
    };
    expect_warning(after(graded), "summary.csv is not what summary.json says");
    let faster = |dir: &Path| {
        let text = fs::read_to_string(dir.join("summary.json")).unwrap();
        let mut summary: serde_json::Value = serde_json::from_str(&text).unwrap();
        summary["trials"][0]["counts"]["sent"] = 1.into();
        fs::write(dir.join("summary.json"), summary.to_string()).unwrap();
    };
    expect_warning(after(faster), "summary.csv is not what summary.json says");
}

/// A gate is inconclusive, a report is made, a baseline is not kept; all three say why.
fn expect_warning([gate, report, save]: [(Option<i32>, String); 3], why: &str) {
    for ((code, said), expected) in [(gate, 3), (report, 0), (save, 2)] {
        assert_eq!(code, Some(expected), "{said}");
        assert!(said.contains(why), "{said}");
    }
}
