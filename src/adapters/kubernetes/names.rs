//! The names by which tracebuffer's parts know each other in a cluster.

/// Pod annotation: `true`, `enabled`, `false`, `disabled`, `<name>` or `<namespace>/<name>` of a
/// `TraceBuffer`. Namespace label of the same key: `true` or `enabled`.
pub const INJECT: &str = "tracebuffer.dev/inject";
/// Namespace annotation: `<name>` or `<namespace>/<name>` of the `TraceBuffer` of pods that name
/// none; the consent that it may use what belongs to the namespace.
pub const TRACE_BUFFER: &str = "tracebuffer.dev/tracebuffer";
/// Pod annotation: what the webhook decided, as JSON; what the controller and people read.
pub const STATUS: &str = "tracebuffer.dev/status";
/// Pod annotation: the limits a running sidecar follows.
pub const LIMITS: &str = "tracebuffer.dev/limits";
/// Pod label of every injected pod; what a `PodMonitor` selects.
pub const INJECTED: &str = "tracebuffer.dev/injected";
/// The value of that label.
pub const INJECTED_TRUE: &str = "true";
/// Pod-template annotation by which a rollout restarts an owner.
pub const ROLLOUT: &str = "tracebuffer.dev/rollout";
/// The sidecar's container.
pub const SIDECAR_CONTAINER: &str = "tracebuffer";
/// The volume that holds the pod's annotations and other small files.
pub const POD_INFO_VOLUME: &str = "tracebuffer-pod-info";
/// Where it is mounted; the annotation [`LIMITS`] is the file `limits` there.
pub const POD_INFO_PATH: &str = "/etc/tracebuffer/pod";
/// The volume that holds the destination's certificates and secret headers.
pub const DESTINATION_VOLUME: &str = "tracebuffer-destination";
/// Where it is mounted.
pub const DESTINATION_PATH: &str = "/etc/tracebuffer/destination";
/// The volumes that hold service account tokens; `-0` and so on follows.
pub const TOKEN_VOLUME: &str = "tracebuffer-token";
/// Where they are mounted, each in a folder of its number.
pub const TOKEN_PATH: &str = "/etc/tracebuffer/token";
/// The field manager of everything tracebuffer writes.
pub const FIELD_MANAGER: &str = "tracebuffer";
/// What a container's OpenTelemetry SDK reads to know where its traces go.
pub const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
/// Annotation of the Secret with the webhook's certificates: each new value asks for a rotation.
pub const ROTATE: &str = "tracebuffer.dev/rotate";
/// Annotation of the same Secret: the value of [`ROTATE`] that was obeyed last.
pub const ROTATED: &str = "tracebuffer.dev/rotated";
/// Annotation of the webhook's configuration: who is to keep its `caBundle`, as
/// `<certificates.mode>/<Secret>`. The chart writes it.
pub const CERTIFICATES: &str = "tracebuffer.dev/certificates";
/// Annotation of the same configuration: who has published the `caBundle` last, in the same words.
pub const CERTIFICATES_PUBLISHED: &str = "tracebuffer.dev/certificates-published";
