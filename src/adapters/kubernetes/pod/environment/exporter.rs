//! What a container's OTLP exporter does with an endpoint, as far as its environment tells: the variables of
//! the OTLP exporter specification and of the SDK configuration, each with a value, a reference, or empty,
//! which means unset.

use std::fmt;

use serde_json::Value;

use crate::adapters::kubernetes::names::TRACES_ENDPOINT_VAR;
use crate::adapters::kubernetes::pod::pod_json::{list, name, text};
use crate::adapters::kubernetes::sidecar::Sidecar;

/// The variable that makes gRPC exporters use no TLS; the one for all signals would override the scheme of
/// the endpoint in some SDKs.
pub(super) const TRACES_INSECURE_VAR: &str = "OTEL_EXPORTER_OTLP_TRACES_INSECURE";
const INSECURE: &str = "OTEL_EXPORTER_OTLP_INSECURE";
/// The variable with a container's exporters; only those of OTLP use an endpoint.
pub(super) const TRACES_EXPORTER: &str = "OTEL_TRACES_EXPORTER";
/// Exporters that send nothing.
const SILENT_EXPORTERS: [&str; 6] = ["", "none", "console", "logging", "logging-otlp", "memory"];
/// The variable that disables a container's SDK.
pub(super) const SDK_DISABLED: &str = "OTEL_SDK_DISABLED";
/// What keeps exporters from an endpoint without TLS, or from the environment, if it is set. With a
/// certificate, those of Go cannot even be built.
const OBSTACLES: [&str; 8] = [
    "OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE",
    "OTEL_EXPORTER_OTLP_TRACES_CLIENT_KEY",
    "OTEL_EXPORTER_OTLP_CLIENT_KEY",
    "OTEL_CONFIG_FILE",
    "OTEL_EXPERIMENTAL_CONFIG_FILE",
];
/// Options of the JVM, which take precedence over the environment.
const JAVA_OPTIONS: [&str; 5] =
    ["JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS", "JAVA_OPTS", "CATALINA_OPTS"];
const JAVA_ENDPOINT: &str = "-Dotel.exporter.otlp.traces.endpoint";
/// Proxies, which several HTTP and gRPC libraries use for loopback addresses too; each with the variables
/// that name exceptions, the effective one first. Whatever reads `HTTPS_PROXY` uses it for https:// only, or
/// never for loopback. gRPC's C core reads names in small letters only, and `https_proxy` for every target.
const PROXIES: [(&str, &[&str]); 6] = [
    ("HTTP_PROXY", &["NO_PROXY", "no_proxy"]),
    ("ALL_PROXY", &["NO_PROXY", "no_proxy"]),
    ("http_proxy", &["no_proxy"]),
    ("https_proxy", &["no_proxy"]),
    ("all_proxy", &["no_proxy", "NO_PROXY"]),
    ("grpc_proxy", &["no_grpc_proxy", "no_proxy"]),
];
/// Headers for the endpoint.
const HEADERS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"];
/// The hosts that mean the pod's loopback interface.
const LOOPBACK_HOSTS: [&str; 3] = ["127.0.0.1", "localhost", "[::1]"];

/// What to do with a container's environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EndpointAction {
    /// Add the endpoint.
    Add {
        /// Whether the exporter must also be told that it uses no TLS.
        insecure: bool,
    },
    /// The container already sends to the sidecar, or sends nothing.
    LeaveUnchanged,
    /// The container sends elsewhere, or could not send to the sidecar.
    Bypass(Obstacle),
}

/// Why a container's traces do not reach the sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Obstacle {
    /// This variable is set.
    Variable(&'static str),
    /// The endpoint is that of the sidecar, but with TLS.
    Tls,
    /// This proxy is set, without an exception for the sidecar.
    Proxy {
        /// The variable with the proxy.
        variable: &'static str,
        /// The one with its exceptions.
        exceptions: &'static str,
    },
}

impl fmt::Display for Obstacle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Variable(name) => write!(f, "{name} is set there"),
            Self::Tls => {
                write!(f, "{TRACES_ENDPOINT_VAR} begins with https://, but the sidecar has no TLS")
            }
            Self::Proxy { variable, exceptions } => {
                write!(f, "{variable} is set there, and {exceptions} does not name 127.0.0.1")
            }
        }
    }
}

/// The environment of a container. Of several variables of one name the last takes effect.
pub(super) struct Environment<'a>(pub(super) &'a Value);

/// The value of a variable that is set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Setting<'a> {
    Literal(&'a str),
    /// It refers to an object or to another variable.
    Unknown,
}

impl<'a> Environment<'a> {
    /// Decides what to do with the container.
    pub(super) fn action(&self, sidecar: &Sidecar) -> EndpointAction {
        if let Some(action) = self.other_exporter() {
            return action;
        }
        let own_endpoint = self.variable(TRACES_ENDPOINT_VAR);
        let own_endpoint = match own_endpoint.map(|variable| text(variable, "/value")) {
            None => false,
            Some(Some(endpoint)) if is_sidecar_endpoint(endpoint, sidecar) => {
                if endpoint.starts_with("https:") {
                    return EndpointAction::Bypass(Obstacle::Tls);
                }
                true
            }
            Some(_) => return EndpointAction::Bypass(Obstacle::Variable(TRACES_ENDPOINT_VAR)),
        };
        match self.obstacle() {
            Some(obstacle) => EndpointAction::Bypass(obstacle),
            None if own_endpoint => EndpointAction::LeaveUnchanged,
            None => EndpointAction::Add { insecure: self.needs_insecure() },
        }
    }

    /// Returns the variable with headers that the exporter sends to its endpoint.
    pub(super) fn headers(&self) -> Option<&'static str> {
        HEADERS.into_iter().find(|name| self.get(name).is_some())
    }

    /// Returns whether it has variables whose names are not known.
    pub(super) fn has_unknown_variables(&self) -> bool {
        !list(self.0, "/envFrom").is_empty()
    }

    /// Returns what to do if the container has no exporter for OTLP.
    fn other_exporter(&self) -> Option<EndpointAction> {
        if self.get(SDK_DISABLED).is_some_and(is_true) {
            return Some(EndpointAction::LeaveUnchanged);
        }
        let Setting::Literal(exporters) = self.get(TRACES_EXPORTER)? else { return None };
        let mut names = exporters.split(',').map(str::trim);
        // Python has otlp_proto_grpc and otlp_proto_http.
        if names.clone().any(|name| name.starts_with("otlp")) {
            return None;
        }
        let is_silent = names.all(|name| SILENT_EXPORTERS.contains(&name));
        Some(if is_silent {
            EndpointAction::LeaveUnchanged
        } else {
            EndpointAction::Bypass(Obstacle::Variable(TRACES_EXPORTER))
        })
    }

    fn obstacle(&self) -> Option<Obstacle> {
        let is_set = |name: &&str| self.get(name).is_some();
        let sets_endpoint = |name: &&str| match self.get(name) {
            Some(Setting::Literal(options)) => options.contains(JAVA_ENDPOINT),
            Some(Setting::Unknown) | None => false,
        };
        let insists_on_tls = self.get(TRACES_INSECURE_VAR).is_some_and(|setting| !is_true(setting));
        let variable = OBSTACLES
            .into_iter()
            .find(is_set)
            .or_else(|| insists_on_tls.then_some(TRACES_INSECURE_VAR))
            // A variable is added, but never replaced.
            .or_else(|| {
                let is_named = self.variable(TRACES_INSECURE_VAR).is_some();
                (self.demands_tls() && is_named).then_some(INSECURE)
            })
            .or_else(|| JAVA_OPTIONS.into_iter().find(sets_endpoint));
        variable.map(Obstacle::Variable).or_else(|| self.proxy())
    }

    /// Returns a proxy that may be used for the sidecar.
    fn proxy(&self) -> Option<Obstacle> {
        let is_exempt = |exceptions: &[&str]| {
            let list = exceptions.iter().find_map(|name| self.get(name));
            matches!(list, Some(Setting::Literal(list)) if names_loopback(list))
        };
        let used = PROXIES
            .into_iter()
            .find(|(name, exceptions)| self.get(name).is_some() && !is_exempt(exceptions));
        let (variable, exceptions) = used?;
        Some(Obstacle::Proxy { variable, exceptions: exceptions.first()? })
    }

    /// Returns whether the exporter must be told that it uses no TLS.
    fn needs_insecure(&self) -> bool {
        let may_demand_tls = self.demands_tls() || self.has_unknown_variables();
        may_demand_tls && self.variable(TRACES_INSECURE_VAR).is_none()
    }

    /// Returns whether the variable for all signals demands TLS, or may, and that for traces does not
    /// decide.
    fn demands_tls(&self) -> bool {
        self.get(INSECURE).is_some_and(|setting| !is_true(setting))
            && self.get(TRACES_INSECURE_VAR).is_none()
    }

    /// Returns the variable of this name that takes effect, even if it is empty.
    fn variable(&self, variable_name: &str) -> Option<&'a Value> {
        list(self.0, "/env").iter().rfind(|variable| name(variable) == variable_name)
    }

    /// Returns a variable that is set and not empty.
    fn get(&self, variable_name: &str) -> Option<Setting<'a>> {
        let variable = self.variable(variable_name)?;
        if !variable["valueFrom"].is_null() {
            return Some(Setting::Unknown);
        }
        match text(variable, "/value").unwrap_or_default() {
            "" => None,
            value if value.contains("$(") => Some(Setting::Unknown),
            value => Some(Setting::Literal(value)),
        }
    }
}

fn is_true(setting: Setting<'_>) -> bool {
    matches!(setting, Setting::Literal(value) if value.eq_ignore_ascii_case("true"))
}

/// Returns whether a list of exceptions from proxies includes 127.0.0.1.
fn names_loopback(exceptions: &str) -> bool {
    exceptions
        .split([',', ' '])
        .map(str::trim)
        .any(|exception| exception == "*" || exception.starts_with("127."))
}

/// Returns whether an endpoint is one of the sidecar's ports on the pod's loopback interface.
fn is_sidecar_endpoint(endpoint: &str, sidecar: &Sidecar) -> bool {
    let authority = endpoint.split_once("://").map_or(endpoint, |(_, rest)| rest);
    let authority = authority.split_once('/').map_or(authority, |(authority, _)| authority);
    let Some((host, port)) = authority.rsplit_once(':') else { return false };
    let ports = [sidecar.ports.grpc, sidecar.ports.http];
    LOOPBACK_HOSTS.contains(&host) && port.parse().is_ok_and(|port: u16| ports.contains(&port))
}
