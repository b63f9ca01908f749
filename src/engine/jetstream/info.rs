//! What the server says of itself to a new client.

use super::client::Identity;
use super::settings::{FOLLOWS, Settings};
use serde::Serialize;
use std::net::SocketAddr;

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
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    tls_required: bool,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    tls_verify: bool,
    max_payload: usize,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    jetstream: bool,
    client_id: u64,
    client_ip: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    nonce: String,
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
            tls_required: settings.tls.is_some(),
            tls_verify: settings.tls.as_ref().is_some_and(|files| files.clients.is_some()),
            max_payload: settings.max_payload,
            jetstream: settings.jetstream.is_some(),
            client_id: 0,
            client_ip: String::new(),
            nonce: String::new(),
            ldm: false,
        }
    }

    /// What one client is told.
    pub(super) fn json_for(&self, client: &Identity) -> Vec<u8> {
        let own = Self {
            client_id: client.id,
            client_ip: client.address.ip().to_string(),
            nonce: client.nonce.clone(),
            ..self.clone()
        };
        serde_json::to_vec(&own).unwrap_or_default()
    }

    /// What clients are told when they are to look for another server.
    pub(super) fn lame(&self) -> Self {
        Self { ldm: true, ..self.clone() }
    }

    /// The server's id.
    pub(super) fn id(&self) -> &str {
        &self.server_id
    }

    /// What stands for the commit.
    pub(super) fn commit(&self) -> &'static str {
        self.git_commit
    }

    /// The server's name.
    pub(super) fn name(&self) -> &str {
        &self.server_name
    }
}
