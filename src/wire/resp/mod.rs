//! RESP2 and RESP3 (<https://redis.io/docs/latest/develop/reference/protocol-spec/>): commands as a server
//! reads them, replies and pushes as a client reads them, and the frames of both. Everything is parsed in
//! place from a byte slice; nothing is allocated per message.

mod command;
mod encode;
mod entries;
mod inline;
mod line;
mod reply;

pub use command::{
    CommandParser, Limits, MESSAGE_HEAD, ProtocolError, PublishRun, Span, message_length, messages_to_resp3,
    publish_channel, publish_run,
};
pub use encode::{MessageHead, Protocol, PublishFrame, Writer, append_command, append_integer_digits};
pub use entries::{Entries, EntryId, Piece};
pub use reply::{IntegerRun, Items, Reply, ReplyError, bulk_run, integer_run, scan};

/// Longest line without a newline that is accepted (Redis's PROTO_INLINE_MAX_SIZE), in bytes.
pub const MAX_LINE: usize = 64 * 1024;
/// Longest bulk string accepted by default (Redis's proto-max-bulk-len), in bytes.
pub const MAX_BULK: usize = 512 * 1024 * 1024;
