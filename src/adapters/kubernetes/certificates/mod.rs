//! The webhook's certificates: made here or by somebody else, kept in a Secret, published in the
//! `caBundle` of the webhook's configuration.

mod authority;
mod follower;
mod objects;
mod served;
pub(super) mod x509;

pub use authority::Authority;
pub use follower::CertificateFollower;
pub use objects::{CertificateObjects, Names};
pub use served::ServedCertificate;
