//! The rules of OTLP 1.11, and of what it refers to, that bind a receiver of traces.
//!
//! Each test cites the sentence it holds the receiver to, and runs on both ports and over every
//! transport that the rule binds. `docs/conformance.md` lists them all.

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

/// A receiver that forwards to `recorder` at once.
async fn recording(recorder: &RecordingDestination) -> ReceiverProcess {
    let endpoint = recorder.endpoint();
    ReceiverProcess::start(&[("ENDPOINT", &endpoint), ("PROTOCOL", "http"), ("LINGER", "0s")]).await
}
