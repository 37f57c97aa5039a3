//! The rules of the buffer, in plain Rust: no clock, no I/O, no lock, nothing but `std`.

pub mod backoff;
pub mod ca_publication;
pub mod delivery;
pub mod delivery_policy;
pub mod fifo;
pub mod injection;
pub mod labels;
pub mod lease;
pub mod ledger;
pub mod limits;
pub mod observability;
pub mod quantity;
pub mod reconcile;
pub mod response_status;
pub mod rotation;
pub mod units;
