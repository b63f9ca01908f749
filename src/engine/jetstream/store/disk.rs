//! Small files that are replaced as a whole, and directories that are synced.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;
use xxhash_rust::xxh3::xxh3_64;

/// Makes creations, renames and removals in a directory last.
///
/// # Errors
/// The disk's.
pub(in super::super) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Replaces a file's content, so that after a loss of power either the old or the new one is there.
///
/// # Errors
/// The disk's.
pub(in super::super) fn replace_file(path: &Path, content: &[u8]) -> io::Result<()> {
    let temporary = path.with_extension("new");
    let mut file = File::create(&temporary)?;
    file.write_all(&xxh3_64(content).to_le_bytes())?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&temporary, path)?;
    path.parent().map_or(Ok(()), sync_dir)
}

/// Reads a file that [`replace_file`] wrote; `None` if it is damaged.
///
/// # Errors
/// The disk's.
pub(in super::super) fn read_checked(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let all = fs::read(path)?;
    let Some((hash, content)) = all.split_at_checked(8) else { return Ok(None) };
    Ok((hash == xxh3_64(content).to_le_bytes()).then(|| content.to_vec()))
}
