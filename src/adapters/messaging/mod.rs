//! OTLP in and out.

mod answer_body;
mod body;
pub mod destination;
mod door;
pub mod json;
pub mod notation;
pub mod otlp;
mod otlp_grpc;
mod otlp_http;
mod refused;
#[cfg(test)]
mod testing;
pub mod wire;
