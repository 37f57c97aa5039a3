//! Read and write access of the reconciler to the cluster.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use crate::domain::operator::injection::pod_snapshot::{Owner, PodSnapshot};
use crate::domain::operator::object_key::ObjectKey;
use crate::domain::operator::reconcile::rollout::WorkloadStatus;
use crate::domain::operator::reconcile::trace_buffer_snapshot::{Reference, TraceBufferSnapshot};
use crate::domain::operator::reconcile::trace_buffer_status::Status;
use crate::domain::operator::reconcile::workload_event::WorkloadEvent;

/// The object that users manage a pod by: a `Deployment`, a `CronJob`, or the pod itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Workload {
    /// The namespace of the object.
    pub namespace: String,
    /// The object.
    pub object: Owner,
}

/// The result of looking up an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupOutcome {
    /// The object exists.
    Found,
    /// The object does not exist.
    NotFound,
    /// The operator is not allowed to look it up.
    Forbidden,
}

/// Why an object could not be read or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterError {
    /// The object was changed in the meantime: the operator's state of it is outdated.
    Conflict,
    /// The object does not exist any more.
    NotFound,
    /// Any other failure, with a message that names the remedy where there is one.
    Failed(String),
}

/// The cluster, as the reconciler needs it. Every write is conditional: it fails with
/// [`ClusterError::Conflict`] if it is based on outdated state, so that a former leader cannot undo
/// what its successor does.
pub trait Cluster: Send + Sync + 'static {
    /// Returns whether all objects were listed once. Before that, an object that is not known may
    /// exist all the same.
    fn is_synced(&self) -> bool;

    /// Returns why the API server does not call the webhook for a pod that is created now; `None` if it
    /// does, as far as is known.
    fn webhook_problem(&self) -> Option<String>;

    /// Returns the keys of all `TraceBuffer`s.
    fn trace_buffer_keys(&self) -> Vec<ObjectKey>;

    /// Returns the names of the `TraceBuffer`s in `namespace`.
    fn names_in(&self, namespace: &str) -> Vec<String>;

    /// Returns the `TraceBuffer` with this key.
    fn trace_buffer(&self, key: &ObjectKey) -> Option<Arc<TraceBufferSnapshot>>;

    /// Looks up an object that a `TraceBuffer` refers to, in `namespace`.
    ///
    /// # Errors
    ///
    /// [`ClusterError`] if the lookup itself fails.
    fn look_up(
        &self,
        namespace: &str,
        reference: &Reference,
    ) -> impl Future<Output = Result<LookupOutcome, ClusterError>> + Send;

    /// Returns the workload that `pod` is part of. Results are cached.
    ///
    /// # Errors
    ///
    /// [`ClusterError`] if the owners of the pod cannot be read.
    fn workload_of(
        &self,
        pod: &PodSnapshot,
    ) -> impl Future<Output = Result<Workload, ClusterError>> + Send;

    /// Writes new limits, in the format of [`limits_text`](crate::domain::limits_text), to a running pod.
    ///
    /// # Errors
    ///
    /// [`ClusterError`] if nothing was written, or no response arrived in time.
    fn set_limits(
        &self,
        pod: &PodSnapshot,
        text: &str,
    ) -> impl Future<Output = Result<(), ClusterError>> + Send;

    /// Writes the status of a `TraceBuffer`. Conditions without a transition time get the current
    /// time.
    ///
    /// # Errors
    ///
    /// [`ClusterError`] if nothing was written, or no response arrived in time.
    fn write_status(
        &self,
        trace_buffer: &TraceBufferSnapshot,
        status: &Status,
    ) -> impl Future<Output = Result<(), ClusterError>> + Send;

    /// Returns the rollout status of a workload, or `None` for a kind that cannot be restarted, such
    /// as a `Job`.
    ///
    /// # Errors
    ///
    /// [`ClusterError`] if the workload cannot be read.
    fn get_workload(
        &self,
        workload: &Workload,
    ) -> impl Future<Output = Result<Option<WorkloadStatus>, ClusterError>> + Send;

    /// Restarts a workload whose last observed status is `status`, and annotates it with `revision`.
    ///
    /// # Errors
    ///
    /// [`ClusterError`] if nothing was written, or no response arrived in time.
    fn restart(
        &self,
        workload: &Workload,
        status: &WorkloadStatus,
        revision: &str,
    ) -> impl Future<Output = Result<(), ClusterError>> + Send;

    /// Publishes an event about a workload.
    ///
    /// # Errors
    ///
    /// [`ClusterError`] if the event was not published, or no response arrived in time.
    fn publish_event(
        &self,
        workload: &Workload,
        event: &WorkloadEvent,
    ) -> impl Future<Output = Result<(), ClusterError>> + Send;
}

impl fmt::Display for ClusterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict => f.write_str("the object was changed in the meantime"),
            Self::NotFound => f.write_str("the object does not exist any more"),
            Self::Failed(message) => f.write_str(message),
        }
    }
}

impl fmt::Display for Workload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}/{}", self.object.kind, self.namespace, self.object.name)
    }
}

impl std::error::Error for ClusterError {}
