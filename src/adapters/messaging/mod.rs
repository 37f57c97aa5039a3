//! OTLP: the receiving server and the destination client.

mod body;
pub mod cors;
pub mod destination;
mod export_handler;
pub mod json;
mod misdirected;
pub mod notation;
mod other_signal;
pub mod otlp;
mod otlp_grpc;
mod otlp_http;
mod request_error;
mod response_body;
#[cfg(test)]
mod testing;
mod user_agent;
pub mod wire;
