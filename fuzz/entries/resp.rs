//! What the fuzz targets of the RESP codec run, and tests/fuzz_resp.rs as well.

use busmark::wire::resp::{
    CommandParser, Limits, MAX_BULK, Reply, integer_run, messages_to_resp3, publish_run, scan,
};

/// What a server would make of `data` when it arrives in pieces of `size`: its commands, and how it ends.
fn parsed(data: &[u8], size: usize) -> (Vec<Vec<Vec<u8>>>, Option<String>) {
    let (mut parser, mut commands, mut start, mut end) = (CommandParser::default(), Vec::new(), 0, 0);
    while end < data.len() {
        end = data.len().min(end + size);
        loop {
            let buf = &data[start..end];
            match parser.parse(buf, Limits::default()) {
                Ok(Some(length)) => {
                    assert!(length > 0 && length <= buf.len(), "a command takes what is there");
                    commands.push((0..parser.len()).map(|index| parser.arg(buf, index).to_vec()).collect());
                    start += length;
                }
                Ok(None) => break,
                Err(error) => return (commands, Some(error.to_string())),
            }
        }
    }
    (commands, None)
}

/// However a stream is cut, its commands are the same, and a run of PUBLISHes is what the parser finds.
pub(crate) fn commands(data: &[u8]) {
    let Some((&size, data)) = data.split_first() else { return };
    let whole = parsed(data, data.len().max(1));
    assert_eq!(whole, parsed(data, usize::from(size) % 64 + 1));
    let mut patched = data.to_vec();
    let run = publish_run(&mut patched, MAX_BULK, usize::MAX);
    assert!(run.length <= data.len() && run.count <= whole.0.len());
    for command in &whole.0[..run.count] {
        assert!(command.len() == 3 && command[0] == b"PUBLISH" && command[1] == whole.0[0][1]);
    }
    assert_eq!(patched[run.length..], data[run.length..], "what is behind the run stays as it is");
    messages_to_resp3(&mut patched[..run.length]);
    let mut rest = &patched[..run.length];
    for command in &whole.0[..run.count] {
        let (reply, length) = scan(rest).expect("a push").expect("a whole push");
        assert_eq!(reply, Reply::Message { channel: &command[1], payload: &command[2] });
        rest = &rest[length..];
    }
    assert!(rest.is_empty());
}

/// Walks a reply and all that is nested in it, to a depth.
fn walk(reply: Reply<'_>, depth: u32) {
    if let Reply::Array(items) | Reply::Push(items) = reply
        && depth > 0
    {
        let count = items.len();
        assert_eq!(
            items.map(|item| walk(item, depth - 1)).count(),
            count,
            "an aggregate has what it announces"
        );
    }
}

/// A stream of replies is walked to its end or its first broken one, and a reply cut short is never whole.
pub(crate) fn replies(data: &[u8]) {
    let mut rest = data;
    while let Ok(Some((reply, length))) = scan(rest) {
        assert!(length > 0 && length <= rest.len());
        assert!(!matches!(scan(&rest[..length - 1]), Ok(Some((_, shorter))) if shorter >= length));
        walk(reply, 4);
        let run = integer_run(rest);
        assert!(run.length <= rest.len());
        if let Reply::Integer(value) = reply
            && run.count == 1
        {
            assert_eq!((run.sum, run.length), (value, length));
        }
        rest = &rest[length..];
    }
}
