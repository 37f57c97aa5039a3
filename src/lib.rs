//! A bounded, drop-oldest buffer for OpenTelemetry traces.
//!
//! Applications send OTLP to the receiver, which acknowledges spans once they are buffered and retries
//! forwarding them indefinitely. Dependencies point inward: [`domain`] depends only on `std`,
//! [`ports`] on the domain, and [`application`] on both. [`adapters`] connect them to networks, files
//! and Kubernetes, [`cli`] reads the settings, and [`bootstrap`] wires everything together.
//! `tests/architecture` enforces these rules.

pub mod adapters;
pub mod application;
pub mod bootstrap;
pub mod cli;
pub mod domain;
pub mod ports;
