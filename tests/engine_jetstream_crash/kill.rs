//! SIGKILL: the page cache survives it, so nothing that was acknowledged may be missing whatever the sync policy.

use crate::load::{self, Plan, Promised};

/// Rounds of the short form, which every run of the tests does.
const ROUNDS: u64 = 8;
/// Rounds of the long form.
const LONG: u64 = 300;

fn rounds(sync: &str, rounds: u64) {
    let dir = tempfile::tempdir().unwrap();
    let plan = Plan { what: &format!("sync {sync}"), sync, rounds, seed: 7, messages: 4_000 };
    load::survive::<Promised>(&plan, &dir.path().join("store"), || {});
}

#[test]
fn what_was_acknowledged_survives_sigkill() {
    rounds("2m", ROUNDS);
}

#[test]
fn what_was_acknowledged_survives_sigkill_with_sync_always() {
    rounds("always", ROUNDS);
}

#[test]
#[ignore = "long: 300 rounds take minutes"]
fn what_was_acknowledged_survives_300_times_sigkill() {
    rounds("2m", LONG / 2);
    rounds("always", LONG / 2);
}
