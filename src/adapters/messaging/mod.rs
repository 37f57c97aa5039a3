//! OTLP: the receiving server and the destination client.

mod body;
pub mod destination;
mod export_handler;
pub mod json;
pub mod notation;
pub mod otlp;
mod otlp_grpc;
mod otlp_http;
mod request_error;
mod response_body;
#[cfg(test)]
mod testing;
pub mod wire;
