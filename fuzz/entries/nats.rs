//! What the fuzz target of the NATS codec runs, and tests/fuzz_resp.rs as well.

use busmark::wire::nats::{
    ClientLimits, MAX_CONTROL_LINE, MAX_PAYLOAD, Parsed, ServerOp, parse_client, parse_server,
};

/// What a server would make of `data` when it arrives in pieces of `size`: its operations, and how it ends.
fn parsed(data: &[u8], size: usize) -> (Vec<String>, Option<String>) {
    let limits = ClientLimits { max_control_line: MAX_CONTROL_LINE, max_payload: MAX_PAYLOAD };
    let (mut operations, mut start, mut end) = (Vec::new(), 0, 0);
    while end < data.len() {
        end = data.len().min(end + size);
        loop {
            match parse_client(&data[start..end], limits) {
                Ok(Parsed::Whole(operation, length)) => {
                    assert!(length > 0 && start + length <= end, "an operation takes what is there");
                    operations.push(format!("{operation:?}"));
                    start += length;
                }
                Ok(Parsed::Partial(needed)) => {
                    assert!(needed > end - start, "what is not whole needs more than there is");
                    break;
                }
                Err(error) => return (operations, Some(error.to_string())),
            }
        }
    }
    (operations, None)
}

/// However a client's stream is cut, its operations are the same; a server's is walked to its end or its first broken
/// operation.
pub(crate) fn protocol(data: &[u8]) {
    let Some((&size, data)) = data.split_first() else { return };
    let whole = parsed(data, data.len().max(1));
    let pieces = parsed(data, usize::from(size) % 64 + 1);
    assert_eq!(whole.0[..pieces.0.len().min(whole.0.len())], pieces.0[..pieces.0.len().min(whole.0.len())]);
    assert_eq!((whole.0.len(), whole.1.is_some()), (pieces.0.len(), pieces.1.is_some()));
    let mut rest = data;
    while let Ok(Parsed::Whole(operation, length)) = parse_server(rest) {
        assert!(length > 0 && length <= rest.len());
        if let ServerOp::Message(message) = operation {
            assert_eq!(message.headers().len() + message.payload().len(), message.body.len());
        }
        rest = &rest[length..];
    }
}
