//! Explains containers of an injected pod that ended because another process listens on their port. The
//! sidecar cannot know ports that a container does not declare, and starts first.

use crate::adapters::kubernetes::diagnosis::explain_input::ExplainInput;
use crate::adapters::kubernetes::diagnosis::finding::{Finding, Section};
use crate::domain::operator::injection::status::InjectedSidecar;
use crate::domain::operator::injection::trace_buffer_view::TraceBufferLister;
use crate::domain::text::{in_one_line, quoted};

const CONTAINERS: Section = Section("Containers");
/// What programs log if they cannot listen, in small letters.
const PHRASES: [&str; 3] = ["address already in use", "address in use", "eaddrinuse"];
/// Maximum characters of the line that is shown.
const MAX_LINE: usize = 200;

pub(super) fn explain(input: &ExplainInput, injected: &InjectedSidecar) -> Vec<Finding> {
    let crashes = input.crash_logs.iter();
    let found = crashes.filter_map(|(container, log)| {
        if let Some(why) = log.error_message() {
            let message = format!("it ended with an error; its log cannot be read: {why}");
            return Some(CONTAINERS.skipped(container, message));
        }
        let line = log.get()?.lines().rfind(|line| is_about_address(line))?;
        let message = format!(
            "it ended because a port is in use: {}{}",
            quoted(&in_one_line(line, MAX_LINE)),
            ports(input, injected)
        );
        let remedy = "change the port in the container, or in spec.receiver of the TraceBuffer; a \
             container that declares its port in `ports` is not injected with a clash";
        Some(CONTAINERS.failed(container, message, remedy))
    });
    found.collect()
}

fn is_about_address(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    PHRASES.iter().any(|phrase| line.contains(phrase))
}

/// Names the sidecar's ports, if its `TraceBuffer` can be read.
fn ports(input: &ExplainInput, injected: &InjectedSidecar) -> String {
    let view = input.trace_buffers.get(&injected.trace_buffer);
    let ports = view.and_then(|view| view.sidecar.as_ref().ok().map(|sidecar| sidecar.ports));
    ports.map_or_else(String::new, |ports| {
        format!(
            "; the sidecar listens on the ports {}, {} and {}",
            ports.grpc, ports.http, ports.admin
        )
    })
}
