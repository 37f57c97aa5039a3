//! OTLP in and out.

mod body;
pub mod destination;
pub mod json;
mod refused;
pub mod wire;
