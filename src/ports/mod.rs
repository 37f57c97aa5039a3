//! Traits: what the application offers to adapters and what it needs from them.

pub mod buffer;
pub mod clock;
pub mod destination;
pub mod monitor;
pub mod operator;
pub mod receive;
pub mod record_store;
