//! Settings from the command line and from configuration files, in the ways of nats-server. What can't be
//! honoured is refused, never passed over.

mod apply;
mod arguments;
mod people;
mod syntax;
mod trust;
mod units;

use super::operator::TokenError;
use super::settings::Settings;

pub use arguments::Request;
pub(super) use units::duration;

/// Applies a configuration file's text.
///
/// # Errors
/// Something in it is no configuration, unknown, or can't be honoured.
pub(super) fn read(settings: &mut Settings, file: &str, text: &str) -> Result<(), ConfigError> {
    apply::apply(settings, &syntax::parse(file, text)?)
}

/// What is wrong with options or with a configuration.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The text is no configuration.
    #[error("{file}:{line}: {why}")]
    Syntax {
        /// The file.
        file: String,
        /// Where in it.
        line: usize,
        /// What is wrong.
        why: String,
    },
    /// A value makes no sense for its key.
    #[error("{key}: {given:?} is not {wanted}")]
    Value {
        /// The key or option.
        key: String,
        /// What was given.
        given: String,
        /// What is allowed.
        wanted: &'static str,
    },
    /// A token is of no use.
    #[error("{key}: {why}")]
    Token {
        /// The key it stands at.
        key: String,
        /// Why.
        why: TokenError,
    },
    /// nats-server has it, this engine doesn't.
    #[error("{0} is not supported by this engine; leave it out, or run nats-server")]
    Unsupported(String),
    /// Nobody has it.
    #[error("unknown option or key {0}")]
    Unknown(String),
    /// An option without its value.
    #[error("{0} needs a value")]
    Missing(String),
    /// The file can't be read.
    #[error("cannot read {path}: {source}")]
    Read {
        /// The file.
        path: String,
        /// What the system says.
        source: std::io::Error,
    },
}
