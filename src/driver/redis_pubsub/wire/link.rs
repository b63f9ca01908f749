//! One connection: the socket, its read buffer, and the exchange that sets it up.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;

use super::super::address::{Address, Place};
use super::super::{SETUP_LIMIT, disconnected, fatal};
use crate::driver::DriverError;
use crate::wire::resp::{Reply, append_command, scan};

/// Bytes read at once at most, unless the scenario's frames are larger.
const READ_BYTES: usize = 64 * 1024;
/// Room for what surrounds a payload: heads, and a channel's name.
const AROUND_PAYLOAD: usize = 1024;

/// A socket with what was read from it and not yet understood.
#[derive(Debug)]
pub(super) struct Link {
    socket: Socket,
    input: Vec<u8>,
    start: usize,
    end: usize,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Link {
    /// Connects, authenticates, and makes sure that a Redis answers. `payload_max`: the longest bulk string
    /// that will be read, in bytes.
    pub(super) async fn open(address: &Address, payload_max: usize) -> Result<Self, DriverError> {
        let place = &address.place;
        let socket = match timeout(SETUP_LIMIT, Socket::connect(place)).await {
            Ok(Ok(socket)) => socket,
            Ok(Err(error)) => return Err(disconnected(format!("can't connect to {place}")).source(error)),
            Err(_) => return Err(disconnected(format!("no connection to {place} within {SETUP_LIMIT:?}"))),
        };
        let input = vec![0; READ_BYTES.max(payload_max + AROUND_PAYLOAD)];
        let mut link = Self { socket, input, start: 0, end: 0 };
        link.greet(address).await?;
        Ok(link)
    }

    async fn greet(&mut self, address: &Address) -> Result<(), DriverError> {
        let mut commands = Vec::new();
        let mut missing = 1;
        if let Some(password) = &address.password {
            match &address.username {
                Some(name) => append_command(&mut commands, &[b"AUTH", name.as_bytes(), password.as_bytes()]),
                None => append_command(&mut commands, &[b"AUTH", password.as_bytes()]),
            }
            missing += 1;
        }
        if address.database != 0 {
            append_command(&mut commands, &[b"SELECT", address.database.to_string().as_bytes()]);
            missing += 1;
        }
        append_command(&mut commands, &[b"PING"]);
        let place = &address.place;
        self.exchange(&commands, |reply, _| {
            match reply {
                Reply::Simple(_) => missing -= 1,
                Reply::Error(text) => return Err(refused(place, text)),
                _ => return Err(fatal(format!("{place} answers, but not as a Redis does"))),
            }
            Ok(missing == 0)
        })
        .await
    }

    /// Writes `output` while reading, and shows each whole value (parsed, and its bytes) to `each` until that
    /// says `true`. Only for setting up: within [`SETUP_LIMIT`].
    pub(super) async fn exchange(
        &mut self,
        output: &[u8],
        mut each: impl FnMut(Reply<'_>, &[u8]) -> Result<bool, DriverError>,
    ) -> Result<(), DriverError> {
        let mut written = 0;
        let talk = poll_fn(|cx| {
            while written < output.len() {
                match self.poll_write(cx, &output[written..]) {
                    Poll::Ready(count) => written += count?,
                    Poll::Pending => break,
                }
            }
            self.poll_values(cx, &mut each)
        });
        match timeout(SETUP_LIMIT, talk).await {
            Ok(result) => result,
            Err(_) => Err(disconnected(format!("no answer within {SETUP_LIMIT:?}"))),
        }
    }

    /// Reads values until `each` says that it has all.
    fn poll_values(
        &mut self,
        cx: &mut Context<'_>,
        each: &mut impl FnMut(Reply<'_>, &[u8]) -> Result<bool, DriverError>,
    ) -> Poll<Result<(), DriverError>> {
        loop {
            while let Some((reply, length)) = scan(self.unread()).map_err(broken)? {
                let done = each(reply, &self.unread()[..length])?;
                self.consume(length);
                if done {
                    return Poll::Ready(Ok(()));
                }
            }
            ready!(self.poll_read(cx))?;
        }
    }

    /// What was read and not consumed.
    #[inline]
    pub(super) fn unread(&self) -> &[u8] {
        &self.input[self.start..self.end]
    }

    /// Marks the first `length` bytes as understood.
    #[inline]
    pub(super) fn consume(&mut self, length: usize) {
        self.start += length;
    }

    /// Reads once; `Ready` once there are more bytes than before.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), DriverError>> {
        if self.start > 0 {
            // At most one incomplete value is moved, per read.
            self.input.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.input.len() {
            return Poll::Ready(Err(fatal("the server sends a value longer than any of this scenario")));
        }
        let mut room = ReadBuf::new(&mut self.input[self.end..]);
        let read = match &mut self.socket {
            Socket::Tcp(socket) => Pin::new(socket).poll_read(cx, &mut room),
            Socket::Unix(socket) => Pin::new(socket).poll_read(cx, &mut room),
        };
        let count = room.filled().len();
        Poll::Ready(match ready!(read) {
            Ok(()) if count == 0 => Err(disconnected("the server closed the connection")),
            Ok(()) => {
                self.end += count;
                Ok(())
            }
            Err(error) => Err(lost(error)),
        })
    }

    /// Writes once.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize, DriverError>> {
        let written = match &mut self.socket {
            Socket::Tcp(socket) => Pin::new(socket).poll_write(cx, bytes),
            Socket::Unix(socket) => Pin::new(socket).poll_write(cx, bytes),
        };
        Poll::Ready(match ready!(written) {
            Ok(0) => Err(disconnected("the server closed the connection")),
            Ok(count) => Ok(count),
            Err(error) => Err(lost(error)),
        })
    }
}

impl Socket {
    async fn connect(place: &Place) -> io::Result<Self> {
        match place {
            Place::Tcp(host, port) => {
                let socket = TcpStream::connect((host.as_str(), *port)).await?;
                socket.set_nodelay(true)?;
                Ok(Self::Tcp(socket))
            }
            Place::Unix(path) => Ok(Self::Unix(UnixStream::connect(path).await?)),
        }
    }
}

/// The stream can't be understood any more.
pub(super) fn broken(error: crate::wire::resp::ReplyError) -> DriverError {
    fatal("the server sends what is no RESP").source(error)
}

fn lost(error: io::Error) -> DriverError {
    disconnected("the connection broke").source(error)
}

fn refused(place: &Place, text: &[u8]) -> DriverError {
    let error = fatal(format!("{place} refuses the connection: {}", String::from_utf8_lossy(text)));
    if text.starts_with(b"NOAUTH") || text.starts_with(b"WRONGPASS") {
        return error.remedy("put user and password into the target's URL: redis://user:password@host:port");
    }
    error
}
