//! The webhook's certificates: made here or by somebody else, kept in a Secret, published in the
//! `caBundle` of the webhook's configuration.

mod issuer;
mod served;
mod store;
mod watcher;
pub(super) mod x509;

pub use issuer::RcgenIssuer;
pub use served::ServedCertificate;
pub use store::{CertificateObjectNames, KubeCertificateStore};
pub use watcher::CertificateWatcher;
