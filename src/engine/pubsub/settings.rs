//! What CONFIG GET and CONFIG SET know.

use super::glob;
use super::outbox::BufferLimits;
use crate::wire::resp::MAX_BULK;

/// Limit on the bytes waiting for one client; 0 is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct BufferLimit {
    /// Bytes at which a client is cut at once.
    pub(super) hard: usize,
    /// Bytes above which a client is cut if it stays there.
    pub(super) soft: usize,
    /// For longer than this many seconds.
    pub(super) seconds: u64,
}

/// The settings, with Redis's names and defaults.
#[derive(Debug, Clone)]
pub(super) struct Settings {
    /// Connections at most (`maxclients`).
    pub(super) max_clients: usize,
    /// Longest argument, bytes (`proto-max-bulk-len`).
    pub(super) max_bulk: usize,
    /// Longest unfinished command, bytes (`client-query-buffer-limit`).
    pub(super) max_query: usize,
    /// Seconds after which an idle client without subscriptions is closed; 0 never (`timeout`).
    pub(super) timeout: u64,
    /// Seconds between keep-alive probes; 0 none (`tcp-keepalive`).
    pub(super) keepalive: u32,
    /// Backlogs (`client-output-buffer-limit`).
    pub(super) limits: BufferLimits,
    /// Limit of replicas: kept to be shown, there are none.
    replica: BufferLimit,
    /// The port of the first TCP listener, or 0.
    pub(super) port: u16,
    /// The path of the first Unix listener, or empty.
    pub(super) unix_socket: String,
    /// Addresses listened on.
    pub(super) bind: String,
}

const MIB: usize = 1024 * 1024;

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_clients: 10_000,
            max_bulk: MAX_BULK,
            max_query: 1024 * MIB,
            timeout: 0,
            keepalive: 300,
            limits: BufferLimits {
                normal: BufferLimit::default(),
                pubsub: BufferLimit { hard: 32 * MIB, soft: 8 * MIB, seconds: 60 },
            },
            replica: BufferLimit { hard: 256 * MIB, soft: 64 * MIB, seconds: 60 },
            port: 0,
            unix_socket: String::new(),
            bind: String::new(),
        }
    }
}

/// Why a setting was refused, in Redis's words.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// There is no such setting.
    Unknown,
    /// It can't be changed while running.
    Immutable,
    /// The value is none.
    Value(&'static str),
}

/// Settings that can't be changed here, and their values: what clients ask for to learn what they talk to.
const FIXED: &[(&str, &str)] = &[
    ("appendonly", "no"),
    ("cluster-enabled", "no"),
    ("databases", "16"),
    ("io-threads", "1"),
    ("maxmemory", "0"),
    ("maxmemory-policy", "noeviction"),
    ("notify-keyspace-events", ""),
    ("save", ""),
];

const NOT_AN_INTEGER: &str = "argument couldn't be parsed into an integer";
const TOO_SMALL: &str = "argument must be between 1048576 and 9223372036854775807 inclusive";
const NOT_MEMORY: &str = "argument must be a memory value";

impl Settings {
    /// All settings whose names match the pattern, with their values.
    pub(super) fn find(&self, pattern: &[u8]) -> Vec<(&'static str, String)> {
        let mut all = vec![
            ("bind", self.bind.clone()),
            ("client-output-buffer-limit", self.limits_text()),
            ("client-query-buffer-limit", self.max_query.to_string()),
            ("maxclients", self.max_clients.to_string()),
            ("port", self.port.to_string()),
            ("proto-max-bulk-len", self.max_bulk.to_string()),
            ("tcp-keepalive", self.keepalive.to_string()),
            ("timeout", self.timeout.to_string()),
            ("unixsocket", self.unix_socket.clone()),
        ];
        all.extend(FIXED.iter().map(|&(name, value)| (name, value.to_owned())));
        all.retain(|(name, _)| glob::matches(pattern, name.as_bytes(), true));
        all
    }

    fn limits_text(&self) -> String {
        let text =
            |name, limit: BufferLimit| format!("{name} {} {} {}", limit.hard, limit.soft, limit.seconds);
        [text("normal", self.limits.normal), text("slave", self.replica), text("pubsub", self.limits.pubsub)]
            .join(" ")
    }

    /// Changes a setting.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), Refusal> {
        match name.to_ascii_lowercase().as_str() {
            "maxclients" => self.max_clients = integer(value, 1, u64::from(u32::MAX))? as usize,
            "proto-max-bulk-len" => match memory(value)? {
                0..MIB => return Err(Refusal::Value(TOO_SMALL)),
                bytes => self.max_bulk = bytes.min(u32::MAX as usize / 2),
            },
            "client-query-buffer-limit" => self.max_query = memory(value)?.clamp(MIB, u32::MAX as usize / 4),
            "timeout" => self.timeout = integer(value, 0, i32::MAX as u64)?,
            "tcp-keepalive" => self.keepalive = integer(value, 0, i32::MAX as u64)? as u32,
            "client-output-buffer-limit" => self.set_limits(value)?,
            "bind" | "port" | "unixsocket" => return Err(Refusal::Immutable),
            // What it is already it may be set to.
            name if FIXED.contains(&(name, value)) => {}
            name if FIXED.iter().any(|(fixed, _)| *fixed == name) => return Err(Refusal::Immutable),
            _ => return Err(Refusal::Unknown),
        }
        Ok(())
    }

    fn set_limits(&mut self, value: &str) -> Result<(), Refusal> {
        let words: Vec<&str> = value.split_ascii_whitespace().collect();
        if words.is_empty() || !words.len().is_multiple_of(4) {
            return Err(Refusal::Value("Wrong number of arguments in buffer limit configuration."));
        }
        let mut changed = self.clone();
        for group in words.chunks(4) {
            let slot = match group[0].to_ascii_lowercase().as_str() {
                "normal" => &mut changed.limits.normal,
                "slave" | "replica" => &mut changed.replica,
                "pubsub" => &mut changed.limits.pubsub,
                _ => {
                    return Err(Refusal::Value(
                        "Invalid client class specified in buffer limit configuration.",
                    ));
                }
            };
            let wrong =
                Refusal::Value("Error in hard, soft or soft_seconds setting in buffer limit configuration.");
            match (bytes(group[1]), bytes(group[2]), group[3].parse()) {
                (Some(hard), Some(soft), Ok(seconds)) => *slot = BufferLimit { hard, soft, seconds },
                _ => return Err(wrong),
            }
        }
        *self = changed;
        Ok(())
    }
}

fn integer(value: &str, least: u64, most: u64) -> Result<u64, Refusal> {
    let value: i64 = value.parse().map_err(|_| Refusal::Value(NOT_AN_INTEGER))?;
    match u64::try_from(value) {
        Ok(value) if (least..=most).contains(&value) => Ok(value),
        _ if least == 1 => Err(Refusal::Value("argument must be between 1 and 4294967295 inclusive")),
        _ => Err(Refusal::Value("argument must be between 0 and 2147483647 inclusive")),
    }
}

fn memory(value: &str) -> Result<usize, Refusal> {
    bytes(value).ok_or(Refusal::Value(NOT_MEMORY))
}

/// Bytes with Redis's units: `k` is 1000, `kb` is 1024, in any case.
fn bytes(text: &str) -> Option<usize> {
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let unit = match text[digits..].to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" => 1_000,
        "kb" => 1_024,
        "m" => 1_000_000,
        "mb" => MIB,
        "g" => 1_000_000_000,
        "gb" => 1024 * MIB,
        _ => return None,
    };
    text[..digits].parse::<usize>().ok()?.checked_mul(unit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_set_and_shown_as_in_redis() {
        let mut settings = Settings::default();
        let show = |settings: &Settings| settings.find(b"client-output*")[0].1.clone();
        assert_eq!(show(&settings), "normal 0 0 0 slave 268435456 67108864 60 pubsub 33554432 8388608 60");
        settings.set("client-output-buffer-limit", "pubsub 1mb 0 0 normal 2k 1 3").unwrap();
        assert_eq!(show(&settings), "normal 2000 1 3 slave 268435456 67108864 60 pubsub 1048576 0 0");
        assert!(settings.set("client-output-buffer-limit", "pubsub 1mb 0").is_err());
        assert!(settings.set("client-output-buffer-limit", "x 1 1 1").is_err());
    }

    #[test]
    fn unknown_fixed_and_impossible_settings_are_told_apart() {
        let mut settings = Settings::default();
        assert_eq!(settings.set("nope", "x"), Err(Refusal::Unknown));
        assert_eq!(settings.set("PORT", "1"), Err(Refusal::Immutable));
        assert_eq!(settings.set("maxclients", "x"), Err(Refusal::Value(NOT_AN_INTEGER)));
        assert!(matches!(settings.set("maxclients", "0"), Err(Refusal::Value(_))));
        assert_eq!(settings.set("MaxClients", "5"), Ok(()));
        assert_eq!(settings.max_clients, 5);
    }
}
