//! Places to listen on.

use super::error::EngineError;
use crate::engine::stream::Stream;
use mio::event::Source;
use mio::net::{TcpListener, UnixListener};
use std::fmt;
use std::io;
use std::net::{SocketAddr, ToSocketAddrs};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::str::FromStr;

/// A place to listen on, as given: `HOST:PORT`, `tls:HOST:PORT` or `unix:PATH`. Port 0 picks one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// Plain or encrypted TCP.
    Tcp {
        /// IPv4 or IPv6 address and port.
        address: SocketAddr,
        /// Whether clients speak TLS.
        tls: bool,
    },
    /// A Unix socket.
    Unix(PathBuf),
}

impl FromStr for Listen {
    type Err = EngineError;

    fn from_str(given: &str) -> Result<Self, EngineError> {
        let refuse = |why: &str| EngineError::Address { given: given.to_owned(), why: why.to_owned() };
        if let Some(path) = given.strip_prefix("unix:") {
            return if path.is_empty() { Err(refuse("no path")) } else { Ok(Self::Unix(path.into())) };
        }
        let (tls, place) = given.strip_prefix("tls:").map_or((false, given), |rest| (true, rest));
        let mut found = place.to_socket_addrs().map_err(|error| refuse(&error.to_string()))?;
        let address = found.next().ok_or_else(|| refuse("no such host"))?;
        Ok(Self::Tcp { address, tls })
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { address, tls: false } => write!(f, "{address}"),
            Self::Tcp { address, tls: true } => write!(f, "tls:{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

impl Listen {
    /// Whether only this machine can come in.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp { address, .. } => address.ip().is_loopback(),
            Self::Unix(_) => true,
        }
    }
}

/// An open place.
#[derive(Debug)]
pub(super) enum Listener {
    /// TCP, with TLS or without.
    Tcp { socket: TcpListener, tls: bool },
    /// A Unix socket, whose file is removed at the end.
    Unix { socket: UnixListener, path: PathBuf },
}

impl Listener {
    /// Opens the place; gives it with the port that was picked.
    ///
    /// # Errors
    /// The system refuses, or another server answers there.
    pub(super) fn open(listen: &Listen) -> Result<(Self, Listen), EngineError> {
        let failed = |source| EngineError::Listen { at: listen.to_string(), source };
        match listen {
            Listen::Tcp { address, tls } => {
                let socket = TcpListener::bind(*address).map_err(failed)?;
                let address = socket.local_addr().map_err(failed)?;
                Ok((Self::Tcp { socket, tls: *tls }, Listen::Tcp { address, tls: *tls }))
            }
            Listen::Unix(path) => {
                // A socket file that nobody answers on is left over from a server that was killed.
                if path.exists() && UnixStream::connect(path).is_err() {
                    std::fs::remove_file(path).map_err(failed)?;
                }
                let socket = UnixListener::bind(path).map_err(failed)?;
                Ok((Self::Unix { socket, path: path.clone() }, listen.clone()))
            }
        }
    }
}

impl Listener {
    /// A connection that waits; and whether it is to be encrypted.
    ///
    /// # Errors
    /// As `accept(2)`.
    pub(super) fn accept(&self) -> io::Result<(Stream, bool)> {
        match self {
            Self::Tcp { socket, tls } => socket.accept().map(|(stream, _)| (Stream::Tcp(stream), *tls)),
            Self::Unix { socket, .. } => socket.accept().map(|(stream, _)| (Stream::Unix(stream), false)),
        }
    }

    /// The socket, for the event loop.
    pub(super) fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Tcp { socket, .. } => socket,
            Self::Unix { socket, .. } => socket,
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Self::Unix { path, .. } = self {
            // Nothing is lost if it is gone already.
            let _ = std::fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_given_and_shown_alike() {
        for given in ["127.0.0.1:0", "tls:127.0.0.1:6380", "unix:/run/x.sock", "[::1]:6379"] {
            assert_eq!(given.parse::<Listen>().unwrap().to_string(), given);
        }
        for bad in ["", "6379", "unix:", "127.0.0.1"] {
            assert!(bad.parse::<Listen>().is_err(), "{bad}");
        }
        assert!(!"0.0.0.0:1".parse::<Listen>().unwrap().is_local());
        assert!("[::1]:1".parse::<Listen>().unwrap().is_local());
    }
}
