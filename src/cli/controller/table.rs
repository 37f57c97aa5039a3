//! The settings of the controller. The chart sets them.

use crate::bootstrap::controller::{CertificateSource, PullPolicy};
use crate::cli::settings::kinds::{
    Choice, DurationRange, FilePath, HostName, Image, NamespaceList, NamespaceName, ObjectName,
    ObjectReference, Optional, SocketAddresses,
};
use crate::cli::settings::{log, settings};
use crate::domain::bounds::Bounds;

settings! {
    NAMESPACE in Cluster: NamespaceName = NamespaceName, default "",
        "Namespace of the operator; pods in it get no sidecar";
    POD_NAME in Cluster: ObjectName = ObjectName, default "",
        "Name of this pod, used as its identity in leader election";
    LEASE_NAME in Cluster: ObjectName = ObjectName, default "tracebuffer",
        "Lease for leader election, in the operator's namespace";
    REFERENCES in Cluster: Choice<bool> = Choice(&[("verify", true), ("trust", false)]),
        default "trust",
        "Whether the operator checks that the Secrets and ConfigMaps a TraceBuffer refers to exist; verify requires permission to read them";

    DEFAULT_TRACE_BUFFER in Injection: Optional<ObjectReference> = Optional(ObjectReference), default "",
        "TraceBuffer of pods if neither the pod nor its Namespace names one and the namespace has none";
    EXCLUDED_NAMESPACES in Injection: NamespaceList = NamespaceList, default "",
        "Namespaces whose pods never get a sidecar, in addition to the operator's own; the chart also excludes them from the webhook";

    SIDECAR_IMAGE in Sidecar: Image = Image, default "",
        "Image of the sidecar if the TraceBuffer sets none";
    SIDECAR_IMAGE_PULL_POLICY in Sidecar: Optional<Choice<PullPolicy>> = Optional(Choice(&[
            ("Always", PullPolicy::Always), ("IfNotPresent", PullPolicy::IfNotPresent),
            ("Never", PullPolicy::Never),
        ])), default "",
        "Pull policy of the sidecar image; if unset, Kubernetes chooses it";

    WEBHOOK_NAME in Webhook: ObjectName = ObjectName, default "tracebuffer",
        "MutatingWebhookConfiguration whose caBundle the operator maintains";
    WEBHOOK_HOST in Webhook: Optional<HostName> = Optional(HostName), default "",
        "DNS name of the webhook's Service; if unset, tracebuffer-webhook.NAMESPACE.svc";
    CERTIFICATES in Webhook: Choice<CertificateSource> = Choice(&[
            ("self", CertificateSource::SelfManaged), ("existingSecret", CertificateSource::ExistingSecret),
            ("certManager", CertificateSource::CertManager),
        ]), default "self",
        "Issuer of the webhook's certificate; the operator writes its certificate authority to the caBundle, except with certManager";
    CERTIFICATE_SECRET in Webhook: ObjectName = ObjectName, default "tracebuffer-webhook-tls",
        "Secret with the certificate, in the operator's namespace: tls.crt, tls.key and ca.crt";
    CERTIFICATE_CA_FILE in Webhook: Optional<FilePath> = Optional(FilePath), default "",
        "File with the certificate authorities of an existing Secret that has no ca.crt; read again when it changes";
    CERTIFICATE_LEASE_NAME in Webhook: ObjectName = ObjectName, default "tracebuffer-webhook-tls",
        "Lease for electing the replica that issues the certificate, in the operator's namespace";

    WEBHOOK_ADDR in Listening: SocketAddresses = SocketAddresses, default "0.0.0.0:9443,[::]:9443",
        "Addresses to serve the webhook on";
    ADMIN_ADDR in Listening: SocketAddresses = SocketAddresses, default "0.0.0.0:9417,[::]:9417",
        "Addresses to serve health checks and metrics on";
    LINGER_AFTER_STOP in Listening: DurationRange = DurationRange(Bounds { min: 0, max: 300_000 }), default "10s",
        "Time that the webhook keeps serving after a stop signal, until API servers no longer call it";

    + log::FORMAT, log::LEVEL
}
