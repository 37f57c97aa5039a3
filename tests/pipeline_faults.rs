//! The whole receiver before a destination that fails in every way.
//!
//! Under each fault no span is nowhere: accepted = sent + rejected + dropped + buffered + in flight,
//! at every moment. Each runs over gRPC and over HTTP.

#[path = "support/client.rs"]
mod client;
#[path = "support/pipeline.rs"]
mod pipeline;
#[path = "support/receiver.rs"]
mod receiver;
#[path = "support/samples.rs"]
mod samples;
#[path = "support/scripted_destination.rs"]
mod scripted_destination;

#[path = "pipeline_faults/codes.rs"]
mod codes;
#[path = "pipeline_faults/losses.rs"]
mod losses;
#[path = "pipeline_faults/refused_data.rs"]
mod refused_data;
#[path = "pipeline_faults/transport.rs"]
mod transport;
