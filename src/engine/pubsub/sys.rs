//! What the standard library does not offer of the operating system.

#![expect(unsafe_code, reason = "signalfd and allocator statistics have no safe interface")]

use std::fs::File;
use std::io;
use std::mem;
use std::os::fd::{AsRawFd, FromRawFd};

/// Turns SIGTERM and SIGINT into a file that becomes readable. Call before any thread is started.
///
/// # Errors
/// The system refuses.
pub(super) fn termination_signals() -> io::Result<File> {
    // SAFETY: `set` is initialised by sigemptyset before use; the descriptor is new and owned by the File.
    unsafe {
        let mut set: libc::sigset_t = mem::zeroed();
        libc::sigemptyset(&mut set);
        libc::sigaddset(&mut set, libc::SIGTERM);
        libc::sigaddset(&mut set, libc::SIGINT);
        if libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
        let descriptor = libc::signalfd(-1, &set, libc::SFD_NONBLOCK | libc::SFD_CLOEXEC);
        if descriptor < 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(File::from_raw_fd(descriptor))
    }
}

/// Lets the system probe an idle connection's other end every `seconds`.
pub(super) fn keep_alive(socket: &impl AsRawFd, seconds: u32) {
    let set = |level, name, value: i32| {
        let size = size_of::<i32>() as libc::socklen_t;
        // SAFETY: the option's value is an int that outlives the call. A refusal only costs the probes.
        unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), size) }
    };
    let seconds = i32::try_from(seconds).unwrap_or(i32::MAX);
    set(libc::SOL_SOCKET, libc::SO_KEEPALIVE, 1);
    set(libc::IPPROTO_TCP, libc::TCP_KEEPIDLE, seconds);
    set(libc::IPPROTO_TCP, libc::TCP_KEEPINTVL, (seconds / 3).max(1));
    set(libc::IPPROTO_TCP, libc::TCP_KEEPCNT, 3);
}

/// Bytes the allocator has handed out.
pub(super) fn allocated_bytes() -> u64 {
    #[cfg(target_env = "gnu")]
    {
        // SAFETY: no arguments, a plain struct comes back.
        let info = unsafe { libc::mallinfo2() };
        (info.uordblks + info.hblkhd) as u64
    }
    #[cfg(not(target_env = "gnu"))]
    0
}

/// CPU time of this process, user and system, in microseconds.
pub(super) fn cpu_micros() -> (u64, u64) {
    // SAFETY: the struct is filled by the call, and zeroed is a valid value of it should the call fail.
    let usage = unsafe {
        let mut usage: libc::rusage = mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    let micros = |time: libc::timeval| time.tv_sec.unsigned_abs() * 1_000_000 + time.tv_usec.unsigned_abs();
    (micros(usage.ru_utime), micros(usage.ru_stime))
}
