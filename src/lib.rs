//! A bounded, drop-oldest buffer for OpenTelemetry traces.
//!
//! Applications send OTLP to the receiver, which acknowledges as soon as the spans are stored and
//! forwards them for ever. Dependencies point inward only: [`domain`] names nothing but `std`,
//! [`ports`] the domain, [`application`] both; [`adapters`] meet the world, and [`bootstrap`] joins
//! them. `tests/architecture` proves it.

pub mod adapters;
pub mod application;
pub mod bootstrap;
pub mod cli;
pub mod domain;
pub mod ports;
