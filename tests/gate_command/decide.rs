//! What a gate decides, with which exit code, and what it leaves behind.

use crate::stage::{CLOSED, busmark, document, folder, stderr, stdout};

#[test]
fn a_candidate_that_loses_fails_in_the_first_stage_with_exit_code_1() {
    let dir = folder();
    let output = busmark(
        dir.path(),
        &["gate", "short.toml", "--base", "good", "--candidate", "lossy", "--expect", "lost == 0", "-q"],
    );
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let said = stdout(&output);
    assert!(
        said.starts_with("Gate FAIL: short, lossy against good\n`lost == 0` fails on lossy: lost is "),
        "{said}"
    );
    assert!(said.contains("ended in the first stage"), "{said}");
    let gate: serde_json::Value =
        serde_json::from_slice(&std::fs::read(dir.path().join("results/latest/gate.json")).unwrap()).unwrap();
    assert_eq!(gate["decision"], "fail");
    assert!(gate["trials"].as_u64().unwrap() <= 9, "{gate}");
    let report = busmark(dir.path(), &["report"]);
    assert!(
        report.status.success() && stdout(&report).contains("lossy"),
        "its trials are a run like any other"
    );
    let pruned = busmark(dir.path(), &["results", "prune", "--keep", "0", "--yes"]);
    assert!(stdout(&pruned).starts_with("removed"), "nothing in it is foreign: {}", stdout(&pruned));
}

#[test]
#[ignore = "long: all 170 trials of a gate, a minute or two"]
fn a_candidate_ten_times_as_slow_fails_on_fresh_blocks_in_an_order_of_its_seed() {
    let dir = folder();
    let words = [
        &["gate", "short.toml", "--base", "good", "--candidate", "slow", "--seed", "7", "--json", "-q"][..],
        &["--metric", "delivery_time_us_p50", "--set", "phases.measure=100ms", "--set", "phases.warm_up=0ms"],
    ]
    .concat();
    let output = busmark(dir.path(), &words);
    let gate = document(&output);
    assert_eq!(output.status.code(), Some(1), "{gate:#}");
    assert_eq!(
        (&gate["decision"], &gate["reached"], &gate["seed"]),
        (&"fail".into(), &"second".into(), &7.into())
    );
    assert!(gate["findings"][0]["ratio"].as_f64().unwrap() > 5.0, "{gate:#}");
    let csv = std::fs::read_to_string(dir.path().join("results/latest/summary.csv")).unwrap();
    let sides: Vec<&str> = csv.lines().skip(1).map(|row| row.split(',').nth(1).unwrap()).collect();
    assert_eq!(sides[..6], ["good"; 6], "the A/A check comes first");
    for block in sides[6..].chunks(4) {
        assert!(block[0] == block[3] && block[1] == block[2] && block[0] != block[1], "no ABBA: {block:?}");
    }
}

#[test]
fn a_budget_too_small_for_an_answer_is_inconclusive_and_says_what_it_would_take() {
    let dir = folder();
    let gate = |more: &[&str]| {
        let words = ["gate", "short.toml", "--base", "good", "--candidate", "good", "--budget", "5s", "-q"];
        busmark(dir.path(), &[&words, more].concat())
    };
    let output = gate(&[]);
    assert_eq!(output.status.code(), Some(3), "{}", stdout(&output));
    let said = stdout(&output).replace("\n  ", " ");
    assert!(
        said.contains("the budget of 5s has room for") && said.contains("and 68 are the fewest"),
        "{said}"
    );
    assert_eq!(gate(&["--on-inconclusive", "fail"]).status.code(), Some(1));
    let skipped = gate(&["--on-inconclusive", "skip"]);
    assert_eq!(skipped.status.code(), Some(0));
    assert!(
        stderr(&skipped).contains("warning: the gate is inconclusive and was skipped"),
        "{}",
        stderr(&skipped)
    );
}

#[test]
fn limits_need_no_base() {
    let dir = folder();
    let gate = |expect: &str| {
        let words = ["gate", "short.toml", "--candidate", "good", "--expect", expect, "-q"];
        busmark(dir.path(), &[&words[..], &CLOSED].concat())
    };
    let output = gate("transit_time_us_p50 <= 2s");
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    assert!(
        stdout(&output).starts_with("Gate PASS: short, good against its limits alone"),
        "{}",
        stdout(&output)
    );
    assert_eq!(gate("transit_time_us_p50 <= 1ms").status.code(), Some(1));
    assert_eq!(gate("broker_cpu_us_per_message <= 1").status.code(), Some(3), "this bus has no broker");
}

#[test]
fn wrong_arguments_are_exit_code_2_and_say_what_is_allowed() {
    let dir = folder();
    for (words, said) in [
        (&["--base", "good"][..], "--candidate: which target is to be judged? Allowed: good, slow, lossy"),
        (&["--base", "god", "--candidate", "slow"], "did you mean `good`"),
        (&["--candidate", "good"], "there is nothing to hold the candidate to"),
        (&["--base", "good", "--candidate", "slow", "--expect", "lst == 0"], "`lst` is no metric"),
        (&["--against", "main", "--candidate", "slow"], "neither a baseline nor the folder of a run"),
    ] {
        let output = busmark(dir.path(), &[&["gate", "short.toml"], words].concat());
        assert_eq!(output.status.code(), Some(2), "{words:?}: {}", stderr(&output));
        assert!(stderr(&output).contains(said), "{words:?}: {}", stderr(&output));
    }
    assert!(!dir.path().join("results").exists(), "nothing was measured");
}

#[test]
fn a_target_that_can_not_be_had_is_exit_code_4() {
    let dir = folder();
    let gone = "[[target]]\nname = \"gone\"\ndriver = \"redis-pubsub\"\nbroker = { url = \"redis://127.0.0.1:1\" }\n";
    std::fs::write(dir.path().join("gone.toml"), format!("{}{gone}", crate::stage::SCENARIO)).unwrap();
    let output = busmark(dir.path(), &["gate", "gone.toml", "--base", "gone", "--candidate", "good", "-q"]);
    assert_eq!(output.status.code(), Some(4), "{}", stderr(&output));
    assert!(stdout(&output).contains("gone could not be measured"), "{}", stdout(&output));
}
