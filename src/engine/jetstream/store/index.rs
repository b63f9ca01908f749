//! Where the messages of a closed segment begin, in a file beside it: a head of 32 bytes, then 4 bytes for each
//! sequence. It is never trusted: what it points to is checked, and it is made anew from the segment if that is wrong.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64;

/// Bytes of the head.
pub(super) const INDEX_HEAD: usize = 32;
const MAGIC: &[u8; 4] = b"BMJI";
const VERSION: u32 = 1;

/// The index file of a segment file.
pub(super) fn path_of(segment: &Path) -> PathBuf {
    segment.with_extension("idx")
}

fn head(salt: u64, first: u64) -> [u8; INDEX_HEAD] {
    let mut head = [0; INDEX_HEAD];
    head[..4].copy_from_slice(MAGIC);
    head[4..8].copy_from_slice(&VERSION.to_le_bytes());
    head[8..16].copy_from_slice(&salt.to_le_bytes());
    head[16..24].copy_from_slice(&first.to_le_bytes());
    let hash = xxh3_64(&head[..24]);
    head[24..].copy_from_slice(&hash.to_le_bytes());
    head
}

/// Writes the index of a segment.
///
/// # Errors
/// The disk's.
pub(super) fn write(segment: &Path, (salt, first): (u64, u64), offsets: &[u32]) -> io::Result<()> {
    let path = path_of(segment);
    let mut bytes = Vec::with_capacity(INDEX_HEAD + 4 * offsets.len());
    bytes.extend_from_slice(&head(salt, first));
    offsets.iter().for_each(|offset| bytes.extend_from_slice(&offset.to_le_bytes()));
    let written = File::create(&path).and_then(|mut file| file.write_all(&bytes));
    if written.is_err() {
        // Half an index is worth less than none.
        let _ = std::fs::remove_file(&path);
    }
    written
}

/// Whether a segment's index is there, belongs to it and has a place for `count` sequences.
pub(super) fn is_there(segment: &Path, (salt, first): (u64, u64), count: u64) -> bool {
    let mut found = [0; INDEX_HEAD];
    let Ok(file) = File::open(path_of(segment)) else { return false };
    let read = std::os::unix::fs::FileExt::read_exact_at(&file, &mut found, 0);
    let length = file.metadata().map_or(0, |data| data.len());
    read.is_ok() && found == head(salt, first) && length >= INDEX_HEAD as u64 + 4 * count
}
