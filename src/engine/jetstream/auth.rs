//! Who may come in, and as whom.

use super::access::{Permissions, Proof, User};
use super::settings::Credentials;
use crate::wire::nats::ConnectOptions;
use data_encoding::{BASE64, BASE64URL_NOPAD};
use nkeys::KeyPair;
use std::sync::Arc;

/// As whom a client has come in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Admission {
    /// Number of the account.
    pub(super) account: u32,
    /// What it may do; `None` is everything.
    pub(super) permissions: Option<Arc<Permissions>>,
    /// The user's name or key, as the monitoring shows it.
    pub(super) user: String,
    /// When it has to go again, in seconds since 1970.
    pub(super) expires: Option<u64>,
}

/// Compares in a time that depends on the lengths only.
fn same(one: &str, other: &str) -> bool {
    let (one, other) = (one.as_bytes(), other.as_bytes());
    one.len() == other.len() && one.iter().zip(other).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

/// Whether the owner of a public key has signed the nonce.
pub(super) fn signed(key: &str, nonce: &str, signature: &str) -> bool {
    let bytes = signature.as_bytes();
    let decoded = BASE64URL_NOPAD.decode(bytes).or_else(|_| BASE64.decode(bytes));
    let (Ok(signature), Ok(key)) = (decoded, KeyPair::from_public_key(key)) else { return false };
    key.verify(nonce.as_bytes(), &signature).is_ok()
}

fn admission(user: &User) -> Admission {
    let (permissions, user_name) = (user.permissions.clone(), user.name.clone());
    Admission { account: user.account, permissions, user: user_name, expires: None }
}

impl Credentials {
    /// As whom a client that says this of itself may come in, after it was given `nonce` to sign.
    pub(super) fn admit(&self, options: &ConnectOptions, nonce: &str) -> Option<Admission> {
        if self.is_empty() {
            return Some(Admission::default());
        }
        let says_nothing = [&options.user, &options.pass, &options.auth_token, &options.nkey]
            .iter()
            .all(|text| text.is_empty());
        if let Some(nobody) = self.no_auth_user.as_ref().filter(|_| says_nothing) {
            return self.users.iter().find(|user| user.name == *nobody).map(admission);
        }
        let keys = self.users.iter().any(|user| user.proof == Proof::Signature);
        if keys && !options.nkey.is_empty() {
            let mut known = self.users.iter().filter(|user| user.proof == Proof::Signature);
            let user = known.find(|user| user.name == options.nkey)?;
            return signed(&options.nkey, nonce, &options.sig).then(|| admission(user));
        }
        let named = |user: &&User| user.name == options.user && matches!(user.proof, Proof::Password(_));
        if !options.user.is_empty() {
            let user = self.users.iter().find(named)?;
            let Proof::Password(password) = &user.proof else { return None };
            return same(password, &options.pass).then(|| admission(user));
        }
        let token = self.token.as_ref().is_some_and(|token| same(token, &options.auth_token));
        token.then(|| Admission { user: "[REDACTED]".to_owned(), ..Admission::default() })
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

    fn user(name: &str, proof: Proof, account: u32) -> User {
        User { name: name.to_owned(), proof, account, permissions: None }
    }

    #[test]
    fn only_who_knows_the_words_comes_in() {
        let known =
            |name: &str, password: &str, account| user(name, Proof::Password(password.to_owned()), account);
        let users =
            Credentials { users: vec![known("u", "p", 0), known("v", "q", 3)], ..Credentials::default() };
        assert_eq!(users.admit(&options("v", "q", ""), "").map(|all| all.account), Some(3));
        assert_eq!(users.admit(&options("v", "p", ""), ""), None);
        assert_eq!(users.admit(&options("", "", "p"), ""), None);
        let token = Credentials { token: Some("t".into()), ..Credentials::default() };
        assert!(token.admit(&options("", "", "t"), "").is_some());
        assert!(token.admit(&options("", "", ""), "").is_none());
        assert!(Credentials::default().admit(&options("", "", ""), "").is_some());
        let open = Credentials { no_auth_user: Some("v".into()), ..users };
        assert_eq!(open.admit(&options("", "", ""), "").map(|all| all.account), Some(3));
        assert_eq!(open.admit(&options("u", "", ""), ""), None);
    }

    #[test]
    fn a_key_has_to_sign_the_nonce_that_it_was_given() {
        let key = KeyPair::new_user();
        let users = vec![user(&key.public_key(), Proof::Signature, 1)];
        let keys = Credentials { users, ..Credentials::default() };
        let mut says = ConnectOptions { nkey: key.public_key(), ..ConnectOptions::default() };
        says.sig = BASE64URL_NOPAD.encode(&key.sign(b"nonce").unwrap());
        assert_eq!(keys.admit(&says, "nonce").map(|all| all.account), Some(1));
        assert_eq!(keys.admit(&says, "another"), None);
        says.sig = BASE64.encode(&key.sign(b"nonce").unwrap());
        assert!(keys.admit(&says, "nonce").is_some());
        says.sig.clear();
        assert_eq!(keys.admit(&says, "nonce"), None);
        let other = KeyPair::new_user();
        says.nkey = other.public_key();
        says.sig = BASE64URL_NOPAD.encode(&other.sign(b"nonce").unwrap());
        assert_eq!(keys.admit(&says, "nonce"), None, "its own signature, but nobody knows it");
        assert_eq!(keys.admit(&options(&key.public_key(), "", ""), "nonce"), None);
    }
}
