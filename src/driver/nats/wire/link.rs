//! One connection: the exchange that sets it up, and what the server says besides messages.

use std::task::{Context, Poll, ready};

use serde::Deserialize;

use super::super::address::{Address, Introduction};
use crate::driver::socket::{Output, Place, Socket};
use crate::driver::{DriverError, ErrorKind};
use crate::scenario::{Subscription, Topology};
use crate::wire::nats::{self, ConnectOptions, Message, Parsed, ServerOp, append_connect, parse_server};

const PING: &[u8] = b"PING\r\n";
const PONG: &[u8] = b"PONG\r\n";

/// How the server's complaints about what a user may not do begin; the connection stays, and whatever it was
/// will never happen.
const FORBIDDEN: &[u8] = b"Permissions Violation";

/// A socket to a NATS server, and what is to be written to it.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) socket: Socket,
    pub(super) output: Output,
    pub(super) talk: Talk,
    /// Where answers can be sent, unlike that of any other connection.
    pub(super) inbox: String,
    /// The output holds what nobody flushes: an answer to PING, a pull request.
    owed: bool,
    /// What came while the connection was set up is still in the read buffer.
    unseen: bool,
}

/// What the server has said about the connection itself.
#[derive(Debug)]
pub(super) struct Talk {
    driver: &'static str,
    max_payload: usize,
    /// The server's last complaint, which is often the reason of a disconnect.
    reason: Option<String>,
    /// It is over.
    broken: bool,
    ponged: bool,
}

/// What matters of INFO.
#[derive(Deserialize)]
struct Info {
    max_payload: usize,
    #[serde(default)]
    server_id: String,
    #[serde(default)]
    client_id: u64,
    #[serde(default)]
    tls_required: bool,
    #[serde(default)]
    tls_available: bool,
    /// What a key is asked to sign.
    #[serde(default)]
    nonce: String,
}

impl Link {
    /// Connects, authenticates, and makes sure that a NATS server answers. Of several servers each is tried once,
    /// beginning with the one that is this connection's turn. `payload_max`: the longest payload that will be
    /// read, in bytes.
    pub(super) async fn open(
        address: &Address,
        connection: u32,
        payload_max: usize,
    ) -> Result<Self, DriverError> {
        let mut last = None;
        for place in address.places(connection) {
            match Self::open_at(address, &place, payload_max).await {
                Err(error) if error.kind == ErrorKind::Disconnected => last = Some(error),
                other => return other,
            }
        }
        let nobody = || DriverError::new(ErrorKind::Fatal, address.driver, "there is no server");
        Err(last.unwrap_or_else(nobody))
    }

    async fn open_at(address: &Address, place: &Place, payload_max: usize) -> Result<Self, DriverError> {
        let driver = address.driver;
        let mut socket = Socket::connect(driver, place, None, payload_max).await?;
        let mut talk =
            Talk { driver, max_payload: nats::MAX_PAYLOAD, reason: None, broken: false, ponged: false };
        let mut info: Option<Info> = None;
        let greeted = socket.exchange(b"", |socket| {
            let Parsed::Whole(op, length) = parse_server(socket.unread()).map_err(|e| talk.nonsense(e))?
            else {
                return Ok(false);
            };
            let ServerOp::Info(json) = op else { return Err(talk.no_nats()) };
            info = Some(serde_json::from_slice(json).map_err(|_| talk.no_nats())?);
            socket.consume(length);
            Ok(true)
        });
        greeted.await?;
        let Some(info) = info else { return Err(talk.no_nats()) };
        if info.tls_required || (address.wants_tls() && info.tls_available) {
            socket = socket.encrypt(place, address.tls()?).await?;
        } else if address.wants_tls() {
            return Err(talk
                .fatal("the server does not speak TLS")
                .remedy("write nats:// instead of tls://"));
        }
        talk.max_payload = info.max_payload;
        let inbox = inbox(&info);
        let output = Output::default();
        let mut link = Self { socket, output, talk, inbox, owed: false, unseen: true };
        let mut hello = Vec::new();
        append_connect(&mut hello, &options(address.introduction(&info.nonce)?));
        link.settle(hello).await?;
        Ok(link)
    }

    /// Writes `commands` and a PING, and returns once the server has handled them all: it handles a
    /// connection's lines in order. Messages that come meanwhile stay in the read buffer.
    pub(super) async fn settle(&mut self, mut commands: Vec<u8>) -> Result<(), DriverError> {
        commands.extend_from_slice(PING);
        let Self { socket, output, talk, .. } = self;
        talk.ponged = false;
        let (mut heard, mut messages) = (0, false);
        let settled = socket.exchange(&commands, |socket| {
            while let Some((message, length)) = talk.next(&socket.unread()[heard..], output.frames())? {
                heard += length;
                messages |= message.is_some();
                if talk.ponged {
                    return Ok(true);
                }
            }
            Ok(false)
        });
        let settled = settled.await;
        // A server that asked meanwhile whether we are there is answered with the next write.
        self.owed = true;
        settled.map_err(|error| self.talk.why(error))?;
        if !messages {
            self.socket.consume(heard);
        }
        self.unseen = !self.socket.unread().is_empty();
        Ok(())
    }

    /// Appends to what is written as soon as the socket takes it.
    pub(super) fn owe(&mut self, frames: impl FnOnce(&mut Vec<u8>)) {
        frames(self.output.frames());
        self.owed = true;
    }

    /// Writes what is owed as far as the socket takes it, and reads once.
    pub(super) fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), DriverError>> {
        if self.owed
            && let Poll::Ready(written) = self.output.poll_write(cx, &mut self.socket)
        {
            self.owed = false;
            if let Err(error) = written {
                // What the server still said before it closed is worth more than that it closed.
                let more = matches!(self.socket.poll_read(cx), Poll::Ready(Ok(())));
                return Poll::Ready(if more { Ok(()) } else { Err(self.talk.why(error)) });
            }
        }
        if std::mem::take(&mut self.unseen) {
            return Poll::Ready(Ok(()));
        }
        let read = ready!(self.socket.poll_read(cx));
        Poll::Ready(read.map_err(|error| self.talk.why(error)))
    }

    /// Writes what is owed as far as the socket takes it; waits only where more than `patience` bytes wait.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        patience: usize,
    ) -> Poll<Result<(), DriverError>> {
        match self.output.poll_write(cx, &mut self.socket) {
            Poll::Ready(written) => {
                self.owed = false;
                Poll::Ready(written.map_err(|error| self.talk.why(error)))
            }
            Poll::Pending if self.output.waiting() > patience => Poll::Pending,
            Poll::Pending => Poll::Ready(Ok(())),
        }
    }

    /// Waits until there is something to understand, then shows each whole message of it to `each`.
    pub(super) fn poll_messages(
        &mut self,
        cx: &mut Context<'_>,
        each: &mut impl FnMut(&Message<'_>, &mut Vec<u8>) -> Result<(), DriverError>,
    ) -> Poll<Result<(), DriverError>> {
        ready!(self.poll_read(cx))?;
        let Self { socket, output, talk, .. } = self;
        let before = output.waiting();
        while let Some((message, length)) = talk.next(socket.unread(), output.frames())? {
            if let Some(message) = message {
                each(&message, output.frames())?;
            }
            socket.consume(length);
        }
        self.owed |= self.output.waiting() > before;
        Poll::Ready(Ok(()))
    }
}

impl Talk {
    /// The message that `unread` begins with, or nothing where the server said something else, which is dealt
    /// with here; and the length of either. `None`: not whole yet.
    #[inline]
    pub(super) fn next<'a>(
        &mut self,
        unread: &'a [u8],
        output: &mut Vec<u8>,
    ) -> Result<Option<(Option<Message<'a>>, usize)>, DriverError> {
        if unread.is_empty() {
            return Ok(None);
        }
        match parse_server(unread) {
            Ok(Parsed::Whole(ServerOp::Message(message), length)) => Ok(Some((Some(message), length))),
            Ok(Parsed::Whole(op, length)) => {
                self.hear(op, output)?;
                Ok(Some((None, length)))
            }
            Ok(Parsed::Partial(_)) => Ok(None),
            Err(error) => Err(self.nonsense(error)),
        }
    }

    #[cold]
    fn hear(&mut self, op: ServerOp<'_>, output: &mut Vec<u8>) -> Result<(), DriverError> {
        match op {
            ServerOp::Ping => output.extend_from_slice(PONG),
            ServerOp::Pong => self.ponged = true,
            ServerOp::Error(text) => {
                let words = String::from_utf8_lossy(text).into_owned();
                if text.starts_with(FORBIDDEN) {
                    return Err(self.fatal(format!("the server refuses: {words}")));
                }
                self.reason = Some(words);
            }
            ServerOp::Info(_) | ServerOp::Ok | ServerOp::Message(_) => {}
        }
        Ok(())
    }

    /// Whether the server takes a message of this length.
    #[inline]
    pub(super) fn check_length(&self, length: usize) -> Result<(), DriverError> {
        if length <= self.max_payload {
            return Ok(());
        }
        let what = format!("a payload of {length} bytes is above the server's limit of {}", self.max_payload);
        Err(DriverError::new(ErrorKind::Rejected, self.driver, what).remedy("raise max_payload"))
    }

    /// Whether the connection still is one.
    #[inline]
    pub(super) fn check(&self) -> Result<(), DriverError> {
        if self.broken {
            return Err(DriverError::new(ErrorKind::Disconnected, self.driver, "the connection broke"));
        }
        Ok(())
    }

    /// The error for a broken connection, with the server's reason where it gave one.
    pub(super) fn why(&mut self, error: DriverError) -> DriverError {
        self.broken = true;
        match &self.reason {
            Some(reason) if error.kind == ErrorKind::Disconnected => {
                let refused = reason.starts_with("Authorization") || reason.starts_with("Authentication");
                let kind = if refused { ErrorKind::Fatal } else { ErrorKind::Disconnected };
                DriverError::new(kind, self.driver, format!("the server ended the connection: {reason}"))
            }
            _ => error,
        }
    }

    /// An error after which nothing useful can follow.
    pub(super) fn fatal(&self, what: impl Into<String>) -> DriverError {
        DriverError::new(ErrorKind::Fatal, self.driver, what)
    }

    fn no_nats(&self) -> DriverError {
        self.fatal("the server answers, but not as a NATS server does")
    }

    fn nonsense(&self, error: nats::ServerError) -> DriverError {
        self.fatal("the server sends what is no NATS").source(error)
    }
}

/// A server numbers its connections, and no other server has its id; the start of it tells servers apart.
fn inbox(info: &Info) -> String {
    let server: String = info.server_id.chars().filter(char::is_ascii_alphanumeric).take(12).collect();
    format!("_INBOX.{server}-{}", info.client_id)
}

/// Who we say we are.
fn options(introduction: Introduction) -> ConnectOptions {
    let Introduction { user, password, token, nkey, jwt, signature } = introduction;
    ConnectOptions {
        verbose: false,
        pedantic: false,
        echo: true,
        protocol: 1,
        headers: true,
        no_responders: true,
        user,
        pass: password,
        auth_token: token,
        nkey,
        jwt,
        sig: signature,
        name: "busmark".to_owned(),
        lang: "rust".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
    }
}

/// The number of the connection that serves these subscriptions.
pub(super) fn connection_of(subscriptions: &[Subscription], topology: &Topology) -> u32 {
    subscriptions.first().map_or(0, |first| first.subscriber % topology.subscriber_connections.max(1))
}
