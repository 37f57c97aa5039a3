//! The store of the lease by which a leader is elected.

use std::future::Future;

use crate::domain::operator::lease::{LeaseUpdate, StoredLease};

/// Why a lease was not written or read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseError {
    /// It is not of the version that was to be replaced: somebody else wrote it, or removed it.
    Conflict,
    /// The store did not do it, or did not say so; why, for people.
    Failed(String),
}

/// A lease that all candidates can read and write.
pub trait LeaseStore: Send + Sync + 'static {
    /// Returns the lease's name, for messages.
    fn name(&self) -> &str;

    /// Returns the lease, if there is one.
    fn read(&self) -> impl Future<Output = Result<Option<StoredLease>, LeaseError>> + Send;

    /// Writes the lease if its version is `over`, or if there is none and `over` is `None`; returns
    /// what was written.
    fn write(
        &self,
        claim: &LeaseUpdate,
        over: Option<&str>,
    ) -> impl Future<Output = Result<StoredLease, LeaseError>> + Send;
}
