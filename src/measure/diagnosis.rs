//! What the state of a machine means for a measurement, and what to do about it.

use serde::Serialize;

use super::conditions::Conditions;
use super::verdict::STEAL_MAX;

/// How much something stands against measuring here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Weight {
    /// As it should be.
    Fine,
    /// This machine doesn't tell.
    NotTold,
    /// Adds noise.
    Mind,
    /// What is measured describes this rather than the system.
    Spoils,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnosis {
    /// What was looked at.
    pub what: &'static str,
    /// How it stands.
    pub weight: Weight,
    /// What was found.
    pub found: String,
    /// What that does to a measurement, and what to do; empty if it is fine.
    pub remedy: &'static str,
}

/// Load of the last minute per core that adds noise, and that spoils a measurement: a quarter of a core is a
/// neighbour now and then, three quarters are one always.
const LOAD_PER_CORE: (f64, f64) = (0.25, 0.75);
/// Publishers, subscribers and the broker each want a core, and the kernel's network stack one too.
const CORES_WANTED: u32 = 4;
/// Below two the generator and the broker take turns.
const CORES_MIN: u32 = 2;
/// Open files for a few thousand connections on both sides, and below which the shipped scenarios fail.
const OPEN_FILES: (u64, u64) = (8_192, 1_024);
/// The largest shipped scenario opens this many connections at once.
const BACKLOG_WANTED: u64 = 512;
/// A tenth of what makes a run SUSPECT.
const STEAL_MIND: f64 = STEAL_MAX / 10.0;
/// Clock sources that are read in tens of nanoseconds, without a system call.
const QUICK_CLOCKS: [&str; 4] = ["tsc", "arch_sys_counter", "kvm-clock", "hyperv_clocksource_tsc_page"];

/// Looks at everything, in the order in which it is worth mending.
#[must_use]
pub fn diagnose(conditions: &Conditions) -> Vec<Diagnosis> {
    vec![
        cores(conditions),
        quota(conditions),
        load(conditions),
        steal(conditions),
        governor(conditions),
        turbo(conditions),
        clock_source(conditions),
        huge_pages(conditions),
        open_files(conditions),
        backlog(conditions),
    ]
}

type Looked = (Weight, String, &'static str);

fn not_told() -> Looked {
    (Weight::NotTold, "not told here".to_owned(), "")
}

fn diagnosis(what: &'static str, looked: Option<Looked>) -> Diagnosis {
    let (weight, found, remedy) = looked.unwrap_or_else(not_told);
    let remedy = if weight == Weight::Fine { "" } else { remedy };
    Diagnosis { what, weight, found, remedy }
}

/// `Spoils` beyond the second limit, `Mind` beyond the first.
fn above(value: f64, (mind, spoils): (f64, f64)) -> Weight {
    match value {
        v if v > spoils => Weight::Spoils,
        v if v > mind => Weight::Mind,
        _ => Weight::Fine,
    }
}

fn cores(conditions: &Conditions) -> Diagnosis {
    let looked = conditions.environment.cpus.map(|cpus| {
        let weight = match cpus {
            n if n < CORES_MIN => Weight::Spoils,
            n if n < CORES_WANTED => Weight::Mind,
            _ => Weight::Fine,
        };
        let remedy = "generator and broker share cores, so that neither shows what it can: take a machine with at \
                      least 4, keep rates well below the ceiling, compare systems with each other only";
        (weight, format!("{cpus} for this process"), remedy)
    });
    diagnosis("cores", looked)
}

fn quota(conditions: &Conditions) -> Diagnosis {
    let looked = match (conditions.cpu_quota, conditions.environment.cpus) {
        (None, _) => (Weight::Fine, "none".to_owned(), ""),
        (Some(quota), cpus) => {
            let below = cpus.is_none_or(|cpus| quota < f64::from(cpus));
            let remedy = "the cgroup stops all threads when the share is spent, which looks like stalls of the \
                          broker: give the container whole cores (docker --cpuset-cpus, no --cpus)";
            (if below { Weight::Spoils } else { Weight::Mind }, format!("{quota:.1} cores"), remedy)
        }
    };
    diagnosis("CPU quota", Some(looked))
}

fn load(conditions: &Conditions) -> Diagnosis {
    let environment = &conditions.environment;
    let looked = environment.load_average.zip(environment.cpus).map(|([minute, ..], cpus)| {
        let weight = above(minute / f64::from(cpus.max(1)), LOAD_PER_CORE);
        let remedy =
            "other programs take turns with the broker and the generator: end them, or wait a minute";
        (weight, format!("{minute:.2} over the last minute, on {cpus} cores"), remedy)
    });
    diagnosis("load", looked)
}

fn steal(conditions: &Conditions) -> Diagnosis {
    let looked = conditions.steal.map(|share| {
        let remedy = "the host gives this machine's time to others: take a dedicated host or metal, or run at \
                      another time; runs above 1 % are SUSPECT";
        (above(share, (STEAL_MIND, STEAL_MAX)), format!("{:.2} % of CPU time", share * 100.0), remedy)
    });
    diagnosis("steal", looked)
}

fn governor(conditions: &Conditions) -> Diagnosis {
    let governors = &conditions.governors;
    let looked = (!governors.is_empty()).then(|| {
        let fine = governors.iter().all(|governor| governor == "performance");
        let remedy = "cores slow down while messages are few, which shows as latency at low rates: \
                      sudo cpupower frequency-set -g performance";
        (if fine { Weight::Fine } else { Weight::Mind }, governors.join(", "), remedy)
    });
    diagnosis("frequency governor", looked)
}

fn turbo(conditions: &Conditions) -> Diagnosis {
    let looked = conditions.turbo.map(|on| {
        let remedy = "the clock rate follows temperature and neighbours, so that trials differ: echo 1 | sudo tee \
                      /sys/devices/system/cpu/intel_pstate/no_turbo, or echo 0 | sudo tee \
                      /sys/devices/system/cpu/cpufreq/boost";
        (if on { Weight::Mind } else { Weight::Fine }, if on { "on" } else { "off" }.to_owned(), remedy)
    });
    diagnosis("turbo", looked)
}

fn clock_source(conditions: &Conditions) -> Diagnosis {
    let looked = conditions.environment.clock_source.as_ref().map(|source| {
        let weight = match source.as_str() {
            quick if QUICK_CLOCKS.contains(&quick) => Weight::Fine,
            "hpet" | "acpi_pm" | "jiffies" | "refined-jiffies" => Weight::Spoils,
            _ => Weight::Mind,
        };
        let remedy = "each look at the clock is a system call, or coarse, and every message needs three: choose tsc \
                      (echo tsc | sudo tee /sys/devices/system/clocksource/clocksource0/current_clocksource)";
        (weight, source.clone(), remedy)
    });
    diagnosis("clock source", looked)
}

fn huge_pages(conditions: &Conditions) -> Diagnosis {
    let looked = conditions.environment.transparent_huge_pages.as_ref().map(|choice| {
        let weight = if choice == "always" { Weight::Mind } else { Weight::Fine };
        let remedy = "servers stall while pages are put together or copied after a fork: \
                      echo madvise | sudo tee /sys/kernel/mm/transparent_hugepage/enabled";
        (weight, choice.clone(), remedy)
    });
    diagnosis("transparent huge pages", looked)
}

fn open_files(conditions: &Conditions) -> Diagnosis {
    let looked = conditions.environment.open_files.map(|files| {
        let weight = match files {
            n if n < OPEN_FILES.1 => Weight::Spoils,
            n if n < OPEN_FILES.0 => Weight::Mind,
            _ => Weight::Fine,
        };
        let remedy = "many connections will be refused: ulimit -n 65536, here and for brokers of your own";
        (weight, format!("{files} allowed"), remedy)
    });
    diagnosis("open files", looked)
}

fn backlog(conditions: &Conditions) -> Diagnosis {
    let looked = conditions.listen_backlog.map(|backlog| {
        let weight = if backlog < BACKLOG_WANTED { Weight::Mind } else { Weight::Fine };
        let remedy =
            "many connections at once wait a second for a second try: sudo sysctl net.core.somaxconn=4096";
        (weight, format!("{backlog} connections"), remedy)
    });
    diagnosis("listen queue", looked)
}

#[cfg(test)]
mod tests {
    use super::super::host::Environment;
    use super::*;

    /// A machine that nothing stands against.
    fn good() -> Conditions {
        Conditions {
            environment: Environment {
                cpus: Some(8),
                clock_source: Some("tsc".into()),
                transparent_huge_pages: Some("madvise".into()),
                open_files: Some(65_536),
                load_average: Some([0.1, 0.1, 0.1]),
                ..Environment::default()
            },
            governors: vec!["performance".into()],
            turbo: Some(false),
            cpu_quota: None,
            listen_backlog: Some(4096),
            steal: Some(0.0),
        }
    }

    #[test]
    fn a_good_machine_is_fine_in_every_respect_and_needs_no_remedy() {
        let all = diagnose(&good());
        assert!(all.iter().all(|one| one.weight == Weight::Fine && one.remedy.is_empty()), "{all:?}");
    }

    #[test]
    fn a_machine_that_tells_nothing_is_not_called_fine_nor_bad() {
        let all = diagnose(&Conditions::default());
        let untold = all.iter().filter(|one| one.weight == Weight::NotTold).count();
        assert_eq!(untold, all.len() - 1, "all but the quota, of which nothing means none: {all:?}");
    }

    /// Each thing is forced by touching one thing of a good machine, and is then the only one, with a remedy.
    fn forced(touch: impl FnOnce(&mut Conditions)) -> (&'static str, Weight) {
        let mut conditions = good();
        touch(&mut conditions);
        let bad: Vec<Diagnosis> =
            diagnose(&conditions).into_iter().filter(|one| one.weight > Weight::NotTold).collect();
        assert_eq!(bad.len(), 1, "{bad:?}");
        assert!(bad[0].remedy.len() > 40, "{bad:?}");
        (bad[0].what, bad[0].weight)
    }

    #[test]
    fn each_fault_is_found_by_itself_and_weighed() {
        let (mind, spoils) = (Weight::Mind, Weight::Spoils);
        assert_eq!(forced(|c| c.environment.cpus = Some(2)), ("cores", mind));
        assert_eq!(forced(|c| c.cpu_quota = Some(1.5)), ("CPU quota", spoils));
        assert_eq!(forced(|c| c.cpu_quota = Some(8.0)), ("CPU quota", mind));
        assert_eq!(forced(|c| c.environment.load_average = Some([3.0, 0.0, 0.0])), ("load", mind));
        assert_eq!(forced(|c| c.environment.load_average = Some([7.0, 0.0, 0.0])), ("load", spoils));
        assert_eq!(forced(|c| c.steal = Some(0.002)), ("steal", mind));
        assert_eq!(forced(|c| c.steal = Some(0.02)), ("steal", spoils));
        assert_eq!(forced(|c| c.governors.push("powersave".into())), ("frequency governor", mind));
        assert_eq!(forced(|c| c.turbo = Some(true)), ("turbo", mind));
        assert_eq!(forced(|c| c.environment.clock_source = Some("hpet".into())), ("clock source", spoils));
        assert_eq!(forced(|c| c.environment.clock_source = Some("xen".into())), ("clock source", mind));
        let pages = Some("always".into());
        assert_eq!(
            forced(|c| c.environment.transparent_huge_pages = pages),
            ("transparent huge pages", mind)
        );
        assert_eq!(forced(|c| c.environment.open_files = Some(4096)), ("open files", mind));
        assert_eq!(forced(|c| c.environment.open_files = Some(256)), ("open files", spoils));
        assert_eq!(forced(|c| c.listen_backlog = Some(128)), ("listen queue", mind));
    }

    #[test]
    fn one_core_is_no_place_to_measure() {
        let mut conditions = good();
        conditions.environment.cpus = Some(1);
        assert_eq!(diagnose(&conditions)[0].weight, Weight::Spoils);
    }
}
