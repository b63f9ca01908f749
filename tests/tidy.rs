//! The style that clippy can't hold: which room may import which, file lengths, names, and a map that tells
//! the truth.

#![expect(clippy::unwrap_used, reason = "a test that can't go on fails")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Each room and what it may import, besides the leaves `clock`, `units`, `prng`.
const ROOMS: &[(&str, &[&str])] = &[
    ("scenario", &[]),
    ("wire", &[]),
    ("measure", &[]),
    ("load", &["scenario"]),
    ("driver", &["scenario", "wire"]),
    ("target", &["scenario", "driver"]),
    ("trial", &["scenario", "load", "driver", "measure", "target"]),
    ("campaign", &["scenario", "trial", "measure", "gate", "target", "driver"]),
    ("gate", &["scenario", "measure"]),
    ("report", &["scenario", "measure", "gate"]),
    ("engine", &["wire"]),
    ("cli", &["scenario", "measure", "driver", "target", "trial", "campaign", "gate", "report", "engine"]),
];

/// Modules that every room may use and that use no room.
const LEAVES: &[&str] = &["clock", "units", "prng"];

/// A file longer than this hides a room.
const LINES_MAX: usize = 600;

/// Names that say nothing about what is inside.
const BANNED_NAMES: &[&str] = &["utils", "util", "common", "helpers", "helper", "types", "manager", "misc"];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn files_below(folder: &Path, ending: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut files = Vec::new();
    for path in entries.map(|entry| entry.unwrap().path()) {
        if path.is_dir() && !path.ends_with("target") && !path.ends_with("corpus") {
            files.extend(files_below(&path, ending));
        } else if path.to_string_lossy().ends_with(ending) {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn rust_files() -> Vec<PathBuf> {
    ["src", "tests", "benches", "fuzz"]
        .iter()
        .flat_map(|part| files_below(&root().join(part), ".rs"))
        .collect()
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

/// The code of a file without its tests at the end, comments and strings left in.
fn code(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default().to_owned()
}

/// Names of modules that a line takes from the crate's root: `crate::a::…` and `crate::{a, b::c}`.
fn imports(line: &str) -> Vec<String> {
    let code = line.split("//").next().unwrap_or_default();
    let name = |rest: &str| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    code.split("crate::")
        .skip(1)
        .map(|rest| name(rest.trim_start_matches('{')))
        .filter(|n| !n.is_empty())
        .collect()
}

#[test]
fn no_room_imports_what_its_line_in_the_table_does_not_name() {
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    let known: BTreeSet<&str> = ROOMS.iter().map(|(room, _)| *room).chain(LEAVES.iter().copied()).collect();
    for file in files_below(&root().join("src"), ".rs") {
        let path = shown(&file);
        let room = path.trim_start_matches("src/").split(['/', '.']).next().unwrap_or_default().to_owned();
        let allowed: &[&str] =
            ROOMS.iter().find(|(name, _)| *name == room).map_or(&[], |(_, allowed)| allowed);
        for (number, line) in code(&file).lines().enumerate() {
            for import in imports(line) {
                seen.insert(room.clone());
                let fine = import == room
                    || LEAVES.contains(&import.as_str())
                    || allowed.contains(&import.as_str())
                    || !known.contains(import.as_str());
                if !fine && room != "main" && room != "lib" {
                    wrong.push(format!("{path}:{}: room `{room}` may not import `{import}`", number + 1));
                }
            }
        }
    }
    assert!(seen.contains("driver"), "the check found no import at all: it is broken");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_of_the_crate_is_a_room_of_the_table_or_a_leaf() {
    let lib = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    let modules: Vec<&str> =
        lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    assert!(!modules.is_empty());
    for module in modules {
        let known = LEAVES.contains(&module) || ROOMS.iter().any(|(room, _)| *room == module);
        assert!(known, "src/lib.rs declares `{module}`, which tests/tidy.rs doesn't know");
    }
}

#[test]
fn no_file_is_longer_than_six_hundred_lines() {
    let long: Vec<String> = rust_files()
        .iter()
        .map(|file| (shown(file), fs::read_to_string(file).unwrap().lines().count()))
        .filter(|(_, lines)| *lines > LINES_MAX)
        .map(|(file, lines)| format!("{file}: {lines} lines"))
        .collect();
    assert!(long.is_empty(), "{}", long.join("\n"));
}

#[test]
fn no_file_has_a_name_that_says_nothing() {
    for file in files_below(&root().join("src"), "") {
        let stem = file.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        assert!(!BANNED_NAMES.contains(&stem.as_str()), "{} says nothing about what is inside", shown(&file));
    }
}

#[test]
fn only_the_clock_reads_the_clock_and_only_the_named_modules_are_unsafe() {
    for file in files_below(&root().join("src"), ".rs") {
        let text = code(&file);
        let clock = file.ends_with("src/clock.rs");
        assert!(clock || !text.contains("Instant::now()"), "{} reads the clock", shown(&file));
        assert!(!text.contains("#[allow("), "{}: use #[expect(…, reason)]", shown(&file));
        let packed: String = text.split_whitespace().collect();
        let declares = packed.contains("[expect(unsafe_code");
        let block = format!("{} {{", "unsafe");
        assert!(declares || !text.contains(&block), "{} hides unsafe code", shown(&file));
    }
}

#[test]
fn tests_wait_for_conditions_and_choose_their_ports() {
    for file in files_below(&root().join("tests"), ".rs").iter().filter(|file| !file.ends_with("tidy.rs")) {
        let text = fs::read_to_string(file).unwrap();
        for banned in ["thread::sleep(", "#[ignore]", "127.0.0.1:6379\"", "127.0.0.1:4222\""] {
            assert!(!text.contains(banned), "{} contains {banned}", shown(file));
        }
    }
}

#[test]
fn the_map_names_only_what_exists_and_every_room() {
    let map = fs::read_to_string(root().join("docs/ARCHITECTURE.md")).unwrap();
    let words = map.split(|c: char| !(c.is_alphanumeric() || "/._-".contains(c)));
    let mut checked = 0;
    for word in words {
        let word = word.trim_end_matches(['.', '/']);
        let part = word.split('/').next().unwrap_or_default();
        if word.contains('/')
            && ["src", "tests", "scripts", "scenarios", "docs", "benches", "fuzz", ".ci"].contains(&part)
        {
            assert!(root().join(word).exists(), "docs/ARCHITECTURE.md names {word}, which is gone");
            checked += 1;
        }
    }
    assert!(checked >= 10, "only {checked} paths found in the map");
    for (room, _) in ROOMS {
        if root().join("src").join(room).exists() {
            assert!(map.contains(&format!("`{room}`")), "docs/ARCHITECTURE.md doesn't describe `{room}`");
        }
    }
}

#[test]
fn a_test_of_the_check_itself_imports_are_found_in_every_form() {
    assert_eq!(imports("use crate::wire::resp;"), ["wire"]);
    assert_eq!(imports("let x = crate::clock::Clock::real();"), ["clock"]);
    assert_eq!(imports("// use crate::wire"), Vec::<String>::new());
}
