//! TLS of a wire client, by rustls: which certificates are believed, and which one is shown.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{DriverError, ErrorKind};

/// The files that an address names: `?ca=FILE&cert=FILE&key=FILE`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct TlsFiles {
    /// Whom to believe, PEM; without it, whom the machine believes.
    pub(super) ca: Option<PathBuf>,
    /// The client's own certificate, PEM, where the server wants one.
    pub(super) cert: Option<PathBuf>,
    /// Its private key, PEM.
    pub(super) key: Option<PathBuf>,
}

impl TlsFiles {
    /// Reads the part of an address behind `?`.
    ///
    /// # Errors
    /// The first word that is none of `ca`, `cert` and `key`.
    pub(super) fn parse(query: &str) -> Result<Self, String> {
        let mut files = Self::default();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let slot = match name {
                "ca" => &mut files.ca,
                "cert" => &mut files.cert,
                "key" => &mut files.key,
                other => return Err(format!("`{other}` is none of ca, cert, key")),
            };
            *slot = Some(PathBuf::from(value));
        }
        if files.cert.is_some() != files.key.is_some() {
            return Err("cert and key go together".to_owned());
        }
        Ok(files)
    }
}

/// A way to encrypt connections; cheap to clone.
#[derive(Clone)]
pub(super) struct Tls {
    config: Arc<ClientConfig>,
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Tls")
    }
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// `Fatal` if one can't be read or holds nothing usable.
    pub(super) fn load(driver: &'static str, files: &TlsFiles) -> Result<Self, DriverError> {
        let fatal = |what: String| DriverError::new(ErrorKind::Fatal, driver, what);
        let roots = match &files.ca {
            Some(path) => {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(certificates(path).map_err(fatal)?);
                roots
            }
            None => {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
                roots
            }
        };
        if roots.is_empty() {
            return Err(fatal("there is no certificate to believe in".to_owned())
                .remedy("name a file with one in the address: …HOST:PORT?ca=FILE"));
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(|error| fatal(error.to_string()))?
            .with_root_certificates(roots);
        let config = match (&files.cert, &files.key) {
            (Some(cert), Some(key)) => {
                let chain = certificates(cert).map_err(fatal)?;
                let key = PrivateKeyDer::from_pem_file(key)
                    .map_err(|error| fatal(format!("{}: {error}", key.display())))?;
                builder.with_client_auth_cert(chain, key).map_err(|error| fatal(error.to_string()))?
            }
            _ => builder.with_no_client_auth(),
        };
        Ok(Self { config: Arc::new(config) })
    }

    /// Encrypts a connection to `host`.
    ///
    /// # Errors
    /// What the handshake says, such as a certificate that nobody vouches for.
    pub(super) async fn encrypt(
        &self,
        host: &str,
        stream: TcpStream,
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.to_owned()).map_err(std::io::Error::other)?;
        TlsConnector::from(Arc::clone(&self.config)).connect(name, stream).await
    }
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| format!("{}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_its_files_and_a_wrong_word_is_said() {
        let files = TlsFiles::parse("ca=/a/ca.pem&cert=c.pem&key=k.pem").unwrap();
        assert_eq!(files.ca.as_deref(), Some(Path::new("/a/ca.pem")));
        assert_eq!(TlsFiles::parse(""), Ok(TlsFiles::default()));
        assert!(TlsFiles::parse("cacert=x").unwrap_err().contains("cacert"));
        assert!(TlsFiles::parse("cert=x").is_err(), "a certificate is nothing without its key");
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let files = TlsFiles { ca: Some(PathBuf::from("/nowhere/ca.pem")), ..TlsFiles::default() };
        let error = Tls::load("redis-pubsub", &files).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Fatal);
        assert!(error.what.contains("/nowhere/ca.pem"), "{error}");
    }
}
