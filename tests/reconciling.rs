//! The controller against an API server: what it writes, and what it must not.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a broken test should say so")]

#[path = "support/api_server.rs"]
mod api_server;
#[path = "reconciling/events.rs"]
mod events;
#[path = "reconciling/limits.rs"]
mod limits;
#[path = "reconciling/restarts.rs"]
mod restarts;
#[path = "reconciling/stage.rs"]
mod stage;
#[path = "reconciling/statuses.rs"]
mod statuses;
