//! What the drivers of Redis share: where a server is and who we are to it, connections that are set up, the
//! publishing side of everything that is answered in order, and which topic belongs to which subscription.

mod address;
mod link;
mod publisher;

use std::fs;

use redis::{Client, ClientTlsConfig, ErrorKind as RedisErrorKind, RedisError, TlsCertificates};

pub(super) use super::readers::Readers;
pub(super) use address::Address;
pub(super) use link::{broken, exchange, open, open_resp3};
pub(super) use publisher::Verb;
pub use publisher::WirePublisher;

use super::{DriverError, ErrorKind};
use crate::driver::tls::TlsFiles;
use crate::wire::resp::MAX_BULK;

/// Bytes of a publishing frame besides topic and payload, at most.
pub(super) const FRAME_BYTES: usize = 96;

pub(super) fn disconnected(driver: &'static str, what: impl Into<String>) -> DriverError {
    DriverError::new(ErrorKind::Disconnected, driver, what)
}

pub(super) fn fatal(driver: &'static str, what: impl Into<String>) -> DriverError {
    DriverError::new(ErrorKind::Fatal, driver, what)
}

/// Whether Redis takes a message of this length.
#[inline]
pub(super) fn check_length(driver: &'static str, payload: &[u8]) -> Result<(), DriverError> {
    if payload.len() <= MAX_BULK {
        return Ok(());
    }
    let what = format!("Redis takes {MAX_BULK} bytes a message at most, not {}", payload.len());
    Err(DriverError::new(ErrorKind::Rejected, driver, what))
}

/// The `redis` crate's client for a server at `url`: `redis://…`, `unix://…`, or `rediss://…?ca=…`. Control work
/// uses it, and the library clients.
///
/// # Errors
/// If the URL is none, or a file that it names can't be read.
pub fn client(url: &str) -> Result<Client, RedisError> {
    let Some((rest, query)) = encrypted(url) else { return Client::open(url) };
    let wrong = |what: String| RedisError::from((RedisErrorKind::InvalidClientConfig, "TLS", what));
    let files = TlsFiles::parse(query).map_err(wrong)?;
    let read = |path: &std::path::PathBuf| {
        fs::read(path).map_err(|error| wrong(format!("{}: {error}", path.display())))
    };
    let client_tls = match (&files.cert, &files.key) {
        (Some(cert), Some(key)) => Some(ClientTlsConfig { client_cert: read(cert)?, client_key: read(key)? }),
        _ => None,
    };
    let root_cert = files.ca.as_ref().map(read).transpose()?;
    Client::build_with_tls(format!("rediss://{rest}"), TlsCertificates { client_tls, root_cert })
}

/// What follows `rediss://`, and what follows the `?` behind it; `None` if the connection is not encrypted.
fn encrypted(url: &str) -> Option<(&str, &str)> {
    let rest = url.strip_prefix("rediss://")?;
    Some(rest.split_once('?').unwrap_or((rest, "")))
}

/// What an error of the `redis` crate means for a trial.
pub(super) fn of_library(driver: &'static str, place: &str, error: RedisError) -> DriverError {
    if error.is_io_error() || error.is_timeout() || error.is_connection_dropped() {
        return disconnected(driver, format!("can't connect to {place}")).source(error);
    }
    fatal(driver, format!("{place} refuses: {error}")).source(error).remedy(
        "if it wants a password, put user and password into the target's URL: redis://user:${NAME}@host:port",
    )
}

#[cfg(test)]
mod tests;
