//! A timer finer than tokio's millisecond wheel: a Linux timerfd on the runtime's own reactor, and tokio's
//! timer elsewhere.

pub use imp::Timer;

#[cfg(target_os = "linux")]
mod imp {
    #![expect(
        unsafe_code,
        reason = "timerfd has no safe wrapper in the standard library; a handful of calls"
    )]

    use std::io;
    use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    use crate::clock::Nanos;

    /// A CLOCK_MONOTONIC timerfd.
    #[derive(Debug)]
    pub struct Timer(AsyncFd<OwnedFd>);

    impl Timer {
        /// A timer on the current runtime. Also asks the kernel not to round this thread's timers up (the
        /// default slack is 50 µs).
        ///
        /// # Errors
        /// When the system gives no descriptor.
        pub fn new() -> io::Result<Self> {
            // SAFETY: both calls take integers only; a negative descriptor is checked.
            let fd = unsafe {
                libc::prctl(libc::PR_SET_TIMERSLACK, 1usize);
                libc::timerfd_create(libc::CLOCK_MONOTONIC, libc::TFD_NONBLOCK | libc::TFD_CLOEXEC)
            };
            if fd < 0 {
                return Err(io::Error::last_os_error());
            }
            // SAFETY: the descriptor was just created and has no other owner.
            let owned = unsafe { OwnedFd::from_raw_fd(fd) };
            // SAFETY: an OwnedFd always gives the same open descriptor.
            let registered = unsafe { AsyncFd::register_with_interest(owned, Interest::READABLE) };
            Ok(Self(registered.map_err(io::Error::from)?))
        }

        /// Waits for `delay` nanoseconds (at least 1). Cancel-safe.
        ///
        /// # Errors
        /// When the descriptor fails.
        pub async fn sleep(&self, delay: Nanos) -> io::Result<()> {
            let value = libc::timespec {
                tv_sec: libc::time_t::try_from(delay / 1_000_000_000).unwrap_or(libc::time_t::MAX),
                tv_nsec: (delay.max(1) % 1_000_000_000) as _,
            };
            let spec =
                libc::itimerspec { it_interval: libc::timespec { tv_sec: 0, tv_nsec: 0 }, it_value: value };
            // SAFETY: the descriptor is open, `spec` lives through the call, no old value is asked for.
            let set = unsafe { libc::timerfd_settime(self.0.as_raw_fd(), 0, &spec, std::ptr::null_mut()) };
            if set < 0 {
                return Err(io::Error::last_os_error());
            }
            loop {
                let mut guard = self.0.readable().await?;
                if let Ok(fired) = guard.try_io(|fd| expire(fd.as_raw_fd())) {
                    return fired;
                }
            }
        }
    }

    /// Reads the number of expirations, which rearms the descriptor's readiness.
    fn expire(fd: i32) -> io::Result<()> {
        let mut expirations = [0u8; 8];
        // SAFETY: the buffer is eight bytes, as timerfd requires, and lives through the call.
        let read = unsafe { libc::read(fd, expirations.as_mut_ptr().cast(), expirations.len()) };
        if read < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
    }
}

#[cfg(not(target_os = "linux"))]
mod imp {
    use std::io;
    use std::time::Duration;

    use crate::clock::Nanos;

    /// tokio's own timer: as coarse as a millisecond.
    #[derive(Debug)]
    pub struct Timer;

    impl Timer {
        /// A timer on the current runtime.
        ///
        /// # Errors
        /// Never; the signature is that of the finer one.
        pub fn new() -> io::Result<Self> {
            Ok(Self)
        }

        /// Waits for `delay` nanoseconds. Cancel-safe.
        ///
        /// # Errors
        /// Never.
        pub async fn sleep(&self, delay: Nanos) -> io::Result<()> {
            tokio::time::sleep(Duration::from_nanos(delay)).await;
            Ok(())
        }
    }
}
