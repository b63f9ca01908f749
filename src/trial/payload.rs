//! The bytes of a message behind its stamp.

use std::collections::HashMap;
use std::io;
use std::path::Path;

use crate::measure::body_sum;
use crate::prng::{Prng, mix};
use crate::scenario::Fill;

/// Letters of the words that text is made of, by frequency in English.
const LETTERS: &[u8] = b"eeeeeettttaaaaooooiiinnnnssshhrrddlucmfywgp,.";

/// Different sizes of bodies whose checksums are remembered; others are summed up anew.
const SUMS_MAX: usize = 1 << 16;

/// The payloads of one connection: bodies of the largest size, of which each message takes as much as it needs.
#[derive(Debug)]
pub(super) struct Bodies {
    bodies: Vec<Vec<u8>>,
    /// Messages of a publisher that carry the same body one after the other.
    repeat: u64,
    /// Checksum of the first body at its whole size.
    whole: u64,
    sums: HashMap<(usize, usize), u64>,
}

impl Bodies {
    /// Bodies of `size` bytes; `seed` decides what is random in them.
    ///
    /// # Errors
    /// When the user's file can't be read or is empty.
    pub(super) fn new(fill: &Fill, size: usize, seed: u64) -> io::Result<Self> {
        let (count, repeat) = match fill {
            Fill::Pool { bodies, repeat } => (u64::from(*bodies), u64::from(*repeat)),
            Fill::Zero | Fill::Random | Fill::Text { .. } | Fill::File(_) => (1, 1),
        };
        let body = |index| payload(fill, size, seed ^ mix(index));
        let bodies = (0..count).map(body).collect::<io::Result<Vec<_>>>()?;
        let whole = bodies.first().map_or(0, |body| body_sum(body));
        Ok(Self { bodies, repeat, whole, sums: HashMap::new() })
    }

    /// The payload of message `round` of a publisher, `size` bytes of it, with the checksum of its body.
    #[inline]
    pub(super) fn of(&mut self, round: u64, size: usize) -> (&mut [u8], u64) {
        let index = match self.bodies.len() as u64 {
            1 => 0,
            several => (round / self.repeat % several) as usize,
        };
        let body = &mut self.bodies[index];
        let size = size.min(body.len());
        if index == 0 && size == body.len() {
            return (body, self.whole);
        }
        let bytes = &mut body[..size];
        let sum = match self.sums.get(&(index, size)) {
            Some(sum) => *sum,
            None => {
                let sum = body_sum(bytes);
                if self.sums.len() < SUMS_MAX {
                    self.sums.insert((index, size), sum);
                }
                sum
            }
        };
        (bytes, sum)
    }
}

/// A payload of `size` bytes; `seed` decides what is random in it.
///
/// # Errors
/// When the user's file can't be read or is empty.
fn payload(fill: &Fill, size: usize, seed: u64) -> io::Result<Vec<u8>> {
    let mut prng = Prng::new(seed);
    Ok(match fill {
        Fill::Zero => vec![0; size],
        Fill::Random | Fill::Pool { .. } => (0..size).map(|_| prng.next_u64() as u8).collect(),
        Fill::Text { compressibility } => text(size, *compressibility, &mut prng),
        Fill::File(path) => file(path, size)?,
    })
}

/// Words, of which the given share repeats a word that stood there before.
fn text(size: usize, compressibility: f64, prng: &mut Prng) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size + 16);
    let mut words: Vec<Vec<u8>> = Vec::new();
    while bytes.len() < size {
        if !words.is_empty() && prng.unit() < compressibility {
            let again = prng.below(words.len().min(8) as u64) as usize;
            bytes.extend_from_slice(&words[again]);
        } else {
            let length = 2 + prng.below(8);
            let mut word: Vec<u8> =
                (0..length).map(|_| LETTERS[prng.below(LETTERS.len() as u64) as usize]).collect();
            word.push(b' ');
            bytes.extend_from_slice(&word);
            words.push(word);
        }
    }
    bytes.truncate(size);
    bytes
}

fn file(path: &Path, size: usize) -> io::Result<Vec<u8>> {
    let content = std::fs::read(path)?;
    if content.is_empty() {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("{} is empty", path.display())));
    }
    Ok(content.iter().copied().cycle().take(size).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Distinct five-byte windows: what a dictionary coder can't find again.
    fn distinct(bytes: &[u8]) -> usize {
        bytes.windows(5).collect::<std::collections::HashSet<_>>().len()
    }

    #[test]
    fn more_compressible_text_repeats_more() {
        let at = |compressibility| distinct(&payload(&Fill::Text { compressibility }, 4096, 1).unwrap());
        assert!(at(0.0) > 2 * at(0.7) && at(0.7) > 2 * at(0.98), "{} {} {}", at(0.0), at(0.7), at(0.98));
    }

    #[test]
    fn every_fill_has_the_size_asked_for_and_is_repeated_by_its_seed() {
        for fill in [Fill::Zero, Fill::Random, Fill::Text { compressibility: 0.5 }] {
            for size in [0, 1, 16, 1000] {
                assert_eq!(payload(&fill, size, 9).unwrap().len(), size);
                assert_eq!(payload(&fill, size, 9).unwrap(), payload(&fill, size, 9).unwrap());
            }
        }
    }

    #[test]
    fn a_pool_has_so_many_bodies_each_repeated_and_every_size_its_own_checksum() {
        let mut bodies = Bodies::new(&Fill::Pool { bodies: 3, repeat: 2 }, 100, 4).unwrap();
        let seen: Vec<Vec<u8>> = (0..12).map(|round| bodies.of(round, 100).0.to_vec()).collect();
        assert_eq!(seen.iter().collect::<std::collections::HashSet<_>>().len(), 3);
        assert!((0..12).all(|round| seen[round] == seen[round / 2 * 2]), "each comes twice in a row");
        assert_eq!(seen[..6], seen[6..], "and all of them again");
        for size in [0, 31, 33, 64, 100] {
            let (bytes, sum) = bodies.of(3, size);
            assert_eq!((bytes.len(), sum), (size, body_sum(bytes)));
            assert_eq!(bodies.of(3, size).1, sum, "remembered");
        }
    }

    #[test]
    fn a_users_file_is_repeated_as_needed_and_an_empty_one_refused() {
        let dir = tempfile::tempdir().unwrap();
        let (full, empty) = (dir.path().join("full"), dir.path().join("empty"));
        std::fs::write(&full, b"abc").unwrap();
        std::fs::write(&empty, b"").unwrap();
        assert_eq!(payload(&Fill::File(full), 7, 0).unwrap(), b"abcabca");
        assert!(payload(&Fill::File(empty), 7, 0).is_err());
    }
}
