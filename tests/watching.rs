//! What the operator knows of the cluster stays true, whatever the API server does.

#[path = "support/api_server.rs"]
mod api_server;
#[path = "watching/cluster.rs"]
mod cluster;
#[path = "watching/pods.rs"]
mod pods;
#[path = "watching/trace_buffers.rs"]
mod trace_buffers;
