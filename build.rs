//! Tells the program which commit it was built from, for the manifest of every run.

use std::process::Command;

fn main() {
    println!("cargo::rerun-if-env-changed=BUSMARK_COMMIT");
    if std::env::var_os("BUSMARK_COMMIT").is_some() {
        return;
    }
    // A packaged crate has no repository of its own: asking there would name somebody else's commit.
    let inside = git(&["rev-parse", "--show-toplevel"]).is_some_and(|top| {
        let here = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
        std::fs::canonicalize(top).ok() == std::fs::canonicalize(here).ok()
    });
    if !inside {
        return;
    }
    for file in ["HEAD", "logs/HEAD"] {
        if let Some(path) = git(&["rev-parse", "--git-path", file]) {
            println!("cargo::rerun-if-changed={path}");
        }
    }
    let dirty =
        git(&["status", "--porcelain", "--untracked-files=no"]).is_some_and(|changes| !changes.is_empty());
    if let Some(commit) = git(&["rev-parse", "--short=12", "HEAD"]) {
        println!("cargo::rustc-env=BUSMARK_COMMIT={commit}{}", if dirty { "-dirty" } else { "" });
    }
}

/// What git prints, without the end of the line; `None` where there is no git or no repository.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim_end().to_owned())
}
