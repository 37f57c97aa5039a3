//! The rules of OTLP 1.11, and of what it refers to, that bind a receiver of traces.
//!
//! Each test cites the sentence it holds the receiver to, and runs on both ports and over every
//! transport that the rule binds. `docs/conformance.md` lists them all.

#![allow(clippy::doc_markdown, reason = "rules are cited as they are written")]
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a broken test should say so"
)]

#[path = "support/client.rs"]
mod client;
#[path = "support/destinations.rs"]
mod destinations;
#[path = "support/receiver.rs"]
mod receiver;
#[path = "support/samples.rs"]
mod samples;

#[path = "conformance/answers.rs"]
mod answers;
#[path = "conformance/compression.rs"]
mod compression;
#[path = "conformance/conversion.rs"]
mod conversion;
#[path = "conformance/document.rs"]
mod document;
#[path = "conformance/grpc.rs"]
mod grpc;
#[path = "conformance/http.rs"]
mod http;
#[path = "conformance/http_framing.rs"]
mod http_framing;
#[path = "conformance/json.rs"]
mod json;
#[path = "conformance/limits.rs"]
mod limits;
#[path = "conformance/messages.rs"]
mod messages;
#[path = "conformance/proto_json.rs"]
mod proto_json;

use destinations::Recorder;
use receiver::Receiver;

/// A receiver that forwards to `recorder` at once.
async fn recording(recorder: &Recorder) -> Receiver {
    let endpoint = recorder.endpoint();
    Receiver::start(&[("ENDPOINT", &endpoint), ("PROTOCOL", "http"), ("LINGER", "0s")]).await
}
