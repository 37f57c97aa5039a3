//! Accepting a validated request.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::domain::fifo::CapacityError;
use crate::domain::observability::InvalidSpan;
use crate::ports::buffer::{AppendError, Appended, TraceBufferPort};
use crate::ports::clock::MonotonicClock;
use crate::ports::monitor::{Monitor, RefusalReason, Transport};
use crate::ports::receive::{ExportRequest, ExportResult, ReceiveError, ReceivePort};

/// The buffer's fill level from which responses carry a warning.
const NEARLY_FULL_PERCENT: u8 = 90;
/// Minimum time between two warnings: the application's SDK logs each of them.
const WARNING_INTERVAL: Duration = Duration::from_secs(30);

/// Stores requests in the buffer and builds the result for the sender.
pub struct ReceiveTraces<B, M, C> {
    buffer: Arc<B>,
    monitor: Arc<M>,
    clock: C,
    last_warning: Mutex<Option<Duration>>,
}

impl<B: TraceBufferPort, M: Monitor, C: MonotonicClock> ReceiveTraces<B, M, C> {
    /// Creates the use case.
    pub fn new(buffer: Arc<B>, monitor: Arc<M>, clock: C) -> Self {
        Self { buffer, monitor, clock, last_warning: Mutex::new(None) }
    }

    async fn append(
        &self,
        transport: Transport,
        payload: Bytes,
        spans: NonZeroU32,
    ) -> Result<Appended, ReceiveError> {
        let count = u64::from(spans.get());
        match self.buffer.append(payload, spans).await {
            Ok(appended) => {
                self.monitor.accepted(transport, count);
                Ok(appended)
            }
            Err(error) => {
                let (reason, error) = classify_append_error(error);
                self.monitor.refused(transport, reason, count);
                Err(error)
            }
        }
    }

    /// Returns the near-full warning, rate-limited. A full success may carry a message (OTLP 1.11,
    /// "Partial Success").
    fn fullness_warning(&self, appended: Appended) -> Option<String> {
        if appended.evicted_spans == 0 && appended.fill_percent < NEARLY_FULL_PERCENT {
            return None;
        }
        let now = self.clock.now();
        let mut last = self.last_warning.lock();
        if last.is_some_and(|last| now.saturating_sub(last) < WARNING_INTERVAL) {
            return None;
        }
        *last = Some(now);
        drop(last);
        Some(fullness_message(appended))
    }
}

impl<B: TraceBufferPort, M: Monitor, C: MonotonicClock> ReceivePort for ReceiveTraces<B, M, C> {
    async fn receive(
        &self,
        transport: Transport,
        request: ExportRequest,
    ) -> Result<ExportResult, ReceiveError> {
        let ExportRequest { payload, spans, rejected_spans, first_invalid, misdirected } = request;
        if rejected_spans > 0 {
            self.monitor.refused(transport, RefusalReason::InvalidSpan, rejected_spans);
        }
        if misdirected.is_some() {
            self.monitor.misdirected(transport);
        }
        let appended = match NonZeroU32::new(spans) {
            None => None,
            Some(spans) => Some(self.append(transport, payload, spans).await?),
        };
        let invalid = first_invalid.map(|reason| rejection_message(rejected_spans, reason));
        let warning = appended.and_then(|appended| self.fullness_warning(appended));
        let held_other = misdirected.is_some();
        let parts = [invalid, misdirected, warning];
        let message = parts.into_iter().flatten().collect::<Vec<_>>().join("; ");
        Ok(ExportResult { rejected_spans, message, misdirected: held_other })
    }
}

fn rejection_message(spans: u64, reason: InvalidSpan) -> String {
    match spans {
        1 => format!("1 span was rejected: {reason}"),
        _ => format!("{spans} spans were rejected; the first because {reason}"),
    }
}

fn fullness_message(appended: Appended) -> String {
    let fill = appended.fill_percent;
    if appended.evicted_spans > 0 {
        return format!(
            "the trace buffer drops its oldest spans to make room: the destination is unavailable \
             or too slow ({fill} % full now)"
        );
    }
    format!(
        "the trace buffer is {fill} % full: the destination is unavailable or too slow (this \
         request is stored; the oldest spans are dropped when it is full)"
    )
}

fn classify_append_error(error: AppendError) -> (RefusalReason, ReceiveError) {
    match error {
        AppendError::Capacity(CapacityError::TooManyBytes { charge, max_bytes }) => (
            RefusalReason::TooLarge,
            ReceiveError::TooLarge(format!(
                "the request needs {charge} bytes of buffer, more than the whole buffer's \
                 {max_bytes}: send smaller batches or raise TRACEBUFFER_MAX_BYTES"
            )),
        ),
        AppendError::Capacity(CapacityError::TooManySpans { spans, max_spans }) => (
            RefusalReason::TooLarge,
            ReceiveError::TooLarge(format!(
                "the request has {spans} spans, more than the whole buffer's {max_spans}: send \
                 smaller batches or raise TRACEBUFFER_MAX_SPANS"
            )),
        ),
        AppendError::Capacity(CapacityError::Full) => (
            RefusalReason::Full,
            ReceiveError::Unavailable("the trace buffer is full; try again later".to_owned()),
        ),
        AppendError::ShuttingDown => (
            RefusalReason::Shutdown,
            ReceiveError::Unavailable("the receiver is shutting down".to_owned()),
        ),
        AppendError::Store(error) => {
            (RefusalReason::StoreFailed, ReceiveError::Unavailable(error.message))
        }
    }
}

#[cfg(test)]
mod tests;
