//! Why the server does not start or does not go on.

use crate::engine::tls::TlsError;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// What can go wrong with the server as a whole.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The port can't be had.
    #[error("cannot listen on {at}: {source}")]
    Listen {
        /// The place.
        at: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// Certificate or key is of no use.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The store can't be used.
    #[error("cannot use the store {path}: {why}")]
    Store {
        /// The file or directory.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The disk failed: what was acknowledged can't be promised any more, so the server ends.
    #[error("the disk failed: {0}")]
    Disk(String),
    /// The system refuses what the event loop stands on.
    #[error("the event loop failed: {0}")]
    Loop(#[from] io::Error),
}
