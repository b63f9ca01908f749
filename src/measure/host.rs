//! The machine: what it is, and what it does to the harness's own threads. Reads /proc and /sys; where there
//! are none, everything is empty.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// What a result needs to say of the machine it was measured on. `None` is "not told here".
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Environment {
    /// Name of the CPU, or the part numbers on machines that give no name (arm64).
    pub cpu_model: Option<String>,
    /// Cores that this process may use.
    pub cpus: Option<u32>,
    /// Instruction set busmark was built for.
    pub architecture: String,
    /// Memory in bytes.
    pub memory_bytes: Option<u64>,
    /// Kernel release.
    pub kernel: Option<String>,
    /// Name of the distribution.
    pub system: Option<String>,
    /// Frequency governor of core 0.
    pub governor: Option<String>,
    /// The kernel's clock source.
    pub clock_source: Option<String>,
    /// Transparent huge pages.
    pub transparent_huge_pages: Option<String>,
    /// Open files allowed: soft limit.
    pub open_files: Option<u64>,
    /// Load averages over 1, 5 and 15 minutes before the run.
    pub load_average: Option<[f64; 3]>,
    /// Hypervisor flag of the CPU.
    pub virtual_machine: Option<bool>,
}

/// Where the kernel's files are: `/`, or a copy of them in tests.
#[derive(Debug, Clone)]
pub struct Host {
    root: PathBuf,
}

impl Default for Host {
    fn default() -> Self {
        Self::at("/")
    }
}

impl Host {
    /// The kernel's files below `root`.
    #[must_use]
    pub fn at(root: impl AsRef<Path>) -> Self {
        Self { root: root.as_ref().to_owned() }
    }

    pub(super) fn path(&self, path: &str) -> PathBuf {
        self.root.join(path)
    }

    pub(super) fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.path(path)).ok()
    }

    pub(super) fn line(&self, path: &str) -> Option<String> {
        Some(self.read(path)?.trim().to_owned()).filter(|line| !line.is_empty())
    }

    /// Reads the environment.
    #[must_use]
    pub fn environment(&self) -> Environment {
        let cpuinfo = self.read("proc/cpuinfo");
        let cpuinfo = cpuinfo.as_deref();
        Environment {
            cpu_model: cpuinfo.and_then(cpu_model),
            cpus: std::thread::available_parallelism().ok().and_then(|count| count.get().try_into().ok()),
            architecture: std::env::consts::ARCH.to_owned(),
            memory_bytes: self.read("proc/meminfo").as_deref().and_then(memory_bytes),
            kernel: self.line("proc/sys/kernel/osrelease"),
            system: self.read("etc/os-release").as_deref().and_then(system_name),
            governor: self.line("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            clock_source: self.line("sys/devices/system/clocksource/clocksource0/current_clocksource"),
            transparent_huge_pages: self
                .read("sys/kernel/mm/transparent_hugepage/enabled")
                .as_deref()
                .and_then(bracketed),
            open_files: self.read("proc/self/limits").as_deref().and_then(open_files),
            load_average: self.read("proc/loadavg").as_deref().and_then(load_average),
            virtual_machine: cpuinfo.and_then(|text| {
                let flags = value_of(text, "flags")?;
                Some(flags.split_whitespace().any(|flag| flag == "hypervisor"))
            }),
        }
    }

    /// CPU time of the whole machine so far.
    #[must_use]
    pub fn cpu_times(&self) -> Option<CpuTimes> {
        cpu_times(&self.read("proc/stat")?)
    }

    /// Bytes received on all interfaces of the machine so far; what goes over loopback counts once.
    #[must_use]
    pub fn network_bytes(&self) -> Option<u64> {
        received_bytes(&self.read("proc/net/dev")?)
    }

    /// CPU time and run delay of this process's threads so far.
    #[must_use]
    pub fn threads(&self) -> Threads {
        let tasks = fs::read_dir(self.root.join("proc/self/task")).into_iter().flatten().flatten();
        let threads = tasks.filter_map(|task| {
            let id = task.file_name().to_str()?.parse().ok()?;
            let (cpu_ns, run_delay_ns, slices) =
                schedstat(&fs::read_to_string(task.path().join("schedstat")).ok()?)?;
            let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default().trim().to_owned();
            Some((id, ThreadTime { name, cpu_ns, run_delay_ns, slices }))
        });
        Threads(threads.collect())
    }
}

/// CPU time of a machine in the kernel's ticks, all cores together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct CpuTimes {
    /// Everything, idle time included.
    pub total: u64,
    /// What the hypervisor gave to others while this machine wanted to run.
    pub steal: u64,
}

impl CpuTimes {
    /// Share of the time since `before` that was stolen; `None` if no tick has passed.
    #[must_use]
    pub fn steal_since(&self, before: &Self) -> Option<f64> {
        let total = self.total.saturating_sub(before.total);
        (total > 0).then(|| self.steal.saturating_sub(before.steal) as f64 / total as f64)
    }
}

/// What the scheduler gave one thread.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ThreadTime {
    /// Name of the thread (15 bytes).
    pub name: String,
    /// Time on a core.
    pub cpu_ns: u64,
    /// Time runnable, waiting for a core.
    pub run_delay_ns: u64,
    /// Times that it got a core.
    pub slices: u64,
}

/// Threads of a process by id.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Threads(pub BTreeMap<u32, ThreadTime>);

impl Threads {
    /// What each thread that lives now got since `before`.
    #[must_use]
    pub fn since(&self, before: &Self) -> Vec<ThreadTime> {
        let spent = |(id, now): (&u32, &ThreadTime)| {
            let before = before.0.get(id).cloned().unwrap_or_default();
            ThreadTime {
                name: now.name.clone(),
                cpu_ns: now.cpu_ns.saturating_sub(before.cpu_ns),
                run_delay_ns: now.run_delay_ns.saturating_sub(before.run_delay_ns),
                slices: now.slices.saturating_sub(before.slices),
            }
        };
        self.0.iter().map(spent).collect()
    }
}

/// The value of the first line `key : value`.
fn value_of<'a>(text: &'a str, key: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        (name.trim() == key).then(|| value.trim())
    })
}

fn cpu_model(cpuinfo: &str) -> Option<String> {
    if let Some(name) = value_of(cpuinfo, "model name") {
        return Some(name.to_owned());
    }
    let (implementer, part) = (value_of(cpuinfo, "CPU implementer")?, value_of(cpuinfo, "CPU part")?);
    Some(format!("implementer {implementer} part {part}"))
}

fn memory_bytes(meminfo: &str) -> Option<u64> {
    let kilobytes: u64 = value_of(meminfo, "MemTotal")?.strip_suffix("kB")?.trim().parse().ok()?;
    Some(kilobytes * 1024)
}

fn system_name(os_release: &str) -> Option<String> {
    let line = os_release.lines().find_map(|line| line.strip_prefix("PRETTY_NAME="))?;
    Some(line.trim_matches('"').to_owned())
}

/// The choice in brackets: `always [madvise] never`.
fn bracketed(text: &str) -> Option<String> {
    Some(text.split_once('[')?.1.split_once(']')?.0.to_owned())
}

fn open_files(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

fn load_average(loadavg: &str) -> Option<[f64; 3]> {
    let mut values = loadavg.split_whitespace().map_while(|value| value.parse().ok());
    Some([values.next()?, values.next()?, values.next()?])
}

/// The line of all cores: user, nice, system, idle, iowait, irq, softirq, steal. Guest time behind them is in
/// user already (proc(5)).
fn cpu_times(stat: &str) -> Option<CpuTimes> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks: Vec<u64> = line.split_whitespace().take(8).map_while(|value| value.parse().ok()).collect();
    Some(CpuTimes { total: ticks.iter().sum(), steal: *ticks.get(7)? })
}

/// Nanoseconds on a core, runnable but waiting, and times on a core (Documentation/scheduler/sched-stats.rst).
fn schedstat(text: &str) -> Option<(u64, u64, u64)> {
    let mut values = text.split_whitespace().map_while(|value| value.parse().ok());
    Some((values.next()?, values.next()?, values.next()?))
}

/// The first column of each interface (proc_net_dev: received bytes).
fn received_bytes(dev: &str) -> Option<u64> {
    let interfaces: Vec<u64> = dev
        .lines()
        .filter_map(|line| line.split_once(':')?.1.split_whitespace().next()?.parse().ok())
        .collect();
    (!interfaces.is_empty()).then(|| interfaces.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_is_described() {
        let environment = Host::default().environment();
        assert!(environment.cpus.unwrap() >= 1);
        if cfg!(target_os = "linux") {
            assert!(environment.memory_bytes.unwrap() > 1 << 20, "{environment:?}");
            assert!(environment.kernel.is_some() && environment.load_average.is_some(), "{environment:?}");
            assert!(environment.open_files.unwrap() > 0);
        }
    }

    #[test]
    fn a_machine_that_tells_nothing_leaves_everything_empty() {
        let nowhere = Host::at("/nowhere-at-all");
        let environment = nowhere.environment();
        assert_eq!((environment.cpu_model, environment.kernel, environment.load_average), (None, None, None));
        assert_eq!((nowhere.cpu_times(), nowhere.threads()), (None, Threads::default()));
    }

    #[test]
    fn both_kinds_of_cpuinfo_name_the_cpu() {
        assert_eq!(cpu_model("processor\t: 0\nmodel name\t: AMD EPYC\n").unwrap(), "AMD EPYC");
        let arm = "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd40\n";
        assert_eq!(cpu_model(arm).unwrap(), "implementer 0x41 part 0xd40");
    }

    #[test]
    fn texts_of_the_kernel_are_read_as_documented() {
        assert_eq!(memory_bytes("MemTotal:       24048076 kB\n"), Some(24_048_076 * 1024));
        assert_eq!(bracketed("always [madvise] never\n").unwrap(), "madvise");
        assert_eq!(
            open_files("Max open files            20000                30000   files\n"),
            Some(20_000)
        );
        assert_eq!(load_average("1.75 1.84 1.73 2/151 32759\n"), Some([1.75, 1.84, 1.73]));
        assert_eq!(system_name("ID=debian\nPRETTY_NAME=\"Debian 12\"\n").unwrap(), "Debian 12");
        assert_eq!(schedstat("120 61976 1\n"), Some((120, 61_976, 1)));
        let dev = "Inter-|   Receive\n face |bytes\n    lo: 100 2 0\n  eth0:20 1 0\n";
        assert_eq!((received_bytes(dev), received_bytes("")), (Some(120), None));
    }

    #[test]
    fn steal_is_a_share_of_all_time_and_guest_time_is_not_counted_twice() {
        let before = cpu_times("cpu  100 0 100 100 0 0 0 10 50 50\ncpu0 1 2 3\n").unwrap();
        let after = cpu_times("cpu  150 0 100 140 0 0 0 20 99 99\ncpu0 1 2 3\n").unwrap();
        assert_eq!(before, CpuTimes { total: 310, steal: 10 });
        assert_eq!(after.steal_since(&before), Some(0.1));
        assert_eq!(after.steal_since(&after), None);
    }

    #[test]
    fn a_thread_that_works_is_seen_working() {
        let host = Host::default();
        let before = host.threads();
        let mut prng = crate::prng::Prng::new(1);
        let sum = (0..20_000_000).fold(0u64, |sum, _| sum.wrapping_add(prng.next_u64()));
        std::hint::black_box(sum);
        let spent = host.threads().since(&before);
        if cfg!(target_os = "linux") && !before.0.is_empty() {
            assert!(spent.iter().any(|thread| thread.cpu_ns > 1_000_000), "{spent:?}");
        }
    }
}
