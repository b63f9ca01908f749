//! SIGKILL: the page cache survives it, so nothing that was acknowledged may be missing whatever the sync policy.

use crate::load::{self, Promised};
use crate::node::Node;
use busmark::prng::Prng;

/// Rounds of the short form, which every run of the tests does.
const ROUNDS: u64 = 8;
/// Rounds of the long form.
const LONG: u64 = 300;

fn rounds(sync: &str, rounds: u64) {
    let seed = 7;
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    let options = ["--sync", sync, "--segment_size", "256KB"];
    let mut prng = Prng::new(seed);
    let mut promised = Promised::default();
    let mut node = Node::engine(&store, &options);
    load::set_up(&node);
    for round in 0..rounds {
        load::run(&mut node, &mut promised, 200 + prng.below(4_000), &mut prng);
        node = Node::engine(&store, &options);
        promised.check(&node, &format!("seed {seed}, round {round}"));
    }
    eprintln!(
        "sync {sync}: {rounds} rounds, {} stored, {} double acks, {} deleted, purged below {}, {} streams gone",
        promised.stored.len(),
        promised.acknowledged.len(),
        promised.deleted.len(),
        promised.purged,
        promised.passed()
    );
    assert!(promised.stored.len() as u64 > rounds * 50, "seed {seed}: hardly any load");
    assert!(promised.acknowledged.len() as u64 > rounds * 20, "seed {seed}: hardly any acks");
    assert!(promised.purged > 1 && promised.passed() > 0, "seed {seed}: hardly any purges");
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
