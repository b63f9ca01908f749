//! Accounts and users that vouch for themselves by signed tokens: an operator's key signs accounts, an account's key signs
//! users (NATS JWT, version 2: three parts in base64, signed with Ed25519 over the first two).

use super::access::{AccountLimits, Permissions, Responses, Rule, Rules};
use super::auth::{Admission, signed};
use crate::wire::nats::ConnectOptions;
use data_encoding::BASE64URL_NOPAD;
use nkeys::{KeyPair, KeyPairType};
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// The one algorithm that version 2 of the tokens has.
const ALGORITHM: &str = "ed25519-nkey";

/// Why a token is of no use.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum TokenError {
    /// It is something else.
    #[error("it is no token: three parts in base64, with dots between them")]
    Form,
    /// It is of another version.
    #[error("its algorithm is {0:?}; allowed is \"ed25519-nkey\", that of version 2")]
    Algorithm(String),
    /// It speaks of somebody else.
    #[error("it is about {0}, not about an {1}")]
    Subject(String, &'static str),
    /// Its signature is not its issuer's.
    #[error("it is not signed by {0}, as it says")]
    Signature(String),
    /// Its issuer may not issue it.
    #[error("it is issued by {0}, whom the operator does not name")]
    Issuer(String),
    /// It says something that this engine can't honour.
    #[error("its {0} is not supported by this engine; leave it out, or run nats-server")]
    Unsupported(String),
}

/// What a token says.
#[derive(Debug, Default, Deserialize)]
#[serde(default, bound(deserialize = "T: Default + DeserializeOwned"))]
struct Claims<T> {
    /// Public key of who signed it.
    iss: String,
    /// Public key that it is about.
    sub: String,
    /// Seconds since 1970; 0 is never.
    exp: i64,
    /// Seconds since 1970.
    nbf: i64,
    /// Seconds since 1970.
    iat: i64,
    nats: T,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Header {
    alg: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct OperatorClaims {
    signing_keys: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct AccountClaims {
    limits: Limits,
    signing_keys: Vec<SigningKey>,
    default_permissions: Said,
    /// Users that are in no more, with the time up to which their tokens don't count.
    revocations: BTreeMap<String, i64>,
    imports: Vec<IgnoredAny>,
    mappings: BTreeMap<String, IgnoredAny>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum SigningKey {
    Key(String),
    Scope { key: String, template: Box<UserClaims> },
}

/// Numbers below 0 are no limit; what is not said is 0, as in nats-server.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Limits {
    subs: i64,
    payload: i64,
    conn: i64,
    mem_storage: i64,
    disk_storage: i64,
    streams: i64,
    consumer: i64,
    max_ack_pending: i64,
    mem_max_stream_bytes: i64,
    disk_max_stream_bytes: i64,
    max_bytes_required: bool,
    tiered_limits: BTreeMap<String, IgnoredAny>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SaidSubjects {
    allow: Vec<String>,
    deny: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct SaidResponses {
    max: i64,
    /// Nanoseconds.
    ttl: i64,
}

/// What is allowed.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Said {
    #[serde(rename = "pub")]
    publish: SaidSubjects,
    #[serde(rename = "sub")]
    subscribe: SaidSubjects,
    resp: Option<SaidResponses>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct UserClaims {
    #[serde(flatten)]
    said: Said,
    /// Numbers below 0 are no limit.
    subs: i64,
    payload: i64,
    src: Vec<IgnoredAny>,
    times: Vec<IgnoredAny>,
    bearer_token: bool,
    allowed_connection_types: Vec<String>,
    /// The account, where one of its signing keys has issued it.
    issuer_account: String,
}

impl UserClaims {
    /// Whether it says anything of what the user may do.
    fn says_anything(&self) -> bool {
        let Said { publish, subscribe, resp } = &self.said;
        let subjects = [&publish.allow, &publish.deny, &subscribe.allow, &subscribe.deny];
        let limits = self.subs != 0 || self.payload != 0 || !self.src.is_empty() || !self.times.is_empty();
        limits || resp.is_some() || self.bearer_token || subjects.iter().any(|all| !all.is_empty())
    }

    /// What it asks for that this engine can't honour.
    fn unsupported(&self) -> Option<&'static str> {
        let limits = [(self.subs >= 0, "subs"), (self.payload >= 0, "payload")];
        let places = [(!self.src.is_empty(), "src"), (!self.times.is_empty(), "times")];
        limits.into_iter().chain(places).find(|(said, _)| *said).map(|(_, name)| name)
    }
}

impl<T: Default + DeserializeOwned> Claims<T> {
    /// Reads a token about a key of this kind, and checks that its issuer has signed it.
    fn read(token: &str, (kind, name): (KeyPairType, &'static str)) -> Result<Self, TokenError> {
        let mut parts = token.trim().split('.');
        let (Some(head), Some(body), Some(signature), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(TokenError::Form);
        };
        let decoded = |part: &str| BASE64URL_NOPAD.decode(part.as_bytes()).map_err(|_not| TokenError::Form);
        let header: Header = serde_json::from_slice(&decoded(head)?).map_err(|_not| TokenError::Form)?;
        if header.alg != ALGORITHM {
            return Err(TokenError::Algorithm(header.alg));
        }
        let claims: Self = serde_json::from_slice(&decoded(body)?).map_err(|_not| TokenError::Form)?;
        let unsigned = || TokenError::Signature(claims.iss.clone());
        let issuer = KeyPair::from_public_key(&claims.iss).map_err(|_not| unsigned())?;
        issuer
            .verify(format!("{head}.{body}").as_bytes(), &decoded(signature)?)
            .map_err(|_not| unsigned())?;
        if is_key(&claims.sub, &kind) { Ok(claims) } else { Err(TokenError::Subject(claims.sub, name)) }
    }

    fn validity(&self) -> Validity {
        Validity { begins: self.nbf, ends: Some(self.exp).filter(|exp| *exp > 0) }
    }
}

/// When a token holds, in seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Validity {
    begins: i64,
    /// `None` is for ever.
    ends: Option<i64>,
}

impl Validity {
    fn holds_at(self, seconds: i64) -> bool {
        self.begins <= seconds && self.ends.is_none_or(|ends| seconds < ends)
    }
}

fn is_key(key: &str, kind: &KeyPairType) -> bool {
    KeyPair::from_public_key(key).is_ok_and(|pair| pair.key_pair_type() == *kind)
}

/// The permissions that a token speaks of; `None` is everything.
fn permissions(said: &Said) -> Result<Option<Arc<Permissions>>, TokenError> {
    let subjects = |all: &[String]| -> Result<Vec<Rule>, TokenError> {
        let rule = |text: &String| {
            Rule::parse(text).ok_or_else(|| TokenError::Unsupported(format!("subject {text:?}")))
        };
        all.iter().map(rule).collect()
    };
    let rules = |said: &SaidSubjects| -> Result<Rules, TokenError> {
        let allow = (!said.allow.is_empty()).then(|| subjects(&said.allow)).transpose()?;
        Ok(Rules { allow, deny: subjects(&said.deny)? })
    };
    let mut all =
        Permissions { publish: rules(&said.publish)?, subscribe: rules(&said.subscribe)?, responses: None };
    if let Some(SaidResponses { max, ttl }) = said.resp {
        let usual = Responses::USUAL;
        all.responses = Some(Responses {
            most: if max == 0 { usual.most } else { u64::try_from(max).ok() },
            within: if ttl == 0 { usual.within } else { u64::try_from(ttl).ok().map(Duration::from_nanos) },
        });
        // Who may answer may publish nothing else, unless something else is allowed.
        all.publish.allow.get_or_insert_default();
    }
    Ok((all != Permissions::default()).then(|| Arc::new(all)))
}

/// An account that the operator has signed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Trusted {
    /// Its public key.
    key: String,
    /// Its number among all accounts.
    number: u32,
    /// Keys that may sign its users, with what those may do if the key says so.
    signers: BTreeMap<String, Option<Scope>>,
    /// What users may do of whom nothing is said.
    usual: Option<Arc<Permissions>>,
    revoked: BTreeMap<String, i64>,
    validity: Validity,
}

/// What all users may do whom one key has signed.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Scope {
    permissions: Option<Arc<Permissions>>,
    bearer: bool,
}

/// Whoever vouches for the accounts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    keys: Vec<String>,
    accounts: Vec<Trusted>,
}

/// An account as its token describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Described {
    /// Its public key.
    pub(super) key: String,
    /// Its streams; `None` if it has none.
    pub(super) streams: Option<AccountLimits>,
}

impl Operator {
    /// Reads an operator's token, which the operator has signed.
    ///
    /// # Errors
    /// It is none, or is signed by somebody else.
    pub(super) fn read(token: &str) -> Result<Self, TokenError> {
        let claims: Claims<OperatorClaims> = Claims::read(token, (KeyPairType::Operator, "operator"))?;
        let mut keys = claims.nats.signing_keys;
        keys.push(claims.sub);
        if keys.contains(&claims.iss) {
            Ok(Self { keys, accounts: Vec::new() })
        } else {
            Err(TokenError::Issuer(claims.iss))
        }
    }

    /// Trusts the account that a token is about, and calls it by this number.
    ///
    /// # Errors
    /// The operator has not signed it, or it says what this engine can't honour.
    pub(super) fn trust(&mut self, token: &str, number: u32) -> Result<Described, TokenError> {
        let claims: Claims<AccountClaims> = Claims::read(token, (KeyPairType::Account, "account"))?;
        if !self.keys.contains(&claims.iss) {
            return Err(TokenError::Issuer(claims.iss));
        }
        let validity = claims.validity();
        let AccountClaims { limits, signing_keys, default_permissions, revocations, imports, mappings } =
            claims.nats;
        let unsupported = [
            (!imports.is_empty(), "imports"),
            (!mappings.is_empty(), "mappings"),
            (limits.subs >= 0, "limits.subs"),
            (limits.payload >= 0, "limits.payload"),
            (limits.conn >= 0, "limits.conn"),
            (!limits.tiered_limits.is_empty(), "limits.tiered_limits"),
        ];
        if let Some((_, name)) = unsupported.into_iter().find(|(said, _)| *said) {
            return Err(TokenError::Unsupported(name.to_owned()));
        }
        let mut signers = BTreeMap::from([(claims.sub.clone(), None)]);
        for signer in signing_keys {
            match signer {
                SigningKey::Key(key) => drop(signers.insert(key, None)),
                SigningKey::Scope { key, template } => drop(signers.insert(key, Some(scope(&template)?))),
            }
        }
        self.accounts.push(Trusted {
            key: claims.sub.clone(),
            number,
            signers,
            usual: permissions(&default_permissions)?,
            revoked: revocations,
            validity,
        });
        Ok(Described { key: claims.sub, streams: streams(&limits) })
    }

    /// As whom a client that shows a token may come in, after it was given `nonce` to sign; `kind` is that of its connection
    /// in the words of tokens, and the time is in seconds since 1970.
    pub(super) fn admit(
        &self,
        options: &ConnectOptions,
        nonce: &str,
        (kind, seconds): (&str, u64),
    ) -> Option<Admission> {
        let now = i64::try_from(seconds).ok()?;
        let user: Claims<UserClaims> = Claims::read(&options.jwt, (KeyPairType::User, "user")).ok()?;
        let owner = if user.nats.issuer_account.is_empty() { &user.iss } else { &user.nats.issuer_account };
        let account = self.accounts.iter().find(|account| account.key == *owner)?;
        let scope = account.signers.get(&user.iss)?.as_ref();
        let revoked = [user.sub.as_str(), "*"]
            .iter()
            .any(|who| account.revoked.get(*who).is_some_and(|at| user.iat <= *at));
        let both = [account.validity, user.validity()];
        let valid = both.iter().all(|validity| validity.holds_at(now));
        let kinds = &user.nats.allowed_connection_types;
        let of_kind = kinds.is_empty() || kinds.iter().any(|one| one.eq_ignore_ascii_case(kind));
        // Where its key says what it may do, a token that says so itself is not of that kind.
        let said =
            if scope.is_some() { user.nats.says_anything() } else { user.nats.unsupported().is_some() };
        if revoked || !valid || !of_kind || said {
            return None;
        }
        let bearer = scope.map_or(user.nats.bearer_token, |scope| scope.bearer);
        if !bearer && !signed(&user.sub, nonce, &options.sig) {
            return None;
        }
        let permissions = match scope {
            Some(scope) => scope.permissions.clone(),
            None => permissions(&user.nats.said).ok()?.or_else(|| account.usual.clone()),
        };
        let expires = both.iter().filter_map(|validity| validity.ends).min();
        let expires = expires.and_then(|seconds| u64::try_from(seconds).ok());
        Some(Admission { account: account.number, permissions, user: user.sub, expires })
    }
}

fn scope(template: &UserClaims) -> Result<Scope, TokenError> {
    let Said { publish, subscribe, .. } = &template.said;
    let mut subjects =
        [&publish.allow, &publish.deny, &subscribe.allow, &subscribe.deny].into_iter().flatten();
    if let Some(subject) = subjects.find(|subject| subject.contains("{{")) {
        return Err(TokenError::Unsupported(format!("template {subject:?}")));
    }
    match template.unsupported() {
        Some(name) => Err(TokenError::Unsupported(format!("template's {name}"))),
        None => Ok(Scope { permissions: permissions(&template.said)?, bearer: template.bearer_token }),
    }
}

/// What its streams may take up; an account without storage has none.
fn streams(limits: &Limits) -> Option<AccountLimits> {
    let positive = |most: i64| u64::try_from(most).ok().filter(|most| *most > 0);
    let storage = |most: i64| u64::try_from(most).ok();
    let any = limits.mem_storage != 0 || limits.disk_storage != 0;
    any.then(|| AccountLimits {
        max_memory: storage(limits.mem_storage),
        max_file: storage(limits.disk_storage),
        max_streams: positive(limits.streams),
        max_consumers: positive(limits.consumer),
        max_ack_pending: positive(limits.max_ack_pending),
        memory_max_stream_bytes: positive(limits.mem_max_stream_bytes),
        file_max_stream_bytes: positive(limits.disk_max_stream_bytes),
        max_bytes_required: limits.max_bytes_required,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A token about `about` that `by` has signed; `more` are further fields.
    fn token(by: &KeyPair, about: &KeyPair, more: &str) -> String {
        let head = BASE64URL_NOPAD.encode(br#"{"typ":"JWT","alg":"ed25519-nkey"}"#);
        let body =
            format!(r#"{{"iss":"{}","sub":"{}","iat":50{more}}}"#, by.public_key(), about.public_key());
        let said = format!("{head}.{}", BASE64URL_NOPAD.encode(body.as_bytes()));
        let signature = by.sign(said.as_bytes()).unwrap();
        format!("{said}.{}", BASE64URL_NOPAD.encode(&signature))
    }

    const AT: (&str, u64) = ("STANDARD", 100);

    struct Keys {
        operator: KeyPair,
        account: KeyPair,
        signer: KeyPair,
        user: KeyPair,
    }

    fn keys() -> Keys {
        Keys {
            operator: KeyPair::new_operator(),
            account: KeyPair::new_account(),
            signer: KeyPair::new_account(),
            user: KeyPair::new_user(),
        }
    }

    /// What is said of a user, besides that nothing is limited.
    fn free(more: &str) -> String {
        format!(r#","nats":{{"subs":-1,"payload":-1{more}}}"#)
    }

    /// The same of an account.
    fn wide(more: &str) -> String {
        format!(
            r#","nats":{{"limits":{{"subs":-1,"payload":-1,"conn":-1,"disk_storage":-1,"streams":5}}{more}}}"#
        )
    }

    /// An operator that trusts the account with this said of it, as account 7.
    fn trusting(keys: &Keys, said: &str) -> Result<(Operator, Described), TokenError> {
        let mut operator = Operator::read(&token(&keys.operator, &keys.operator, ""))?;
        let described = operator.trust(&token(&keys.operator, &keys.account, said), 7)?;
        Ok((operator, described))
    }

    fn connecting(keys: &Keys, jwt: String) -> ConnectOptions {
        let sig = BASE64URL_NOPAD.encode(&keys.user.sign(b"nonce").unwrap());
        ConnectOptions { jwt, sig, ..ConnectOptions::default() }
    }

    #[test]
    fn a_user_of_a_trusted_account_comes_in_with_what_its_token_allows() {
        let keys = keys();
        let (operator, described) = trusting(&keys, &wide("")).unwrap();
        assert_eq!(described.key, keys.account.public_key());
        let streams = described.streams.unwrap();
        assert_eq!((streams.max_memory, streams.max_file, streams.max_streams), (Some(0), None, Some(5)));
        let said = format!(r#","exp":200{}"#, free(r#","pub":{"allow":["a.>"]},"sub":{"deny":["b q"]}"#));
        let options = connecting(&keys, token(&keys.account, &keys.user, &said));
        let admission = operator.admit(&options, "nonce", AT).unwrap();
        assert_eq!((admission.account, admission.expires), (7, Some(200)));
        assert_eq!(admission.user, keys.user.public_key());
        let may = admission.permissions.unwrap();
        assert!(may.may_publish(b"a.b") && !may.may_publish(b"b"));
        assert_eq!(may.subscribe.deny[0].queue.as_deref(), Some("q"));
        assert_eq!(operator.admit(&options, "another", AT), None, "signed something else");
        assert_eq!(operator.admit(&options, "nonce", ("STANDARD", 200)), None, "too late");
        let plain = connecting(&keys, token(&keys.account, &keys.user, &free("")));
        assert_eq!(operator.admit(&plain, "nonce", AT).unwrap().permissions, None);
        let unsigned = ConnectOptions { sig: String::new(), ..plain };
        assert_eq!(operator.admit(&unsigned, "nonce", AT), None);
        let bearer = token(&keys.account, &keys.user, &free(r#","bearer_token":true"#));
        assert!(operator.admit(&ConnectOptions { jwt: bearer, ..unsigned }, "nonce", AT).is_some());
    }

    #[test]
    fn who_was_not_signed_by_the_account_or_was_revoked_stays_out() {
        let keys = keys();
        let signer = keys.signer.public_key();
        let revoked = wide(&format!(r#","revocations":{{"{}":50}}"#, keys.user.public_key()));
        let open = wide(&format!(r#","signing_keys":["{signer}"]"#));
        let by_signer = free(&format!(r#","issuer_account":"{}""#, keys.account.public_key()));
        let admitted = |account: &str, user: String| {
            trusting(&keys, account).unwrap().0.admit(&connecting(&keys, user), "nonce", AT).is_some()
        };
        assert!(admitted(&open, token(&keys.signer, &keys.user, &by_signer)));
        assert!(!admitted(&wide(""), token(&keys.signer, &keys.user, &by_signer)), "not one of its keys");
        assert!(!admitted(&open, token(&keys.signer, &keys.user, &free(""))), "of no account");
        assert!(!admitted(&revoked, token(&keys.account, &keys.user, &free(""))));
        assert!(!admitted(&wide(""), token(&keys.user, &keys.user, &free(""))), "vouches for itself");
        for said in [r#","src":["10.0.0.0/8"]"#, r#","allowed_connection_types":["MQTT"]"#] {
            assert!(!admitted(&wide(""), token(&keys.account, &keys.user, &free(said))), "{said}");
        }
        assert!(
            !admitted(&wide(""), token(&keys.account, &keys.user, "")),
            "no subscriptions: not to be honoured"
        );
        let whole = token(&keys.account, &keys.user, &free(""));
        let mut forged = whole.clone().into_bytes();
        let at = whole.find('.').unwrap() + 20;
        forged[at] = if forged[at] == b'A' { b'B' } else { b'A' };
        assert!(!admitted(&wide(""), String::from_utf8(forged).unwrap()), "changed after it was signed");
    }

    #[test]
    fn a_key_with_a_scope_says_what_its_users_may_do() {
        let keys = keys();
        let signer = keys.signer.public_key();
        let scoped = |template: &str| {
            wide(&format!(
                r#","signing_keys":[{{"kind":"user_scope","key":"{signer}","role":"r","template":{template}}}]"#
            ))
        };
        let of =
            |more: &str| format!(r#","nats":{{"issuer_account":"{}"{more}}}"#, keys.account.public_key());
        let (operator, _) =
            trusting(&keys, &scoped(r#"{"subs":-1,"payload":-1,"pub":{"allow":["x"]},"resp":{"max":3}}"#))
                .unwrap();
        let admit = |more: &str| {
            operator.admit(&connecting(&keys, token(&keys.signer, &keys.user, &of(more))), "nonce", AT)
        };
        let may = admit("").unwrap().permissions.unwrap();
        assert!(may.may_publish(b"x") && !may.may_publish(b"y"));
        assert_eq!(may.responses, Some(Responses { most: Some(3), ..Responses::USUAL }));
        assert_eq!(admit(r#","pub":{"allow":["y"]}"#), None, "it says itself what it may do");
        let templated = trusting(&keys, &scoped(r#"{"pub":{"allow":["x.{{name()}}"]}}"#)).unwrap_err();
        assert!(matches!(templated, TokenError::Unsupported(_)), "{templated}");
    }

    #[test]
    fn what_is_no_token_or_nobody_vouches_for_is_refused_with_its_reason() {
        let keys = keys();
        assert_eq!(Operator::read("a.b"), Err(TokenError::Form));
        let v1 = BASE64URL_NOPAD.encode(br#"{"alg":"ed25519"}"#);
        assert_eq!(
            Operator::read(&format!("{v1}.e30.e30")),
            Err(TokenError::Algorithm("ed25519".to_owned()))
        );
        let account = keys.account.public_key();
        let wrong = Operator::read(&token(&keys.operator, &keys.account, ""));
        assert_eq!(wrong, Err(TokenError::Subject(account, "operator")));
        let other = KeyPair::new_operator();
        let foreign = Operator::read(&token(&other, &keys.operator, ""));
        assert_eq!(foreign, Err(TokenError::Issuer(other.public_key())));
        let mut operator = Operator::read(&token(&keys.operator, &keys.operator, "")).unwrap();
        let foreign = operator.trust(&token(&other, &keys.account, ""), 1);
        assert_eq!(foreign, Err(TokenError::Issuer(other.public_key())));
        for said in [
            wide(r#","imports":[{}]"#),
            wide(r#","mappings":{"a":[]}"#),
            r#","nats":{"limits":{}}"#.to_owned(),
        ] {
            let refused = trusting(&keys, &said).unwrap_err();
            assert!(matches!(refused, TokenError::Unsupported(_)), "{said}: {refused}");
        }
    }
}
