//! Joins the layers: builds, supervises and ends each mode of the process.

pub mod receiver;
pub mod settings;
