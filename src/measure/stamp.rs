//! What every message carries, so that each delivery can be told apart, timed and checked.
//!
//! | bytes | what (little endian) |
//! | --- | --- |
//! | 0..2 | publisher, u16 |
//! | 2..7 | sequence on its lane, u40 |
//! | 7..13 | intended send time, nanoseconds since trial start, u48 (78 hours) |
//! | 13..16 | checksum, 24 bits |
//! | 16..24 | actual send time, nanoseconds since trial start (payloads of 32 bytes and more) |
//! | 24..32 | XXH3 of the bytes from 32 on (payloads of 32 bytes and more) |
//!
//! The checksum covers all bytes before 32 but itself, the payload's length and its topic. It is the
//! inner-product hash of Carter and Wegman ("Universal classes of hash functions", 1979) modulo the prime
//! p = 2²⁴ − 3, with coefficients drawn from the trial's nonce. From that follows, not only with high
//! probability but always: one flipped bit is found (it changes the sum by ±2ⁱ·c, which p does not divide),
//! and so is a message on another topic of the same trial. Any other change, such as a message of an earlier
//! trial, is missed once in 2²⁴.

use xxhash_rust::xxh3::xxh3_64;

use crate::clock::Nanos;
use crate::prng::Prng;

/// Bytes of the stamp itself: smaller payloads carry none and are only counted.
pub const STAMP_BYTES: usize = 16;
/// From this size on a payload also carries its send time and a checksum of the rest.
pub const LONG_BYTES: usize = 32;

/// Largest prime below 2^24.
const P: u64 = (1 << 24) - 3;
/// Largest sequence, u40.
const SEQUENCE_MAX: u64 = (1 << 40) - 1;
/// Largest time since trial start, u48.
const NANOS_MAX: u64 = (1 << 48) - 1;

/// Names a message within its trial and topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Stamp {
    /// The logical publisher.
    pub publisher: u16,
    /// Its number on its lane, from 0; below 2^40.
    pub sequence: u64,
    /// When it was meant to go, since trial start; below 2^48.
    pub intended: Nanos,
}

/// The second half of a long payload's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tail {
    /// When it really goes, since trial start.
    pub sent: Nanos,
    /// [`body_sum`] of the payload.
    pub body_sum: u64,
}

/// What [`Sealer::open`] found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Opened {
    /// Who, which, and when it was meant to go.
    pub stamp: Stamp,
    /// When it went, where the payload has room to say so.
    pub sent: Option<Nanos>,
}

/// Why a payload could not be opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StampError {
    /// Too short to carry a stamp.
    #[error("payload is shorter than a stamp ({STAMP_BYTES} bytes)")]
    TooShort,
    /// No stamp of this trial and topic: stale, misrouted, foreign, or damaged in its header.
    #[error("no stamp of this trial and topic")]
    Unidentified,
    /// The header is right and the bytes behind it are not.
    #[error("message {} of publisher {} arrived damaged", .0.stamp.sequence, .0.stamp.publisher)]
    Corrupt(Opened),
}

/// Seals and opens payloads of one trial.
#[derive(Debug, Clone)]
pub struct Sealer {
    /// Coefficients of the four words, all in 1..P.
    words: [u64; 4],
    /// Coefficient of the topic, in 1..P.
    topic: u64,
    /// Coefficient of the length, in 1..P.
    length: u64,
    /// Added to every sum.
    offset: u64,
}

impl Sealer {
    /// A sealer for the trial with this nonce. Both sides of a trial use the same.
    #[must_use]
    pub fn new(nonce: u64) -> Self {
        let mut prng = Prng::split(nonce, 0x5ea1);
        let mut coefficient = || 1 + prng.below(P - 1);
        Self {
            words: [coefficient(), coefficient(), coefficient(), coefficient()],
            topic: coefficient(),
            length: coefficient(),
            offset: coefficient(),
        }
    }

    /// Writes stamp and checksum into the first bytes of `payload`; shorter payloads are left alone. Payloads
    /// below [`LONG_BYTES`] ignore `tail`; their bytes behind the stamp must be final.
    #[inline]
    pub fn seal(&self, payload: &mut [u8], topic: u32, stamp: Stamp, tail: Tail) {
        debug_assert!(stamp.sequence <= SEQUENCE_MAX && stamp.intended <= NANOS_MAX, "{stamp:?}");
        if payload.len() < STAMP_BYTES {
            return;
        }
        if payload.len() >= LONG_BYTES {
            payload[16..24].copy_from_slice(&tail.sent.to_le_bytes());
            payload[24..32].copy_from_slice(&tail.body_sum.to_le_bytes());
        }
        let low = u64::from(stamp.publisher)
            | (stamp.sequence & SEQUENCE_MAX) << 16
            | (stamp.intended & 0xff) << 56;
        let high = (stamp.intended & NANOS_MAX) >> 8;
        let sum = self.checksum(low, high, payload, topic);
        payload[..8].copy_from_slice(&low.to_le_bytes());
        payload[8..16].copy_from_slice(&(high | sum << 40).to_le_bytes());
    }

    /// Reads a payload that came on `topic`. Without `check_body` the bytes from 32 on are taken on trust.
    ///
    /// # Errors
    /// See [`StampError`].
    #[inline]
    pub fn open(&self, payload: &[u8], topic: u32, check_body: bool) -> Result<Opened, StampError> {
        let Some((header, rest)) = payload.split_first_chunk::<STAMP_BYTES>() else {
            return Err(StampError::TooShort);
        };
        let low = word(&header[..8]);
        let high = word(&header[8..]);
        let covered = high & ((1 << 40) - 1);
        if self.checksum(low, covered, payload, topic) != high >> 40 {
            return Err(StampError::Unidentified);
        }
        let stamp = Stamp {
            publisher: low as u16,
            sequence: low >> 16 & SEQUENCE_MAX,
            intended: low >> 56 | covered << 8,
        };
        if payload.len() < LONG_BYTES {
            return Ok(Opened { stamp, sent: None });
        }
        let opened = Opened { stamp, sent: Some(word(&rest[..8])) };
        if check_body && body_sum(payload) != word(&rest[8..16]) {
            return Err(StampError::Corrupt(opened));
        }
        Ok(opened)
    }

    /// The 24-bit checksum of a payload whose first 13 bytes are `low` and `high`.
    #[inline]
    fn checksum(&self, low: u64, high: u64, payload: &[u8], topic: u32) -> u64 {
        let (third, fourth) = match payload.len() {
            STAMP_BYTES => (0, 0),
            LONG_BYTES.. => (word(&payload[16..24]), word(&payload[24..32])),
            _ => padded(&payload[STAMP_BYTES..]),
        };
        // Seven products of at most 49 bits: the sum stays below 2^52.
        let sum = self.offset
            + self.words[0] * fold(low)
            + self.words[1] * fold(high)
            + self.words[2] * fold(third)
            + self.words[3] * fold(fourth)
            + self.topic * fold(u64::from(topic))
            + self.length * fold(payload.len() as u64);
        let residue = fold(sum);
        if residue >= P { residue - P } else { residue }
    }
}

/// Congruent to `value` modulo P and below 2P: 2^24 ≡ 3, applied twice.
#[inline]
fn fold(value: u64) -> u64 {
    let once = (value & 0xff_ffff) + 3 * (value >> 24);
    (once & 0xff_ffff) + 3 * (once >> 24)
}

/// Eight bytes, little endian.
#[inline]
fn word(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |chunk| u64::from_le_bytes(*chunk))
}

/// Up to 15 bytes as two words, zeros behind.
fn padded(bytes: &[u8]) -> (u64, u64) {
    let mut both = [0; 16];
    both[..bytes.len()].copy_from_slice(bytes);
    (word(&both[..8]), word(&both[8..]))
}

/// XXH3 of the bytes from 32 on; 0 for payloads that carry none. Bodies come from a small pool, so it is
/// computed once for each of them.
#[must_use]
pub fn body_sum(payload: &[u8]) -> u64 {
    payload.get(LONG_BYTES..).map_or(0, xxh3_64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sealed(sealer: &Sealer, length: usize, topic: u32, stamp: Stamp) -> Vec<u8> {
        let mut payload: Vec<u8> = (0..length).map(|i| (i * 37 + 11) as u8).collect();
        let tail = Tail { sent: stamp.intended + 5, body_sum: body_sum(&payload) };
        sealer.seal(&mut payload, topic, stamp, tail);
        payload
    }

    fn any_stamp() -> impl Strategy<Value = Stamp> {
        (any::<u16>(), 0..=SEQUENCE_MAX, 0..=NANOS_MAX).prop_map(|(publisher, sequence, intended)| Stamp {
            publisher,
            sequence,
            intended,
        })
    }

    proptest! {
        #[test]
        fn what_is_sealed_opens_to_the_same(
            nonce: u64, topic: u32, length in 16usize..200, stamp in any_stamp()
        ) {
            let sealer = Sealer::new(nonce);
            let opened = sealer.open(&sealed(&sealer, length, topic, stamp), topic, true).unwrap();
            prop_assert_eq!(opened.stamp, stamp);
            prop_assert_eq!(opened.sent, (length >= 32).then_some(stamp.intended + 5));
        }

        #[test]
        fn any_single_flipped_bit_is_found(
            nonce: u64, topic: u32, length in 16usize..120, stamp in any_stamp()
        ) {
            let sealer = Sealer::new(nonce);
            let payload = sealed(&sealer, length, topic, stamp);
            for bit in 0..length * 8 {
                let mut damaged = payload.clone();
                damaged[bit / 8] ^= 1 << (bit % 8);
                let found = sealer.open(&damaged, topic, true);
                let body = bit / 8 >= LONG_BYTES;
                prop_assert!(
                    matches!(found, Err(StampError::Corrupt(_)) if body)
                        || matches!(found, Err(StampError::Unidentified) if !body),
                    "bit {} of {}: {:?}", bit, length, found
                );
            }
        }

        #[test]
        fn a_message_on_another_topic_is_never_taken_for_one_of_ours(
            nonce: u64, topic in 0u32..1 << 23, other in 0u32..1 << 23, stamp in any_stamp()
        ) {
            prop_assume!(topic != other);
            let sealer = Sealer::new(nonce);
            let payload = sealed(&sealer, 16, topic, stamp);
            prop_assert_eq!(sealer.open(&payload, other, true), Err(StampError::Unidentified));
        }

        #[test]
        fn a_shortened_or_lengthened_payload_is_found(
            nonce: u64, length in 17usize..64, stamp in any_stamp()
        ) {
            let sealer = Sealer::new(nonce);
            let mut payload = sealed(&sealer, length, 0, stamp);
            prop_assert!(sealer.open(&payload[..length - 1], 0, true).is_err());
            payload.push(0);
            prop_assert!(sealer.open(&payload, 0, true).is_err());
        }
    }

    #[test]
    fn messages_of_an_earlier_trial_are_stale() {
        let (before, now) = (Sealer::new(1), Sealer::new(2));
        let taken = (0..100_000u64)
            .filter(|&sequence| {
                let stamp = Stamp { publisher: 3, sequence, intended: sequence * 1000 };
                now.open(&sealed(&before, 16, 7, stamp), 7, true).is_ok()
            })
            .count();
        assert!(taken <= 2, "{taken} of 100,000 stale messages taken for ours; 0.006 are to be expected");
    }

    #[test]
    fn a_damaged_body_is_identified_but_only_where_it_is_checked() {
        let sealer = Sealer::new(9);
        let stamp = Stamp { publisher: 1, sequence: 2, intended: 3 };
        let mut payload = sealed(&sealer, 64, 4, stamp);
        payload[63] ^= 1;
        let Err(StampError::Corrupt(opened)) = sealer.open(&payload, 4, true) else {
            panic!("not found");
        };
        assert_eq!(opened.stamp, stamp);
        assert!(sealer.open(&payload, 4, false).is_ok());
    }

    #[test]
    fn payloads_shorter_than_a_stamp_are_left_alone() {
        let mut payload = [7; 15];
        Sealer::new(0).seal(&mut payload, 0, Stamp::default(), Tail::default());
        assert_eq!(payload, [7; 15]);
        assert_eq!(Sealer::new(0).open(&payload, 0, true), Err(StampError::TooShort));
    }

    #[test]
    fn folding_keeps_the_residue_and_stays_small() {
        let mut prng = Prng::new(4);
        for value in (0..10_000).map(|_| prng.next_u64()).chain([0, P - 1, P, P + 1, u64::MAX]) {
            assert_eq!(fold(value) % P, value % P, "{value}");
            assert!(fold(value) < 2 * P, "{value}");
        }
    }
}
