//! The bundled Pub/Sub server, run as the process it is, over real sockets.

#![expect(clippy::unwrap_used, clippy::print_stderr, reason = "a test may panic and says what it saw")]

mod access;
mod differential;
mod golden;
mod library;
mod limits;
mod node;
mod odd_input;
mod scale;
mod support;
