//! What the operator knows of the cluster stays true, whatever the API server does.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a broken test should say so"
)]

#[path = "watching/any_script.rs"]
mod any_script;
#[path = "support/api_server.rs"]
mod api_server;
#[path = "watching/cluster.rs"]
mod cluster;
#[path = "watching/namespaces.rs"]
mod namespaces;
#[path = "watching/pods.rs"]
mod pods;
#[path = "watching/trace_buffers.rs"]
mod trace_buffers;
