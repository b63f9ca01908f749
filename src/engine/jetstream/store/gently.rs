//! Large files brought to the disk without keeping everybody else from running.

#![expect(unsafe_code, reason = "sync_file_range has no safe interface")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Bytes that are written at a time.
const PIECE: u64 = 1024 * 1024;

/// Syncs a file's data, one piece after another: the sync of a whole segment keeps one core in the kernel for 10 to 20
/// ms, and a second one while ext4 notes what was written of promised space. On a machine with two, nothing is
/// stored or sent meanwhile.
///
/// # Errors
/// The disk's: what was written since the last sync can't be promised.
pub(super) fn sync_data(file: &File) -> io::Result<()> {
    let length = file.metadata()?.len();
    let mut pieces = (0..length).step_by(PIECE as usize);
    if length > PIECE {
        pieces.try_for_each(|start| write_out(file, start))?;
    }
    // Whatever the pieces did, only this makes it safe (sync_file_range(2): metadata and the disk's cache are left alone).
    file.sync_data()
}

/// Writes a piece and waits for it. An error is told once, here or by the sync, so that none may be passed over.
fn write_out(file: &File, start: u64) -> io::Result<()> {
    let how =
        libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    // SAFETY: the descriptor is open for as long as `file` is; no memory is passed.
    let result =
        unsafe { libc::sync_file_range(file.as_raw_fd(), start.cast_signed(), PIECE.cast_signed(), how) };
    if result == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        // A signal, or a file system that can't: the sync does it.
        Some(libc::EINTR | libc::ENOSYS | libc::EOPNOTSUPP | libc::EINVAL | libc::ESPIPE) => Ok(()),
        _ => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn files_of_any_length_are_synced_and_a_closed_pipe_is_no_file() {
        let dir = tempfile::tempdir().unwrap();
        for length in [0, 1, PIECE as usize, PIECE as usize + 1, 5 * PIECE as usize - 3] {
            let path = dir.path().join(length.to_string());
            let bytes: Vec<u8> = (0..length).map(|at| at as u8).collect();
            fs::write(&path, &bytes).unwrap();
            sync_data(&File::options().append(true).open(&path).unwrap()).unwrap();
            assert!(fs::read(&path).unwrap() == bytes);
        }
        let (_, write) = std::io::pipe().unwrap();
        let pipe = File::from(std::os::fd::OwnedFd::from(write));
        assert!(sync_data(&pipe).is_err(), "what can't be synced is told");
    }
}
