use super::*;
use crate::wire::resp::{MessageHead, Protocol, PublishFrame, Writer};
use proptest::prelude::*;

fn written(protocol: Protocol, write: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut out = Vec::new();
    write(&mut Writer::new(&mut out, protocol));
    out
}

/// The whole of `bytes` is one reply.
fn only(bytes: &[u8]) -> Reply<'_> {
    let (reply, length) = scan(bytes).unwrap().unwrap();
    assert_eq!(length, bytes.len());
    reply
}

#[test]
fn each_kind_of_value_is_told_apart() {
    assert_eq!(only(b":-12\r\n"), Reply::Integer(-12));
    assert_eq!(only(b"+OK\r\n"), Reply::Simple(b"OK"));
    assert_eq!(only(b"-ERR no\r\n"), Reply::Error(b"ERR no"));
    assert_eq!(only(b"!5\r\nERR x\r\n"), Reply::Error(b"ERR x"));
    assert_eq!(only(b"$0\r\n\r\n"), Reply::Bulk(b""));
    assert_eq!(only(b"=6\r\ntxt:hi\r\n"), Reply::Bulk(b"txt:hi"));
    for null in [&b"$-1\r\n"[..], b"*-1\r\n", b"_\r\n"] {
        assert_eq!(only(null), Reply::Null);
    }
    assert_eq!(only(b"#t\r\n"), Reply::Boolean(true));
    assert_eq!(only(b",1.5\r\n"), Reply::Number(b"1.5"));
    let Reply::Array(items) = only(b"%1\r\n+k\r\n*2\r\n:1\r\n:2\r\n") else { panic!() };
    let items: Vec<_> = items.collect();
    assert_eq!(items[0], Reply::Simple(b"k"));
    assert!(matches!(items[1], Reply::Array(inner) if inner.len() == 2));
    let Reply::Push(mut items) = only(b">3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n") else { panic!() };
    assert_eq!(items.next(), Some(Reply::Bulk(b"subscribe")));
    assert_eq!(items.nth(1), Some(Reply::Integer(1)));
    assert_eq!(only(b"|1\r\n+ttl\r\n:5\r\n:7\r\n"), Reply::Integer(7));
}

#[test]
fn broken_streams_are_refused() {
    assert_eq!(scan(b"?\r\n"), Err(ReplyError::UnknownType(b'?')));
    assert_eq!(scan(b":x\r\n"), Err(ReplyError::Number));
    assert_eq!(scan(b"$-2\r\n"), Err(ReplyError::Number));
    assert_eq!(scan(b"$999999999\r\n"), Err(ReplyError::TooLarge));
    assert_eq!(scan(b"*9999999999\r\n:1\r\n"), Err(ReplyError::TooLarge));
    assert_eq!(scan(&vec![b'+'; MAX_LINE + 1]), Err(ReplyError::TooLarge));
}

#[test]
fn deep_nesting_needs_no_stack() {
    let mut stream = b"*1\r\n".repeat(1_000_000);
    assert_eq!(scan(&stream), Ok(None));
    stream.extend_from_slice(b":1\r\n");
    assert!(matches!(scan(&stream), Ok(Some((Reply::Array(_), length))) if length == stream.len()));
    let mut stream = b"|0\r\n".repeat(1_000_000);
    stream.extend_from_slice(b":1\r\n");
    assert_eq!(scan(&stream), Ok(Some((Reply::Integer(1), stream.len()))));
}

#[test]
fn a_run_of_integers_is_counted_and_summed_up_to_the_first_other_value() {
    let run = integer_run(b":1\r\n:100\r\n:0\r\n+OK\r\n:1\r\n");
    assert_eq!(run, IntegerRun { count: 3, sum: 101, length: 14 });
    assert_eq!(integer_run(b":1\r\n:1\r"), IntegerRun { count: 1, sum: 1, length: 4 });
    assert_eq!(integer_run(b"-ERR\r\n"), IntegerRun::default());
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..50)
}

fn protocol() -> impl Strategy<Value = Protocol> {
    prop_oneof![Just(Protocol::Resp2), Just(Protocol::Resp3)]
}

proptest! {
    #[test]
    fn messages_are_read_back_in_both_protocols(
        protocol in protocol(), pattern in bytes(), channel in bytes(), payload in bytes(),
    ) {
        let (channel, payload) = (&channel[..], &payload[..]);
        let message = written(protocol, |out| out.message(MessageHead::Message, channel, payload));
        prop_assert_eq!(only(&message), Reply::Message { channel, payload });
        let shard = written(protocol, |out| out.message(MessageHead::Shard, channel, payload));
        prop_assert_eq!(only(&shard), Reply::ShardMessage { channel, payload });
        let head = MessageHead::Pattern(&pattern);
        let by_pattern = written(protocol, |out| out.message(head, channel, payload));
        prop_assert_eq!(only(&by_pattern), Reply::PatternMessage { pattern: &pattern, channel, payload });
    }

    #[test]
    fn scalars_are_read_back(protocol in protocol(), number: i64, text in bytes()) {
        let integer = written(protocol, |out| out.integer(number));
        prop_assert_eq!(only(&integer), Reply::Integer(number));
        let bulk = written(protocol, |out| out.bulk(&text));
        prop_assert_eq!(only(&bulk), Reply::Bulk(&text));
        let null = written(protocol, |out| out.null());
        prop_assert_eq!(only(&null), Reply::Null);
    }

    #[test]
    fn a_stream_cut_anywhere_is_incomplete_and_never_wrong(
        protocol in protocol(), numbers in prop::collection::vec(any::<i64>(), 1..5), text in bytes(),
    ) {
        let stream = written(protocol, |out| {
            out.map(2);
            out.bulk(&text);
            out.array(numbers.len());
            numbers.iter().for_each(|&number| out.integer(number));
            out.verbatim(&text);
            out.null();
        });
        for cut in 0..stream.len() {
            prop_assert_eq!(scan(&stream[..cut]), Ok(None));
        }
        only(&stream);
    }

    #[test]
    fn garbage_never_panics(garbage in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = scan(&garbage);
        let _ = integer_run(&garbage);
    }

    #[test]
    fn a_prepared_publish_is_the_command_it_stands_for(channel in bytes(), payload in bytes()) {
        let (mut plain, mut prepared, mut blank) = (Vec::new(), Vec::new(), Vec::new());
        crate::wire::resp::append_command(&mut plain, &[b"PUBLISH", &channel, &payload]);
        let frame = PublishFrame::new(&channel);
        frame.append(&mut prepared, &payload);
        frame.append_blank(&mut blank, payload.len()).copy_from_slice(&payload);
        prop_assert_eq!(&prepared, &plain);
        prop_assert_eq!(&blank, &plain);
    }
}
