//! Where a NATS server is and who we are to it.

use async_nats::ServerAddr;

use crate::driver::socket::Place;
use crate::driver::{DriverError, ErrorKind};

/// A parsed `nats://` URL. Its `Debug` shows no password.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) driver: &'static str,
    pub(super) place: Place,
    /// The user, or, without a password, the token.
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
}

impl Address {
    /// Parses a URL as the `async-nats` crate does. Errors don't repeat it, since it may hold a password.
    pub(super) fn parse(driver: &'static str, url: &str) -> Result<Self, DriverError> {
        let server: ServerAddr = url.parse().map_err(|_| {
            DriverError::new(ErrorKind::Fatal, driver, "the target's URL is none that NATS can be reached by")
                .remedy("write nats://[user:password@|token@]host[:port]")
        })?;
        Ok(Self {
            driver,
            place: Place::Tcp(server.host().to_owned(), server.port()),
            user: server.username().map(str::to_owned),
            password: server.password().map(str::to_owned),
        })
    }
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Address").field("place", &self.place).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_taken_from_the_url_and_shown_nowhere() {
        let address = Address::parse("nats-core", "nats://joe:hidden@somewhere:7000").unwrap();
        assert_eq!(address.place, Place::Tcp("somewhere".to_owned(), 7000));
        assert_eq!((address.user.as_deref(), address.password.as_deref()), (Some("joe"), Some("hidden")));
        assert!(!format!("{address:?}").contains("hidden"));
        let token = Address::parse("nats-core", "nats://hidden@127.0.0.1").unwrap();
        assert_eq!((token.user.as_deref(), token.password.as_deref()), (Some("hidden"), None));
        assert_eq!(token.place, Place::Tcp("127.0.0.1".to_owned(), 4222));
        let error = Address::parse("nats-core", "nats://joe:hidden@:x").unwrap_err();
        assert!(!format!("{error:?}").contains("hidden"), "{error:?}");
    }
}
