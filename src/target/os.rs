//! What only the kernel can do for us: signals, and the CPU time and memory of another process.

#![expect(unsafe_code, reason = "kill, waitpid and clock_gettime have no safe form in std")]

use std::collections::BTreeMap;
use std::fs;
use std::mem::MaybeUninit;

/// What a process has used so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ProcessSample {
    /// CPU time of all its threads, ended ones included, in ns.
    pub cpu_ns: u64,
    /// Resident memory in bytes.
    pub rss_bytes: u64,
}

/// What processes have had of the disk and of the scheduler so far. Costs two files per thread to read.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ProcessUsage {
    /// Bytes that it has caused to be written to storage (proc(5), `write_bytes`).
    pub written_bytes: u64,
    /// Times that its living threads gave a core up, willingly or not.
    pub switches: u64,
    /// CPU time of its living threads, in ns, by their number in the system.
    pub threads: BTreeMap<u32, u64>,
}

impl ProcessUsage {
    /// What two processes have had together.
    #[must_use]
    pub fn plus(mut self, other: Self) -> Self {
        self.written_bytes += other.written_bytes;
        self.switches += other.switches;
        self.threads.extend(other.threads);
        self
    }

    /// CPU time of the thread that was busiest since an earlier look, in ns.
    #[must_use]
    pub fn busiest_since(&self, earlier: &Self) -> Option<u64> {
        let before = |thread: &u32| earlier.threads.get(thread).copied().unwrap_or(0);
        self.threads.iter().map(|(thread, now)| now.saturating_sub(before(thread))).max()
    }
}

/// Disk and scheduler of a process; `None` if it is gone or not ours to ask.
pub(super) fn usage(pid: u32) -> Option<ProcessUsage> {
    let io = fs::read_to_string(format!("/proc/{pid}/io")).ok()?;
    let written_bytes = number_of(&io, "write_bytes")?;
    let mut usage = ProcessUsage { written_bytes, ..ProcessUsage::default() };
    for thread in fs::read_dir(format!("/proc/{pid}/task")).ok()?.flatten() {
        let read = |name: &str| fs::read_to_string(thread.path().join(name)).unwrap_or_default();
        let status = read("status");
        let both = ["voluntary_ctxt_switches", "nonvoluntary_ctxt_switches"];
        usage.switches += both.iter().filter_map(|name| number_of(&status, name)).sum::<u64>();
        // The first number is the time on a core (the kernel's sched-stats.rst).
        let on_core = read("schedstat").split(' ').next().and_then(|ns| ns.parse::<u64>().ok());
        let number = thread.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
        usage.threads.extend(number.zip(on_core));
    }
    Some(usage)
}

/// The number behind `name:` in a file of /proc.
fn number_of(text: &str, name: &str) -> Option<u64> {
    let value = |line: &str| line.strip_prefix(name)?.strip_prefix(':')?.trim().parse().ok();
    text.lines().find_map(value)
}

/// The signals that are sent to brokers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Signal {
    Terminate,
    Kill,
    Stop,
    Continue,
}

/// Sends a signal to a process that is a child of ours and not yet reaped, or in its group.
pub(super) fn send(pid: u32, signal: Signal) {
    let number = match signal {
        Signal::Terminate => libc::SIGTERM,
        Signal::Kill => libc::SIGKILL,
        Signal::Stop => libc::SIGSTOP,
        Signal::Continue => libc::SIGCONT,
    };
    if let Ok(pid) = libc::pid_t::try_from(pid)
        && pid > 1
    {
        // SAFETY: kill has no memory effects; pid > 1 names one process.
        unsafe { libc::kill(pid, number) };
    }
}

/// Waits until a killed child of ours is gone.
pub(super) fn reap(pid: u32) {
    if let Ok(pid) = libc::pid_t::try_from(pid)
        && pid > 1
    {
        let mut status = 0;
        // SAFETY: status outlives the call; a pid that is no child of ours makes it fail at once.
        unsafe { libc::waitpid(pid, &raw mut status, 0) };
    }
}

impl ProcessSample {
    /// What two processes have used together.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        Self { cpu_ns: self.cpu_ns + other.cpu_ns, rss_bytes: self.rss_bytes + other.rss_bytes }
    }

    /// This process; zero where the system doesn't tell.
    #[must_use]
    pub fn of_this_process() -> Self {
        sample(std::process::id()).unwrap_or(Self { cpu_ns: 0, rss_bytes: 0 })
    }
}

/// CPU time and memory of a process; `None` if it is gone.
pub(super) fn sample(pid: u32) -> Option<ProcessSample> {
    let resident_pages: u64 =
        fs::read_to_string(format!("/proc/{pid}/statm")).ok()?.split(' ').nth(1)?.parse().ok()?;
    if resident_pages == 0 {
        return None; // a zombie
    }
    Some(ProcessSample { cpu_ns: cpu_ns(pid)?, rss_bytes: resident_pages * page_bytes() })
}

/// The living processes of a process group, without its leader; empty where there is no /proc.
pub(super) fn group_members(group: u32) -> Vec<u32> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    let mut members: Vec<u32> = processes
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|&pid: &u32| pid != group && group_of(pid) == Some(group))
        .collect();
    members.sort_unstable();
    members
}

/// The process group, unless the process is a zombie.
fn group_of(pid: u32) -> Option<u32> {
    let (state, group) = state_and_group(pid)?;
    (state != 'Z' && state != 'X').then_some(group)
}

/// Whether a signal has stopped the process.
pub(super) fn is_stopped(pid: u32) -> bool {
    state_and_group(pid).is_some_and(|(state, _)| state == 'T')
}

/// Fields 3 and 5 of /proc/PID/stat (proc(5)); the name in field 2 may hold spaces and brackets.
fn state_and_group(pid: u32) -> Option<(char, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(1)?.parse().ok()?))
}

/// The process's CPU clock: nanoseconds, where /proc/PID/stat counts in hundredths of a second.
fn cpu_ns(pid: u32) -> Option<u64> {
    let pid = libc::pid_t::try_from(pid).ok()?;
    let mut clock = MaybeUninit::<libc::clockid_t>::uninit();
    let mut time = MaybeUninit::<libc::timespec>::uninit();
    // SAFETY: both pointers are valid for writes; each value is read only after its call succeeded.
    let time = unsafe {
        if libc::clock_getcpuclockid(pid, clock.as_mut_ptr()) != 0
            || libc::clock_gettime(clock.assume_init(), time.as_mut_ptr()) != 0
        {
            return None;
        }
        time.assume_init()
    };
    let (seconds, nanos) = (u64::try_from(time.tv_sec).ok()?, u64::try_from(time.tv_nsec).ok()?);
    Some(seconds * 1_000_000_000 + nanos)
}

fn page_bytes() -> u64 {
    // SAFETY: sysconf has no memory effects.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_used_cpu_and_memory_and_a_missing_one_has_no_sample() {
        let before = sample(std::process::id()).unwrap();
        let mut sum = 0u64;
        for i in 0..5_000_000u64 {
            sum = std::hint::black_box(sum ^ i);
        }
        let after = sample(std::process::id()).unwrap();
        assert!(after.cpu_ns > before.cpu_ns, "{before:?} {after:?}");
        assert!(after.rss_bytes > 100_000, "{after:?}");
        assert_eq!(sample(u32::MAX - 1), None);
    }

    #[test]
    fn the_busiest_thread_of_a_process_is_found_among_those_that_wait() {
        let earlier = usage(std::process::id()).unwrap();
        let busy = std::thread::spawn(|| {
            let mut sum = 0u64;
            (0..50_000_000u64).for_each(|i| sum = std::hint::black_box(sum ^ i));
            usage(std::process::id()).unwrap()
        });
        let later = busy.join().unwrap();
        let busiest = later.busiest_since(&earlier).unwrap();
        assert!(busiest > 1_000_000, "50 million steps take longer than {busiest} ns");
        let all: u64 = later.threads.values().sum();
        assert!(busiest <= all, "{later:?}");
        let of = |threads: &[(u32, u64)]| ProcessUsage {
            threads: threads.iter().copied().collect(),
            ..ProcessUsage::default()
        };
        let (before, after) = (of(&[(1, 100), (2, 5)]), of(&[(1, 110), (2, 45)]).plus(of(&[(3, 30)])));
        assert_eq!(after.busiest_since(&before), Some(40), "not the one that has used most in all");
        assert_eq!(of(&[]).busiest_since(&before), None);
    }

    #[test]
    fn what_this_process_writes_and_how_often_it_waits_is_seen() {
        use std::io::Write;
        let before = usage(std::process::id()).unwrap();
        // Not in memory: where the temporary directory is, there may be no disk behind it.
        let mut file = tempfile::NamedTempFile::new_in(env!("CARGO_MANIFEST_DIR")).unwrap();
        file.write_all(&vec![7; 1 << 20]).unwrap();
        file.as_file().sync_all().unwrap();
        let after = usage(std::process::id()).unwrap();
        assert!(after.written_bytes >= before.written_bytes + (1 << 20), "{before:?} {after:?}");
        // The sum is over living threads, and those of other tests end meanwhile: it may fall, but not to nothing.
        assert!(after.switches > 0, "a sync waits: {before:?} {after:?}");
        assert_eq!(usage(u32::MAX - 1), None);
        assert_eq!(
            number_of("read_bytes: 3\nwrite_bytes: 5\ncancelled_write_bytes: 7\n", "write_bytes"),
            Some(5)
        );
    }
}
