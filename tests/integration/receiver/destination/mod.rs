//! OTLP export, against a real server.

mod connection;
mod grpc;
mod headers;
mod http;
mod tls;
