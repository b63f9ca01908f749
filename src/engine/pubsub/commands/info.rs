//! INFO: the true figures of this engine, under Redis's names.

use super::super::registry::ClientKey;
use super::super::state::Engine;
use super::super::sys;
use super::connection::REDIS_VERSION;
use super::{Args, is};
use crate::clock;
use std::fmt::Write;

/// Writes one section's lines.
type Section = fn(&Engine, &mut String);

/// The sections, in the order in which they are shown.
const SECTIONS: &[(&str, Section)] = &[
    ("Server", server),
    ("Clients", clients),
    ("Memory", memory),
    ("Persistence", |_, text| text.push_str("loading:0\r\nasync_loading:0\r\n")),
    ("Stats", stats),
    ("Replication", |_, text| text.push_str("role:master\r\nconnected_slaves:0\r\n")),
    ("CPU", cpu),
    ("Errorstats", errors),
    ("Cluster", |_, text| text.push_str("cluster_enabled:0\r\n")),
    ("Keyspace", |_, _| {}),
];

pub(super) fn info(engine: &mut Engine, key: ClientKey, args: Args<'_>) {
    let asked = &args[1..];
    let all = asked.is_empty()
        || asked.iter().any(|name| ["all", "default", "everything"].iter().any(|all| is(name, all)));
    let mut text = String::new();
    for (name, write) in SECTIONS {
        if all || asked.iter().any(|section| is(section, name)) {
            if !text.is_empty() {
                text.push_str("\r\n");
            }
            text.push_str("# ");
            text.push_str(name);
            text.push_str("\r\n");
            write(engine, &mut text);
        }
    }
    engine.peak_memory = engine.peak_memory.max(sys::allocated_bytes());
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

fn server(engine: &Engine, text: &mut String) {
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
        "io_threads_active" 0,
    );
}

fn clients(engine: &Engine, text: &mut String) {
    let clients = &engine.out.clients;
    let subscribers = clients.iter().filter(|(_, client)| client.is_subscriber()).count();
    let longest =
        |of: fn(&super::Client) -> usize| clients.iter().map(|(_, client)| of(client)).max().unwrap_or(0);
    lines!(text,
        "connected_clients" clients.len(),
        "cluster_connections" 0,
        "maxclients" engine.settings.max_clients,
        "client_recent_max_input_buffer" longest(|client| client.inbox_filled),
        "client_recent_max_output_buffer" longest(|client| client.output.pending()),
        "blocked_clients" 0,
        "tracking_clients" 0,
        "pubsub_clients" subscribers,
        "watching_clients" 0,
    );
}

fn memory(engine: &Engine, text: &mut String) {
    let used = sys::allocated_bytes();
    let peak = engine.peak_memory.max(used);
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
        "mem_clients_normal" engine.out.clients.len() * size_of::<super::Client>(),
        "mem_shared_buffers_in_use" engine.out.chunks.in_use(),
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

fn stats(engine: &Engine, text: &mut String) {
    let stats = &engine.out.stats;
    let [commands, bytes_in, bytes_out] = &engine.rates;
    lines!(text,
        "total_connections_received" stats.connections,
        "total_commands_processed" stats.commands,
        "instantaneous_ops_per_sec" commands.per_second() as u64,
        "total_net_input_bytes" stats.bytes_in,
        "total_net_output_bytes" stats.bytes_out,
        "instantaneous_input_kbps" format_args!("{:.2}", bytes_in.per_second() / 1024.0),
        "instantaneous_output_kbps" format_args!("{:.2}", bytes_out.per_second() / 1024.0),
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

fn cpu(_: &Engine, text: &mut String) {
    let (user, system) = sys::cpu_micros();
    let seconds = |micros: u64| format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
    lines!(text,
        "used_cpu_sys" seconds(system),
        "used_cpu_user" seconds(user),
        "used_cpu_sys_children" "0.000000",
        "used_cpu_user_children" "0.000000",
    );
}

fn errors(engine: &Engine, text: &mut String) {
    for (word, count) in &engine.out.stats.errors {
        let _ = write!(text, "errorstat_{word}:count={count}\r\n");
    }
}
