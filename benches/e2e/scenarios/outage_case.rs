//! How the destination fails, and the load meanwhile.

use crate::kit::{
    BenchResult,
    sink::{Sink, SinkBehavior},
};

/// How the destination fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DestinationFault {
    /// Nothing listens.
    Dead,
    /// It reads and never responds.
    Blackholed,
    /// It accepts and never reads.
    Stalled,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct OutageCase {
    pub(super) fault: DestinationFault,
    pub(super) limit_mib: u64,
    pub(super) connections: usize,
    pub(super) spans: usize,
    pub(super) gzip: bool,
}

impl OutageCase {
    pub(super) fn name(&self) -> String {
        format!(
            "{} MiB, {}, {} conn., {}/request, {}",
            self.limit_mib,
            self.fault.name(),
            self.connections,
            self.spans,
            if self.gzip { "gzip" } else { "plain" }
        )
    }

    /// 1.10 times the limit and 8 MiB.
    pub(super) fn allowed_kib(&self) -> u64 {
        self.limit_mib * 1024 * 11 / 10 + 8 * 1024
    }
}

impl DestinationFault {
    fn name(self) -> &'static str {
        match self {
            Self::Dead => "dead",
            Self::Blackholed => "blackholed",
            Self::Stalled => "stalled",
        }
    }

    pub(super) fn sink(self, port: u16, core: usize) -> BenchResult<Option<Sink>> {
        let behavior = match self {
            Self::Dead => return Ok(None),
            Self::Blackholed => SinkBehavior::NeverRespond,
            Self::Stalled => SinkBehavior::NeverRead,
        };
        Sink::start(port, behavior, core).map(Some)
    }
}
