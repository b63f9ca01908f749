use super::segment::SEGMENT_HEAD;
use super::*;
use crate::prng::Prng;
use std::collections::BTreeMap;
use std::path::Path;

fn message<'a>(subject: &'a str, body: &'a [u8], time: u64) -> Stored<'a> {
    Stored { sequence: 0, time, subject: subject.as_bytes(), header_length: 0, body }
}

fn open(dir: &Path) -> (Store, Vec<String>) {
    let Recovered { medium, books, notices } = FileMedium::open(dir, 1, 3).unwrap();
    (Store::in_files(medium, books), notices)
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
    for seed in 0..6 {
        let dir = tempfile::tempdir().unwrap();
        let mut prng = Prng::new(seed);
        let (mut file, _) = open(dir.path());
        let mut memory = Store::in_memory(1);
        let mut model: BTreeMap<u64, (String, Vec<u8>)> = BTreeMap::new();
        let mut last = 0;
        for step in 0..1_500u64 {
            match prng.below(20) {
                0..=11 => {
                    let subject = format!("s.{}", prng.below(4));
                    let body = vec![step as u8; prng.below(300) as usize];
                    let sequence = file.append(&message(&subject, &body, 1_000 + step));
                    assert_eq!(memory.append(&message(&subject, &body, 1_000 + step)), sequence);
                    last = sequence;
                    model.insert(sequence, (subject, body));
                }
                12..=15 => {
                    let sequence = 1 + prng.below(last + 2);
                    let there = model.remove(&sequence).is_some();
                    assert_eq!(file.remove(sequence), there, "seed {seed} step {step}");
                    assert_eq!(memory.remove(sequence), there);
                }
                16 => {
                    let first = file.books.first + prng.below(5);
                    let gone = model.keys().filter(|&&sequence| sequence < first).count() as u64;
                    assert_eq!(file.compact(first), gone, "seed {seed} step {step}");
                    assert_eq!(memory.compact(first), gone);
                    model.retain(|&sequence, _| sequence >= first);
                    last = file.books.last;
                }
                17 => {
                    file.flush(false).unwrap();
                    let (reopened, notices) = open(dir.path());
                    assert_eq!(notices, Vec::<String>::new(), "seed {seed} step {step}");
                    file = reopened;
                }
                18 => file.flush(true).unwrap(),
                _ => {
                    let subject = format!("s.{}", prng.below(4));
                    let of = |(sequence, (own, _)): (&u64, &(String, Vec<u8>))| {
                        (*own == subject).then_some(*sequence)
                    };
                    let (first, newest) = (model.iter().find_map(of), model.iter().rev().find_map(of));
                    for store in [&mut file, &mut memory] {
                        assert_eq!(store.first_of(subject.as_bytes()), first, "seed {seed} step {step}");
                        assert_eq!(store.last_of(subject.as_bytes()), newest, "seed {seed} step {step}");
                    }
                }
            }
            for store in [&mut file, &mut memory] {
                assert_eq!(store.books.messages, model.len() as u64, "seed {seed} step {step}");
                assert_eq!(store.books.last, last, "seed {seed} step {step}");
                let first = model.keys().next().copied().unwrap_or(last + 1);
                assert_eq!(store.books.first, first, "seed {seed} step {step}");
            }
        }
        assert_eq!(all(&mut file), model, "seed {seed}");
        assert_eq!(all(&mut memory), model, "seed {seed}");
        let bytes: u64 = model.values().map(|(subject, body)| (30 + subject.len() + body.len()) as u64).sum();
        assert_eq!(file.books.bytes, bytes, "seed {seed}");
    }
}

/// Three messages in a closed store; gives where each begins.
fn three(dir: &Path) -> Vec<usize> {
    let (mut store, _) = open(dir);
    for body in [&b"one"[..], b"two two", b"three"] {
        store.append(&message("s", body, 5));
    }
    store.flush(true).unwrap();
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
        store.flush(false).unwrap();
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
fn a_damaged_head_or_a_later_version_is_refused_and_left_alone_and_an_empty_file_is_not_in_the_way() {
    let dir = tempfile::tempdir().unwrap();
    three(dir.path());
    let path = only_segment(dir.path());
    let whole = std::fs::read(&path).unwrap();
    for at in 0..24 {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let error = FileMedium::open(dir.path(), 1, 3).unwrap_err();
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
    store.flush(false).unwrap();
    // The whole file, head and all, is stored as a payload; then the message before it is damaged.
    let path = only_segment(dir.path());
    let forged = std::fs::read(&path).unwrap();
    let other = tempfile::tempdir().unwrap();
    let Recovered { medium, books, .. } = FileMedium::open(other.path(), 1, 99).unwrap();
    let mut victim = Store::in_files(medium, books);
    victim.append(&message("s", b"damaged", 5));
    victim.append(&message("s", &forged, 5));
    victim.flush(false).unwrap();
    let path = only_segment(other.path());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[SEGMENT_HEAD + 5] ^= 0xff;
    std::fs::write(&path, &bytes).unwrap();
    let (mut store, _) = open(other.path());
    let found = all(&mut store);
    assert_eq!(found.into_iter().collect::<Vec<_>>(), [(2, ("s".to_owned(), forged))]);
}
