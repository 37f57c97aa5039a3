//! Binding the listening sockets.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use rustix::net::sockopt::set_ipv6_v6only;
use tokio::net::{TcpListener, TcpSocket};
use tracing::debug;

/// Connections that the kernel queues until they are accepted.
const BACKLOG: u32 = 1024;

/// Memory of the kernel for what a peer does not read, and for what is not read of it. The kernel doubles
/// both; by default it would let them grow to megabytes, at the expense of this container.
const SEND_BUFFER_BYTES: u32 = 16 << 10;
const RECEIVE_BUFFER_BYTES: u32 = 32 << 10;

/// A port that could not be bound.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {reason}")]
pub struct BindError {
    address: SocketAddr,
    reason: String,
}

/// Binds every address of one port.
///
/// An address that this machine does not have (`::1` without IPv6) is skipped if another one could be
/// bound.
///
/// # Errors
///
/// [`BindError`] for the first address that is in use or not permitted, or if no address could be
/// bound.
pub fn bind(addresses: &[SocketAddr]) -> Result<Vec<TcpListener>, BindError> {
    let mut listeners = Vec::new();
    let mut absent = None;
    for &address in addresses {
        let beside_v4 = addresses.iter().any(|a| a.is_ipv4() && a.port() == address.port());
        match listen(address, beside_v4) {
            Ok(listener) => listeners.push(listener),
            Err(error) if is_absent(&error) => {
                debug!(%address, %error, "not listening on an address this machine does not have");
                absent = Some(BindError { address, reason: error.to_string() });
            }
            Err(error) => return Err(BindError { address, reason: explain(&error) }),
        }
    }
    match absent {
        Some(error) if listeners.is_empty() => Err(error),
        _ => Ok(listeners),
    }
}

/// Returns where this machine reaches a port that listens on `address`: the loopback address for an
/// unspecified one such as `0.0.0.0`, otherwise `address`.
#[must_use]
pub fn loopback_if_unspecified(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip().to_canonical() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        _ => return address,
    };
    SocketAddr::new(ip, address.port())
}

fn listen(address: SocketAddr, beside_v4: bool) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if address.is_ipv6() && beside_v4 {
        // Otherwise `[::]` takes the port of `0.0.0.0` as well.
        set_ipv6_v6only(&socket, true)?;
    }
    socket.set_reuseaddr(true)?;
    // Connections inherit both.
    socket.set_send_buffer_size(SEND_BUFFER_BYTES)?;
    socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

fn is_absent(error: &io::Error) -> bool {
    const ADDRESS_FAMILY_NOT_SUPPORTED: i32 = 97;
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.raw_os_error() == Some(ADDRESS_FAMILY_NOT_SUPPORTED)
}

fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "the port is taken; stop what uses it or choose another address".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            "not permitted; ports below 1024 need privileges, choose a higher one".to_owned()
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_unspecified_address_is_reached_over_loopback_and_any_other_unchanged() {
        for (listening, reached) in [
            ("0.0.0.0:1", "127.0.0.1:1"),
            ("[::]:1", "[::1]:1"),
            ("[::ffff:0.0.0.0]:1", "127.0.0.1:1"),
            ("127.0.0.2:1", "127.0.0.2:1"),
            ("[::ffff:10.0.0.1]:1", "[::ffff:10.0.0.1]:1"),
        ] {
            assert_eq!(loopback_if_unspecified(address(listening)), address(reached));
        }
    }

    #[tokio::test]
    async fn an_unavailable_address_is_skipped_if_another_is_available() {
        let listeners = bind(&[address("127.0.0.1:0"), address("203.0.113.7:0")]).unwrap();

        assert_eq!(listeners.len(), 1);
    }

    #[tokio::test]
    async fn an_unavailable_address_alone_is_an_error() {
        let error = bind(&[address("203.0.113.7:4317")]).unwrap_err();

        assert!(error.to_string().starts_with("cannot listen on 203.0.113.7:4317: "));
    }

    #[tokio::test]
    async fn both_unspecified_addresses_can_be_bound_at_the_same_port() {
        let port = bind(&[address("0.0.0.0:0")]).unwrap()[0].local_addr().unwrap().port();

        let listeners = bind(&[
            SocketAddr::new("0.0.0.0".parse().unwrap(), port),
            SocketAddr::new("::".parse().unwrap(), port),
        ]);

        assert!(listeners.is_ok(), "{listeners:?}");
    }

    #[tokio::test]
    async fn a_port_in_use_is_an_error_with_a_remedy() {
        let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();

        let error = bind(&[taken.local_addr().unwrap()]).unwrap_err();

        assert!(
            error
                .to_string()
                .ends_with("the port is taken; stop what uses it or choose another address")
        );
    }
}
