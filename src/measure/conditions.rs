//! What on this machine would spoil a measurement, as the kernel tells it.

use std::fs;

use serde::Serialize;

use super::host::{CpuTimes, Environment, Host};

/// The state of the machine. `None` is "not told here".
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Conditions {
    /// What a result says of the machine.
    pub environment: Environment,
    /// The frequency governors in use, each once.
    pub governors: Vec<String>,
    /// Whether cores may go above their base frequency.
    pub turbo: Option<bool>,
    /// Cores' worth of time that the cgroup allows; empty without a limit.
    pub cpu_quota: Option<f64>,
    /// Longest queue of connections that a listener can have.
    pub listen_backlog: Option<u64>,
    /// Share of CPU time that the hypervisor gave to others: while this was looked at, or since boot.
    pub steal: Option<f64>,
}

impl Host {
    /// Looks at the machine. Steal is that since `since`, or since boot without it.
    #[must_use]
    pub fn conditions(&self, since: Option<CpuTimes>) -> Conditions {
        Conditions {
            environment: self.environment(),
            governors: self.governors(),
            turbo: self.turbo(),
            cpu_quota: self.read("sys/fs/cgroup/cpu.max").as_deref().and_then(quota),
            listen_backlog: self.line("proc/sys/net/core/somaxconn").and_then(|line| line.parse().ok()),
            steal: self.cpu_times().and_then(|now| now.steal_since(&since.unwrap_or_default())),
        }
    }

    /// Speed of the fastest network interface, bytes per second; loopback has none.
    #[must_use]
    pub fn link_bytes_per_s(&self) -> Option<f64> {
        let links = fs::read_dir(self.path("sys/class/net")).into_iter().flatten().flatten();
        let megabits = links.filter_map(|link| {
            fs::read_to_string(link.path().join("speed")).ok()?.trim().parse::<f64>().ok()
        });
        megabits.filter(|speed| *speed > 0.0).max_by(f64::total_cmp).map(|speed| speed * 1e6 / 8.0)
    }

    /// Of all cores.
    fn governors(&self) -> Vec<String> {
        let cores = fs::read_dir(self.path("sys/devices/system/cpu")).into_iter().flatten().flatten();
        let of = |core: fs::DirEntry| fs::read_to_string(core.path().join("cpufreq/scaling_governor")).ok();
        let mut governors: Vec<String> = cores.filter_map(of).map(|text| text.trim().to_owned()).collect();
        governors.sort();
        governors.dedup();
        governors
    }

    /// Intel's driver says it the other way round than all others (Documentation/admin-guide/pm).
    fn turbo(&self) -> Option<bool> {
        let intel = self.line("sys/devices/system/cpu/intel_pstate/no_turbo").map(|off| off == "0");
        intel.or_else(|| self.line("sys/devices/system/cpu/cpufreq/boost").map(|on| on == "1"))
    }
}

/// `QUOTA PERIOD` in microseconds, or `max PERIOD`.
fn quota(text: &str) -> Option<f64> {
    let mut words = text.split_whitespace();
    let quota: f64 = words.next()?.parse().ok()?;
    let period: f64 = words.next()?.parse().ok()?;
    (period > 0.0).then(|| quota / period)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quota_is_a_number_of_cores_and_max_is_none() {
        assert_eq!(quota("150000 100000\n"), Some(1.5));
        assert_eq!(quota("max 100000\n"), None);
        assert_eq!(quota(""), None);
    }

    #[test]
    fn governors_and_turbo_are_read_from_the_places_of_either_driver() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let cpu = "sys/devices/system/cpu";
        for (core, governor) in [(0, "powersave"), (1, "performance"), (2, "powersave")] {
            put(&format!("{cpu}/cpu{core}/cpufreq/scaling_governor"), &format!("{governor}\n"));
        }
        put(&format!("{cpu}/cpufreq/boost"), "1\n");
        let host = Host::at(root.path());
        assert_eq!(host.conditions(None).governors, ["performance", "powersave"]);
        assert_eq!(host.conditions(None).turbo, Some(true));
        put(&format!("{cpu}/intel_pstate/no_turbo"), "1\n");
        assert_eq!(host.conditions(None).turbo, Some(false), "Intel's own word wins");
        assert_eq!(host.link_bytes_per_s(), None);
        put("sys/class/net/lo/speed", "-1\n");
        put("sys/class/net/eth0/speed", "10000\n");
        assert_eq!(host.link_bytes_per_s(), Some(1.25e9));
    }

    #[test]
    fn steal_counts_from_where_it_is_told_to() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir_all(root.path().join("proc")).unwrap();
        fs::write(root.path().join("proc/stat"), "cpu  50 0 20 20 0 0 0 10 0 0\n").unwrap();
        let host = Host::at(root.path());
        assert_eq!(host.conditions(None).steal, Some(0.1));
        let since = CpuTimes { total: 80, steal: 0 };
        assert_eq!(host.conditions(Some(since)).steal, Some(0.5));
    }
}
