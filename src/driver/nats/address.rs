//! Where NATS servers are and who we are to them:
//! `nats://[user:password@|token@]host[:port][,nats://…][?ca=FILE&cert=FILE&key=FILE&nkey=SEED&creds=FILE]`.
//! A scenario names secrets by variables of the environment (`${NAME}`), which are filled in before this is
//! read; a seed and credentials may be given as such or as the file that holds them.

use std::path::Path;
use std::sync::{Arc, OnceLock};

use async_nats::{ConnectOptions, ServerAddr};
use data_encoding::BASE64URL_NOPAD;
use nkeys::KeyPair;

use crate::driver::socket::Place;
use crate::driver::tls::{Tls, TlsFiles};
use crate::driver::{DriverError, ErrorKind};

/// A parsed URL. Its `Debug` shows no secret.
#[derive(Clone)]
pub(super) struct Address {
    pub(super) driver: &'static str,
    servers: Vec<ServerAddr>,
    who: Who,
    files: TlsFiles,
    /// What the files say, once somebody has asked.
    tls: OnceLock<Tls>,
}

/// Who we are.
#[derive(Clone)]
enum Who {
    Nobody,
    User(String, String),
    Token(String),
    Key(Arc<KeyPair>),
    Credentials { jwt: String, key: Arc<KeyPair> },
}

/// What a client says of itself in CONNECT.
#[derive(Debug, Default)]
pub(super) struct Introduction {
    pub(super) user: String,
    pub(super) password: String,
    pub(super) token: String,
    pub(super) nkey: String,
    pub(super) jwt: String,
    pub(super) signature: String,
}

impl Address {
    /// Parses a URL. Errors don't repeat it, since it may hold a password.
    pub(super) fn parse(driver: &'static str, url: &str) -> Result<Self, DriverError> {
        let fatal = |what: String| DriverError::new(ErrorKind::Fatal, driver, what);
        let (places, query) = url.split_once('?').unwrap_or((url, ""));
        let servers: Option<Vec<ServerAddr>> = places.split(',').map(|place| place.parse().ok()).collect();
        let servers = servers.filter(|servers| servers.iter().all(|server| !server.host().is_empty()));
        let Some(servers) = servers else {
            return Err(fatal("the target's URL is none that NATS can be reached by".to_owned()).remedy(
                "write nats://[user:password@|token@]host[:port], several with commas between them",
            ));
        };
        let decoded = |text: Option<&str>| text.map(percent_decoded);
        let mut who = match (decoded(servers[0].username()), decoded(servers[0].password())) {
            (None, _) => Who::Nobody,
            (Some(token), None) => Who::Token(token),
            (Some(user), Some(password)) => Who::User(user, password),
        };
        let mut files = TlsFiles::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = percent_decoded(value);
            match name {
                "ca" => files.ca = Some(value.into()),
                "cert" => files.cert = Some(value.into()),
                "key" => files.key = Some(value.into()),
                "nkey" => who = Who::key(&value).map_err(fatal)?,
                "creds" => who = Who::credentials(&value).map_err(fatal)?,
                other => return Err(fatal(format!("`{other}` is none of ca, cert, key, nkey, creds"))),
            }
        }
        if files.cert.is_some() != files.key.is_some() {
            return Err(fatal("cert and key go together".to_owned()));
        }
        Ok(Self { driver, servers, who, files, tls: OnceLock::new() })
    }

    /// The servers, in the order in which they are tried by a connection of this number: connections are spread
    /// over them.
    pub(super) fn places(&self, connection: u32) -> impl Iterator<Item = Place> + '_ {
        let (count, first) = (self.servers.len(), connection as usize);
        let at = move |number: usize| &self.servers[(first + number) % count];
        (0..count).map(at).map(|server| Place::Tcp(server.host().to_owned(), server.port()))
    }

    /// Whether the connection is to be encrypted.
    pub(super) fn wants_tls(&self) -> bool {
        self.servers.iter().any(ServerAddr::tls_required)
            || self.files.ca.is_some()
            || self.files.cert.is_some()
    }

    /// How a wire client encrypts its connections; the files are read once.
    ///
    /// # Errors
    /// `Fatal` if a file can't be read or holds nothing usable.
    pub(super) fn tls(&self) -> Result<&Tls, DriverError> {
        if let Some(tls) = self.tls.get() {
            return Ok(tls);
        }
        let tls = Tls::load(self.driver, &self.files)?;
        Ok(self.tls.get_or_init(|| tls))
    }

    /// The library's options and servers for this address.
    pub(super) fn library(&self) -> (ConnectOptions, Vec<ServerAddr>) {
        let mut options = ConnectOptions::new();
        options = match &self.who {
            Who::Nobody => options,
            Who::User(user, password) => options.user_and_password(user.clone(), password.clone()),
            Who::Token(token) => options.token(token.clone()),
            Who::Key(key) => match key.seed() {
                Ok(seed) => options.nkey(seed),
                Err(_) => options,
            },
            Who::Credentials { jwt, key } => {
                let key = Arc::clone(key);
                options.jwt(jwt.clone(), move |nonce| {
                    let signed = key.sign(&nonce).map_err(async_nats::AuthError::new);
                    std::future::ready(signed)
                })
            }
        };
        if self.wants_tls() {
            options = options.require_tls(true);
        }
        if let Some(ca) = &self.files.ca {
            options = options.add_root_certificates(ca.clone());
        }
        if let (Some(cert), Some(key)) = (&self.files.cert, &self.files.key) {
            options = options.add_client_certificate(cert.clone(), key.clone());
        }
        (options, self.servers.clone())
    }

    /// What to say in CONNECT to a server that gave this nonce.
    pub(super) fn introduction(&self, nonce: &str) -> Result<Introduction, DriverError> {
        let nobody = Introduction::default();
        let sign = |key: &KeyPair| {
            let what = "the key can't sign";
            let signed = key.sign(nonce.as_bytes());
            let signed = signed.map_err(|_| DriverError::new(ErrorKind::Fatal, self.driver, what))?;
            Ok::<String, DriverError>(BASE64URL_NOPAD.encode(&signed))
        };
        Ok(match &self.who {
            Who::Nobody => nobody,
            Who::User(user, password) => {
                Introduction { user: user.clone(), password: password.clone(), ..nobody }
            }
            Who::Token(token) => Introduction { token: token.clone(), ..nobody },
            Who::Key(key) => Introduction { nkey: key.public_key(), signature: sign(key)?, ..nobody },
            Who::Credentials { jwt, key } => {
                Introduction { jwt: jwt.clone(), signature: sign(key)?, ..nobody }
            }
        })
    }
}

impl Who {
    /// From a user's seed, or the file that it is in.
    fn key(seed_or_file: &str) -> Result<Self, String> {
        let given = seed_or_file.trim();
        let seed = if given.starts_with("SU") { given.to_owned() } else { read(given, "nkey")? };
        let seed = seed.lines().map(str::trim).find(|line| line.starts_with("SU")).unwrap_or_default();
        let key = KeyPair::from_seed(seed).map_err(|_| "nkey is no user's seed".to_owned())?;
        Ok(Self::Key(Arc::new(key)))
    }

    /// From credentials as `nsc` writes them, or the file that they are in.
    fn credentials(text_or_file: &str) -> Result<Self, String> {
        let text = if text_or_file.contains("-----BEGIN") {
            text_or_file.to_owned()
        } else {
            read(text_or_file, "creds")?
        };
        let block = |title: &str| {
            let (_, rest) = text.split_once(title)?;
            rest.lines().skip(1).map(str::trim).find(|line| !line.is_empty())
        };
        let (Some(jwt), Some(seed)) = (block("BEGIN NATS USER JWT"), block("BEGIN USER NKEY SEED")) else {
            return Err("creds holds no user's JWT and seed".to_owned());
        };
        let key = KeyPair::from_seed(seed).map_err(|_| "the seed in creds is none".to_owned())?;
        Ok(Self::Credentials { jwt: jwt.to_owned(), key: Arc::new(key) })
    }
}

fn read(file: &str, what: &str) -> Result<String, String> {
    std::fs::read_to_string(Path::new(file))
        .map_err(|error| format!("the file of {what} can't be read: {error}"))
}

/// Undoes percent-encoding (RFC 3986); what is none stays as it is.
fn percent_decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes.get(at + 1..at + 3).filter(|_| bytes[at] == b'%');
        let byte = hex.and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        out.push(byte.unwrap_or(bytes[at]));
        at += if byte.is_some() { 3 } else { 1 };
    }
    String::from_utf8_lossy(&out).into_owned()
}

impl std::fmt::Debug for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let places: Vec<Place> = self.places(0).collect();
        f.debug_struct("Address").field("places", &places).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(url: &str) -> Address {
        Address::parse("nats-core", url).unwrap()
    }

    #[test]
    fn secrets_are_taken_from_the_url_and_shown_nowhere() {
        let address = parse("nats://joe:hid%40den@somewhere:7000");
        let said = address.introduction("").unwrap();
        assert_eq!((said.user.as_str(), said.password.as_str()), ("joe", "hid@den"));
        assert!(!format!("{address:?}").contains("hid"));
        let token = parse("nats://hidden@127.0.0.1").introduction("").unwrap();
        assert_eq!((token.token.as_str(), token.user.as_str()), ("hidden", ""));
        let error = Address::parse("nats-core", "nats://joe:hidden@:x").unwrap_err();
        assert!(!format!("{error:?}").contains("hidden"), "{error:?}");
    }

    #[test]
    fn connections_are_spread_over_the_servers_and_each_knows_all() {
        let address = parse("nats://a:1,nats://b:2,nats://c");
        let at = |host: &str, port| Place::Tcp(host.to_owned(), port);
        assert_eq!(address.places(0).collect::<Vec<_>>(), [at("a", 1), at("b", 2), at("c", 4222)]);
        assert_eq!(address.places(4).collect::<Vec<_>>(), [at("b", 2), at("c", 4222), at("a", 1)]);
    }

    #[test]
    fn a_key_signs_the_servers_nonce_and_its_seed_is_said_to_nobody() {
        let key = KeyPair::new_user();
        let seed = key.seed().unwrap();
        let file = std::env::temp_dir().join(format!("busmark-seed-{}", std::process::id()));
        std::fs::write(&file, format!("# a comment\n{seed}\n")).unwrap();
        let creds = format!(
            "-----BEGIN NATS USER JWT-----\nabc.def\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n\
             {seed}\n------END USER NKEY SEED------\n"
        );
        let creds = creds.replace('\n', "%0A").replace(' ', "%20");
        for url in [
            format!("nats://h?nkey={seed}"),
            format!("nats://h?nkey={}", file.display()),
            format!("nats://h?creds={creds}"),
        ] {
            let said = parse(&url).introduction("nonce").unwrap();
            assert!(said.nkey == key.public_key() || said.jwt == "abc.def", "{said:?}");
            let signature = BASE64URL_NOPAD.decode(said.signature.as_bytes()).unwrap();
            key.verify(b"nonce", &signature).unwrap();
            assert!(!format!("{:?}", parse(&url)).contains(&seed[2..]));
        }
        std::fs::remove_file(file).unwrap();
        for wrong in ["nkey=SUXX", "nkey=/nowhere", "creds=/nowhere", "what=1", "cert=a"] {
            let error = Address::parse("nats-core", &format!("nats://h?{wrong}")).unwrap_err();
            assert_eq!(error.kind, ErrorKind::Fatal, "{wrong}");
        }
    }
}
