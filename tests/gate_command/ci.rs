//! JUnit, summaries and annotations, and whether the action and the guide speak of flags that exist.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::stage::{CLOSED, busmark, command, document, folder, stderr, stdout};

/// What is wrong with a JUnit file, by the schema.
fn faults(xml: &str) -> Vec<String> {
    let schema = uppsala::parse(include_str!("../data/junit.xsd")).expect("the schema is XML");
    let document = match uppsala::parse(xml) {
        Ok(document) => document,
        Err(error) => return vec![error.to_string()],
    };
    let validator = uppsala::XsdValidator::from_schema(&schema).expect("the schema is one");
    validator.validate(&document).iter().map(ToString::to_string).collect()
}

#[test]
fn the_schema_refuses_what_is_no_junit() {
    let good = "<testsuites><testsuite name=\"s\" package=\"s\" id=\"0\" tests=\"1\" failures=\"0\" errors=\"0\" \
        skipped=\"0\" time=\"1\" timestamp=\"2026-01-02T03:04:05\" hostname=\"h\"><properties/><testcase \
        classname=\"c\" name=\"n\" time=\"0\"><skipped message=\"m\"/></testcase><system-out>o</system-out><system-err/>\
        </testsuite></testsuites>";
    assert_eq!(faults(good), Vec::<String>::new());
    for (from, to) in [
        ("tests=\"1\"", "tests=\"one\""),
        ("2026-01-02T03:04:05", "yesterday"),
        ("<skipped message=\"m\"/>", "<skiped message=\"m\"/>"),
        (" classname=\"c\"", ""),
        ("</testcase>", ""),
    ] {
        assert!(!faults(&good.replacen(from, to, 1)).is_empty(), "{to} went through");
    }
}

#[test]
fn junit_is_valid_and_counts_what_it_holds_whatever_came_out() {
    let dir = folder();
    let failing = [
        &["--base", "good", "--candidate", "lossy", "--metric", "transit_time_us_p99"][..],
        &["--expect", "lost == 0", "--expect", "duplicate == 0"],
    ]
    .concat();
    let open = ["--candidate", "good", "--expect", "broker_cpu_us_per_message <= 1", "--expect", "lost == 0"];
    let skipped = [&open[..], &["--on-inconclusive", "skip"]].concat();
    for (words, counts) in [
        (&failing[..], "tests=\"3\" failures=\"2\" errors=\"0\" skipped=\"0\""),
        (&open[..], "tests=\"3\" failures=\"0\" errors=\"2\" skipped=\"0\""),
        (&skipped[..], "tests=\"3\" failures=\"0\" errors=\"0\" skipped=\"2\""),
    ] {
        let gate = ["gate", "short.toml", "-q", "--junit", "out/gate.xml"];
        let output = busmark(dir.path(), &[&gate[..], &CLOSED, words].concat());
        let xml = std::fs::read_to_string(dir.path().join("out/gate.xml"))
            .unwrap_or_else(|_| panic!("{}", stderr(&output)));
        assert_eq!(faults(&xml), Vec::<String>::new(), "{xml}");
        assert!(xml.contains(counts), "{counts}: {xml}");
    }
    let run = [
        "run",
        "short.toml",
        "--only",
        "good",
        "--trials",
        "1",
        "--expect",
        "lost == 0",
        "--junit",
        "run.xml",
        "-q",
    ];
    busmark(dir.path(), &run);
    assert_eq!(faults(&std::fs::read_to_string(dir.path().join("run.xml")).unwrap()), Vec::<String>::new());
}

#[test]
fn github_gets_annotations_on_stderr_and_a_summary_that_grows() {
    let dir = folder();
    for round in 1..=2 {
        let output = command(dir.path())
            .args([
                "gate",
                "short.toml",
                "--base",
                "good",
                "--candidate",
                "lossy",
                "--expect",
                "lost == 0",
                "-q",
                "--json",
            ])
            .args(["--summary", "own.md"])
            .env("GITHUB_ACTIONS", "true")
            .env("GITHUB_STEP_SUMMARY", dir.path().join("step.md"))
            .output()
            .unwrap();
        assert_eq!(document(&output)["decision"], "fail");
        let annotations: Vec<String> =
            stderr(&output).lines().filter(|line| line.starts_with("::")).map(str::to_owned).collect();
        assert!(
            annotations[0].starts_with("::error title=short%3A lossy::no worse than the base: "),
            "{annotations:?}"
        );
        for file in ["step.md", "own.md"] {
            let text = std::fs::read_to_string(dir.path().join(file)).unwrap();
            assert_eq!(
                text.matches("### Gate FAIL: short, lossy against good").count(),
                round,
                "{file}: {text}"
            );
        }
    }
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(name: &str) -> String {
    std::fs::read_to_string(root().join(name)).unwrap()
}

/// The flags that a text gives to `busmark gate`.
fn flags(text: &str) -> Vec<&str> {
    let words = text.split(|c: char| c.is_whitespace() || "`|)\"".contains(c));
    words
        .filter(|word| word.starts_with("--") && word.len() > 3)
        .map(|word| word.trim_end_matches([',', '.', ':', ';']))
        .collect()
}

#[test]
fn the_guide_and_the_action_use_only_flags_that_exist_and_the_action_only_inputs_that_it_declares() {
    let dir = folder();
    let help = |name: &str| stdout(&busmark(dir.path(), &[name, "--help"]));
    let known = help("gate") + &help("run");
    let script = read("scripts/ci-gate");
    let guide = read("docs/CI.md");
    let of_guide =
        guide.lines().filter(|line| !line.contains("cargo install") && !line.contains("command = ["));
    let of_script = script.lines().filter(|line| line.starts_with("flag ") || line.starts_with("each "));
    let mut checked = 0;
    for line in of_guide.chain(of_script) {
        for flag in flags(line) {
            assert!(known.contains(flag), "{flag} is no flag: {line}");
            checked += 1;
        }
    }
    assert!(checked > 20, "only {checked} flags found");
    let action = read("action.yml");
    let declared: Vec<&str> = action
        .split("\noutputs:")
        .next()
        .unwrap()
        .lines()
        .filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' '))?.strip_suffix(':'))
        .collect();
    for used in action.split("inputs.").skip(1) {
        let name = used.split([' ', '}']).next().unwrap();
        assert!(declared.contains(&name), "{name} is no input of the action: {declared:?}");
    }
    for name in script.split("INPUT_").skip(1) {
        let name: String = name.chars().take_while(|c| c.is_ascii_uppercase() || *c == '_').collect();
        let input = name.trim_end_matches('_').to_lowercase().replace('_', "-");
        assert!(input.is_empty() || declared.contains(&input.as_str()), "{input} is no input of the action");
    }
    let given = guide
        .split("        with:\n")
        .nth(1)
        .unwrap()
        .lines()
        .take_while(|line| line.starts_with("          "));
    for input in given
        .filter_map(|line| line.trim_start().split_once(':').filter(|_| !line.starts_with("            ")))
    {
        assert!(declared.contains(&input.0), "docs/CI.md gives an input `{}`", input.0);
    }
}

/// Runs what the action runs, with a busmark on the PATH.
fn action(dir: &Path, inputs: &[(&str, &str)]) -> std::process::Output {
    let programs = Path::new(env!("CARGO_BIN_EXE_busmark")).parent().unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let inputs = inputs.iter().map(|(name, value)| (format!("INPUT_{name}"), *value));
    let mut command = Command::new(root().join("scripts/ci-gate"));
    command.current_dir(dir).env("PATH", path).envs(inputs).env("GITHUB_OUTPUT", dir.join("output"));
    command.env_remove("GITHUB_ACTIONS").env_remove("GITHUB_STEP_SUMMARY");
    command.output().unwrap()
}

#[test]
fn the_action_ends_with_the_gates_exit_code_and_hands_on_its_decision() {
    let dir = folder();
    let inputs = [
        ("SCENARIO", "short.toml"),
        ("BASE", "good"),
        ("CANDIDATE", "lossy"),
        ("EXPECT", "lost == 0\nduplicate == 0\n"),
        ("SET", "name=in-ci\n"),
        ("TOLERANCE", "20%"),
        ("BUDGET", "10m"),
    ];
    let output = action(dir.path(), &inputs);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let handed = std::fs::read_to_string(dir.path().join("output")).unwrap();
    assert!(handed.contains("decision=fail\nresults=results/in-ci-"), "{handed}");
    assert!(
        handed.ends_with("junit=busmark-gate.xml\n") && dir.path().join("busmark-gate.xml").is_file(),
        "{handed}"
    );
    let none = action(dir.path(), &[("SCENARIO", "$(touch hacked).toml"), ("BASE", "good")]);
    assert_eq!(none.status.code(), Some(2), "{}", stderr(&none));
    assert!(!dir.path().join("hacked").exists());
}
