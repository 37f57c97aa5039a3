//! What is said of a watch that fails.

use std::fmt;

use kube::runtime::watcher;
use tracing::{debug, info, warn};

use super::health::WatchHealth;

/// The RBAC rule that a watch needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::adapters::kubernetes) struct RbacRule {
    /// Empty for the core group.
    pub(in crate::adapters::kubernetes) group: &'static str,
    pub(in crate::adapters::kubernetes) resource: &'static str,
    /// The kind of the chart's object that has the rule: `ClusterRole` or `Role`.
    pub(in crate::adapters::kubernetes) role: &'static str,
}

impl fmt::Display for RbacRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { group, resource, .. } = self;
        write!(f, "apiGroups: [\"{group}\"], resources: [\"{resource}\"], verbs: [list, watch]")
    }
}

impl RbacRule {
    /// Takes note that the watch works.
    pub(super) fn log_success(self, health: &WatchHealth) {
        if health.clear_failure() {
            info!(resource = self.resource, "watching again");
        }
    }

    /// Takes note of an error, and logs it, though not again and again.
    pub(super) fn log_failure(self, health: &WatchHealth, error: &watcher::Error) {
        let trouble = self.explain(error);
        if health.record_failure(trouble.clone()) {
            warn!(resource = self.resource, age = ?health.age(), "{trouble}");
        } else {
            debug!(resource = self.resource, age = ?health.age(), "{trouble}");
        }
    }

    fn explain(self, error: &watcher::Error) -> String {
        let Self { resource, role, .. } = self;
        match code(error) {
            Some(403) => format!(
                "not allowed to watch {resource}: the operator's {role} needs a rule with \
                 {self}; the chart has it"
            ),
            Some(404) => format!(
                "the cluster does not know {resource}: install the chart's CRD (crds.enabled), or \
                 apply the output of `tracebuffer crd`"
            ),
            Some(410) => format!("the history of {resource} is gone; listing them anew"),
            _ => format!("cannot watch {resource}, retrying: {error}"),
        }
    }
}

/// The HTTP status with which the API server refused, if it did.
fn code(error: &watcher::Error) -> Option<u16> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => Some(status.code),
        _ => None,
    }
}
