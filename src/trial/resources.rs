//! What a trial cost: CPU, memory, disk, network, the scheduler, and money where a price is given.

use super::conclude::Remains;
use super::watch::NodeUse;
use crate::clock::Nanos;
use crate::measure::{NodeResources, Resources, ThreadShare, ThreadTime};

/// What clouds call a month.
const HOURS_PER_MONTH: f64 = 730.0;

/// What broker, harness and machine used in the measured phase.
pub(super) fn resources(remains: &Remains<'_>) -> Resources {
    let watched = &remains.watched;
    let messages = watched.totals_to.0 - watched.totals_from.0;
    let per_message = |nanos: Nanos| (messages > 0).then(|| nanos as f64 / 1e3 / messages as f64);
    let broker = watched.broker_from.zip(watched.broker_to);
    let broker_cpu = broker.map(|(from, to)| to.cpu_ns.saturating_sub(from.cpu_ns));
    let spun: Nanos = remains.publishing.iter().map(|report| report.spun).sum();
    let harness = watched.harness_from.zip(watched.harness_to);
    let harness_cpu = harness.map(|(from, to)| to.cpu_ns.saturating_sub(from.cpu_ns).saturating_sub(spun));
    let nanos = watched.measured.1 - watched.measured.0;
    let delivered = watched.totals_to.1 - watched.totals_from.1;
    let usage = watched.usage.0.as_ref().zip(watched.usage.1.as_ref());
    let slices: u64 = own_threads(remains).iter().map(|thread| thread.slices).sum();
    let each_message = |count: u64| (messages > 0).then(|| count as f64 / messages as f64);
    let price = remains.plan.target.price_per_hour;
    Resources {
        broker_cpu_us_per_message: broker_cpu.and_then(per_message),
        harness_cpu_us_per_message: harness_cpu.and_then(per_message),
        spin_cpu_us_per_message: per_message(spun),
        broker_rss_bytes_max: watched.broker_rss_max,
        harness_rss_bytes_max: watched.harness_to.map(|sample| sample.rss_bytes),
        broker_cores: cores(broker_cpu, nanos),
        broker_busiest_thread_cores: cores(usage.and_then(|(from, to)| to.busiest_since(from)), nanos),
        broker_cpu_s_per_million_deliveries: broker_cpu
            .filter(|_| delivered > 0)
            .map(|cpu| cpu as f64 / 1e9 / delivered as f64 * 1e6),
        broker_written_bytes: usage.map(|(from, to)| to.written_bytes.saturating_sub(from.written_bytes)),
        broker_switches_per_message: usage
            .and_then(|(from, to)| each_message(to.switches.saturating_sub(from.switches))),
        harness_switches_per_message: each_message(slices),
        network_bytes: watched.network.0.zip(watched.network.1).map(|(from, to)| to.saturating_sub(from)),
        usd_per_billion_delivered: price
            .filter(|_| delivered > 0)
            .map(|price| price * nanos as f64 / 3.6e12 / delivered as f64 * 1e9),
        usd_per_month: price.map(|price| price * HOURS_PER_MONTH),
        nodes: (0u32..)
            .zip(&watched.nodes)
            .map(|(node, used)| node_resources(node, used, messages, nanos))
            .collect(),
    }
}

/// Cores that so much CPU time is, in so many nanoseconds.
fn cores(cpu: Option<u64>, nanos: Nanos) -> Option<f64> {
    cpu.filter(|_| nanos > 0).map(|cpu| cpu as f64 / nanos as f64)
}

/// What one node of a cluster used for so many messages in so many nanoseconds.
fn node_resources(node: u32, used: &NodeUse, messages: u64, nanos: Nanos) -> NodeResources {
    let cpu = used.from.zip(used.to).map(|(from, to)| to.cpu_ns.saturating_sub(from.cpu_ns));
    NodeResources {
        node,
        cpu_us_per_message: cpu.filter(|_| messages > 0).map(|cpu| cpu as f64 / 1e3 / messages as f64),
        cores: cores(cpu, nanos),
        rss_bytes_max: used.rss_max,
    }
}

/// The publishing and subscribing threads over the measured phase.
fn own_threads(remains: &Remains<'_>) -> Vec<ThreadTime> {
    let all = remains.watched.threads_to.since(&remains.watched.threads_from);
    let own =
        |thread: &ThreadTime| thread.name.starts_with("publish-") || thread.name.starts_with("subscribe-");
    all.into_iter().filter(own).collect()
}

/// What the harness's own threads did in the measured phase. Publishing threads spin, which is no work.
pub(super) fn threads(remains: &Remains<'_>, seconds: f64) -> Vec<ThreadShare> {
    if seconds <= 0.0 {
        return Vec::new();
    }
    let spun = |name: &str| {
        let index: usize = name.strip_prefix("publish-")?.parse().ok()?;
        Some(remains.publishing.get(index)?.spun)
    };
    let share = |nanos: Nanos| nanos as f64 / 1e9 / seconds;
    own_threads(remains)
        .into_iter()
        .map(|thread| {
            let spun = spun(&thread.name).unwrap_or(0);
            ThreadShare {
                busy: share(thread.cpu_ns.saturating_sub(spun)),
                spun: share(spun),
                run_delay: share(thread.run_delay_ns),
                name: thread.name,
            }
        })
        .collect()
}
