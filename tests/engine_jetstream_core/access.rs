//! Accounts, users, keys, permissions and encryption of a configuration file. Each dialogue is held with the engine
//! and, where there is one, with a real nats-server over the same file: both have to say the same.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;
use nkeys::KeyPair;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::Peer;
use super::process::{alike, connect};

#[test]
fn users_may_do_what_their_permissions_say_and_are_told_what_they_may_not() {
    let config = r#"
        authorization {
            default_permissions: { publish: "open.>", subscribe: ["open.>", "_INBOX.>"] }
            users: [
                { user: plain, password: p }
                { user: narrow, password: p, permissions: {
                    publish: { allow: ["a.>", "b"], deny: ["a.secret.>"] }
                    subscribe: { allow: ["a.>", "group workers"], deny: "a.secret.*" } } }
                { user: all, password: p, permissions: { publish: ">", subscribe: ">" } }
            ]
        }"#;
    let said = alike(&|| config.to_owned(), |server| {
        let mut said = Vec::new();
        let mut all = server.login("all", "p");
        all.send("SUB > 1\r\n");
        all.settle();
        let mut narrow = server.login("narrow", "p");
        for line in [
            "PUB a.x 0\r\n\r\n",
            "PUB b 0\r\n\r\n",
            "PUB b.c 0\r\n\r\n",
            "PUB a.secret.x 0\r\n\r\n",
            "SUB a.secret.x 1\r\n",
            "SUB z 2\r\n",
            "SUB group 3\r\n",
            "SUB group other 4\r\n",
            "SUB group workers 5\r\n",
            "SUB a.* 6\r\n",
            "SUB a.> 7\r\n",
            "SUB z \"q\" 8\r\n",
        ] {
            narrow.send(line);
            said.push(format!("{line} -> {}", narrow.settle()));
        }
        all.send("PUB a.secret.x 1\r\nx\r\nPUB a.open 1\r\ny\r\nPUB group 1\r\nz\r\n");
        said.push(all.settle());
        // What is denied is kept back from a wider subscription.
        said.push(narrow.settle());
        let mut plain = server.login("plain", "p");
        plain.send("PUB open.x 0\r\n\r\nPUB a.x 0\r\n\r\nSUB a.x 1\r\n");
        said.push(plain.settle());
        for (user, password) in [("plain", "x"), ("nobody", "p"), ("", "")] {
            said.push(server.login(user, password).until_end());
        }
        said
    });
    let text = said.join("\n");
    assert!(text.contains("-ERR 'Permissions Violation for Publish to \"b.c\"'\r\n"), "{text}");
    assert!(
        text.contains("-ERR 'Permissions Violation for Subscription to \"group\" using queue \"other\"'"),
        "{text}"
    );
    assert!(text.ends_with("-ERR 'Authorization Violation'\r\n<closed>"), "{text}");
    assert!(!said[said.len() - 5].contains("secret"), "{text}");
}

#[test]
fn who_may_only_answer_answers_what_was_asked_and_as_often_as_allowed() {
    let config = r#"
        authorization { users: [
            { user: service, password: p, permissions: {
                subscribe: "q", allow_responses: { max: 2, expires: "1m" } } }
            { user: client, password: p }
        ] }"#;
    let said = alike(&|| config.to_owned(), |server| {
        let mut service = server.login("service", "p");
        service.send("SUB q 1\r\n");
        service.settle();
        let mut client = server.login("client", "p");
        client.send("SUB in.* 1\r\nPUB q in.1 1\r\n?\r\n");
        client.settle();
        let mut said = vec![service.settle()];
        service.send("PUB in.1 1\r\na\r\nPUB in.1 1\r\nb\r\nPUB in.1 1\r\nc\r\nPUB in.2 1\r\nd\r\n");
        said.push(service.settle());
        said.push(client.settle());
        said
    });
    assert_eq!(said[2], "MSG in.1 1 1\r\na\r\nMSG in.1 1 1\r\nb\r\n");
    assert!(
        said[1].contains("Publish to \"in.1\"") && said[1].contains("Publish to \"in.2\""),
        "{}",
        said[1]
    );
}

/// Asks for something, and gives the first line of the answer.
fn ask(peer: &mut Peer, subject: &str, body: &str) -> String {
    peer.send(&format!("PUB {subject} _INBOX.1 {}\r\n{body}\r\n", body.len()));
    let head = peer.line();
    let text = peer.line();
    if head.starts_with("HMSG") {
        // A status has an empty line of its own before its end.
        peer.line();
        peer.line();
    }
    text
}

#[test]
fn nothing_of_one_account_reaches_another() {
    let config = r#"
        jetstream { store_dir: "STORE" }
        no_auth_user: guest
        accounts {
            A { jetstream: { max_mem: 1M, max_file: 1M, max_streams: 1 }, users: [{user: a, password: p}] }
            B { jetstream: enabled, users: [{user: b, password: p}] }
            C { users: [{user: guest, password: p}] }
        }"#;
    let said = alike(&|| config.to_owned(), |server| {
        let mut said = Vec::new();
        let mut peers = [server.login("a", "p"), server.login("b", "p"), server.greet().0];
        peers[2].send(&connect(""));
        for peer in &mut peers {
            peer.send("SUB > 1\r\n");
            peer.settle();
        }
        for (number, peer) in peers.iter_mut().enumerate() {
            peer.send(&format!("PUB from.{number} 0\r\n\r\n"));
        }
        said.extend(peers.iter_mut().map(Peer::settle));
        let [a, b, c] = &mut peers;
        for peer in [&mut *a, &mut *b, &mut *c] {
            peer.send("UNSUB 1\r\nSUB _INBOX.* 2\r\n");
        }
        let stream =
            |name: &str| format!("{{\"name\":\"{name}\",\"subjects\":[\"s.>\"],\"storage\":\"file\"}}");
        // The same name and the same subjects in two accounts.
        for peer in [&mut *a, &mut *b] {
            let made = ask(peer, "$JS.API.STREAM.CREATE.S", &stream("S"));
            said.push(made.contains("\"did_create\":true").to_string());
        }
        said.push(ask(a, "s.x", "one"));
        said.push(ask(a, "s.x", "two"));
        said.push(ask(b, "s.x", "three"));
        let names: serde_json::Value = serde_json::from_str(&ask(a, "$JS.API.STREAM.NAMES", "")).unwrap();
        said.push(names.to_string());
        said.push(ask(a, "$JS.API.STREAM.CREATE.T", &stream("T").replace("s.>", "t.>")));
        let info: serde_json::Value = serde_json::from_str(&ask(a, "$JS.API.INFO", "")).unwrap();
        said.push(format!(
            "{} {} {}",
            info["streams"], info["limits"]["max_streams"], info["limits"]["max_memory"]
        ));
        // An account without streams is told that it has none.
        said.push(ask(c, "$JS.API.INFO", ""));
        said.push(ask(c, "s.x", "four"));
        said
    });
    assert_eq!(said[0], "MSG from.0 1 0\r\n\r\n");
    assert_eq!(
        &said[5..8],
        [
            "{\"stream\":\"S\", \"seq\":1}\r\n",
            "{\"stream\":\"S\", \"seq\":2}\r\n",
            "{\"stream\":\"S\", \"seq\":1}\r\n"
        ]
    );
    assert_eq!(said[10], "1 1 1000000");
    assert!(said[11].contains("\"err_code\":10039"), "{}", said[11]);
    assert_eq!(said[12], "NATS/1.0 503\r\n");
}

#[test]
fn a_key_signs_the_nonce_of_its_own_connection() {
    let key = KeyPair::new_user();
    let config = format!("authorization {{ users: [ {{ nkey: {} }} ] }}", key.public_key());
    let said = alike(&|| config.clone(), |server| {
        let mut said = Vec::new();
        let mut earlier = Vec::new();
        for attempt in 0..4 {
            let (mut peer, info) = server.greet();
            let nonce = info["nonce"].as_str().unwrap().to_owned();
            assert!(nonce.len() == 15 && !earlier.contains(&nonce), "{nonce}");
            let signed = if attempt == 1 { earlier[0].clone() } else { nonce.clone() };
            let signature = BASE64URL_NOPAD.encode(&key.sign(signed.as_bytes()).unwrap());
            let who = if attempt == 2 { KeyPair::new_user().public_key() } else { key.public_key() };
            let signature = if attempt == 3 { String::new() } else { signature };
            peer.send(&connect(&format!("\"nkey\":\"{who}\",\"sig\":\"{signature}\"")));
            if attempt == 0 {
                peer.send("PING\r\n");
            }
            said.push(if attempt == 0 { peer.line() } else { peer.until_end() });
            earlier.push(nonce);
        }
        said
    });
    let refused = "-ERR 'Authorization Violation'\r\n<closed>";
    assert_eq!(said, ["PONG\r\n", refused, refused, refused]);
}

/// A certificate for 127.0.0.1 that vouches for itself, and its key.
pub(super) fn certificate(dir: &Path) -> (PathBuf, PathBuf) {
    let (cert, key) = (dir.join("cert.pem"), dir.join("key.pem"));
    let made = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-days", "2", "-subj", "/CN=busmark", "-addext", "subjectAltName=IP:127.0.0.1"])
        .args(["-addext", "basicConstraints=critical,CA:FALSE", "-out"])
        .arg(&cert)
        .arg("-keyout")
        .arg(&key)
        .output()
        .expect("openssl is needed to make a certificate");
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    (cert, key)
}

/// Encrypts a connection to who shows this certificate, and shows it too if its key is given.
pub(super) fn secured(
    stream: TcpStream,
    cert: &Path,
    key: Option<&Path>,
) -> StreamOwned<ClientConnection, TcpStream> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(cert).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let builder = builder.unwrap().with_root_certificates(roots);
    let config = match key {
        Some(key) => {
            let chain = vec![CertificateDer::from_pem_file(cert).unwrap()];
            builder.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(key).unwrap()).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    let name = ServerName::try_from("127.0.0.1").unwrap();
    StreamOwned::new(ClientConnection::new(Arc::new(config), name).unwrap(), stream)
}

#[test]
fn an_encrypted_connection_carries_what_a_plain_one_does_and_a_plain_one_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = certificate(dir.path());
    for verify in [false, true] {
        let config = format!(
            "tls {{ cert_file: \"{}\", key_file: \"{}\", ca_file: \"{}\", verify: {verify}, timeout: 5 }}",
            cert.display(),
            key.display(),
            cert.display()
        );
        let said = alike(&|| config.clone(), |server| {
            let (peer, info) = server.greet();
            assert_eq!((&info["tls_required"], info["tls_verify"] == true), (&true.into(), verify));
            let mut said = Vec::new();
            let mut stream = secured(peer.stream, &cert, verify.then_some(&*key));
            // More than a record, a socket's buffer and a read take.
            let body = "x".repeat(900_000);
            write!(stream, "{}SUB big 1\r\nPUB big {}\r\n{body}\r\nPING\r\n", connect(""), body.len())
                .unwrap();
            let mut all = vec![0; format!("MSG big 1 {}\r\n\r\nPONG\r\n", body.len()).len() + body.len()];
            stream.read_exact(&mut all).unwrap();
            let text = String::from_utf8(all).unwrap();
            said.push(text.replace(&body, "BODY"));
            // Who goes on in plain is no client.
            let (mut plain, _) = server.greet();
            plain.send(&connect(""));
            plain.send("PING\r\n");
            said.push(plain.until_end_of_any_kind().to_string());
            said
        });
        assert_eq!(said, ["MSG big 1 900000\r\nBODY\r\nPONG\r\n", "true"]);
    }
}
