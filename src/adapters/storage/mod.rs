//! Storage for the payloads of records.

pub mod memory;
