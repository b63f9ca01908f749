//! The bundled servers. They run as a process of their own (`busmark serve …`), never inside a trial.

mod descriptors;
pub mod jetstream;
pub mod peer;
pub mod pubsub;
mod stream;
mod tls;
mod websocket;

pub use tls::{TlsError, TlsFiles};
