//! Servers and connections for the tests.

use super::node::Node;
use busmark::target::{self, System};
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Longest wait for anything; reached only when something is wrong.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A server process, ended with this value.
pub(crate) struct Served {
    pub(crate) child: Child,
    pub(crate) address: SocketAddr,
    /// What it said on stdout when it was ready.
    pub(crate) line: String,
}

impl Served {
    /// The bundled engine with so many event loops, on a port of its own.
    pub(crate) fn engine(threads: &str) -> Self {
        Self::engine_with(threads, &["--listen", "127.0.0.1:0"], &[])
    }

    /// The bundled engine with these arguments and environment variables.
    pub(crate) fn engine_with(threads: &str, args: &[&str], variables: &[(&str, &str)]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_busmark"));
        command.args(["serve", "pubsub", "--threads", threads]).args(args).env_remove("BUSMARK_PASSWORD");
        command.envs(variables.iter().copied()).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let place =
            line.trim().strip_prefix("Listening on ").unwrap_or_else(|| panic!("not ready: {line:?}"));
        let first = place.split(", ").next().unwrap().trim_start_matches("tls:");
        let address = first.parse().unwrap_or_else(|_| "127.0.0.1:0".parse().unwrap());
        Self { child, address, line }
    }

    /// The real redis-server, if there is one. Without one a test can't say anything: it fails in CI, and
    /// says so elsewhere.
    pub(crate) fn redis(test: &str) -> Option<Self> {
        let Some(found) = target::discover().into_iter().find(|found| found.system == System::Redis) else {
            assert!(std::env::var_os("CI").is_none(), "{test}: no redis-server on PATH or in .brokers/");
            eprintln!("NOT RUN: {test}: no redis-server on PATH or in .brokers/ (busmark brokers fetch)");
            return None;
        };
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
        let args = ["--port", &port, "--save", "", "--appendonly", "no", "--bind", "127.0.0.1"];
        let mut child = Command::new(&found.path).args(args).stdout(Stdio::piped()).spawn().unwrap();
        let mut out = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while !line.contains("Ready to accept connections") {
            line.clear();
            assert!(out.read_line(&mut line).unwrap() > 0, "redis-server ended while it was starting");
        }
        std::thread::spawn(move || std::io::copy(&mut out, &mut std::io::sink()));
        Some(Self { child, address: format!("127.0.0.1:{port}").parse().unwrap(), line })
    }

    /// A connection to it.
    pub(crate) fn connect(&self) -> Conn {
        Conn::new(TcpStream::connect(self.address).unwrap())
    }

    /// Resident memory in bytes.
    pub(crate) fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() * 1024
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection whose replies are read one by one.
pub(crate) struct Conn {
    pub(crate) stream: TcpStream,
    buf: Vec<u8>,
    /// Bytes of `buf` that were given out.
    used: usize,
    tokens: u32,
}

impl Conn {
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        stream.set_nodelay(true).unwrap();
        Self { stream, buf: Vec::new(), used: 0, tokens: 0 }
    }

    /// Sends bytes as they are.
    pub(crate) fn raw(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// Sends a command.
    pub(crate) fn send(&mut self, args: &[&str]) {
        self.raw(&command(args));
    }

    /// Sends an inline command and gives the reply to it.
    pub(crate) fn ask(&mut self, line: &str) -> Node {
        self.raw(format!("{line}\r\n").as_bytes());
        self.next()
    }

    /// The next value; panics when the connection ends before.
    pub(crate) fn next(&mut self) -> Node {
        self.try_next().expect("the server closed the connection")
    }

    /// The next value, or `None` at the end of the connection.
    pub(crate) fn try_next(&mut self) -> Option<Node> {
        loop {
            let rest = &self.buf[self.used..];
            if !rest.is_empty()
                && let Some((node, length)) = Node::parse(rest)
            {
                self.used += length;
                return Some(node);
            }
            self.buf.drain(..self.used);
            self.used = 0;
            let start = self.buf.len();
            self.buf.resize(start + 4096.max(start), 0);
            let taken = self.stream.read(&mut self.buf[start..]);
            self.buf.truncate(start + taken.as_ref().map_or(0, |taken| *taken));
            match taken {
                Ok(0) => return None,
                Ok(_) => {}
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("no answer: {error}; so far {:?}", self.buf.escape_ascii().to_string()),
            }
        }
    }

    /// All that came before now: sends a PING with a word of its own and reads up to its answer.
    pub(crate) fn drain(&mut self) -> Vec<Node> {
        self.tokens += 1;
        let token = format!("drained-{}", self.tokens);
        self.send(&["PING", &token]);
        let mut all = Vec::new();
        while let Some(node) = self.try_next() {
            let is_it = match &node {
                Node::Leaf(_, text) => text == token.as_bytes(),
                Node::List(_, items) => items.len() == 2 && items[1].text() == token,
            };
            if is_it {
                break;
            }
            all.push(node);
        }
        all
    }

    /// Whether the server closes, and says nothing before.
    pub(crate) fn closes(&mut self) -> bool {
        self.try_next().is_none()
    }
}

/// A command as clients send it.
pub(crate) fn command(args: &[&str]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        bytes.extend_from_slice(format!("${}\r\n{arg}\r\n", arg.len()).as_bytes());
    }
    bytes
}
