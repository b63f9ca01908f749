use super::*;
use crate::wire::resp::{MessageHead, Protocol, Writer, append_command};
use proptest::prelude::*;

type Commands = Vec<Vec<Vec<u8>>>;

/// Feeds `stream` in pieces of the given sizes (the last size repeats), as a server's read loop does.
fn fed(stream: &[u8], pieces: &[usize]) -> (Commands, Result<(), ProtocolError>) {
    let (mut parser, mut commands, mut start, mut end) = (CommandParser::default(), Vec::new(), 0, 0);
    let mut sizes = pieces.iter().copied().chain(std::iter::repeat(pieces.last().copied().unwrap_or(1)));
    while end < stream.len() {
        end = stream.len().min(end + sizes.next().unwrap_or(1).max(1));
        loop {
            let buf = &stream[start..end];
            match parser.parse(buf, Limits::default()) {
                Ok(Some(length)) => {
                    let args = (0..parser.len()).map(|index| parser.arg(buf, index).to_vec());
                    let args: Vec<_> = args.collect();
                    if !args.is_empty() {
                        commands.push(args);
                    }
                    start += length;
                }
                Ok(None) => break,
                Err(error) => return (commands, Err(error)),
            }
        }
    }
    (commands, Ok(()))
}

fn error_of(stream: &[u8]) -> String {
    let whole = fed(stream, &[stream.len()]);
    assert_eq!(whole, fed(stream, &[1]), "one piece and single bytes differ");
    whole.1.map_or_else(|error| error.to_string(), |()| "none".into())
}

#[test]
fn empty_commands_are_ignored() {
    for stream in
        ["\r\nPING\r\n", "*0\r\nPING\r\n", "*-1\r\nPING\r\n", "*-10\r\nPING\r\n", "PING\n", "  \n ping"]
    {
        let (commands, result) = fed(format!("{stream}\n").as_bytes(), &[1]);
        assert_eq!(result, Ok(()));
        assert!(commands.len() == 1 && commands[0][0].eq_ignore_ascii_case(b"ping"), "{stream:?}");
    }
}

#[test]
fn odd_input_is_refused_with_the_words_of_redis() {
    for (stream, text) in [
        ("*abc\r\n", "invalid multibulk length"),
        ("*01\r\n", "invalid multibulk length"),
        ("*+1\r\n", "invalid multibulk length"),
        ("*2147483648\r\n", "invalid multibulk length"),
        ("*1048577\r\n", "none"),
        ("*2147483647\r\n", "none"),
        ("*1\r\n$-1\r\n", "invalid bulk length"),
        ("*1\r\n$abc\r\n", "invalid bulk length"),
        ("*1\r\n$536870913\r\n", "invalid bulk length"),
        ("*1\r\n$536870912\r\n", "none"),
        ("*2\r\n$1\r\na\r\n:4\r\n", "expected '$', got ':'"),
        ("*1\r\n*1\r\n$1\r\na\r\n", "expected '$', got '*'"),
        ("*1\r\nfoo\r\n", "expected '$', got 'f'"),
        ("*1\r\n$4\r\nPINGxx", "none"),
        ("set \"\"\"k\"\"\" v\r\n", "unbalanced quotes in request"),
    ] {
        assert_eq!(error_of(stream.as_bytes()), text, "{stream:?}");
    }
}

#[test]
fn a_line_may_have_64_kib_and_no_byte_more() {
    for (head, text) in [
        ("", "too big inline request"),
        ("*", "too big mbulk count string"),
        ("*1\r\n$", "too big bulk count string"),
    ] {
        let mut stream = head.as_bytes().to_vec();
        let line = if head.len() > 1 { 1 } else { head.len() };
        stream.resize(stream.len() + MAX_LINE - line, b'1');
        assert_eq!(error_of(&stream), "none", "{head:?}");
        stream.push(b'1');
        assert_eq!(error_of(&stream), text, "{head:?}");
    }
}

#[test]
fn before_authentication_only_small_commands_are_read() {
    let limits = Limits { authenticated: false, ..Limits::default() };
    let parse = |stream: &[u8]| CommandParser::default().parse(stream, limits);
    assert_eq!(parse(b"*11\r\n"), Err(ProtocolError::UnauthenticatedMultibulkLength));
    assert_eq!(parse(b"*10\r\n"), Ok(None));
    assert_eq!(parse(b"*1\r\n$16385\r\n"), Err(ProtocolError::UnauthenticatedBulkLength));
    assert_eq!(parse(b"*1\r\n$16384\r\n"), Ok(None));
}

#[test]
fn announcing_costs_no_memory() {
    let mut parser = CommandParser::default();
    assert_eq!(parser.parse(b"*2147483647\r\n$536870912\r\n", Limits::default()), Ok(None));
    assert_eq!(parser.args.capacity(), 0);
    assert_eq!(parser.needed(), 13 + 12 + 536_870_912 + 2);
}

fn publish(channel: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut frame = Vec::new();
    append_command(&mut frame, &[b"PUBLISH", channel, payload]);
    frame
}

#[test]
fn a_run_of_publishes_becomes_deliveries_up_to_the_first_other_command() {
    let mut stream = [publish(b"ch", b"a"), publish(b"ch", b"bcd")].concat();
    let length = stream.len();
    stream.extend(publish(b"other", b"x"));
    let run = publish_run(&mut stream, MAX_BULK, usize::MAX);
    assert_eq!(run, PublishRun { count: 2, length });
    assert_eq!(
        &stream[..length],
        b"*3\r\n$7\r\nmessage\r\n$2\r\nch\r\n$1\r\na\r\n*3\r\n$7\r\nmessage\r\n$2\r\nch\r\n$3\r\nbcd\r\n"
    );
    assert_eq!(stream[length..], publish(b"other", b"x")[..]);
}

fn any_command() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..6)
}

proptest! {
    #[test]
    fn any_split_of_a_stream_gives_the_same_commands(
        commands in prop::collection::vec(any_command(), 0..8),
        pieces in prop::collection::vec(1usize..30, 1..40),
    ) {
        let mut stream = Vec::new();
        for command in &commands {
            append_command(&mut stream, &command.iter().map(Vec::as_slice).collect::<Vec<_>>());
        }
        let expected = (commands, Ok(()));
        prop_assert_eq!(&fed(&stream, &pieces), &expected);
        prop_assert_eq!(&fed(&stream, &[stream.len()]), &expected);
    }

    #[test]
    fn garbage_gives_the_same_end_however_it_is_split(
        stream in "[*$:0-9ax'\" \r\n\\\\-]{0,60}",
        pieces in prop::collection::vec(1usize..9, 1..20),
    ) {
        prop_assert_eq!(fed(stream.as_bytes(), &pieces), fed(stream.as_bytes(), &[usize::MAX >> 1]));
    }

    #[test]
    fn a_run_holds_what_the_parser_finds(
        payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..30), 1..8),
        cut in 0usize..100,
    ) {
        let mut stream: Vec<u8> = payloads.iter().flat_map(|payload| publish(b"ch", payload)).collect();
        stream.truncate(stream.len().saturating_sub(cut));
        let (commands, _) = fed(&stream, &[stream.len().max(1)]);
        let run = publish_run(&mut stream, MAX_BULK, usize::MAX);
        prop_assert_eq!(run.count, commands.len());
        let mut pushes = Vec::new();
        for command in &commands {
            append_command(&mut pushes, &[b"message", &command[1], &command[2]]);
        }
        prop_assert_eq!(&stream[..run.length], &pushes[..]);
        messages_to_resp3(&mut stream[..run.length]);
        let mut resp3 = Vec::new();
        for command in &commands {
            Writer::new(&mut resp3, Protocol::Resp3).message(MessageHead::Message, &command[1], &command[2]);
        }
        prop_assert_eq!(&stream[..run.length], &resp3[..]);
    }
}
