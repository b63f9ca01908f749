//! A server process, and a client that speaks to it over a plain socket.

use busmark::target::System;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// What has not been answered within this will not be.
const WITHIN: Duration = Duration::from_secs(30);

const BUSMARK: &str = env!("CARGO_BIN_EXE_busmark");

/// A server process; it ends with its owner.
pub(crate) struct Node {
    process: Child,
    pub(crate) address: SocketAddr,
    /// The engine's log; empty for others.
    log: PathBuf,
}

impl Node {
    /// The bundled engine over a directory, with further options, its log in `DIR.log`.
    pub(crate) fn engine(dir: &Path, options: &[&str]) -> Self {
        Self::engine_with(dir, options, &[])
    }

    /// The same with environment variables.
    pub(crate) fn engine_with(dir: &Path, options: &[&str], env: &[(&str, &Path)]) -> Self {
        let mut command = Command::new(BUSMARK);
        command.envs(env.iter().copied());
        Self::listening(command, dir, options)
    }

    /// The same with so many file descriptors at most.
    pub(crate) fn engine_limited(dir: &Path, descriptors: u32) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("ulimit -n {descriptors} && exec \"$0\" \"$@\""), BUSMARK]);
        Self::listening(command, dir, &[])
    }

    fn listening(mut command: Command, dir: &Path, options: &[&str]) -> Self {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log_of(dir)).unwrap();
        let mut process = command
            .args(["serve", "jetstream", "--listen", "127.0.0.1:0", "-sd"])
            .arg(dir)
            .args(options)
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let Some(address) = line.trim().strip_prefix("Listening on ") else {
            panic!("it does not listen: {}", std::fs::read_to_string(log_of(dir)).unwrap_or_default());
        };
        Self { address: address.parse().unwrap(), process, log: log_of(dir) }
    }

    /// A real nats-server over a directory; `None` if there is none here.
    pub(crate) fn nats_server(dir: &Path, sync: &str) -> Option<Self> {
        let binary = nats_server()?;
        // nats-server can't say which port it chose; one that was free a moment ago is likely still so.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = dir.with_extension("conf");
        std::fs::write(
            &config,
            format!(
                "listen: \"{address}\"\njetstream {{ store_dir: \"{}\", sync_interval: \"{sync}\" }}\n",
                dir.display()
            ),
        )
        .unwrap();
        let process = Command::new(binary)
            .arg("-c")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut node = Self { process, address, log: PathBuf::new() };
        let mut lines = BufReader::new(node.process.stderr.take().unwrap()).lines();
        assert!(lines.any(|line| line.unwrap().contains("Server is ready")), "nats-server does not start");
        // Its log is read on, or it would stand still once the pipe is full.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Some(node)
    }

    /// What it has said of damage.
    pub(crate) fn complaints(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        log.lines().filter(|line| !line.contains("Restored")).map(|line| format!("{line}\n")).collect()
    }

    /// SIGKILL, as `Child::kill` sends it.
    pub(crate) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Waits until it has ended by itself; whether it says that all was well.
    pub(crate) fn wait(&mut self) -> bool {
        self.process.wait().unwrap().success()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _gone_already = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Where the log of the engine over a directory is.
pub(crate) fn log_of(dir: &Path) -> PathBuf {
    let mut name = dir.as_os_str().to_owned();
    name.push(".log");
    name.into()
}

/// A real nats-server.
pub(crate) fn nats_server() -> Option<PathBuf> {
    busmark::target::find(System::Nats).map(|found| found.path)
}

/// A connection that reads messages whole.
pub(crate) struct Peer {
    stream: TcpStream,
    read: Vec<u8>,
    at: usize,
}

impl Peer {
    pub(crate) fn connect(node: &Node) -> Self {
        let stream = TcpStream::connect(node.address).unwrap();
        stream.set_read_timeout(Some(WITHIN)).unwrap();
        let mut peer = Self { stream, read: Vec::new(), at: 0 };
        peer.send("CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\nSUB in.* 1\r\n");
        peer
    }

    /// The same, if the server takes it in.
    pub(crate) fn try_connect(node: &Node) -> Option<Self> {
        let mut peer = Self::connect(node);
        peer.send("PING\r\n");
        let has = |peer: &Self, text: &str| String::from_utf8_lossy(&peer.read).contains(text);
        while !has(&peer, "PONG\r\n") && !has(&peer, "-ERR") {
            if !peer.fill() {
                return None;
            }
        }
        has(&peer, "PONG\r\n").then_some(peer)
    }

    /// Whether the socket took it.
    pub(crate) fn send(&mut self, text: &str) -> bool {
        self.stream.write_all(text.as_bytes()).is_ok()
    }

    pub(crate) fn publish(&mut self, subject: &str, reply: &str, body: &str) -> bool {
        self.send(&format!("PUB {subject} {reply} {}\r\n{body}\r\n", body.len()))
    }

    fn fill(&mut self) -> bool {
        self.read.drain(..self.at);
        self.at = 0;
        let mut buffer = [0; 65536];
        let count = self.stream.read(&mut buffer).unwrap_or(0);
        self.read.extend_from_slice(&buffer[..count]);
        count > 0
    }

    /// The next message, head and body; `None` at the end.
    pub(crate) fn message(&mut self) -> Option<(String, String)> {
        loop {
            let rest = &self.read[self.at..];
            if let Some(end) = rest.iter().position(|&byte| byte == b'\n') {
                let line = String::from_utf8_lossy(&rest[..end]).trim_end().to_owned();
                if !line.contains("MSG ") {
                    self.at += end + 1;
                    continue;
                }
                let size: usize = line.rsplit(' ').next()?.parse().ok()?;
                if rest.len() >= end + 1 + size + 2 {
                    let body = String::from_utf8_lossy(&rest[end + 1..end + 1 + size]).into_owned();
                    self.at += end + 1 + size + 2;
                    return Some((line, body));
                }
            }
            if !self.fill() {
                return None;
            }
        }
    }

    /// The answer to a request; `None` if the server is gone.
    pub(crate) fn try_ask(&mut self, subject: &str, body: &str) -> Option<String> {
        self.publish(subject, "in.x", body);
        loop {
            let (head, body) = self.message()?;
            if head.contains(" in.x ") {
                return Some(body);
            }
        }
    }

    /// The answer to a request.
    pub(crate) fn ask(&mut self, subject: &str, body: &str) -> String {
        self.try_ask(subject, body).unwrap_or_else(|| panic!("no answer to {subject}"))
    }

    /// The answer to a request of the API, which must not be an error.
    pub(crate) fn ask_json(&mut self, subject: &str, body: &str) -> serde_json::Value {
        let answer = self.ask(subject, body);
        let value: serde_json::Value = serde_json::from_str(&answer).unwrap();
        assert!(value.get("error").is_none(), "{subject}: {answer}");
        value
    }
}
