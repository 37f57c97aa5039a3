//! Clients that are broken or mean harm: the others are served on, and nothing is left behind.

#[path = "support/client.rs"]
mod client;
#[path = "support/receiver.rs"]
mod receiver;
#[path = "support/samples.rs"]
mod samples;
#[path = "support/victim.rs"]
mod victim;

#[path = "hostile_clients/connections.rs"]
mod connections;
#[path = "hostile_clients/frames.rs"]
mod frames;
#[path = "hostile_clients/load.rs"]
mod load;
#[path = "hostile_clients/messages.rs"]
mod messages;
