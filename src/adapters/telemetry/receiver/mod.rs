//! What the receiver says about itself.

pub mod admin;
pub mod admin_client;
pub mod metrics;
mod scrape;
