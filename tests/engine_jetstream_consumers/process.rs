//! The engine as a process of its own, with a store that outlives it.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// A running server, ended with its owner.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
}

/// A connection of the wire.
pub(crate) struct Peer(BufReader<TcpStream>);

fn engine() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_busmark"));
    command.args(["serve", "jetstream"]);
    command
}

impl Process {
    /// Starts one on a free port, with its streams in `dir` and `more` in its configuration.
    pub(crate) fn start(dir: &Path, more: &str) -> Self {
        let config = dir.join("n.conf");
        let store = dir.join("store");
        std::fs::write(
            &config,
            format!("{more}\njetstream {{ store_dir: {:?} }}", store.display().to_string()),
        )
        .unwrap();
        let mut command = engine();
        command.args(["-a", "127.0.0.1", "-p", "-1", "-c"]).arg(&config);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address =
            line.trim().strip_prefix("Listening on ").expect("it says where it listens").parse().unwrap();
        Self { child, address }
    }

    /// Ends it as a power cut would, as far as a process can be.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Says something to it by its process id.
    pub(crate) fn order(&self, word: &str) {
        let order = format!("--signal={word}={}", self.child.id());
        assert!(engine().arg(order).status().unwrap().success());
    }

    /// Waits until it has ended by itself.
    pub(crate) fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap()
    }

    /// A connection that claims to speak a protocol.
    pub(crate) fn greet(&self, protocol: u8) -> Peer {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut peer = Peer(BufReader::new(stream));
        assert!(peer.line().unwrap().contains("\"jetstream\":true"));
        peer.send(&format!("CONNECT {{\"verbose\":false,\"protocol\":{protocol}}}\r\nPING\r\n"));
        assert_eq!(peer.line().as_deref(), Some("PONG"));
        peer
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Peer {
    /// What comes next; `None` when the server has closed the connection.
    pub(crate) fn line(&mut self) -> Option<String> {
        let mut line = Vec::new();
        loop {
            let mut byte = [0];
            match self.0.read(&mut byte) {
                Ok(0) => return None,
                Ok(_) if byte[0] == b'\n' => break,
                Ok(_) => line.push(byte[0]),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("nothing comes: {error}"),
            }
        }
        Some(String::from_utf8(line).unwrap().trim().to_owned())
    }

    pub(crate) fn send(&mut self, text: &str) {
        self.0.get_mut().write_all(text.as_bytes()).unwrap();
    }
}
