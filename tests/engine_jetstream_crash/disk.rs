//! Disks that fail, disks that are full, and no file descriptors left.

use crate::load::sequence_of;
use crate::mount::Mount;
use crate::node::{Node, Peer, log_of};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Bytes of the messages that fill a disk.
const LARGE: usize = 60 * 1024;

/// Makes fsync and fdatasync fail with EIO once a file is there.
const SHIM: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>
static int fails(void) { const char *when = getenv("FAIL_SYNC_WHEN"); return when && access(when, F_OK) == 0; }
int fdatasync(int fd) {
    static int (*real)(int);
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    if (fails()) { errno = EIO; return -1; }
    return real(fd);
}
int fsync(int fd) {
    static int (*real)(int);
    if (!real) real = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    if (fails()) { errno = EIO; return -1; }
    return real(fd);
}
"#;

/// The shim as a library; `None`, said on the standard error, where there is no C compiler.
fn shim(dir: &Path) -> Option<PathBuf> {
    let (source, library) = (dir.join("shim.c"), dir.join("shim.so"));
    std::fs::write(&source, SHIM).unwrap();
    let made =
        Command::new("cc").args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl").status();
    if made.is_ok_and(|status| status.success()) {
        return Some(library);
    }
    eprintln!("NOT RUN: EIO on fsync, for want of a C compiler (cc)");
    None
}

fn create(peer: &mut Peer) {
    peer.ask_json("$JS.API.STREAM.CREATE.L", "{\"name\":\"L\",\"subjects\":[\"load\"],\"storage\":\"file\"}");
}

fn messages(peer: &mut Peer) -> u64 {
    peer.ask_json("$JS.API.STREAM.INFO.L", "")["state"]["messages"].as_u64().unwrap()
}

#[test]
fn a_failed_fsync_ends_the_server_and_nothing_that_it_covers_is_acknowledged() {
    let dir = tempfile::tempdir().unwrap();
    let Some(library) = shim(dir.path()) else { return };
    let (store, trigger) = (dir.path().join("store"), dir.path().join("fail"));
    let env = [("LD_PRELOAD", &*library), ("FAIL_SYNC_WHEN", &*trigger)];
    let mut node = Node::engine_with(&store, &["--sync", "always"], &env);
    let mut peer = Peer::connect(&node);
    create(&mut peer);
    for _ in 0..100 {
        assert!(sequence_of(&peer.ask("load", "sure")).is_some());
    }
    std::fs::write(&trigger, "").unwrap();
    assert_eq!(peer.try_ask("load", "unsure"), None, "it was acknowledged without a sync");
    assert!(!node.wait(), "it ended as if all were well");
    let log = std::fs::read_to_string(log_of(&store)).unwrap();
    assert!(log.contains("the disk failed"), "{log}");
    let node = Node::engine(&store, &["--sync", "always"]);
    let found = messages(&mut Peer::connect(&node));
    assert!((100..=101).contains(&found), "{found} messages");
}

#[test]
fn a_failed_fsync_at_an_interval_ends_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let Some(library) = shim(dir.path()) else { return };
    let (store, trigger) = (dir.path().join("store"), dir.path().join("fail"));
    let env = [("LD_PRELOAD", &*library), ("FAIL_SYNC_WHEN", &*trigger)];
    let mut node = Node::engine_with(&store, &["--sync", "100ms"], &env);
    let mut peer = Peer::connect(&node);
    create(&mut peer);
    std::fs::write(&trigger, "").unwrap();
    // Acknowledged by now; the sync that covers it fails.
    let _ = peer.try_ask("load", "unsure");
    assert!(!node.wait(), "it ended as if all were well");
}

/// An answer, which may be a refusal.
fn try_json(peer: &mut Peer, subject: &str, body: &str) -> serde_json::Value {
    serde_json::from_str(&peer.ask(subject, body)).unwrap()
}

/// Makes streams until one is refused; gives how many there are.
fn make_streams(peer: &mut Peer) -> u64 {
    for number in 0.. {
        let config = format!("{{\"name\":\"S{number}\",\"subjects\":[\"s.{number}\"],\"storage\":\"file\"}}");
        let made = try_json(peer, &format!("$JS.API.STREAM.CREATE.S{number}"), &config);
        if !made["error"].is_null() {
            assert_eq!(made["error"]["err_code"], 10047, "{made}");
            return number;
        }
    }
    unreachable!("there are more streams than numbers")
}

#[test]
fn with_no_descriptors_left_streams_consumers_and_connections_are_refused_and_the_rest_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let store = dir.path().join("store");
    let mut node = Node::engine_limited(&store, 300);
    let mut peer = Peer::connect(&node);
    let streams = make_streams(&mut peer);
    assert!(
        (100..170).contains(&streams),
        "{streams} streams with 300 descriptors of which 128 are kept back"
    );
    let consumer = "{\"stream_name\":\"S0\",\"config\":{\"durable_name\":\"C\",\"ack_policy\":\"explicit\"}}";
    let refused = try_json(&mut peer, "$JS.API.CONSUMER.DURABLE.CREATE.S0.C", consumer);
    assert_eq!(refused["error"]["err_code"], 10023, "{refused}");
    let others: Vec<_> = (0..200).map_while(|_| Peer::try_connect(&node)).collect();
    assert!((30..100).contains(&others.len()), "{} further connections", others.len());
    for number in 0..streams {
        assert!(sequence_of(&peer.ask(&format!("s.{number}"), "stored")).is_some());
    }
    let log = std::fs::read_to_string(log_of(&store)).unwrap();
    assert!(log.contains("ulimit -n"), "{log}");
    node.kill();
    let mut node = Node::engine_limited(&store, 300);
    let mut peer = Peer::connect(&node);
    for number in 0..streams {
        let info = peer.ask_json(&format!("$JS.API.STREAM.INFO.S{number}"), "");
        assert_eq!(info["state"]["messages"], 1, "{info}");
    }
    node.kill();
}

/// Fills the disk; gives how many messages were acknowledged before one was refused.
fn fill(peer: &mut Peer) -> u64 {
    let body = "x".repeat(LARGE);
    let mut stored = 0;
    loop {
        let answer = peer.ask("load", &body);
        if sequence_of(&answer).is_some() {
            stored += 1;
            continue;
        }
        assert!(answer.contains("\"err_code\":10077") && answer.contains("no space left"), "{answer}");
        return stored;
    }
}

fn full_disk(sync: &str) {
    let Some(mount) = Mount::make("a full disk", 96) else { return };
    let store = mount.path.join("store");
    let options = ["--sync", sync, "--segment_size", "4MB"];
    let mut node = Node::engine(&store, &options);
    let mut peer = Peer::connect(&node);
    create(&mut peer);
    peer.ask_json(
        "$JS.API.CONSUMER.DURABLE.CREATE.L.C",
        "{\"stream_name\":\"L\",\"config\":{\"durable_name\":\"C\",\"ack_policy\":\"explicit\"}}",
    );
    let stored = fill(&mut peer);
    assert!(stored > 300, "{stored} messages of 60 KiB in 96 MiB");
    // What is there is served and acknowledged all the same, to the last message.
    for sequence in 1..=stored {
        peer.publish("$JS.API.CONSUMER.MSG.NEXT.L.C", "in.m", "1");
        let (head, _) = peer.message().unwrap();
        let ack = head.split(' ').find(|word| word.starts_with("$JS.ACK")).unwrap().to_owned();
        assert_eq!(ack.split('.').nth(5), Some(&*sequence.to_string()));
        assert_eq!(peer.ask(&ack, "+ACK"), "");
    }
    assert_eq!(messages(&mut peer), stored);
    let refused = try_json(&mut peer, "load", &"x".repeat(LARGE));
    assert_eq!(refused["error"]["err_code"], 10077);
    // Killed while full, it comes back with everything, full.
    node.kill();
    let node = Node::engine(&store, &options);
    let mut peer = Peer::connect(&node);
    assert_eq!(messages(&mut peer), stored);
    let info = peer.ask_json("$JS.API.CONSUMER.INFO.L.C", "");
    assert_eq!(info["ack_floor"]["stream_seq"], stored, "{info}");
    // A purge makes room.
    assert_eq!(peer.ask_json("$JS.API.STREAM.PURGE.L", "")["purged"], stored);
    let began = busmark::clock::Clock::real();
    while sequence_of(&peer.ask("load", "room again?")).is_none() {
        assert!(began.now() < 30_000_000_000, "there is no room 30 s after a purge");
    }
    assert!(fill(&mut peer) > stored / 2, "the purge gave hardly any room");
    eprintln!("sync {sync}: {stored} messages of 60 KiB, then refused, served, killed, purged, filled again");
}

#[test]
fn a_full_disk_refuses_messages_and_goes_on_serving() {
    full_disk("2m");
}

#[test]
fn a_full_disk_refuses_messages_and_goes_on_serving_with_sync_always() {
    full_disk("always");
}
