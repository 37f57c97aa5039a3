//! How to fix a failed TLS handshake, as far as its error says it.

use std::error::Error;
use std::io;

use rustls::{AlertDescription as Alert, CertificateError, Error as TlsError, OtherError};

/// What the settings say, where a remedy depends on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct TlsContext {
    pub(super) has_ca_file: bool,
    pub(super) has_client_certificate: bool,
}

/// The alerts of a peer that may concern this side's certificate.
const CLIENT_CERTIFICATE_ALERTS: [Alert; 10] = [
    Alert::HandshakeFailure,
    Alert::BadCertificate,
    Alert::UnsupportedCertificate,
    Alert::CertificateRevoked,
    Alert::CertificateExpired,
    Alert::CertificateUnknown,
    Alert::UnknownCA,
    Alert::AccessDenied,
    Alert::DecryptError,
    Alert::CertificateRequired,
];

/// Returns the TLS error within an error of a connection, if there is one.
pub(super) fn tls_error(error: &(dyn Error + 'static)) -> Option<TlsError> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<io::Error>() {
            let inner = io.get_ref().and_then(|inner| inner.downcast_ref::<TlsError>());
            return inner.cloned().or_else(|| copied_alert(io));
        }
        next = error.source();
    }
    None
}

/// Returns the alert behind an error of HTTP/2, which keeps only its text.
fn copied_alert(error: &io::Error) -> Option<TlsError> {
    let text = error.to_string();
    let mut alerts = CLIENT_CERTIFICATE_ALERTS.into_iter().map(TlsError::AlertReceived);
    alerts.find(|alert| text.ends_with(&alert.to_string()))
}

/// Returns whether the peer may have refused this side's certificate.
pub(super) fn concerns_client_certificate(error: &TlsError) -> bool {
    let TlsError::AlertReceived(alert) = error else { return false };
    CLIENT_CERTIFICATE_ALERTS.contains(alert)
}

/// Returns how to fix a failed handshake, to follow its error; empty if that is not known.
pub(super) fn tls_remedy(error: &TlsError, context: TlsContext) -> &'static str {
    match error {
        TlsError::InvalidMessage(_) => {
            "; the peer does not seem to use TLS: if so, the endpoint must begin with http://"
        }
        TlsError::InvalidCertificate(error) => certificate_remedy(error, context),
        TlsError::AlertReceived(alert) => alert_remedy(*alert, context),
        _ => "",
    }
}

fn certificate_remedy(error: &CertificateError, context: TlsContext) -> &'static str {
    use CertificateError as E;
    match error {
        E::NotValidForNameContext { presented, .. } if presented.is_empty() => {
            "; its certificate has no subjectAltName, and the common name does not count: issue one \
             with it (openssl req -addext subjectAltName=DNS:…)"
        }
        E::NotValidForName | E::NotValidForNameContext { .. } => {
            "; if it is the right server, set the TLS server name to a name in its certificate"
        }
        E::Expired | E::ExpiredContext { .. } => {
            "; renew the server's certificate, or correct the clock of this machine"
        }
        E::NotValidYet | E::NotValidYetContext { .. } => {
            "; correct the clock of this machine or of the certificate's issuer"
        }
        E::Revoked => "; replace the server's certificate, which its authority has revoked",
        E::InvalidPurpose | E::InvalidPurposeContext { .. } => {
            "; issue the server a certificate for serverAuth (extendedKeyUsage)"
        }
        E::UnknownIssuer | E::BadSignature if context.has_ca_file => {
            "; the authority that issued its certificate is not in the CA file: set the CA file of \
             that authority, or let the server send its intermediate certificates"
        }
        E::UnknownIssuer | E::BadSignature => {
            "; if a private authority issued its certificate, set the CA file of that authority"
        }
        E::Other(OtherError(error)) => match error.downcast_ref::<webpki::Error>() {
            Some(webpki::Error::CaUsedAsEndEntity) => {
                "; its certificate is that of an authority (CA:TRUE): set the CA file to exactly this \
                 certificate, or issue one without CA:TRUE"
            }
            Some(webpki::Error::UnsupportedCertVersion) => {
                "; its certificate has no subjectAltName, because it is X.509 version 1: issue one of \
                 version 3 (openssl req -x509 -addext subjectAltName=DNS:…)"
            }
            _ => "",
        },
        _ => "",
    }
}

fn alert_remedy(alert: Alert, context: TlsContext) -> &'static str {
    match alert {
        Alert::NoApplicationProtocol => "; it does not accept HTTP/2: is this its OTLP/gRPC port?",
        Alert::UnrecognisedName => {
            "; it has no certificate for this name: set the TLS server name to one that it has"
        }
        Alert::ProtocolVersion => "; it must support TLS 1.2 or 1.3",
        Alert::CertificateRequired => {
            "; it requires a client certificate: set the client certificate and key files"
        }
        Alert::HandshakeFailure if !context.has_client_certificate => {
            "; it may require a client certificate, or has no cipher suite in common"
        }
        _ if !CLIENT_CERTIFICATE_ALERTS.contains(&alert) => "",
        _ if context.has_client_certificate => {
            "; it did not accept the client certificate: use one that is valid and of an authority \
             that it trusts"
        }
        Alert::AccessDenied => {
            "; it may require a client certificate, or have none of its own for this name: set the \
             client certificate and key files, or the TLS server name"
        }
        _ => "; it may require a client certificate: set the client certificate and key files",
    }
}
