//! The names that tracebuffer's parts share in a cluster.

/// Pod annotation: `true`, `enabled`, `false`, `disabled`, `<name>` or `<namespace>/<name>` of a
/// `TraceBuffer`. Namespace label of the same key: `true` or `enabled`.
pub const INJECT_KEY: &str = "tracebuffer.dev/inject";
/// Namespace annotation: `<name>` or `<namespace>/<name>` of the `TraceBuffer` for pods that name
/// none. It is also the consent that this `TraceBuffer` uses credentials of the namespace.
pub const TRACE_BUFFER_ANNOTATION: &str = "tracebuffer.dev/tracebuffer";
/// Pod annotation: the decision of the webhook, as JSON.
pub const INJECTION_STATUS_ANNOTATION: &str = "tracebuffer.dev/status";
/// Pod annotation: the buffer limits that the running sidecar applies.
pub const LIMITS_ANNOTATION: &str = "tracebuffer.dev/limits";
/// Pod label of every injected pod, which a `PodMonitor` selects.
pub const INJECTED_LABEL: &str = "tracebuffer.dev/injected";
/// The value of that label.
pub const INJECTED_LABEL_VALUE: &str = "true";
/// Pod-template annotation whose change restarts a workload in a rollout.
pub const ROLLOUT_ANNOTATION: &str = "tracebuffer.dev/rollout";
/// The name of the sidecar's container.
pub const SIDECAR_CONTAINER: &str = "tracebuffer";
/// The name of the volume with the pod's annotations and other small files.
pub const POD_INFO_VOLUME: &str = "tracebuffer-pod-info";
/// The mount path of [`POD_INFO_VOLUME`]. Its file `limits` holds the annotation [`LIMITS_ANNOTATION`].
pub const POD_INFO_PATH: &str = "/etc/tracebuffer/pod";
/// The name of the volume with the destination's certificates and secret headers.
pub const DESTINATION_VOLUME: &str = "tracebuffer-destination";
/// The mount path of [`DESTINATION_VOLUME`].
pub const DESTINATION_PATH: &str = "/etc/tracebuffer/destination";
/// The prefix of the names of volumes with service account tokens; `-` and a number follow.
pub const TOKEN_VOLUME: &str = "tracebuffer-token";
/// The parent of the mount paths of the token volumes, each in a folder of its number.
pub const TOKEN_PATH: &str = "/etc/tracebuffer/token";
/// The entry for annotated pods in the webhook's configuration, by which the configuration is found.
pub const WEBHOOK_ENTRY: &str = "inject.tracebuffer.dev";
/// The field manager of everything tracebuffer writes.
pub const FIELD_MANAGER: &str = "tracebuffer";
/// The environment variable from which OpenTelemetry SDKs read the endpoint for traces.
pub const TRACES_ENDPOINT_VAR: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
/// Annotation of the Secret with the webhook's certificates: each new value requests a rotation.
pub const ROTATE_ANNOTATION: &str = "tracebuffer.dev/rotate";
/// Annotation of the same Secret: the last value of [`ROTATE_ANNOTATION`] that was handled.
pub const ROTATED_ANNOTATION: &str = "tracebuffer.dev/rotated";
/// Annotation of the webhook's configuration: the publisher of its `caBundle`, as
/// `<certificates.mode>/<Secret>`. The chart writes it.
pub const CA_BUNDLE_PUBLISHER_ANNOTATION: &str = "tracebuffer.dev/certificates";
/// Annotation of the same configuration: the last publisher of the `caBundle`, in the same format.
pub const CA_BUNDLE_PUBLISHED_ANNOTATION: &str = "tracebuffer.dev/certificates-published";
