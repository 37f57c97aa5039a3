//! destination

pub mod config;
pub mod headers;
