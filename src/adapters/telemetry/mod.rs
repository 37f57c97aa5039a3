//! What the process says about itself.

pub mod admin;
pub mod ask;
mod exposition;
pub mod logging;
pub mod metrics;
mod process;
