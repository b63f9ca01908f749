//! Names made up at random.

use crate::prng::Prng;

const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A server's id, shaped as the public key that nats-server shows.
pub(super) fn server_id(seed: u64) -> String {
    let mut prng = Prng::new(seed);
    std::iter::once('N').chain((0..55).map(|_| char::from(BASE32[prng.below(32) as usize]))).collect()
}

/// A name for an ephemeral consumer.
pub(super) fn consumer_name(prng: &mut Prng) -> String {
    (0..8).map(|_| char::from(BASE62[prng.below(62) as usize])).collect()
}

/// An id of an event, or of a client that is pinned.
pub(super) fn event_id(prng: &mut Prng) -> String {
    (0..22).map(|_| char::from(BASE62[prng.below(62) as usize])).collect()
}
