//! The caches of cluster state are correct regardless of API server faults.

mod any_script;
mod cluster;
mod namespaces;
mod pods;
mod sidecars;
mod trace_buffers;
