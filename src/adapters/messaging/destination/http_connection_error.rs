//! Why a request on an open connection got no response.

use std::error::Error;
use std::io;

use super::failure::{SendStage, error_chain};
use crate::domain::delivery::FailureKind;

/// A request on an open connection got no response.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpConnectionError {
    /// The request cannot be expressed in HTTP.
    #[error("the request is not valid HTTP")]
    InvalidRequest(#[from] http::Error),
    /// The connection failed.
    #[error(transparent)]
    Broken(#[from] hyper::Error),
}

impl HttpConnectionError {
    /// Returns whether the peer closed the connection before it processed the request, or is gone.
    ///
    /// Only meaningful for a reused connection: the peer may close an idle connection at any time,
    /// even while the next request is being sent (RFC 9112, 9.3.1 and 9.6; RFC 9113, 6.8 and 8.7),
    /// and may vanish without closing it. That is not a failure of the destination.
    pub(super) fn is_stale_connection(&self) -> bool {
        let Self::Broken(error) = self else { return false };
        let unsent = error.is_canceled() || error.is_closed() || error.is_incomplete_message();
        // Pings were not answered.
        let gone = error.is_timeout();
        unsent || gone || caused_by(error, is_refusal) || caused_by(error, is_reset)
    }

    /// Returns the stage at which the request failed; `tls` is whether the connection is encrypted.
    pub(super) fn stage(&self, tls: bool) -> SendStage {
        match self {
            // With TLS 1.3 the server rejects a client certificate after the handshake.
            Self::Broken(error) if tls && caused_by(error, is_tls_error) => SendStage::Tls,
            Self::Broken(error) if error.is_parse() => SendStage::Response,
            Self::Broken(error) if caused_by(error, is_protocol_error) => SendStage::Response,
            Self::InvalidRequest(_) | Self::Broken(_) => SendStage::Reset,
        }
    }

    /// Returns how to react, if a part of the body was sent: a connection that breaks then may do so
    /// because of the request, unless the peer said that it did not process it.
    pub(super) fn failure_kind(&self, tls: bool) -> FailureKind {
        let of_tls = self.stage(tls) == SendStage::Tls;
        match self {
            Self::Broken(error) if !of_tls && !caused_by(error, is_refusal) => {
                FailureKind::Inconclusive
            }
            Self::Broken(_) | Self::InvalidRequest(_) => FailureKind::Unavailable,
        }
    }

    pub(super) fn error_chain(&self) -> String {
        error_chain(self)
    }
}

fn caused_by(error: &hyper::Error, is: fn(&(dyn Error + 'static)) -> bool) -> bool {
    let mut source = error.source();
    while let Some(cause) = source {
        if is(cause) {
            return true;
        }
        source = cause.source();
    }
    false
}

/// Returns whether HTTP/2 reported that the request was not processed.
fn is_refusal(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<h2::Error>().is_some_and(|error| {
        let gone = error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR);
        error.is_remote() && (gone || error.reason() == Some(h2::Reason::REFUSED_STREAM))
    })
}

/// Returns whether the peer had closed the connection, or acknowledges nothing any more.
fn is_reset(error: &(dyn Error + 'static)) -> bool {
    use io::ErrorKind::{
        BrokenPipe, ConnectionAborted, ConnectionReset, HostUnreachable, NetworkUnreachable,
        NotConnected, TimedOut,
    };
    error.downcast_ref::<io::Error>().is_some_and(|error| {
        let closed =
            matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected);
        let gone = matches!(error.kind(), TimedOut | HostUnreachable | NetworkUnreachable);
        closed || gone
    })
}

/// Returns whether the error comes from the TLS layer, which reports it as invalid data.
fn is_tls_error(error: &(dyn Error + 'static)) -> bool {
    let is = |error: &io::Error| error.kind() == io::ErrorKind::InvalidData;
    let h2 = error.downcast_ref::<h2::Error>().and_then(h2::Error::get_io);
    error.downcast_ref::<io::Error>().or(h2).is_some_and(is)
}

/// Returns whether this side of an HTTP/2 connection found a protocol error.
fn is_protocol_error(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<h2::Error>().is_some_and(h2::Error::is_library)
}
