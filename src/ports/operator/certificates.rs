//! The webhook's certificates: what makes them, where they are kept, and who is told.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use crate::domain::operator::rotation::{CertificateState, Validity};

/// What is kept, as PEM; empty where there is nothing.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct WebhookTls {
    /// The authorities to be trusted, the newest first.
    pub bundle: Vec<u8>,
    /// The key of the newest authority.
    pub authority_key: Vec<u8>,
    /// The certificate that is served.
    pub leaf: Vec<u8>,
    /// Its key.
    pub leaf_key: Vec<u8>,
    /// By its value somebody asks for a rotation: once for each new one.
    pub rotation_requested: Option<String>,
    /// The last value of `rotation_asked` that was obeyed.
    pub rotation_handled: Option<String>,
}

/// What a keyring is good for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Inspection {
    /// What can be used.
    pub state: CertificateState,
    /// The readable part of the bundle: what is to be published.
    pub bundle: Vec<u8>,
    /// The signer's certificate as PEM, empty without one.
    pub signer: Vec<u8>,
}

/// Reads and joins bundles of authorities; what is unreadable in them counts as missing.
pub trait CaBundles: Send + Sync + 'static {
    /// Returns whether every certificate of `part` is in `bundle`. False for none.
    fn contains(&self, bundle: &[u8], part: &[u8]) -> bool;

    /// Returns whether a certificate is in both.
    fn intersects(&self, one: &[u8], other: &[u8]) -> bool;

    /// Returns the authorities of `first`, then those of `others`, each once, as many as a Secret
    /// has room for.
    fn merge(&self, first: &[u8], others: &[Vec<u8>]) -> Vec<u8>;
}

/// Makes certificates and reads them.
pub trait CertificateIssuer: CaBundles {
    /// Returns what can be used of `keyring`; whatever is unreadable counts as missing.
    fn inspect(&self, keyring: &WebhookTls) -> Inspection;

    /// Returns `keyring` with a new authority in front of its readable bundle.
    ///
    /// # Errors
    ///
    /// Why it cannot be made.
    fn add_authority(
        &self,
        keyring: &WebhookTls,
        validity: Validity,
    ) -> Result<WebhookTls, IssueError>;

    /// Returns `keyring` with a new leaf of its signer.
    ///
    /// # Errors
    ///
    /// Why it cannot be made; there must be a signer.
    fn issue_leaf(
        &self,
        keyring: &WebhookTls,
        validity: Validity,
    ) -> Result<WebhookTls, IssueError>;
}

/// Why a certificate could not be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IssueError(
    /// What failed.
    pub String,
);

/// Something read, and by what it is replaced if nobody else has meanwhile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versioned<T> {
    /// What was read.
    pub value: T,
    /// Its version; a write with another is a conflict.
    pub version: String,
}

/// What API servers are told to trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    /// The bundle of each entry of the webhook's configuration, as PEM.
    pub bundles: Vec<Vec<u8>>,
    /// Changes whenever a bundle does; not with every change of the object.
    pub generation: String,
    /// Who is to publish.
    pub assigned_publisher: AssignedPublisher,
    /// Another keeper was the last to publish: replicas may serve by what it published.
    pub published_by_other: bool,
}

/// Who is to publish, as the configuration itself says: whoever writes it writes in place of the
/// version that said so, and so nobody writes after the mandate is another's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AssignedPublisher {
    /// Nobody said; whoever runs does.
    Unassigned,
    /// This keeper.
    Us,
    /// Another one.
    Other,
}

/// Keeps the keyring and publishes its bundle.
pub trait CertificateStore: Send + Sync + 'static {
    /// Reads the keyring, past every cache; `None` where there is none yet.
    ///
    /// # Errors
    ///
    /// [`StoreError::Failed`].
    fn read_tls(
        &self,
    ) -> impl Future<Output = Result<Option<Versioned<WebhookTls>>, StoreError>> + Send;

    /// Writes the keyring in place of `version`, or as the first one.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; nothing was written in a conflict, and perhaps in a failure.
    fn write_tls(
        &self,
        keyring: &WebhookTls,
        version: Option<&str>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Reads what is published, past every cache; `None` where there is no configuration.
    ///
    /// # Errors
    ///
    /// [`StoreError::Failed`].
    fn read_publication(
        &self,
    ) -> impl Future<Output = Result<Option<Versioned<Publication>>, StoreError>> + Send;

    /// Publishes `bundle` in every entry of the configuration that `published` was read from, and
    /// notes there whose it is; changes nothing else.
    ///
    /// # Errors
    ///
    /// [`StoreError`]; nothing was written in a conflict, and perhaps in a failure.
    fn publish(
        &self,
        bundle: &[u8],
        published: &Versioned<Publication>,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Returns where it publishes, for messages: `MutatingWebhookConfiguration tracebuffer`.
    fn publication_location(&self) -> String;

    /// Returns where it keeps, for messages: `Secret observability/tracebuffer-webhook-tls`.
    fn tls_location(&self) -> String;
}

/// Why the store did not do it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// Somebody else wrote first: read again.
    Conflict,
    /// What failed, on what, and what to do about it.
    Failed(String),
}

/// Hears how long the certificates last.
pub trait CertificateMonitor: Send + Sync + 'static {
    /// These were found stored; times since the Unix epoch.
    fn stored(&self, authority_until: Duration, leaf_until: Duration);

    /// Keeping them failed; tried again.
    fn failed(&self);

    /// This replica no longer maintains the certificates: what [`stored`](Self::stored) reported
    /// may be outdated from now on and must not be shown any more.
    fn leadership_lost(&self);
}

impl WebhookTls {
    /// Returns whether a rotation was asked for that has not been begun.
    #[must_use]
    pub fn is_rotation_pending(&self) -> bool {
        self.rotation_requested.is_some() && self.rotation_requested != self.rotation_handled
    }
}

impl fmt::Debug for WebhookTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The keys stay out of every log.
        f.debug_struct("Keyring")
            .field("bundle", &String::from_utf8_lossy(&self.bundle))
            .field("leaf", &String::from_utf8_lossy(&self.leaf))
            .field("rotation_asked", &self.rotation_requested)
            .field("rotation_done", &self.rotation_handled)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for IssueError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
