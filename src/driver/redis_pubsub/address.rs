//! Where a Redis is and who we are to it.

use redis::{ConnectionAddr, IntoConnectionInfo};

use super::fatal;
use crate::driver::DriverError;
use crate::driver::socket::Place;

/// A parsed `redis://` or `unix://` URL. Its `Debug` shows no password.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) place: Place,
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
    pub(super) database: i64,
}

impl Address {
    /// Parses a URL as the `redis` crate does. Errors don't repeat it, since it may hold a password.
    pub(super) fn parse(url: &str) -> Result<Self, DriverError> {
        let remedy = "write redis://[user[:password]@]host[:port][/db] or unix:///path/to/socket";
        let info = url
            .into_connection_info()
            .map_err(|_| fatal("the target's URL is none that Redis can be reached by").remedy(remedy))?;
        let place = match info.addr() {
            ConnectionAddr::Tcp(host, port) => Place::Tcp(host.clone(), *port),
            ConnectionAddr::Unix(path) => Place::Unix(path.clone()),
            _ => return Err(fatal("TLS is not supported by this driver yet").remedy(remedy)),
        };
        let settings = info.redis_settings();
        Ok(Self {
            place,
            username: settings.username().map(str::to_owned),
            password: settings.password().map(str::to_owned),
            database: settings.db(),
        })
    }
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Address")
            .field("place", &self.place)
            .field("database", &self.database)
            .finish_non_exhaustive()
    }
}
