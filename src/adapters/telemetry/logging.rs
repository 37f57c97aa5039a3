//! Logs: one line per event, on standard error. Standard output belongs to the console destination.
//!
//! Who logs never waits for standard error: lines are queued, and a thread writes them.

mod cut;
mod line_queue;
mod line_writer;
mod panic_hook;
mod rate_limit;

use std::fmt::{self, Debug, Write};
use std::io::{self, IsTerminal};
use std::sync::OnceLock;
use std::time::Duration;

use tracing::field::Field;
use tracing::level_filters::LevelFilter;
use tracing::{Dispatch, Level, dispatcher, warn};
use tracing_subscriber::field::MakeExt;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::{Writer, debug_fn};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;

use self::cut::cut;
use self::line_queue::LineQueue;
use self::line_writer::{LineWriter, Output};
use self::rate_limit::RateLimit;
use crate::domain::text::Escaped;

/// How long the end of the process waits for the log to be written: a second with [`SUM_UP_TIMEOUT`].
const FLUSH_TIMEOUT: Duration = Duration::from_millis(750);
/// How long the last line waits for what was withheld.
const SUM_UP_TIMEOUT: Duration = Duration::from_millis(250);
/// Logs each failed request to the API server as an error, without saying which. Whoever made the request
/// logs the failure, if it is one.
const KUBE_REQUESTS: &str = "kube_client::client::builder";

/// The queue of the logger of this process.
static QUEUE: OnceLock<LineQueue> = OnceLock::new();

/// Format and level of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// The format of a log line.
    pub format: LogFormat,
    /// The lowest level that is logged.
    pub level: Level,
}

/// The format of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// Text for people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Writes text escaped.
struct EscapingWriter<'a, 'w>(&'a mut Writer<'w>);

/// A running logger.
struct Logger {
    queue: LineQueue,
    dispatch: Dispatch,
}

/// Passes each formatted line on to a [`LineQueue`].
struct QueuedLines {
    queue: LineQueue,
    format: LogFormat,
}

/// Installs the logger of the process, for panics too; only the first call has an effect.
///
/// Events of other crates are logged from WARN up only, since their details contain headers and so
/// secrets. Records of the `log` crate, which rustls writes, are not logged at all.
pub fn init(settings: &LogSettings) {
    let is_terminal = io::stderr().is_terminal();
    match Output::stderr().and_then(|output| Logger::start(settings, output, is_terminal)) {
        Ok(logger) => {
            // Fails for a second receiver in the same process, which only tests have.
            if dispatcher::set_global_default(logger.dispatch).is_ok() {
                QUEUE.get_or_init(|| logger.queue);
                panic_hook::install(flush);
            }
        }
        Err(error) => {
            let stderr = io::stderr as fn() -> io::Stderr;
            let direct = dispatch(settings, RateLimit::default(), stderr, is_terminal);
            let _ = dispatcher::set_global_default(direct);
            warn!(%error, "a reader of standard error that stops will stop this process too");
        }
    }
}

/// Waits until everything that was logged is written, for less than a second. To be called before the
/// process ends, however it ends.
pub fn flush() {
    if let Some(queue) = QUEUE.get() {
        queue.flush(FLUSH_TIMEOUT);
    }
}

/// Logs what was withheld so far, so that the next line can be the last. Waits at most a quarter of a
/// second.
pub fn sum_up() {
    if let Some(queue) = QUEUE.get() {
        queue.flush(SUM_UP_TIMEOUT);
    }
}

impl Logger {
    fn start(settings: &LogSettings, output: Output, is_terminal: bool) -> io::Result<Self> {
        let (queue, limit) = (LineQueue::default(), RateLimit::default());
        let lines = QueuedLines { queue: queue.clone(), format: settings.format };
        let dispatch = dispatch(settings, limit.clone(), lines, is_terminal);
        let direct = {
            let output = output.clone();
            move || output.clone()
        };
        let reports = self::dispatch(settings, RateLimit::default(), direct, is_terminal);
        LineWriter { queue: queue.clone(), limit, output, reports }.spawn()?;
        Ok(Self { queue, dispatch })
    }
}

impl io::Write for &QueuedLines {
    /// Called once for each line.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.queue.push(cut(&String::from_utf8_lossy(line), self.format).as_bytes());
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for QueuedLines {
    type Writer = &'a Self;

    fn make_writer(&'a self) -> Self::Writer {
        self
    }
}

fn dispatch<W>(settings: &LogSettings, limit: RateLimit, writer: W, is_terminal: bool) -> Dispatch
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let registry = Registry::default().with(filter(settings.level)).with(limit);
    // A line that cannot be written is lost: reporting it on standard error would panic.
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).log_internal_errors(false);
    match settings.format {
        LogFormat::Text => {
            let fields = debug_fn(text_field).delimited(" ");
            let lines = lines.with_target(false).fmt_fields(fields);
            // By default the layer writes colors unless NO_COLOR is set.
            let lines = if is_terminal { lines } else { lines.with_ansi(false) };
            registry.with(lines).into()
        }
        LogFormat::Json => {
            let lines = lines.json().flatten_event(true).with_current_span(false);
            registry.with(lines).into()
        }
    }
}

fn filter(level: Level) -> Targets {
    let level = LevelFilter::from_level(level);
    Targets::new()
        .with_target(env!("CARGO_CRATE_NAME"), level)
        .with_target(KUBE_REQUESTS, LevelFilter::OFF)
        .with_default(level.min(LevelFilter::WARN))
}

/// Writes one field of a text line. It is escaped, because a peer may have sent its value.
fn text_field(writer: &mut Writer<'_>, field: &Field, value: &dyn Debug) -> fmt::Result {
    if field.name() != "message" {
        write!(writer, "{}=", field.name())?;
    }
    write!(EscapingWriter(writer), "{value:?}")
}

impl Write for EscapingWriter<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        write!(self.0, "{}", Escaped(text))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use parking_lot::Mutex;

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Sink {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    fn logged(format: LogFormat, level: Level, is_terminal: bool, events: fn()) -> String {
        let sink = Sink::default();
        let settings = LogSettings { format, level };
        let logger = dispatch(&settings, RateLimit::default(), sink.clone(), is_terminal);
        dispatcher::with_default(&logger, events);
        String::from_utf8(sink.0.lock().clone()).unwrap()
    }

    fn each_level_of_ours_and_of_another_crate() {
        tracing::error!("our-error");
        tracing::warn!("our-warn");
        tracing::info!("our-info");
        tracing::debug!("our-debug");
        tracing::trace!("our-trace");
        tracing::error!(target: "h2::proto", "their-error");
        tracing::warn!(target: "h2::proto", "their-warn");
        tracing::info!(target: "h2::proto", "their-info");
        tracing::trace!(target: "h2::proto", "their-trace");
        tracing::error!(target: KUBE_REQUESTS, "failed with error Request timed out");
    }

    #[test]
    fn a_text_line_ends_with_level_message_and_fields() {
        let text = logged(LogFormat::Text, Level::INFO, false, || {
            tracing::info!(spans = 3, reason = "overflow", "spans dropped");
        });

        assert!(text.ends_with("Z  INFO spans dropped spans=3 reason=\"overflow\"\n"), "{text}");
    }

    #[test]
    fn a_text_line_has_colours_on_a_terminal_only() {
        let events: fn() = || tracing::info!("hello");

        assert!(!logged(LogFormat::Text, Level::INFO, false, events).contains('\x1b'));
        if std::env::var_os("NO_COLOR").is_none() {
            assert!(logged(LogFormat::Text, Level::INFO, true, events).contains('\x1b'));
        }
    }

    #[test]
    fn a_json_line_is_one_object_with_the_fields_at_its_top() {
        let text = logged(LogFormat::Json, Level::INFO, true, || {
            tracing::warn!(spans = 3, "spans\ndropped");
        });

        let object: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(object["level"], "WARN");
        assert_eq!(object["message"], "spans\ndropped");
        assert_eq!(object["spans"], 3);
        assert!(object["timestamp"].as_str().unwrap().ends_with('Z'));
        assert_eq!(text.matches('\n').count(), 1);
    }

    #[test]
    fn levels_below_the_chosen_one_are_not_logged() {
        let text =
            logged(LogFormat::Text, Level::INFO, false, each_level_of_ours_and_of_another_crate);

        assert!(text.contains("our-error") && text.contains("our-warn"), "{text}");
        assert!(text.contains("our-info"), "{text}");
        assert!(!text.contains("our-debug") && !text.contains("our-trace"), "{text}");
    }

    #[test]
    fn other_crates_are_logged_from_warn_up_at_any_level() {
        let text =
            logged(LogFormat::Text, Level::TRACE, false, each_level_of_ours_and_of_another_crate);

        assert!(text.contains("our-trace"), "{text}");
        assert!(text.contains("their-error") && text.contains("their-warn"), "{text}");
        assert!(!text.contains("their-info") && !text.contains("their-trace"), "{text}");
        assert!(!text.contains("failed with error"), "{text}");
    }

    #[test]
    fn a_stricter_level_applies_to_other_crates_too() {
        let text =
            logged(LogFormat::Json, Level::ERROR, false, each_level_of_ours_and_of_another_crate);

        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.contains("our-error") && text.contains("their-error"), "{text}");
    }

    #[test]
    fn a_line_break_from_a_peer_does_not_begin_a_line() {
        let text = logged(LogFormat::Text, Level::INFO, false, || {
            tracing::warn!(answer = %"no\r\n2024-01-01 INFO forged", "send failed");
        });

        assert!(text.ends_with("answer=no\\r\\n2024-01-01 INFO forged\n"), "{text}");
        assert_eq!(text.lines().count(), 1);
    }

    #[test]
    fn an_escape_sequence_from_a_peer_does_not_reach_a_terminal() {
        let text = logged(LogFormat::Text, Level::INFO, false, || {
            tracing::warn!(answer = %"\x1b[2J", "send failed");
        });

        assert!(text.ends_with("answer=\\u{1b}[2J\n"), "{text}");
    }

    #[test]
    fn a_character_from_a_peer_that_reorders_text_is_escaped() {
        let text = logged(LogFormat::Text, Level::INFO, false, || {
            tracing::warn!(answer = %"a\u{202e}b\u{2028}c", "send failed");
        });

        assert!(text.ends_with("answer=a\\u{202e}b\\u{2028}c\n"), "{text}");
    }
}
