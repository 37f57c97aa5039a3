//! Where batches go: OTLP/gRPC, OTLP/HTTP, or the console.
//!
//! Connections are opened when they are needed, from addresses and certificate files as they are
//! then, and kept; a connection on which a send was abandoned is not used again. What an answer
//! means is decided by [`crate::domain::delivery`].

pub mod config;

mod body;
mod client;
mod compress;
mod connection_pool;
mod connector;
mod console;
mod failure;
mod files;
mod grpc;
mod grpc_response;
mod header_files;
mod http;
mod http_connection;
mod http_connection_error;
mod http_response;
mod response;
mod tls;

use std::io::Stdout;

use self::config::{DestinationSettings, Protocol};
pub use self::console::ConsoleDestination;
pub use self::grpc::GrpcDestination;
pub use self::http::HttpDestination;
use crate::domain::delivery::{Delivered, Failure};
use crate::ports::destination::{Destination, OutgoingRequest};

/// The destination that the configuration chose.
#[derive(Debug)]
pub enum AnyDestination {
    /// Prints, as nothing is configured.
    Console(ConsoleDestination<Stdout>),
    /// Sends over OTLP/gRPC.
    Grpc(GrpcDestination),
    /// Sends over OTLP/HTTP.
    Http(HttpDestination),
}

impl AnyDestination {
    /// Chooses by the protocol of `settings`; without settings, the console.
    ///
    /// Reads no file and opens no connection: that happens at each send, as needed.
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
