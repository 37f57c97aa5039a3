use std::sync::mpsc;

use bytes::Bytes;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ScopeSpans, Span};

use super::*;
use crate::domain::delivery::FailureKind;

const NOON: Duration = Duration::from_millis(20_000 * 86_400_000 + 43_384_123);

fn spans_of(service: Option<&str>, names: &[&str]) -> ResourceSpans {
    let attribute = |name: &str| KeyValue {
        key: "service.name".to_owned(),
        value: Some(AnyValue { value: Some(Value::StringValue(name.to_owned())) }),
        ..KeyValue::default()
    };
    let span = |name: &&str| Span { name: (*name).to_owned(), ..Span::default() };
    ResourceSpans {
        resource: Some(Resource {
            attributes: service.map(attribute).into_iter().collect(),
            ..Resource::default()
        }),
        scope_spans: vec![ScopeSpans {
            spans: names.iter().map(span).collect(),
            ..ScopeSpans::default()
        }],
        ..ResourceSpans::default()
    }
}

fn request(resource_spans: Vec<ResourceSpans>, spans: u64) -> OutgoingRequest {
    let bytes = ExportTraceServiceRequest { resource_spans }.encode_to_vec();
    OutgoingRequest { chunks: vec![bytes.into()], spans }
}

/// Writes to a buffer, or fails like a closed pipe.
#[derive(Clone, Default)]
struct Terminal {
    shown: Arc<Mutex<Vec<u8>>>,
    closed: bool,
}

impl Write for Terminal {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.closed {
            return Err(io::ErrorKind::BrokenPipe.into());
        }
        self.shown.lock().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_batch_is_one_line_with_time_spans_bytes_service_and_names() {
    let request = request(vec![spans_of(Some("checkout"), &["GET /cart", "SELECT items"])], 2);
    let bytes = request.bytes();

    let line = format_line(NOON, request);

    let expected =
        format!("12:03:04.123Z  2 spans  {bytes} B  checkout: GET /cart, SELECT items\n");
    assert_eq!(line, expected);
}

#[test]
fn records_of_one_service_are_shown_together_and_further_names_omitted() {
    let resources = [
        spans_of(Some("a"), &["1", "2"]),
        spans_of(Some("b"), &["x"]),
        spans_of(Some("a"), &["3", "4"]),
    ];

    assert_eq!(summary(&resources), "a: 1, 2, 3, …; b: x");
}

#[test]
fn further_services_are_left_out() {
    let resources: Vec<_> = ["a", "b", "c", "d"].map(|name| spans_of(Some(name), &["x"])).into();

    assert_eq!(summary(&resources), "a: x; b: x; c: x; …");
}

#[test]
fn a_service_without_a_name_is_called_unknown_service() {
    assert_eq!(summary(&[spans_of(None, &["x"])]), "unknown_service: x");
    assert_eq!(summary(&[spans_of(Some(""), &["x"])]), "unknown_service: x");
}

#[test]
fn names_cannot_move_the_cursor_or_fake_a_line() {
    let line = format_line(NOON, request(vec![spans_of(Some("a\u{1b}[2J"), &["x\ny"])], 1));

    assert_eq!(line.matches('\n').count(), 1);
    assert!(line.ends_with("  a\\u{1b}[2J: x\\ny\n"), "{line}");
}

#[test]
fn a_long_name_is_cut_between_characters() {
    let name = "ü".repeat(61);

    assert_eq!(summary(&[spans_of(Some("a"), &[&name])]), format!("a: {}…", "ü".repeat(60)));
}

#[test]
fn one_span_is_not_called_spans() {
    assert!(format_line(NOON, request(vec![], 1)).contains("  1 span  "));
}

#[test]
fn sizes_are_written_in_the_largest_fitting_unit() {
    let cases = [
        (0, "0 B"),
        (1_023, "1023 B"),
        (1_229, "1.2 KiB"),
        (1 << 20, "1.0 MiB"),
        (3_670_016, "3.5 MiB"),
    ];
    for (bytes, text) in cases {
        assert_eq!(format_size(bytes), text);
    }
}

#[test]
fn a_batch_that_does_not_decode_is_still_printed() {
    let request = OutgoingRequest { chunks: vec![Bytes::from_static(&[0xff, 0xff])], spans: 1 };

    assert!(format_line(NOON, request).contains("  1 span  2 B  (cannot be decoded: "));
}

#[tokio::test]
async fn a_printed_batch_is_delivered() {
    let terminal = Terminal::default();
    let console = ConsoleDestination::new(terminal.clone());

    let outcome = console.send(request(vec![spans_of(Some("a"), &["x"])], 1)).await;

    assert_eq!(outcome, Ok(Delivered::default()));
    let shown = String::from_utf8(terminal.shown.lock().clone()).unwrap();
    assert!(shown.ends_with("  a: x\n"), "{shown}");
}

#[tokio::test]
async fn a_closed_console_is_a_retryable_failure() {
    let console = ConsoleDestination::new(Terminal { closed: true, ..Terminal::default() });

    let failure = console.send(request(vec![], 1)).await.unwrap_err();

    assert_eq!((failure.kind, failure.code), (FailureKind::Unavailable, "CONSOLE"));
}

/// Blocks until it is released.
struct Held(mpsc::Receiver<()>);

impl Write for Held {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.recv_timeout(Duration::from_secs(5)).map_err(io::Error::other)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_blocked_console_does_not_block_the_only_worker() {
    let (release, held) = mpsc::channel();
    let console = ConsoleDestination::new(Held(held));

    let sending = console.send(request(vec![], 1));
    let others = async { release.send(()) };
    let (outcome, released) = tokio::join!(sending, others);

    assert_eq!((outcome, released), (Ok(Delivered::default()), Ok(())));
}

#[tokio::test]
async fn a_console_that_nobody_reads_is_a_retryable_failure_and_works_again_when_it_is_read() {
    let (release, held) = mpsc::channel();
    let mut console = ConsoleDestination::new(Held(held));
    console.timeout = Duration::from_millis(5);
    for _ in 0..3 {
        let failure = console.send(request(vec![], 1)).await.unwrap_err();

        assert_eq!((failure.kind, failure.code), (FailureKind::Unavailable, "CONSOLE"));
        assert!(failure.message.contains("nobody has read it for 5ms"), "{}", failure.message);
    }

    for _ in 0..2 {
        release.send(()).unwrap();
    }
    console.timeout = Duration::from_secs(5);

    assert_eq!(console.send(request(vec![], 1)).await, Ok(Delivered::default()));
}
