//! The rules for a receiver of traces in OTLP 1.11 and in the specifications that it refers to.
//!
//! Each test cites the rule that it checks, and runs on both ports and over every transport that
//! the rule applies to. `docs/conformance.md` lists them all.

#![allow(clippy::doc_markdown, reason = "rules are cited as they are written")]

mod answers;
mod compression;
mod conversion;
mod document;
mod grpc;
mod http;
mod http_framing;
mod json;
mod limits;
mod messages;
mod proto_json;

use crate::support::destinations::RecordingDestination;
use crate::support::receiver::ReceiverProcess;

/// A receiver that forwards to `recorder` without lingering.
async fn recording(recorder: &RecordingDestination) -> ReceiverProcess {
    let endpoint = recorder.endpoint();
    ReceiverProcess::start(&[("ENDPOINT", &endpoint), ("PROTOCOL", "http"), ("LINGER", "0s")]).await
}
