//! What each key of a configuration file means.

use super::syntax::Value;
use super::{ConfigError, units};
use crate::engine::jetstream::settings::{JetStreamSettings, Settings, SyncPolicy};
use std::net::ToSocketAddrs;

/// Keys of nats-server that this engine has nothing for.
const UNSUPPORTED: &[&str] = &[
    "accounts",
    "account",
    "cluster",
    "gateway",
    "leaf",
    "leafnodes",
    "websocket",
    "mqtt",
    "operator",
    "operators",
    "resolver",
    "resolver_preload",
    "resolver_tls",
    "system",
    "system_account",
    "no_auth_user",
    "tls",
    "trusted",
    "trusted_keys",
    "https",
    "https_port",
    "http",
    "http_port",
    "monitor_port",
    "auth_callout",
    "mappings",
    "maps",
    "ocsp",
    "proxies",
    "default_permissions",
];
/// Keys that only say how much is logged, or what is shown of it; there is nothing to honour.
const IDLE: &[&str] =
    &["debug", "trace", "trace_verbose", "logtime", "logtime_utc", "log_size_limit", "server_tags"];

/// Applies a whole file.
pub(super) fn apply(settings: &mut Settings, map: &[(String, Value)]) -> Result<(), ConfigError> {
    for (key, value) in map {
        let key = key.to_ascii_lowercase();
        match key.as_str() {
            "jetstream" => jetstream(settings, &key, value)?,
            "authorization" => authorization(settings, value)?,
            key if UNSUPPORTED.contains(&key) => return Err(ConfigError::Unsupported(key.to_owned())),
            key if IDLE.contains(&key) => {}
            key => plain(settings, key, text(key, value)?)?,
        }
    }
    Ok(())
}

fn text<'a>(key: &str, value: &'a Value) -> Result<&'a str, ConfigError> {
    match value {
        Value::Text(text) => Ok(text),
        other => {
            Err(ConfigError::Value { key: key.to_owned(), given: format!("{other:?}"), wanted: "one value" })
        }
    }
}

fn plain(settings: &mut Settings, key: &str, given: &str) -> Result<(), ConfigError> {
    match key {
        "listen" => listen(settings, key, given)?,
        "port" => settings.listen.set_port(units::port(key, given)?),
        "host" | "net" | "addr" => host(settings, key, given)?,
        "server_name" | "name" => settings.name = Some(given.to_owned()),
        "max_payload" => settings.max_payload = units::count(key, given)?,
        "max_control_line" => settings.max_control_line = units::count(key, given)?,
        "max_connections" | "max_conn" => settings.max_connections = units::count(key, given)?,
        "max_subscriptions" | "max_subs" => settings.max_subscriptions = units::count(key, given)?,
        "max_pending" => settings.max_pending = units::count(key, given)?,
        "write_deadline" => settings.write_deadline = units::duration(key, given)?,
        "ping_interval" => settings.ping_interval = units::duration(key, given)?,
        "ping_max" => settings.ping_max = units::count(key, given)? as u32,
        "pid_file" | "pidfile" => settings.pid_file = Some(given.into()),
        "log_file" | "logfile" => settings.log_file = Some(given.into()),
        _ => return Err(ConfigError::Unknown(key.to_owned())),
    }
    Ok(())
}

/// Sets where to listen, from `HOST:PORT` or a port alone.
pub(super) fn listen(settings: &mut Settings, key: &str, given: &str) -> Result<(), ConfigError> {
    match given.rsplit_once(':') {
        Some((name, port)) => {
            settings.listen.set_port(units::port(key, port)?);
            host(settings, key, name)
        }
        None => {
            settings.listen.set_port(units::port(key, given)?);
            Ok(())
        }
    }
}

/// Sets the address to listen on.
pub(super) fn host(settings: &mut Settings, key: &str, given: &str) -> Result<(), ConfigError> {
    let bare = given.trim_start_matches('[').trim_end_matches(']');
    let found = (bare, settings.listen.port()).to_socket_addrs().ok().and_then(|mut all| all.next());
    let wrong = || ConfigError::Value { key: key.to_owned(), given: given.to_owned(), wanted: "an address" };
    settings.listen = found.ok_or_else(wrong)?;
    Ok(())
}

/// Reads the size of a stream's segments.
pub(super) fn segment_size(key: &str, given: &str) -> Result<u64, ConfigError> {
    let wrong = || ConfigError::Value { key: key.to_owned(), given: given.to_owned(), wanted: "4KB to 2GB" };
    Some(units::size(key, given)?).filter(|size| (4 << 10..=2 << 30).contains(size)).ok_or_else(wrong)
}

/// Streams are on from now on.
pub(super) fn streams(settings: &mut Settings) -> &mut JetStreamSettings {
    settings.jetstream.get_or_insert_with(JetStreamSettings::default)
}

fn jetstream(settings: &mut Settings, key: &str, value: &Value) -> Result<(), ConfigError> {
    let map = match value {
        Value::Map(map) => map,
        Value::List(_) => return text(key, value).map(|_| ()),
        Value::Text(given) => {
            if units::switch(key, given)? {
                streams(settings);
            } else {
                settings.jetstream = None;
            }
            return Ok(());
        }
    };
    streams(settings);
    for (key, value) in map {
        let given = text(key, value)?;
        let all = streams(settings);
        match key.to_ascii_lowercase().as_str() {
            "store_dir" | "storedir" | "store" => {
                all.store_dir = std::path::Path::new(given).join("jetstream")
            }
            "sync" | "sync_interval" => all.sync = sync(key, given)?,
            "segment_size" => all.segment_bytes = segment_size(key, given)?,
            "max_mem" | "max_memory_store" | "max_mem_store" => {
                all.max_memory = Some(units::size(key, given)?)
            }
            "max_file" | "max_file_store" => all.max_file = Some(units::size(key, given)?),
            "enabled" | "enable" => {
                if !units::switch(key, given)? {
                    settings.jetstream = None;
                    return Ok(());
                }
            }
            "strict" if !units::switch(key, given)? => {}
            "strict"
            | "domain"
            | "cipher"
            | "key"
            | "encryption_key"
            | "prev_key"
            | "unique_tag"
            | "limits"
            | "extension_hint"
            | "max_outstanding_catchup"
            | "tpm" => {
                return Err(ConfigError::Unsupported(format!("jetstream.{key}")));
            }
            _ => return Err(ConfigError::Unknown(format!("jetstream.{key}"))),
        }
    }
    Ok(())
}

/// Reads `always` or an interval.
pub(super) fn sync(key: &str, given: &str) -> Result<SyncPolicy, ConfigError> {
    if given.eq_ignore_ascii_case("always") {
        return Ok(SyncPolicy::Always);
    }
    units::duration(key, given).map(SyncPolicy::Interval)
}

fn authorization(settings: &mut Settings, value: &Value) -> Result<(), ConfigError> {
    let Value::Map(map) = value else { return text("authorization", value).map(|_| ()) };
    let (mut user, mut password) = (None, None);
    for (key, value) in map {
        match key.to_ascii_lowercase().as_str() {
            "user" | "username" => user = Some(text(key, value)?.to_owned()),
            "pass" | "password" => password = Some(text(key, value)?.to_owned()),
            "token" => settings.credentials.token = Some(text(key, value)?.to_owned()),
            "timeout" => settings.auth_timeout = units::duration(key, text(key, value)?)?,
            "users" => users(settings, value)?,
            other => return Err(ConfigError::Unsupported(format!("authorization.{other}"))),
        }
    }
    add_user(settings, user, password)
}

fn users(settings: &mut Settings, value: &Value) -> Result<(), ConfigError> {
    let Value::List(list) = value else { return text("authorization.users", value).map(|_| ()) };
    for entry in list {
        let Value::Map(map) = entry else { return Err(ConfigError::Missing("authorization.users".into())) };
        let (mut user, mut password) = (None, None);
        for (key, value) in map {
            match key.to_ascii_lowercase().as_str() {
                "user" | "username" => user = Some(text(key, value)?.to_owned()),
                "pass" | "password" => password = Some(text(key, value)?.to_owned()),
                other => return Err(ConfigError::Unsupported(format!("authorization.users.{other}"))),
            }
        }
        add_user(settings, user, password)?;
    }
    Ok(())
}

fn add_user(
    settings: &mut Settings,
    user: Option<String>,
    password: Option<String>,
) -> Result<(), ConfigError> {
    match (user, password) {
        (None, None) => Ok(()),
        (_, Some(hash)) if hash.starts_with("$2a$") || hash.starts_with("$2b$") => {
            Err(ConfigError::Unsupported("a password hashed by bcrypt".to_owned()))
        }
        (Some(user), Some(password)) => {
            settings.credentials.users.push((user, password));
            Ok(())
        }
        (Some(_), None) => Err(ConfigError::Missing("authorization.password".to_owned())),
        (None, Some(_)) => Err(ConfigError::Missing("authorization.user".to_owned())),
    }
}
