//! One request to the API server: its bounds, how it writes, and what its failure means.

use std::fmt::{self, Debug};
use std::time::Duration;

use k8s_openapi::NamespaceResourceScope;
use kube::Resource;
use kube::api::{PatchParams, PostParams};
use serde::de::DeserializeOwned;
use tokio::time::timeout;

use super::names::FIELD_MANAGER;
use crate::ports::operator::cluster::ClusterError;

/// The longest wait for one response. kube's client has no timeout of its own, and obeys any
/// `Retry-After`.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

/// A type of namespaced objects.
pub(super) trait NamespacedResource:
    Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + DeserializeOwned + Debug
{
}

impl<K> NamespacedResource for K where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()>
        + Clone
        + DeserializeOwned
        + Debug
{
}

/// Why a request failed.
#[derive(Debug)]
pub(super) enum CallError {
    /// The API server refused, or was not reached.
    Kube(kube::Error),
    /// It did not answer within [`REQUEST_TIMEOUT`]: a write may have been done.
    Timeout,
}

impl CallError {
    /// Returns the HTTP status of the API server's refusal, if it refused.
    pub(super) fn code(&self) -> Option<u16> {
        match self {
            Self::Kube(kube::Error::Api(status)) => Some(status.code),
            _ => None,
        }
    }

    /// Returns whether the API server refused because the namespace is being deleted.
    fn is_namespace_terminating(&self) -> bool {
        matches!(self, Self::Kube(kube::Error::Api(status))
            if status.code == 403 && status.message.contains("is being terminated"))
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kube(kube::Error::Api(status)) => f.write_str(&status.message),
            Self::Kube(error) => write!(f, "{error}"),
            Self::Timeout => write!(f, "the API server did not answer within {REQUEST_TIMEOUT:?}"),
        }
    }
}

/// Waits for a response, at most [`REQUEST_TIMEOUT`].
pub(super) async fn with_timeout<T>(
    request: impl Future<Output = kube::Result<T>>,
) -> Result<T, CallError> {
    match timeout(REQUEST_TIMEOUT, request).await {
        Ok(answer) => answer.map_err(CallError::Kube),
        Err(_) => Err(CallError::Timeout),
    }
}

/// Parameters of every patch.
pub(super) fn patch_params() -> PatchParams {
    PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() }
}

/// Parameters of every create and replace.
pub(super) fn post_params() -> PostParams {
    PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() }
}

/// Returns what a failure means to the reconciler; `what` names what failed, as in `cannot read …`.
pub(super) fn cluster_error(error: &CallError, what: impl FnOnce() -> String) -> ClusterError {
    match error.code() {
        Some(409) => ClusterError::Conflict,
        Some(404) => ClusterError::NotFound,
        Some(403) if error.is_namespace_terminating() => ClusterError::NotFound,
        Some(403) => ClusterError::Failed(format!(
            "{}: {error}; the chart's ClusterRole has the rule",
            what()
        )),
        _ => ClusterError::Failed(format!("{}: {error}", what())),
    }
}
