//! A file system of its own on a loop device, whose power can be cut.

#![expect(unsafe_code, reason = "the ioctl has no safe interface")]

use std::fs::File;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::process::Command;

/// `EXT4_IOC_SHUTDOWN`, and its flag that says: without writing the log.
const SHUTDOWN: libc::c_ulong = 0x8004_587d;
static WITHOUT_LOG: u32 = 2;

/// An ext4 file system that writes nothing back by itself for five minutes.
pub(crate) struct Mount {
    image: PathBuf,
    pub(crate) path: PathBuf,
    mounted: bool,
    _dir: tempfile::TempDir,
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output =
        Command::new(program).args(arguments).output().map_err(|error| format!("{program}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!("{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

impl Mount {
    /// Makes one of so many MiB; `None`, said on the standard error, where there are no rights for it.
    pub(crate) fn make(test: &str, megabytes: u64) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let (image, path) = (dir.path().join("image"), dir.path().join("mounted"));
        std::fs::create_dir(&path).unwrap();
        File::create(&image).unwrap().set_len(megabytes << 20).unwrap();
        let mut mount = Self { image, path, mounted: false, _dir: dir };
        let made =
            run("mkfs.ext4", &["-q", "-F", "-m", "0", shown(&mount.image)]).and_then(|()| mount.mount());
        match made {
            Ok(()) => Some(mount),
            Err(why) => {
                eprintln!("NOT RUN: {test}: it needs to mount a loop device, as root: {why}");
                None
            }
        }
    }

    fn mount(&mut self) -> Result<(), String> {
        run("mount", &["-o", "loop,commit=300", shown(&self.image), shown(&self.path)])?;
        self.mounted = true;
        Ok(())
    }

    fn unmount(&mut self) -> Result<(), String> {
        self.mounted = false;
        run("umount", &[shown(&self.path)])
    }

    /// Loses everything that was not synced, and mounts what is left.
    pub(crate) fn cut_power(&mut self) {
        let root = File::open(&self.path).unwrap();
        // SAFETY: the descriptor is open, and the argument is a number that the call only reads.
        let result = unsafe { libc::ioctl(root.as_raw_fd(), SHUTDOWN, &raw const WITHOUT_LOG) };
        assert_eq!(result, 0, "the shutdown ioctl: {}", std::io::Error::last_os_error());
        drop(root);
        self.unmount().unwrap();
        self.mount().unwrap();
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        if self.mounted {
            let _ = self.unmount();
        }
    }
}

fn shown(path: &Path) -> &str {
    path.to_str().unwrap()
}
