//! Every setting of the controller. The chart sets them.

use crate::bootstrap::controller::{CertificateSource, PullPolicy};
use crate::cli::settings::kinds::{
    Choice, DurationRange, FilePath, HostName, Image, NamespaceList, NamespaceName, ObjectName,
    ObjectReference, Optional, SocketAddresses,
};
use crate::cli::settings::{MINUTE, log, settings};

settings! {
    NAMESPACE in Cluster: NamespaceName = NamespaceName, default "",
        "The namespace the operator runs in; pods there get no sidecar";
    POD_NAME in Cluster: ObjectName = ObjectName, default "",
        "The name of the operator's pod, which identifies the leader";
    LEASE_NAME in Cluster: ObjectName = ObjectName, default "tracebuffer",
        "The Lease in the operator's namespace that elects the leader";
    REFERENCES in Cluster: Choice<bool> = Choice(&[("verify", true), ("trust", false)]),
        default "trust",
        "Whether to check that the Secrets and ConfigMaps that a TraceBuffer references exist; verify needs permission to read them";

    DEFAULT_TRACE_BUFFER in Injection: Optional<ObjectReference> = Optional(ObjectReference), default "",
        "The TraceBuffer of pods in namespaces without any, if neither the pod nor its Namespace names one";
    EXCLUDED_NAMESPACES in Injection: NamespaceList = NamespaceList, default "",
        "Namespaces whose pods never get a sidecar, besides the operator's own; the chart excludes them from the webhook";

    SIDECAR_IMAGE in Sidecar: Image = Image, default "",
        "Image of sidecars whose TraceBuffer sets none";
    SIDECAR_IMAGE_PULL_POLICY in Sidecar: Optional<Choice<PullPolicy>> = Optional(Choice(&[
            ("Always", PullPolicy::Always), ("IfNotPresent", PullPolicy::IfNotPresent),
            ("Never", PullPolicy::Never),
        ])), default "",
        "Pull policy of that image; unset leaves it to Kubernetes";

    WEBHOOK_NAME in Webhook: ObjectName = ObjectName, default "tracebuffer",
        "The MutatingWebhookConfiguration whose caBundle is managed";
    WEBHOOK_HOST in Webhook: Optional<HostName> = Optional(HostName), default "",
        "The DNS name of the webhook's Service; unset is tracebuffer-webhook.NAMESPACE.svc";
    CERTIFICATES in Webhook: Choice<CertificateSource> = Choice(&[
            ("self", CertificateSource::SelfManaged), ("existingSecret", CertificateSource::ExistingSecret),
            ("certManager", CertificateSource::CertManager),
        ]), default "self",
        "Who issues the webhook's certificate; the operator publishes its authority in the caBundle, except with certManager";
    CERTIFICATE_SECRET in Webhook: ObjectName = ObjectName, default "tracebuffer-webhook-tls",
        "The Secret in the operator's namespace that holds the certificate: tls.crt, tls.key, and ca.crt";
    CERTIFICATE_CA_FILE in Webhook: Optional<FilePath> = Optional(FilePath), default "",
        "File with the authorities of an existing Secret without ca.crt; read again when it changes";
    CERTIFICATE_LEASE_NAME in Webhook: ObjectName = ObjectName, default "tracebuffer-webhook-tls",
        "The Lease in the operator's namespace that elects the replica that issues the certificate";

    WEBHOOK_ADDR in Listening: SocketAddresses = SocketAddresses, default "0.0.0.0:9443,[::]:9443",
        "Addresses of the webhook that the API server calls";
    ADMIN_ADDR in Listening: SocketAddresses = SocketAddresses, default "0.0.0.0:9417,[::]:9417",
        "Addresses of health checks and metrics";
    LINGER_AFTER_STOP in Listening: DurationRange = DurationRange { min: 0, max: 5 * MINUTE }, default "10s",
        "How long the webhook keeps answering after the signal to stop, while API servers still call it";

    + log::FORMAT, log::LEVEL
}
