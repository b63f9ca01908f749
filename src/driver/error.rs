//! Errors of a driver, classified.

/// What an error means for the messages concerned, and for the trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ErrorKind {
    /// The system answered that it won't take the message; nothing of it is stored.
    Rejected,
    /// No answer in time: it may be stored all the same.
    Unknown,
    /// The connection is gone.
    Disconnected,
    /// Nothing useful can follow: wrong configuration, or not the system it claims to be.
    Fatal,
}

/// An error of a driver: what kind, what happened, and what to do about it.
#[derive(Debug, thiserror::Error)]
#[error("{driver}: {what}{}", remedy.as_ref().map(|r| format!("; {r}")).unwrap_or_default())]
pub struct DriverError {
    /// Classification; policy matches on this alone.
    pub kind: ErrorKind,
    /// Name of the driver.
    pub driver: &'static str,
    /// What happened, in words, without secrets.
    pub what: String,
    /// What to try next.
    pub remedy: Option<String>,
    /// The cause.
    #[source]
    pub source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl DriverError {
    /// An error without remedy or source.
    #[must_use]
    pub fn new(kind: ErrorKind, driver: &'static str, what: impl Into<String>) -> Self {
        Self { kind, driver, what: what.into(), remedy: None, source: None }
    }

    /// Adds what to try next.
    #[must_use]
    pub fn remedy(mut self, remedy: impl Into<String>) -> Self {
        self.remedy = Some(remedy.into());
        self
    }

    /// Adds the cause.
    #[must_use]
    pub fn source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }
}
