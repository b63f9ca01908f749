//! The bundled Redis-style engine: Redis's Pub/Sub on one event loop, without a keyspace.
//!
//! Path of a message: `server` reads up to 256 KiB from a ready socket, `state` parses it where it lies and
//! turns a run of pipelined PUBLISHes into `message` frames by patching the verb, `output` of each
//! subscriber refers to that same buffer (or copies, below 4 KiB), and one gathered write per client ends
//! the step. No task, channel, lock or allocation per message.
//!
//! One event loop (`worker`) serves all clients unless told to use more threads. With several, each serves
//! its share of the clients and knows all subscriptions; `log` is the one order of what they have to know of
//! each other, `order` what they do with it, `together` how they wake each other. Every client sees what it
//! would see of a single loop.

mod chunks;
mod client;
mod commands;
mod door;
mod error;
mod glob;
mod listen;
mod log;
mod order;
mod outbox;
mod output;
mod registry;
mod server;
mod settings;
mod state;
mod stats;
mod sys;
mod together;
mod worker;

pub use error::EngineError;
pub use listen::Listen;
pub use server::{Options, Server};
pub use together::MOST_THREADS;
