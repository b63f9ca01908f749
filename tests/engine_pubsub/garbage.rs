//! Garbage on some connections, for BUSMARK_FUZZ_SECONDS (1 by default; SEED repeats a run): nobody else may
//! notice, and it may not cost memory.

use crate::support::{Served, command};
use busmark::clock::Clock;
use busmark::prng::Prng;
use std::io::Write;

/// Connections that talk garbage.
const RUDE: usize = 8;
/// Most memory the server may have at any time, in bytes.
const MOST_MEMORY: u64 = 64 << 20;

const PIECES: &[&[u8]] = &[
    b"*3\r\n$7\r\nPUBLISH\r\n$2\r\nch\r\n$5\r\nhello\r\n",
    b"*3\r\n$7\r\nPUBLISH\r\n$2\r\nch\r\n$5000\r\n",
    b"*2\r\n$9\r\nSUBSCRIBE\r\n$2\r\nch\r\n",
    b"*2\r\n$10\r\nPSUBSCRIBE\r\n$2\r\nc?\r\n",
    b"*2\r\n$11\r\nUNSUBSCRIBE\r\n$2\r\nch\r\n",
    b"*1\r\n$5\r\nMULTI\r\n",
    b"*1\r\n$4\r\nEXEC\r\n",
    b"*2\r\n$5\r\nHELLO\r\n$1\r\n3\r\n",
    b"*1\r\n$5\r\nRESET\r\n",
    b"*3\r\n$6\r\nCLIENT\r\n$5\r\nREPLY\r\n$3\r\nOFF\r\n",
    b"INFO\r\nCLIENT LIST\r\n",
    b"COMMAND DOCS subscribe\r\n",
    b"PING \"\\x00\\xff\r\n",
    b"*1\r\n$536870912\r\n",
    b"*2147483647\r\n",
    b"*-1\r\n",
    b"$-1\r\n",
    b"\r\n",
    b"\0",
    b"\xff\xfe",
];

fn garbage(prng: &mut Prng) -> Vec<u8> {
    let mut bytes = Vec::new();
    for _ in 0..=prng.below(12) {
        if prng.below(6) == 0 {
            bytes.extend((0..prng.below(600)).map(|_| prng.next_u64() as u8));
        } else {
            bytes.extend_from_slice(PIECES[prng.below(PIECES.len() as u64) as usize]);
        }
    }
    for _ in 0..prng.below(3) {
        let at = prng.below(bytes.len() as u64 + 1) as usize;
        match prng.below(3) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, prng.next_u64() as u8),
            _ if at < bytes.len() => bytes[at] = prng.next_u64() as u8,
            _ => {}
        }
    }
    bytes
}

#[test]
fn garbage_for_as_long_as_one_likes_disturbs_nobody_and_costs_no_memory() {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("SEED").unwrap_or_else(busmark::clock::unix_nanos);
    eprintln!("seed {seed}, {} threads", super::THREADS);
    let (mut prng, clock) = (Prng::new(seed), Clock::real());
    let until = number("BUSMARK_FUZZ_SECONDS").unwrap_or(1) * 1_000_000_000;
    let server = Served::engine(super::THREADS);
    let (mut subscriber, mut publisher) = (server.connect(), server.connect());
    subscriber.ask("SUBSCRIBE calm");
    let mut rude: Vec<_> = (0..RUDE).map(|_| server.connect()).collect();
    let (mut rounds, mut most) = (0u64, 0);
    while clock.now() < until {
        let one = &mut rude[prng.below(RUDE as u64) as usize];
        // The server may have closed it, and what it answers is not read.
        if one.stream.write_all(&garbage(&mut prng)).is_err() || prng.below(8) == 0 {
            *one = server.connect();
        }
        publisher.raw(&command(&["PUBLISH", "calm", &rounds.to_string()]));
        assert_ne!(publisher.next().text(), "0", "seed {seed}, round {rounds}");
        assert_eq!(subscriber.next().items()[2].text(), rounds.to_string(), "seed {seed}");
        if rounds.is_multiple_of(64) {
            most = most.max(server.resident());
        }
        rounds += 1;
    }
    eprintln!("{rounds} rounds, {most} bytes of memory at most");
    assert!(rounds > 100, "only {rounds} rounds: something hangs");
    assert!(most <= MOST_MEMORY, "{most} bytes of memory");
}
