//! Keeps the calling thread on one core.

/// Pins the calling thread to a core and asks the kernel not to round its timers up (the default slack is
/// 50 µs). Where that can't be had the thread runs anywhere: false.
#[cfg(target_os = "linux")]
pub(super) fn stay_on_core(core: usize) -> bool {
    imp::stay_on_core(core)
}

/// See the Linux one.
#[cfg(not(target_os = "linux"))]
pub(super) fn stay_on_core(_core: usize) -> bool {
    false
}

#[cfg(target_os = "linux")]
mod imp {
    #![expect(unsafe_code, reason = "neither call has a safe wrapper in the standard library")]

    pub(super) fn stay_on_core(core: usize) -> bool {
        if core >= libc::CPU_SETSIZE as usize {
            return false;
        }
        // SAFETY: a zeroed cpu_set_t is the empty set, `core` is within it, both calls only read their
        // arguments and act on the calling thread.
        unsafe {
            libc::prctl(libc::PR_SET_TIMERSLACK, 1usize);
            let mut cores: libc::cpu_set_t = std::mem::zeroed();
            libc::CPU_SET(core, &mut cores);
            libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &raw const cores) == 0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_core_that_does_not_exist_is_no_error_but_said() {
        let pinned = std::thread::spawn(|| stay_on_core(1_000_000)).join().unwrap();
        assert!(!pinned);
    }
}
