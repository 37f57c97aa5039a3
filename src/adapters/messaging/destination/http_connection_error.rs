//! Why a request on an open connection got no answer.

use std::error::Error;
use std::io;

use super::failure::{SendStage, error_chain};

/// No answer came back from an open connection.
#[derive(Debug, thiserror::Error)]
pub(super) enum HttpConnectionError {
    /// The request cannot be written in HTTP.
    #[error("the request cannot be written")]
    InvalidRequest(#[from] http::Error),
    /// The connection failed.
    #[error(transparent)]
    Broken(#[from] hyper::Error),
}

impl HttpConnectionError {
    /// Returns whether the peer closed the connection before it could have seen the request.
    ///
    /// Only meaningful for a connection that had been used before: an idle one may be closed at any
    /// moment, also the one in which the next request is on its way (RFC 9112, 9.3.1 and 9.6;
    /// RFC 9113, 6.8 and 8.7). That is no failure of the destination.
    pub(super) fn is_stale_connection(&self) -> bool {
        let Self::Broken(error) = self else { return false };
        let unsent = error.is_canceled() || error.is_closed() || error.is_incomplete_message();
        unsent || caused_by(error, is_refusal) || caused_by(error, is_reset)
    }

    /// Returns the step at which this went wrong; `tls` says whether the connection is encrypted.
    pub(super) fn stage(&self, tls: bool) -> SendStage {
        match self {
            // With TLS 1.3 the server's verdict on a client certificate follows the handshake.
            Self::Broken(error) if tls && caused_by(error, is_tls_error) => SendStage::Tls,
            Self::Broken(error) if error.is_parse() => SendStage::Response,
            Self::Broken(error) if caused_by(error, is_protocol_error) => SendStage::Response,
            Self::InvalidRequest(_) | Self::Broken(_) => SendStage::Reset,
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

/// HTTP/2's ways to say that a request was not and will not be looked at.
fn is_refusal(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<h2::Error>().is_some_and(|error| {
        let gone = error.is_go_away() && error.reason() == Some(h2::Reason::NO_ERROR);
        error.is_remote() && (gone || error.reason() == Some(h2::Reason::REFUSED_STREAM))
    })
}

/// The answer of a closed HTTP/1.1 connection to a further request. HTTP/2 says goodbye first.
fn is_reset(error: &(dyn Error + 'static)) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, NotConnected};
    error.downcast_ref::<io::Error>().is_some_and(|error| {
        matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset | NotConnected)
    })
}

/// The TLS layer reports what it received as invalid data.
fn is_tls_error(error: &(dyn Error + 'static)) -> bool {
    let is = |error: &io::Error| error.kind() == io::ErrorKind::InvalidData;
    let h2 = error.downcast_ref::<h2::Error>().and_then(h2::Error::get_io);
    error.downcast_ref::<io::Error>().or(h2).is_some_and(is)
}

/// What this side of an HTTP/2 connection could not make sense of.
fn is_protocol_error(error: &(dyn Error + 'static)) -> bool {
    error.downcast_ref::<h2::Error>().is_some_and(h2::Error::is_library)
}
