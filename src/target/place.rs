//! A directory of its own for each broker, and a free port.

use std::fs::{self, DirBuilder};
use std::io;
use std::net::TcpListener;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::TargetError;

/// Tells directories of one process apart.
static NEXT: AtomicU32 = AtomicU32::new(0);

/// A new directory that only we can read; removed when dropped, unless kept.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    keep: bool,
}

impl Place {
    /// Makes a directory below the system's temporary one; `name` is for people who find it.
    pub(super) fn new(name: &str) -> Result<Self, TargetError> {
        let name: String =
            name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect();
        let parent = std::env::temp_dir();
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let path = parent.join(format!("busmark-{name}-{}-{number}", std::process::id()));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => return Ok(Self { path, keep: false }),
                // Left behind by an earlier process with the same id.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(source) => return Err(TargetError::Io { path, what: "could not make it", source }),
            }
        }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves the directory there for a person to look into.
    pub(super) fn keep(&mut self) {
        self.keep = true;
    }

    /// Writes a file into it.
    pub(super) fn write(&self, name: &str, text: &str) -> Result<PathBuf, TargetError> {
        let path = self.path.join(name);
        fs::write(&path, text).map_err(|source| TargetError::Io {
            path: path.clone(),
            what: "could not write it",
            source,
        })?;
        Ok(path)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.keep {
            let _gone_already = fs::remove_dir_all(&self.path);
        }
    }
}

/// A TCP port on loopback that was free a moment ago. Whoever uses it must be ready to lose the race.
pub(super) fn free_port() -> Result<u16, TargetError> {
    let bound = TcpListener::bind(("127.0.0.1", 0)).and_then(|listener| listener.local_addr());
    bound.map(|address| address.port()).map_err(|source| TargetError::Io {
        path: PathBuf::from("127.0.0.1"),
        what: "no free port",
        source,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_distinct_and_gone_when_dropped_unless_kept() {
        let (a, mut b) = (Place::new("redis 8/x").unwrap(), Place::new("redis 8/x").unwrap());
        let (path_a, path_b) = (a.path().to_owned(), b.path().to_owned());
        assert_ne!(path_a, path_b);
        b.keep();
        drop((a, b));
        assert!(!path_a.exists());
        assert!(path_b.exists());
        fs::remove_dir_all(path_b).unwrap();
    }
}
