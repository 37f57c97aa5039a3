//! What the process says about itself.

pub mod admin;
mod exposition;
pub mod logging;
pub mod metrics;
mod process;
