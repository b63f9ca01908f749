//! The fuzz targets of the RESP and NATS codecs under seeded mutations, for machines without cargo-fuzz.
//! BUSMARK_FUZZ_SECONDS sets how long each runs (1 by default), SEED repeats a run.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic and says what it saw")]

#[path = "../fuzz/entries/nats.rs"]
mod nats;
#[path = "../fuzz/entries/resp.rs"]
mod resp;

use busmark::clock::Clock;
use busmark::prng::Prng;

const BEGINNINGS: &[&[u8]] = &[
    b"*3\r\n$7\r\nPUBLISH\r\n$2\r\nch\r\n$5\r\nhello\r\n*3\r\n$7\r\nPUBLISH\r\n$2\r\nch\r\n$1\r\nx\r\n",
    b"*2\r\n$9\r\nSUBSCRIBE\r\n$1\r\na\r\nPING \"a \\x41\"\r\n*0\r\n*-1\r\n",
    b"*3\r\n$7\r\nmessage\r\n$2\r\nch\r\n$3\r\nabc\r\n:1\r\n:12\r\n+OK\r\n-ERR x\r\n$-1\r\n_\r\n",
    b">4\r\n$8\r\npmessage\r\n$1\r\n*\r\n$1\r\na\r\n$1\r\nb\r\n%1\r\n+k\r\n*2\r\n#t\r\n,1.5\r\n|1\r\n+a\r\n:1\r\n=6\r\ntxt:hi\r\n",
    b"*1\r\n$536870912\r\n*2147483647\r\n~2\r\n(12345678901234567890\r\n!3\r\nERR\r\n",
];
const NATS: &[&[u8]] = &[
    b"\x05CONNECT {\"verbose\":false}\r\nPING\r\nSUB a.* q 1\r\nPUB a.b r 5\r\nhello\r\nUNSUB 1 2\r\n",
    b"\x01HPUB a r 16 18\r\nNATS/1.0\r\nA:b\r\n\r\nhi\r\npub x 0\n\r\nPONG\r\n",
    b"\x09INFO {\"max_payload\":5}\r\nMSG a.b 1 r 2\r\nhi\r\nHMSG a 1 16 18\r\nNATS/1.0\r\nA:b\r\n\r\nhi\r\n-ERR 'x'\r\n+OK\r\n",
];
const WORDS: &[&[u8]] =
    &[b"\r\n", b"$", b"*", b"*3\r\n", b"$7\r\n", b"$-1\r\n", b"0", b"9999999999", b"PUBLISH", b"\"", b"\0"];

/// Most memory this process may ever have had, in KiB.
const MOST_MEMORY: u64 = 64 * 1024;

fn mutated(prng: &mut Prng, mut data: Vec<u8>, beginnings: &[&[u8]]) -> Vec<u8> {
    for _ in 0..=prng.below(4) {
        let at = prng.below(data.len() as u64 + 1) as usize;
        match prng.below(5) {
            0 if at < data.len() => data[at] = prng.next_u64() as u8,
            1 if at < data.len() => {
                data.remove(at);
            }
            2 => data.truncate(at),
            3 => {
                let other = beginnings[prng.below(beginnings.len() as u64) as usize];
                data.splice(at..at, other.iter().copied());
            }
            _ => {
                let word = WORDS[prng.below(WORDS.len() as u64) as usize];
                data.splice(at..at, word.iter().copied());
            }
        }
    }
    data.truncate(4096);
    data
}

fn fuzz(name: &str, beginnings: &[&[u8]], run: impl Fn(&[u8])) {
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let seed = number("SEED").unwrap_or_else(busmark::clock::unix_nanos);
    let clock = Clock::real();
    let until = number("BUSMARK_FUZZ_SECONDS").unwrap_or(1) * 1_000_000_000;
    eprintln!("{name}: seed {seed}");
    let mut prng = Prng::new(seed);
    let mut rounds = 0u64;
    let mut data = Vec::new();
    while clock.now() < until {
        if data.is_empty() || prng.below(8) == 0 {
            data = beginnings[prng.below(beginnings.len() as u64) as usize].to_vec();
        }
        data = mutated(&mut prng, data, beginnings);
        run(&data);
        rounds += 1;
    }
    eprintln!("{name}: {rounds} inputs");
    assert!(rounds > 1_000, "only {rounds} inputs: something hangs");
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    assert!(peak < MOST_MEMORY, "{peak} KiB of memory were needed");
}

#[test]
fn mutated_commands_are_read_alike_however_they_arrive() {
    fuzz("resp_commands", BEGINNINGS, resp::commands);
}

#[test]
fn mutated_replies_are_walked_to_their_end() {
    fuzz("resp_replies", BEGINNINGS, resp::replies);
}

#[test]
fn mutated_operations_are_read_alike_however_they_arrive() {
    fuzz("nats_protocol", NATS, nats::protocol);
}
