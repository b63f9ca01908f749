//! Where connections come in, and the signal to end.

use super::error::EngineError;
use super::listen::{Listen, Listener};
use super::sys;
use crate::engine::stream::Stream;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use rustls::ServerConfig;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::sync::Arc;

/// The file that becomes readable when the process is asked to end.
const SIGNALS: Token = Token(usize::MAX - 1);
/// Tokens from here on are the door's; below are clients.
const LISTENERS: usize = 1 << 40;
/// Connections accepted in one step at most, so that a storm of them does not starve the others.
const ACCEPTS: usize = 256;

/// All places listened on.
#[derive(Debug)]
pub(super) struct Door {
    listeners: Vec<Listener>,
    tls: Option<Arc<ServerConfig>>,
    signals: File,
}

impl Door {
    /// Opens all places, or none; gives them with the ports that were picked.
    ///
    /// # Errors
    /// The system refuses one of them.
    pub(super) fn new(
        registry: &Registry,
        listen: &[Listen],
        tls: Option<Arc<ServerConfig>>,
    ) -> Result<(Self, Vec<Listen>), EngineError> {
        let signals = sys::termination_signals()?;
        registry.register(&mut SourceFd(&signals.as_raw_fd()), SIGNALS, Interest::READABLE)?;
        let (mut listeners, mut places) = (Vec::new(), Vec::new());
        for listen in listen {
            let (mut listener, place) = Listener::open(listen)?;
            let token = Token(LISTENERS + listeners.len());
            registry.register(listener.source(), token, Interest::READABLE)?;
            listeners.push(listener);
            places.push(place);
        }
        Ok((Self { listeners, tls, signals }, places))
    }

    /// Whether an event is the door's.
    pub(super) fn is_its(token: Token) -> bool {
        token.0 >= LISTENERS
    }

    /// The connections that an event announces; `None` to end.
    pub(super) fn open(&mut self, token: Token, registry: &Registry, keepalive: u32) -> Option<Vec<Stream>> {
        if token == SIGNALS {
            // Read or not, the process ends.
            let _ = io::Read::read(&mut &self.signals, &mut [0; 128]);
            return None;
        }
        let listener = &mut self.listeners[token.0 - LISTENERS];
        let mut streams = Vec::new();
        for _ in 0..ACCEPTS {
            match listener.accept() {
                Ok((Stream::Tcp(stream), tls)) => {
                    // Without it small replies would wait for the other end's acknowledgement.
                    let _ = stream.set_nodelay(true);
                    sys::keep_alive(&stream, keepalive);
                    streams.extend(if tls {
                        self.tls.as_ref().and_then(|config| Stream::encrypted(stream, config))
                    } else {
                        Some(Stream::Tcp(stream))
                    });
                }
                Ok((stream, _)) => streams.push(stream),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Some(streams),
                // A connection that ended meanwhile, or no file left for it: the others go on.
                Err(_) => {}
            }
        }
        // There may be more, and no edge will tell.
        registry.reregister(listener.source(), token, Interest::READABLE).ok()?;
        Some(streams)
    }
}
