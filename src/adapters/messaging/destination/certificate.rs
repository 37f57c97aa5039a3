//! What certificates say about themselves: when they are valid, and for what.

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use x509_parser::certificate::X509Certificate;
use x509_parser::parse_x509_certificate;

/// When a certificate is valid, in seconds since the epoch, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) not_before: i64,
    pub(super) not_after: i64,
}

impl Validity {
    /// Returns the validity of a certificate; `None` if it is unreadable.
    pub(super) fn of(certificate: &CertificateDer<'_>) -> Option<Self> {
        let (_, certificate) = parse_x509_certificate(certificate).ok()?;
        let validity = certificate.validity();
        let (not_before, not_after) = (validity.not_before, validity.not_after);
        Some(Self { not_before: not_before.timestamp(), not_after: not_after.timestamp() })
    }

    /// Says why a certificate is not valid at `now`, to follow its name; `None` if it is.
    pub(super) fn problem_at(self, now: i64) -> Option<String> {
        if now > self.not_after {
            Some(format!("expired at {}", shown(self.not_after)))
        } else if now < self.not_before {
            Some(format!("is not valid before {}", shown(self.not_before)))
        } else {
            None
        }
    }
}

/// Returns whether a certificate may identify a server: it does not say what it is for, or says
/// that it is for servers (RFC 5280, 4.2.1.12).
pub(super) fn is_for_servers(certificate: &CertificateDer<'_>) -> bool {
    let is_for_servers = |certificate: X509Certificate<'_>| {
        let usage = certificate.extended_key_usage().ok()?;
        Some(usage.is_none_or(|usage| usage.value.server_auth || usage.value.any))
    };
    let parsed = parse_x509_certificate(certificate).ok();
    parsed.and_then(|(_, certificate)| is_for_servers(certificate)).unwrap_or(false)
}

fn shown(seconds: i64) -> String {
    Timestamp::from_second(seconds).map_or_else(|_| seconds.to_string(), |time| time.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_of_a_validity_belong_to_it() {
        let validity = Validity { not_before: 1_000, not_after: 2_000 };

        assert_eq!(validity.problem_at(1_000), None);
        assert_eq!(validity.problem_at(2_000), None);
        assert_eq!(validity.problem_at(999).unwrap(), "is not valid before 1970-01-01T00:16:40Z");
        assert_eq!(validity.problem_at(2_001).unwrap(), "expired at 1970-01-01T00:33:20Z");
    }
}
