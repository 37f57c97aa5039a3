//! OTLP in and out.

pub mod destination;
pub mod json;
pub mod wire;
