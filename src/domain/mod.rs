//! The rules of the buffer, in plain Rust: no clock, no I/O, no lock, nothing but `std`.

pub mod answer;
pub mod backoff;
pub mod delivery;
pub mod delivery_policy;
pub mod fifo;
pub mod handover;
pub mod injection;
pub mod labels;
pub mod lease;
pub mod ledger;
pub mod limits;
pub mod observability;
pub mod operating;
pub mod quantity;
pub mod rotation;
pub mod units;
