//! The connections that HTTP is spoken on.

use tokio::io::{AsyncRead, AsyncWrite};

/// A connection, encrypted or not.
pub(super) trait IoStream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> IoStream for T {}
