//! What can go wrong while results are written, read or drawn.

use std::path::{Path, PathBuf};

/// An error of the report room; each says which file it is about and what to do.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// A chart could not be drawn.
    #[error("a chart could not be drawn: {0}")]
    Chart(String),
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The folder is no results folder of busmark's.
    #[error("{} is no results folder: {why}; `busmark results list` shows those that are here", path.display())]
    NotResults {
        /// Which one.
        path: PathBuf,
        /// What is missing.
        why: String,
    },
    /// A run can't be kept as a baseline, or a baseline not be used.
    #[error("baseline {}: {why}", path.display())]
    NoBaseline {
        /// Where it is, or would be.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// The run ended before its first trial did.
    #[error("{} holds no finished trial: the run ended before its first trial did; run it again", path.display())]
    NoTrials {
        /// The folder.
        path: PathBuf,
    },
    /// A file can't be understood: cut off, or edited by hand.
    #[error("{} can't be read: {detail}; it is cut off or was edited by hand, restore it or run again", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        detail: String,
    },
    /// The folder was written by a newer busmark.
    #[error(
        "{} has schema version {found}, this busmark knows versions up to {known}: use the busmark that wrote it, \
         or a newer one",
        path.display()
    )]
    TooNew {
        /// Which file.
        path: PathBuf,
        /// The version it has.
        found: u64,
        /// The newest version known here.
        known: u64,
    },
}

impl ReportError {
    /// For `map_err`: an I/O error at a path.
    pub(super) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self + use<'_> {
        |source| Self::Io { path: path.to_owned(), source }
    }

    /// A file that can't be understood.
    pub(super) fn damaged(path: &Path, detail: impl std::fmt::Display) -> Self {
        Self::Damaged { path: path.to_owned(), detail: detail.to_string() }
    }
}
