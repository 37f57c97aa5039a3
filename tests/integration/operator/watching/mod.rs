//! What the operator knows of the cluster stays true, whatever the API server does.

mod any_script;
mod cluster;
mod namespaces;
mod pods;
mod trace_buffers;
