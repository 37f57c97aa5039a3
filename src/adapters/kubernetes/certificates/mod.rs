//! The webhook's certificates without cert-manager: made here, kept in a Secret, published in the
//! `caBundle` of the webhook's configuration; or read from files that somebody else keeps.

mod authority;
mod follower;
mod objects;
mod served;
pub(super) mod x509;

pub use authority::Authority;
pub use follower::CertificateFollower;
pub use objects::CertificateObjects;
pub use served::ServedCertificate;
