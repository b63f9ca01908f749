//! Clients that come in.

use super::access::Proof;
use super::client::{Client, Identity};
use super::error::EngineError;
use super::server::Server;
use super::settings::{TlsFirst, WebSocketSettings};
use super::sublist::ClientKey;
use crate::clock::Nanos;
use crate::engine::descriptors;
use crate::engine::stream::Stream;
use crate::engine::tls::{TlsFiles, TlsStream};
use crate::engine::websocket::WebSocketStream;
use crate::wire::nats::append_info;
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// Where clients come in that speak WebSocket.
pub(super) const WEB: Token = Token(usize::MAX - 3);

/// Descriptors that connections leave for reading and syncing.
const KEPT_BACK: u64 = 64;

/// Random bytes that a key is asked to sign, as nats-server gives them.
const NONCE: usize = 11;

/// Where clients connect that speak WebSocket.
#[derive(Debug)]
pub(super) struct Web {
    listener: TcpListener,
    pub(super) address: SocketAddr,
    tls: Option<Arc<rustls::ServerConfig>>,
}

impl Web {
    /// Opens the port.
    ///
    /// # Errors
    /// The port is taken, or the server's identity can't be used.
    pub(super) fn open(settings: &WebSocketSettings, registry: &Registry) -> Result<Self, EngineError> {
        let at = settings.listen;
        let mut listener = TcpListener::bind(at).map_err(|source| EngineError::Listen { at, source })?;
        registry.register(&mut listener, WEB, Interest::READABLE)?;
        let tls = settings.tls.as_ref().map(TlsFiles::load).transpose()?;
        Ok(Self { address: listener.local_addr()?, listener, tls })
    }
}

/// When a client is greeted that has just come in.
enum Greeting {
    /// It is already.
    Said,
    /// As soon as it can be.
    Next,
    /// Once it has begun to encrypt; in plain if it takes longer than this.
    Within(Duration),
}

impl Server {
    /// Lets in who waits; `web`: where WebSocket is spoken.
    pub(super) fn accept(&mut self, web: bool) -> Result<(), EngineError> {
        loop {
            let door = if web { self.web.as_ref().map(|web| &web.listener) } else { self.listener.as_ref() };
            // Out of descriptors, or the client is gone already: the next one may do better.
            let Some(Ok((stream, address))) = door.map(TcpListener::accept) else { return Ok(()) };
            self.welcome(stream, (address, web))?;
        }
    }

    fn welcome(&mut self, stream: TcpStream, (address, web): (SocketAddr, bool)) -> Result<(), EngineError> {
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
        let Some((mut stream, greeted)) = self.dressed(stream, &greeting, web) else { return Ok(()) };
        let entry = self.hub.clients.vacant_entry();
        let key = entry.key() as ClientKey;
        stream.register(self.poll.registry(), Token(key as usize))?;
        let (id, now) = (identity.id, self.clock.now());
        let client = entry.insert(Client::new(stream, identity, now));
        client.authorised = self.settings.credentials.is_empty();
        match greeted {
            Greeting::Said => {}
            Greeting::Next => self.hub.push(key, |out| out.extend_from_slice(&greeting)),
            Greeting::Within(limit) => {
                client.greeting = Some(greeting);
                self.ungreeted.push(Ungreeted { key, id, due: now + limit.as_nanos() as Nanos });
            }
        }
        if full {
            self.refuse(key, "maximum connections exceeded");
        }
        Ok(())
    }

    /// The connection as the client is to speak on it; a client that is gone has none. What waits for encryption or for
    /// an upgrade to WebSocket is kept until then.
    fn dressed(&self, stream: TcpStream, greeting: &[u8], web: bool) -> Option<(Stream, Greeting)> {
        if web {
            let below = match self.web.as_ref()?.tls.as_ref() {
                None => Stream::Tcp(stream),
                Some(config) => Stream::encrypted(stream, config)?,
            };
            return Some((Stream::WebSocket(Box::new(WebSocketStream::new(below))), Greeting::Next));
        }
        let Some(config) = &self.tls else { return Some((Stream::Tcp(stream), Greeting::Next)) };
        match self.settings.tls_first {
            TlsFirst::Never => Some((greeted(stream, greeting, config)?, Greeting::Said)),
            TlsFirst::Always => Some((Stream::encrypted(stream, config)?, Greeting::Next)),
            TlsFirst::Within(limit) => Some((Stream::encrypted(stream, config)?, Greeting::Within(limit))),
        }
    }

    /// What a client with a key is asked to sign; nothing if there are no keys.
    fn nonce(&self) -> String {
        let credentials = &self.settings.credentials;
        let keys = credentials.operator.is_some()
            || credentials.users.iter().any(|user| user.proof == Proof::Signature);
        let mut bytes = [0; NONCE];
        if !keys || self.random.fill(&mut bytes).is_err() {
            return String::new();
        }
        data_encoding::BASE64URL_NOPAD.encode(&bytes)
    }
}

/// A client that may encrypt before it is greeted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ungreeted {
    key: ClientKey,
    /// Keys are used again, this isn't.
    id: u64,
    /// When it is greeted in plain.
    pub(super) due: Nanos,
}

impl Server {
    /// Greets a client that has encrypted its connection first.
    pub(super) fn greet_encrypted(&mut self, key: ClientKey) {
        let Some(client) = self.hub.clients.get_mut(key as usize) else { return };
        if client.stream.is_handshaking() || client.is_leaving() {
            return;
        }
        if let Some(greeting) = client.greeting.take() {
            self.hub.push(key, |out| out.extend_from_slice(&greeting));
            self.ungreeted.retain(|one| one.key != key);
        }
    }

    /// Greets in plain who has not begun to encrypt in time.
    pub(super) fn greet_late(&mut self, now: Nanos) {
        for one in std::mem::take(&mut self.ungreeted) {
            let known = self.hub.clients.get_mut(one.key as usize);
            let Some(client) = known.filter(|client| client.identity.id == one.id && !client.doomed) else {
                continue;
            };
            let Stream::Tls(stream) = &mut client.stream else { continue };
            if stream.has_heard() {
                // Greeted once both ends have agreed; the time for that is limited.
                self.ungreeted.push(Ungreeted { due: Nanos::MAX, ..one });
            } else if one.due > now {
                self.ungreeted.push(one);
            } else if let Some(greeting) = client.greeting.take()
                // A new socket takes some hundred bytes.
                && stream.say_in_plain(&greeting).is_err()
            {
                self.hub.doom(one.key);
            }
        }
    }
}

/// Greets in plain and expects the client's own greeting of encryption; a client that is gone is none.
fn greeted(stream: TcpStream, greeting: &[u8], config: &Arc<rustls::ServerConfig>) -> Option<Stream> {
    let mut tls = TlsStream::new(stream, Arc::clone(config)).ok()?;
    tls.say_in_plain(greeting).ok()?;
    Some(Stream::Tls(Box::new(tls)))
}
