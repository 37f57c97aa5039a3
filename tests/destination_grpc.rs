//! OTLP/gRPC out, against a real server that does what a script says.

#[path = "support/scripted_destination.rs"]
mod scripted_destination;
#[path = "support/spans.rs"]
mod spans;

use scripted_destination::ScriptedDestination;
use spans::batch;
use tracebuffer::adapters::messaging::destination::AnyDestination;
use tracebuffer::adapters::messaging::destination::config::Protocol;
use tracebuffer::domain::delivery::Delivered;
use tracebuffer::ports::destination::Destination;

#[tokio::test]
async fn spans_arrive_in_order_over_one_connection() {
    let server = ScriptedDestination::start(Protocol::Grpc).await;
    let destination = AnyDestination::from_settings(Some(&server.settings()));

    for names in [&["a", "b"][..], &["c"]] {
        assert_eq!(destination.send(batch(names)).await, Ok(Delivered::default()));
    }

    assert_eq!(server.received_names(), ["a", "b", "c"]);
    assert_eq!(server.connections(), 1);
}
