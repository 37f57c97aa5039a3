//! The controller against an API server: what it writes, and what it must not.

mod events;
mod harness;
mod limits;
mod restarts;
mod statuses;
