//! Rules that bind several settings at once.

use std::net::{IpAddr, SocketAddr};

use super::table as t;
use crate::adapters::messaging::destination::config::Endpoint;
use crate::cli::settings::Described;
use crate::cli::settings::input::{Input, Refused};

/// The addresses listened on, as far as they could be read.
pub(super) struct Listeners {
    pub(super) grpc: Result<Vec<SocketAddr>, Refused>,
    pub(super) http: Result<Vec<SocketAddr>, Refused>,
    pub(super) admin: Result<Vec<SocketAddr>, Refused>,
}

/// An address, and the setting it stands in.
type Listener = (&'static str, SocketAddr);

impl Listeners {
    fn each(&self) -> [(&dyn Described, &[SocketAddr]); 3] {
        let read = |addresses| Result::as_deref(addresses).unwrap_or_default();
        [
            (&t::GRPC_ADDR, read(&self.grpc)),
            (&t::HTTP_ADDR, read(&self.http)),
            (&t::ADMIN_ADDR, read(&self.admin)),
        ]
    }
}

/// Refuses a client certificate without its key, and the other way round.
pub(super) fn client_identity_is_whole(input: &mut Input<'_>) {
    let (certificate, key) = (&t::CLIENT_CERTIFICATE_FILE, &t::CLIENT_KEY_FILE);
    match (input.is_set(certificate), input.is_set(key)) {
        (true, false) => input.refuse(key, "must be set with CLIENT_CERTIFICATE_FILE"),
        (false, true) => input.refuse(certificate, "must be set with CLIENT_KEY_FILE"),
        _ => return,
    };
}

/// Refuses what is about certificates, for use where nothing is encrypted.
pub(super) fn nothing_is_for_tls(input: &mut Input<'_>) {
    let settings: [&dyn Described; 5] = [
        &t::CA_FILE,
        &t::TRUST_SYSTEM_ROOTS,
        &t::TLS_SERVER_NAME,
        &t::CLIENT_CERTIFICATE_FILE,
        &t::CLIENT_KEY_FILE,
    ];
    for setting in settings {
        if input.is_set(setting) {
            input.refuse(setting, "must be unset, or ENDPOINT begin with https://");
        }
    }
}

/// Refuses a destination that is this receiver: every span would come back for ever.
pub(super) fn endpoint_is_elsewhere(
    input: &mut Input<'_>,
    endpoint: &Endpoint,
    listeners: &Listeners,
) {
    let [grpc, http, _] = listeners.each();
    for (setting, addresses) in [grpc, http] {
        if addresses.iter().any(|address| endpoint.reaches(*address)) {
            let name = setting.name();
            input.refuse(&t::ENDPOINT, format!("must not be this receiver, which is at {name}"));
            return;
        }
    }
}

/// Refuses listeners that would be in each other's way: a port in two settings, or addresses of
/// one setting that overlap. Port 0 is any free port.
pub(super) fn listeners_are_apart(input: &mut Input<'_>, listeners: &Listeners) {
    let mut earlier: Vec<Listener> = Vec::new();
    for (setting, addresses) in listeners.each() {
        let mine: Vec<_> = addresses.iter().map(|address| (setting.name(), *address)).collect();
        if let Some((name, address)) = first_clash(&earlier, &mine) {
            input.refuse(setting, format!("must not use a port twice; {name} has {address}"));
        }
        earlier.extend(mine);
    }
}

/// Returns the first of `earlier`, or of `mine`, that is in the way of a later one of `mine`.
fn first_clash(earlier: &[Listener], mine: &[Listener]) -> Option<Listener> {
    mine.iter().enumerate().find_map(|(before, listener)| {
        let known = earlier.iter().chain(mine.iter().take(before));
        known.copied().find(|known| clash(known, listener))
    })
}

fn clash((name, a): &Listener, (other_name, b): &Listener) -> bool {
    let is_same_port = a.port() == b.port() && a.port() != 0;
    is_same_port && (name != other_name || overlap(a.ip(), b.ip()))
}

fn overlap(a: IpAddr, b: IpAddr) -> bool {
    a == b || (a.is_ipv4() == b.is_ipv4() && (a.is_unspecified() || b.is_unspecified()))
}

#[cfg(test)]
mod tests;
