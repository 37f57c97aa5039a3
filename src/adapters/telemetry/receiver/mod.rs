//! The receiver's admin port and metrics.

pub mod admin;
pub mod admin_client;
pub mod metrics;
mod scrape;
pub mod termination_message;
