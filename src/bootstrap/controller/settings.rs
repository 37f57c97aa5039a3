//! Everything the controller is told at start, checked.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::adapters::telemetry::logging::LogSettings;
use crate::domain::operator::injection::facts::ClusterFacts;
use crate::domain::operator::object_key::ObjectKey;

/// The settings of one controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ControllerSettings {
    /// The namespace it runs in.
    pub namespace: String,
    /// The name of its pod.
    pub pod_name: String,
    /// The Lease by which one replica leads.
    pub lease_name: String,
    /// Whether the Secrets and config maps that a `TraceBuffer` names are looked up.
    pub verify_references: bool,
    /// Image of the sidecars whose `TraceBuffer` names none.
    pub sidecar_image: String,
    /// When it is pulled; `None` leaves that to Kubernetes.
    pub sidecar_pull_policy: Option<PullPolicy>,
    /// The webhook.
    pub webhook: WebhookSettings,
    /// Where health and metrics are shown; at least one address.
    pub admin: Vec<SocketAddr>,
    /// The namespaces whose pods never get a sidecar, besides its own.
    pub excluded_namespaces: Vec<String>,
    /// The `TraceBuffer` of pods for which no other is named or found.
    pub default_trace_buffer: Option<ObjectKey>,
    /// How long the webhook answers on after the signal to stop.
    pub shutdown_delay: Duration,
    /// What is logged, and how.
    pub log: LogSettings,
}

/// How the API server reaches the webhook, and trusts it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookSettings {
    /// The name of the `MutatingWebhookConfiguration`.
    pub configuration_name: String,
    /// The DNS name of its Service.
    pub host: String,
    /// Who makes its certificate.
    pub certificates: CertificateSource,
    /// The Secret that holds it.
    pub secret_name: String,
    /// The Lease by which one replica makes it.
    pub certificate_lease_name: String,
    /// Where the authorities of an existing Secret are, if not in it.
    pub certificate_ca_file: Option<PathBuf>,
    /// Where it listens; at least one address.
    pub addresses: Vec<SocketAddr>,
}

impl ControllerSettings {
    /// Returns what the injection decision needs to know of the cluster.
    #[must_use]
    pub fn cluster_facts(&self) -> ClusterFacts {
        ClusterFacts {
            operator_namespace: self.namespace.clone(),
            excluded_namespaces: self.excluded_namespaces.clone(),
            default_trace_buffer: self.default_trace_buffer.clone(),
        }
    }
}

/// Who makes the webhook's certificate, and publishes its authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateSource {
    /// The operator does both.
    SelfManaged,
    /// Somebody else makes it, the operator publishes its authority.
    ExistingSecret,
    /// cert-manager does both.
    CertManager,
}

/// When an image is pulled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullPolicy {
    /// At every start.
    Always,
    /// If the node does not have it.
    IfNotPresent,
    /// Never: the node has it.
    Never,
}

impl CertificateSource {
    /// Returns the word of the chart's `certificates.mode`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SelfManaged => "self",
            Self::ExistingSecret => "existingSecret",
            Self::CertManager => "certManager",
        }
    }
}

impl PullPolicy {
    /// Returns the word of the Kubernetes API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}
