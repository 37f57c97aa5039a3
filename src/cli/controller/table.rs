//! Every setting of the controller, once. The chart sets them.

use crate::bootstrap::controller::{CertificateSource, PullPolicy};
use crate::cli::settings::kinds::{
    Choice, DurationRange, FilePath, Image, NamespaceList, ObjectName, ObjectReference, Optional,
    SocketAddresses,
};
use crate::cli::settings::{log, settings};
use crate::domain::bounds::Bounds;

settings! {
    NAMESPACE in Cluster: ObjectName = ObjectName, default "",
        "The namespace the operator runs in; pods there get no sidecar";
    POD_NAME in Cluster: ObjectName = ObjectName, default "",
        "The name of its pod, by which the leader is known";
    LEASE_NAME in Cluster: ObjectName = ObjectName, default "tracebuffer",
        "The Lease in its namespace by which one replica leads";
    REFERENCES in Cluster: Choice<bool> = Choice(&[("verify", true), ("trust", false)]),
        default "trust",
        "Whether the Secrets and ConfigMaps that a TraceBuffer names are looked up; verify needs the right to read them";

    DEFAULT_TRACE_BUFFER in Injection: Optional<ObjectReference> = Optional(ObjectReference), default "",
        "TraceBuffer of pods for which neither pod nor Namespace names one, in namespaces without any";
    EXCLUDED_NAMESPACES in Injection: NamespaceList = NamespaceList, default "",
        "Namespaces whose pods never get a sidecar, besides the operator's own; the chart keeps their pods from the webhook";

    SIDECAR_IMAGE in Sidecar: Image = Image, default "",
        "Image of the sidecars whose TraceBuffer names none";
    SIDECAR_IMAGE_PULL_POLICY in Sidecar: Optional<Choice<PullPolicy>> = Optional(Choice(&[
            ("Always", PullPolicy::Always), ("IfNotPresent", PullPolicy::IfNotPresent),
            ("Never", PullPolicy::Never),
        ])), default "",
        "When their image is pulled; unset leaves it to Kubernetes";

    WEBHOOK_NAME in Webhook: ObjectName = ObjectName, default "tracebuffer",
        "The MutatingWebhookConfiguration whose caBundle is kept";
    WEBHOOK_HOST in Webhook: Optional<ObjectName> = Optional(ObjectName), default "",
        "The DNS name of the webhook's Service; unset is tracebuffer-webhook.NAMESPACE.svc";
    CERTIFICATES in Webhook: Choice<CertificateSource> = Choice(&[
            ("self", CertificateSource::SelfManaged), ("existingSecret", CertificateSource::ExistingSecret),
            ("certManager", CertificateSource::CertManager),
        ]), default "self",
        "Who makes the webhook's certificate; the operator publishes its authority in the caBundle, unless that is certManager";
    CERTIFICATE_SECRET in Webhook: ObjectName = ObjectName, default "tracebuffer-webhook-tls",
        "The Secret in its namespace that holds the certificate: tls.crt, tls.key, and ca.crt";
    CERTIFICATE_CA_FILE in Webhook: Optional<FilePath> = Optional(FilePath), default "",
        "File with the authorities of an existing Secret that has no ca.crt; read again when it changes";
    CERTIFICATE_LEASE_NAME in Webhook: ObjectName = ObjectName, default "tracebuffer-webhook-tls",
        "The Lease in its namespace by which one replica makes the certificate";

    WEBHOOK_ADDR in Listening: SocketAddresses = SocketAddresses, default "0.0.0.0:9443,[::]:9443",
        "Where the API server asks what to do with a pod";
    ADMIN_ADDR in Listening: SocketAddresses = SocketAddresses, default "0.0.0.0:9417,[::]:9417",
        "Where health and metrics are shown";
    LINGER_AFTER_STOP in Listening: DurationRange = DurationRange(Bounds { min: 0, max: 300_000 }), default "10s",
        "How long the webhook answers on after the signal to stop, until no API server asks it";

    + log::FORMAT, log::LEVEL
}
