//! The validated settings of the controller.

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
    /// The Lease that elects the reconciling replica.
    pub lease_name: String,
    /// Whether to check that the Secrets and config maps that a `TraceBuffer` references exist.
    pub verify_references: bool,
    /// Image of sidecars whose `TraceBuffer` sets none.
    pub sidecar_image: String,
    /// Its pull policy; `None` leaves it to Kubernetes.
    pub sidecar_pull_policy: Option<PullPolicy>,
    /// The webhook.
    pub webhook: WebhookSettings,
    /// Where health and metrics are served; at least one address.
    pub admin: Vec<SocketAddr>,
    /// Namespaces whose pods never get a sidecar, in addition to the operator's own.
    pub excluded_namespaces: Vec<String>,
    /// The `TraceBuffer` of pods that name none and whose namespace has none.
    pub default_trace_buffer: Option<ObjectKey>,
    /// How long the webhook keeps serving after the stop signal.
    pub shutdown_delay: Duration,
    /// What is logged, and how.
    pub log: LogSettings,
}

/// How the API server reaches the webhook and verifies its certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebhookSettings {
    /// The name of the `MutatingWebhookConfiguration`.
    pub configuration_name: String,
    /// The DNS name of its Service.
    pub host: String,
    /// Who issues its certificate.
    pub certificates: CertificateSource,
    /// The Secret that holds the certificate.
    pub secret_name: String,
    /// The Lease that elects the replica that issues the certificate.
    pub certificate_lease_name: String,
    /// File with the authorities of an existing Secret, if the Secret does not contain them.
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

/// Who issues the webhook's certificate and publishes its authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateSource {
    /// The operator does both.
    SelfManaged,
    /// The administrator provides it; the operator publishes its authority.
    ExistingSecret,
    /// cert-manager does both.
    CertManager,
}

/// When the kubelet pulls an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PullPolicy {
    /// At every start of a container.
    Always,
    /// If the node does not have the image.
    IfNotPresent,
    /// Never; the node must have the image.
    Never,
}

impl CertificateSource {
    /// Returns the value of the chart's `certificates.mode`.
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
    /// Returns the value in the Kubernetes API.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Always => "Always",
            Self::IfNotPresent => "IfNotPresent",
            Self::Never => "Never",
        }
    }
}
