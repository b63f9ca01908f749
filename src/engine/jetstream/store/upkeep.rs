//! What a stream wants done beside the event loop: syncs, its summary written, old segments deleted, closed ones
//! compressed.

use super::{gently, index, packed, replace_file, space, summary, sync_dir};
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Work on the files of one stream.
#[derive(Debug, Default)]
pub(in super::super) struct Upkeep {
    pub(super) dir: PathBuf,
    /// To be synced.
    pub(in super::super) files: Vec<Arc<File>>,
    /// To be written after that.
    pub(super) summary: Option<Vec<u8>>,
    /// Segments to be deleted after that.
    pub(super) superfluous: Vec<PathBuf>,
    /// Segments to be compressed after that.
    pub(super) to_pack: Vec<(PathBuf, packed::Head)>,
}

fn gone_is_fine(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn remove(path: &Path) -> io::Result<()> {
    gone_is_fine(fs::remove_file(path))
}

impl Upkeep {
    /// Files to be synced and nothing else.
    pub(in super::super) fn of_files(files: Vec<Arc<File>>) -> Self {
        Self { files, ..Self::default() }
    }

    /// Does it. A stream that was deleted meanwhile is left alone.
    ///
    /// # Errors
    /// The disk's: nothing that was acknowledged since the last sync can be promised any more.
    pub(in super::super) fn carry_out(self) -> io::Result<()> {
        self.files.iter().try_for_each(|file| gently::sync_data(file))?;
        if !self.dir.as_os_str().is_empty() {
            // New segments are to be found, too.
            gone_is_fine(sync_dir(&self.dir))?;
        }
        if let Some(bytes) = &self.summary {
            self.summarise(bytes)?;
        }
        for (path, head) in self.to_pack {
            match packed::pack(&path, head) {
                // It stays as it is.
                Err(error) if space::is_full(&error) => {}
                other => gone_is_fine(other)?,
            }
        }
        Ok(())
    }

    fn summarise(&self, bytes: &[u8]) -> io::Result<()> {
        match replace_file(&summary::path_in(&self.dir), bytes) {
            // Without a summary all segments are read at the next start, which gives the same.
            Err(error) if space::is_full(&error) => {
                remove(&summary::path_in(&self.dir))?;
                gone_is_fine(sync_dir(&self.dir))?;
            }
            other => gone_is_fine(other)?,
        }
        for path in &self.superfluous {
            remove(&index::path_of(path))?;
            remove(path)?;
            remove(&packed::path_of(path))?;
        }
        Ok(())
    }
}
