//! The webhook's certificates: issued here or supplied from outside, stored in a Secret, published
//! in the `caBundle` of the webhook's configuration.

mod issuer;
mod served;
mod store;
mod watcher;
pub(super) mod x509;

pub use issuer::RcgenIssuer;
pub use served::ServedCertificate;
pub use store::{CertificateObjectNames, KubeCertificateStore};
pub use watcher::CertificateWatcher;
