//! The receiver.

mod buffer;
mod configuration;
mod conformance;
mod destination;
mod drain;
mod faults;
mod hostile_clients;
mod json_properties;
mod refusals;
mod wire_properties;
