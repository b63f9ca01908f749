//! The NATS client protocol, for both sides: what nats-server 2.11 reads and writes, byte for byte.
//!
//! The parsers keep no state: they are given a buffer and say what it begins with, or how many bytes are
//! missing. Nothing is copied and nothing is allocated ahead of what has arrived.

mod client;
mod encode;
mod frame;
mod headers;
mod line;
mod options;
mod server;
pub mod subject;

pub use client::{ClientError, ClientLimits, ClientOp, Publish, parse_client};
pub use encode::{
    MessageHead, append_connect, append_error, append_info, append_message, append_publish, append_subscribe,
    append_unsubscribe,
};
pub use frame::{AnswerRuns, GOOD_ANSWER, PublishFrame, SERIAL_DIGITS, Serial};
pub use headers::{HEADER_LINE, Headers, append_header, begin_headers, end_headers, status_line};
pub use options::ConnectOptions;
pub use server::{Message, ServerError, ServerOp, parse_server};

/// Bytes a server reads of one control line's arguments, by default.
pub const MAX_CONTROL_LINE: usize = 4096;
/// Bytes of headers and payload a server takes in one message, by default.
pub const MAX_PAYLOAD: usize = 1024 * 1024;

/// What a buffer begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed<T> {
    /// A whole operation, and how many bytes it takes.
    Whole(T, usize),
    /// Not whole: call again with the same bytes and more; it takes at least this many in all.
    Partial(usize),
}

#[cfg(test)]
mod tests;
