//! The receiver.

mod buffer;
mod configuration;
mod conformance;
mod destination;
mod drain;
mod ending;
mod faults;
mod hostile_clients;
mod json_properties;
mod stuck_output;
mod wire_properties;
