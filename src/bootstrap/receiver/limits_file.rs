//! Follows a file of limits while the receiver runs, as the kubelet maintains it in a pod.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use tracing::{info, warn};

use crate::adapters::files::{self, FileReads};
use crate::domain::limits::BufferLimits;
use crate::domain::limits_text::{self, ParsedLimits};
use crate::domain::text::join_limited;
use crate::ports::buffer::TraceBufferPort;

/// Interval between two reads. The file is a few lines in memory, so reading it costs no more than
/// checking for a change, and no way of replacing it is missed.
const POLL_INTERVAL: Duration = Duration::from_secs(1);
/// Maximum size of the file.
const MAX_FILE_BYTES: u64 = 4 * 1024;
/// Maximum unknown names in a log line.
const MAX_NAMES: usize = 5;

/// A file of limits and the state of following it.
pub(super) struct LimitsFile {
    path: PathBuf,
    reads: FileReads,
    /// Applies to limits that the file does not set.
    initial: BufferLimits,
    current: BufferLimits,
    /// The last problem that was logged, so that each is logged once.
    last_problem: Option<String>,
}

/// The result of one read of the file.
#[derive(Debug, PartialEq, Eq)]
enum LimitsFileChange {
    Changed { from: BufferLimits, to: BufferLimits },
    Invalid(String),
}

impl LimitsFile {
    pub(super) fn new(path: PathBuf, boot: BufferLimits) -> Self {
        let reads = FileReads::default();
        Self { path, reads, initial: boot, current: boot, last_problem: None }
    }

    /// Reads the file and applies its limits; without a valid file the current limits stay.
    pub(super) async fn reload<B: TraceBufferPort>(&mut self, buffer: &B) {
        let path = self.path.clone();
        let read = self.reads.run(move || read_file(&path)).await;
        let text = read.map_err(|error| error.to_string()).flatten();
        for change in self.update(text) {
            match change {
                LimitsFileChange::Changed { from, to } => {
                    buffer.set_limits(to);
                    let (from, to) = (limits_text::summary(&from), limits_text::summary(&to));
                    info!(%from, %to, "limits changed");
                }
                LimitsFileChange::Invalid(problem) => {
                    let (file, in_force) =
                        (self.path.display(), limits_text::summary(&self.current));
                    warn!(%file, %problem, %in_force, "the limits file is invalid");
                }
            }
        }
    }

    /// Reloads the file periodically, indefinitely.
    pub(super) async fn poll<B: TraceBufferPort>(mut self, buffer: Arc<B>) {
        let mut ticks = interval(POLL_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.reload(&*buffer).await;
        }
    }

    /// A limit that is missing returns to its initial value, unless there is an unknown name: that may be
    /// the missing one, misspelled.
    fn parse(&self, text: &str) -> Result<ParsedLimits, String> {
        if text.trim().is_empty() {
            return Err("it is empty, as while it is being written".to_owned());
        }
        let read = limits_text::parse(text, self.initial)?;
        if read.unknown_names.is_empty() {
            return Ok(read);
        }
        limits_text::parse(text, self.current)
    }

    fn update(&mut self, text: Result<String, String>) -> Vec<LimitsFileChange> {
        let read = text.and_then(|text| self.parse(&text));
        let (limits, problem) = match read {
            Ok(read) if read.unknown_names.is_empty() => (read.limits, None),
            Ok(read) => {
                let unknown = format!(
                    "unknown limits: {}",
                    join_limited(read.unknown_names.iter().map(String::as_str), MAX_NAMES)
                );
                (read.limits, Some(unknown))
            }
            Err(problem) => (self.current, Some(problem)),
        };
        let mut changes = Vec::new();
        if limits != self.current {
            changes.push(LimitsFileChange::Changed { from: self.current, to: limits });
            self.current = limits;
        }
        if problem != self.last_problem {
            changes.extend(problem.clone().map(LimitsFileChange::Invalid));
            self.last_problem = problem;
        }
        changes
    }
}

fn read_file(path: &Path) -> Result<String, String> {
    let bytes = files::read_bounded(path, MAX_FILE_BYTES).map_err(|error| error.to_string())?;
    String::from_utf8(bytes).map_err(|_| "it is not UTF-8 text".to_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::num::NonZeroU64;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::adapters::clock::TokioClock;
    use crate::adapters::storage::memory::MemoryStore;
    use crate::application::buffer_management::TraceBuffer;
    use crate::domain::limits::OverflowPolicy;

    fn limits(max_spans: u64) -> BufferLimits {
        let max_spans = NonZeroU64::new(max_spans).unwrap();
        BufferLimits { max_spans, max_bytes: NonZeroU64::new(1 << 20).unwrap(), max_age: None }
    }

    fn file() -> LimitsFile {
        LimitsFile::new("limits".into(), limits(100))
    }

    fn says(file: &mut LimitsFile, text: &str) -> Vec<LimitsFileChange> {
        file.update(Ok(text.to_owned()))
    }

    fn change(from: u64, to: u64) -> LimitsFileChange {
        LimitsFileChange::Changed { from: limits(from), to: limits(to) }
    }

    #[test]
    fn a_change_is_reported_once() {
        let mut file = file();

        assert_eq!(says(&mut file, "max_spans=5"), [change(100, 5)]);
        assert_eq!(says(&mut file, "max_spans=5"), []);
    }

    #[test]
    fn a_limit_removed_from_the_file_returns_to_its_boot_value() {
        let mut file = file();
        says(&mut file, "max_spans=5");

        assert_eq!(says(&mut file, "# no limits"), [change(5, 100)]);
    }

    #[test]
    fn an_invalid_or_missing_file_keeps_the_limits_and_is_reported_once() {
        let mut file = file();
        says(&mut file, "max_spans=5");

        let invalid = ["max_spans=many", "\n"].map(|text| Ok(text.to_owned()));
        for text in invalid.into_iter().chain([Err("gone".to_owned())]) {
            let news = file.update(text.clone());

            assert!(matches!(news.as_slice(), [LimitsFileChange::Invalid(_)]), "{news:?}");
            assert_eq!(file.update(text), []);
        }
        assert_eq!(says(&mut file, "max_spans=6"), [change(5, 6)]);
    }

    #[test]
    fn a_recurring_problem_is_reported_again() {
        let mut file = file();
        let gone = || Err("gone".to_owned());
        file.update(gone());
        says(&mut file, "max_spans=5");

        assert_eq!(file.update(gone()), [LimitsFileChange::Invalid("gone".to_owned())]);
    }

    #[test]
    fn an_unknown_name_is_reported_once_and_the_other_limits_apply() {
        let mut file = file();

        let news = says(&mut file, "mood=good\nmax_spans=5");

        let problem = LimitsFileChange::Invalid("unknown limits: mood".to_owned());
        assert_eq!(news, [change(100, 5), problem]);
        assert_eq!(says(&mut file, "mood=good\nmax_spans=5"), []);
    }

    #[test]
    fn a_misspelled_name_changes_nothing() {
        let mut file = file();
        says(&mut file, "max_spans=5");

        for misspelled in ["max_span=5", "MAX_SPANS=5", "\u{feff}max_spans=5"] {
            let news = says(&mut file, misspelled);

            assert!(matches!(news.as_slice(), [LimitsFileChange::Invalid(_)]), "{news:?}");
        }
        assert_eq!(file.current, limits(5));
    }

    #[tokio::test]
    async fn a_file_system_that_hangs_keeps_the_limits_and_is_reported() {
        let store = MemoryStore::new();
        let policy = OverflowPolicy::DropOldest;
        let buffer = TraceBuffer::new(limits(100), policy, store, TokioClock::new());
        let mut file = file();
        says(&mut file, "max_spans=5");
        let (_release, hung) = std::sync::mpsc::channel::<()>();
        let stuck = tokio::spawn({
            let reads = file.reads.clone();
            async move { reads.run(move || hung.recv_timeout(std::time::Duration::from_secs(10))).await }
        });
        tokio::task::yield_now().await;

        file.reload(&buffer).await;

        assert_eq!(file.current, limits(5));
        assert!(file.last_problem.unwrap().contains("does not respond within 2s"));
        assert!(stuck.await.unwrap().is_err());
    }

    #[tokio::test]
    async fn a_file_replaced_behind_a_symlink_as_by_the_kubelet_is_applied() {
        let volume = tempfile::tempdir().unwrap();
        let at = |name: &str| volume.path().join(name);
        for (version, spans) in [("..1", "7"), ("..2", "3")] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("limits"), format!("max_spans={spans}\n")).unwrap();
        }
        symlink("..1", at("..data")).unwrap();
        symlink("..data/limits", at("limits")).unwrap();
        let store = MemoryStore::new();
        let policy = OverflowPolicy::DropOldest;
        let buffer = TraceBuffer::new(limits(100), policy, store, TokioClock::new());
        let mut file = LimitsFile::new(at("limits"), limits(100));
        file.reload(&buffer).await;
        assert_eq!(buffer.status().limits, limits(7));

        symlink("..2", at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
        file.reload(&buffer).await;

        assert_eq!(buffer.status().limits, limits(3));
    }

    #[test]
    fn a_large_or_binary_file_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("limits");
        fs::write(&path, "#".repeat(4_097)).unwrap();
        assert_eq!(read_file(&path).unwrap_err(), "it is larger than 4Ki");

        fs::write(&path, b"\xff").unwrap();
        assert_eq!(read_file(&path).unwrap_err(), "it is not UTF-8 text");
        assert_eq!(read_file(folder.path()).unwrap_err(), "it is not a regular file");
    }
}
