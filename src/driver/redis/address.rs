//! Where a Redis is and who we are to it.

use redis::{ConnectionAddr, IntoConnectionInfo};

use super::{encrypted, fatal};
use crate::driver::DriverError;
use crate::driver::socket::Place;
use crate::driver::tls::{Tls, TlsFiles};

/// A parsed `redis://`, `rediss://` or `unix://` URL. Its `Debug` shows no password.
#[derive(Clone)]
pub(in crate::driver) struct Address {
    pub(in crate::driver) driver: &'static str,
    pub(in crate::driver) place: Place,
    pub(in crate::driver) tls: Option<Tls>,
    pub(in crate::driver) username: Option<String>,
    pub(in crate::driver) password: Option<String>,
    pub(in crate::driver) database: i64,
}

impl Address {
    /// Parses a URL as the `redis` crate does. Errors don't repeat it, since it may hold a password.
    pub(in crate::driver) fn parse(driver: &'static str, url: &str) -> Result<Self, DriverError> {
        let remedy = "write redis://[user[:${NAME}]@]host[:port][/db], rediss://… with ?ca=FILE if need be, or unix:///path/to/socket";
        let wrong = || fatal(driver, "the target's URL is none that Redis can be reached by").remedy(remedy);
        let (plain, tls) = match encrypted(url) {
            Some((rest, query)) => {
                let files = TlsFiles::parse(query).map_err(|what| fatal(driver, what).remedy(remedy))?;
                (format!("redis://{rest}"), Some(Tls::load(driver, &files)?))
            }
            None => (url.to_owned(), None),
        };
        let info = plain.as_str().into_connection_info().map_err(|_| wrong())?;
        let place = match info.addr() {
            ConnectionAddr::Tcp(host, port) => Place::Tcp(host.clone(), *port),
            ConnectionAddr::Unix(path) => Place::Unix(path.clone()),
            _ => return Err(wrong()),
        };
        let settings = info.redis_settings();
        Ok(Self {
            driver,
            place,
            tls,
            username: settings.username().map(str::to_owned),
            password: settings.password().map(str::to_owned),
            database: settings.db(),
        })
    }
}

impl Address {
    /// The same for another node of the same cluster.
    pub(in crate::driver) fn of_node(&self, host: &str, port: u16) -> Self {
        Self { place: Place::Tcp(host.to_owned(), port), ..self.clone() }
    }
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Address")
            .field("place", &self.place)
            .field("tls", &self.tls.is_some())
            .field("database", &self.database)
            .finish_non_exhaustive()
    }
}
