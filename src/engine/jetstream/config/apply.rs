//! What each key of a configuration file means.

use super::syntax::Value;
use super::trust::Trust;
use super::{ConfigError, people, units};
use crate::engine::jetstream::settings::{
    JetStreamSettings, Monitor, Settings, SyncPolicy, TlsFirst, WebSocketSettings,
};
use crate::engine::tls::TlsFiles;
use std::net::{SocketAddr, ToSocketAddrs};
use std::path::PathBuf;
use std::time::Duration;

/// Keys of nats-server that this engine has nothing for.
const UNSUPPORTED: &[&str] = &[
    "account",
    "cluster",
    "gateway",
    "leaf",
    "leafnodes",
    "mqtt",
    "resolver_tls",
    "trusted",
    "trusted_keys",
    "https",
    "https_port",
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

/// How long a client may take to begin to encrypt before the server speaks in plain, if `auto` is said.
const TLS_FIRST_WITHIN: Duration = Duration::from_millis(50);

/// The shortest time in which clients are let go.
const DUCK_AT_LEAST: Duration = Duration::from_secs(30);

/// Applies a whole file.
pub(super) fn apply(settings: &mut Settings, map: &[(String, Value)]) -> Result<(), ConfigError> {
    let mut trust = Trust::default();
    for (key, value) in map {
        let key = key.to_ascii_lowercase();
        match key.as_str() {
            key if trust.take(key, value)? => {}
            "jetstream" => jetstream(settings, &key, value)?,
            "authorization" => people::authorization(settings, value)?,
            "accounts" => people::accounts(settings, value)?,
            "tls" => tls(settings, value)?,
            "websocket" => websocket(settings, &key, value)?,
            key if UNSUPPORTED.contains(&key) => return Err(ConfigError::Unsupported(key.to_owned())),
            key if IDLE.contains(&key) => {}
            key => plain(settings, key, text(key, value)?)?,
        }
    }
    trust.apply(settings)?;
    if settings.lame_duck_grace_period >= settings.lame_duck_duration {
        return Err(ConfigError::Value {
            key: "lame_duck_grace_period".to_owned(),
            given: format!("{:?}", settings.lame_duck_grace_period),
            wanted: "less than lame_duck_duration",
        });
    }
    let unknown = |name: &&String| !settings.credentials.users.iter().any(|user| user.name == **name);
    match settings.credentials.no_auth_user.as_ref().filter(unknown) {
        Some(name) => Err(ConfigError::Value {
            key: "no_auth_user".to_owned(),
            given: name.clone(),
            wanted: "the name of a user",
        }),
        None => Ok(()),
    }
}

fn tls(settings: &mut Settings, value: &Value) -> Result<(), ConfigError> {
    let Value::Map(map) = value else { return text("tls", value).map(|_| ()) };
    let mut given = Encryption::default();
    for (key, value) in map {
        let value = text(key, value)?;
        match key.to_ascii_lowercase().as_str() {
            "timeout" => settings.tls_timeout = units::duration(key, value)?,
            "handshake_first" | "first" | "immediate" => settings.tls_first = tls_first(key, value)?,
            other if given.take(other, value)? => {}
            other => return Err(ConfigError::Unsupported(format!("tls.{other}"))),
        }
    }
    settings.tls = Some(given.files()?);
    Ok(())
}

/// Reads `websocket { … }`. Messages are never compressed, which clients have to put up with in any case.
fn websocket(settings: &mut Settings, key: &str, value: &Value) -> Result<(), ConfigError> {
    let Value::Map(map) = value else { return text(key, value).map(|_| ()) };
    // The address is that of the clients unless another one is given.
    let mut own = Settings { listen: SocketAddr::new(settings.listen.ip(), 0), ..Settings::default() };
    let (mut place, mut plain, mut encryption) = (false, false, None);
    for (key, value) in map {
        match (key.to_ascii_lowercase().as_str(), value) {
            ("tls", Value::Map(map)) => {
                let given = encryption.get_or_insert_with(Encryption::default);
                for (key, value) in map {
                    if !given.take(&key.to_ascii_lowercase(), text(key, value)?)? {
                        return Err(ConfigError::Unsupported(format!("websocket.tls.{key}")));
                    }
                }
            }
            ("port", given) => {
                own.listen.set_port(units::port(key, text(key, given)?)?);
                place = true;
            }
            ("listen", given) => {
                listen(&mut own, key, text(key, given)?)?;
                place = true;
            }
            ("host" | "net", given) => host(&mut own, key, text(key, given)?)?,
            ("no_tls", given) => plain = units::switch(key, text(key, given)?)?,
            ("compression", given) => drop(units::switch(key, text(key, given)?)?),
            ("same_origin", given) if !units::switch(key, text(key, given)?)? => {}
            (other, _) => return Err(ConfigError::Unsupported(format!("websocket.{other}"))),
        }
    }
    if !place {
        return Err(ConfigError::Missing("websocket.port".to_owned()));
    }
    let tls = encryption.map(Encryption::files).transpose()?.filter(|_| !plain);
    if tls.is_none() && !plain {
        return Err(ConfigError::Missing("websocket.tls, or websocket.no_tls,".to_owned()));
    }
    settings.websocket = Some(WebSocketSettings { listen: own.listen, tls });
    Ok(())
}

/// Reads `true`, `false`, `auto` or a duration.
fn tls_first(key: &str, given: &str) -> Result<TlsFirst, ConfigError> {
    if given.eq_ignore_ascii_case("auto") {
        return Ok(TlsFirst::Within(TLS_FIRST_WITHIN));
    }
    match units::switch(key, given) {
        Ok(true) => Ok(TlsFirst::Always),
        Ok(false) => Ok(TlsFirst::Never),
        Err(_) => units::duration(key, given).map(TlsFirst::Within),
    }
}

/// What was said of encryption, until all of it is known.
#[derive(Debug, Default)]
pub(super) struct Encryption {
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    pub(super) authority: Option<PathBuf>,
    pub(super) verify: bool,
}

impl Encryption {
    /// Takes one of the keys; whether it is one.
    fn take(&mut self, key: &str, value: &str) -> Result<bool, ConfigError> {
        match key {
            "cert_file" => self.certificate = Some(value.into()),
            "key_file" => self.key = Some(value.into()),
            "ca_file" => self.authority = Some(value.into()),
            "verify" => self.verify = units::switch(key, value)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Whether anything was said.
    pub(super) fn is_wanted(&self) -> bool {
        self.certificate.is_some() || self.key.is_some() || self.authority.is_some() || self.verify
    }

    /// The files, if they are all there. A certificate authority is for clients' certificates only, and those are
    /// looked at with `verify` only.
    pub(super) fn files(self) -> Result<TlsFiles, ConfigError> {
        let missing = |what: &str| ConfigError::Missing(format!("tls.{what}"));
        let clients = match (self.verify, self.authority) {
            (true, None) => return Err(missing("ca_file")),
            (true, Some(authority)) => Some(authority),
            (false, _) => None,
        };
        Ok(TlsFiles {
            certificate: self.certificate.ok_or_else(|| missing("cert_file"))?,
            key: self.key.ok_or_else(|| missing("key_file"))?,
            clients,
        })
    }
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
        "lame_duck_duration" => settings.lame_duck_duration = duck_duration(key, given)?,
        "lame_duck_grace_period" => settings.lame_duck_grace_period = units::duration(key, given)?,
        "pid_file" | "pidfile" => settings.pid_file = Some(given.into()),
        "no_auth_user" => settings.credentials.no_auth_user = Some(given.to_owned()),
        "http" => settings.monitor = Some(place(settings, key, given)?),
        "http_port" | "monitor_port" => monitor_port(settings, key, given)?,
        "log_file" | "logfile" => settings.log_file = Some(given.into()),
        _ => return Err(ConfigError::Unknown(key.to_owned())),
    }
    Ok(())
}

/// Reads how long clients are let go; nats-server takes no less than half a minute.
fn duck_duration(key: &str, given: &str) -> Result<Duration, ConfigError> {
    let wrong =
        || ConfigError::Value { key: key.to_owned(), given: given.to_owned(), wanted: "30 seconds or more" };
    Some(units::duration(key, given)?).filter(|duration| *duration >= DUCK_AT_LEAST).ok_or_else(wrong)
}

/// Sets the port of the monitoring, on the address that clients connect to.
pub(super) fn monitor_port(settings: &mut Settings, key: &str, given: &str) -> Result<(), ConfigError> {
    settings.monitor = Some(Monitor { host: None, port: units::port(key, given)? });
    Ok(())
}

fn place(settings: &Settings, key: &str, given: &str) -> Result<Monitor, ConfigError> {
    let mut own = settings.clone();
    listen(&mut own, key, given)?;
    let host = given.contains(':').then(|| own.listen.ip());
    Ok(Monitor { host, port: own.listen.port() })
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
        if key.eq_ignore_ascii_case("limits") {
            limits(streams(settings), value)?;
            continue;
        }
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
            "strict" => all.strict = units::switch(key, given)?,
            "domain"
            | "cipher"
            | "key"
            | "encryption_key"
            | "prev_key"
            | "unique_tag"
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

/// What no consumer may ask for more of, whatever its account.
fn limits(streams: &mut JetStreamSettings, value: &Value) -> Result<(), ConfigError> {
    let Value::Map(map) = value else { return text("limits", value).map(|_| ()) };
    for (key, value) in map {
        let given = text(key, value)?;
        let limit =
            if given == "-1" { None } else { Some(units::size(key, given)?).filter(|most| *most > 0) };
        match key.to_ascii_lowercase().as_str() {
            "max_request_batch" => streams.max_request_batch = limit,
            "max_ack_pending" => streams.max_ack_pending = limit,
            other => return Err(ConfigError::Unsupported(format!("jetstream.limits.{other}"))),
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
