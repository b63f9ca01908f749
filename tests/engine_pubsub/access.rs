//! Who may come in and how: passwords, public addresses, IPv6, Unix sockets, TLS, and leaving.

use crate::node::Node;
use crate::support::{Conn, PATIENCE, Served};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};
use std::sync::Arc;

fn secret() -> Served {
    Served::engine_with(super::THREADS, &["--listen", "127.0.0.1:0"], &[("BUSMARK_PASSWORD", "secret")])
}

#[test]
fn without_the_password_nothing_is_done() {
    let server = secret();
    let mut conn = server.connect();
    assert_eq!(conn.ask("PING").text(), "NOAUTH Authentication required.");
    assert!(conn.ask("HELLO 3").text().starts_with("NOAUTH HELLO must be called with the client already"));
    let wrong = "WRONGPASS invalid username-password pair or user is disabled.";
    for attempt in ["AUTH wrong", "AUTH default secre", "AUTH other secret", "HELLO 2 AUTH default x"] {
        assert_eq!(conn.ask(attempt).text(), wrong, "{attempt}");
    }
    assert_eq!(conn.ask("AUTH secret").text(), "OK");
    assert_eq!(conn.ask("PING").text(), "PONG");
    assert_eq!(conn.ask("RESET").text(), "RESET");
    assert_eq!(conn.ask("PING").text(), "NOAUTH Authentication required.");
    assert!(matches!(conn.ask("HELLO 3 AUTH default secret"), Node::List(b'%', _)));
}

#[test]
fn before_authentication_only_small_commands_are_read() {
    let server = secret();
    for (bytes, text) in
        [("*11\r\n", "unauthenticated multibulk length"), ("*1\r\n$16385\r\n", "unauthenticated bulk length")]
    {
        let mut conn = server.connect();
        conn.raw(bytes.as_bytes());
        assert_eq!(conn.next().text(), format!("ERR Protocol error: {text}"));
        assert!(conn.closes());
    }
}

#[test]
fn the_password_may_come_from_a_file_and_the_user_may_have_a_name() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("password");
    std::fs::write(&file, "from-file\n").unwrap();
    let args = ["--listen", "127.0.0.1:0", "--user", "bench", "--password-file", file.to_str().unwrap()];
    let server = Served::engine_with(super::THREADS, &args, &[]);
    let mut conn = server.connect();
    assert!(conn.ask("AUTH from-file").text().starts_with("WRONGPASS"), "the default user is not this one");
    assert_eq!(conn.ask("AUTH bench from-file").text(), "OK");
    assert_eq!(conn.ask("ACL WHOAMI").text(), "bench");
}

#[test]
fn a_public_address_is_refused_without_a_password() {
    let out = Command::new(env!("CARGO_BIN_EXE_busmark"))
        .args(["serve", "pubsub", "--listen", "0.0.0.0:0"])
        .env_remove("BUSMARK_PASSWORD")
        .output()
        .unwrap();
    assert!(!out.status.success());
    assert!(out.stdout.is_empty());
    let text = String::from_utf8_lossy(&out.stderr);
    assert!(text.contains("refusing to listen on 0.0.0.0:0") && text.contains("BUSMARK_PASSWORD"), "{text}");
}

#[test]
fn ipv6_and_a_unix_socket_are_served_beside_ipv4_and_the_socket_file_goes_with_the_server() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("engine.sock");
    let unix = format!("unix:{}", path.display());
    let args = ["--listen", "127.0.0.1:0", "--listen", "[::1]:0", "--listen", &unix];
    let mut server = Served::engine_with(super::THREADS, &args, &[]);
    let places: Vec<&str> = server.line.trim().strip_prefix("Listening on ").unwrap().split(", ").collect();
    assert_eq!((places.len(), places[2]), (3, unix.as_str()));
    let mut subscriber = Conn::new(std::net::TcpStream::connect(places[1]).unwrap());
    subscriber.ask("SUBSCRIBE a");
    let mut publisher = UnixStream::connect(&path).unwrap();
    publisher.write_all(b"PUBLISH a hello\r\n").unwrap();
    let mut answer = [0; 4];
    publisher.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b":1\r\n");
    assert_eq!(subscriber.next().items()[2].text(), "hello");
    terminate(&server);
    assert!(server.child.wait().unwrap().success());
    assert!(!path.exists());
}

fn terminate(server: &Served) {
    let pid = server.child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
}

#[test]
fn sigterm_ends_it_cleanly_with_clients_connected() {
    let mut server = Served::engine(super::THREADS);
    let mut conn = server.connect();
    conn.ask("SUBSCRIBE a");
    terminate(&server);
    assert!(server.child.wait().unwrap().success());
    assert!(conn.closes());
}

#[test]
fn a_client_that_wants_no_answers_can_quit_too() {
    let server = Served::engine(super::THREADS);
    let mut conn = server.connect();
    conn.raw(b"CLIENT REPLY OFF\r\nQUIT\r\n");
    assert!(conn.closes());
}

#[test]
fn debug_sleep_answers_when_the_sleep_is_over_and_nobody_else_before() {
    let server = Served::engine(super::THREADS);
    let (mut sleeper, mut other) = (server.connect(), server.connect());
    other.ask("PING");
    let clock = busmark::clock::Clock::real();
    assert_eq!(sleeper.ask("DEBUG SLEEP 0.3").text(), "OK");
    assert!(clock.now() >= 300_000_000);
    assert_eq!(other.ask("PING").text(), "PONG");
}

/// A certificate for 127.0.0.1 that nobody vouches for, and its key; `None` without openssl.
fn certificate(dir: &std::path::Path) -> Option<(String, String)> {
    let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-days",
            "2",
        ])
        .args([
            "-subj",
            "/CN=busmark",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
            "-addext",
            "basicConstraints=CA:FALSE",
        ])
        .args(["-out", cert.to_str()?, "-keyout", key.to_str()?])
        .stderr(Stdio::null())
        .status();
    if !made.is_ok_and(|status| status.success()) {
        assert!(std::env::var_os("CI").is_none(), "openssl is needed to make a certificate");
        eprintln!("NOT RUN: TLS, for want of the openssl command");
        return None;
    }
    Some((cert.to_str()?.to_owned(), key.to_str()?.to_owned()))
}

#[test]
fn tls_carries_the_same_dialogue_and_large_messages() {
    use rustls::pki_types::pem::PemObject;
    use rustls::pki_types::{CertificateDer, ServerName};
    let dir = tempfile::tempdir().unwrap();
    let Some((cert, key)) = certificate(dir.path()) else { return };
    let args = ["--listen", "tls:127.0.0.1:0", "--tls-cert", &cert, "--tls-key", &key];
    let server = Served::engine_with(super::THREADS, &args, &[]);
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&cert).unwrap()).unwrap();
    let config =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
    let config = Arc::new(config);
    let open = || {
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let tls = rustls::ClientConnection::new(Arc::clone(&config), name).unwrap();
        let socket = std::net::TcpStream::connect(server.address).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        rustls::StreamOwned::new(tls, socket)
    };
    let (mut subscriber, mut publisher) = (open(), open());
    subscriber.write_all(b"SUBSCRIBE a\r\n").unwrap();
    let mut confirmed = [0; 30];
    subscriber.read_exact(&mut confirmed).unwrap();
    let payload = vec![b'x'; 3 << 20];
    let mut frame = format!("*3\r\n$7\r\nPUBLISH\r\n$1\r\na\r\n${}\r\n", payload.len()).into_bytes();
    frame.extend_from_slice(&payload);
    frame.extend_from_slice(b"\r\n");
    publisher.write_all(&frame).unwrap();
    frame[8..15].copy_from_slice(b"message");
    let mut got = vec![0; frame.len()];
    subscriber.read_exact(&mut got).unwrap();
    assert!(got == frame, "the message arrived changed");
    // Somebody who speaks no TLS is let go.
    let mut plain = Conn::new(std::net::TcpStream::connect(server.address).unwrap());
    plain.raw(b"PING\r\n");
    let mut rest = Vec::new();
    let _ = plain.stream.read_to_end(&mut rest);
    assert!(!rest.starts_with(b"+PONG"));
}
