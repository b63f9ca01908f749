//! Watching the server over HTTP: visitors ask, are answered with JSON, and go.

mod pages;
mod request;

pub(super) use request::{Refusal, Request};

use crate::clock::Nanos;
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use slab::Slab;
use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::net::SocketAddr;

/// The listener's token.
pub(super) const WATCH: Token = Token(usize::MAX - 2);
/// Tokens from here on are visitors'; clients are below.
const VISITORS: usize = 1 << 40;
/// Visitors at a time; more are sent away.
const MOST: usize = 64;
/// How long a visitor may stay, in nanoseconds.
const STAY: Nanos = 10_000_000_000;

/// Somebody who watches.
#[derive(Debug)]
struct Visitor {
    stream: TcpStream,
    since: Nanos,
    asked: Vec<u8>,
    answer: Vec<u8>,
    written: usize,
}

/// The door for visitors, and what they asked for.
#[derive(Debug)]
pub(super) struct Watch {
    listener: TcpListener,
    visitors: Slab<Visitor>,
    pub(super) address: SocketAddr,
    /// How often each path was asked for.
    pub(super) requests: BTreeMap<String, u64>,
    /// Processor time and when it was looked at, in nanoseconds: for the share since the last look.
    pub(super) used: (u64, Nanos),
    /// When the server started, in nanoseconds since 1970.
    pub(super) started: u64,
}

/// An answer.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: &'static str,
    pub(super) kind: &'static str,
    pub(super) body: String,
}

impl Answer {
    /// A page that is there, as JSON.
    pub(super) fn json(page: &serde_json::Value) -> Self {
        let body = serde_json::to_string_pretty(page).unwrap_or_default();
        Self { status: "200 OK", kind: "application/json", body }
    }

    fn text(status: &'static str, body: impl Into<String>) -> Self {
        Self { status, kind: "text/plain; charset=utf-8", body: body.into() }
    }

    /// There is no such page.
    pub(super) fn nothing() -> Self {
        Self::text("404 Not Found", "404 page not found\n")
    }

    fn refusal(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Malformed => Self::text("400 Bad Request", "400 Bad Request"),
            Refusal::Method => Self::text("405 Method Not Allowed", "method not allowed\n"),
            Refusal::Parameter(why) => Self::text("400 Bad Request", why),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        let Self { status, kind, body } = self;
        let length = body.len();
        let head = format!(
            "HTTP/1.1 {status}\r\nAccess-Control-Allow-Origin: *\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n"
        );
        [head.as_bytes(), body.as_bytes()].concat()
    }
}

impl Watch {
    /// Opens the door.
    ///
    /// # Errors
    /// The port can't be had.
    pub(super) fn open(at: SocketAddr, registry: &Registry, started: u64) -> io::Result<Self> {
        let mut listener = TcpListener::bind(at)?;
        registry.register(&mut listener, WATCH, Interest::READABLE)?;
        let address = listener.local_addr()?;
        let requests = BTreeMap::new();
        Ok(Self { listener, visitors: Slab::new(), address, requests, used: (0, 0), started })
    }

    /// Whether an event is a visitor's.
    pub(super) fn is_its(token: Token) -> bool {
        token == WATCH || (VISITORS..WATCH.0).contains(&token.0)
    }

    /// Lets in who waits at the door.
    pub(super) fn accept(&mut self, registry: &Registry, now: Nanos) {
        while let Ok((mut stream, _)) = self.listener.accept() {
            if self.visitors.len() >= MOST {
                continue;
            }
            let entry = self.visitors.vacant_entry();
            let token = Token(VISITORS + entry.key());
            // Who can't be listened to is sent away.
            if registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE).is_ok() {
                let (asked, answer) = (Vec::new(), Vec::new());
                entry.insert(Visitor { stream, since: now, asked, answer, written: 0 });
            }
        }
    }

    /// Reads what a visitor asks; gives the request once it is whole.
    pub(super) fn read(&mut self, token: Token) -> Option<Result<Request, Refusal>> {
        let key = token.0 - VISITORS;
        let visitor = self.visitors.get_mut(key)?;
        if !visitor.answer.is_empty() {
            return None;
        }
        let mut buffer = [0; 4096];
        loop {
            match visitor.stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(count) => {
                    visitor.asked.extend_from_slice(&buffer[..count]);
                    if let Some(request) = Request::parse(&visitor.asked) {
                        return Some(request);
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        self.visitors.remove(key);
        None
    }

    /// Gives a visitor the answer, or more of it if there is none new.
    pub(super) fn answer(&mut self, token: Token, answer: Option<&Answer>) {
        let key = token.0 - VISITORS;
        let Some(visitor) = self.visitors.get_mut(key) else { return };
        if let Some(answer) = answer {
            visitor.answer = answer.bytes();
        }
        while visitor.written < visitor.answer.len() {
            match visitor.stream.write(&visitor.answer[visitor.written..]) {
                Ok(count) => visitor.written += count,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        if !visitor.answer.is_empty() {
            self.visitors.remove(key);
        }
    }

    /// Sends those away who stay too long.
    pub(super) fn tidy(&mut self, now: Nanos) {
        self.visitors.retain(|_, visitor| now.saturating_sub(visitor.since) < STAY);
    }
}
