//! INFO: the true figures of this engine, under Redis's names.

use super::super::registry::ClientKey;
use super::super::state::Engine;
use super::super::stats::{Rate, Stats};
use super::super::sys;
use super::client::{Answer, Query};
use super::connection::REDIS_VERSION;
use super::{Args, is};
use crate::clock;
use std::fmt::Write;

/// What all event loops have counted, added up.
#[derive(Debug, Default)]
pub(in super::super) struct Figures {
    stats: Stats,
    /// Commands, bytes read and bytes written per second.
    rates: [f64; 3],
    clients: usize,
    subscribers: usize,
    longest_input: usize,
    longest_output: usize,
    shared_buffers: usize,
}

impl Figures {
    /// What one event loop has counted.
    pub(super) fn of(engine: &Engine) -> Self {
        let clients = &engine.out.clients;
        let longest =
            |of: fn(&super::Client) -> usize| clients.iter().map(|(_, client)| of(client)).max().unwrap_or(0);
        Self {
            stats: engine.out.stats.clone(),
            rates: engine.rates.each_ref().map(Rate::per_second),
            clients: clients.len(),
            subscribers: clients.iter().filter(|(_, client)| client.is_subscriber()).count(),
            longest_input: longest(|client| client.inbox_filled),
            longest_output: longest(|client| client.output.pending()),
            shared_buffers: engine.out.chunks.in_use(),
        }
    }

    fn add(&mut self, other: &Self) {
        self.stats.add(&other.stats);
        self.rates.iter_mut().zip(other.rates).for_each(|(sum, rate)| *sum += rate);
        self.clients += other.clients;
        self.subscribers += other.subscribers;
        self.longest_input = self.longest_input.max(other.longest_input);
        self.longest_output = self.longest_output.max(other.longest_output);
        self.shared_buffers += other.shared_buffers;
    }
}

/// Writes one section's lines.
type Section = fn(&Engine, &Figures, &mut String);

/// The sections, in the order in which they are shown.
const SECTIONS: &[(&str, Section)] = &[
    ("Server", server),
    ("Clients", clients),
    ("Memory", memory),
    ("Persistence", |_, _, text| text.push_str("loading:0\r\nasync_loading:0\r\n")),
    ("Stats", stats),
    ("Replication", |_, _, text| text.push_str("role:master\r\nconnected_slaves:0\r\n")),
    ("CPU", cpu),
    ("Errorstats", errors),
    ("Cluster", |_, _, text| text.push_str("cluster_enabled:0\r\n")),
    ("Keyspace", |_, _, _| {}),
];

pub(super) fn info(engine: &mut Engine, key: ClientKey, args: Args<'_>) {
    let asked = &args[1..];
    let all = asked.is_empty()
        || asked.iter().any(|name| ["all", "default", "everything"].iter().any(|all| is(name, all)));
    let mut figures = Figures::default();
    for answer in engine.ask(Query::Figures) {
        if let Answer::Figures(some) = answer {
            figures.add(&some);
        }
    }
    let mut text = String::new();
    for (name, write) in SECTIONS {
        if all || asked.iter().any(|section| is(section, name)) {
            if !text.is_empty() {
                text.push_str("\r\n");
            }
            text.push_str("# ");
            text.push_str(name);
            text.push_str("\r\n");
            write(engine, &figures, &mut text);
        }
    }
    engine.out.reply(key, |out| out.verbatim(text.as_bytes()));
}

/// Appends `name:value` lines.
macro_rules! lines {
    ($text:expr, $($name:literal $value:expr),* $(,)?) => {
        $(
            // Writing to a String can't fail.
            let _ = write!($text, concat!($name, ":{}\r\n"), $value);
        )*
    };
}

fn server(engine: &Engine, _: &Figures, text: &mut String) {
    let wall = clock::unix_nanos();
    let uptime = wall.saturating_sub(engine.started) / 1_000_000_000;
    lines!(text,
        "redis_version" REDIS_VERSION,
        "redis_mode" "standalone",
        "server_name" "busmark",
        "busmark_version" env!("CARGO_PKG_VERSION"),
        "os" format_args!("{} {}", std::env::consts::OS, std::env::consts::ARCH),
        "arch_bits" usize::BITS,
        "multiplexing_api" "epoll",
        "process_id" std::process::id(),
        "run_id" engine.run_id,
        "tcp_port" engine.settings.port,
        "server_time_usec" wall / 1_000,
        "uptime_in_seconds" uptime,
        "uptime_in_days" uptime / 86_400,
        "hz" 10,
        "io_threads_active" u8::from(engine.shared.loops() > 1),
        "event_loops" engine.shared.loops(),
    );
}

fn clients(engine: &Engine, figures: &Figures, text: &mut String) {
    lines!(text,
        "connected_clients" figures.clients,
        "cluster_connections" 0,
        "maxclients" engine.settings.max_clients,
        "client_recent_max_input_buffer" figures.longest_input,
        "client_recent_max_output_buffer" figures.longest_output,
        "blocked_clients" 0,
        "tracking_clients" 0,
        "pubsub_clients" figures.subscribers,
        "watching_clients" 0,
    );
}

fn memory(engine: &Engine, figures: &Figures, text: &mut String) {
    let used = sys::allocated_bytes();
    let peak = engine.shared.peak_memory(used);
    let resident = resident_bytes();
    lines!(text,
        "used_memory" used,
        "used_memory_human" human(used),
        "used_memory_rss" resident,
        "used_memory_rss_human" human(resident),
        "used_memory_peak" peak,
        "used_memory_peak_human" human(peak),
        "maxmemory" 0,
        "maxmemory_human" "0B",
        "maxmemory_policy" "noeviction",
        "mem_clients_normal" figures.clients * size_of::<super::Client>(),
        "mem_shared_buffers_in_use" figures.shared_buffers,
    );
}

/// Bytes of this process in physical memory.
fn resident_bytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

/// Bytes with a unit, as Redis shows them.
fn human(bytes: u64) -> String {
    let scaled = |unit: u64| bytes as f64 / unit as f64;
    match bytes {
        0..1024 => format!("{bytes}B"),
        1024..1_048_576 => format!("{:.2}K", scaled(1024)),
        1_048_576..1_073_741_824 => format!("{:.2}M", scaled(1_048_576)),
        _ => format!("{:.2}G", scaled(1_073_741_824)),
    }
}

fn stats(engine: &Engine, figures: &Figures, text: &mut String) {
    let stats = &figures.stats;
    let [commands, bytes_in, bytes_out] = figures.rates;
    lines!(text,
        "total_connections_received" stats.connections,
        "total_commands_processed" stats.commands,
        "instantaneous_ops_per_sec" commands as u64,
        "total_net_input_bytes" stats.bytes_in,
        "total_net_output_bytes" stats.bytes_out,
        "instantaneous_input_kbps" format_args!("{:.2}", bytes_in / 1024.0),
        "instantaneous_output_kbps" format_args!("{:.2}", bytes_out / 1024.0),
        "rejected_connections" stats.rejected,
        "evicted_clients" 0,
        "keyspace_hits" 0,
        "keyspace_misses" 0,
        "pubsub_channels" engine.registry.channels.len(),
        "pubsub_patterns" engine.registry.patterns().len(),
        "pubsubshard_channels" engine.registry.shards.len(),
        "total_error_replies" stats.errors.values().sum::<u64>(),
        "total_reads_processed" stats.reads,
        "total_writes_processed" stats.writes,
        "client_query_buffer_limit_disconnections" stats.cut_by_query,
        "client_output_buffer_limit_disconnections" stats.cut_by_limit,
        "eventloop_cycles" stats.loops,
        "acl_access_denied_auth" stats.auth_failures,
    );
}

fn cpu(_: &Engine, _: &Figures, text: &mut String) {
    let (user, system) = sys::cpu_micros();
    let seconds = |micros: u64| format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    lines!(text,
        "used_cpu_sys" seconds(system),
        "used_cpu_user" seconds(user),
        "used_cpu_sys_children" "0.000000",
        "used_cpu_user_children" "0.000000",
    );
}

fn errors(_: &Engine, figures: &Figures, text: &mut String) {
    for (word, count) in &figures.stats.errors {
        let _ = write!(text, "errorstat_{word}:count={count}\r\n");
    }
}
