//! A protocol inside WebSocket messages (RFC 6455): what clients in browsers speak. Messages have no meaning of their own;
//! their payloads, one after the other, are the bytes of the connection.

use super::stream::Stream;
use std::io::{self, IoSlice, Read, Write};
use tungstenite::handshake::derive_accept_key;
use tungstenite::protocol::{Role, WebSocketContext};
use tungstenite::{Bytes, Error, Message, error::ProtocolError};

/// Longest request that is read, in bytes.
const LONGEST: usize = 8 * 1024;
/// Headers of a request at most.
const HEADERS: usize = 64;
/// Payload of one message that is sent, at most.
const FRAME: usize = 64 * 1024;
const REFUSAL: &[u8] = b"HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n\
    Expected is a request to upgrade to WebSocket, version 13.\n";

/// How far a connection is.
#[derive(Debug)]
enum State {
    /// The request is not whole yet; these are its bytes.
    Asked(Vec<u8>),
    /// Messages go to and fro.
    Open(Box<WebSocketContext>),
}

/// A connection that speaks WebSocket.
#[derive(Debug)]
pub(super) struct WebSocketStream {
    below: Box<Stream>,
    state: State,
    /// What is left of the last message.
    payload: Bytes,
    /// What is to be sent once it is open.
    early: Vec<u8>,
    /// Whether a message has not gone out whole.
    pending: bool,
}

/// The stream below, as the library wants it.
struct Below<'a>(&'a mut Stream);

impl Read for Below<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.0.read(buf)
    }
}

impl Write for Below<'_> {
    fn write(&mut self, buf: &[u8]) -> io::Result<usize> {
        self.0.write(&[IoSlice::new(buf)])
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.push()
    }
}

/// What the library says, as a stream says it; `None` is the end.
fn told(error: Error) -> Option<io::Error> {
    match error {
        Error::Io(error) => Some(error),
        Error::ConnectionClosed
        | Error::AlreadyClosed
        | Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
        other => Some(io::Error::new(io::ErrorKind::InvalidData, other)),
    }
}

/// The answer to a request for WebSocket, and how long that is; `None` while it is not whole.
fn answer(request: &[u8]) -> Result<Option<(usize, String)>, ()> {
    let mut headers = [httparse::EMPTY_HEADER; HEADERS];
    let mut read = httparse::Request::new(&mut headers);
    let length = match read.parse(request).map_err(drop)? {
        httparse::Status::Complete(length) => length,
        httparse::Status::Partial if request.len() < LONGEST => return Ok(None),
        httparse::Status::Partial => return Err(()),
    };
    let header = |name: &str| {
        let found = read.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
        found.and_then(|header| std::str::from_utf8(header.value).ok()).unwrap_or_default()
    };
    let says =
        |name: &str, word: &str| header(name).split(',').any(|one| one.trim().eq_ignore_ascii_case(word));
    let key = header("sec-websocket-key");
    let right = read.method == Some("GET")
        && says("upgrade", "websocket")
        && says("connection", "upgrade")
        && header("sec-websocket-version") == "13"
        && !key.is_empty();
    let accepted = derive_accept_key(key.as_bytes());
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accepted}\r\n\r\n"
    );
    if right { Ok(Some((length, answer))) } else { Err(()) }
}

impl WebSocketStream {
    /// Expects a client's request on `below`.
    pub(super) fn new(below: Stream) -> Self {
        Self {
            below: Box::new(below),
            state: State::Asked(Vec::new()),
            payload: Bytes::new(),
            early: Vec::new(),
            pending: false,
        }
    }

    /// The connection below.
    pub(super) fn below(&self) -> &Stream {
        &self.below
    }

    /// The same, to be changed.
    pub(super) fn below_mut(&mut self) -> &mut Stream {
        &mut self.below
    }

    /// Whether the ends have not agreed yet.
    pub(super) fn is_handshaking(&self) -> bool {
        matches!(self.state, State::Asked(_)) || self.below.is_handshaking()
    }

    /// Whether there are bytes that the connection below did not take yet.
    pub(super) fn holds_back(&self) -> bool {
        self.pending || self.below.holds_back()
    }

    /// Reads the request as far as it is there, and answers it once it is whole.
    fn upgrade(&mut self) -> io::Result<()> {
        let State::Asked(request) = &mut self.state else { return Ok(()) };
        let mut some = [0; 2048];
        let (length, answer) = loop {
            let count = self.below.read(&mut some)?;
            if count == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            request.extend_from_slice(&some[..count]);
            match answer(request) {
                Ok(None) => {}
                Ok(Some(found)) => break found,
                Err(()) => {
                    // A new socket takes some hundred bytes.
                    let _ = self.below.write(&[IoSlice::new(REFUSAL)]);
                    return Err(io::Error::new(io::ErrorKind::InvalidData, "no request for WebSocket"));
                }
            }
        };
        let written = self.below.write(&[IoSlice::new(answer.as_bytes())])?;
        if written < answer.len() {
            return Err(io::ErrorKind::WriteZero.into());
        }
        let rest = request.split_off(length);
        let socket = WebSocketContext::from_partially_read(rest, Role::Server, None);
        self.state = State::Open(Box::new(socket));
        let early = std::mem::take(&mut self.early);
        if !early.is_empty() {
            self.send(early)?;
        }
        Ok(())
    }

    /// Reads payload; 0 is the end.
    pub(super) fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        self.upgrade()?;
        loop {
            if !self.payload.is_empty() {
                let count = self.payload.len().min(buf.len());
                buf[..count].copy_from_slice(&self.payload.split_to(count));
                return Ok(count);
            }
            let State::Open(socket) = &mut self.state else { return Err(io::ErrorKind::WouldBlock.into()) };
            match socket.read(&mut Below(&mut self.below)) {
                Ok(Message::Binary(bytes)) => self.payload = bytes,
                Ok(Message::Text(text)) => self.payload = text.into(),
                // What is to be answered is, sooner or later.
                Ok(_) => self.push()?,
                Err(error) => return told(error).map_or(Ok(0), Err),
            }
        }
    }

    /// Takes the slices as messages until the connection below is full: taking less than all says that it is, so that its
    /// readiness will be told.
    pub(super) fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.pending {
            self.push()?;
            if self.pending {
                return Err(io::ErrorKind::WouldBlock.into());
            }
        }
        let (mut message, mut taken) = (Vec::new(), 0);
        for piece in slices.iter().flat_map(|slice| slice.chunks(FRAME)) {
            if message.len() + piece.len() > FRAME {
                taken += message.len();
                self.send(std::mem::take(&mut message))?;
                if self.holds_back() {
                    return Ok(taken);
                }
            }
            message.extend_from_slice(piece);
        }
        taken += message.len();
        if !message.is_empty() {
            self.send(message)?;
        }
        Ok(taken)
    }

    fn send(&mut self, message: Vec<u8>) -> io::Result<()> {
        let State::Open(socket) = &mut self.state else {
            self.early.extend_from_slice(&message);
            return Ok(());
        };
        // A message that does not go out is kept by the library until it is pushed.
        let sent = socket.write(&mut Below(&mut self.below), Message::binary(message));
        self.note(sent)?;
        self.push()
    }

    /// Writes what is kept until there is nothing or the connection below is full.
    pub(super) fn push(&mut self) -> io::Result<()> {
        if let State::Open(socket) = &mut self.state {
            let flushed = socket.flush(&mut Below(&mut self.below));
            self.note(flushed)?;
        }
        self.below.push()
    }

    fn note(&mut self, done: Result<(), Error>) -> io::Result<()> {
        let error = match done {
            Ok(()) => None,
            Err(error) => Some(told(error).unwrap_or_else(|| io::ErrorKind::BrokenPipe.into())),
        };
        self.pending = error.as_ref().is_some_and(|error| error.kind() == io::ErrorKind::WouldBlock);
        error.filter(|_| !self.pending).map_or(Ok(()), Err)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ASKED: &str = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

    #[test]
    fn the_request_of_the_standard_gets_the_answer_of_the_standard() {
        let (length, text) = answer(ASKED.as_bytes()).unwrap().unwrap();
        assert_eq!(length, ASKED.len());
        assert!(text.contains("\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"), "{text}");
        assert_eq!(answer(&ASKED.as_bytes()[..ASKED.len() - 1]), Ok(None));
    }

    #[test]
    fn anything_else_is_refused() {
        for (from, to) in [
            ("GET", "POST"),
            ("Upgrade: websocket", "Upgrade: h2c"),
            ("keep-alive, Upgrade", "keep-alive"),
            ("Version: 13", "Version: 8"),
            ("Sec-WebSocket-Key", "X-Key"),
            ("HTTP/1.1", "FTP"),
        ] {
            assert_eq!(answer(ASKED.replacen(from, to, 1).as_bytes()), Err(()), "{to}");
        }
        let endless = format!("GET / HTTP/1.1\r\nX: {}", "x".repeat(LONGEST));
        assert_eq!(answer(endless.as_bytes()), Err(()));
        assert_eq!(answer(b"INFO {}\r\n"), Err(()));
    }
}
