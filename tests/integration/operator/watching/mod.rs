//! The caches of cluster state are correct, whatever the API server does.

mod any_script;
mod cluster;
mod namespaces;
mod pods;
mod trace_buffers;
