//! Wiring: how each role is built, started and shut down.

pub mod controller;
mod process;
pub mod receiver;
mod signals;
mod watchdog;
