//! What the application offers and what it needs, as traits.

pub mod admission;
pub mod buffer;
pub mod catalog;
pub mod certificates;
pub mod clock;
pub mod cluster;
pub mod destination;
pub mod lease;
pub mod monitor;
pub mod pods;
pub mod receive;
pub mod reconcile;
pub mod record_store;
pub mod request_cutter;
