//! What the controller says about itself.

pub mod admin;
pub mod metrics;
