//! The rules of the buffer, in plain Rust: no clock, no I/O, no lock, nothing but `std`.

pub mod delivery;
pub mod limits;
pub mod observability;
