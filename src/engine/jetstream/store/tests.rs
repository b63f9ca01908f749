use super::segment::SEGMENT_HEAD;
use super::*;
use crate::prng::Prng;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

fn message<'a>(subject: &'a str, body: &'a [u8], time: u64) -> Stored<'a> {
    Stored { sequence: 0, time, subject: subject.as_bytes(), header_length: 0, body }
}

/// Segments so small that they roll all the time.
const SMALL: Layout = Layout { segment_bytes: 2_000, journal: false, copies: false };
const LARGE: Layout = Layout { segment_bytes: 64 << 20, journal: false, copies: false };

fn open_as(dir: &Path, layout: Layout) -> (Store, Vec<String>, u64) {
    // Salts are to differ between openings, as they do for a server's clock.
    static OPENED: AtomicU64 = AtomicU64::new(0);
    let seed = 1_000 + OPENED.fetch_add(1, Ordering::Relaxed);
    let Recovered { medium, books, notices, scanned } = FileMedium::open(dir, (1, seed), layout).unwrap();
    (Store::in_files(medium, books), notices, scanned)
}

fn open(dir: &Path) -> (Store, Vec<String>) {
    let (store, notices, _) = open_as(dir, LARGE);
    (store, notices)
}

fn reserve(store: &mut Store, bytes: usize) {
    store.reserve_at(store.books.last + 1, bytes).unwrap();
}

fn flush(store: &mut Store) {
    store.flush(&mut Vec::new()).unwrap();
}

/// Does whatever upkeep there is.
fn keep_up(store: &mut Store, all: bool) {
    if let Some(work) = store.upkeep(all) {
        work.carry_out().unwrap();
    }
}

/// All that is in a store, by sequence.
fn all(store: &mut Store) -> BTreeMap<u64, (String, Vec<u8>)> {
    let mut found = BTreeMap::new();
    for sequence in store.books.first..=store.books.last {
        if let Some(message) = store.get(sequence) {
            let subject = String::from_utf8(message.subject.to_vec()).unwrap();
            found.insert(sequence, (subject, message.body.to_vec()));
        }
    }
    found
}

fn only_segment(dir: &Path) -> std::path::PathBuf {
    let mut paths: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(paths.len(), 1);
    paths.remove(0)
}

#[test]
fn files_and_memory_agree_with_a_plain_map_through_thousands_of_changes_and_reopenings() {
    for seed in 0..8 {
        walk(seed, if seed % 2 == 0 { SMALL } else { LARGE });
    }
}

/// A file store, a memory store and what they should hold.
struct Walk {
    dir: tempfile::TempDir,
    layout: Layout,
    prng: Prng,
    file: Store,
    memory: Store,
    model: BTreeMap<u64, (String, Vec<u8>)>,
    last: u64,
    note: Vec<u8>,
    /// Whether closed segments are compressed.
    compressed: bool,
}

fn walk(seed: u64, layout: Layout) {
    let dir = tempfile::tempdir().unwrap();
    let (mut file, _, _) = open_as(dir.path(), layout);
    let compressed = seed % 4 >= 2;
    file.compress(compressed);
    let mut walk = Walk {
        dir,
        layout,
        prng: Prng::new(seed),
        file,
        memory: Store::in_memory(1),
        model: BTreeMap::new(),
        last: 0,
        note: Vec::new(),
        compressed,
    };
    for step in 0..1_500u64 {
        let at = format!("seed {seed} step {step}");
        walk.step(step, &at);
        let first = walk.model.keys().next().copied().unwrap_or(walk.last + 1);
        let from = walk.last.saturating_sub(walk.prng.below(20));
        let rest = walk.model.range(from..).count() as u64;
        for store in [&mut walk.file, &mut walk.memory] {
            assert_eq!(store.books.messages, walk.model.len() as u64, "{at}");
            assert_eq!(store.books.last, walk.last, "{at}");
            assert_eq!(store.books.first, first, "{at}");
            assert_eq!(store.count_from(from), rest, "{at}");
        }
    }
    assert!(all(&mut walk.file) == walk.model, "seed {seed}");
    assert!(all(&mut walk.memory) == walk.model, "seed {seed}");
    let bytes: u64 =
        walk.model.values().map(|(subject, body)| (30 + subject.len() + body.len()) as u64).sum();
    assert_eq!(walk.file.books.bytes, bytes, "seed {seed}");
}

impl Walk {
    fn step(&mut self, step: u64, at: &str) {
        match self.prng.below(24) {
            0..=11 => {
                let subject = format!("s.{}", self.prng.below(4));
                let body = vec![step as u8; self.prng.below(300) as usize];
                // Copies of another stream's messages leave sequences out.
                let gap = self.prng.below(32).saturating_sub(28);
                let sequence = self.last + 1 + gap;
                self.file.reserve_at(sequence, subject.len() + body.len()).unwrap();
                let message = Stored { sequence, ..message(&subject, &body, 1_000 + step) };
                self.last = self.file.append(&message);
                assert_eq!((self.last, self.memory.append(&message)), (sequence, sequence));
                self.model.insert(self.last, (subject, body));
            }
            12..=15 => {
                let sequence = 1 + self.prng.below(self.last + 2);
                let there = self.model.remove(&sequence).is_some();
                assert_eq!(self.file.remove(sequence), there, "{at}");
                assert_eq!(self.memory.remove(sequence), there, "{at}");
            }
            16 => self.compact(at),
            17 => {
                self.last += 1;
                reserve(&mut self.file, 0);
                assert_eq!((self.file.skip(), self.memory.skip()), (self.last, self.last), "{at}");
            }
            18 => self.reopen(at),
            19 => {
                self.note = step.to_le_bytes().to_vec();
                self.file.note(&self.note);
                flush(&mut self.file);
            }
            20 => {
                flush(&mut self.file);
                let everything = self.prng.below(2) == 0;
                keep_up(&mut self.file, everything);
            }
            _ => {
                let subject = format!("s.{}", self.prng.below(4));
                let of =
                    |(sequence, (own, _)): (&u64, &(String, Vec<u8>))| (*own == subject).then_some(*sequence);
                let (first, newest) = (self.model.iter().find_map(of), self.model.iter().rev().find_map(of));
                for store in [&mut self.file, &mut self.memory] {
                    assert_eq!(store.first_of(subject.as_bytes()), first, "{at}");
                    assert_eq!(store.last_of(subject.as_bytes()), newest, "{at}");
                }
            }
        }
    }

    fn compact(&mut self, at: &str) {
        let all = self.prng.below(8) == 0;
        let first = if all { self.last + 1 } else { self.file.books.first + self.prng.below(5) };
        let gone = self.model.keys().filter(|&&sequence| sequence < first).count() as u64;
        assert_eq!(self.file.compact(first, u64::MAX).0, gone, "{at}");
        assert_eq!(self.memory.compact(first, u64::MAX).0, gone, "{at}");
        self.model.retain(|&sequence, _| sequence >= first);
        self.last = self.file.books.last;
    }

    /// As after a SIGKILL: with what was written, whether upkeep was done or not; now and then without the summary.
    fn reopen(&mut self, at: &str) {
        flush(&mut self.file);
        if self.prng.below(3) == 0 {
            let _ = std::fs::remove_file(self.dir.path().join("summary"));
        }
        let (reopened, notices, _) = open_as(self.dir.path(), self.layout);
        assert_eq!(notices, Vec::<String>::new(), "{at}");
        self.file = reopened;
        self.file.compress(self.compressed);
        assert_eq!(self.file.noted(), self.note, "{at}");
        assert!(all(&mut self.file) == self.model, "{at}: it is not what it was");
    }
}

#[test]
fn only_what_follows_the_summary_is_read_at_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let layout = Layout { segment_bytes: 100_000, journal: false, copies: false };
    let (mut store, _, _) = open_as(dir.path(), layout);
    for number in 0..10_000u64 {
        reserve(&mut store, 108);
        store.append(&message(&format!("s.{}", number % 7), &[number as u8; 105], number));
        if number % 100 == 99 {
            flush(&mut store);
            keep_up(&mut store, false);
        }
    }
    let before = all(&mut store);
    drop(store);
    let (mut store, notices, scanned) = open_as(dir.path(), layout);
    assert_eq!(notices, Vec::<String>::new());
    assert!(scanned < 220_000, "{scanned} bytes were read of {} messages", before.len());
    assert_eq!(all(&mut store), before);
    assert_eq!(store.first_since(5_000), 5_001);
}

/// A store of several closed segments; gives the paths of its files with this ending, in order.
fn rolled(dir: &Path, ending: &str) -> Vec<std::path::PathBuf> {
    let (mut store, _, _) = open_as(dir, SMALL);
    for number in 1..=60u64 {
        reserve(&mut store, 101);
        store.append(&message("s", &[number as u8; 100], number));
    }
    flush(&mut store);
    keep_up(&mut store, true);
    let mut paths: Vec<_> = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|found| found == ending));
    paths.sort();
    assert!(paths.len() > 2, "{paths:?}");
    paths
}

#[test]
fn a_missing_or_wrong_index_is_made_anew() {
    for damage in ["missing", "short", "wrong"] {
        let dir = tempfile::tempdir().unwrap();
        let path = rolled(dir.path(), "idx").remove(1);
        let whole = std::fs::read(&path).unwrap();
        match damage {
            "missing" => std::fs::remove_file(&path).unwrap(),
            "short" => std::fs::write(&path, &whole[..40]).unwrap(),
            _ => {
                let mut bytes = whole.clone();
                bytes[36] ^= 1;
                std::fs::write(&path, bytes).unwrap();
            }
        }
        let (mut store, mut notices, _) = open_as(dir.path(), SMALL);
        assert_eq!(all(&mut store).into_keys().collect::<Vec<_>>(), (1..=60).collect::<Vec<_>>(), "{damage}");
        notices.extend(store.take_notices());
        assert_eq!(notices.len(), 1, "{damage}: {notices:?}");
        assert_eq!(std::fs::read(&path).unwrap(), whole, "{damage}");
    }
}

#[test]
fn a_damaged_summary_or_one_that_does_not_fit_costs_time_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    rolled(dir.path(), "seg");
    let path = dir.path().join("summary");
    let whole = std::fs::read(&path).unwrap();
    let mut wrong = whole.clone();
    wrong[30] ^= 1;
    // Right as a file, but of other segments.
    let mut other = whole[8..].to_vec();
    other[16] ^= 1;
    let other = [&xxhash_rust::xxh3::xxh3_64(&other).to_le_bytes()[..], &other].concat();
    for bytes in [&wrong, &other, &whole[..20].to_vec(), &Vec::new()] {
        std::fs::write(&path, bytes).unwrap();
        let (mut store, notices, _) = open_as(dir.path(), SMALL);
        assert_eq!(all(&mut store).len(), 60);
        assert_eq!(notices.len(), 1, "{notices:?}");
    }
    std::fs::write(&path, &whole).unwrap();
    assert_eq!(open_as(dir.path(), SMALL).1, Vec::<String>::new());
}

#[test]
fn a_message_damaged_in_a_closed_segment_is_a_hole_that_is_told_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    let path = rolled(dir.path(), "seg").remove(1);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[SEGMENT_HEAD + record::HEAD + 20] ^= 1;
    std::fs::write(&path, &bytes).unwrap();
    let (mut store, notices, _) = open_as(dir.path(), SMALL);
    assert_eq!(notices, Vec::<String>::new(), "closed segments are not read at a start");
    let found = all(&mut store);
    assert_eq!(found.len(), 59);
    assert_eq!(store.books.messages, 59);
    assert!(store.take_notices().iter().any(|line| line.contains("is damaged and left out")));
    // Nothing is in the way of a purge.
    let last = store.books.last;
    assert_eq!(store.compact(last, u64::MAX).0, 58);
    assert_eq!((store.books.messages, store.books.first), (1, last));
}

/// Three messages in a closed store; gives where each begins.
fn three(dir: &Path) -> Vec<usize> {
    let (mut store, _) = open(dir);
    for body in [&b"one"[..], b"two two", b"three"] {
        store.append(&message("s", body, 5));
    }
    flush(&mut store);
    let lengths = [3, 7, 5].map(|body| record::HEAD + 1 + body);
    vec![SEGMENT_HEAD, SEGMENT_HEAD + lengths[0], SEGMENT_HEAD + lengths[0] + lengths[1]]
}

#[test]
fn a_last_record_cut_anywhere_loses_itself_alone() {
    let dir = tempfile::tempdir().unwrap();
    let starts = three(dir.path());
    let path = only_segment(dir.path());
    let whole = std::fs::read(&path).unwrap();
    for length in starts[2]..whole.len() {
        std::fs::write(&path, &whole[..length]).unwrap();
        let (mut store, notices) = open(dir.path());
        assert_eq!((store.books.messages, store.books.last), (2, 2), "cut at {length}");
        assert_eq!(notices.is_empty(), length == starts[2], "cut at {length}: {notices:?}");
        // What is written next is found again, whatever was left behind it.
        assert_eq!(store.append(&message("s", b"again", 6)), 3);
        flush(&mut store);
        drop(store);
        let (mut store, _) = open(dir.path());
        assert_eq!(
            store.get(3).map(|message| message.body.to_vec()),
            Some(b"again".to_vec()),
            "cut at {length}"
        );
    }
}

#[test]
fn any_flipped_bit_of_a_record_loses_that_record_alone() {
    let dir = tempfile::tempdir().unwrap();
    let starts = three(dir.path());
    let path = only_segment(dir.path());
    let whole = std::fs::read(&path).unwrap();
    for bit in starts[1] * 8..starts[2] * 8 {
        let mut bytes = whole.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        std::fs::write(&path, &bytes).unwrap();
        let (mut store, notices) = open(dir.path());
        let found: Vec<u64> = all(&mut store).into_keys().collect();
        // One byte of a head is padding, and its hash sees that, too.
        assert_eq!(found, [1, 3], "bit {bit}");
        assert!(!notices.is_empty(), "bit {bit} was passed over in silence");
    }
}

#[test]
fn what_follows_a_gap_that_was_never_written_is_kept_but_where_it_can_be_copied_again() {
    for (layout, kept) in [(LARGE, [1, 2, 6, 7].as_slice()), (Layout { copies: true, ..LARGE }, &[1, 2])] {
        let dir = tempfile::tempdir().unwrap();
        let (mut store, _) = open(dir.path());
        for number in 1..=7 {
            store.append(&message("a", &[number; 1_000], 1));
        }
        flush(&mut store);
        drop(store);
        let path = only_segment(dir.path());
        let mut bytes = std::fs::read(&path).unwrap();
        // A page of 4 KiB would begin here: from within the third message into the fifth.
        bytes[2_560..2_560 + 2_560].fill(0);
        std::fs::write(&path, &bytes).unwrap();
        let (mut store, notices, _) = open_as(dir.path(), layout);
        assert_eq!(all(&mut store).into_keys().collect::<Vec<_>>(), kept, "{notices:?}");
        assert!(!notices.is_empty());
        let next = kept.last().unwrap() + 1;
        assert_eq!(store.append(&message("a", b"next", 2)), next);
        flush(&mut store);
        let (mut store, _, _) = open_as(dir.path(), layout);
        assert_eq!(all(&mut store)[&next].1, b"next");
        assert_eq!(store.books.messages, kept.len() as u64 + 1);
    }
}

#[test]
fn a_copy_whose_segment_is_shorter_than_it_was_ends_there_and_any_other_stream_goes_on() {
    for (copies, kept) in [(false, 26), (true, 11)] {
        let dir = tempfile::tempdir().unwrap();
        let layout = Layout { copies, ..SMALL };
        let (mut store, _, _) = open_as(dir.path(), layout);
        for number in 1..=30 {
            // Some sequences are passed over between two segments.
            let sequence = if number > 15 { number + 3 } else { number };
            store.reserve_at(sequence, 401).unwrap();
            store.append(&Stored { sequence, ..message("a", &[7; 400], 1) });
        }
        flush(&mut store);
        drop(store);
        let mut segments: Vec<_> =
            std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        segments.retain(|path| path.extension().is_some_and(|extension| extension == "seg"));
        segments.sort();
        let whole = open_as(dir.path(), layout).0;
        assert_eq!((whole.books.messages, whole.books.last), (30, 33), "passing over is no damage");
        drop(whole);
        // The third segment loses all but its first message.
        let file = std::fs::OpenOptions::new().write(true).open(&segments[2]).unwrap();
        file.set_len(600).unwrap();
        let (mut store, notices, _) = open_as(dir.path(), layout);
        let found = all(&mut store);
        assert_eq!(found.len(), kept, "{notices:?}");
        assert!(!copies || found.keys().copied().eq(1..=11), "{found:?}");
        assert_eq!(store.append(&message("a", b"next", 2)), if copies { 12 } else { 34 });
    }
}

#[test]
fn a_damaged_head_or_a_later_version_is_refused_and_left_alone_and_an_empty_file_is_not_in_the_way() {
    let dir = tempfile::tempdir().unwrap();
    three(dir.path());
    let path = only_segment(dir.path());
    let whole = std::fs::read(&path).unwrap();
    for at in 0..24 {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let error = FileMedium::open(dir.path(), (1, 3), LARGE).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData, "byte {at}: {error}");
        assert_eq!(std::fs::read(&path).unwrap(), bytes, "byte {at}: it was touched");
    }
    std::fs::write(&path, &whole).unwrap();
    std::fs::write(dir.path().join("00000000000000000004.seg"), b"").unwrap();
    let (store, notices) = open(dir.path());
    assert_eq!((store.books.messages, notices.len()), (3, 1));
}

#[test]
fn a_payload_cannot_pass_for_a_record() {
    let dir = tempfile::tempdir().unwrap();
    let (mut store, _) = open(dir.path());
    store.append(&message("s", b"first", 5));
    flush(&mut store);
    // The whole file, head and all, is stored as a payload; then the message before it is damaged.
    let path = only_segment(dir.path());
    let forged = std::fs::read(&path).unwrap();
    let other = tempfile::tempdir().unwrap();
    let Recovered { medium, books, .. } = FileMedium::open(other.path(), (1, 99), LARGE).unwrap();
    let mut victim = Store::in_files(medium, books);
    victim.append(&message("s", b"damaged", 5));
    victim.append(&message("s", &forged, 5));
    flush(&mut victim);
    let path = only_segment(other.path());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[SEGMENT_HEAD + 5] ^= 0xff;
    std::fs::write(&path, &bytes).unwrap();
    let (mut store, _) = open(other.path());
    let found = all(&mut store);
    assert_eq!(found.into_iter().collect::<Vec<_>>(), [(2, ("s".to_owned(), forged))]);
}

/// Damages bytes in one of the ways in which disks do.
fn damage(bytes: &mut Vec<u8>, prng: &mut Prng) {
    let length = bytes.len() as u64;
    if length == 0 {
        return bytes.push(prng.next_u64() as u8);
    }
    let at = prng.below(length) as usize;
    let some = (at + 1 + prng.below(200) as usize).min(bytes.len());
    match prng.below(6) {
        0 => bytes[at] ^= 1 << prng.below(8),
        1 => bytes.truncate(at),
        2 => bytes[at..some].fill(0),
        3 => bytes[at..some].iter_mut().for_each(|byte| *byte = prng.next_u64() as u8),
        4 => drop(bytes.drain(at..some)),
        _ => {
            let again = bytes[at..some].to_vec();
            let to = prng.below(length) as usize;
            bytes.splice(to..to, again);
        }
    }
}

/// BUSMARK_FUZZ_SECONDS asks for more than the two seconds of every run.
#[test]
fn no_damage_makes_opening_panic_or_brings_up_a_message_that_never_was() {
    let asked = std::env::var("BUSMARK_FUZZ_SECONDS").ok().and_then(|seconds| seconds.parse::<u64>().ok());
    let (seconds, seed) = (asked.unwrap_or(2), crate::clock::unix_nanos());
    let clock = crate::clock::Clock::real();
    let whole = tempfile::tempdir().unwrap();
    rolled(whole.path(), "seg");
    let before = all(&mut open_as(whole.path(), SMALL).0);
    let files: Vec<(std::ffi::OsString, Vec<u8>)> = std::fs::read_dir(whole.path())
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name(), std::fs::read(entry.path()).unwrap()))
        .collect();
    let mut prng = Prng::new(seed);
    let (mut rounds, mut opened) = (0u64, 0u64);
    while clock.now() < seconds * 1_000_000_000 {
        rounds += 1;
        let dir = tempfile::tempdir().unwrap();
        let victims: Vec<u64> = (0..=prng.below(3)).map(|_| prng.below(files.len() as u64)).collect();
        for (index, (name, bytes)) in files.iter().enumerate() {
            let mut bytes = bytes.clone();
            victims
                .iter()
                .filter(|&&victim| victim == index as u64)
                .for_each(|_| damage(&mut bytes, &mut prng));
            std::fs::write(dir.path().join(name), bytes).unwrap();
        }
        let at = format!("seed {seed} round {rounds}");
        match FileMedium::open(dir.path(), (1, rounds), SMALL) {
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{at}: {error}"),
            Ok(Recovered { medium, books, .. }) => {
                opened += 1;
                let mut store = Store::in_files(medium, books);
                for (sequence, message) in all(&mut store) {
                    assert_eq!(before.get(&sequence), Some(&message), "{at}: message {sequence}");
                }
                reserve(&mut store, 5);
                let next = store.append(&message("s", b"more", 9));
                flush(&mut store);
                assert_eq!(
                    store.get(next).map(|message| message.body.to_vec()),
                    Some(b"more".to_vec()),
                    "{at}"
                );
            }
        }
    }
    assert!(opened > rounds / 4, "seed {seed}: {opened} of {rounds} could be opened");
}

#[test]
fn what_is_found_damaged_counts_no_more() {
    for (what, layout, offset) in [
        ("a body in the open segment", LARGE, 60),
        ("a head in the open segment", LARGE, 10),
        ("a body in a closed segment", SMALL, 60),
        ("a head in a closed segment", SMALL, 10),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let (mut store, _, _) = open_as(dir.path(), layout);
        for number in 0..40u8 {
            reserve(&mut store, 200);
            store.append(&message("s.a", &[number; 100], 1 + u64::from(number)));
            flush(&mut store);
        }
        keep_up(&mut store, true);
        let size = store.size_of(5).unwrap();
        let before = store.books.bytes;
        let path = dir.path().join(format!("{:020}.seg", 1));
        let mut bytes = std::fs::read(&path).unwrap();
        // The fifth record: each takes a head, three bytes of subject and a hundred of body.
        let at = SEGMENT_HEAD + 4 * (44 + 103) + offset;
        bytes[at] ^= 0x40;
        std::fs::write(&path, &bytes).unwrap();
        drop(store);
        let (mut store, _, _) = open_as(dir.path(), layout);
        assert!(store.get(5).is_none(), "{what}");
        assert_eq!((store.books.bytes, store.books.messages), (before - size, 39), "{what}");
        assert_eq!(all(&mut store).len(), 39, "{what}");
    }
}
