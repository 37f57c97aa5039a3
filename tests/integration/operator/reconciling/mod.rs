//! The controller's writes to an API server.

mod events;
mod harness;
mod limits;
mod restarts;
mod statuses;
mod webhook;
