//! The command line as its users meet it.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::path::Path;
use std::process::{Command, Output};

fn busmark(dir: &Path, args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_busmark")).args(args).current_dir(dir).output().expect("busmark starts")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A loopback scenario that ends within a second.
const SHORT: &str = "name = \"short\"\n[workload]\npayload = \"64B\"\nrate = \"2k/s\"\n[phases]\nwarm_up = \"100ms\"\n\
    measure = \"500ms\"\ndrain = \"1s\"\n[trials]\ncount = 2\n[[target]]\nname = \"bus\"\ndriver = \"loopback\"\n";

fn folder_with(text: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("short.toml"), text).unwrap();
    dir
}

#[test]
fn a_run_leaves_a_table_on_stdout_and_every_file_in_results() {
    let dir = folder_with(SHORT);
    let output = busmark(dir.path(), &["run", "short.toml", "--expect", "lost == 0"]);
    // A machine too busy to measure on makes the run INVALID, or keeps the rate from being reached so that nothing can be
    // judged, and then the exit code says so too.
    let believed = !["INVALID", "cannot be judged"].iter().any(|word| stdout(&output).contains(word));
    assert_eq!(output.status.code(), Some(if believed { 0 } else { 3 }), "{}", stderr(&output));
    assert!(stdout(&output).contains("delivery time p50"), "{}", stdout(&output));
    let latest = dir.path().join("results/latest");
    for file in ["manifest.json", "summary.csv", "summary.json", "percentiles.csv", "timeline.csv"] {
        assert!(latest.join(file).is_file(), "{file} is missing");
    }
    let charts: Vec<_> = std::fs::read_dir(latest.join("charts")).unwrap().collect();
    assert!(charts.len() >= 2, "{charts:?}");
    let csv = std::fs::read_to_string(latest.join("summary.csv")).unwrap();
    assert_eq!(csv.lines().count(), 3, "a heading and two trials");
    let hlogs = std::fs::read_dir(&latest).unwrap().filter(|entry| {
        entry.as_ref().unwrap().path().extension().is_some_and(|extension| extension == "hlog")
    });
    assert_eq!(hlogs.count(), 2);
}

#[test]
fn json_goes_to_stdout_alone_and_everything_else_to_stderr() {
    let dir = folder_with(SHORT);
    let output = busmark(dir.path(), &["run", "short.toml", "--json", "--trials", "1"]);
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).expect("stdout is one document");
    assert!(document.is_object());
    assert!(stderr(&output).contains("bus"), "progress goes to stderr: {}", stderr(&output));
}

#[test]
fn a_failed_expectation_is_exit_code_1() {
    let dir = folder_with(
        &SHORT.replace("driver = \"loopback\"", "driver = \"loopback\"\noptions = { drop = 0.1 }"),
    );
    let output = busmark(dir.path(), &["run", "short.toml", "--expect", "lost == 0"]);
    assert_eq!(output.status.code(), Some(1), "{}", stdout(&output));
}

#[test]
fn several_scenarios_are_run_one_after_another_and_their_claims_are_told_together() {
    let claim =
        "[[expect]]\nthat = \"corrupt == 0\"\nclaim = \"Nothing is corrupted\"\nsource = \"somebody\"\n";
    let dir = folder_with(&format!("{SHORT}{claim}"));
    let lossy = format!("{SHORT}options = {{ corrupt = 1.0 }}\n{claim}").replace("\"short\"", "\"lossy\"");
    std::fs::write(dir.path().join("lossy.toml"), lossy).unwrap();
    let output =
        busmark(dir.path(), &["run", "short.toml", "lossy.toml", "--trials", "1", "--no-calibration"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let said = stdout(&output);
    assert!(said.contains("| short | Nothing is corrupted (somebody) |"), "{said}");
    assert!(said.contains("| lossy | Nothing is corrupted (somebody) |"), "{said}");
    assert!(said.contains("1 fail"), "{said}");
    let folders = std::fs::read_dir(dir.path().join("results")).unwrap().filter(|entry| {
        entry
            .as_ref()
            .is_ok_and(|entry| entry.path().join("summary.csv").is_file() && !entry.path().is_symlink())
    });
    assert_eq!(folders.count(), 2);
    let output = busmark(dir.path(), &["run", "article/*", "--dry-run"]);
    let plans = stdout(&output);
    assert!(plans.contains("name = \"spike\"") && plans.contains("name = \"transport\""), "{plans}");
    let output = busmark(dir.path(), &["run", "short.toml", "lossy.toml", "--junit", "junit.xml"]);
    assert_eq!(
        (output.status.code(), stderr(&output).contains("one by one")),
        (Some(2), true),
        "{}",
        stderr(&output)
    );
}

#[test]
fn wrong_scenarios_and_flags_are_exit_code_2_and_say_what_to_type() {
    let dir = folder_with("name = \"short\"\n[workload]\nrat = \"2k/s\"\npayload = \"1KX\"\n");
    let output = busmark(dir.path(), &["run", "short.toml"]);
    assert_eq!(output.status.code(), Some(2));
    let said = stderr(&output);
    assert!(said.contains("rat") && said.contains("rate") && said.contains("1KX"), "{said}");
    let output = busmark(dir.path(), &["run", "qick"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("quick"), "{}", stderr(&output));
    assert_eq!(busmark(dir.path(), &["run", "quick", "--frobnicate"]).status.code(), Some(2));
    let output = busmark(dir.path(), &["run", "quick", "--only", "nobody", "--dry-run"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("redis"), "{}", stderr(&output));
}

#[test]
fn a_dry_run_prints_the_plan_and_measures_nothing() {
    let dir = folder_with(SHORT);
    let output = busmark(dir.path(), &["run", "short.toml", "--dry-run", "--set", "workload.rate=3k/s"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = stdout(&output);
    assert!(said.contains("3k/s") && said.contains("2 trials") && said.contains("memory"), "{said}");
    assert!(!dir.path().join("results").exists());
}

#[test]
fn a_broker_that_is_not_there_is_exit_code_4_and_an_optional_one_is_left_out() {
    let nowhere = "[[target]]\nname = \"gone\"\ndriver = \"redis-pubsub\"\nbroker = { url = \"redis://127.0.0.1:1\" }\n";
    let dir = folder_with(&format!("{SHORT}{nowhere}"));
    let output = busmark(dir.path(), &["run", "short.toml", "--trials", "1"]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert!(stderr(&output).contains("127.0.0.1:1"), "{}", stderr(&output));
    assert!(dir.path().join("results/latest/summary.csv").is_file(), "the other target was measured");
    let dir = folder_with(&format!("{SHORT}{nowhere}optional = true\n"));
    let output = busmark(dir.path(), &["run", "short.toml", "--trials", "1"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stderr(&output).contains("left out"), "{}", stderr(&output));
}

#[test]
fn ctrl_c_ends_the_run_and_keeps_what_was_measured() {
    let dir = folder_with(&SHORT.replace("measure = \"500ms\"", "measure = \"60s\""));
    let mut child = Command::new(env!("CARGO_BIN_EXE_busmark"))
        .args(["run", "short.toml"])
        .current_dir(dir.path())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    std::io::BufRead::read_line(&mut said, &mut line).unwrap();
    let killed = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    std::io::copy(&mut said, &mut std::io::sink()).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let latest = dir.path().join("results/latest");
    let manifest: serde_json::Value =
        serde_json::from_str(&std::fs::read_to_string(latest.join("manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest["interrupted"], serde_json::json!(true));
}

#[test]
fn the_selftest_finds_exactly_the_faults_that_were_made_and_no_latency_below_the_truth() {
    let dir = tempfile::tempdir().unwrap();
    let output = busmark(dir.path(), &["selftest", "--json"]);
    let findings: Vec<serde_json::Value> = serde_json::from_slice(&output.stdout).expect("one JSON document");
    for what in ["deliveries expected", "lost", "duplicate", "corrupt"] {
        let finding = findings.iter().find(|finding| finding["what"] == what).expect(what);
        assert!(finding["done"].as_f64() > Some(0.0) && finding["done"] == finding["measured"], "{finding}");
    }
    let p50 = findings.iter().find(|finding| finding["what"] == "transit time p50, µs").unwrap();
    assert!(p50["measured"].as_f64().unwrap() >= p50["done"].as_f64().unwrap() - 1.0, "{p50}");
}

#[test]
fn a_sweep_has_its_point_in_every_row_and_a_chart_over_its_key() {
    let sweep = "[sweep]\naxes = [{ key = \"workload.rate\", values = [\"1k/s\", \"2k/s\"] }]\n";
    let dir = folder_with(&format!("{SHORT}{sweep}"));
    let expect = "publishes_per_s >= 1500/s @ point=rate=2k/s";
    let output = busmark(dir.path(), &["run", "short.toml", "--trials", "1", "--expect", "lost == 0"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("rate=2k/s"), "{}", stdout(&output));
    let latest = dir.path().join("results/latest");
    let csv = std::fs::read_to_string(latest.join("summary.csv")).unwrap();
    for point in ["rate=1k/s", "rate=2k/s"] {
        assert_eq!(csv.lines().filter(|line| line.contains(point)).count(), 1, "{csv}");
    }
    assert!(latest.join("charts/over-rate.svg").is_file());
    let output = busmark(dir.path(), &["run", "short.toml", "--dry-run", "--expect", expect]);
    assert!(stdout(&output).contains("bus[rate=1k/s]#2"), "{}", stdout(&output));
}

/// A scenario whose rates are in memory, so that a search takes seconds.
fn capacity(dir: &Path, more: &[&str]) -> Output {
    let rate = ["--set", "workload.rate=20k/s"];
    let objective = ["--expect", "delivery_time_us_p99 <= 50ms", "--confirm-for", "500ms", "--quiet"];
    busmark(dir, &[&["capacity", "short.toml"], &rate[..], &objective[..], more].concat())
}

#[test]
fn a_search_for_capacity_ends_with_its_budget_goes_on_where_it_ended_and_is_no_other_ones() {
    let dir = folder_with(SHORT);
    let output = capacity(dir.path(), &["--budget", "4s", "--json"]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let first: serde_json::Value = serde_json::from_slice(&output.stdout).expect("one JSON document");
    let attempts = |report: &serde_json::Value| report["targets"][0]["attempts"].as_array().unwrap().clone();
    assert!(!attempts(&first).is_empty(), "{first}");
    assert!(first["targets"][0]["unfinished"].as_str().unwrap().contains("budget"), "{first}");
    let kept = dir.path().join("results/latest").canonicalize().unwrap();
    let kept = kept.to_str().unwrap();
    let output = capacity(dir.path(), &["--budget", "4s", "--resume", kept]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    assert!(
        stdout(&output).contains("not finished") && stdout(&output).contains("--resume"),
        "{}",
        stdout(&output)
    );
    let latest = dir.path().join("results/latest");
    let second = std::fs::read_to_string(latest.join("capacity.json")).unwrap();
    let second: serde_json::Value = serde_json::from_str(&second).unwrap();
    let (before, after) = (attempts(&first), attempts(&second));
    assert!(
        after.len() > before.len() && after.starts_with(&before),
        "{} then {}",
        before.len(),
        after.len()
    );
    assert!(latest.join("charts/capacity-bus.svg").is_file());
    let page = std::fs::read_to_string(latest.join("report.html")).unwrap();
    assert!(
        page.contains("Capacity of bus") && page.contains("data-capacity-bus"),
        "the curve is on the page"
    );
    let output = capacity(dir.path(), &["--expect", "lost == 0", "--resume", kept]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("another objective"), "{}", stderr(&output));
    let output = busmark(dir.path(), &["capacity", "short.toml"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("--expect"), "{}", stderr(&output));
}

#[test]
fn several_targets_are_searched_in_turn_trial_by_trial() {
    let dir = folder_with(&format!("{SHORT}[[target]]\nname = \"other\"\ndriver = \"loopback\"\n"));
    let objective = ["--set", "workload.rate=20k/s", "--expect", "lost == 0", "--confirm-for", "500ms"];
    let output =
        busmark(dir.path(), &[&["capacity", "short.toml", "--budget", "8s"], &objective[..]].concat());
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    let said = stderr(&output);
    let first = |target: &str| said.lines().position(|line| line.starts_with(target)).expect(target);
    let last = |target: &str| said.lines().rev().position(|line| line.starts_with(target)).expect(target);
    assert!(first("bus at ") < first("other at "), "{said}");
    let after_other = said.lines().count() - 1 - last("bus at ");
    assert!(first("other at ") < after_other, "bus has another turn after the other's first: {said}");
    assert_eq!(stdout(&output).matches("the budget of 8s is spent").count(), 2, "{}", stdout(&output));
}

#[test]
fn ctrl_c_ends_a_search_for_capacity_and_keeps_what_is_known() {
    let dir = folder_with(SHORT);
    let mut child = Command::new(env!("CARGO_BIN_EXE_busmark"))
        .args(["capacity", "short.toml", "--expect", "lost == 0", "--set", "workload.rate=20k/s"])
        .current_dir(dir.path())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = std::io::BufReader::new(child.stderr.take().unwrap());
    let mut line = String::new();
    while !line.starts_with("bus at ") {
        line.clear();
        assert!(std::io::BufRead::read_line(&mut said, &mut line).unwrap() > 0, "a trial is over first");
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    std::io::copy(&mut said, &mut std::io::sink()).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let kept = std::fs::read_to_string(dir.path().join("results/latest/capacity.json")).unwrap();
    let kept: serde_json::Value = serde_json::from_str(&kept).unwrap();
    assert!(!kept["targets"][0]["attempts"].as_array().unwrap().is_empty(), "{kept}");
    assert_eq!(kept["targets"][0]["unfinished"], "it was interrupted");
}

#[test]
fn two_runs_are_compared_by_what_each_is_better_at() {
    let dir = folder_with(SHORT);
    let faster =
        SHORT.replace("driver = \"loopback\"", "driver = \"loopback\"\noptions = { delay = \"5ms\" }");
    std::fs::write(dir.path().join("slow.toml"), faster.replace("name = \"short\"", "name = \"slow\""))
        .unwrap();
    let latest = || dir.path().join("results/latest").canonicalize().unwrap();
    let mut runs = Vec::new();
    for scenario in ["short.toml", "slow.toml"] {
        busmark(dir.path(), &["run", scenario, "--trials", "4", "--no-calibration", "--quiet"]);
        runs.push(latest().display().to_string());
    }
    let output = busmark(dir.path(), &["compare", &runs[1], &runs[0], "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let versus: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let p50 =
        versus["findings"].as_array().unwrap().iter().find(|one| one["column"] == "delivery_time_us_p50");
    assert_eq!(p50.unwrap()["better"], 1, "no delay is better than 5 ms: {versus}");
    let text = stdout(&busmark(dir.path(), &["compare", &runs[1], &runs[0]]));
    assert!(text.contains("delivery time p50: short-") && text.contains("another scenario"), "{text}");
}
