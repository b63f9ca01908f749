//! `busmark scenario` writes a file that is right, and never over another.

use std::path::PathBuf;
use std::process::ExitCode;

use busmark::cli::scenario::{ScenarioCommand, overrides, run};
use busmark::scenario::{Scenario, shipped};

fn init(file: PathBuf, from: &str) -> String {
    let code: ExitCode =
        run(&ScenarioCommand::Init { file, from: from.to_owned() }).expect("it can be written");
    format!("{code:?}")
}

#[test]
fn init_writes_a_scenario_to_start_from_and_keeps_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("mine.toml");
    assert_eq!(init(file.clone(), "quick"), format!("{:?}", ExitCode::SUCCESS));
    assert_eq!(Scenario::load(&file, &[]).unwrap().name, "quick");
    assert_eq!(init(file.clone(), "ci/smoke"), format!("{:?}", ExitCode::from(2)));
    assert_eq!(Scenario::load(&file, &[]).unwrap().name, "quick");
    assert_eq!(init(folder.path().join("x.toml"), "qick"), format!("{:?}", ExitCode::from(2)));
}

#[test]
fn a_file_beats_a_shipped_name_and_a_name_that_is_neither_finds_its_neighbour() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("own.toml");
    std::fs::write(&file, shipped::find("ci/smoke").unwrap().text.replace("\"smoke\"", "\"own\"")).unwrap();
    assert_eq!(shipped::open(&file.display().to_string(), &[]).unwrap().name, "own");
    assert_eq!(shipped::open("ci/smoke.toml", &[]).unwrap().name, "smoke");
    let error = shipped::open("redis-vs-jetstrem", &[]).unwrap_err().to_string();
    assert!(
        error.contains("did you mean `redis-vs-jetstream`?") && error.contains("`drivers/loopback`"),
        "{error}"
    );
}

#[test]
fn a_fill_file_is_looked_for_beside_the_scenario() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("own.toml");
    let text = shipped::find("ci/smoke").unwrap().text;
    let text = text.replace("payload = ", "fill = { file = \"body.txt\" }\npayload = ");
    std::fs::write(&file, text).unwrap();
    assert!(
        Scenario::load(&file, &[]).unwrap_err().to_string().contains("body.txt` isn't there, or is empty")
    );
    std::fs::write(folder.path().join("body.txt"), "lorem ipsum").unwrap();
    assert!(Scenario::load(&file, &[]).unwrap().to_toml().contains("body.txt"));
}

#[test]
fn overrides_that_are_none_are_reported_together() {
    let wrong = overrides(&["a".to_owned(), "workload.rate=max".to_owned(), "=b".to_owned()]).unwrap_err();
    assert_eq!(wrong.problems.len(), 2, "{wrong}");
}
