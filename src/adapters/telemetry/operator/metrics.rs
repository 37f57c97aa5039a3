//! Metrics of the controller.

use std::collections::BTreeMap;
use std::time::Duration;

use parking_lot::Mutex;
use prometheus_client::metrics::histogram::Histogram;

use crate::adapters::telemetry::exposition::{
    Exposition, MetricFamily, MetricValue, counter, gauge, gauges,
};
use crate::domain::operator::injection::skip::SkipReason;
use crate::domain::operator::object_key::ObjectKey;
use crate::domain::operator::reconcile::trace_buffer_status::PodCounts;
use crate::ports::operator::admission::{AdmissionFailure, AdmissionMonitor, AdmissionOutcome};
use crate::ports::operator::certificates::CertificateMonitor;
use crate::ports::operator::reconcile::{ReconcileMonitor, ReconcileOutcome};

/// Upper bounds of the buckets of both durations, in seconds. API servers wait 5 s for the webhook.
const DURATION_BUCKETS: [f64; 13] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0];

const RECONCILE_RESULTS: [(ReconcileOutcome, &str); 3] = [
    (ReconcileOutcome::Done, "done"),
    (ReconcileOutcome::Conflict, "conflict"),
    (ReconcileOutcome::Failed, "failed"),
];

/// Counts by one label or several labels, each of a closed set.
type Counts<L> = Mutex<BTreeMap<L, u64>>;

/// Measures the webhook and the controller; all label values come from closed sets.
#[derive(Debug)]
pub struct ControllerMetrics {
    admissions: Counts<(&'static str, &'static str)>,
    admission_seconds: Histogram,
    reconciled: Counts<&'static str>,
    reconcile_seconds: Histogram,
    pods: Mutex<Option<PodStats>>,
    certificates: Mutex<CertificateStats>,
}

/// What the leader found; a replica that does not lead knows none of it.
#[derive(Debug, Default)]
struct PodStats {
    counts: BTreeMap<ObjectKey, PodCounts>,
    /// By cause. A cause that was reported once stays, so that its series ends at zero.
    missing: BTreeMap<&'static str, u64>,
}

#[derive(Debug, Default)]
struct CertificateStats {
    /// When the stored certificates expire, by role, since the Unix epoch.
    expiry: BTreeMap<&'static str, Duration>,
    failures: u64,
}

impl ControllerMetrics {
    /// Creates the metrics, with all counters at zero.
    #[must_use]
    pub fn new() -> Self {
        Self {
            admissions: Mutex::new(all_outcomes().map(|outcome| (labels(outcome), 0)).collect()),
            admission_seconds: Histogram::new(DURATION_BUCKETS),
            reconciled: Mutex::new(RECONCILE_RESULTS.map(|(_, word)| (word, 0)).into()),
            reconcile_seconds: Histogram::new(DURATION_BUCKETS),
            pods: Mutex::default(),
            certificates: Mutex::default(),
        }
    }

    /// Writes what this replica knows. What it knew as a leader is forgotten when it loses
    /// leadership, because it would be outdated.
    pub(super) fn write_to(&self, exposition: &mut Exposition) {
        exposition.histogram(
            "tracebuffer_admission_duration_seconds",
            "Time from a request to the webhook to its answer",
            &self.admission_seconds,
        );
        exposition.histogram(
            "tracebuffer_reconcile_duration_seconds",
            "Time to reconcile one object",
            &self.reconcile_seconds,
        );
        exposition.add(vec![
            self.admission_requests(),
            self.reconcile_results(),
            self.certificate_failures(),
        ]);
        if let Some(pods) = &*self.pods.lock() {
            exposition.add(pods.metrics());
        }
        let expiry = &self.certificates.lock().expiry;
        if !expiry.is_empty() {
            exposition.add(vec![stored_expiry(expiry)]);
        }
    }

    fn admission_requests(&self) -> MetricFamily {
        let admissions = self.admissions.lock();
        let samples = admissions.iter().map(|((outcome, reason), count)| {
            (vec![("outcome", *outcome), ("reason", *reason)], *count)
        });
        counter(
            "tracebuffer_admission_requests",
            "Requests to the webhook, by what became of the pod",
            samples.collect(),
        )
    }

    fn reconcile_results(&self) -> MetricFamily {
        let reconciled = self.reconciled.lock();
        let samples = reconciled.iter().map(|(word, count)| (vec![("result", *word)], *count));
        counter("tracebuffer_reconcile", "Objects reconciled, by result", samples.collect())
    }

    fn certificate_failures(&self) -> MetricFamily {
        counter(
            "tracebuffer_certificate_failures",
            "Failed attempts to keep the webhook's certificates",
            vec![(vec![], self.certificates.lock().failures)],
        )
    }
}

impl PodStats {
    fn metrics(&self) -> Vec<MetricFamily> {
        let missing = self.missing.iter();
        let counted = |name, help, of: fn(&PodCounts) -> u32| {
            let pods = self.counts.values().map(|counts| u64::from(of(counts))).sum();
            gauge(name, help, MetricValue::Integer(pods))
        };
        vec![
            gauges(
                "tracebuffer_uninjected_pods",
                "Pods that ask for a sidecar and have none, by cause",
                missing
                    .map(|(cause, pods)| (vec![("cause", *cause)], MetricValue::Integer(*pods)))
                    .collect(),
            ),
            counted(
                "tracebuffer_outdated_pods",
                "Pods whose sidecar is from before a change of its TraceBuffer",
                |counts| counts.outdated,
            ),
            counted(
                "tracebuffer_current_pods",
                "Pods whose sidecar is as its TraceBuffer says",
                |counts| counts.current,
            ),
            counted("tracebuffer_failing_pods", "Pods whose sidecar does not run", |counts| {
                counts.failing
            }),
            counted(
                "tracebuffer_bypassing_pods",
                "Pods with a sidecar that the traces of a container do not reach",
                |counts| counts.bypassing,
            ),
        ]
    }
}

fn stored_expiry(expiry: &BTreeMap<&'static str, Duration>) -> MetricFamily {
    let samples = expiry.iter().map(|(certificate, until)| {
        (vec![("certificate", *certificate)], MetricValue::Float(until.as_secs_f64()))
    });
    gauges(
        "tracebuffer_stored_certificate_expiry_timestamp_seconds",
        "Until when the certificates the operator keeps are valid",
        samples.collect(),
    )
}

impl Default for ControllerMetrics {
    fn default() -> Self {
        Self::new()
    }
}

impl AdmissionMonitor for ControllerMetrics {
    fn answered(&self, outcome: AdmissionOutcome, elapsed: Duration) {
        *self.admissions.lock().entry(labels(outcome)).or_default() += 1;
        self.admission_seconds.observe(elapsed.as_secs_f64());
    }
}

impl ReconcileMonitor for ControllerMetrics {
    fn reconciled(&self, outcome: ReconcileOutcome, elapsed: Duration) {
        for (_, word) in RECONCILE_RESULTS.into_iter().filter(|(each, _)| *each == outcome) {
            *self.reconciled.lock().entry(word).or_default() += 1;
        }
        self.reconcile_seconds.observe(elapsed.as_secs_f64());
    }

    fn pod_counts(&self, trace_buffer: &ObjectKey, counts: Option<PodCounts>) {
        let mut pods = self.pods.lock();
        let known = &mut pods.get_or_insert_default().counts;
        match counts {
            Some(counts) => known.insert(trace_buffer.clone(), counts),
            None => known.remove(trace_buffer),
        };
    }

    fn missing_pods(&self, pods: &BTreeMap<&'static str, u64>) {
        let mut stats = self.pods.lock();
        let missing = &mut stats.get_or_insert_default().missing;
        for pods in missing.values_mut() {
            *pods = 0;
        }
        missing.extend(pods);
    }

    fn leadership_lost(&self) {
        *self.pods.lock() = None;
    }
}

impl CertificateMonitor for ControllerMetrics {
    fn stored(&self, authority_until: Duration, leaf_until: Duration) {
        let until = [("authority", authority_until), ("leaf", leaf_until)];
        self.certificates.lock().expiry = until.into();
    }

    fn failed(&self) {
        self.certificates.lock().failures += 1;
    }

    fn leadership_lost(&self) {
        self.certificates.lock().expiry.clear();
    }
}

fn all_outcomes() -> impl Iterator<Item = AdmissionOutcome> {
    [AdmissionOutcome::Injected, AdmissionOutcome::NotANewPod]
        .into_iter()
        .chain(SkipReason::ALL.into_iter().map(AdmissionOutcome::Skipped))
        .chain(AdmissionFailure::ALL.into_iter().map(AdmissionOutcome::Failed))
}

/// Returns the outcome and the reason; the latter is empty for an outcome without reason.
const fn labels(outcome: AdmissionOutcome) -> (&'static str, &'static str) {
    match outcome {
        AdmissionOutcome::Injected => ("injected", ""),
        AdmissionOutcome::Skipped(reason) => ("skipped", reason.as_str()),
        AdmissionOutcome::NotANewPod => ("untouched", "NotANewPod"),
        AdmissionOutcome::Failed(failure) => ("failed", failure.as_str()),
    }
}

#[cfg(test)]
mod tests;
