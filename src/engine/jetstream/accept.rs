//! Clients that come in.

use super::access::Proof;
use super::client::{Client, Identity};
use super::error::EngineError;
use super::server::Server;
use super::sublist::ClientKey;
use crate::engine::descriptors;
use crate::engine::stream::Stream;
use crate::engine::tls::TlsStream;
use crate::wire::nats::append_info;
use mio::Token;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

/// Descriptors that connections leave for reading and syncing.
const KEPT_BACK: u64 = 64;

/// Random bytes that a key is asked to sign, as nats-server gives them.
const NONCE: usize = 11;

impl Server {
    pub(super) fn accept(&mut self) -> Result<(), EngineError> {
        while let Some(listener) = &self.listener {
            match listener.accept() {
                Ok((stream, address)) => self.welcome(stream, address)?,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                // Out of descriptors, or the client is gone already: the next one may do better.
                Err(_) => return Ok(()),
            }
        }
        Ok(())
    }

    fn welcome(&mut self, stream: mio::net::TcpStream, address: SocketAddr) -> Result<(), EngineError> {
        // Without it the client is only slower.
        let _ = stream.set_nodelay(true);
        let full = self.hub.clients.len() >= self.settings.max_connections
            || descriptors::are_scarce(&stream, KEPT_BACK);
        let identity = Identity {
            id: self.next_id,
            address,
            nonce: self.nonce(),
            user: String::new(),
            name: String::new(),
            lang: String::new(),
            version: String::new(),
            since: self.times.unix,
        };
        self.next_id += 1;
        self.hub.stats.total_connections += 1;
        let mut greeting = Vec::new();
        append_info(&mut greeting, &self.info.json_for(&identity));
        // The greeting is never encrypted; what comes after it is.
        let mut stream = Stream::Tcp(stream);
        let greeted = match &self.tls {
            Some(config) => encrypted(stream, &greeting, config),
            None => Some(stream),
        };
        stream = match greeted {
            Some(stream) => stream,
            None => return Ok(()),
        };
        let entry = self.hub.clients.vacant_entry();
        let key = entry.key() as ClientKey;
        stream.register(self.poll.registry(), Token(key as usize))?;
        let mut client = Client::new(stream, identity, self.clock.now());
        client.authorised = self.settings.credentials.is_empty();
        entry.insert(client);
        if self.tls.is_none() {
            self.hub.push(key, |out| out.extend_from_slice(&greeting));
        }
        if full {
            self.refuse(key, "maximum connections exceeded");
        }
        Ok(())
    }

    /// What a client with a key is asked to sign; nothing if there are no keys.
    fn nonce(&self) -> String {
        let keys = self.settings.credentials.users.iter().any(|user| user.proof == Proof::Signature);
        let mut bytes = [0; NONCE];
        if !keys || self.random.fill(&mut bytes).is_err() {
            return String::new();
        }
        data_encoding::BASE64URL_NOPAD.encode(&bytes)
    }
}

/// Greets in plain and expects the client's own greeting of encryption; a client that is gone is none.
fn encrypted(mut stream: Stream, greeting: &[u8], config: &Arc<rustls::ServerConfig>) -> Option<Stream> {
    let written = stream.write(&[io::IoSlice::new(greeting)]).ok()?;
    let Stream::Tcp(stream) = stream else { return None };
    // A new socket takes some hundred bytes.
    (written == greeting.len()).then_some(())?;
    let tls = TlsStream::new(stream, Arc::clone(config)).ok()?;
    Some(Stream::Tls(Box::new(tls)))
}
