//! A server over a configuration file as a process of its own: the engine, and a real nats-server beside it.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::Peer;

/// A server over a configuration file, ended with its owner.
pub(crate) struct Process {
    child: Child,
    pub(crate) address: SocketAddr,
}

impl Process {
    pub(crate) fn start(mut command: Command, config: &Path) -> Self {
        // nats-server can't say which port it chose; one that was free a moment ago is likely still so.
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let port = address.port().to_string();
        command.args(["-a", "127.0.0.1", "-p", &port, "-c"]).arg(config);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = Vec::new();
        let ready = lines.by_ref().map_while(Result::ok).any(|line| {
            said.push(line);
            said[said.len() - 1].contains("Server is ready")
        });
        assert!(ready, "it does not start: {said:?}");
        // Its log is read on, or it would stand still once the pipe is full.
        std::thread::spawn(move || lines.map_while(Result::ok).for_each(drop));
        Self { child, address }
    }

    /// A connection, and what INFO says.
    pub(crate) fn greet(&self) -> (Peer, serde_json::Value) {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
        let mut peer = Peer { stream, read: Vec::new() };
        let info = peer.line();
        (peer, serde_json::from_str(info.strip_prefix("INFO ").unwrap()).unwrap())
    }

    /// A connection of a user.
    pub(crate) fn login(&self, user: &str, password: &str) -> Peer {
        let (mut peer, _) = self.greet();
        peer.send(&connect(&format!("\"user\":\"{user}\",\"pass\":\"{password}\"")));
        peer
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _gone_already = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(crate) fn connect(more: &str) -> String {
    let comma = if more.is_empty() { "" } else { "," };
    format!(
        "CONNECT {{\"verbose\":false,\"pedantic\":false,\"headers\":true,\"no_responders\":true{comma}{more}}}\r\n"
    )
}

/// Has the same dialogue with the engine and a real server, and gives what the engine said.
/// `config` is asked for each, since no two can have the same port.
pub(crate) fn alike(config: &dyn Fn() -> String, dialogue: impl Fn(&Process) -> Vec<String>) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let of = |name: &str, command: Command| {
        let file = dir.path().join(format!("{name}.conf"));
        let store = dir.path().join(name);
        std::fs::write(&file, config().replace("STORE", store.to_str().unwrap())).unwrap();
        dialogue(&Process::start(command, &file))
    };
    let mut engine = Command::new(env!("CARGO_BIN_EXE_busmark"));
    engine.args(["serve", "jetstream"]);
    let said = of("engine", engine);
    match busmark::target::find(busmark::target::System::Nats) {
        Some(found) => assert_eq!(said, of("real", Command::new(found.path)), "engine, then nats-server"),
        None => eprintln!("NOT RUN: the same with a real nats-server: there is none on PATH or in .brokers/"),
    }
    said
}
