//! A volume as Kubernetes mounts one, such as that of a Secret.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

/// The volume, empty at first. Its files change as a kubelet changes them: each is a link through
/// `..data`, itself a link, which is replaced by one to a folder of new files.
pub(crate) struct Volume {
    directory: TempDir,
    versions: usize,
}

impl Volume {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().expect("a directory can be made");
        Self { directory, versions: 0 }
    }

    /// Where the file `key` is, or will be.
    pub(crate) fn path(&self, key: &str) -> PathBuf {
        self.root().join(key)
    }

    /// Replaces all files.
    pub(crate) fn put(&mut self, files: &[(&str, &str)]) {
        self.versions += 1;
        let version = format!("..{}", self.versions);
        fs::create_dir(self.path(&version)).expect("a folder can be made");
        for (key, content) in files {
            fs::write(self.path(&version).join(key), content).expect("a file can be written");
        }
        let old = fs::read_link(self.path("..data"));
        symlink(&version, self.path("..data_tmp")).expect("a link can be made");
        fs::rename(self.path("..data_tmp"), self.path("..data")).expect("it can be swapped");
        for (key, _) in files {
            if self.path(key).symlink_metadata().is_err() {
                symlink(Path::new("..data").join(key), self.path(key)).expect("a link can be made");
            }
        }
        if let Ok(old) = old {
            fs::remove_dir_all(self.root().join(old)).expect("a folder can be removed");
        }
    }

    fn root(&self) -> &Path {
        self.directory.path()
    }
}
