//! The paths of the webhook, and the size of what it accepts.

/// Maximum bytes of a review. API servers accept requests of 3 MiB, and a review contains a pod once.
pub(super) const MAX_BODY_BYTES: usize = 8 << 20;
/// Maximum values of one pod: objects, arrays, strings, numbers and so on. A pod of 50 containers with
/// 100 variables each has about 15,000.
pub(super) const MAX_VALUES: u32 = 100_000;

/// The path for pods that opt in by annotation.
pub(super) const INJECT_PATH: &str = "/inject";
/// The path for pods of namespaces that opt in by label.
pub(super) const INJECT_NAMESPACE_PATH: &str = "/inject-namespace";
/// Both paths.
pub(super) const PATHS: [&str; 2] = [INJECT_PATH, INJECT_NAMESPACE_PATH];
