//! File descriptors: how many this process may have, and whether they are running out.

#![expect(unsafe_code, reason = "the limit on open files has no safe interface")]

use std::mem;
use std::os::fd::AsRawFd;

/// Raises the limit on open files as far as it may be, up to `wanted`; gives what it is then.
pub(super) fn raise_limit(wanted: u64) -> u64 {
    // SAFETY: both calls only read or write the struct they are given.
    unsafe {
        let mut limit: libc::rlimit = mem::zeroed();
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) != 0 {
            return wanted;
        }
        if limit.rlim_cur < wanted {
            let raised = libc::rlimit { rlim_cur: wanted.min(limit.rlim_max), rlim_max: limit.rlim_max };
            if libc::setrlimit(libc::RLIMIT_NOFILE, &raised) == 0 {
                return raised.rlim_cur;
            }
        }
        limit.rlim_cur
    }
}

/// Whether at most `kept_back` descriptors are left behind that of a file just opened: they are given out lowest first
/// (POSIX, "File Descriptor Allocation"), so all below it are in use.
pub(super) fn are_scarce(opened: &impl AsRawFd, kept_back: u64) -> bool {
    u64::from(opened.as_raw_fd().unsigned_abs()) + kept_back >= raise_limit(0)
}
