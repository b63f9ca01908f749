//! A client's connection, whatever it runs over.

use super::tls::TlsStream;
use super::websocket::WebSocketStream;
use mio::event::Source;
use mio::net::{TcpStream, UnixStream};
use mio::{Interest, Registry, Token};
use std::io::{self, IoSlice, Read, Write};
use std::net::SocketAddr;
use std::os::fd::AsRawFd;
use std::sync::Arc;

/// A connection that never blocks.
#[derive(Debug)]
pub(super) enum Stream {
    /// TCP over IPv4 or IPv6.
    Tcp(TcpStream),
    /// A Unix socket.
    Unix(UnixStream),
    /// TLS over TCP.
    Tls(Box<TlsStream>),
    /// WebSocket over TCP or TLS.
    WebSocket(Box<WebSocketStream>),
}

impl Stream {
    /// A connection whose client is to begin with TLS; `None` for one that can't be.
    pub(super) fn encrypted(stream: TcpStream, config: &Arc<rustls::ServerConfig>) -> Option<Self> {
        let tls = TlsStream::new(stream, Arc::clone(config)).ok()?;
        Some(Self::Tls(Box::new(tls)))
    }

    /// Reads what is there.
    ///
    /// # Errors
    /// As `read(2)`; broken TLS is `InvalidData`.
    pub(super) fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.read(buf),
            Self::Unix(stream) => stream.read(buf),
            Self::Tls(stream) => stream.read(buf),
            Self::WebSocket(stream) => stream.read(buf),
        }
    }

    /// Writes some of the slices.
    ///
    /// # Errors
    /// As `writev(2)`.
    pub(super) fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match (self, slices) {
            (Self::Tcp(stream), [one]) => stream.write(one),
            (Self::Tcp(stream), _) => stream.write_vectored(slices),
            (Self::Unix(stream), _) => stream.write_vectored(slices),
            (Self::Tls(stream), _) => stream.write(slices),
            (Self::WebSocket(stream), _) => stream.write(slices),
        }
    }

    /// Writes what an encrypting layer still holds back.
    ///
    /// # Errors
    /// As `write(2)`.
    pub(super) fn push(&mut self) -> io::Result<()> {
        match self {
            Self::Tls(stream) => stream.push(),
            Self::WebSocket(stream) => stream.push(),
            Self::Tcp(_) | Self::Unix(_) => Ok(()),
        }
    }

    /// Whether an encrypting layer holds bytes back.
    pub(super) fn holds_back(&self) -> bool {
        match self {
            Self::Tls(stream) => stream.holds_back(),
            Self::WebSocket(stream) => stream.holds_back(),
            Self::Tcp(_) | Self::Unix(_) => false,
        }
    }

    /// Whether the ends have not agreed yet on how to speak.
    pub(super) fn is_handshaking(&self) -> bool {
        match self {
            Self::Tls(stream) => stream.is_handshaking(),
            Self::WebSocket(stream) => stream.is_handshaking(),
            Self::Tcp(_) | Self::Unix(_) => false,
        }
    }

    /// Whether messages of WebSocket carry the bytes.
    pub(super) fn is_websocket(&self) -> bool {
        matches!(self, Self::WebSocket(_))
    }

    /// Whether a read that does not fill its buffer says that nothing is left.
    pub(super) fn short_read_is_last(&self) -> bool {
        matches!(self, Self::Tcp(_) | Self::Unix(_))
    }

    /// Starts to listen for readiness, edge by edge.
    ///
    /// # Errors
    /// As `epoll_ctl(2)`.
    pub(super) fn register(&mut self, registry: &Registry, token: Token) -> io::Result<()> {
        self.source().register(registry, token, Interest::READABLE | Interest::WRITABLE)
    }

    /// Stops to listen.
    ///
    /// # Errors
    /// As `epoll_ctl(2)`.
    pub(super) fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.source().deregister(registry)
    }

    fn source(&mut self) -> &mut dyn Source {
        match self {
            Self::Tcp(stream) => stream,
            Self::Unix(stream) => stream,
            Self::Tls(stream) => stream.socket(),
            Self::WebSocket(stream) => stream.below_mut().source(),
        }
    }
}

/// Where a connection comes from and goes to, as CLIENT LIST shows it.
#[derive(Debug)]
pub(super) struct Place {
    /// `HOST:PORT` of the client, or the socket's path and `:0`.
    pub(super) peer: String,
    /// The same of this end.
    pub(super) local: String,
    /// The file descriptor.
    pub(super) descriptor: i32,
    /// Whether it is a Unix socket.
    pub(super) unix: bool,
}

impl Stream {
    /// Whether the other end is on this machine.
    pub(super) fn is_local(&self) -> bool {
        let tcp = match self {
            Self::Tcp(stream) => stream,
            Self::Tls(stream) => stream.plain(),
            Self::Unix(_) => return true,
            Self::WebSocket(stream) => return stream.below().is_local(),
        };
        tcp.peer_addr().is_ok_and(|address| address.ip().is_loopback())
    }

    /// Asks the system where the ends are; a broken connection has none.
    pub(super) fn place(&self) -> Place {
        let tcp = match self {
            Self::Tcp(stream) => stream,
            Self::Tls(stream) => stream.plain(),
            Self::WebSocket(stream) => return stream.below().place(),
            Self::Unix(stream) => {
                let local = stream.local_addr().ok();
                let path = local.as_ref().and_then(|address| address.as_pathname());
                let path = format!("{}:0", path.map(|path| path.display().to_string()).unwrap_or_default());
                return Place { peer: path.clone(), local: path, descriptor: stream.as_raw_fd(), unix: true };
            }
        };
        let text =
            |address: io::Result<SocketAddr>| address.map(|address| address.to_string()).unwrap_or_default();
        let (peer, local) = (text(tcp.peer_addr()), text(tcp.local_addr()));
        Place { peer, local, descriptor: tcp.as_raw_fd(), unix: false }
    }
}
