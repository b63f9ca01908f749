//! The first useful minute: systems named on the command line, from a directory with nothing in it, and what the
//! command line says of itself and of the machine.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::path::Path;
use std::process::{Command, Output};

use busmark::scenario::{self, DriverConfig, NatsCoreOptions, Scenario, Target};
use busmark::target::Broker;

fn busmark(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_busmark")).args(args).current_dir(dir).output().expect("busmark starts")
}

fn stdout(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What a measurement says; on a machine that is busy with other tests it may be INVALID.
fn measured(output: &Output) -> String {
    let said = String::from_utf8_lossy(&output.stderr);
    assert!([Some(0), Some(3)].contains(&output.status.code()), "{said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The scenario that `bench` prints below its table.
fn scenario_in(said: &str) -> &str {
    let start = said.find("name = \"bench\"").expect("a scenario below the table");
    &said[start..]
}

/// A real server, until it is dropped.
fn real(runtime: &tokio::runtime::Runtime, driver: DriverConfig) -> Broker {
    let broker = scenario::Broker::Managed(scenario::Managed::of(&driver));
    let target = Target::one("real", driver, broker);
    runtime.block_on(Broker::start(&target)).unwrap()
}

#[test]
fn two_real_brokers_are_measured_from_a_directory_with_nothing_in_it() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let text = "name = \"x\"\n[[target]]\nname = \"x\"\ndriver = \"redis-pubsub\"\n";
    let driver = Scenario::parse(text, "x", &[]).unwrap().targets.remove(0).driver;
    let redis = real(&runtime, driver);
    let nats = real(&runtime, DriverConfig::NatsCore(NatsCoreOptions::default()));
    let dir = tempfile::tempdir().unwrap();
    let short =
        ["--rate", "2k/s", "--for", "500ms", "--trials", "1", "--no-calibration", "--expect", "lost == 0"];
    let output = busmark(dir.path(), &[&["bench", redis.url(), nats.url()], &short[..]].concat());
    let said = measured(&output);
    assert!(said.contains("delivery time p50") && said.contains("redis") && said.contains("nats"), "{said}");
    std::fs::write(dir.path().join("kept.toml"), scenario_in(&said)).unwrap();
    let checked = stdout(&busmark(dir.path(), &["scenario", "check", "kept.toml"]));
    assert!(checked.contains("right (bench: targets 2, expectations 1)"), "{checked}");
    let again = measured(&busmark(dir.path(), &["run", "kept.toml", "--no-calibration"]));
    assert!(again.contains("delivery time p50"), "{again}");
    let csv = std::fs::read_to_string(dir.path().join("results/latest/summary.csv")).unwrap();
    assert_eq!(csv.lines().count(), 3, "the scenario runs as it was kept: {csv}");
    runtime.block_on(async { (redis.stop().await.unwrap(), nats.stop().await.unwrap()) });
}

#[test]
fn bundled_engines_and_sockets_are_places_too_and_the_scenario_can_be_saved() {
    let dir = tempfile::tempdir().unwrap();
    let quick = ["--rate", "2k/s", "--for", "500ms", "--trials", "1", "--no-calibration", "--json"];
    let places = ["bench", "bundled:pubsub", "bundled:jetstream", "--save", "mine.toml"];
    let said = measured(&busmark(dir.path(), &[&places[..], &quick[..]].concat()));
    let document: serde_json::Value = serde_json::from_str(&said).expect("stdout is one document");
    assert!(document.is_object());
    stdout(&busmark(dir.path(), &["scenario", "check", "mine.toml"]));
    let manifest = std::fs::read_to_string(dir.path().join("results/latest/manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&manifest).unwrap();
    let saved = std::fs::read_to_string(dir.path().join("mine.toml")).unwrap();
    assert_eq!(manifest["scenario_text"], serde_json::json!(saved));
    let refused = busmark(dir.path(), &[&places[..], &quick[..]].concat());
    assert_eq!(refused.status.code(), Some(2), "a file that is there is left alone");
    let planned = stdout(&busmark(dir.path(), &["bench", "/run/none.sock", "--dry-run"]));
    assert!(planned.contains("unix:///run/none.sock"), "{planned}");
    let gone = busmark(dir.path(), &["bench", "/run/none.sock", "--trials", "1", "--no-calibration"]);
    assert_eq!(gone.status.code(), Some(4), "nobody listens there");
}

#[test]
fn the_doctor_names_each_thing_with_its_remedy() {
    let dir = tempfile::tempdir().unwrap();
    let output = busmark(dir.path(), &["doctor", "--no-trials", "--json"]);
    assert!([Some(0), Some(3)].contains(&output.status.code()), "{output:?}");
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let diagnoses = document["diagnoses"].as_array().unwrap();
    for what in ["cores", "load", "steal", "frequency governor", "turbo", "clock source", "open files"] {
        let one = diagnoses.iter().find(|one| one["what"] == what).expect(what);
        let weight = one["weight"].as_str().unwrap();
        let remedy = one["remedy"].as_str().unwrap();
        assert_eq!(["mind", "spoils"].contains(&weight), !remedy.is_empty(), "{one}");
    }
    let spoiled = diagnoses.iter().any(|one| one["weight"] == "spoils");
    assert_eq!(output.status.code() == Some(3), spoiled);
}

#[test]
#[ignore = "long: an A/A of half a minute"]
fn the_doctor_measures_the_noise_of_the_machine() {
    let dir = tempfile::tempdir().unwrap();
    let output = busmark(dir.path(), &["doctor", "--json"]);
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(document["noise"]["trials"], 6);
    let p99 = &document["noise"]["p99"];
    let interval: Vec<f64> =
        p99["interval"].as_array().unwrap().iter().filter_map(|end| end.as_f64()).collect();
    let ratio = p99["ratio"].as_f64().unwrap();
    assert!(interval[0] <= ratio && ratio <= interval[1] && p99["median_us"].as_f64() > Some(0.0), "{p99}");
}

#[test]
fn completions_and_man_pages_know_every_command() {
    let dir = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = stdout(&busmark(dir.path(), &["completions", shell]));
        assert!(script.contains("bench") && script.contains("rate"), "{shell}");
    }
    let page = stdout(&busmark(dir.path(), &["man", "scenario", "check"]));
    assert!(page.contains(".TH busmark-scenario-check"), "{page}");
    stdout(&busmark(dir.path(), &["man", "--out", "man1"]));
    for page in ["busmark.1", "busmark-run.1", "busmark-bench.1", "busmark-scenario-check.1"] {
        let text = std::fs::read_to_string(dir.path().join("man1").join(page)).expect(page);
        assert!(text.contains(".SH NAME"), "{page}");
    }
    assert_eq!(busmark(dir.path(), &["man", "scenarios"]).status.code(), Some(2));
}

#[test]
fn help_is_in_groups_and_a_typo_gets_the_nearest() {
    let dir = tempfile::tempdir().unwrap();
    let help = stdout(&busmark(dir.path(), &["--help"]));
    assert!(help.contains("Measure:\n  run ") && help.contains("Your shell:\n"), "{help}");
    let wrong = busmark(dir.path(), &["rnu"]);
    assert_eq!(wrong.status.code(), Some(2));
    let said = String::from_utf8_lossy(&wrong.stderr);
    assert!(said.contains("'run'"), "{said}");
}
