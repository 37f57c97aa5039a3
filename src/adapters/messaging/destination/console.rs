//! The destination if none is configured: prints each batch as one line.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Buf;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::ResourceSpans;
use parking_lot::Mutex;
use prost::Message;

use super::body::Rope;
use super::failure::{SendStage, unavailable};
use crate::adapters::blocking::BlockingCalls;
use crate::domain::delivery::{Delivered, Failure};
use crate::domain::text::{Escaped, truncated};
use crate::ports::destination::{Destination, OutgoingRequest};

/// How long a line may take to be printed.
const PRINT_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum services in a line, and span names of each.
const MAX_NAMES: usize = 3;
/// Maximum characters of one name.
const MAX_NAME_LENGTH: usize = 60;
/// OpenTelemetry's default `service.name`.
const UNKNOWN_SERVICE: &str = "unknown_service";

/// Prints each batch as one line and reports it as delivered.
///
/// A line holds the time (UTC), the number of spans, the encoded bytes, and the first span names of
/// the first services: `12:03:04.123Z  3 spans  1.2 KiB  checkout: GET /cart, SELECT items`.
#[derive(Debug)]
pub struct ConsoleDestination<W> {
    output: Arc<Mutex<W>>,
    writes: BlockingCalls,
    timeout: Duration,
}

/// The first span names of one service.
struct ServiceSummary {
    name: String,
    spans: Vec<String>,
    truncated: bool,
}

impl<W: Write + Send + 'static> ConsoleDestination<W> {
    /// Prints to `output`.
    pub fn new(output: W) -> Self {
        Self {
            output: Arc::new(Mutex::new(output)),
            writes: BlockingCalls::default(),
            timeout: PRINT_TIMEOUT,
        }
    }

    /// Prints on a separate thread: a paused terminal, or a pipe without a reader, must not block
    /// the receiver. What is printed late is printed again, as with any destination that is slow.
    async fn print(&self, line: String) -> io::Result<()> {
        let output = Arc::clone(&self.output);
        let print = move || {
            let mut output = output.lock();
            output.write_all(line.as_bytes())?;
            output.flush()
        };
        self.writes.run(self.timeout, print).await.unwrap_or_else(|| {
            let reason = format!("nobody has read it for {:?}", self.timeout);
            Err(io::Error::new(io::ErrorKind::TimedOut, reason))
        })
    }
}

impl<W: Write + Send + 'static> Destination for ConsoleDestination<W> {
    async fn send(&self, request: OutgoingRequest) -> Result<Delivered, Failure> {
        let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        match self.print(format_line(since_epoch, request)).await {
            Ok(()) => Ok(Delivered::default()),
            Err(error) => Err(unavailable(
                SendStage::Console,
                format!("cannot print to the console: {error}"),
            )),
        }
    }
}

fn format_line(since_epoch: Duration, request: OutgoingRequest) -> String {
    let spans = request.spans;
    let plural = if spans == 1 { "" } else { "s" };
    let body = Rope::from(request.chunks);
    let size = format_size(body.remaining());
    let content = match ExportTraceServiceRequest::decode(body) {
        Ok(request) => summary(&request.resource_spans),
        Err(error) => format!("(cannot be decoded: {error})"),
    };
    format!("{}  {spans} span{plural}  {size}  {content}\n", time_of_day(since_epoch))
}

fn time_of_day(since_epoch: Duration) -> String {
    let seconds = since_epoch.as_secs() % 86_400;
    let (hours, minutes, seconds) = (seconds / 3_600, seconds / 60 % 60, seconds % 60);
    format!("{hours:02}:{minutes:02}:{seconds:02}.{:03}Z", since_epoch.subsec_millis())
}

/// Formats a size in the largest unit in which it is at least one, truncated to one decimal.
fn format_size(bytes: usize) -> String {
    const KIB: usize = 1024;
    const MIB: usize = 1024 * KIB;
    let (unit, name) = match bytes {
        0..KIB => return format!("{bytes} B"),
        KIB..MIB => (KIB, "KiB"),
        _ => (MIB, "MiB"),
    };
    format!("{}.{} {name}", bytes / unit, bytes % unit * 10 / unit)
}

fn summary(resources: &[ResourceSpans]) -> String {
    let mut services: Vec<ServiceSummary> = Vec::new();
    let mut more = false;
    for resource in resources {
        let name = service_name(resource);
        if let Some(service) = services.iter_mut().find(|service| service.name == name) {
            service.add(resource);
        } else if services.len() < MAX_NAMES {
            let mut service = ServiceSummary { name, spans: Vec::new(), truncated: false };
            service.add(resource);
            services.push(service);
        } else {
            more = true;
        }
    }
    let mut text = services.iter().map(ServiceSummary::text).collect::<Vec<_>>().join("; ");
    if more {
        text.push_str("; …");
    }
    text
}

fn service_name(resource: &ResourceSpans) -> String {
    let attributes = resource.resource.iter().flat_map(|resource| &resource.attributes);
    let mut values = attributes
        .filter(|attribute| attribute.key == "service.name")
        .filter_map(|attribute| attribute.value.as_ref()?.value.as_ref());
    match values.next() {
        Some(Value::StringValue(name)) if !name.is_empty() => shortened(name),
        _ => UNKNOWN_SERVICE.to_owned(),
    }
}

impl ServiceSummary {
    fn add(&mut self, resource: &ResourceSpans) {
        for span in resource.scope_spans.iter().flat_map(|scope| &scope.spans) {
            if self.spans.len() == MAX_NAMES {
                self.truncated = true;
                return;
            }
            self.spans.push(shortened(&span.name));
        }
    }

    fn text(&self) -> String {
        let mut text = format!("{}: {}", self.name, self.spans.join(", "));
        if self.truncated {
            text.push_str(", …");
        }
        text
    }
}

fn shortened(name: &str) -> String {
    Escaped(&truncated(name, MAX_NAME_LENGTH)).to_string()
}

#[cfg(test)]
mod tests;
