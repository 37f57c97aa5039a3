//! TCP connections to a host, by whichever of its addresses answers.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use socket2::{SockRef, TcpKeepalive};
use tokio::net::TcpStream;
use tokio::time::{sleep, sleep_until, timeout_at};

use super::deadline::Deadline;
use super::failure::{SendStage, error_chain, printable};

/// How long an address is waited for before the next is tried as well (RFC 8305, section 5).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Detects within a minute that the peer of an idle connection is gone.
const KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(30))
    .with_interval(Duration::from_secs(10))
    .with_retries(3);

/// Why there is no connection to a host.
#[derive(Debug)]
pub(super) struct DialError {
    pub(super) stage: SendStage,
    pub(super) reason: String,
}

/// Connects to `host`, whose addresses are looked up each time.
pub(super) async fn dial(
    host: &str,
    port: u16,
    deadline: Deadline,
) -> Result<TcpStream, DialError> {
    let error = |reason| DialError { stage: SendStage::Dns, reason };
    let addresses = match timeout_at(deadline.at, tokio::net::lookup_host((host, port))).await {
        Err(_) => return Err(error(format!("no response within {:?}", deadline.timeout))),
        Ok(Err(why)) => return Err(error(error_chain(&why))),
        Ok(Ok(addresses)) => addresses.collect::<Vec<_>>(),
    };
    if addresses.is_empty() {
        return Err(error("the name has no address".to_owned()));
    }
    connect_to_any(&spread(addresses), deadline).await
}

/// Shuffles addresses, so that the clients of a name spread over them, and alternates IPv6 and
/// IPv4, beginning with the one that the system prefers.
fn spread(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let is_ipv6_preferred = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (mut preferred, mut others): (Vec<_>, Vec<_>) =
        addresses.into_iter().partition(|address| address.is_ipv6() == is_ipv6_preferred);
    fastrand::shuffle(&mut preferred);
    fastrand::shuffle(&mut others);
    let mut spread = Vec::with_capacity(preferred.len() + others.len());
    let (mut preferred, mut others) = (preferred.into_iter(), others.into_iter());
    loop {
        let before = spread.len();
        spread.extend(preferred.next());
        spread.extend(others.next());
        if spread.len() == before {
            return spread;
        }
    }
}

/// Connects to the first of `addresses` that answers. The next one is tried as soon as one fails or
/// has not answered for a while, so a dead address costs no more than that.
async fn connect_to_any(
    addresses: &[SocketAddr],
    deadline: Deadline,
) -> Result<TcpStream, DialError> {
    let attempt = async |address: SocketAddr| (address, TcpStream::connect(address).await);
    let mut attempts = FuturesUnordered::new();
    let mut waiting = addresses.iter();
    let mut failed = Vec::new();
    let mut deadline_reached = std::pin::pin!(sleep_until(deadline.at));
    loop {
        attempts.extend(waiting.next().map(|address| attempt(*address)));
        tokio::select! {
            ended = attempts.next() => match ended {
                None => break,
                Some((address, result)) => match result.and_then(|stream| configured(stream, deadline)) {
                    Ok(stream) => return Ok(stream),
                    Err(error) => failed.push((address, error.to_string())),
                },
            },
            () = sleep(ATTEMPT_DELAY), if !waiting.as_slice().is_empty() => {}
            () = &mut deadline_reached => break,
        }
    }
    let tried = addresses.iter().map(|address| {
        let failure = failed.iter().find(|(failed, _)| failed == address);
        match failure {
            Some((_, error)) => format!("{address}: {error}"),
            None => format!("{address}: no response within {:.0?}", deadline.timeout),
        }
    });
    let reason = printable(&tried.collect::<Vec<_>>().join("; "));
    Err(DialError { stage: SendStage::Connect, reason })
}

/// Sets the socket options of a connection.
fn configured(stream: TcpStream, deadline: Deadline) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    let socket = SockRef::from(&stream);
    // Firewalls silently drop connections that are idle between batches.
    socket.set_tcp_keepalive(&KEEPALIVE)?;
    // Gives up on a peer that acknowledges nothing while there is time left to reach another one.
    socket.set_tcp_user_timeout(Some(deadline.timeout / 2))?;
    // Discards unsent data on close. Otherwise the kernel would keep megabytes for a peer that no
    // longer reads, and charge them to this container's memory.
    stream.set_zero_linger()?;
    Ok(stream)
}

#[cfg(test)]
mod tests;
