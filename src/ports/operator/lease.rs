//! The store of the lease of the leader election.

use std::future::Future;

use crate::domain::operator::lease::{LeaseUpdate, StoredLease};

/// Why a lease was not read or written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LeaseError {
    /// The lease does not have the expected version: another replica wrote or removed it. Nothing was
    /// written.
    Conflict,
    /// The request failed, with the reason; a write may have been done.
    Failed(String),
}

/// A lease that every replica can read and write.
pub trait LeaseStore: Send + Sync + 'static {
    /// Returns the lease's name, for messages.
    fn name(&self) -> &str;

    /// Returns the lease, `None` if it does not exist.
    ///
    /// # Errors
    ///
    /// [`LeaseError::Failed`].
    fn read(&self) -> impl Future<Output = Result<Option<StoredLease>, LeaseError>> + Send;

    /// Calls `notify` with the state of the lease, `None` while it does not exist, and with each new one, until
    /// it is cancelled. A state may be left out, repeated, or reported late: this only saves reads.
    fn watch(
        &self,
        notify: impl Fn(Option<StoredLease>) + Send + Sync,
    ) -> impl Future<Output = ()> + Send;

    /// Replaces the lease if it has `expected_version`, or creates it if that is `None`; returns the
    /// lease as stored.
    ///
    /// # Errors
    ///
    /// [`LeaseError`].
    fn write(
        &self,
        update: &LeaseUpdate,
        expected_version: Option<&str>,
    ) -> impl Future<Output = Result<StoredLease, LeaseError>> + Send;
}
