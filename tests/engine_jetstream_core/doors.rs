//! Other ways in: tokens that an operator vouches for, encryption before the greeting, WebSocket. Each dialogue is held with
//! the engine and, where there is one, with a real nats-server: both have to say the same.

use std::cell::Cell;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use data_encoding::BASE64URL_NOPAD;
use nkeys::KeyPair;
use tungstenite::{Message, WebSocket};

use super::Peer;
use super::access::{certificate, secured};
use super::process::{Process, alike, connect};

const REFUSED: &str = "-ERR 'Authorization Violation'\r\n<closed>";

/// A token of this kind about `about` that `by` has signed; `said` is its own part.
fn token((by, about): (&KeyPair, &KeyPair), kind: &str, (exp, said): (u64, &str)) -> String {
    let head = BASE64URL_NOPAD.encode(br#"{"typ":"JWT","alg":"ed25519-nkey"}"#);
    let (iss, sub) = (by.public_key(), about.public_key());
    let exp = if exp > 0 { format!(",\"exp\":{exp}") } else { String::new() };
    let body = format!(
        r#"{{"jti":"x","iat":1000,"iss":"{iss}","sub":"{sub}","name":"n"{exp},"nats":{{"type":"{kind}","version":2{said}}}}}"#
    );
    let whole = format!("{head}.{}", BASE64URL_NOPAD.encode(body.as_bytes()));
    let signature = by.sign(whole.as_bytes()).unwrap();
    format!("{whole}.{}", BASE64URL_NOPAD.encode(&signature))
}

/// Shows a token, signs the nonce or something else, and asks for a PONG; what comes of it.
fn shown(server: &Process, user: &KeyPair, jwt: &str, signs: Option<&str>) -> (Peer, String) {
    let (mut peer, info) = server.greet();
    assert_eq!(info["auth_required"], true);
    let nonce = info["nonce"].as_str().unwrap().to_owned();
    let signature = BASE64URL_NOPAD.encode(&user.sign(signs.unwrap_or(&nonce).as_bytes()).unwrap());
    peer.send(&(connect(&format!("\"jwt\":\"{jwt}\",\"sig\":\"{signature}\"")) + "PING\r\n"));
    let line = peer.line();
    let said = if line == "PONG\r\n" { line } else { line + &peer.until_end() };
    (peer, said)
}

#[test]
fn whom_an_account_has_signed_comes_in_if_the_operator_has_signed_the_account() {
    let (operator, account, signer) =
        (KeyPair::new_operator(), KeyPair::new_account(), KeyPair::new_account());
    let (user, banned) = (KeyPair::new_user(), KeyPair::new_user());
    let signed = format!(
        r#","limits":{{"subs":-1,"data":-1,"payload":-1,"imports":-1,"exports":-1,"wildcards":true,"conn":-1,"leaf":-1}},
        "signing_keys":["{}"],"revocations":{{"{}":2000}}"#,
        signer.public_key(),
        banned.public_key()
    );
    let config = format!(
        "operator: {}\nresolver: MEMORY\nresolver_preload: {{ {}: {} }}\n",
        token((&operator, &operator), "operator", (0, "")),
        account.public_key(),
        token((&operator, &account), "account", (0, &signed)),
    );
    let free = r#","subs":-1,"data":-1,"payload":-1"#;
    let said = alike(&|| config.clone(), |server| {
        let of = |by: &KeyPair, who: &KeyPair, exp: u64, more: &str| {
            token((by, who), "user", (exp, &format!("{free}{more}")))
        };
        let mut said = Vec::new();
        let narrow = of(&account, &user, 0, r#","pub":{"allow":["a.>"]},"sub":{}"#);
        let (mut peer, first) = shown(server, &user, &narrow, None);
        said.push(first);
        peer.send("SUB a.> 1\r\nPUB b 0\r\n\r\nPUB a.x 2\r\nhi\r\n");
        said.push(peer.settle());
        let by_signer = of(&signer, &user, 0, &format!(r#","issuer_account":"{}""#, account.public_key()));
        let bearer = of(&account, &user, 0, r#","bearer_token":true"#);
        let foreign = of(&KeyPair::new_account(), &user, 0, "");
        for (who, jwt, signs) in [
            (&user, &by_signer, None),
            (&user, &bearer, Some("something else")),
            (&user, &narrow, Some("something else")),
            (&user, &foreign, None),
            (&user, &of(&account, &user, 1500, ""), None),
            (&banned, &of(&account, &banned, 0, ""), None),
            (&banned, &narrow, None),
        ] {
            said.push(shown(server, who, jwt, signs).1);
        }
        let now = busmark::clock::unix_nanos() / 1_000_000_000;
        let (mut short, first) = shown(server, &user, &of(&account, &user, now + 2, ""), None);
        said.push(first + &short.until_end());
        said
    });
    let permitted = "-ERR 'Permissions Violation for Publish to \"b\"'\r\nMSG a.x 1 2\r\nhi\r\n";
    assert_eq!(said[..4], ["PONG\r\n", permitted, "PONG\r\n", "PONG\r\n"]);
    assert!(said[4..9].iter().all(|one| one == REFUSED), "{said:#?}");
    assert_eq!(said[9], "PONG\r\n-ERR 'User Authentication Expired'\r\n<closed>");
}

#[test]
fn a_client_may_encrypt_before_it_is_greeted_where_that_is_so_configured() {
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = certificate(dir.path());
    for (first, plain_too) in [("true", false), ("auto", true), ("\"200ms\"", true)] {
        let (cert_file, key_file) = (cert.display(), key.display());
        let config = format!(
            "tls {{ cert_file: \"{cert_file}\", key_file: \"{key_file}\", timeout: 5, handshake_first: {first} }}"
        );
        let said = alike(&|| config.clone(), |server| {
            let mut said = vec![first_encrypted(TcpStream::connect(server.address).unwrap(), &cert)];
            if plain_too {
                let (peer, info) = server.greet();
                assert_eq!(info["tls_required"], true);
                let mut stream = secured(peer.stream, &cert, None);
                write!(stream, "{}PING\r\n", connect("")).unwrap();
                let mut pong = [0; 6];
                stream.read_exact(&mut pong).unwrap();
                said.push(String::from_utf8_lossy(&pong).into_owned());
            }
            said
        });
        assert_eq!(said[0], "INFO PONG\r\n", "{first}");
        assert_eq!(said.get(1).map(String::as_str), plain_too.then_some("PONG\r\n"), "{first}");
    }
}

/// Encrypts at once, and says hello in there.
fn first_encrypted(stream: TcpStream, cert: &std::path::Path) -> String {
    stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    let mut stream = secured(stream, cert, None);
    write!(stream, "{}PING\r\n", connect("")).unwrap();
    let mut read = Vec::new();
    while !read.ends_with(b"PONG\r\n") {
        let mut some = [0; 4096];
        let count = stream.read(&mut some).unwrap();
        assert!(count > 0, "closed after {:?}", String::from_utf8_lossy(&read));
        read.extend_from_slice(&some[..count]);
    }
    let text = String::from_utf8(read).unwrap();
    let (info, rest) = text.split_once("\r\n").unwrap();
    format!("{}{rest}", &info[..5])
}

#[test]
fn websocket_carries_what_a_plain_connection_does() {
    let dir = tempfile::tempdir().unwrap();
    let (cert, key) = certificate(dir.path());
    for encrypted in [false, true] {
        let door = Cell::new(0);
        let free = || {
            door.set(TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port());
            let tls = format!("tls {{ cert_file: \"{}\", key_file: \"{}\" }}", cert.display(), key.display());
            let how = if encrypted { tls } else { "no_tls: true".to_owned() };
            format!("websocket {{ listen: \"127.0.0.1:{}\", {how} }}\n", door.get())
        };
        let said = alike(&free, |_| {
            let stream = || {
                let stream = TcpStream::connect(("127.0.0.1", door.get())).unwrap();
                stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
                stream
            };
            if encrypted {
                return talk(secured(stream(), &cert, None), "wss://127.0.0.1/");
            }
            let mut said = talk(stream(), "ws://127.0.0.1/");
            let mut plain = stream();
            plain.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
            let mut answer = [0; 12];
            plain.read_exact(&mut answer).unwrap();
            said.push(String::from_utf8_lossy(&answer).into_owned());
            said
        });
        let talked = ["INFO ", "PONG\r\n", "MSG big 1 300000\r\nBODY\r\nPONG\r\n", "pong: you?"];
        assert_eq!(said[..4], talked, "encrypted: {encrypted}");
        assert_eq!(said.get(4).map(String::as_str), (!encrypted).then_some("HTTP/1.1 400"));
    }
}

fn talk<S: Read + Write + std::fmt::Debug>(stream: S, url: &str) -> Vec<String> {
    let (mut socket, _) = tungstenite::client(url, stream).unwrap();
    let info = socket.read().unwrap().into_data();
    let mut said = vec![String::from_utf8_lossy(&info[..5]).into_owned()];
    socket.send(Message::binary(connect("").into_bytes())).unwrap();
    socket.send(Message::binary("PING\r\n")).unwrap();
    said.push(heard(&mut socket, "PONG\r\n"));
    // An operation may be spread over messages as it likes.
    let body = "x".repeat(300_000);
    let whole = format!("SUB big 1\r\nPUB big {}\r\n{body}\r\nPING\r\n", body.len());
    let (one, other) = whole.split_at(100_000);
    socket.send(Message::binary(one.as_bytes().to_vec())).unwrap();
    socket.send(Message::binary(other.as_bytes().to_vec())).unwrap();
    said.push(heard(&mut socket, "PONG\r\n").replace(&body, "BODY"));
    socket.send(Message::Ping("you?".into())).unwrap();
    match socket.read().unwrap() {
        Message::Pong(bytes) => said.push(format!("pong: {}", String::from_utf8_lossy(&bytes))),
        other => panic!("{other:?}"),
    }
    said
}

/// What comes until it ends so.
fn heard<S: Read + Write>(socket: &mut WebSocket<S>, end: &str) -> String {
    let mut text = String::new();
    while !text.ends_with(end) {
        text += std::str::from_utf8(&socket.read().unwrap().into_data()).unwrap();
    }
    text
}
