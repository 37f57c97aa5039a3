//! What the application offers and what it needs, as traits.

pub mod clock;
pub mod destination;
pub mod request_cutter;
