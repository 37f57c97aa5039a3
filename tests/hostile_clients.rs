//! Clients that are broken or mean harm: the others are served on, and nothing is left behind.

#![allow(clippy::panic, clippy::indexing_slicing, reason = "a broken test should say so")]

#[path = "support/client.rs"]
mod client;
#[path = "support/receiver.rs"]
mod receiver;
#[path = "support/samples.rs"]
mod samples;
#[path = "support/scripted_destination.rs"]
mod scripted_destination;
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
