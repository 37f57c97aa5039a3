//! Where the ports meet the world: the network, the system, telemetry.

pub mod messaging;
pub mod storage;
pub mod telemetry;
