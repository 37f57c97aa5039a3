//! Where records are kept.

pub mod memory;
