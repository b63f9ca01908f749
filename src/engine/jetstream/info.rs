//! What the server says of itself to a new client.

use super::settings::{FOLLOWS, Settings};
use serde::Serialize;
use std::net::{IpAddr, SocketAddr};

/// INFO, in the order of nats-server's fields.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Info {
    server_id: String,
    server_name: String,
    version: &'static str,
    proto: u8,
    git_commit: &'static str,
    go: &'static str,
    host: String,
    port: u16,
    headers: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    auth_required: bool,
    max_payload: usize,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    jetstream: bool,
    client_id: u64,
    client_ip: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    ldm: bool,
}

impl Info {
    /// What all clients are told alike.
    pub(super) fn new(settings: &Settings, id: &str, listening: SocketAddr) -> Self {
        Self {
            server_id: id.to_owned(),
            server_name: settings.name.clone().unwrap_or_else(|| id.to_owned()),
            version: FOLLOWS,
            proto: 1,
            // Says plainly that this is not nats-server.
            git_commit: concat!("busmark-", env!("CARGO_PKG_VERSION")),
            go: "none",
            host: listening.ip().to_string(),
            port: listening.port(),
            headers: true,
            auth_required: !settings.credentials.is_empty(),
            max_payload: settings.max_payload,
            jetstream: settings.jetstream.is_some(),
            client_id: 0,
            client_ip: String::new(),
            ldm: false,
        }
    }

    /// What one client is told.
    pub(super) fn json_for(&self, client_id: u64, ip: IpAddr) -> Vec<u8> {
        let own = Self { client_id, client_ip: ip.to_string(), ..self.clone() };
        serde_json::to_vec(&own).unwrap_or_default()
    }

    /// The server's name.
    pub(super) fn name(&self) -> &str {
        &self.server_name
    }
}
