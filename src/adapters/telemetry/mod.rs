//! What the process says about itself.

pub mod admin;
pub mod admin_client;
pub mod admin_server;
pub mod controller;
mod exposition;
pub mod logging;
pub mod metrics;
mod process;
mod scrape;
