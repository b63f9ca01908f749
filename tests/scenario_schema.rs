//! The committed JSON Schema is the generated one, and takes every shipped scenario.

use std::path::{Path, PathBuf};

use busmark::scenario::{Scenario, schema, shipped};

const COMMITTED: &str = "docs/scenario.schema.json";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The names of all files under `scenarios/`, without `.toml`, sorted.
fn files(directory: &Path, prefix: &str) -> Vec<String> {
    let mut names = Vec::new();
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        let name = format!("{prefix}{}", path.file_stem().expect("a name").to_string_lossy());
        if path.is_dir() {
            names.extend(files(&path, &format!("{name}/")));
        } else if path.extension().is_some_and(|extension| extension == "toml") {
            names.push(name);
        }
    }
    names.sort();
    names
}

fn json(text: &str) -> serde_json::Value {
    toml_edit::de::from_str(text).expect("TOML")
}

#[test]
fn the_committed_schema_is_the_generated_one() {
    let committed = std::fs::read_to_string(root().join(COMMITTED)).unwrap_or_default();
    let generated = format!("{:#}\n", schema());
    assert!(committed == generated, "write it anew: busmark scenario schema > {COMMITTED}");
}

#[test]
fn every_file_under_scenarios_is_in_the_binary() {
    let mut names: Vec<&str> = shipped::list().iter().map(|shipped| shipped.name).collect();
    names.sort_unstable();
    assert_eq!(files(&root().join("scenarios"), ""), names);
}

#[test]
fn every_shipped_scenario_is_valid_for_busmark_and_for_the_schema() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    for shipped in shipped::list() {
        let scenario = shipped.scenario(&[]).unwrap_or_else(|error| panic!("{error}"));
        let file_name = shipped.name.rsplit('/').next().unwrap();
        assert_eq!(scenario.name, file_name, "a scenario is called like its file");
        assert!(!scenario.description.is_empty(), "{} says what it does", shipped.name);
        for text in [shipped.text, &scenario.to_toml()] {
            let errors: Vec<String> = validator
                .iter_errors(&json(text))
                .map(|error| format!("{}: {error}", error.instance_path()))
                .collect();
            assert!(errors.is_empty(), "{}: {errors:#?}", shipped.name);
        }
        assert_eq!(Scenario::parse(&scenario.to_toml(), "shown", &[]).unwrap(), scenario, "{}", shipped.name);
    }
}

#[test]
fn the_schema_refuses_what_busmark_refuses() {
    let validator = jsonschema::validator_for(&schema()).unwrap();
    let right =
        "name = \"x\"\n[[target]]\nname = \"a\"\ndriver = \"jetstream\"\noptions = { ack = \"all\" }\n";
    assert!(validator.is_valid(&json(right)));
    for (from, to) in [
        ("ack", "akc"),
        ("\"all\"", "\"some\""),
        ("jetstream", "loopback"),
        ("driver", "drive"),
        ("name = \"x\"", "name = \"x\"\nworkload = { rate = \"50k\" }"),
        ("name = \"x\"", "name = \"x\"\nworkload = { publishers = 0 }"),
    ] {
        let wrong = right.replacen(from, to, 1);
        assert!(!validator.is_valid(&json(&wrong)), "{wrong}");
        assert!(Scenario::parse(&wrong, "x", &[]).is_err(), "{wrong}");
    }
}
