//! The product from outside: the receiver over its ports, the operator before an API server, the
//! binary as a person runs it.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a broken test should say so"
)]

mod cli;
mod dashboard;
mod operator;
mod receiver;
mod support;
