//! What the application offers and what it needs, as traits.

pub mod buffer;
pub mod clock;
pub mod destination;
pub mod monitor;
pub mod operator;
pub mod receive;
pub mod record_store;
