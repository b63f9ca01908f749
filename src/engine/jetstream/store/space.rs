//! Space on the disk that is promised before a message is taken, so that a full disk refuses messages and nothing
//! else; and some that is kept back for the little that must be written all the same.

#![expect(unsafe_code, reason = "fallocate has no safe interface")]

use crate::engine::descriptors;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};

/// Bytes kept back: some 250,000 acknowledgements.
const BALLAST: u64 = 8 * 1024 * 1024;

/// Descriptors that files which stay open leave for connections, for reading and for syncing.
const KEPT_BACK: u64 = 128;

/// Has the disk promise the bytes `from..from + length` of a file, whose length does not change. Whether it could: some
/// file systems can't promise.
///
/// # Errors
/// `StorageFull`, or another of the disk's.
pub(super) fn promise(file: &File, from: u64, length: u64) -> io::Result<bool> {
    loop {
        // SAFETY: the descriptor is open for as long as `file` is; no memory is passed.
        let result = unsafe {
            libc::fallocate(
                file.as_raw_fd(),
                libc::FALLOC_FL_KEEP_SIZE,
                from.cast_signed(),
                length.cast_signed(),
            )
        };
        if result == 0 {
            return Ok(true);
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINTR) => {}
            Some(libc::EOPNOTSUPP | libc::ENOSYS) => return Ok(false),
            _ => return Err(error),
        }
    }
}

/// Makes sure that there are descriptors for a file that is to stay open; `dir` is any directory.
///
/// # Errors
/// Too few are left (an error that is as if the disk were full), or the disk's.
pub(in super::super) fn spare_descriptors(dir: &Path) -> io::Result<()> {
    if descriptors::are_scarce(&File::open(dir)?, KEPT_BACK) {
        let why = "too few file descriptors are left; raise the limit (ulimit -n)";
        return Err(io::Error::new(io::ErrorKind::QuotaExceeded, why));
    }
    Ok(())
}

/// Whether an error says that there is no space left, or no descriptor.
pub(in super::super) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
        || matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE))
}

/// The space that is kept back, as a file.
#[derive(Debug)]
pub(in super::super) struct Ballast {
    path: PathBuf,
    held: bool,
}

impl Ballast {
    /// Takes the space, if it is there.
    ///
    /// # Errors
    /// The disk's, but for its being full.
    pub(in super::super) fn take(dir: &Path) -> io::Result<Self> {
        let mut ballast = Self { path: dir.join("ballast"), held: false };
        ballast.retake()?;
        Ok(ballast)
    }

    /// Takes the space again if it was given up and is there.
    ///
    /// # Errors
    /// The disk's, but for its being full.
    pub(in super::super) fn retake(&mut self) -> io::Result<()> {
        if self.held {
            return Ok(());
        }
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&self.path);
        match file.and_then(|file| promise(&file, 0, BALLAST)) {
            Ok(_) => self.held = true,
            Err(error) if is_full(&error) => drop(fs::remove_file(&self.path)),
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Gives the space up; whether there was any.
    pub(in super::super) fn release(&mut self) -> bool {
        std::mem::take(&mut self.held) && fs::remove_file(&self.path).is_ok()
    }

    /// Whether the space is kept back.
    pub(in super::super) fn is_held(&self) -> bool {
        self.held
    }
}
