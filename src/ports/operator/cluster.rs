//! What reconciling reads from a cluster and writes to it.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use crate::domain::operator::injection::pod_snapshot::{Owner, PodSnapshot};
use crate::domain::operator::object_key::ObjectKey;
use crate::domain::operator::reconcile::conditions::Status;
use crate::domain::operator::reconcile::rollout::WorkloadStatus;
use crate::domain::operator::reconcile::trace_buffer_snapshot::{Reference, TraceBufferSnapshot};
use crate::domain::operator::reconcile::workload_event::WorkloadEvent;

/// The object by which people know a pod: a `Deployment`, a `CronJob`, or the pod itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Workload {
    /// Its namespace.
    pub namespace: String,
    /// The object.
    pub object: Owner,
}

/// What came of looking for an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookupOutcome {
    /// It is there.
    Found,
    /// It is not.
    NotFound,
    /// The operator may not look.
    Forbidden,
}

/// Why something could not be read or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClusterError {
    /// Somebody else wrote in the meantime: what is known here is behind.
    Conflict,
    /// The object is gone.
    NotFound,
    /// Anything else, and what to do about it.
    Failed(String),
}

/// The cluster, as reconciling needs it. Every write fails with [`ClusterError::Conflict`] where what
/// it is based on is behind, so that one who led before cannot undo what the next one does.
pub trait Cluster: Send + Sync + 'static {
    /// Returns whether everything there is was seen once; before, nothing may be concluded from what
    /// is absent.
    fn is_synced(&self) -> bool;

    /// Returns the names of all `TraceBuffer`s.
    fn trace_buffer_keys(&self) -> Vec<ObjectKey>;

    /// Returns the names of a namespace's `TraceBuffer`s.
    fn names_in(&self, namespace: &str) -> Vec<String>;

    /// Returns the `TraceBuffer` of this name.
    fn trace_buffer(&self, key: &ObjectKey) -> Option<Arc<TraceBufferSnapshot>>;

    /// Looks for an object that a `TraceBuffer` names.
    ///
    /// # Errors
    ///
    /// [`ClusterError`] when nothing can be said.
    fn look_up(
        &self,
        namespace: &str,
        reference: &Reference,
    ) -> impl Future<Output = Result<LookupOutcome, ClusterError>> + Send;

    /// Returns the workload that `pod` is part of. Remembers answers.
    ///
    /// # Errors
    ///
    /// [`ClusterError`] when its owners cannot be read.
    fn workload_of(
        &self,
        pod: &PodSnapshot,
    ) -> impl Future<Output = Result<Workload, ClusterError>> + Send;

    /// Writes new limits to a running pod.
    ///
    /// # Errors
    ///
    /// [`ClusterError`]; nothing has changed then.
    fn set_limits(
        &self,
        pod: &PodSnapshot,
        text: &str,
    ) -> impl Future<Output = Result<(), ClusterError>> + Send;

    /// Writes the status of a `TraceBuffer`; conditions without a time get this moment's.
    ///
    /// # Errors
    ///
    /// [`ClusterError`]; nothing has changed then.
    fn write_status(
        &self,
        declared: &TraceBufferSnapshot,
        status: &Status,
    ) -> impl Future<Output = Result<(), ClusterError>> + Send;

    /// Returns how a workload's rollout goes; `None` for what cannot be restarted, such as a `Job`.
    ///
    /// # Errors
    ///
    /// [`ClusterError`] when it cannot be read.
    fn get_workload(
        &self,
        workload: &Workload,
    ) -> impl Future<Output = Result<Option<WorkloadStatus>, ClusterError>> + Send;

    /// Restarts a workload that was seen as `seen`, and marks it.
    ///
    /// # Errors
    ///
    /// [`ClusterError`]; nothing has changed then.
    fn restart(
        &self,
        workload: &Workload,
        seen: &WorkloadStatus,
        marker: &str,
    ) -> impl Future<Output = Result<(), ClusterError>> + Send;

    /// Tells the people who look at a workload.
    ///
    /// # Errors
    ///
    /// [`ClusterError`] when they were not told.
    fn publish_event(
        &self,
        workload: &Workload,
        notice: &WorkloadEvent,
    ) -> impl Future<Output = Result<(), ClusterError>> + Send;
}

impl fmt::Display for ClusterError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict => f.write_str("somebody else changed it in the meantime"),
            Self::NotFound => f.write_str("it is gone"),
            Self::Failed(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for ClusterError {}
