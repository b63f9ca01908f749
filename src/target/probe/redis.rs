//! Asks a server that speaks Redis's protocol: PING, INFO, CONFIG GET.

use ::redis::aio::MultiplexedConnection;
use ::redis::{InfoDict, RedisError, cmd};

use super::{Counters, Identity};
use crate::driver::redis::client;

/// Fields of INFO that are kept before and after a trial.
const COUNTERS: [&str; 13] = [
    "client_output_buffer_limit_disconnections",
    "client_query_buffer_limit_disconnections",
    "evicted_keys",
    "evicted_clients",
    "rejected_connections",
    "total_connections_received",
    "total_commands_processed",
    "total_net_input_bytes",
    "total_net_output_bytes",
    "total_error_replies",
    "connected_clients",
    "pubsub_channels",
    "used_memory_peak",
];

/// Settings that bear on a measurement.
const SETTINGS: [&str; 12] = [
    "appendonly",
    "appendfsync",
    "save",
    "maxmemory",
    "maxmemory-policy",
    "maxclients",
    "client-output-buffer-limit",
    "io-threads",
    "hz",
    "tcp-keepalive",
    "tcp-backlog",
    "lazyfree-lazy-user-del",
];

pub(super) async fn identify(url: &str) -> Result<Identity, String> {
    let mut connection = connect(url).await.map_err(words)?;
    let pong: String = cmd("PING").query_async(&mut connection).await.map_err(words)?;
    if pong != "PONG" {
        return Err(format!("PING was answered by {pong:?}"));
    }
    let info = info(&mut connection).await.map_err(words)?;
    let field = |name: &str| info.get::<String>(name).unwrap_or_default();
    // Valkey calls itself a Redis 7.2.4 for the sake of old clients, and says apart what it is.
    let version = Some(field("valkey_version")).filter(|version| !version.is_empty());
    let version = version.unwrap_or_else(|| field("redis_version"));
    if version.is_empty() {
        return Err("INFO has no redis_version: this is no Redis".to_owned());
    }
    Ok(Identity { version, mark: field("process_id") })
}

pub(super) async fn counters(url: &str) -> Result<Counters, String> {
    let mut connection = connect(url).await.map_err(words)?;
    let info = info(&mut connection).await.map_err(words)?;
    let values =
        COUNTERS.into_iter().filter_map(|name| Some((name.to_owned(), info.get::<f64>(name)?))).collect();
    Ok(Counters { server: info.get("run_id").unwrap_or_default(), values })
}

pub(super) async fn settings(url: &str) -> Result<Vec<(String, String)>, String> {
    let mut connection = connect(url).await.map_err(words)?;
    let mut settings = Vec::new();
    for name in SETTINGS {
        let pairs: Vec<String> =
            cmd("CONFIG").arg("GET").arg(name).query_async(&mut connection).await.map_err(words)?;
        settings.extend(pairs.chunks_exact(2).map(|pair| (pair[0].clone(), pair[1].clone())));
    }
    Ok(settings)
}

async fn connect(url: &str) -> Result<MultiplexedConnection, RedisError> {
    client(url)?.get_multiplexed_async_connection().await
}

async fn info(connection: &mut MultiplexedConnection) -> Result<InfoDict, RedisError> {
    cmd("INFO").query_async(connection).await
}

fn words(error: RedisError) -> String {
    error.to_string()
}
