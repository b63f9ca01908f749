//! What the server is told at its start.

use super::access::{Account, Proof, User};
use super::operator::Operator;
use crate::engine::tls::TlsFiles;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

/// The version of nats-server whose behaviour is followed, and which INFO names: clients gate features by it.
pub(super) const FOLLOWS: &str = "2.11.11";

/// When what was acknowledged is on the disk, not only in the system's page cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SyncPolicy {
    /// Before the acknowledgement goes out.
    Always,
    /// This long after it, at most.
    Interval(Duration),
}

/// Who may come in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// Users, by password or by key.
    pub users: Vec<User>,
    /// A token instead.
    pub token: Option<String>,
    /// The user that whoever says nothing of themselves is.
    pub no_auth_user: Option<String>,
    /// Who vouches for accounts and their users by tokens, instead.
    pub operator: Option<Operator>,
}

impl Credentials {
    /// Whether nobody is asked.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.users.is_empty() && self.token.is_none() && self.operator.is_none()
    }

    /// Lets somebody in who knows a password, into the account of everybody.
    pub fn add(&mut self, name: &str, password: &str) {
        let proof = Proof::Password(password.to_owned());
        self.users.push(User { name: name.to_owned(), proof, account: 0, permissions: None });
    }
}

/// Where and how streams are kept. By default in a directory of the system's for what is not to last, synced every two
/// minutes, as nats-server does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JetStreamSettings {
    /// Directory of the file streams; made if it is missing.
    pub store_dir: PathBuf,
    /// When file streams are synced.
    pub sync: SyncPolicy,
    /// Bytes after which a stream's file is closed and a new one begun; at most 2 GiB.
    pub segment_bytes: u64,
    /// Bytes of all memory streams together; `None` is no limit.
    pub max_memory: Option<u64>,
    /// Bytes of all file streams together; `None` is no limit.
    pub max_file: Option<u64>,
    /// Messages that one request of a consumer may ask for; `None` is no limit.
    pub max_request_batch: Option<u64>,
    /// Messages that a consumer may have delivered without an acknowledgement; `None` is no limit.
    pub max_ack_pending: Option<u64>,
    /// Whether requests are refused that say what this engine does not know.
    pub strict: bool,
}

impl Default for JetStreamSettings {
    fn default() -> Self {
        Self {
            store_dir: std::env::temp_dir().join("nats").join("jetstream"),
            sync: SyncPolicy::Interval(Duration::from_secs(120)),
            segment_bytes: 64 * 1024 * 1024,
            max_memory: None,
            max_file: None,
            max_request_batch: None,
            max_ack_pending: None,
            strict: false,
        }
    }
}

/// Where the server can be watched over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Monitor {
    /// The address; `None` is that of the clients.
    pub host: Option<IpAddr>,
    /// The port; 0 picks one.
    pub port: u16,
}

/// Who speaks first where connections are encrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFirst {
    /// The server, in plain; then the client begins to encrypt.
    Never,
    /// The client begins to encrypt.
    Always,
    /// The client if it does so in this time, else the server in plain.
    Within(Duration),
}

/// Where clients connect that speak WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebSocketSettings {
    /// The address; port 0 picks one.
    pub listen: SocketAddr,
    /// The server's identity there; `None` is no encryption.
    pub tls: Option<TlsFiles>,
}

/// Everything the server is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where clients connect; port 0 picks one.
    pub listen: SocketAddr,
    /// Where it can be watched; `None` is nowhere.
    pub monitor: Option<Monitor>,
    /// The server's name in INFO; made up if `None`.
    pub name: Option<String>,
    /// Who may come in.
    pub credentials: Credentials,
    /// Accounts; the first one is that of everybody who is in no other.
    pub accounts: Vec<Account>,
    /// The server's identity; `None` is no encryption.
    pub tls: Option<TlsFiles>,
    /// How long a client may take to encrypt the connection.
    pub tls_timeout: Duration,
    /// Who speaks first then.
    pub tls_first: TlsFirst,
    /// Where clients in browsers connect; `None` is nowhere.
    pub websocket: Option<WebSocketSettings>,
    /// Bytes of one message.
    pub max_payload: usize,
    /// Bytes of one control line.
    pub max_control_line: usize,
    /// Connections at a time.
    pub max_connections: usize,
    /// Subscriptions of one connection; 0 is no limit.
    pub max_subscriptions: usize,
    /// Bytes that may wait for one client; above it is cut as a slow consumer.
    pub max_pending: usize,
    /// How long a client may take nothing while bytes wait for it.
    pub write_deadline: Duration,
    /// How often a silent client is pinged.
    pub ping_interval: Duration,
    /// Pings that may be without an answer.
    pub ping_max: u32,
    /// How long a client may take to authenticate.
    pub auth_timeout: Duration,
    /// How long a server that is told to let nobody in any more takes until all have gone.
    pub lame_duck_duration: Duration,
    /// How long of that nobody has to go.
    pub lame_duck_grace_period: Duration,
    /// Where the process id is written.
    pub pid_file: Option<PathBuf>,
    /// Where the log goes instead of the standard error.
    pub log_file: Option<PathBuf>,
    /// Streams; `None` is core only.
    pub jetstream: Option<JetStreamSettings>,
}

impl Default for Settings {
    /// As nats-server starts without options, but on loopback.
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 4222)),
            monitor: None,
            name: None,
            credentials: Credentials::default(),
            accounts: vec![Account::global()],
            tls: None,
            tls_timeout: Duration::from_secs(2),
            tls_first: TlsFirst::Never,
            websocket: None,
            max_payload: crate::wire::nats::MAX_PAYLOAD,
            max_control_line: crate::wire::nats::MAX_CONTROL_LINE,
            max_connections: 65_536,
            max_subscriptions: 0,
            max_pending: 64 * 1024 * 1024,
            write_deadline: Duration::from_secs(10),
            ping_interval: Duration::from_secs(120),
            ping_max: 2,
            auth_timeout: Duration::from_secs(2),
            lame_duck_duration: Duration::from_secs(120),
            lame_duck_grace_period: Duration::from_secs(10),
            pid_file: None,
            log_file: None,
            jetstream: None,
        }
    }
}
