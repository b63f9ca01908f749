//! Files that are whole or not there: written beside their place, then renamed into it.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::error::ReportError;

/// Replaces a file as a whole: a reader sees the old content or the new one, whenever this process dies.
pub(super) fn replace(path: &Path, content: &[u8]) -> Result<(), ReportError> {
    let beside = beside(path);
    let written = fs::File::create(&beside).and_then(|mut file| file.write_all(content));
    written.map_err(ReportError::io(&beside))?;
    fs::rename(&beside, path).map_err(ReportError::io(path))
}

/// Replaces a file by the pretty JSON of a value.
pub(super) fn replace_json(path: &Path, value: &impl Serialize) -> Result<(), ReportError> {
    let mut text = serde_json::to_vec_pretty(value).map_err(|error| ReportError::damaged(path, error))?;
    text.push(b'\n');
    replace(path, &text)
}

/// Reads a file of JSON whose `schema_version` is at most `known`.
pub(super) fn read_json<T: DeserializeOwned>(path: &Path, known: u64) -> Result<T, ReportError> {
    let text = fs::read(path).map_err(ReportError::io(path))?;
    let value: serde_json::Value =
        serde_json::from_slice(&text).map_err(|error| ReportError::damaged(path, error))?;
    let version = value.get("schema_version").and_then(serde_json::Value::as_u64);
    let found = version.ok_or_else(|| ReportError::damaged(path, "it has no number `schema_version`"))?;
    if found > known {
        return Err(ReportError::TooNew { path: path.to_owned(), found, known });
    }
    // From the text again, so that an error names line and column.
    serde_json::from_slice(&text).map_err(|error| ReportError::damaged(path, error))
}

/// A CSV document of a header and rows.
pub(super) fn csv<R, C>(header: &[&str], rows: R) -> Result<Vec<u8>, csv::Error>
where
    R: IntoIterator<Item = C>,
    C: IntoIterator<Item = String>,
{
    let mut writer = csv::Writer::from_writer(Vec::new());
    writer.write_record(header)?;
    for row in rows {
        writer.write_record(row)?;
    }
    writer.into_inner().map_err(|error| error.into_error().into())
}

/// Points a symbolic link at a target, replacing an older link but nothing else.
pub(super) fn relink(link: &Path, target: &Path) -> Result<(), ReportError> {
    if fs::symlink_metadata(link).is_ok_and(|found| !found.is_symlink()) {
        return Ok(());
    }
    let beside = beside(link);
    let _leftover = fs::remove_file(&beside);
    std::os::unix::fs::symlink(target, &beside).map_err(ReportError::io(&beside))?;
    fs::rename(&beside, link).map_err(ReportError::io(link))
}

/// The hidden name under which a file is written before it is renamed.
fn beside(path: &Path) -> PathBuf {
    let name = path.file_name().map_or_else(|| "file".into(), |name| name.to_string_lossy());
    path.with_file_name(format!(".{name}.part"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole_and_leaves_nothing_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("summary.csv");
        replace(&path, b"one").unwrap();
        replace(&path, b"two").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_link_is_moved_but_a_file_of_that_name_is_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("latest");
        relink(&link, Path::new("a")).unwrap();
        relink(&link, Path::new("b")).unwrap();
        assert_eq!(fs::read_link(&link).unwrap(), Path::new("b"));
        fs::remove_file(&link).unwrap();
        fs::write(&link, "mine").unwrap();
        relink(&link, Path::new("c")).unwrap();
        assert_eq!(fs::read(&link).unwrap(), b"mine");
    }

    #[test]
    fn json_without_a_version_cut_off_or_of_the_future_is_refused_with_its_reason() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("manifest.json");
        for (text, reason) in [
            ("{\"a\": 1}", "no number `schema_version`"),
            ("{\"schema_version\": 1, \"a", "line 1 column"),
            ("{\"schema_version\": 9}", "schema version 9"),
        ] {
            fs::write(&path, text).unwrap();
            let error = read_json::<serde_json::Value>(&path, 1).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
            assert!(error.contains("manifest.json"), "{error}");
        }
    }
}
