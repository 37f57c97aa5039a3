//! The lease by which a leader is elected, as a `Lease` of `coordination.k8s.io`.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use kube::api::PostParams;
use kube::{Api, Client};
use parking_lot::Mutex;

use super::names::FIELD_MANAGER;
use crate::domain::operator::lease::{LeaseUpdate, StoredLease};
use crate::ports::operator::lease::{LeaseError, LeaseStore};

/// One `Lease` object. Its times are for people and for other implementations: nothing here
/// compares them with a clock.
pub struct KubeLeaseStore {
    api: Api<Lease>,
    name: String,
    /// The object as it was last seen: a write keeps what others put into it.
    last: Mutex<Option<Lease>>,
}

impl KubeLeaseStore {
    /// The lease of this name in `namespace`, whether it exists or not.
    #[must_use]
    pub fn new(client: Client, namespace: &str, name: &str) -> Self {
        let api = Api::namespaced(client, namespace);
        Self { api, name: name.to_owned(), last: Mutex::new(None) }
    }

    /// The object to write; `None` if the version it is to replace was never seen.
    fn build_object(&self, claim: &LeaseUpdate, over: Option<&str>) -> Option<Lease> {
        let mut lease = match over {
            None => Lease::default(),
            Some(version) => {
                let last = self.last.lock().clone();
                last.filter(|lease| lease.metadata.resource_version.as_deref() == Some(version))?
            }
        };
        lease.metadata.name = Some(self.name.clone());
        let now = MicroTime(Timestamp::now());
        let spec = lease.spec.get_or_insert_default();
        if claim.changes_holder {
            spec.acquire_time = Some(now.clone());
        }
        spec.renew_time = Some(now);
        // Empty rather than absent, as other implementations give a lease back.
        spec.holder_identity = Some(claim.holder.clone().unwrap_or_default());
        spec.lease_duration_seconds = i32::try_from(claim.duration.as_secs()).ok();
        spec.lease_transitions = i32::try_from(claim.transitions).ok();
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

    async fn write(
        &self,
        claim: &LeaseUpdate,
        over: Option<&str>,
    ) -> Result<StoredLease, LeaseError> {
        let lease = self.build_object(claim, over).ok_or(LeaseError::Conflict)?;
        let params =
            PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
        let written = match over {
            None => self.api.create(&params, &lease).await,
            // The object carries the version, and so replaces no other.
            Some(_) => self.api.replace(&self.name, &params, &lease).await,
        };
        written.map(|lease| self.remember(lease)).map_err(|error| self.to_lease_error(&error))
    }
}

impl KubeLeaseStore {
    fn to_lease_error(&self, error: &kube::Error) -> LeaseError {
        let name = &self.name;
        match error {
            // Of a write: another version is there, or none any more.
            kube::Error::Api(status) if status.code == 409 || status.code == 404 => {
                LeaseError::Conflict
            }
            kube::Error::Api(status) if status.code == 403 => LeaseError::Failed(format!(
                "not allowed to use the Lease {name}: the operator's Role needs apiGroups: \
                 [\"coordination.k8s.io\"], resources: [\"leases\"], verbs: [create], and for \
                 resourceNames: [\"{name}\"] [get, update]; the chart has it ({})",
                status.message
            )),
            _ => LeaseError::Failed(format!("Lease {name}: {error}")),
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
