use super::*;
use crate::prng::Prng;
use proptest::prelude::*;

/// Everything that `buf` holds, as text, when it arrives in pieces of these sizes; the error ends it.
fn read_client(buf: &[u8], mut piece: impl FnMut() -> usize) -> Vec<String> {
    let limits = ClientLimits { max_control_line: 64, max_payload: 64 };
    let (mut seen, mut start, mut end) = (Vec::new(), 0, 0);
    loop {
        match parse_client(&buf[start..end], limits) {
            Ok(Parsed::Whole(op, length)) => {
                seen.push(format!("{op:?}"));
                start += length;
            }
            Ok(Parsed::Partial(needed)) => {
                assert!(needed > end - start, "wants what it has");
                if end == buf.len() {
                    return seen;
                }
                end = (end + piece().max(1)).min(buf.len());
            }
            Err(error) => {
                seen.push(format!("{error:?}"));
                return seen;
            }
        }
    }
}

fn read_server(buf: &[u8], mut piece: impl FnMut() -> usize) -> Vec<String> {
    let (mut seen, mut start, mut end) = (Vec::new(), 0, 0);
    loop {
        match parse_server(&buf[start..end]) {
            Ok(Parsed::Whole(op, length)) => {
                seen.push(format!("{op:?}"));
                start += length;
            }
            Ok(Parsed::Partial(_)) if end == buf.len() => return seen,
            Ok(Parsed::Partial(_)) => end = (end + piece().max(1)).min(buf.len()),
            Err(error) => {
                seen.push(format!("{error:?}"));
                return seen;
            }
        }
    }
}

fn one(text: &str) -> Result<Parsed<ClientOp<'_>>, ClientError> {
    parse_client(text.as_bytes(), ClientLimits::default())
}

fn publish<'a>(subject: &'a str, reply: &'a str, header_length: usize, body: &'a str) -> ClientOp<'a> {
    ClientOp::Publish(Publish {
        subject: subject.as_bytes(),
        reply: reply.as_bytes(),
        header_length,
        body: body.as_bytes(),
    })
}

#[test]
fn verbs_are_read_in_any_case_with_lf_only_and_any_spacing() {
    assert_eq!(one("pub a 2\nhi\r\n"), Ok(Parsed::Whole(publish("a", "", 0, "hi"), 12)));
    assert_eq!(one("PUB  a\tr  2 \r\nhi\r\nPI"), Ok(Parsed::Whole(publish("a", "r", 0, "hi"), 18)));
    let framed = "HPUB a r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n";
    assert_eq!(one(framed), Ok(Parsed::Whole(publish("a", "r", 12, "NATS/1.0\r\n\r\nhi"), framed.len())));
    assert_eq!(one("Ping\n"), Ok(Parsed::Whole(ClientOp::Ping, 5)));
    assert_eq!(one("PONG \r\n"), Ok(Parsed::Whole(ClientOp::Pong, 7)));
    assert_eq!(one("CONNECT {} \r\n"), Ok(Parsed::Whole(ClientOp::Connect(b"{}"), 13)));
    let subscribe = ClientOp::Subscribe { subject: b"a.>", queue: b"q", sid: b"9" };
    assert_eq!(one("sub a.> q 9\r\n"), Ok(Parsed::Whole(subscribe, 13)));
    assert_eq!(one("UNSUB 9 x\r\n"), Ok(Parsed::Whole(ClientOp::Unsubscribe { sid: b"9", max: 0 }, 11)));
}

#[test]
fn odd_input_ends_as_on_the_real_server() {
    let long = format!("SUB {} 1\r\n", "a".repeat(4100));
    let endless = format!("CONNECT {}", "a".repeat(4200));
    for (text, error) in [
        ("FOO", ClientError::UnknownOperation),
        ("F", ClientError::UnknownOperation),
        ("\r\n", ClientError::UnknownOperation),
        ("\0", ClientError::UnknownOperation),
        ("*1\r\n$4\r\nPING\r\n", ClientError::UnknownOperation),
        ("GET / HTTP/1.1\r\n", ClientError::UnknownOperation),
        ("PUBx 1\r\n", ClientError::UnknownOperation),
        ("PUB a 2\r\nhixx", ClientError::UnknownOperation),
        ("PUB a -1\r\n", ClientError::Arguments),
        ("PUB a xx\r\n", ClientError::Arguments),
        ("PUB a\r\n", ClientError::Arguments),
        ("PUB \r\n", ClientError::Arguments),
        ("PUB a 99999999999\r\n", ClientError::Arguments),
        ("PUB a b c 1\r\n", ClientError::Arguments),
        ("PUB a b c d e 1\r\n", ClientError::Arguments),
        ("SUB a\r\n", ClientError::Arguments),
        ("UNSUB \r\n", ClientError::Arguments),
        ("HPUB a 5 3\r\n", ClientError::Arguments),
        ("HPUB a 5\r\n", ClientError::Arguments),
        ("PUB a 1048577\r\n", ClientError::Payload),
        (&long, ClientError::ControlLine),
        (&endless, ClientError::ControlLine),
    ] {
        assert_eq!(one(text), Err(error), "{text:.40}");
    }
}

#[test]
fn a_partial_message_says_how_much_is_missing() {
    assert_eq!(one("PUB a 10\r\nabc"), Ok(Parsed::Partial(22)));
    assert_eq!(one("PUB a 10"), Ok(Parsed::Partial(9)));
    assert_eq!(one(""), Ok(Parsed::Partial(1)));
    assert_eq!(parse_server(b"MSG a 1 3\r\nab"), Ok(Parsed::Partial(16)));
}

#[test]
fn servers_words_are_read() {
    let framed = b"HMSG a 1 r 12 14\r\nNATS/1.0\r\n\r\nhi\r\n";
    let message =
        Message { subject: b"a", sid: b"1", reply: b"r", header_length: 12, body: b"NATS/1.0\r\n\r\nhi" };
    assert_eq!(parse_server(framed), Ok(Parsed::Whole(ServerOp::Message(message), framed.len())));
    assert_eq!(message.payload(), b"hi");
    assert_eq!(
        parse_server(b"-ERR 'Slow Consumer'\r\n"),
        Ok(Parsed::Whole(ServerOp::Error(b"Slow Consumer"), 22))
    );
    assert_eq!(parse_server(b"INFO {\"a\":1} \r\n"), Ok(Parsed::Whole(ServerOp::Info(b"{\"a\":1}"), 15)));
    assert_eq!(parse_server(b"HTTP/1.1"), Err(ServerError::UnknownOperation));
    assert_eq!(parse_server(b"MSG a 3\r\n"), Err(ServerError::Arguments));
}

#[test]
fn headers_are_found_by_their_exact_name() {
    let mut block = Vec::new();
    status_line(&mut block, 408, "Request Timeout");
    append_header(&mut block, "Nats-Pending-Messages", b"1");
    end_headers(&mut block);
    let headers = Headers(&block);
    assert_eq!(headers.status(), Some((408, &b"Request Timeout"[..])));
    assert_eq!(headers.get(b"Nats-Pending-Messages"), Some(&b"1"[..]));
    assert_eq!(headers.get(b"nats-pending-messages"), None);
    let mut plain = Vec::new();
    begin_headers(&mut plain);
    end_headers(&mut plain);
    assert_eq!((plain.as_slice(), Headers(&plain).status()), (&b"NATS/1.0\r\n\r\n"[..], None));
}

#[test]
fn connect_is_read_back_and_unknown_options_are_ignored() {
    let options =
        ConnectOptions { verbose: false, user: "u".into(), name: "n".into(), ..ConnectOptions::default() };
    let mut out = Vec::new();
    append_connect(&mut out, &options);
    let Ok(Parsed::Whole(ClientOp::Connect(json), _)) = parse_client(&out, ClientLimits::default()) else {
        panic!("no CONNECT")
    };
    assert_eq!(ConnectOptions::parse(json).unwrap(), options);
    let sparse = ConnectOptions::parse(br#"{"tls_required":false,"verbose":false,"user":null}"#).unwrap();
    assert!(sparse.echo && sparse.pedantic && !sparse.verbose);
}

/// A valid operation as bytes of both directions.
fn frames() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let name = "[a-z]{1,6}(\\.[a-z*]{1,4}){0,2}";
    let body = proptest::collection::vec(any::<u8>(), 0..40);
    (name, prop::option::of(name), body, 0usize..8).prop_map(|(subject, reply, body, kind)| {
        let (mut client, mut server) = (Vec::new(), Vec::new());
        let reply = reply.unwrap_or_default();
        let header_length = if kind == 1 { body.len() } else { 0 };
        let head =
            MessageHead { subject: subject.as_bytes(), sid: b"", reply: reply.as_bytes(), header_length };
        match kind {
            2 => append_subscribe(&mut client, subject.as_bytes(), reply.as_bytes(), b"1"),
            3 => append_unsubscribe(&mut client, b"1", body.len() as u64),
            4 => client.extend_from_slice(b"PING\r\n"),
            _ => append_publish(&mut client, head, &body),
        }
        match kind {
            2 => append_error(&mut server, &subject),
            3 => append_info(&mut server, b"{}"),
            4 => server.extend_from_slice(b"PONG\r\n"),
            _ => append_message(&mut server, MessageHead { sid: b"7", ..head }, &body),
        }
        (client, server)
    })
}

proptest! {
    #[test]
    fn any_split_of_a_stream_gives_the_same(all in proptest::collection::vec(frames(), 1..12), sizes in proptest::collection::vec(1usize..30, 1..20)) {
        let client: Vec<u8> = all.iter().flat_map(|(client, _)| client.clone()).collect();
        let server: Vec<u8> = all.iter().flat_map(|(_, server)| server.clone()).collect();
        let pieces = || { let mut sizes = sizes.iter().cycle(); move || *sizes.next().unwrap() };
        let whole = read_client(&client, || usize::MAX / 2);
        prop_assert_eq!(whole.len(), all.len());
        prop_assert_eq!(read_client(&client, pieces()), whole);
        let whole = read_server(&server, || usize::MAX / 2);
        prop_assert_eq!(whole.len(), all.len());
        prop_assert_eq!(read_server(&server, pieces()), whole);
    }
}

#[test]
fn mutated_streams_never_panic_and_do_not_depend_on_how_they_arrive() {
    let seeds: [&[u8]; 3] = [
        b"CONNECT {\"verbose\":false}\r\nSUB a.> q 1\r\nPUB a.b r 5\r\nhello\r\nUNSUB 1 3\r\nPING\r\nPONG\r\n",
        b"HPUB h.1 rr 20 22\r\nNATS/1.0\r\nA: b\r\n\r\n\r\nhi\r\n+OK\r\n-ERR 'x'\r\n",
        b"INFO {}\r\nMSG a 1 2\r\nhi\r\nHMSG a 1 r 12 14\r\nNATS/1.0\r\n\r\nhi\r\nPING\r\n+OK\r\n-ERR 'x'\r\n",
    ];
    for seed in 0..20_000u64 {
        let mut prng = Prng::new(seed);
        let mut bytes = seeds[prng.below(3) as usize].to_vec();
        for _ in 0..=prng.below(4) {
            let at = prng.below(bytes.len() as u64) as usize;
            match prng.below(4) {
                0 => bytes[at] = prng.next_u64() as u8,
                1 => bytes[at] ^= 1 << prng.below(8),
                2 => bytes.insert(at, b" \r\n09"[prng.below(5) as usize]),
                _ => drop(bytes.drain(at..(at + 3).min(bytes.len()))),
            }
            if bytes.is_empty() {
                bytes.push(b'P');
            }
        }
        let (client, server) =
            (read_client(&bytes, || usize::MAX / 2), read_server(&bytes, || usize::MAX / 2));
        assert_eq!(read_client(&bytes, || 1), client, "seed {seed}");
        assert_eq!(read_server(&bytes, || 1 + prng.below(5) as usize), server, "seed {seed}");
        let _ = Headers(&bytes).iter().count() + usize::from(Headers(&bytes).status().is_some());
    }
}
