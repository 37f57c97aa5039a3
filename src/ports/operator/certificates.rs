//! The webhook's certificates: their issuer, their store and their monitor.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use crate::domain::operator::rotation::{CertificateState, Validity};

/// The TLS material of the webhook, as PEM; a part that does not exist is empty.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct WebhookTls {
    /// The trusted authorities, the newest first.
    pub bundle: Vec<u8>,
    /// The key of the newest authority.
    pub authority_key: Vec<u8>,
    /// The served certificate.
    pub leaf: Vec<u8>,
    /// Its key.
    pub leaf_key: Vec<u8>,
    /// Each new value requests one rotation.
    pub rotation_requested: Option<String>,
    /// The last value of `rotation_requested` for which a rotation began.
    pub rotation_handled: Option<String>,
}

/// What of the TLS material can be used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    /// The usable certificates.
    pub state: CertificateState,
    /// The readable authorities of the bundle: those to publish.
    pub bundle: Vec<u8>,
    /// The signer's certificate as PEM; empty without a signer.
    pub signer: Vec<u8>,
}

/// Reads and merges bundles of authorities; unreadable certificates are ignored.
pub trait CaBundles: Send + Sync + 'static {
    /// Returns whether every certificate of `part` is in `bundle`; false if `part` has none.
    fn contains(&self, bundle: &[u8], part: &[u8]) -> bool;

    /// Returns whether both have a certificate in common.
    fn intersects(&self, one: &[u8], other: &[u8]) -> bool;

    /// Returns the authorities of `first`, then those of `others`, without duplicates, at most as many
    /// as fit into a Secret.
    fn merge(&self, first: &[u8], others: &[Vec<u8>]) -> Vec<u8>;
}

/// Issues and inspects certificates.
pub trait CertificateIssuer: CaBundles {
    /// Returns what of `tls` can be used; unreadable parts are ignored.
    fn inspect(&self, tls: &WebhookTls) -> Inspection;

    /// Returns `tls` with a new authority at the front of its readable bundle.
    ///
    /// # Errors
    ///
    /// If the authority cannot be created.
    fn add_authority(&self, tls: &WebhookTls, validity: Validity)
    -> Result<WebhookTls, IssueError>;

    /// Returns `tls` with a new leaf of its signer.
    ///
    /// # Errors
    ///
    /// If there is no signer, or no TLS client could check the webhook's names.
    fn issue_leaf(&self, tls: &WebhookTls, validity: Validity) -> Result<WebhookTls, IssueError>;
}

/// Why a certificate could not be issued.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssueError(
    /// What failed.
    pub String,
);

/// A value with the version that a write has to name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned<T> {
    /// The value as read.
    pub value: T,
    /// Its version; a write that names another is a conflict.
    pub version: String,
}

/// The authorities that API servers trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// The bundle of each entry of the webhook's configuration, as PEM.
    pub bundles: Vec<Vec<u8>>,
    /// Changes whenever a bundle changes, but not with every change of the object.
    pub generation: String,
    /// The operator that has to publish.
    pub assigned_publisher: AssignedPublisher,
    /// Another publisher was the last to publish: replicas may depend on its authorities.
    pub published_by_other: bool,
}

/// The operator that has to publish, according to the configuration itself. Each write replaces the
/// version that named it, so a publisher cannot write any more once another one is assigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssignedPublisher {
    /// None is named: any operator publishes.
    Unassigned,
    /// This operator.
    Us,
    /// Another operator.
    Other,
}

/// Stores the TLS material and publishes its bundle.
pub trait CertificateStore: Send + Sync + 'static {
    /// Reads the TLS material, bypassing every cache; `None` if it does not exist.
    ///
    /// # Errors
    ///
    /// [`StoreError::Failed`].
    fn read_tls(
        &self,
    ) -> impl Future<Output = Result<Option<Versioned<WebhookTls>>, StoreError>> + Send;

    /// Replaces the TLS material that has `version`, or creates it if that is `None`.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; a conflict wrote nothing, a failure may have.
    fn write_tls(
        &self,
        tls: &WebhookTls,
        version: Option<&str>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Reads the publication, bypassing every cache; `None` if there is no configuration.
    ///
    /// # Errors
    ///
    /// [`StoreError::Failed`].
    fn read_publication(
        &self,
    ) -> impl Future<Output = Result<Option<Versioned<Publication>>, StoreError>> + Send;

    /// Writes `bundle` to every entry of the configuration that `published` was read from, and the
    /// publisher to its annotations; changes nothing else.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; a conflict wrote nothing, a failure may have.
    fn publish(
        &self,
        bundle: &[u8],
        published: &Versioned<Publication>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Returns the object of the publication, for messages: `MutatingWebhookConfiguration tracebuffer`.
    fn publication_location(&self) -> String;

    /// Returns the object of the TLS material, for messages: `Secret observability/tracebuffer-webhook-tls`.
    fn tls_location(&self) -> String;
}

/// Why a read or write failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// Another writer was first: read again.
    Conflict,
    /// The request failed; names the object and, where known, the remedy.
    Failed(String),
}

/// Observes the lifetime of the certificates and failures.
pub trait CertificateMonitor: Send + Sync + 'static {
    /// Reports the ends of validity of the stored certificates, since the Unix epoch.
    fn stored(&self, authority_until: Duration, leaf_until: Duration);

    /// Reports a failed run; it is retried.
    fn failed(&self);

    /// This replica no longer maintains the certificates: what [`stored`](Self::stored) reported
    /// may be outdated from now on and must not be shown any more.
    fn leadership_lost(&self);
}

impl WebhookTls {
    /// Returns whether a rotation was requested and has not begun.
    #[must_use]
    pub fn is_rotation_pending(&self) -> bool {
        self.rotation_requested.is_some() && self.rotation_requested != self.rotation_handled
    }
}

impl fmt::Debug for WebhookTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The keys stay out of every log.
        f.debug_struct("WebhookTls")
            .field("bundle", &String::from_utf8_lossy(&self.bundle))
            .field("leaf", &String::from_utf8_lossy(&self.leaf))
            .field("rotation_requested", &self.rotation_requested)
            .field("rotation_handled", &self.rotation_handled)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for IssueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
