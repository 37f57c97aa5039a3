//! The last words of the process, where Kubernetes shows them: `kubectl describe pod`.

use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tracing::warn;

use crate::adapters::blocking::run_within;
use crate::adapters::final_ledger::MAX_MESSAGE_BYTES;
use crate::domain::text::truncated_bytes;

/// How long the end of the process waits for the file.
const TIMEOUT: Duration = Duration::from_secs(1);

/// Writes `message` to the file at `path`, which the kubelet mounts into each container. Without that
/// file, outside of a pod, it does nothing. A failure is logged.
pub fn write(path: &Path, message: &str) {
    let message = truncated_bytes(message, MAX_MESSAGE_BYTES).into_owned();
    let file = path.to_owned();
    match run_within(TIMEOUT, move || write_file(&file, &message)) {
        Some(Ok(())) => {}
        Some(Err(error)) if error.kind() == ErrorKind::NotFound => {}
        Some(Err(error)) => warn!(?path, %error, "cannot write the termination message"),
        None => warn!(?path, "cannot write the termination message within {TIMEOUT:?}"),
    }
}

fn write_file(path: &PathBuf, message: &str) -> io::Result<()> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    // Not created: on a machine without Kubernetes it would be a file that nobody expects.
    OpenOptions::new().write(true).truncate(true).open(path)?.write_all(message.as_bytes())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn the_message_replaces_the_content_and_is_cut_to_what_kubernetes_reads() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("termination-log");
        fs::write(&path, "x".repeat(9000)).unwrap();

        write(&path, &"é".repeat(5000));

        let written = fs::read_to_string(&path).unwrap();
        assert!(written.len() <= MAX_MESSAGE_BYTES && written.ends_with("é…"), "{}", written.len());
    }

    #[test]
    fn a_file_that_does_not_exist_is_not_created() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("termination-log");

        write(&path, "ended");

        assert!(!path.exists());
    }

    #[test]
    fn anything_but_a_regular_file_is_left_alone() {
        assert!(write_file(&"/dev/null".into(), "ended").is_err());
    }
}
