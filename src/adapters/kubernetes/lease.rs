//! The lease of the leader election, as a `Lease` of `coordination.k8s.io`.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::{Api, Client};
use parking_lot::Mutex;

use super::call::post_params;
use super::watch::{RbacRule, WatchedObject, watch_object};
use crate::domain::operator::lease::{LeaseUpdate, StoredLease};
use crate::ports::operator::lease::{LeaseError, LeaseStore};

const LEASES: RbacRule =
    RbacRule { group: "coordination.k8s.io", resource: "leases", role: "Role" };

/// One `Lease` object. Its times inform people and other implementations; nothing here compares them
/// with a clock.
pub struct KubeLeaseStore {
    client: Client,
    api: Api<Lease>,
    name: String,
    namespace: String,
    /// The object as last read or written: a write keeps the fields that others added.
    last: Mutex<Option<Lease>>,
}

impl KubeLeaseStore {
    /// Creates the store of the lease `name` in `namespace`; the lease need not exist.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str) -> Self {
        let api = Api::namespaced(client.clone(), namespace);
        let (name, namespace) = (name.to_owned(), namespace.to_owned());
        Self { client, api, name, namespace, last: Mutex::new(None) }
    }

    /// Returns the object to write; `None` if it replaces a version other than the last one seen.
    fn build_object(&self, update: &LeaseUpdate, expected_version: Option<&str>) -> Option<Lease> {
        let mut lease = match expected_version {
            None => Lease::default(),
            Some(version) => {
                let last = self.last.lock().clone();
                last.filter(|lease| lease.metadata.resource_version.as_deref() == Some(version))?
            }
        };
        lease.metadata.name = Some(self.name.clone());
        let now = MicroTime(Timestamp::now());
        let spec = lease.spec.get_or_insert_default();
        if update.changes_holder {
            spec.acquire_time = Some(now.clone());
        }
        spec.renew_time = Some(now);
        // Empty rather than absent, as client-go releases a lease.
        spec.holder_identity = Some(update.holder.clone().unwrap_or_default());
        spec.lease_duration_seconds = i32::try_from(update.duration.as_secs()).ok();
        spec.lease_transitions = i32::try_from(update.transitions).ok();
        Some(lease)
    }

    fn remember(&self, lease: Lease) -> StoredLease {
        let stored = stored(&lease);
        *self.last.lock() = Some(lease);
        stored
    }
}

impl LeaseStore for KubeLeaseStore {
    fn name(&self) -> &str {
        &self.name
    }

    async fn read(&self) -> Result<Option<StoredLease>, LeaseError> {
        let found =
            self.api.get_opt(&self.name).await.map_err(|error| self.to_lease_error(&error))?;
        Ok(found.map(|lease| self.remember(lease)))
    }

    async fn watch(&self, notify: impl Fn(Option<StoredLease>) + Send + Sync) {
        let watched = WatchedObject { client: self.client.clone(), name: &self.name, rule: LEASES };
        let api = |client| Api::namespaced(client, &self.namespace);
        watch_object(watched, api, |lease: Option<Lease>| notify(lease.as_ref().map(stored))).await;
    }

    async fn write(
        &self,
        update: &LeaseUpdate,
        expected_version: Option<&str>,
    ) -> Result<StoredLease, LeaseError> {
        let lease = self.build_object(update, expected_version).ok_or(LeaseError::Conflict)?;
        let written = match expected_version {
            None => self.api.create(&post_params(), &lease).await,
            // The object carries its resource version, so it replaces no other.
            Some(_) => self.api.replace(&self.name, &post_params(), &lease).await,
        };
        written.map(|lease| self.remember(lease)).map_err(|error| match &error {
            kube::Error::Api(status) if status.code == 409 => LeaseError::Conflict,
            // Somebody removed the lease. A lease that is created cannot be missing: its namespace is.
            kube::Error::Api(status) if status.code == 404 && expected_version.is_some() => {
                LeaseError::Conflict
            }
            error => self.to_lease_error(error),
        })
    }
}

impl KubeLeaseStore {
    fn to_lease_error(&self, error: &kube::Error) -> LeaseError {
        let Self { name, namespace, .. } = self;
        match error {
            kube::Error::Api(status) if status.code == 403 => LeaseError::Failed(format!(
                "not allowed to use the Lease {namespace}/{name}: the operator's Role needs apiGroups: \
                 [\"coordination.k8s.io\"], resources: [\"leases\"], verbs: [create], and for \
                 resourceNames: [\"{name}\"] [get, list, watch, update]; the chart has it ({})",
                status.message
            )),
            _ => LeaseError::Failed(format!("Lease {namespace}/{name}: {error}")),
        }
    }
}

fn stored(lease: &Lease) -> StoredLease {
    let empty = LeaseSpec::default();
    let spec = lease.spec.as_ref().unwrap_or(&empty);
    let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
    StoredLease {
        holder: spec.holder_identity.clone().filter(|holder| !holder.is_empty()),
        duration: Duration::from_secs(seconds.unwrap_or_default()),
        transitions: spec.lease_transitions.and_then(|n| u32::try_from(n).ok()).unwrap_or_default(),
        renew_time: spec.renew_time.as_ref().map(|time| time.0.to_string()).unwrap_or_default(),
        version: lease.metadata.resource_version.clone().unwrap_or_default(),
    }
}
