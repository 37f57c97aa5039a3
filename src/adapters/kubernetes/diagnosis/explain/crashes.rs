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
const REMEDY: &str = "if it is one of the sidecar's, change it in the container, or in spec.receiver of the \
                      TraceBuffer; a container that declares its port in `ports` is not injected with a clash";

pub(super) fn explain(input: &ExplainInput, injected: &InjectedSidecar) -> Vec<Finding> {
    let ports = ports(input, injected);
    let found = input.crash_logs.iter().filter_map(|(container, log)| {
        if let Some(why) = log.error_message() {
            let message = format!("it ended with an error; its log cannot be read: {why}");
            return Some(CONTAINERS.skipped(container, message));
        }
        let line = log.get()?.lines().rfind(|line| is_about_address(line))?;
        let is_ours = ports.iter().flatten().any(|port| names_port(line, *port));
        let line = quoted(&in_one_line(line, MAX_LINE));
        let message = format!("it ended because a port is in use: {line}{}", list(ports));
        Some(if is_ours {
            CONTAINERS.failed(container, message, REMEDY)
        } else {
            CONTAINERS.warning(container, message, REMEDY)
        })
    });
    found.collect()
}

fn is_about_address(line: &str) -> bool {
    let line = line.to_ascii_lowercase();
    PHRASES.iter().any(|phrase| line.contains(phrase))
}

/// Returns whether a line contains a port as a number of its own.
fn names_port(line: &str, port: u16) -> bool {
    let mut numbers = line.split(|character: char| !character.is_ascii_digit());
    numbers.any(|number| number.parse() == Ok(port))
}

/// Returns the sidecar's ports, if its `TraceBuffer` can be read.
fn ports(input: &ExplainInput, injected: &InjectedSidecar) -> Option<[u16; 3]> {
    let view = input.trace_buffers.get(&injected.trace_buffer)?;
    let ports = view.sidecar.as_ref().ok()?.ports;
    Some([ports.grpc, ports.http, ports.admin])
}

fn list(ports: Option<[u16; 3]>) -> String {
    ports.map_or_else(String::new, |[grpc, http, admin]| {
        format!("; the sidecar listens on the ports {grpc}, {http} and {admin}")
    })
}
