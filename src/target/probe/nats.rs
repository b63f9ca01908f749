//! Asks a NATS server: INFO and PING on the client port, varz, jsz and healthz on the monitoring port.

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{Counters, Identity};

/// The monitoring port that servers use by custom, tried for servers that are not ours.
const CUSTOMARY_MONITOR: u16 = 8222;

/// Largest answer that is read, in bytes.
const MAX_ANSWER: u64 = 4 << 20;

/// Counters of `/varz`.
const VARZ: [&str; 9] = [
    "/slow_consumers",
    "/stale_connections",
    "/connections",
    "/total_connections",
    "/in_msgs",
    "/out_msgs",
    "/in_bytes",
    "/out_bytes",
    "/mem",
];

/// Counters of `/jsz`; each name is prefixed by `jetstream`.
const JSZ: [&str; 8] =
    ["/memory", "/storage", "/api/total", "/api/errors", "/streams", "/consumers", "/messages", "/bytes"];

/// Settings in `/varz` that bear on a measurement.
const SETTINGS: [&str; 9] = [
    "/max_payload",
    "/max_pending",
    "/max_connections",
    "/max_control_line",
    "/write_deadline",
    "/ping_interval",
    "/gomaxprocs",
    "/jetstream/config/sync_interval",
    "/jetstream/config/sync_always",
];

pub(super) async fn identify(url: &str, monitor: Option<&str>) -> Result<Identity, String> {
    if let Some(monitor) = monitor {
        let health = get(monitor, "/healthz").await?;
        if health.pointer("/status").and_then(Value::as_str) != Some("ok") {
            return Err(format!("/healthz says {health}"));
        }
    }
    let client = connect(url).await?;
    let info = client.server_info();
    Ok(Identity { version: info.version, mark: info.server_name })
}

pub(super) async fn counters(url: &str, monitor: Option<&str>) -> Result<Counters, String> {
    let Some(monitor) = monitor else { return counters_of_a_stranger(url).await };
    let varz = get(monitor, "/varz").await?;
    let mut counters = Counters { server: text(&varz, "/server_id"), values: numbers(&varz, &VARZ, "") };
    if varz.pointer("/jetstream/config").is_some() {
        counters.values.extend(numbers(&get(monitor, "/jsz").await?, &JSZ, "jetstream_"));
    }
    Ok(counters)
}

pub(super) async fn settings(monitor: Option<&str>) -> Result<Vec<(String, String)>, String> {
    let Some(monitor) = monitor else { return Ok(Vec::new()) };
    let varz = get(monitor, "/varz").await?;
    let setting = |path: &&str| Some((name(path), varz.pointer(path)?.to_string()));
    Ok(SETTINGS.iter().filter_map(setting).collect())
}

/// A server that is not ours: asks the customary monitoring port, and believes it only if it is the same
/// server.
async fn counters_of_a_stranger(url: &str) -> Result<Counters, String> {
    let client = connect(url).await?;
    let id = client.server_info().server_id;
    let host = url::host(url).ok_or("the URL has no host")?;
    let monitor = format!("{host}:{CUSTOMARY_MONITOR}");
    let known = match get(&monitor, "/varz").await {
        Ok(varz) if text(&varz, "/server_id") == id => numbers(&varz, &VARZ, ""),
        _ => Vec::new(),
    };
    Ok(Counters { server: id, values: known })
}

/// Connects and has a PING answered.
async fn connect(url: &str) -> Result<async_nats::Client, String> {
    let (options, servers) = crate::driver::nats::connect_options(url).map_err(|error| error.what)?;
    let options = options.max_reconnects(1).name("busmark");
    let client = options.connect(servers).await.map_err(|error| error.to_string())?;
    client.flush().await.map_err(|error| error.to_string())?;
    Ok(client)
}

/// One GET of JSON over plain HTTP/1.0, which is all that the monitoring port needs.
async fn get(monitor: &str, path: &str) -> Result<Value, String> {
    let mut answer = Vec::new();
    let read = async {
        let mut stream = TcpStream::connect(monitor).await?;
        stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {monitor}\r\n\r\n").as_bytes()).await?;
        stream.take(MAX_ANSWER).read_to_end(&mut answer).await
    };
    read.await.map_err(|error| format!("http://{monitor}{path}: {error}"))?;
    let body = answer.windows(4).position(|four| four == b"\r\n\r\n").map_or(answer.len(), |at| at + 4);
    serde_json::from_slice(&answer[body..]).map_err(|error| format!("http://{monitor}{path}: {error}"))
}

fn numbers(document: &Value, paths: &[&str], prefix: &str) -> Vec<(String, f64)> {
    let number = |path: &&str| Some((format!("{prefix}{}", name(path)), document.pointer(path)?.as_f64()?));
    paths.iter().filter_map(number).collect()
}

/// `/api/errors` is `api_errors`.
fn name(path: &str) -> String {
    path.trim_start_matches('/').replace('/', "_")
}

fn text(document: &Value, path: &str) -> String {
    document.pointer(path).and_then(Value::as_str).unwrap_or_default().to_owned()
}

mod url {
    /// The host in `scheme://user:password@host:port/…`.
    pub(super) fn host(url: &str) -> Option<&str> {
        let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
        let authority = rest.split(['/', '?']).next()?;
        let host_and_port = authority.rsplit('@').next()?;
        let host = host_and_port.rsplit_once(':').map_or(host_and_port, |(host, _)| host);
        (!host.is_empty()).then_some(host)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_host_of_a_url_is_found_with_and_without_port_and_user() {
        for url in ["nats://h:4222", "nats://u:p@h:4222/x", "h:4222", "nats://h"] {
            assert_eq!(url::host(url), Some("h"), "{url}");
        }
        assert_eq!(url::host("nats://:4222"), None);
    }

    #[test]
    fn counters_are_named_by_their_path_and_missing_ones_are_left_out() {
        let document = serde_json::json!({"api": {"errors": 3}, "text": "x"});
        let numbers = numbers(&document, &["/api/errors", "/absent", "/text"], "jetstream_");
        assert_eq!(numbers, [("jetstream_api_errors".to_owned(), 3.0)]);
    }
}
