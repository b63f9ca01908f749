//! The bundled Redis-style engine: Redis's Pub/Sub on one event loop, without a keyspace.
//!
//! Path of a message: `server` reads up to 256 KiB from a ready socket, `state` parses it where it lies and
//! turns a run of pipelined PUBLISHes into `message` frames by patching the verb, `output` of each
//! subscriber refers to that same buffer (or copies, below 4 KiB), and one gathered write per client ends
//! the step. No task, channel, lock or allocation per message.
//!
//! One event loop serves all clients, so that order per channel holds across publishers by itself. All of
//! an event loop's state is in `state::Engine`, and nothing in it is shared: more loops beside it, handing
//! over batches, are possible and not built.

mod chunks;
mod client;
mod commands;
mod error;
mod glob;
mod listen;
mod outbox;
mod output;
mod registry;
mod server;
mod settings;
mod state;
mod stats;
mod stream;
mod sys;
mod tls;

pub use error::EngineError;
pub use listen::Listen;
pub use server::{Options, Server};
pub use tls::TlsFiles;
