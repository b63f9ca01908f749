//! A plain connection of a wire client: the socket, what was read from it and not yet understood, and what is
//! to be written. Which protocol is spoken on it is none of its business.

use std::future::poll_fn;
use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;

use super::looks::{Looks, read_now};
use super::tls::Tls;
use super::{DriverError, ErrorKind};

/// Connecting, and each exchange that sets a connection up, may take this long.
pub(super) const SETUP_LIMIT: Duration = Duration::from_secs(10);
/// Bytes queued for the socket at most, unless a single frame is larger.
pub(super) const OUTPUT_BYTES: usize = 256 * 1024;
/// Bytes read at once at most, unless the scenario's frames are larger.
const READ_BYTES: usize = 64 * 1024;
/// Bytes that may be read and left for later while a connection is set up.
const SETUP_BYTES: usize = 64 * 1024 * 1024;
/// Room for what surrounds a payload: heads, and a topic's name.
const AROUND_PAYLOAD: usize = 1024;

/// Host and port, or the path of a socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// A host's name or address, and a port.
    Tcp(String, u16),
    /// A socket in the file system.
    Unix(PathBuf),
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tcp(host, port) => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

/// A socket with what was read from it and not yet understood.
#[derive(Debug)]
pub(super) struct Socket {
    driver: &'static str,
    stream: Stream,
    input: Vec<u8>,
    start: usize,
    end: usize,
    /// When it is read while it takes nothing; `None`: whenever something comes.
    looks: Option<Looks>,
}

#[derive(Debug)]
enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Socket {
    /// Connects, within [`SETUP_LIMIT`], encrypted where there is a `tls`. `payload_max`: the longest payload that
    /// will be read, in bytes.
    pub(super) async fn connect(
        driver: &'static str,
        place: &Place,
        tls: Option<&Tls>,
        payload_max: usize,
    ) -> Result<Self, DriverError> {
        let error = |what| DriverError::new(ErrorKind::Disconnected, driver, what);
        let stream = match timeout(SETUP_LIMIT, Stream::connect(place, tls)).await {
            Ok(Ok(stream)) => stream,
            Ok(Err(cause)) => return Err(error(format!("can't connect to {place}")).source(cause)),
            Err(_) => return Err(error(format!("no connection to {place} within {SETUP_LIMIT:?}"))),
        };
        let input = vec![0; READ_BYTES.max(payload_max + AROUND_PAYLOAD)];
        Ok(Self { driver, stream, input, start: 0, end: 0, looks: None })
    }

    /// For a publisher that needs no answers while the socket takes nothing: they are looked at a millisecond or
    /// two after they came then. [`Self::poll_read`] has them at once. Only over TCP; elsewhere nothing changes.
    pub(super) fn look_now_and_then(&mut self) {
        self.looks = matches!(self.stream, Stream::Tcp(_)).then(Looks::new);
    }

    /// Encrypts what was a plain connection so far, within [`SETUP_LIMIT`], for protocols that greet first.
    pub(super) async fn encrypt(self, place: &Place, tls: &Tls) -> Result<Self, DriverError> {
        let Self { driver, stream, input, start, end, .. } = self;
        let (Stream::Tcp(stream), Place::Tcp(host, _), true) = (stream, place, start == end) else {
            let what = "the connection can't be encrypted any more";
            return Err(DriverError::new(ErrorKind::Fatal, driver, what));
        };
        let error = |what| DriverError::new(ErrorKind::Disconnected, driver, what);
        match timeout(SETUP_LIMIT, tls.encrypt(host, stream)).await {
            Ok(Ok(stream)) => {
                let stream = Stream::Tls(Box::new(stream));
                Ok(Self { driver, stream, input, start: 0, end: 0, looks: None })
            }
            Ok(Err(cause)) => Err(error(format!("can't encrypt the connection to {place}")).source(cause)),
            Err(_) => Err(error(format!("no handshake with {place} within {SETUP_LIMIT:?}"))),
        }
    }

    /// Writes `output` while reading, and has `take` look at what is unread after each read until that says
    /// `true`. Only for setting up: within [`SETUP_LIMIT`].
    pub(super) async fn exchange(
        &mut self,
        output: &[u8],
        mut take: impl FnMut(&mut Self) -> Result<bool, DriverError>,
    ) -> Result<(), DriverError> {
        let driver = self.driver;
        let mut written = 0;
        let talk = poll_fn(|cx| {
            while written < output.len() {
                match self.poll_write(cx, &output[written..]) {
                    Poll::Ready(count) => written += count?,
                    Poll::Pending => break,
                }
            }
            if let Poll::Ready(pushed) = self.poll_push(cx) {
                pushed?;
            }
            while !take(self)? {
                self.grow();
                ready!(self.poll_read(cx))?;
            }
            Poll::Ready(Ok(()))
        });
        match timeout(SETUP_LIMIT, talk).await {
            Ok(result) => result,
            Err(_) => {
                let what = format!("no answer within {SETUP_LIMIT:?}");
                Err(DriverError::new(ErrorKind::Disconnected, driver, what))
            }
        }
    }

    /// Doubles a full read buffer, up to [`SETUP_BYTES`].
    fn grow(&mut self) {
        if self.start == 0 && self.end == self.input.len() && self.end < SETUP_BYTES {
            self.input.resize(2 * self.end, 0);
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
        self.make_room()?;
        if let (Some(looks), Stream::Tcp(stream)) = (&mut self.looks, &self.stream)
            && let Err(error) = looks.listen(stream)
        {
            return Poll::Ready(Err(self.lost(error)));
        }
        let mut room = ReadBuf::new(&mut self.input[self.end..]);
        let read = match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_read(cx, &mut room),
            Stream::Unix(stream) => Pin::new(stream).poll_read(cx, &mut room),
            Stream::Tls(stream) => Pin::new(stream).poll_read(cx, &mut room),
        };
        let count = room.filled().len();
        Poll::Ready(self.have_read(ready!(read).map(|()| count)))
    }

    /// The same while the socket takes nothing: `Ready` no sooner than the next look is due, where it is read now
    /// and then only.
    fn poll_look(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), DriverError>> {
        if let (Some(looks), Stream::Tcp(stream)) = (&mut self.looks, &self.stream) {
            ready!(looks.poll_due(cx, stream)).map_err(|error| self.lost(error))?;
            if let Some(read) = self.read_now() {
                return Poll::Ready(read);
            }
        }
        self.poll_read(cx)
    }

    /// Reads what has come, after an error: that is seen before tokio hears of the last bytes. `None` if there is
    /// nothing more.
    fn poll_rest(&mut self, cx: &mut Context<'_>) -> Option<Result<(), DriverError>> {
        if matches!(self.stream, Stream::Tcp(_)) {
            return self.read_now();
        }
        match self.poll_read(cx) {
            Poll::Ready(read) => Some(read),
            Poll::Pending => None,
        }
    }

    /// Reads what has come over TCP; `None` if that is nothing.
    fn read_now(&mut self) -> Option<Result<(), DriverError>> {
        if let Err(error) = self.make_room() {
            return Some(Err(error));
        }
        let Stream::Tcp(stream) = &self.stream else { return None };
        match read_now(stream, &mut self.input[self.end..]) {
            Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted) => {
                None
            }
            read => Some(self.have_read(read)),
        }
    }

    /// Moves what is unread to the front: at most one incomplete value, per read.
    fn make_room(&mut self) -> Result<(), DriverError> {
        if self.start > 0 {
            self.input.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        if self.end == self.input.len() {
            let what = "the server sends a value longer than any of this scenario";
            return Err(DriverError::new(ErrorKind::Fatal, self.driver, what));
        }
        Ok(())
    }

    fn have_read(&mut self, read: io::Result<usize>) -> Result<(), DriverError> {
        match read {
            Ok(0) => Err(self.closed()),
            Ok(count) => {
                self.end += count;
                Ok(())
            }
            Err(error) => Err(self.lost(error)),
        }
    }

    /// Writes once.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize, DriverError>> {
        let written = match &mut self.stream {
            Stream::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
            Stream::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        };
        Poll::Ready(match ready!(written) {
            Ok(0) => Err(self.closed()),
            Ok(count) => Ok(count),
            Err(error) => Err(self.lost(error)),
        })
    }

    /// Pushes out what encryption still holds back; without it there is nothing to push.
    pub(super) fn poll_push(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), DriverError>> {
        let Stream::Tls(stream) = &mut self.stream else { return Poll::Ready(Ok(())) };
        let pushed = ready!(Pin::new(stream).poll_flush(cx));
        Poll::Ready(pushed.map_err(|error| self.lost(error)))
    }

    /// The driver that it serves.
    pub(super) fn driver(&self) -> &'static str {
        self.driver
    }

    fn closed(&self) -> DriverError {
        DriverError::new(ErrorKind::Disconnected, self.driver, "the server closed the connection")
    }

    fn lost(&self, error: io::Error) -> DriverError {
        DriverError::new(ErrorKind::Disconnected, self.driver, "the connection broke").source(error)
    }
}

impl Stream {
    async fn connect(place: &Place, tls: Option<&Tls>) -> io::Result<Self> {
        match place {
            Place::Tcp(host, port) => {
                let stream = TcpStream::connect((host.as_str(), *port)).await?;
                stream.set_nodelay(true)?;
                match tls {
                    Some(tls) => Ok(Self::Tls(Box::new(tls.encrypt(host, stream).await?))),
                    None => Ok(Self::Tcp(stream)),
                }
            }
            Place::Unix(path) => Ok(Self::Unix(UnixStream::connect(path).await?)),
        }
    }
}

/// Frames on their way to the socket, and how far it has taken them.
#[derive(Debug, Default)]
pub(super) struct Output {
    bytes: Vec<u8>,
    /// Bytes of `bytes` that the socket has taken.
    written: usize,
}

impl Output {
    /// Where frames are appended.
    #[inline]
    pub(super) fn frames(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Bytes that the socket has not taken.
    #[inline]
    pub(super) fn waiting(&self) -> usize {
        self.bytes.len() - self.written
    }

    /// Whether `more` bytes fit below [`OUTPUT_BYTES`], or are to be taken since nothing else waits.
    #[inline]
    pub(super) fn has_room(&mut self, more: usize) -> bool {
        self.bytes.len() + more <= OUTPUT_BYTES || self.make_room(more)
    }

    /// Moves what was written out of the way; whether `more` bytes then fit.
    #[cold]
    fn make_room(&mut self, more: usize) -> bool {
        self.bytes.drain(..self.written);
        self.written = 0;
        self.bytes.is_empty() || self.bytes.len() + more <= OUTPUT_BYTES
    }

    /// Writes as much as the socket takes; `Ready` once that is all.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut Socket,
    ) -> Poll<Result<(), DriverError>> {
        while self.written < self.bytes.len() {
            self.written += ready!(socket.poll_write(cx, &self.bytes[self.written..]))?;
        }
        ready!(socket.poll_push(cx))?;
        self.bytes.clear();
        self.written = 0;
        Poll::Ready(Ok(()))
    }

    /// Writes all. While the socket takes nothing it is read (now and then, or whenever something comes), and
    /// `take` understands what came: a server that waits for its answers to be read and a client that waits for
    /// its frames to be taken would stop each other for ever. What was answered before a connection broke is
    /// still taken. What `take` adds to the output is written as well.
    pub(super) fn poll_flush(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut Socket,
        mut take: impl FnMut(&mut Socket, &mut Vec<u8>) -> Result<(), DriverError>,
    ) -> Poll<Result<(), DriverError>> {
        loop {
            match self.poll_write(cx, socket) {
                Poll::Ready(Ok(())) => return Poll::Ready(Ok(())),
                Poll::Ready(Err(error)) => {
                    while let Some(Ok(())) = socket.poll_rest(cx) {
                        take(socket, &mut self.bytes)?;
                    }
                    return Poll::Ready(Err(error));
                }
                Poll::Pending => {
                    ready!(socket.poll_look(cx))?;
                    take(socket, &mut self.bytes)?;
                }
            }
        }
    }
}
