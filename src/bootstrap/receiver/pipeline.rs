//! The data path from receiver to destination, assembled.

use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::task::JoinSet;
use tracing::error;

use super::settings::ReceiverSettings;
use crate::adapters::clock::TokioClock;
use crate::adapters::messaging::destination::AnyDestination;
use crate::adapters::messaging::wire;
use crate::adapters::storage::memory::MemoryStore;
use crate::adapters::telemetry::receiver::metrics::Metrics;
use crate::application::buffer_management::TraceBuffer;
use crate::application::drain::ForwardingWorkers;
use crate::application::forward::ForwardTraces;
use crate::application::receive::ReceiveTraces;
use crate::domain::run_summary::RunSummary;
use crate::ports::buffer::TraceBufferPort;
use crate::ports::monitor::RefusalReason;

pub(super) type Buffer = TraceBuffer<MemoryStore, TokioClock>;
type Forwarder = ForwardTraces<Buffer, AnyDestination, Metrics, TokioClock>;

/// The data path of one receiver.
pub(super) struct Pipeline {
    pub(super) buffer: Arc<Buffer>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) receiver: Arc<ReceiveTraces<Buffer, Metrics, TokioClock>>,
    forwarder: Arc<Forwarder>,
}

/// The running workers of the forwarder.
pub(super) struct Workers {
    forwarder: Arc<Forwarder>,
    tasks: JoinSet<()>,
}

impl Pipeline {
    pub(super) fn build(settings: &ReceiverSettings) -> Self {
        let clock = TokioClock::new();
        let store = MemoryStore::new();
        let buffer = TraceBuffer::new(settings.limits, settings.overflow_policy, store, clock);
        let buffer = Arc::new(buffer.with_takers(settings.concurrency));
        let metrics = Arc::new(Metrics::new());
        let receiver = Arc::new(ReceiveTraces::new(buffer.clone(), metrics.clone(), clock));
        let forwarder = Arc::new(ForwardTraces::new(
            buffer.clone(),
            AnyDestination::from_settings(settings.destination.as_deref()),
            wire::keep_spans,
            metrics.clone(),
            clock,
            settings.batch_limits,
            || fastrand::u64(..),
        ));
        Self { buffer, metrics, receiver, forwarder }
    }

    /// Returns a callback that makes the workers retry immediately, once.
    pub(super) fn flush_trigger(&self) -> Box<dyn Fn() + Send + Sync> {
        let forwarder = Arc::clone(&self.forwarder);
        Box::new(move || forwarder.flush())
    }

    /// Returns the accounting of a run that ends now.
    pub(super) fn summary(&self) -> RunSummary {
        RunSummary {
            ledger: self.buffer.status().ledger,
            unacceptable: self.metrics.refused_spans_where(|reason| !reason.may_pass()),
            turned_away: self.metrics.refused_spans_where(RefusalReason::may_pass),
        }
    }

    /// Starts as many workers as batches may be in flight.
    pub(super) fn spawn_workers(&self, concurrency: NonZeroUsize) -> Workers {
        let mut tasks = JoinSet::new();
        for _ in 0..concurrency.get() {
            let forwarder = Arc::clone(&self.forwarder);
            tasks.spawn(async move { forwarder.run().await });
        }
        Workers { forwarder: Arc::clone(&self.forwarder), tasks }
    }
}

impl ForwardingWorkers for Workers {
    fn begin_drain(&self) {
        self.forwarder.begin_drain();
    }

    fn stop(&self) {
        self.forwarder.stop();
    }

    async fn join(&mut self) {
        while let Some(ended) = self.tasks.join_next().await {
            if let Err(error) = ended {
                error!(%error, "a forwarding worker panicked; please report this bug");
            }
        }
    }
}
