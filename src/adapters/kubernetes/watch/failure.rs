//! Logging of watch failures.

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
    /// Of the webhook's configuration.
    pub(in crate::adapters::kubernetes) const CONFIGURATIONS: Self = Self {
        group: "admissionregistration.k8s.io",
        resource: "mutatingwebhookconfigurations",
        role: "ClusterRole",
    };

    /// Records that the watch works, and logs it if it failed before.
    pub(super) fn log_success(self, health: &WatchHealth) {
        if health.clear_failure() {
            info!(resource = self.resource, "the watch works again");
        }
    }

    /// Records an error. A repeated error is logged at debug level only. That the history of objects has
    /// expired is no failure: it happens in a new cluster and after long pauses, and they are listed again.
    pub(super) fn log_failure(self, health: &WatchHealth, error: &watcher::Error) {
        let is_list = matches!(error, watcher::Error::InitialListFailed(_));
        if code(error) == Some(410) && !is_list {
            return debug!(resource = self.resource, "the history has expired; listing again");
        }
        let message = self.explain(error);
        if health.record_failure(message.clone()) {
            warn!(resource = self.resource, age = ?health.age(), "{message}");
        } else {
            debug!(resource = self.resource, age = ?health.age(), "{message}");
        }
    }

    fn explain(self, error: &watcher::Error) -> String {
        let Self { resource, role, .. } = self;
        match code(error) {
            Some(403) => format!(
                "not allowed to watch {resource}: the operator's {role} needs a rule with \
                 {self}; the chart contains it"
            ),
            Some(404) => format!(
                "the cluster does not know {resource}: install the chart's CRD (crds.enabled), or \
                 apply the output of `tracebuffer crd`"
            ),
            Some(410) => format!("listing {resource} took longer than the API server keeps a list"),
            _ => format!("cannot watch {resource}, retrying: {error}"),
        }
    }
}

/// Returns the HTTP status code of the API server's response, if the error has one.
fn code(error: &watcher::Error) -> Option<u16> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => Some(status.code),
        _ => None,
    }
}
