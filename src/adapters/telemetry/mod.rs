//! What the process says about itself.

pub mod admin;
pub mod ask;
pub mod controller;
mod exposition;
pub mod logging;
pub mod metrics;
pub mod pages;
mod process;
mod scrape;
