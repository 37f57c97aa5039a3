//! The settings of the receiver in the sidecar, as environment variables.
//!
//! All are named, whatever the receiver's own defaults: those may differ between its versions.

use std::fmt::Display;

use k8s_openapi::api::core::v1::{EnvVar, EnvVarSource, ObjectFieldSelector};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::checked::{Checked, CheckedDestination, Header, Source};
use super::volumes;
use crate::adapters::kubernetes::names::POD_INFO_PATH;
use crate::adapters::kubernetes::resource::{Compression, Overflow, Protocol, TraceBufferSpec};
use crate::domain::units::Milliseconds;

/// What stays as it is in a header's value; nothing that a list or a shell could mistake.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Returns the variables in a fixed order.
pub(super) fn variables(spec: &TraceBufferSpec, checked: &Checked) -> Vec<EnvVar> {
    let mut found = Vec::new();
    destination(&mut found, spec, checked);
    buffer(&mut found, spec, checked);
    listening(&mut found, checked);
    add(&mut found, "DRAIN_TIMEOUT", time(checked.drain_ms));
    add(&mut found, "LOG_FORMAT", "json");
    found
}

fn destination(found: &mut Vec<EnvVar>, spec: &TraceBufferSpec, checked: &Checked) {
    let to = &checked.destination;
    add(found, "ENDPOINT", spec.destination.endpoint.as_str());
    let protocol = match spec.destination.protocol {
        Protocol::Grpc => "grpc",
        Protocol::HttpProtobuf => "http/protobuf",
    };
    add(found, "PROTOCOL", protocol);
    let compression = match spec.destination.compression {
        Compression::None => "none",
        Compression::Gzip => "gzip",
        Compression::Zstd => "zstd",
    };
    add(found, "COMPRESSION", compression);
    headers(found, to);
    for (name, value) in volumes::tls_settings(spec.destination.tls.as_ref()) {
        add(found, name, value);
    }
    add(found, "TIMEOUT", time(to.timeout_ms));
    add(found, "BATCH_MAX_SPANS", to.batch_spans.to_string());
    add(found, "BATCH_MAX_BYTES", to.batch_bytes.to_string());
    add(found, "LINGER", time(to.linger_ms));
    add(found, "CONCURRENCY", to.concurrency.to_string());
}

fn headers(found: &mut Vec<EnvVar>, to: &CheckedDestination) {
    for header in &to.headers {
        if let Source::Variable(path) = &header.source {
            field(found, path);
        }
    }
    let list = header_list(&to.headers);
    if !list.is_empty() {
        // Encoded values hold no `$`: each one here stands for a field.
        found.push(variable("HEADERS", list));
    }
    let (mut files, mut prefixes, mut optional) = (vec![], vec![], vec![]);
    for (index, (header, file, is_optional)) in to.files().enumerate() {
        let name = &header.name;
        files.push(format!("{name}={}", volumes::header_path(name, file, index)));
        if !header.prefix.is_empty() {
            prefixes.push(format!("{name}={}", encoded(&header.prefix)));
        }
        if is_optional {
            optional.push(name.clone());
        }
    }
    add_list(found, "HEADER_VALUE_FILES", &files);
    add_list(found, "HEADER_VALUE_PREFIXES", &prefixes);
    add_list(found, "OPTIONAL_HEADERS", &optional);
}

/// Returns the headers whose values are in no file, as one text; fields of the pod by their variables.
pub(super) fn header_list(headers: &[Header]) -> String {
    let entries = headers.iter().filter_map(|Header { name, prefix, source }| match source {
        Source::Literal(value) => Some(format!("{name}={}", encoded(value))),
        Source::Variable(path) => {
            Some(format!("{name}={}$({})", encoded(prefix), field_variable(path)))
        }
        Source::File { .. } => None,
    });
    entries.collect::<Vec<_>>().join(",")
}

fn encoded(text: &str) -> impl Display {
    utf8_percent_encode(text, ENCODED)
}

/// Adds a variable for a field of the pod, once.
fn field(found: &mut Vec<EnvVar>, path: &str) {
    let name = field_variable(path);
    if found.iter().all(|variable| variable.name != name) {
        let field_ref = ObjectFieldSelector { field_path: path.to_owned(), api_version: None };
        let from = EnvVarSource { field_ref: Some(field_ref), ..EnvVarSource::default() };
        found.push(EnvVar { name, value: None, value_from: Some(from) });
    }
}

fn field_variable(path: &str) -> String {
    let field = path.rsplit('.').next().unwrap_or(path);
    format!("TRACEBUFFER_FIELD_{}", field.to_ascii_uppercase())
}

fn buffer(found: &mut Vec<EnvVar>, spec: &TraceBufferSpec, checked: &Checked) {
    let limits = checked.limits;
    add(found, "MAX_SPANS", limits.max_spans.to_string());
    add(found, "MAX_BYTES", limits.max_bytes.to_string());
    if let Some(age) = limits.max_age_ms {
        add(found, "MAX_AGE", time(age));
    }
    add(found, "LIMITS_FILE", format!("{POD_INFO_PATH}/{}", volumes::LIMITS));
    let overflow = match spec.buffer.overflow {
        Overflow::DropOldest => "drop-oldest",
        Overflow::Reject => "reject",
    };
    add(found, "OVERFLOW", overflow);
}

/// OTLP from this pod only; health and metrics for the kubelet and Prometheus too.
fn listening(found: &mut Vec<EnvVar>, checked: &Checked) {
    let ports = checked.ports;
    add(found, "GRPC_ADDR", format!("127.0.0.1:{0},[::1]:{0}", ports.grpc));
    add(found, "HTTP_ADDR", format!("127.0.0.1:{0},[::1]:{0}", ports.http));
    add(found, "ADMIN_ADDR", format!("0.0.0.0:{0},[::]:{0}", ports.admin));
    if let Some(bytes) = checked.max_request_bytes {
        add(found, "MAX_REQUEST_BYTES", bytes.to_string());
    }
}

fn time(milliseconds: u64) -> String {
    Milliseconds(milliseconds).to_string()
}

fn add_list(found: &mut Vec<EnvVar>, name: &str, entries: &[String]) {
    if !entries.is_empty() {
        add(found, name, entries.join(","));
    }
}

/// Adds a variable. In a pod, `$(NAME)` stands for another variable and `$$` for `$`.
fn add(found: &mut Vec<EnvVar>, name: &str, value: impl Into<String>) {
    found.push(variable(name, value.into().replace('$', "$$")));
}

fn variable(name: &str, value: String) -> EnvVar {
    EnvVar { name: format!("TRACEBUFFER_{name}"), value: Some(value), value_from: None }
}
