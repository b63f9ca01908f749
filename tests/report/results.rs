//! Runs are listed with their state, and pruning takes away nothing but what a run has written.

use std::fs;
use std::path::Path;

use busmark::cli::results::{self, PruneArgs, ResultsCommand};
use busmark::report::{ResultsFolder, State, inventory};

use crate::fixture::{self, NOON};

const DAY: u64 = 86_400 * 1_000_000_000;

/// Three runs a day apart; the last was killed before its first trial ended.
fn three(root: &Path) {
    for day in 0..2 {
        let started = NOON - (2 - day) * DAY;
        let mut folder = ResultsFolder::create(root, started, fixture::manifest(1)).expect("a folder");
        fixture::trials(1).into_iter().for_each(|trial| folder.append(trial).expect("room"));
        folder.finish(started, day == 1).expect("charts");
    }
    ResultsFolder::create(root, NOON, fixture::manifest(1)).expect("a folder");
}

fn names(root: &Path) -> Vec<String> {
    inventory(root).expect("a list").iter().map(|run| run.started_at.clone()).collect()
}

#[test]
fn runs_are_listed_oldest_first_with_how_they_ended() {
    let root = tempfile::tempdir().unwrap();
    three(root.path());
    fs::create_dir(root.path().join("reference")).unwrap();
    fs::write(root.path().join("notes.txt"), "mine").unwrap();
    let runs = inventory(root.path()).unwrap();
    let states: Vec<&State> = runs.iter().map(|run| &run.state).collect();
    assert_eq!(states, [&State::Finished, &State::Interrupted, &State::Unfinished]);
    assert_eq!(runs[0].trials, (2, 2));
    assert_eq!((runs[2].trials, runs[2].verdict), ((0, 2), None));
    assert!(runs[0].bytes > 10_000);
    assert!(inventory(&root.path().join("gone")).unwrap().is_empty());
}

#[test]
fn a_damaged_run_is_listed_with_its_reason() {
    let root = tempfile::tempdir().unwrap();
    three(root.path());
    let dir = inventory(root.path()).unwrap()[0].dir.clone();
    fs::write(dir.join("summary.json"), "{").unwrap();
    let State::Damaged(why) = inventory(root.path()).unwrap()[0].state.clone() else { panic!("not damaged") };
    assert!(why.contains("summary.json can't be read"), "{why}");
}

#[test]
fn removing_takes_the_whole_run_and_nothing_beside_it() {
    let root = tempfile::tempdir().unwrap();
    three(root.path());
    let outside = root.path().join("notes.txt");
    fs::write(&outside, "mine").unwrap();
    let first = inventory(root.path()).unwrap().remove(0);
    first.remove().unwrap();
    assert!(!first.dir.exists() && outside.exists());
    assert_eq!(names(root.path()).len(), 2);
}

#[test]
fn a_run_with_somebodys_own_files_is_kept_whole() {
    for place in ["notes.txt", "charts/mine.pdf"] {
        let root = tempfile::tempdir().unwrap();
        three(root.path());
        let first = inventory(root.path()).unwrap().remove(0);
        fs::write(first.dir.join(place), "mine").unwrap();
        let error = first.remove().unwrap_err().to_string();
        assert!(error.contains(place.rsplit('/').next().unwrap()), "{error}");
        assert!(ResultsFolder::open(&first.dir).unwrap().warnings.is_empty());
    }
}

#[test]
fn a_link_to_another_folder_is_no_run_and_is_not_followed() {
    let (root, elsewhere) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    three(elsewhere.path());
    let target = inventory(elsewhere.path()).unwrap().remove(0);
    std::os::unix::fs::symlink(&target.dir, root.path().join("linked")).unwrap();
    assert!(inventory(root.path()).unwrap().is_empty());
}

#[test]
fn pruning_keeps_the_newest_and_does_nothing_before_it_is_told() {
    let root = tempfile::tempdir().unwrap();
    three(root.path());
    let before = names(root.path());
    let prune = |keep: Option<usize>, days: Option<u64>, yes: bool| {
        let older_than = days.map(|days| std::time::Duration::from_secs(days * 86_400));
        let args = PruneArgs { root: root.path().to_owned(), keep, older_than, yes };
        results::run(&ResultsCommand::Prune(args)).unwrap();
        names(root.path())
    };
    assert_eq!(prune(Some(1), None, false), before, "only said");
    assert_eq!(prune(None, Some(36_500), true), before, "none is a hundred years old");
    assert_eq!(prune(Some(2), None, true), before[1..]);
    assert_eq!(prune(Some(2), Some(0), true), before[1..], "the two newest are kept whatever their age");
}
