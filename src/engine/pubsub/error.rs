//! Why the engine does not start or does not go on.

use crate::engine::tls::TlsError;
use std::io;

/// What can go wrong with the engine as a whole.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// `--listen` names no place.
    #[error("cannot listen on '{given}': {why}; give HOST:PORT, tls:HOST:PORT or unix:PATH")]
    Address {
        /// What was given.
        given: String,
        /// What is wrong with it.
        why: String,
    },
    /// The place can't be had.
    #[error("cannot listen on {at}")]
    Listen {
        /// The place.
        at: String,
        /// What the system says.
        source: io::Error,
    },
    /// Anybody could come in.
    #[error(
        "refusing to listen on {at}, which is not loopback, without a password: set BUSMARK_PASSWORD or give --password-file"
    )]
    Unprotected {
        /// The place.
        at: String,
    },
    /// `tls:` without certificate and key.
    #[error("{at} needs --tls-cert and --tls-key")]
    NoCertificate {
        /// The place.
        at: String,
    },
    /// Certificate or key is of no use.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The system refuses what the event loop stands on.
    #[error("the event loop failed")]
    Loop(#[from] io::Error),
}
