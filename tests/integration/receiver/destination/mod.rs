//! OTLP export, against a real server.

mod certificates;
mod connection;
mod connection_age;
mod grpc;
mod headers;
mod http;
mod interrupted;
mod proxy;
mod tls;

use tracebuffer::adapters::messaging::destination::AnyDestination;
use tracebuffer::adapters::messaging::destination::config::Protocol;
use tracebuffer::domain::delivery::{Delivered, Failure, FailureKind};

use crate::support::scripted_destination::ScriptedDestination;

async fn pair(protocol: Protocol) -> (ScriptedDestination, AnyDestination) {
    let server = ScriptedDestination::start(protocol).await;
    let destination = AnyDestination::from_settings(Some(&server.settings()));
    (server, destination)
}

fn kind_and_code(outcome: Result<Delivered, Failure>) -> (FailureKind, &'static str) {
    let failure = outcome.expect_err("the script refuses");
    (failure.kind, failure.code)
}
