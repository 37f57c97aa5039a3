//! Reading files whose content others decide: mounted volumes, tokens, certificates.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::Path;
use std::time::Duration;

use super::blocking::BlockingCalls;
use crate::domain::units::ByteSize;

/// How long a file may take to be read.
const READ_TIMEOUT: Duration = Duration::from_secs(2);

/// Reads files while the process serves others: a mount that hangs must not hang the process. What is
/// read here is read one after the other, so that such a mount costs one thread.
#[derive(Clone, Debug, Default)]
pub struct FileReads(BlockingCalls);

impl FileReads {
    /// Runs `read`, which may block.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::TimedOut`] if it, or a read before it, takes longer than 2 s.
    pub async fn run<T: Send + 'static>(
        &self,
        read: impl FnOnce() -> T + Send + 'static,
    ) -> io::Result<T> {
        self.0.run(READ_TIMEOUT, read).await.ok_or_else(|| {
            let reason = format!("the file system does not respond within {READ_TIMEOUT:?}");
            io::Error::new(io::ErrorKind::TimedOut, reason)
        })
    }
}

/// Reads the regular file at `path`, links followed.
///
/// # Errors
///
/// The file cannot be read, is not a regular file, or has more than `max_bytes` bytes: it is never
/// cut.
pub fn read_bounded(path: &Path, max_bytes: u64) -> io::Result<Vec<u8>> {
    // Opening a pipe blocks until it has a writer, and a device may have no end.
    if !fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    File::open(path)?.take(max_bytes.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_bytes {
        return Err(io::Error::other(format!("it is larger than {}", ByteSize(max_bytes))));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_read_that_hangs_is_an_error_and_later_reads_work_once_it_has_ended() {
        let reads = FileReads::default();
        let (release, hung) = std::sync::mpsc::channel::<()>();
        let error = reads.run(move || hung.recv()).await.unwrap_err();
        assert_eq!(error.to_string(), "the file system does not respond within 2s");

        drop(release);

        assert_eq!(reads.run(|| 7).await.unwrap(), 7);
    }

    #[test]
    fn a_file_is_read_whole_up_to_the_bound_and_refused_beyond_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        fs::write(&path, "x".repeat(1024)).unwrap();

        assert_eq!(read_bounded(&path, 1024).unwrap().len(), 1024);
        fs::write(&path, "x".repeat(1025)).unwrap();
        let error = read_bounded(&path, 1024).unwrap_err();
        assert_eq!(error.to_string(), "it is larger than 1Ki");
    }

    #[test]
    fn anything_but_a_regular_file_is_refused_without_opening_it() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path(), Path::new("/dev/zero")] {
            let error = read_bounded(path, 1024).unwrap_err();
            assert_eq!(error.to_string(), "it is not a regular file", "{}", path.display());
        }
    }
}
