//! The rules of buffer and operator, in plain Rust: no clock, no I/O, no locks, nothing but `std`.

pub mod backoff;
pub mod bounds;
pub mod delivery;
pub mod delivery_policy;
pub mod fifo;
pub mod final_ledger;
pub mod ledger;
pub mod limits;
pub mod limits_text;
pub mod observability;
pub mod operator;
pub mod pace;
pub mod response_status;
pub mod run_summary;
pub mod text;
pub mod units;
