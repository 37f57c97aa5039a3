//! Rules about combinations of settings.

use std::net::{IpAddr, SocketAddr};

use super::table as t;
use crate::adapters::messaging::destination::config::Endpoint;
use crate::cli::settings::AnySetting;
use crate::cli::settings::reader::{ErrorReported, SettingsReader};

/// The parsed listening addresses. An error was reported already.
pub(super) struct ParsedListenAddresses {
    pub(super) grpc: Result<Vec<SocketAddr>, ErrorReported>,
    pub(super) http: Result<Vec<SocketAddr>, ErrorReported>,
    pub(super) admin: Result<Vec<SocketAddr>, ErrorReported>,
}

/// An address and the setting that contains it.
type SettingAddress = (&'static str, SocketAddr);

impl ParsedListenAddresses {
    fn by_setting(&self) -> [(&dyn AnySetting, &[SocketAddr]); 3] {
        let read = |addresses| Result::as_deref(addresses).unwrap_or_default();
        [
            (&t::GRPC_ADDR, read(&self.grpc)),
            (&t::HTTP_ADDR, read(&self.http)),
            (&t::ADMIN_ADDR, read(&self.admin)),
        ]
    }
}

/// Rejects a client certificate without a key, and a key without a certificate.
pub(super) fn check_client_certificate_has_key(reader: &mut SettingsReader<'_>) {
    let (certificate, key) = (&t::CLIENT_CERTIFICATE_FILE, &t::CLIENT_KEY_FILE);
    match (reader.is_set(certificate), reader.is_set(key)) {
        (true, false) => reader.add_error(key, "must be set with CLIENT_CERTIFICATE_FILE"),
        (false, true) => reader.add_error(certificate, "must be set with CLIENT_KEY_FILE"),
        _ => return,
    };
}

/// Rejects TLS settings for an endpoint without TLS.
pub(super) fn reject_tls_settings(reader: &mut SettingsReader<'_>) {
    let settings: [&dyn AnySetting; 5] = [
        &t::CA_FILE,
        &t::TRUST_SYSTEM_ROOTS,
        &t::TLS_SERVER_NAME,
        &t::CLIENT_CERTIFICATE_FILE,
        &t::CLIENT_KEY_FILE,
    ];
    for setting in settings {
        if reader.is_set(setting) {
            reader.add_error(setting, "must be unset unless ENDPOINT begins with https://");
        }
    }
}

/// Rejects an endpoint at which this receiver itself listens: it would send its spans to itself.
pub(super) fn reject_own_endpoint(
    reader: &mut SettingsReader<'_>,
    endpoint: &Endpoint,
    listeners: &ParsedListenAddresses,
) {
    let [grpc, http, _] = listeners.by_setting();
    for (setting, addresses) in [grpc, http] {
        if addresses.iter().any(|address| endpoint.reaches(*address)) {
            let name = setting.name();
            reader.add_error(
                &t::ENDPOINT,
                format!("must not be the address of this receiver; see {name}"),
            );
            return;
        }
    }
}

/// Rejects listeners that conflict: a port in two settings, or overlapping addresses in one setting.
/// Port 0 is any free port.
pub(super) fn reject_address_conflicts(
    reader: &mut SettingsReader<'_>,
    listeners: &ParsedListenAddresses,
) {
    let mut earlier: Vec<SettingAddress> = Vec::new();
    for (setting, addresses) in listeners.by_setting() {
        let own: Vec<_> = addresses.iter().map(|address| (setting.name(), *address)).collect();
        if let Some((name, address)) = first_conflict(&earlier, &own) {
            reader.add_error(
                setting,
                format!("must not use a port twice; {name} contains {address}"),
            );
        }
        earlier.extend(own);
    }
}

/// Returns the first address with which a later one of `own` conflicts.
fn first_conflict(earlier: &[SettingAddress], own: &[SettingAddress]) -> Option<SettingAddress> {
    own.iter().enumerate().find_map(|(before, listener)| {
        let known = earlier.iter().chain(own.iter().take(before));
        known.copied().find(|known| conflicts(known, listener))
    })
}

fn conflicts((name, a): &SettingAddress, (other_name, b): &SettingAddress) -> bool {
    let is_same_port = a.port() == b.port() && a.port() != 0;
    is_same_port && (name != other_name || overlap(a.ip(), b.ip()))
}

fn overlap(a: IpAddr, b: IpAddr) -> bool {
    a == b || (a.is_ipv4() == b.is_ipv4() && (a.is_unspecified() || b.is_unspecified()))
}

#[cfg(test)]
mod tests;
