//! Power cuts: what was not synced is gone, and with sync always nothing that was acknowledged is.

use crate::load::{self, Plan, Promised};
use crate::mount::Mount;
use crate::node::{Node, Peer, nats_server};

/// Rounds of the short form, which every run of the tests does, and of the long one.
const ROUNDS: u64 = 10;
const LONG: u64 = 50;

fn rounds(test: &str, rounds: u64) {
    let Some(mut mount) = Mount::make(test, 1_024) else { return };
    let store = mount.path.join("store");
    let plan = Plan { what: "power cuts", sync: "always", rounds, seed: 11, messages: 2_000 };
    load::survive::<Promised>(&plan, &store, || mount.cut_power());
}

#[test]
fn what_was_acknowledged_survives_power_cuts_with_sync_always() {
    rounds("power cuts", ROUNDS);
}

#[test]
#[ignore = "long: 50 rounds take a minute"]
fn what_was_acknowledged_survives_50_power_cuts_with_sync_always() {
    rounds("50 power cuts", LONG);
}

/// Acknowledged messages that are gone after a power cut, of 2,000.
fn lost(mount: &mut Mount, start: impl Fn() -> Node) -> u64 {
    let mut node = start();
    let mut peer = Peer::connect(&node);
    peer.ask_json("$JS.API.STREAM.CREATE.L", "{\"name\":\"L\",\"subjects\":[\"load\"],\"storage\":\"file\"}");
    let count = 2_000;
    for _ in 0..count {
        assert!(peer.publish("load", "in.p", "acknowledged"));
    }
    for _ in 0..count {
        let (_, ack) = peer.message().unwrap();
        assert!(load::sequence_of(&ack).is_some(), "{ack}");
    }
    node.kill();
    mount.cut_power();
    let node = start();
    let info = Peer::connect(&node).ask("$JS.API.STREAM.INFO.L", "");
    let info: serde_json::Value = serde_json::from_str(&info).unwrap();
    // A stream that is gone as a whole has lost them all.
    count - info["state"]["messages"].as_u64().unwrap_or(0)
}

#[test]
fn a_power_cut_takes_what_no_sync_has_made_sure_of() {
    if let Some(mut mount) = Mount::make("power cut of the engine's default", 256) {
        let store = mount.path.join("store");
        let gone = lost(&mut mount, || Node::engine(&store, &[]));
        eprintln!("the engine, synced every 2 minutes: {gone} of 2000 acknowledged messages lost");
        assert!(gone > 0, "the power was not cut");
    }
    if nats_server().is_none() {
        eprintln!("NOT RUN: power cut of a real nats-server: there is none on PATH or in .brokers/");
        return;
    }
    for (sync, loses) in [("2m", true), ("always", false)] {
        let Some(mut mount) = Mount::make("power cut of a real nats-server", 256) else { return };
        let store = mount.path.join("store");
        let gone = lost(&mut mount, || Node::nats_server(&store, sync).unwrap());
        eprintln!("nats-server, sync_interval {sync}: {gone} of 2000 acknowledged messages lost");
        assert_eq!(gone > 0, loses, "sync_interval {sync}: {gone} lost");
    }
}
