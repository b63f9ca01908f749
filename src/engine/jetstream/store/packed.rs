//! Closed segments that are compressed: a file beside where the segment was, of blocks that are read by themselves. What
//! they hold is the segment, byte for byte, so that places, hashes and recovery are the same.
//!
//! A head of 48 bytes: mark, version, salt, first sequence, length of the segment, a hash of all that. Then for each
//! block where it ends, 4 bytes counted from the first block; then the blocks. A block that would not get smaller is
//! there as it was.

use super::record::number;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use xxhash_rust::xxh3::xxh3_64;

const MAGIC: &[u8; 4] = b"BMJZ";
const VERSION: u32 = 1;
const HEAD: usize = 48;
/// Bytes of a segment in one block: what is read for one message, and as far back as the compression looks.
const BLOCK: u64 = 64 * 1024;

/// The compressed file of a segment file.
pub(super) fn path_of(segment: &Path) -> PathBuf {
    segment.with_extension("sgz")
}

/// What a compressed segment's head says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) salt: u64,
    pub(super) first: u64,
    /// Bytes of the segment.
    pub(super) length: u64,
}

impl Head {
    fn bytes(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD);
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        for number in [self.salt, self.first, self.length, BLOCK] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        out.extend_from_slice(&xxh3_64(&out).to_le_bytes());
        out
    }

    /// Reads a file's head.
    ///
    /// # Errors
    /// The disk's, and `InvalidData` for a file that must not be touched.
    pub(super) fn read(path: &Path) -> io::Result<Self> {
        let found = Self::of(&File::open(path)?)?;
        found.map_err(|why| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {why}", path.display())))
    }

    /// The head of an open file, or why it is none.
    fn of(file: &File) -> io::Result<Result<Self, &'static str>> {
        let head = some(file, 0, HEAD)?;
        if head.len() < HEAD || &head[..4] != MAGIC || xxh3_64(&head[..40]) != number(&head[40..]) {
            return Ok(Err("the segment's head is damaged; its records are left alone"));
        }
        if number(&head[4..8]) as u32 != VERSION || number(&head[32..40]) != BLOCK {
            return Ok(Err("the segment is of a version this engine does not know"));
        }
        let [salt, first, length] = [8, 16, 24].map(|at| number(&head[at..at + 8]));
        Ok(Ok(Self { salt, first, length }))
    }
}

fn blocks(length: u64) -> u64 {
    length.div_ceil(BLOCK)
}

/// Where the first block is.
fn data_at(length: u64) -> u64 {
    HEAD as u64 + 4 * blocks(length)
}

/// Compresses a closed segment, which goes once the other file is there for good. Its stream may be deleted meanwhile,
/// and another one may take its name: what is done is done in the directory that was there at first.
///
/// # Errors
/// The disk's; then the segment stays as it is.
pub(super) fn pack(segment: &Path, head: Head) -> io::Result<()> {
    let gone = || io::Error::from(io::ErrorKind::NotFound);
    let (Some(dir), Some(name)) = (segment.parent(), segment.file_name()) else { return Err(gone()) };
    let dir = File::open(dir)?;
    let segment = Path::new("/proc/self/fd").join(dir.as_raw_fd().to_string()).join(name);
    let from = File::open(&segment)?;
    if some(&from, 8, 8)? != head.salt.to_le_bytes() {
        return Err(gone());
    }
    let temporary = segment.with_extension("new");
    let written = write(&from, &temporary, head);
    if let Err(error) = written {
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    fs::rename(&temporary, path_of(&segment))?;
    dir.sync_all()?;
    fs::remove_file(&segment)
}

fn write(from: &File, to: &Path, head: Head) -> io::Result<()> {
    let file = File::create(to)?;
    let mut out = BufWriter::with_capacity(4 * BLOCK as usize, &file);
    out.write_all(&head.bytes())?;
    let mut ends = vec![0; 4 * blocks(head.length) as usize];
    out.write_all(&ends)?;
    let (mut plain, mut end) = (vec![0; BLOCK as usize], 0);
    for (index, slot) in (0..blocks(head.length)).zip(ends.chunks_exact_mut(4)) {
        let length = (head.length - index * BLOCK).min(BLOCK) as usize;
        from.read_exact_at(&mut plain[..length], index * BLOCK)?;
        let packed = lz4_flex::block::compress(&plain[..length]);
        let block = if packed.len() < length { &packed[..] } else { &plain[..length] };
        out.write_all(block)?;
        end += block.len() as u32;
        slot.copy_from_slice(&end.to_le_bytes());
    }
    out.flush()?;
    drop(out);
    file.write_all_at(&ends, HEAD as u64)?;
    file.sync_all()
}

/// Reads bytes of a segment from the place `at` on. What can't be made out is zeros, which are no records.
///
/// # Errors
/// The disk's.
pub(super) fn read(path: &Path, bytes: &mut [u8], at: u64) -> io::Result<()> {
    bytes.fill(0);
    let file = File::open(path)?;
    let invalid = |why| io::Error::new(io::ErrorKind::InvalidData, format!("{}: {why}", path.display()));
    let length = Head::of(&file)?.map_err(invalid)?.length;
    let end = at + bytes.len() as u64;
    if end > length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let (first, after) = (at / BLOCK, blocks(end));
    // The end of the block before the first one is where that begins.
    let from = first.saturating_sub(1);
    let table = some(&file, HEAD as u64 + 4 * from, 4 * (after - from) as usize)?;
    let ends: Vec<u64> = table.chunks_exact(4).map(number).collect();
    let begin = if first == 0 { 0 } else { ends.first().copied().unwrap_or(0) };
    let ends = if first == 0 { &ends[..] } else { ends.get(1..).unwrap_or_default() };
    let mut start = begin;
    for (index, &end) in (first..).zip(ends) {
        let size = (length - index * BLOCK).min(BLOCK) as usize;
        let plain = match end.checked_sub(start) {
            Some(packed) if packed <= BLOCK => {
                unpack(some(&file, data_at(length) + start, packed as usize)?, size)
            }
            _ => Vec::new(),
        };
        place(&plain, index * BLOCK, (&mut *bytes, at));
        start = end;
    }
    Ok(())
}

/// As many of the bytes as are there.
fn some(file: &File, at: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    let mut got = 0;
    while got < length {
        match file.read_at(&mut bytes[got..], at + got as u64) {
            Ok(0) => break,
            Ok(count) => got += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(got);
    Ok(bytes)
}

fn unpack(packed: Vec<u8>, size: usize) -> Vec<u8> {
    if packed.len() == size {
        return packed;
    }
    lz4_flex::block::decompress(&packed, size).unwrap_or_default()
}

/// Copies what two ranges have in common: `plain` from the place `from` on, to bytes that begin at `at`.
fn place(plain: &[u8], from: u64, (bytes, at): (&mut [u8], u64)) {
    let begin = from.max(at);
    let end = (from + plain.len() as u64).min(at + bytes.len() as u64);
    if begin < end {
        let range = (begin - from) as usize..(end - from) as usize;
        bytes[(begin - at) as usize..(end - at) as usize].copy_from_slice(&plain[range]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prng::Prng;

    /// A packed file of text and noise, and what was in it.
    fn packed(dir: &Path, length: usize) -> (PathBuf, Vec<u8>) {
        let mut prng = Prng::new(7);
        let text = b"some words that come again and again ";
        let plain: Vec<u8> = (0..length)
            .map(|at| if at % 200_000 < 100_000 { text[at % text.len()] } else { prng.next_u64() as u8 })
            .collect();
        let path = dir.join("00000000000000000001.seg");
        // Its head holds the salt.
        let mut plain = plain;
        plain.iter_mut().skip(8).take(8).for_each(|byte| *byte = 0);
        plain.iter_mut().skip(8).take(1).for_each(|byte| *byte = 3);
        fs::write(&path, &plain).unwrap();
        pack(&path, Head { salt: 3, first: 1, length: length as u64 }).unwrap();
        assert!(!path.exists());
        (path_of(&path), plain)
    }

    #[test]
    fn any_part_of_a_packed_segment_is_read_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        for length in [40, 65_535, 65_536, 65_537, 700_001] {
            let (path, plain) = packed(dir.path(), length);
            let head = Head { salt: 3, first: 1, length: length as u64 };
            assert_eq!(Head::read(&path).unwrap(), head);
            assert!(length < 1_000 || fs::metadata(&path).unwrap().len() < length as u64);
            let mut prng = Prng::new(1);
            for _ in 0..200 {
                let at = prng.below(length as u64) as usize;
                let count = 1 + prng.below((length - at) as u64) as usize;
                let mut bytes = vec![1; count];
                read(&path, &mut bytes, at as u64).unwrap();
                assert!(bytes == plain[at..at + count], "{count} bytes at {at} of {length}");
            }
            assert!(read(&path, &mut [0; 2], head.length - 1).is_err());
        }
    }

    #[test]
    fn a_damaged_block_is_zeros_and_the_others_are_there() {
        let dir = tempfile::tempdir().unwrap();
        let (path, plain) = packed(dir.path(), 700_000);
        let mut bytes = fs::read(&path).unwrap();
        // The first block is text: cut its data short by noise.
        let at = data_at(700_000) as usize;
        bytes[at..at + 40].fill(0xff);
        fs::write(&path, &bytes).unwrap();
        let mut found = vec![0; 700_000];
        read(&path, &mut found, 0).unwrap();
        assert!(found[BLOCK as usize..] == plain[BLOCK as usize..]);
        assert!(found[..BLOCK as usize] != plain[..BLOCK as usize]);
        bytes[9] ^= 1;
        fs::write(&path, &bytes).unwrap();
        assert_eq!(Head::read(&path).unwrap_err().kind(), io::ErrorKind::InvalidData);
    }
}
