//! TLS for connections, by rustls.

use mio::net::TcpStream;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig, ServerConnection};
use std::io::{self, IoSlice, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A certificate or key that is of no use.
#[derive(Debug, thiserror::Error)]
#[error("cannot use {path} for TLS: {why}")]
pub struct TlsError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub why: String,
}

/// Where the server's identity is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and those that vouch for it, PEM.
    pub certificate: PathBuf,
    /// The private key, PEM.
    pub key: PathBuf,
    /// Who vouches for clients, PEM; with it, each client has to show a certificate.
    pub clients: Option<PathBuf>,
}

fn certificates(at: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    CertificateDer::pem_file_iter(at)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| TlsError { path: at.to_owned(), why: error.to_string() })
}

impl TlsFiles {
    /// Reads the files.
    ///
    /// # Errors
    /// A file can't be read or holds no usable certificate or key.
    pub(super) fn load(&self) -> Result<Arc<ServerConfig>, TlsError> {
        let failed = |path: &Path, why: String| TlsError { path: path.to_owned(), why };
        let at = &self.certificate;
        let chain = certificates(at)?;
        let key =
            PrivateKeyDer::from_pem_file(&self.key).map_err(|error| failed(&self.key, error.to_string()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(|error| failed(at, error.to_string()))?;
        let builder = match &self.clients {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let mut roots = RootCertStore::empty();
                roots.add_parsable_certificates(certificates(path)?);
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let verifier = verifier.build().map_err(|error| failed(path, error.to_string()))?;
                builder.with_client_cert_verifier(verifier)
            }
        };
        let config = builder.with_single_cert(chain, key).map_err(|error| failed(at, error.to_string()))?;
        Ok(Arc::new(config))
    }
}

/// One encrypted connection.
#[derive(Debug)]
pub(super) struct TlsStream {
    socket: TcpStream,
    tls: ServerConnection,
    heard: bool,
}

impl TlsStream {
    /// Expects a client's greeting on `socket`.
    ///
    /// # Errors
    /// The configuration can't be used.
    pub(super) fn new(socket: TcpStream, config: Arc<ServerConfig>) -> Result<Self, rustls::Error> {
        Ok(Self { socket, tls: ServerConnection::new(config)?, heard: false })
    }

    /// The connection below.
    pub(super) fn socket(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    /// Whether the client has sent anything.
    pub(super) fn has_heard(&self) -> bool {
        self.heard
    }

    /// Writes bytes as they are, before anything is encrypted.
    ///
    /// # Errors
    /// As `write(2)`; `WriteZero` if the socket does not take all of them.
    pub(super) fn say_in_plain(&mut self, bytes: &[u8]) -> io::Result<()> {
        let written = self.socket.write(bytes)?;
        if written == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    /// The connection below, to be looked at.
    pub(super) fn plain(&self) -> &TcpStream {
        &self.socket
    }

    /// Reads decrypted bytes; 0 is the end.
    pub(super) fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.tls.reader().read(buf) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
            if self.tls.read_tls(&mut self.socket)? == 0 {
                return Ok(0);
            }
            self.heard = true;
            let processed = self.tls.process_new_packets();
            // Answers of the handshake, or the alert that says what was wrong.
            let pushed = self.push();
            processed.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            pushed?;
        }
    }

    /// Encrypts some of the slices and writes what the socket takes.
    pub(super) fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.push()?;
        if self.tls.wants_write() {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        // Taking less than all says that the socket is full, so that its readiness will be told.
        let mut taken = 0;
        for slice in slices {
            let mut rest: &[u8] = slice;
            while !rest.is_empty() {
                let some = self.tls.writer().write(rest)?;
                taken += some;
                rest = &rest[some..];
                self.push()?;
                if self.tls.wants_write() {
                    return Ok(taken);
                }
            }
        }
        Ok(taken)
    }

    /// Whether there are encrypted bytes that the socket did not take yet.
    pub(super) fn holds_back(&self) -> bool {
        self.tls.wants_write()
    }

    /// Whether the ends have not agreed yet.
    pub(super) fn is_handshaking(&self) -> bool {
        self.tls.is_handshaking()
    }

    /// Writes encrypted bytes until there are none or the socket is full.
    pub(super) fn push(&mut self) -> io::Result<()> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut self.socket) {
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
