//! The gateways and fleets that are tried.

use std::ops::RangeInclusive;
use std::time::Duration;

use tracebuffer::domain::delivery::{Failure, classify_grpc_code, classify_http_status};
use tracebuffer::domain::limits::BatchLimits;

use crate::gateway::{Admission, Gateway};
use crate::secs;

/// So that 50,000 spans, the default limit, are 32 MiB, the default limit.
pub(crate) const SPAN_BYTES: u64 = (32 << 20) / 50_000;
/// Spans in a record: an SDK's default batch.
pub(crate) const RECORD_SPANS: u64 = 512;
/// The default settings.
pub(crate) const CONFIGURED: BatchLimits = BatchLimits {
    max_spans: 8_192,
    max_bytes: 7 << 19,
    max_records: usize::MAX,
    linger: Duration::from_millis(200),
};

/// How long the gateway was away, and how long it is away when it restarts.
const OUTAGE: Duration = secs(120);
const RESTART: Duration = secs(60);

/// What decides when and how much a sidecar sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    Pace,
    /// Full batches at once after a delivery; for comparison.
    BackoffOnly,
}

/// How a gateway refuses.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Refusal {
    Grpc(i32, Option<Duration>),
    Http(u16, Option<Duration>),
}

#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) name: String,
    pub(crate) policy: Policy,
    pub(crate) admission: Admission,
    pub(crate) refusal: Refusal,
    pub(crate) sidecars: usize,
    /// The spans that each sidecar holds, in turn.
    pub(crate) backlogs: &'static [u64],
    /// The time in which the gateway can take everything.
    pub(crate) drain: Duration,
    pub(crate) latency: RangeInclusive<Duration>,
    pub(crate) request_cost: u64,
    pub(crate) restarts: bool,
}

impl Refusal {
    const UNAVAILABLE: Self = Self::Grpc(14, None);

    const fn unavailable(retry_info: u64) -> Self {
        Self::Grpc(14, Some(secs(retry_info)))
    }

    pub(crate) fn failure(self) -> Failure {
        let ((kind, code), retry_after) = match self {
            Self::Grpc(code, retry_info) => {
                (classify_grpc_code(code, retry_info.is_some()), retry_info)
            }
            Self::Http(status, retry_after) => (classify_http_status(status), retry_after),
        };
        Failure { kind, code, retry_after, message: "over capacity".into() }
    }

    fn name(self) -> String {
        let (name, asked) = match self {
            Self::Grpc(_, asked) => {
                (self.failure().code, asked.map(|asked| (" + RetryInfo", asked)))
            }
            Self::Http(_, asked) => {
                (self.failure().code, asked.map(|asked| (" + Retry-After", asked)))
            }
        };
        asked.map_or_else(
            || name.to_owned(),
            |(header, asked)| format!("{name}{header} {} s", asked.as_secs()),
        )
    }
}

impl Scenario {
    fn new(sidecars: usize, admission: Admission, refusal: Refusal) -> Self {
        let how = match admission {
            Admission::EachSecond => "each second".to_owned(),
            Admission::TokenBucket(depth) => format!("token bucket of {} s", depth.as_secs_f64()),
            Admission::Workers(workers) => format!("{workers} workers, no queue"),
            Admission::MemoryLimiter(limit) => format!("memory limiter, {} s", limit.as_secs()),
        };
        Self {
            name: format!("{how}: {}", refusal.name()),
            policy: Policy::Pace,
            admission,
            refusal,
            sidecars,
            backlogs: &[50_000],
            drain: secs(20 * 60),
            latency: Duration::from_millis(5)..=Duration::from_millis(200),
            request_cost: 0,
            restarts: false,
        }
    }

    fn named(mut self, what: &str) -> Self {
        self.name = format!("{what}; {}", self.name);
        self
    }

    /// One sidecar at a gateway that takes everything.
    pub(crate) fn alone() -> Self {
        let drain = Duration::from_millis(1);
        Self { drain, ..Self::new(1, Admission::EachSecond, Refusal::UNAVAILABLE) }
    }

    pub(crate) fn backlog(&self, sidecar: usize) -> u64 {
        self.backlogs[sidecar % self.backlogs.len()]
    }

    pub(crate) fn spans(&self) -> u64 {
        (0..self.sidecars).map(|sidecar| self.backlog(sidecar)).sum()
    }

    pub(crate) fn gateway(&self) -> Gateway {
        let mut outages = vec![Duration::ZERO..OUTAGE];
        if self.restarts {
            let away = OUTAGE + secs(300);
            outages.push(away..away + RESTART);
        }
        let capacity = self.spans() as f64 / self.drain.as_secs_f64();
        Gateway::new(self.admission, capacity, self.request_cost, outages)
    }
}

/// The gateways at which the promised figures are reached.
pub(crate) fn required(sidecars: usize) -> Vec<Scenario> {
    let new = |admission, refusal| Scenario::new(sidecars, admission, refusal);
    let each_second = |refusal| new(Admission::EachSecond, refusal);
    let plain = || each_second(Refusal::UNAVAILABLE);
    let millis = Duration::from_millis;
    let mixed = &[500, 5_000, 50_000, 144_500];
    vec![
        plain(),
        each_second(Refusal::unavailable(1)),
        each_second(Refusal::unavailable(5)),
        each_second(Refusal::unavailable(30)),
        each_second(Refusal::Grpc(8, Some(secs(5)))),
        each_second(Refusal::Http(429, None)),
        each_second(Refusal::Http(503, Some(secs(10)))),
        new(Admission::TokenBucket(millis(100)), Refusal::UNAVAILABLE),
        new(Admission::TokenBucket(millis(100)), Refusal::unavailable(5)),
        new(Admission::TokenBucket(secs(10)), Refusal::UNAVAILABLE),
        new(Admission::TokenBucket(secs(10)), Refusal::unavailable(30)),
        new(Admission::Workers(64), Refusal::UNAVAILABLE),
        new(Admission::Workers(64), Refusal::unavailable(5)),
        new(Admission::MemoryLimiter(secs(2)), Refusal::UNAVAILABLE),
        new(Admission::MemoryLimiter(secs(2)), Refusal::unavailable(5)),
        new(Admission::MemoryLimiter(secs(10)), Refusal::UNAVAILABLE),
        new(Admission::MemoryLimiter(secs(10)), Refusal::unavailable(5)),
        Scenario { latency: millis(5)..=millis(5), ..plain() }.named("5 ms away"),
        Scenario { latency: millis(200)..=millis(200), ..plain() }.named("200 ms away"),
        Scenario { backlogs: mixed, ..plain() }.named("500 to 144,500 spans"),
        // A quarter of the sidecars holds nearly everything; fewer cannot fill every second.
        Scenario {
            backlogs: mixed,
            sidecars: sidecars.max(1_000),
            ..each_second(Refusal::unavailable(30))
        }
        .named("500 to 144,500 spans"),
        Scenario { restarts: true, ..plain() }.named("restart"),
        Scenario { restarts: true, ..each_second(Refusal::unavailable(5)) }.named("restart"),
        Scenario { restarts: true, ..new(Admission::MemoryLimiter(secs(2)), Refusal::UNAVAILABLE) }
            .named("restart"),
    ]
}

/// Other gateways and fleets.
pub(crate) fn beyond(sidecars: usize) -> Vec<Scenario> {
    let plain = || Scenario::new(sidecars, Admission::EachSecond, Refusal::UNAVAILABLE);
    let asking = || Scenario::new(sidecars, Admission::EachSecond, Refusal::unavailable(30));
    let few = |sidecars, refusal| {
        Scenario::new(sidecars, Admission::TokenBucket(secs(10)), refusal)
            .named(&format!("{sidecars} sidecars"))
    };
    vec![
        Scenario { drain: secs(2 * 60), ..plain() }.named("2 minutes"),
        Scenario { drain: secs(2 * 60), ..asking() }.named("2 minutes"),
        Scenario { drain: secs(200 * 60), ..plain() }.named("200 minutes"),
        Scenario { drain: secs(200 * 60), ..asking() }.named("200 minutes"),
        few(1, Refusal::UNAVAILABLE),
        few(10, Refusal::UNAVAILABLE),
        few(100, Refusal::UNAVAILABLE),
        few(100, Refusal::unavailable(30)),
        Scenario { request_cost: 50, ..plain() }.named("a request costs 50 spans more"),
        Scenario::new(sidecars, Admission::Workers(8), Refusal::UNAVAILABLE),
    ]
}

/// Small enough for the code, and large enough for a gateway that is busy.
pub(crate) fn to_compare() -> Vec<Scenario> {
    let new = |admission, refusal| Scenario::new(50, admission, refusal);
    vec![
        new(Admission::TokenBucket(secs(10)), Refusal::UNAVAILABLE),
        new(Admission::TokenBucket(secs(10)), Refusal::unavailable(5)),
        new(Admission::MemoryLimiter(secs(10)), Refusal::UNAVAILABLE),
    ]
}
