//! The destinations: OTLP/gRPC, OTLP/HTTP, and the console.
//!
//! Connections are opened on demand, from a fresh name lookup and the current certificate files,
//! and reused; a connection on which a request was abandoned is closed.
//! [`crate::domain::delivery`] decides what a response means.

pub mod config;

mod body;
mod certificate;
mod client;
mod compress;
mod connection_age;
mod connection_pool;
mod connector;
mod console;
mod deadline;
mod decode;
mod dial;
mod error_text;
mod failure;
mod files;
mod grpc;
mod grpc_response;
mod header_files;
mod http;
mod http_connection;
mod http_connection_error;
mod http_response;
mod io_stream;
mod pem;
mod remedy;
mod response;
mod secrets;
mod server_verifier;
mod tls;
mod tls_remedy;
mod tunnel;

use std::io::Stdout;

use self::config::{DestinationSettings, Protocol};
pub use self::console::ConsoleDestination;
pub use self::grpc::GrpcDestination;
pub use self::http::HttpDestination;
use crate::domain::delivery::{Delivered, Failure};
use crate::ports::destination::{Destination, OutgoingRequest};

/// The configured destination.
#[derive(Debug)]
pub enum AnyDestination {
    /// Prints, if no destination is configured.
    Console(ConsoleDestination<Stdout>),
    /// Sends over OTLP/gRPC.
    Grpc(GrpcDestination),
    /// Sends over OTLP/HTTP.
    Http(HttpDestination),
}

impl AnyDestination {
    /// Creates a destination for the protocol of `settings`, or the console if there are none.
    ///
    /// Reads no file and opens no connection: that happens with each request, as needed.
    #[must_use]
    pub fn from_settings(settings: Option<&DestinationSettings>) -> Self {
        match settings {
            None => Self::Console(ConsoleDestination::new(std::io::stdout())),
            Some(settings) => match settings.protocol {
                Protocol::Grpc => Self::Grpc(GrpcDestination::new(settings)),
                Protocol::Http => Self::Http(HttpDestination::new(settings)),
            },
        }
    }
}

impl Destination for AnyDestination {
    async fn send(&self, request: OutgoingRequest) -> Result<Delivered, Failure> {
        match self {
            Self::Console(destination) => destination.send(request).await,
            Self::Grpc(destination) => destination.send(request).await,
            Self::Http(destination) => destination.send(request).await,
        }
    }
}
