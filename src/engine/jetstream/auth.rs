//! Who may come in.

use super::settings::Credentials;
use crate::wire::nats::ConnectOptions;

/// Compares in a time that depends on the lengths only.
fn same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    one.len() == other.len() && one.iter().zip(other).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

impl Credentials {
    /// Whether a client that says this of itself may come in.
    pub(super) fn admit(&self, options: &ConnectOptions) -> bool {
        let token = self.token.as_ref().is_some_and(|token| same(token, &options.auth_token));
        let user =
            self.users.iter().any(|(user, pass)| same(user, &options.user) & same(pass, &options.pass));
        self.is_empty() || token || user
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(user: &str, pass: &str, token: &str) -> ConnectOptions {
        ConnectOptions {
            user: user.to_owned(),
            pass: pass.to_owned(),
            auth_token: token.to_owned(),
            ..ConnectOptions::default()
        }
    }

    #[test]
    fn only_who_knows_the_words_comes_in() {
        let users =
            Credentials { users: vec![("u".into(), "p".into()), ("v".into(), "q".into())], token: None };
        assert!(users.admit(&options("v", "q", "")));
        assert!(!users.admit(&options("v", "p", "")));
        assert!(!users.admit(&options("", "", "p")));
        let token = Credentials { users: Vec::new(), token: Some("t".into()) };
        assert!(token.admit(&options("", "", "t")));
        assert!(!token.admit(&options("", "", "")));
        assert!(Credentials::default().admit(&options("", "", "")));
    }
}
