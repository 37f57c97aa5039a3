//! Where the ports meet the world: the network, the system, telemetry.

pub mod blocking;
pub mod clock;
pub mod files;
pub mod final_ledger;
pub mod kubernetes;
pub mod messaging;
pub mod server;
pub mod storage;
pub mod telemetry;
